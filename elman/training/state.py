"""Where a run stands: everything that a checkpoint must hold besides tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from elman.training.history import Validation
from elman.training.schedules import Plateau


@dataclass
class RunState:
    """The loop's own variables, all plain values.

    Attributes:
        epoch: the epoch under way (1, 2, ...); `position`: steps done in it, of `epoch_steps`.
        step: steps done in all; `progress`: what the schedule saw last, in [0, 1].
        elapsed: seconds of wall clock that the run has had.
        stopped: why training is over, or None; `finished`: also the last validation is done.
        validation_due: a validation was begun or is next; resuming starts with it.
        unvalidated: steps since the last validation, which was over at `validated_at` seconds
            and took `validation_seconds`.
        waited: validations since the best one.
        sampled: tenths of the run that had passed at the last sample.
        loss_sum, loss_weight: of the training loss since the last validation.
        skipped: steps in a row that half precision skipped for overflow.
    """

    epoch: int = 1
    position: int = 0
    epoch_steps: int = 0
    step: int = 0
    progress: float = 0.0
    elapsed: float = 0.0
    stopped: str | None = None
    finished: bool = False
    validation_due: bool = False
    unvalidated: int = 0
    validated_at: float = 0.0
    validation_seconds: float = 0.0
    waited: int = 0
    sampled: int = -1
    best: float | None = None
    best_epoch: int = 0
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    loss_sum: float = 0.0
    loss_weight: float = 0.0
    skipped: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    validations: list[Validation] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> RunState:
        """The inverse of `to_json`."""
        plain = dict(value)
        plateau = Plateau(**plain.pop("plateau"))
        validations = [Validation(**item) for item in plain.pop("validations")]
        return RunState(**plain, plateau=plateau, validations=validations)
