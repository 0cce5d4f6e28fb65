"""Resumption: to the last bit, after kills and interrupts, and refused when it cannot be right."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_crash import EXTRA, StopError, check_log, crash_at
from training_tiny import Start, Tiny, TinyBatch, same, weights

from elman.errors import ConfigError, RunError
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
            run(tmp_path / "parts", config, on_event=crash_at(step), resume=step > 3)
    parts, resumed = run(tmp_path / "parts", config, resume=True)
    assert same(weights(whole), weights(parts))
    assert resumed.resumed == 10
    assert resumed.best == history.best
    assert [v.metrics for v in resumed.validations] == [v.metrics for v in history.validations]
    assert [v.loss for v in resumed.validations] == [v.loss for v in history.validations]


class Speaking(Noisy):
    """Says something after a validation, with the global generators that training uses too."""

    def sample(self) -> str:
        assert not self.net.training
        return f"{float(self.net.second.bias):.6f} {torch.rand(3).sum():.0e} {random.random()}"[:9]


def test_samples_leave_the_run_as_it_is(tmp_path: Path) -> None:
    """Ten or eleven a run, the same weights with and without them, and again after crashes."""
    config = TrainingConfig(epochs=30, checkpoint_seconds=0)
    silent, speaking = Noisy(), Speaking()
    fit(silent, config, directory=tmp_path / "silent")
    fit(speaking, config, directory=tmp_path / "whole")
    assert same(weights(silent), weights(speaking))

    def said(folder: Path) -> list[Any]:
        events = read_events(folder / "metrics.jsonl")
        return [(e["step"], e["text"]) for e in events if e["event"] == "sample"]

    assert not said(tmp_path / "silent")
    whole = said(tmp_path / "whole")
    assert 10 <= len(whole) <= 11 and whole[0][0] == 10 and whole[-1][0] == 300
    for step in (3, 101, 290):
        with pytest.raises(StopError):
            fit(Speaking(), config, directory=tmp_path / "cut", on_event=crash_at(step),
                resume=step > 3)  # fmt: skip
    again = Speaking()
    fit(again, config, directory=tmp_path / "cut", resume=True)
    assert same(weights(again), weights(speaking))
    assert said(tmp_path / "cut") == whole


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
    assert "--resume" in complaints
    assert "Traceback" not in complaints
    tiny = Tiny()
    history = fit(tiny, TrainingConfig(**training), directory=tmp_path, resume=True)
    assert history.resumed is not None
    assert history.resumed > 0
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

    before = signal.getsignal(signal.SIGINT)  # ignored where a shell started the tests behind it
    with pytest.raises(KeyboardInterrupt, match="Nothing was kept"):
        fit(Tiny(), TrainingConfig(epochs=2), on_event=press)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2)
    trained = Tiny()
    history = fit(trained, config, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    events, again = list[Event](), Tiny(seed=3)
    second = fit(again, config, directory=tmp_path, resume=True, on_event=events.append)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert same(weights(trained), weights(again))
    assert not second.trained
    assert second.validations == history.validations
    assert second.best == history.best
    [note] = events
    assert isinstance(note, Note)
    assert "is finished (20 steps" in note.message


def test_resume_without_a_checkpoint_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"torn')
    events = list[Event]()
    fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path, resume=True, on_event=events.append)
    assert isinstance(events[0], Note)
    assert "starts afresh" in events[0].message
    assert read_events(tmp_path / "metrics.jsonl")[-1]["event"] == "finished"


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
    with pytest.raises(RunError, match=r"data\.fingerprint = abc, not xyz"):
        fit(
            Tiny(), config, directory=crashed, resume=True,
            extra_state={**EXTRA, "data": {"fingerprint": "xyz"}},
        )  # fmt: skip
    with pytest.raises(RunError, match=r'another model: "first.weight" .*float32.*float64'):
        fit(Tiny(dtype=torch.float64), config, directory=crashed, resume=True, extra_state=EXTRA)


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_more_epochs_where_the_schedule_allows_it(tmp_path: Path, schedule: Any) -> None:
    short = TrainingConfig(epochs=3, schedule=schedule)
    long = TrainingConfig(epochs=5, schedule=schedule)
    fit(Tiny(), short, directory=tmp_path)
    more, whole = Tiny(), Tiny()
    history = fit(more, long, directory=tmp_path, resume=True)
    fit(whole, long)
    assert history.resumed == 30
    assert history.steps == 50
    assert same(weights(more), weights(whole))
