"""The inputs of a cell beside its first: which ones a call has to give, and of what size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from elman.compiler.ir import Step, dimensions
from elman.errors import ConfigError, ShapeError


def named_streams(step: Step, streams: Mapping[str, Any] | None) -> dict[str, Any]:
    """The streams of a call in the order of the step's inputs.

    Raises:
        ShapeError: one that the step does not have, or one that is missing.
    """
    given, names = streams or {}, [entry.name for entry in step.inputs[1:]]
    for name in given:
        if name not in names:
            known = ", ".join(names) or "none beside its input"
            raise ShapeError(f'got a stream "{name}"; {step.name} has {known}.')
    for name in names:
        if name not in given:
            raise ShapeError(
                f'{step.name} needs the stream "{name}" and got none.',
                hint=f"Give it in the call: streams={{{name!r}: ...}}.",
            )
    return {name: given[name] for name in names}


def check_one_input(step: Step, giver: str) -> None:
    """Refuses a cell that reads more than its input, for a `giver` that has no more to give.

    Raises:
        ConfigError: it does.
    """
    if len(step.inputs) > 1:
        names = ", ".join(entry.name for entry in step.inputs[1:])
        raise ConfigError(
            f"{step.name} needs {names} beside its input, and {giver} gives a cell one input.",
            where="cell",
            hint="Use another cell, or elman.nn.Recurrent, whose calls take streams=.",
        )


def to_units(value: Tensor, step: Step, name: str, sizes: Mapping[str, int]) -> Tensor:
    """A stream `(..., size)`, or `(..., 1)` for all units -> `(..., size)`.

    Raises:
        ShapeError: it has another number of features.
    """
    (entry,) = (entry for entry in step.inputs if entry.name == name)
    (size,) = dimensions(entry.var.shape, sizes) or (1,)
    if value.shape[-1] not in (1, size):
        raise ShapeError(
            f'got the stream "{name}" with {value.shape[-1]} features, '
            f"wanted {size}, or 1 for all units."
        )
    return value.expand(*value.shape[:-1], size)
