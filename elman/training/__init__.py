"""The training room: one loop, on Lightning Fabric, that every task uses.

A task gives a `Trainable` (its model, batches, loss and validation) and a `TrainingConfig`;
`fit` does the rest: schedules, clipping, averaging, checkpoints, exact resume, several processes,
and a guard that explains a loss that is not finite. Names are imported when first used, so that
`import elman.training` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elman.training.config import TrainingConfig as TrainingConfig
    from elman.training.events import Event as Event
    from elman.training.events import Finished as Finished
    from elman.training.events import Note as Note
    from elman.training.events import Sample as Sample
    from elman.training.events import Started as Started
    from elman.training.events import Step as Step
    from elman.training.events import Validated as Validated
    from elman.training.events import notes_to as notes_to
    from elman.training.events import read_events as read_events
    from elman.training.history import History as History
    from elman.training.history import Validation as Validation
    from elman.training.interrupts import Interrupted as Interrupted
    from elman.training.optimisers import parameter_groups as parameter_groups
    from elman.training.run import fit as fit
    from elman.training.tensorboard import check_extras as check_extras
    from elman.training.trainable import Batches as Batches
    from elman.training.trainable import ParameterGroup as ParameterGroup
    from elman.training.trainable import Trainable as Trainable

_HOMES = {
    "TrainingConfig": "config",
    "Event": "events",
    "Finished": "events",
    "Note": "events",
    "Sample": "events",
    "Started": "events",
    "Step": "events",
    "Validated": "events",
    "notes_to": "events",
    "read_events": "events",
    "History": "history",
    "Validation": "history",
    "Interrupted": "interrupts",
    "parameter_groups": "optimisers",
    "fit": "run",
    "check_extras": "tensorboard",
    "Batches": "trainable",
    "ParameterGroup": "trainable",
    "Trainable": "trainable",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
