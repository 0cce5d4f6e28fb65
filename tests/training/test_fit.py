"""The loop: what it computes, when it validates and stops, and what it says."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_tiny import Tiny, TinyBatch, same, weights

from elman.errors import ConfigError, ElmanError, RunError, TrainingError
from elman.kernels.cpu.brain import multiplies_brain
from elman.kernels.cpu.target import host
from elman.training import (
    Event,
    Finished,
    Note,
    Started,
    Step,
    TrainingConfig,
    Validated,
    fit,
    read_events,
)

DOUBLE = {"dropout": 0.0, "dtype": torch.float64}


def difference(one: Tiny, other: Tiny) -> float:
    left, right = weights(one), weights(other)
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def test_training_improves_and_leaves_the_best_weights(tmp_path: Path) -> None:
    tiny, events = Tiny(), list[Event]()
    history = fit(
        tiny, TrainingConfig(epochs=12, lr=0.02), directory=tmp_path, on_event=events.append
    )
    values = [item.metrics["loss"] for item in history.validations]
    assert len(values) == 12
    assert history.best == min(values) < values[0]
    assert not tiny.net.training
    assert tiny.validate()["loss"] == history.best
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert history.stopped == "epochs"
    assert history.steps == 120 == events[-1].step
    kinds = [line["event"] for line in read_events(tmp_path / "metrics.jsonl")]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert kinds.count("validated") == 12
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 120
    best = [event for event in events if isinstance(event, Validated) and event.best]
    assert best[-1].metrics == history.best_metrics


def test_the_callers_random_numbers_and_flags_stay() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(Tiny(), TrainingConfig(epochs=1))
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_one_seed_one_result_and_validation_does_not_matter() -> None:
    class Careless(Tiny):
        def validate(self) -> dict[str, float]:
            torch.manual_seed(0)
            return super().validate()

    config = TrainingConfig(epochs=2, average="none")
    one, two, other, careless = Tiny(), Tiny(), Tiny(), Careless()
    for tiny in (one, two, careless):
        fit(tiny, config)
    fit(other, config.model_copy(update={"seed": 2}))
    assert same(weights(one), weights(two))
    assert same(weights(one), weights(careless))
    assert not same(weights(one), weights(other))


@pytest.mark.parametrize("rows", [40, 37, 33])
def test_accumulated_batches_equal_one_large_batch(rows: int) -> None:
    """Also when the last batch is small (37) and when the last step lacks batches (33)."""
    small, large = Tiny(rows=rows, batch=4, **DOUBLE), Tiny(rows=rows, batch=12, **DOUBLE)
    fit(small, TrainingConfig(epochs=3, accumulate=3))
    fit(large, TrainingConfig(epochs=3))
    assert difference(small, large) < 1e-12


def test_a_step_is_clipped_by_norm() -> None:
    tiny = Tiny(batch=40, **DOUBLE)
    before = weights(tiny)
    config = TrainingConfig(
        epochs=1, optimiser="sgd", momentum=0.0, schedule="constant", lr=1.0, clip=1e-3,
        average="none",
    )  # fmt: skip
    loss, _ = Tiny(batch=40, **DOUBLE).loss(tiny.batches(1)[0])
    events = list[Event]()
    fit(tiny, config, on_event=events.append)
    moved = torch.cat([(weights(tiny)[n] - before[n]).reshape(-1) for n in before])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-4)
    step = next(event for event in events if isinstance(event, Step))
    assert step.gradient > 1e-3
    assert step.loss == pytest.approx(float(loss.detach()))


def test_learning_rates_follow_the_schedule() -> None:
    events = list[Event]()
    config = TrainingConfig(epochs=1, schedule="cosine", warmup=0.5, lr=1.0, final_lr=0.0)
    fit(Tiny(batch=10, slow=0.11), config, on_event=events.append)
    rates = [event.lr for event in events if isinstance(event, Step)]
    assert rates == pytest.approx([0.01, 0.505, 1.0, 0.5])


def test_patience_stops_and_the_best_remains() -> None:
    class Worsening(Tiny):
        count = 0

        def validate(self) -> dict[str, float]:
            self.count += 1
            return {"loss": abs(self.count - 3.0)}

    history = fit(Worsening(), TrainingConfig(epochs=50, patience=2))
    assert history.stopped == "patience"
    assert len(history.validations) == 5
    assert history.best == 0.0
    assert history.best_epoch == 3
    assert history.best_step == 30


@pytest.mark.parametrize(("epochs", "steps"), [(1, [4, 7, 10]), (2, [5, 10, 15, 20])])
def test_short_runs_validate_at_least_three_times(epochs: int, steps: list[int]) -> None:
    history = fit(Tiny(), TrainingConfig(epochs=epochs))
    assert [item.step for item in history.validations] == steps


@pytest.mark.parametrize("slow_validation", [0.0, 0.25])
def test_minutes_are_kept(slow_validation: float) -> None:
    class Slow(Tiny):
        def validate(self) -> dict[str, float]:
            time.sleep(slow_validation)
            return super().validate()

    fit(Tiny(), TrainingConfig(epochs=1))  # Fabric's import is not what is measured
    tiny, events = Slow(rows=4000, slow=0.005), list[Event]()
    began = time.monotonic()
    history = fit(tiny, TrainingConfig(epochs=1000, minutes=2.5 / 60), on_event=events.append)
    took = time.monotonic() - began
    assert 1.7 < took < 2.9
    assert history.stopped == "minutes"
    assert len(history.validations) >= 3
    rates = [event.lr for event in events if isinstance(event, Step)]
    assert rates[-1] < 0.1 * max(rates)  # the schedule knew about the end


def test_a_run_shorter_than_its_minutes_ends_by_epochs() -> None:
    history = fit(Tiny(), TrainingConfig(epochs=4, minutes=1))
    assert history.stopped == "epochs"
    assert history.epochs == 4
    assert history.steps == 40


def test_a_budget_that_is_not_needed_changes_no_weight() -> None:
    class Compiling(Tiny):
        def loss(self, batch: TinyBatch) -> tuple[Tensor, float]:
            if not self.compiled:
                time.sleep(0.2)
                self.compiled = True
            return super().loss(batch)

        compiled = False

    free, budgeted = Tiny(), Compiling()
    fit(free, TrainingConfig(epochs=4))
    fit(budgeted, TrainingConfig(epochs=4, minutes=4 / 60))
    for name, value in free.net.state_dict().items():
        assert torch.equal(budgeted.net.state_dict()[name], value)


@pytest.mark.parametrize("precision", ["bf16", "16", "auto"])
def test_other_precisions_train(precision: Any) -> None:
    tiny, told = Tiny(dropout=0.0), list[Event]()
    config = TrainingConfig(epochs=8, lr=0.02, precision=precision, device="cpu")
    history = fit(tiny, config, on_event=told.append)
    (started,) = [event for event in told if isinstance(event, Started)]
    fast = "bf16" if multiplies_brain(host()) else "32"
    # Fabric has no 16-bit floats with five bits of exponent on the processor.
    assert started.precision == (fast if precision == "auto" else "bf16")
    assert history.best is not None
    assert history.best < history.validations[0].metrics["loss"]
    assert tiny.net.first.weight.dtype == torch.float32


def test_a_missing_monitor_is_named() -> None:
    class Wrong(Tiny):
        monitor = "accurracy"

        def validate(self) -> dict[str, float]:
            return {"accuracy": 1.0}

    with pytest.raises(TrainingError, match='Did you mean "accuracy"'):
        fit(Wrong(), TrainingConfig(epochs=1))


def test_no_batches_are_an_error() -> None:
    with pytest.raises(TrainingError, match="no batch"):
        fit(Tiny(rows=0), TrainingConfig(epochs=1))


def test_metrics_that_are_not_numbers_keep_the_last_weights() -> None:
    class Unmeasured(Tiny):
        def validate(self) -> dict[str, float]:
            return {"loss": float("nan")}

    events = list[Event]()
    history = fit(Unmeasured(), TrainingConfig(epochs=1), on_event=events.append)
    assert history.best is None
    assert any(isinstance(e, Note) and "last weights are kept" in e.message for e in events)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match="already holds a run"):
        fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_tensorboard_files_are_written(tmp_path: Path) -> None:
    fit(Tiny(), TrainingConfig(epochs=2, tensorboard=True), directory=tmp_path)
    assert {tag: len(points) for tag, points in drawn(tmp_path).items()}["valid/loss"] == 4


def drawn(folder: Path) -> dict[str, list[Any]]:
    """The points of each curve, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}


@pytest.mark.parametrize("place", ["add_scalar", "close"])
def test_a_full_disk_under_tensorboard_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from torch.utils.tensorboard.writer import SummaryWriter

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SummaryWriter, place, full)
    events = list[Event]()
    config = TrainingConfig(epochs=2, tensorboard=True)
    history = fit(Tiny(), config, directory=tmp_path, on_event=events.append)
    assert history.stopped == "epochs" and len(history.validations) == 4
    notes = [event.message for event in events if isinstance(event, Note)]
    told = [note for note in notes if "the disk is full" in note and "tensorboard" in note]
    assert len(told) == 1, notes
    assert list(read_events(tmp_path / "metrics.jsonl"))[-1]["event"] == "finished"


def test_a_folder_that_tensorboard_cannot_have(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("mine")
    with pytest.raises(ElmanError, match=r"cannot write.*tensorboard"):
        fit(Tiny(), TrainingConfig(epochs=1, tensorboard=True), directory=tmp_path)


# -- the guard -------------------------------------------------------------------------------------


class PoisonedInput(Tiny):
    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        if 7 in batch.rows:
            batch = batch._replace(x=batch.x * float("inf"))
        return super().loss(batch)


class PoisonedWeight(Tiny):
    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        if 7 in batch.rows:
            with torch.no_grad():
                self.net.second.weight[0, 3] = float("nan")
        return super().loss(batch)


class PoisonedGradient(Tiny):
    def loss(self, batch: TinyBatch) -> tuple[torch.Tensor, float]:
        loss, weight = super().loss(batch)
        if 7 in batch.rows:
            # sqrt has an infinite slope at 0: a finite loss with a gradient that is not.
            loss = loss + torch.sqrt((self.net.first.weight * 0.0).sum())
        return loss, weight


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (PoisonedInput, ["the loss is", 'first layer with such an output is "first" (Linear)']),
        (PoisonedWeight, ["parameter second.weight is not finite", '"second" (Linear)']),
        (PoisonedGradient, ["the gradient of parameter first.weight is not finite"]),
    ],
)
def test_the_guard_says_where(tmp_path: Path, kind: type[Tiny], words: list[str]) -> None:
    tiny = kind()
    order = [7 in tiny.batches(1)[index].rows for index in range(10)]
    number = order.index(True) + 1
    with pytest.raises(TrainingError) as caught:
        fit(tiny, TrainingConfig(epochs=1), directory=tmp_path)
    message = str(caught.value)
    for part in [*words, f"step {number} (epoch 1, batch {number}, rows ", "nan-batch.safetensors"]:
        assert part in message
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "nan-batch.safetensors")
    assert 7 in saved["rows"].tolist()
    assert saved["x"].shape == (4, 4)


def test_the_guard_names_a_poisoned_batch() -> None:
    tiny = Tiny()
    tiny.x[7, 2] = float("nan")
    with pytest.raises(TrainingError, match='the batch\'s own "x" is not finite'):
        fit(tiny, TrainingConfig(epochs=1, accumulate=3))


def test_settings_of_a_device_that_is_absent() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError):
        fit(Tiny(), TrainingConfig(device="cuda"))
