"""What happens during training, as values: for progress bars and for `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elman.errors import RunError


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on when `resumed` names the step that it goes on from."""

    epochs: int
    steps: int
    parameters: int
    device: str
    devices: int
    precision: str
    minutes: float | None
    resumed: int | None


@dataclass(frozen=True)
class Step:
    """An optimiser step.

    Attributes:
        epoch: 1, 2, ... of `epochs`.
        step: optimiser steps done, of `steps` planned.
        loss: mean training loss since the event before.
        lr: learning rate of the first parameter group.
        seconds: since the start; `eta`: expected seconds to the end.
        progress: share of the run that is done, in [0, 1].
        gradient: norm of the gradient before clipping.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    lr: float
    seconds: float
    eta: float
    progress: float = 0.0
    gradient: float = 0.0


@dataclass(frozen=True)
class Validated:
    """The model was measured on the validation part; `best` if better than ever before.

    `loss` is the mean training loss since the validation before; `took` the seconds it needed.
    """

    epoch: int
    step: int
    metrics: dict[str, float]
    best: bool
    loss: float
    seconds: float
    took: float


@dataclass(frozen=True)
class Sample:
    """What the model makes at this point of the run; it follows the `Validated` of the step."""

    epoch: int
    step: int
    text: str


@dataclass(frozen=True)
class Finished:
    """Training is over; `stopped` says why: epochs, minutes or patience."""

    epoch: int
    step: int
    seconds: float
    stopped: str
    best: float | None
    best_epoch: int
    best_step: int


@dataclass(frozen=True)
class Note:
    """Something to tell the user, one sentence."""

    message: str


Event = Started | Step | Validated | Sample | Finished | Note


def notes_to(on_event: Callable[[Event], None] | None) -> Callable[[str], None]:
    """A function that tells sentences as notes; to nobody when there is no `on_event`."""
    if on_event is None:
        return lambda _: None
    return lambda message: on_event(Note(message))


_KINDS: dict[str, type[Any]] = {
    "started": Started,
    "step": Step,
    "validated": Validated,
    "sample": Sample,
    "finished": Finished,
    "note": Note,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_line(event: Event, time: float | None = None) -> str:
    """The event as one line of JSON; a number that is not finite becomes null."""
    value: dict[str, Any] = {"event": _NAMES[type(event)], **_finite(asdict(event))}
    if time is not None:
        value["time"] = round(time, 3)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_events(path: str | Path) -> list[dict[str, Any]]:
    """The events in a `metrics.jsonl` as dicts with the keys `event` and `time` and the fields.

    A torn last line (the machine stopped while it was written) is left out.

    Raises:
        RunError: the file is missing, or a line before the last is not JSON.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise RunError(f'cannot read "{path}": {error.strerror}.') from error
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise RunError("not JSON.", where=f"{path}, line {number}") from error
    return found
