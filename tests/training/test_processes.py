"""Several processes: the same result as one, whatever starts them, and none is left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_tiny import Start, Tiny, TinyBatch, weights

from elman.errors import RunError, TrainingError
from elman.files import read_json
from elman.training import Event, Finished, Step, TrainingConfig, Validated, fit, read_events

DOUBLE: dict[str, Any] = {"dropout": 0.0, "dtype": torch.float64}


@pytest.fixture(autouse=True)
def _workers_find_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parents[1])]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def children() -> set[int]:
    """The living child processes of this one that Python's multiprocessing started."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"spawn_main" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


class Uneven(Tiny):
    """A parameter that only some batches use, and one that none uses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        dtype = self.x.dtype
        self.net.extra = torch.nn.Linear(4, 1, dtype=dtype)
        self.net.never = torch.nn.Linear(4, 1, dtype=dtype)
        with torch.no_grad():
            for module in (self.net.extra, self.net.never):
                module.weight.fill_(0.5)
                module.bias.fill_(0.5)

    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        loss, weight = super().loss(batch)
        if 3 in batch.rows:
            loss = loss + self.net.extra(batch.x).square().mean()
        return loss, weight


def test_two_processes_equal_one_with_accumulation(tmp_path: Path) -> None:
    """37 rows in batches of 4: an odd last step, a small last batch, unused parameters."""
    events = list[Event]()
    two, one = Uneven(rows=37, **DOUBLE), Uneven(rows=37, **DOUBLE)
    history = fit(
        two, TrainingConfig(epochs=2, devices=2), directory=tmp_path, on_event=events.append
    )
    alone = fit(one, TrainingConfig(epochs=2, accumulate=2))
    left, right = weights(two), weights(one)
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 1e-13
    assert torch.all(left["never.weight"] == 0.5)
    assert torch.any(left["extra.weight"] != 0.5)
    assert [v.step for v in history.validations] == [v.step for v in alone.validations]
    assert history.best == pytest.approx(alone.best, abs=1e-12)
    assert two.validate()["loss"] == pytest.approx(history.best, abs=1e-12)
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Validated) for event in events) == len(history.validations)
    assert read_events(tmp_path / "metrics.jsonl")[-1]["event"] == "finished"
    assert not children()


class Failing(Tiny):
    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        if 7 in batch.rows:
            raise ValueError("row seven is unlucky")
        return super().loss(batch)


class Poisoned(Tiny):
    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        if 7 in batch.rows:
            batch = batch._replace(x=batch.x * float("nan"))
        return super().loss(batch)


class Dying(Tiny):
    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        if 7 in batch.rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Failing, "ValueError: row seven is unlucky"),
        pytest.param(Poisoned, "first layer with such an output", marks=pytest.mark.slow),
        pytest.param(Dying, "was killed by signal 9", marks=pytest.mark.slow),
    ],
)
def test_an_error_in_a_worker_comes_home(kind: type[Tiny], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        fit(kind(), TrainingConfig(epochs=1, devices=2))
    assert not children()


@pytest.mark.slow
def test_an_error_of_the_caller_ends_the_workers() -> None:
    def refuse(event: Event) -> None:
        raise RuntimeError("no events, please")

    with pytest.raises(RuntimeError, match="no events"):
        fit(Tiny(), TrainingConfig(epochs=1, devices=2), on_event=refuse)
    assert not children()


def test_a_task_that_cannot_be_sent() -> None:
    tiny = Tiny()
    tiny.key = lambda row: row  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match="cannot be sent to other processes"):
        fit(tiny, TrainingConfig(epochs=1, devices=2))


@pytest.mark.slow
def test_a_script_without_a_guard_interrupted_killed_and_resumed(
    tmp_path: Path, start: Start
) -> None:
    training = {"epochs": 8, "devices": 2, "checkpoint_seconds": 0.0}
    slow = {"task": {"slow": 0.02}}
    process = start(tmp_path, training, **slow)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 130, complaints
    assert "--resume" in complaints
    assert "Traceback" not in complaints

    process = start(tmp_path, training, resume=True, **slow)
    process.stdout.readline()
    process.kill()  # the parent: its workers must notice
    process.communicate(timeout=120)
    time.sleep(0.5)
    before = steps_of(tmp_path)
    time.sleep(1.0)
    assert steps_of(tmp_path) == before < 40, "a worker lives on"

    process = start(tmp_path, training, resume=True)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    events = list[Event]()
    fit(whole := Tiny(), TrainingConfig(**training), on_event=events.append)
    found = load_file(tmp_path / "final.safetensors")
    assert all(torch.equal(found[name], value) for name, value in weights(whole).items())
    assert any(isinstance(event, Step) for event in events)


def steps_of(folder: Path) -> int:
    """The step of the newest checkpoint; -1 in the moment between two renames."""
    try:
        state = read_json(folder / "checkpoints" / "last" / "state.json")
    except RunError:
        return -1
    return state["body"]["state"]["step"]
