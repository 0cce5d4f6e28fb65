"""Resumption: to the last bit, after kills and interrupts, and refused when it cannot be right."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Start
from tiny import Tiny, TinyBatch, same, weights

from elman import files
from elman.errors import ConfigError, ElmanError, RunError
from elman.training import (
    Event,
    History,
    Interrupted,
    Note,
    Step,
    TrainingConfig,
    fit,
    read_events,
)
from elman.training.config import OPTIMISER_NAMES


class StopError(Exception):
    """Ends a run from within, as a crash would."""


class Noisy(Tiny):
    """Draws from Python's, numpy's and torch's generators, and carries a state along."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.carried = torch.zeros(1)

    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        loss, weight = super().loss(batch)
        self.carried = self.carried * 0.9 + batch.x.mean()
        noise = random.random() + random.gauss(0, 1) + float(np.random.rand() + np.random.randn())
        return loss * (1 + 0.1 * noise + self.carried.item()), weight

    def carried_state(self) -> dict[str, torch.Tensor]:
        return {"mean": self.carried}

    def load_carried_state(self, state: dict[str, torch.Tensor]) -> None:
        self.carried = state["mean"]


def crash_at(step: int) -> Any:
    def crash(event: Event) -> None:
        if isinstance(event, Step) and event.step >= step:
            raise StopError

    return crash


def run(directory: Path, config: TrainingConfig, **options: Any) -> tuple[Tiny, History]:
    tiny = Noisy(slow=0.0)
    return tiny, fit(tiny, config, directory=directory, **options)


@pytest.mark.parametrize("average", ["ema", "swa", "none"])
@pytest.mark.parametrize("optimiser", OPTIMISER_NAMES)
def test_resumed_equals_uninterrupted(
    tmp_path: Path, optimiser: str, average: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elman.training.loop.EVENT_SECONDS", 0.0)
    config = TrainingConfig(
        epochs=3, optimiser=optimiser, average=average, checkpoint_seconds=0, accumulate=2,
        swa_start=0.3, schedule="plateau" if optimiser == "sgd" else "one-cycle",
    )  # fmt: skip
    whole = Noisy()
    history = fit(whole, config)
    for step in (3, 11):
        with pytest.raises(StopError):
            run(
                tmp_path / "parts", config, on_event=crash_at(step), resume=step > 3
            )
    parts, resumed = run(tmp_path / "parts", config, resume=True)
    assert same(weights(whole), weights(parts))
    assert resumed.resumed == 10 and resumed.best == history.best
    assert [v.metrics for v in resumed.validations] == [v.metrics for v in history.validations]
    assert [v.loss for v in resumed.validations] == [v.loss for v in history.validations]


def test_batches_before_the_checkpoint_are_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elman.training.loop.EVENT_SECONDS", 0.0)
    config = TrainingConfig(epochs=2, checkpoint_seconds=0)
    with pytest.raises(StopError):
        fit(Tiny(), config, directory=tmp_path, on_event=crash_at(16))
    tiny = Tiny()
    fit(tiny, config, directory=tmp_path, resume=True)
    assert tiny.calls == [(2, 5), (2, 6), (2, 7), (2, 8), (2, 9)]


def check_log(path: Path, steps: int) -> None:
    """The events are those of one run: no step or validation twice, none missing at the end."""
    lines = read_events(path)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    done = [line["step"] for line in lines if line["event"] == "step"]
    assert done == sorted(set(done)) and done[-1] <= steps
    validated = [line["step"] for line in lines if line["event"] == "validated"]
    assert validated == sorted(set(validated)) and validated[-1] == steps
    assert [line["event"] for line in lines].count("finished") == 1


def test_killed_at_random_moments(tmp_path: Path, start: Start) -> None:
    training = {"epochs": 5, "checkpoint_seconds": 0.0, "lr": 0.01}
    options = {"task": {"slow": 0.01}}
    fit(whole := Tiny(), TrainingConfig(**training))
    chance = random.Random(time.time_ns())
    parts = tmp_path / "parts"
    for kill in range(3):
        process = start(parts, training, resume=kill > 0, **options)
        seen = process.stdout.readline()
        assert seen, process.stderr.read()
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
    fit(tiny := Tiny(), TrainingConfig(**training), directory=parts, resume=True)
    assert same(weights(tiny), weights(whole))
    check_log(parts / "metrics.jsonl", 50)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_leave_a_checkpoint(tmp_path: Path, start: Start, number: int) -> None:
    training = {"epochs": 5, "checkpoint_seconds": 1000.0}
    process = start(tmp_path, training, task={"slow": 0.02})
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted: training was interrupted after step" in complaints
    assert "--resume" in complaints and "Traceback" not in complaints
    tiny = Tiny()
    history = fit(tiny, TrainingConfig(**training), directory=tmp_path, resume=True)
    assert history.resumed is not None and history.resumed > 0
    fit(whole := Tiny(), TrainingConfig(**training))
    assert same(weights(whole), weights(tiny))


def test_ctrl_c_within_a_validation(tmp_path: Path) -> None:
    class Pressed(Tiny):
        def validate(self) -> dict[str, float]:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("not reached")

    config = TrainingConfig(epochs=3, checkpoint_seconds=1000)
    with pytest.raises(Interrupted, match="after step 10"):
        fit(Pressed(), config, directory=tmp_path)
    tiny = Tiny()
    history = fit(tiny, config, directory=tmp_path, resume=True)
    fit(whole := Tiny(), config)
    assert same(weights(whole), weights(tiny))
    assert [v.step for v in history.validations] == [10, 20, 30]


def test_interrupted_without_a_folder() -> None:
    def press(event: Event) -> None:
        if isinstance(event, Step):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="Nothing was kept"):
        fit(Tiny(), TrainingConfig(epochs=2), on_event=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2)
    trained = Tiny()
    history = fit(trained, config, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    events, again = list[Event](), Tiny(seed=3)
    second = fit(again, config, directory=tmp_path, resume=True, on_event=events.append)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert same(weights(trained), weights(again)) and not second.trained
    assert second.validations == history.validations and second.best == history.best
    [note] = events
    assert isinstance(note, Note) and "is finished (20 steps" in note.message


def test_resume_without_a_checkpoint_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"torn')
    events = list[Event]()
    fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path, resume=True, on_event=events.append)
    assert isinstance(events[0], Note) and "starts afresh" in events[0].message
    assert read_events(tmp_path / "metrics.jsonl")[-1]["event"] == "finished"


@pytest.fixture
def crashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped in its second epoch."""
    monkeypatch.setattr("elman.training.loop.EVENT_SECONDS", 0.0)
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    with pytest.raises(StopError):
        fit(
            Tiny(), config, directory=tmp_path, on_event=crash_at(15),
            extra_state={"data": {"fingerprint": "abc"}, "sizes": (1, 2)},
        )  # fmt: skip
    return tmp_path


EXTRA = {"data": {"fingerprint": "abc"}, "sizes": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.1}, {"optimiser": "sgd"}, {"seed": 2}, {"epochs": 4}, {"minutes": 1.0},
        {"accumulate": 2}, {"average": "none"}, {"precision": "bf16"}, {"clip": None},
    ],
)  # fmt: skip
def test_other_settings_are_refused_by_name(crashed: Path, change: dict[str, Any]) -> None:
    config = TrainingConfig(**{"epochs": 3, "checkpoint_seconds": 0, **change})
    with pytest.raises(ConfigError, match=f"training.{next(iter(change))}: the run was started"):
        fit(Tiny(), config, directory=crashed, resume=True, extra_state=EXTRA)


def test_harmless_settings_may_change(crashed: Path) -> None:
    config = TrainingConfig(epochs=3, checkpoint_seconds=99, device="cpu")
    assert fit(Tiny(), config, directory=crashed, resume=True, extra_state=EXTRA).steps == 30


def test_other_data_and_other_models_are_refused(crashed: Path) -> None:
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    with pytest.raises(RunError, match="data.fingerprint = abc, not xyz"):
        fit(
            Tiny(), config, directory=crashed, resume=True,
            extra_state={**EXTRA, "data": {"fingerprint": "xyz"}},
        )  # fmt: skip
    with pytest.raises(RunError, match=r'another model: "first.weight" .*float32.*float64'):
        fit(
            Tiny(dtype=torch.float64), config, directory=crashed, resume=True, extra_state=EXTRA
        )


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_more_epochs_where_the_schedule_allows_it(tmp_path: Path, schedule: Any) -> None:
    short = TrainingConfig(epochs=3, schedule=schedule)
    long = TrainingConfig(epochs=5, schedule=schedule)
    fit(Tiny(), short, directory=tmp_path)
    more, whole = Tiny(), Tiny()
    history = fit(more, long, directory=tmp_path, resume=True)
    fit(whole, long)
    assert history.resumed == 30 and history.steps == 50 and same(weights(more), weights(whole))


# -- damage ----------------------------------------------------------------------------------------


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _version(path: Path) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "format": 99}))


def _other_json(path: Path) -> None:
    path.write_text("[]")


def _number(path: Path) -> None:
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 1', 1))


DAMAGE = [
    *((name, harm) for name in ("model", "optimiser", "average", "processes")
      for harm in (_truncate, _flip, Path.unlink)),
    *(("state.json", harm)
      for harm in (_truncate, _flip, Path.unlink, _version, _other_json, _number)),
]  # fmt: skip


def _harm(folder: Path, name: str, harm: Any) -> None:
    harm(folder / (name if name.endswith(".json") else f"{name}.safetensors"))


@pytest.mark.parametrize(("name", "harm"), DAMAGE)
def test_damage_falls_back_to_the_checkpoint_before(crashed: Path, name: str, harm: Any) -> None:
    checkpoints = crashed / "checkpoints"
    both = crashed.with_name(f"{crashed.name}-both")
    _harm(checkpoints / "last", name, harm)
    shutil.copytree(crashed, both)
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    events, tiny = list[Event](), Tiny()
    fit(tiny, config, directory=crashed, resume=True, extra_state=EXTRA, on_event=events.append)
    note = next(event.message for event in events if isinstance(event, Note))
    assert "checkpoint before it is used" in note and "last" in note
    whole = Tiny()
    fit(whole, config)
    assert same(weights(whole), weights(tiny))
    check_log(crashed / "metrics.jsonl", 30)
    _harm(both / "checkpoints" / "previous", name, harm)
    with pytest.raises(RunError, match="no checkpoint can be read"):
        fit(Tiny(), config, directory=both, resume=True, extra_state=EXTRA)


def test_killed_while_the_checkpoint_was_renamed(crashed: Path) -> None:
    shutil.rmtree(crashed / "checkpoints" / "last")
    (crashed / "checkpoints" / ".new-123").mkdir()
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    fit(tiny := Tiny(), config, directory=crashed, resume=True, extra_state=EXTRA)
    fit(whole := Tiny(), config)
    assert same(weights(whole), weights(tiny))
    assert not list((crashed / "checkpoints").glob(".new-*"))


def test_damaged_best_weights_are_chosen_anew(crashed: Path) -> None:
    [best] = (crashed / "checkpoints" / "best").glob("*.safetensors")
    _flip(best)
    events = list[Event]()
    history = fit(
        Tiny(), TrainingConfig(epochs=3, checkpoint_seconds=0), directory=crashed, resume=True,
        extra_state=EXTRA, on_event=events.append,
    )  # fmt: skip
    assert any(isinstance(e, Note) and "chosen anew" in e.message for e in events)
    assert history.best is not None and history.best_step > 15


def test_a_log_that_lost_its_end(crashed: Path) -> None:
    log = crashed / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-7])
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    fit(Tiny(), config, directory=crashed, resume=True, extra_state=EXTRA)
    check_log(log, 30)


def test_a_full_disk_does_not_end_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elman.training import checkpoints

    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    written: list[Path] = []

    def write(path: Path, content: bytes) -> dict[str, Any]:
        written.append(path)
        if len(written) > 40:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device", str(path))
        return usual(path, content)

    usual = checkpoints._write
    monkeypatch.setattr(checkpoints, "_write", write)
    events = list[Event]()
    fit(full := Tiny(), config, directory=tmp_path, on_event=events.append)
    notes = [event.message for event in events if isinstance(event, Note)]
    assert len(notes) == 1 and "the disk is full" in notes[0] and "Training goes on" in notes[0]
    monkeypatch.setattr(checkpoints, "_write", usual)
    history = fit(again := Tiny(), config, directory=tmp_path, resume=True)
    fit(whole := Tiny(), config)
    assert history.resumed is not None and 0 < history.resumed < 30
    assert same(weights(full), weights(whole)) and same(weights(again), weights(whole))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_under_the_log(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    events = list[Event]()
    fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path, on_event=events.append)
    notes = [event.message for event in events if isinstance(event, Note)]
    assert any("the disk is full" in note and "Training goes on" in note for note in notes)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ElmanError, match="a part of the path is a file"):
        fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path / "file" / "run")


def test_no_pickle_is_written(crashed: Path) -> None:
    assert {path.suffix for path in crashed.rglob("*") if path.is_file()} == {
        ".json", ".jsonl", ".safetensors",
    }  # fmt: skip
    assert files.read_json(crashed / "checkpoints" / "last" / "state.json")["format"] == 1
