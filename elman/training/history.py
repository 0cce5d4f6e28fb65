"""What a training run leaves behind for its caller: values only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Validation:
    """One validation.

    Attributes:
        epoch: 1, 2, ...; the epoch in which it took place.
        step: optimiser steps done before it.
        seconds: since the start of training, earlier parts of a resumed run included.
        loss: mean training loss since the validation before.
        metrics: what the task measured.
        best: whether it was the best so far.
    """

    epoch: int
    step: int
    seconds: float
    loss: float
    metrics: dict[str, float]
    best: bool


@dataclass(frozen=True)
class History:
    """The course of a run.

    Attributes:
        monitor: the metric that chose the best weights, and `best` its value (None if none).
        best_epoch, best_step: where the best weights come from.
        best_metrics: all metrics of that validation.
        stopped: why it ended: "epochs", "minutes" or "patience".
        steps, epochs: optimiser steps done; epochs begun.
        seconds: wall-clock time of training, validation and averaging included.
        resumed: the step at which this process took over, None if it started afresh.
        trained: False when a finished run was resumed and nothing had to be done.
    """

    monitor: str
    mode: str
    best: float | None
    best_epoch: int
    best_step: int
    best_metrics: dict[str, float]
    stopped: str
    steps: int
    epochs: int
    seconds: float
    device: str
    resumed: int | None = None
    trained: bool = True
    validations: list[Validation] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self)
