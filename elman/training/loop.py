"""The training loop: epochs, validations, the best weights, events and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from elman.errors import TrainingError, did_you_mean
from elman.training import guard, random_state
from elman.training.averaging import Averager, copied, put_weights, weights_of
from elman.training.config import TrainingConfig
from elman.training.engine import Engine, Gathered
from elman.training.events import Event, Finished, Note, Sample, Started, Step, Validated
from elman.training.history import History, Validation
from elman.training.interrupts import Interrupts
from elman.training.keeper import Keeper
from elman.training.optimisers import set_rate
from elman.training.pace import Clock, Pace
from elman.training.schedules import factor
from elman.training.state import RunState
from elman.training.trainable import Batches, Trainable, sample

EVENT_SECONDS = 0.1
OVERFLOWS = 50


class Loop:
    """One run on one process (or one of several processes that step together).

    Every decision is taken from `state` and from numbers that the processes have agreed on, so
    that all of them take it alike, and a resumed run takes it again.
    """

    def __init__(
        self,
        engine: Engine,
        keeper: Keeper,
        emit: Callable[[Event], None],
        interrupts: Interrupts,
        clock: Clock,
    ) -> None:
        self.engine = engine
        self.config: TrainingConfig = engine.config
        self.trainable: Trainable[Any] = engine.trainable
        self.keeper = keeper
        self.emit = emit
        self.interrupts = interrupts
        self.clock = clock
        self.state = RunState()
        self.pace = Pace(engine.config)
        self.average = Averager(engine.model, engine.config)
        self.best_weights: dict[str, Tensor] = {}
        self.resumed: int | None = None
        self._shown = (0.0, 0.0, 0.0)  # time of the last Step event; loss sums since then

    # -- the course of a run ---------------------------------------------------------------------

    def run(self) -> History:
        """Trains to the end, leaves the best weights in the model and returns the history."""
        self._begin()
        state = self.state
        if state.finished:
            self._put_final_weights()
            return self.history(trained=False)
        self._announce()
        if self.resumed is None:
            self.keeper.save(self)
        if state.validation_due:
            self._validate()
        while state.stopped is None:
            self._epoch()
        return self._finish()

    def _begin(self) -> None:
        random_state.seed(self.config.seed, self.engine.rank)
        if not self.keeper.restore(self):
            self.average.start()
            self.state.epoch_steps = self._steps(self.trainable.batches(1))
        self.engine.model.train()

    def _announce(self) -> None:
        self.emit(
            Started(
                epochs=self.config.epochs,
                steps=self.config.epochs * self.state.epoch_steps,
                parameters=sum(p.numel() for p in self.engine.parameters),
                device=str(self.engine.fabric.device),
                devices=self.engine.world,
                precision=self.engine.precision,
                minutes=self.config.minutes,
                resumed=self.resumed,
            )
        )

    def _epoch(self) -> None:
        """Trains from the present position to the end of the epoch, or until told to stop."""
        state = self.state
        batches = self.trainable.batches(state.epoch)
        state.epoch_steps = self._steps(batches)
        while state.position < state.epoch_steps and state.stopped is None:
            self._step(batches)
            self._after_step()
        if state.stopped is None:
            state.epoch += 1
            state.position = 0

    def _steps(self, batches: Batches[Any]) -> int:
        if len(batches) == 0:
            raise TrainingError(
                "there is no batch to train on.", hint="Is the training part empty?"
            )
        return math.ceil(len(batches) / (self.config.accumulate * self.engine.world))

    def _finish(self) -> History:
        state = self.state
        state.finished = True
        state.elapsed = self.clock.elapsed()
        if not self.best_weights:
            self.emit(Note("no validation gave a finite value: the last weights are kept."))
        self.emit(
            Finished(
                epoch=state.epoch,
                step=state.step,
                seconds=state.elapsed,
                stopped=state.stopped or "epochs",
                best=state.best,
                best_epoch=state.best_epoch,
                best_step=state.best_step,
            )
        )
        self.keeper.save(self)
        self._put_final_weights()
        return self.history()

    def _put_final_weights(self) -> None:
        final = self.best_weights or (self.average.values if self.average.ready else {})
        if final:
            put_weights(self.engine.model, final)
        self.engine.model.eval()

    def history(self, *, trained: bool = True) -> History:
        """The run so far, as the caller gets it."""
        state = self.state
        return History(
            monitor=self.trainable.monitor,
            mode=self.trainable.mode,
            best=state.best,
            best_epoch=state.best_epoch,
            best_step=state.best_step,
            best_metrics=state.best_metrics,
            stopped=state.stopped or "epochs",
            steps=state.step,
            epochs=state.epoch,
            seconds=state.elapsed,
            device=str(self.engine.fabric.device),
            resumed=self.resumed,
            trained=trained,
            validations=list(state.validations),
        )

    # -- one step --------------------------------------------------------------------------------

    def _step(self, batches: Batches[Any]) -> None:
        state, engine = self.state, self.engine
        began = time.monotonic()
        indices = self._indices(len(batches))
        chosen = [batches[index] for index in indices]
        before = random_state.capture()
        told = engine.gather(chosen, self._to_tell())
        norm = math.nan if told.bad else engine.clip()
        self._check(norm, told, chosen, indices, before)
        state.elapsed = told.elapsed
        self.pace.agree(told.step_seconds, told.saving_seconds)
        state.progress = self.pace.progress(state)
        rate = set_rate(engine.optimiser, factor(self.config, state.progress, state.plateau))
        engine.apply()
        state.step += 1
        state.position += 1
        state.unvalidated += 1
        self.average.update(state.progress)
        state.loss_sum += told.loss_sum
        state.loss_weight += told.weight
        self.keeper.wanted = told.saving > 0
        self.interrupts.requested = self.interrupts.requested or told.interrupted > 0
        self.pace.stepped(time.monotonic() - began)
        self._show(told, rate, norm)

    def _to_tell(self) -> Gathered:
        """What this process brings to the step; times come from the first one only."""
        told = Gathered(interrupted=float(self.interrupts.requested))
        if self.engine.rank == 0:
            told.elapsed = self.clock.elapsed()
            told.step_seconds = self.pace.measured_step
            told.saving_seconds = self.keeper.longest
            told.saving = float(self.keeper.due())
        return told

    def _indices(self, count: int) -> list[int]:
        """The batches of this step that fall to this process."""
        width = self.config.accumulate * self.engine.world
        first = self.state.position * width + self.engine.rank
        return list(range(first, min(first + width - self.engine.rank, count), self.engine.world))

    def _check(
        self, norm: float, told: Gathered, chosen: list[Any], indices: list[int], before: Any
    ) -> None:
        """Stops the run with an explanation when the loss or the gradient is not finite."""
        if math.isfinite(norm):
            self.state.skipped = 0
            return
        if self.engine.scaled and not told.bad:
            # Half precision finds its loss scale by overflowing now and then; the scaler skips it.
            self.state.skipped += 1
            if self.state.skipped <= OVERFLOWS:
                return
        if told.bad and not told.bad_here:
            raise guard.ElsewhereError("another process found a loss that is not finite.")
        random_state.restore(before)
        guard.explain(self.engine, self.state, chosen, indices, self.keeper.directory)

    def _show(self, told: Gathered, rate: float, norm: float) -> None:
        """Emits a Step event, at most every `EVENT_SECONDS` and at the end of an epoch."""
        state = self.state
        last, loss_sum, weight = self._shown
        loss_sum, weight = loss_sum + told.loss_sum, weight + told.weight
        now = time.monotonic()
        if now - last < EVENT_SECONDS and state.position < state.epoch_steps:
            self._shown = (last, loss_sum, weight)
            return
        self._shown = (now, 0.0, 0.0)
        self.emit(
            Step(
                epoch=state.epoch,
                epochs=self.config.epochs,
                step=state.step,
                steps=max(self.config.epochs * state.epoch_steps, state.step),
                loss=loss_sum / weight if weight else math.nan,
                lr=rate,
                seconds=state.elapsed,
                eta=self.pace.eta(state),
                progress=state.progress,
                gradient=norm,
            )
        )

    # -- between steps ---------------------------------------------------------------------------

    def _after_step(self) -> None:
        state = self.state
        if state.position >= state.epoch_steps and state.epoch >= self.config.epochs:
            state.stopped = "epochs"
        elif self.pace.out_of_time(state):
            state.stopped = "minutes"
        state.validation_due = state.stopped is not None or self.pace.validation_due(state)
        if self.interrupts.requested:
            self.keeper.interrupted(self)
        if state.validation_due:
            self._validate()
        if self.keeper.wanted and state.stopped is None:
            self.keeper.save(self)

    def _validate(self) -> None:
        """Measures, keeps the weights if they are the best, and asks schedule and patience."""
        state = self.state
        began = time.monotonic()
        tenth = 10 if state.stopped else int(10 * state.progress)
        metrics, made = self._measured(sampling=tenth > state.sampled)
        state.sampled = max(state.sampled, tenth)
        value = metrics[self.trainable.monitor]
        improved = self._better(value)
        state.waited = 0 if improved else state.waited + 1
        if improved:
            state.best, state.best_metrics = value, metrics
            state.best_epoch, state.best_step = state.epoch, state.step
            chosen = self.average.values if self.average.ready else weights_of(self.engine.model)
            self.best_weights = copied(chosen)
            self.keeper.save_best(self)
        if self.config.schedule == "plateau" and state.plateau.validated(improved, self.config):
            self.emit(Note(f"no improvement: learning rate times {state.plateau.factor:g}."))
        if self.config.patience is not None and state.waited >= self.config.patience:
            state.stopped = state.stopped or "patience"
        self._record(metrics, improved, began)
        if made is not None:
            self.emit(Sample(state.epoch, state.step, made))

    def _record(self, metrics: dict[str, float], improved: bool, began: float) -> None:
        state = self.state
        loss = state.loss_sum / state.loss_weight if state.loss_weight else math.nan
        took = time.monotonic() - began
        elapsed = self.clock.elapsed()
        if self.engine.world > 1:
            took, elapsed = self.engine.fabric.broadcast((took, elapsed))
        state.elapsed = state.validated_at = elapsed
        state.validation_seconds = max(took, 0.5 * state.validation_seconds)
        state.loss_sum = state.loss_weight = 0.0
        state.unvalidated = 0
        state.validation_due = False
        state.validations.append(
            Validation(state.epoch, state.step, elapsed, loss, metrics, improved)
        )
        self.emit(Validated(state.epoch, state.step, metrics, improved, loss, elapsed, took))

    def _measured(self, *, sampling: bool) -> tuple[dict[str, float], str | None]:
        """The task's metrics, and a sample, from the first process with averaged weights."""
        metrics: dict[str, float] | None = None
        made: str | None = None
        if self.engine.rank == 0:
            before = random_state.capture()
            try:
                self.interrupts.impatient = True
                with self.average.in_place(), self.engine.evaluating():
                    metrics = {
                        name: float(number) for name, number in self.trainable.validate().items()
                    }
                    made = sample(self.trainable) if sampling else None
            except KeyboardInterrupt:
                self.interrupts.requested = True
            finally:
                self.interrupts.impatient = False
                random_state.restore(before)
        if self.engine.world > 1:
            metrics = self.engine.fabric.broadcast(metrics)
        if metrics is None:
            self.interrupts.requested = True
            self.keeper.interrupted(self)
            raise AssertionError("interrupted() raises")
        if self.trainable.monitor not in metrics:
            raise TrainingError(
                f'validation gave no "{self.trainable.monitor}".',
                hint=did_you_mean(self.trainable.monitor, metrics),
            )
        return metrics, made

    def _better(self, value: float) -> bool:
        if not math.isfinite(value):
            self.emit(Note(f"{self.trainable.monitor} is {value} after step {self.state.step}."))
            return False
        best = self.state.best
        if best is None:
            return True
        return value > best if self.trainable.mode == "max" else value < best
