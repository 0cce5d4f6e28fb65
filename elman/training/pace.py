"""Time: how far a run is, when to validate, and when to stop so that the budget holds."""

from __future__ import annotations

import math
import time

from elman.training.config import TrainingConfig
from elman.training.state import RunState

LEAST_VALIDATIONS = 3
VALIDATION_SHARE = 4.0
"""With a budget, training lasts at least so many times a validation before the next one."""
UNTIMED = 0.1
"""This share of the budget does not count as progress: the first steps compile and warm up."""


class Clock:
    """Seconds of wall clock, those of the earlier parts of a resumed run included."""

    def __init__(self, started: float | None = None) -> None:
        self._start = time.monotonic() if started is None else started

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def add(self, seconds: float) -> None:
        """Adds the time that earlier parts of the run have had."""
        self._start -= seconds


class Pace:
    """Turns steps and seconds into progress, due validations, the end and an estimate of the rest.

    Attributes:
        measured_step: smoothed duration of a step in this process.
        step_seconds, saving_seconds: duration of a step and the longest time that a checkpoint
            took, as all processes have agreed on them.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._epochs = config.epochs
        self.budget = math.inf if config.minutes is None else 60.0 * config.minutes
        self.measured_step = 0.0
        self.step_seconds = 0.0
        self.saving_seconds = 0.0

    def stepped(self, seconds: float) -> None:
        """Takes note of a step's duration."""
        if self.measured_step:
            seconds = 0.9 * self.measured_step + 0.1 * seconds
        self.measured_step = seconds

    def agree(self, step_seconds: float, saving_seconds: float) -> None:
        """Takes over the first process's measurements, on which decisions rest."""
        self.step_seconds = step_seconds
        self.saving_seconds = saving_seconds

    def reserve(self, state: RunState) -> float:
        """Seconds to keep for the last validation, the last checkpoint and the weights' return."""
        return 1.15 * state.validation_seconds + 1.5 * self.saving_seconds + 0.05

    def progress(self, state: RunState) -> float:
        """The schedule's p in [0, 1]: the larger share, of steps or of time; never falls.

        Time counts once `UNTIMED` of the budget is spent, so that a run that needs clearly less
        than its budget follows its steps alone: the same seed gives the same weights.
        """
        within = state.position / state.epoch_steps if state.epoch_steps else 0.0
        steps = (state.epoch - 1 + within) / self._epochs
        usable = max(self.budget - self.reserve(state), 1e-3)
        timed = (state.elapsed / usable - UNTIMED) / (1.0 - UNTIMED)
        return min(max(steps, timed, state.progress), 1.0)

    def out_of_time(self, state: RunState) -> bool:
        """Whether another step would leave too little for the last validation."""
        return state.elapsed + self.reserve(state) + 1.5 * self.step_seconds >= self.budget

    def validation_due(self, state: RunState) -> bool:
        """Whether to validate after the step just done (the end of the run is not asked here).

        Without a budget: at the end of each epoch, in runs of one or two epochs three or two
        times an epoch. With one: there too, but not so often that validation takes more than
        about a fifth of the time; and also whenever a quarter of the budget has gone by, unless
        a validation takes more than half of that.
        """
        marks = math.ceil(LEAST_VALIDATIONS / self._epochs)
        at_mark = (
            state.position * marks // state.epoch_steps
            > (state.position - 1) * marks // state.epoch_steps
        )
        if math.isinf(self.budget):
            return at_mark
        since = state.elapsed - state.validated_at
        took = state.validation_seconds
        if state.elapsed + 2.5 * took + self.saving_seconds >= self.budget:
            return False
        quarter = self.budget / (LEAST_VALIDATIONS + 1)
        if took < 0.5 * quarter and since >= quarter:
            return True
        return since >= VALIDATION_SHARE * took and (at_mark or since >= quarter)

    def eta(self, state: RunState) -> float:
        """Expected seconds to the end of the run."""
        left = max(self._epochs * state.epoch_steps - state.step, 0)
        done = max(len(state.validations), 1)
        each = state.step / done if state.validations else max(state.epoch_steps, 1)
        by_steps = left * self.step_seconds + math.ceil(left / each) * state.validation_seconds
        return max(min(by_steps, self.budget - state.elapsed), 0.0)
