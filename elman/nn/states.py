"""States as values: torch's form outside, one tuple of sorted rows a layer and direction inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.errors import ShapeError
from elman.kernels.carry import States
from elman.kernels.layout import Layout
from elman.nn.options import check_like
from elman.nn.sequences import OpenBatch

State = Any  # one tensor (depth * directions, B, S), or a tuple of them: one a state of the cell


def give_state(finals: Sequence[States], layout: Layout | None, unbatched: bool) -> State:
    """One tuple of sorted `(B, S)` a layer and direction -> the state as a caller sees it."""
    given: list[Tensor] = []
    for k in range(len(finals[0])):
        value = torch.stack([final[k] for final in finals])
        if layout is not None and layout.inverse is not None:
            value = value.index_select(1, layout.inverse)
        given.append(value[:, 0] if unbatched else value)
    return given[0] if len(given) == 1 else tuple(given)


def read_state(
    state: State, sizes: Mapping[str, int], places: int, like: Tensor, batch: OpenBatch
) -> list[States]:
    """The caller's state -> one tuple of sorted `(B, S)` for each of the places.

    Args:
        state: a tensor `(places, B, S)`, or a tuple of them.
        sizes: the size S of each state of the cell by name.
        places: layers times directions.
        like: a parameter, for its dtype and device.
        batch: the batch that it goes with.

    Raises:
        ShapeError: another number of tensors, or shapes, dtypes or devices that do not fit.
    """
    if not isinstance(state, Tensor | tuple | list):
        raise ShapeError(
            f"got {type(state).__name__} as the state, wanted {len(sizes)} tensors "
            f"({', '.join(sizes)}), each of shape (layers * directions, batch, size)."
        )
    values = (state,) if isinstance(state, Tensor) else tuple(state)
    if len(values) != len(sizes):
        raise ShapeError(
            f"got a state of {len(values)} tensors, wanted {len(sizes)} ({', '.join(sizes)})."
        )
    columns: list[tuple[Tensor, ...]] = []
    rows = () if batch.unbatched else (batch.layout.batch,)
    for (name, size), value in zip(sizes.items(), values, strict=True):
        wanted = (places, *rows, size)
        if not isinstance(value, Tensor):
            raise ShapeError(
                f"got {type(value).__name__} as the state {name}, wanted a tensor {wanted}."
            )
        if tuple(value.shape) != wanted:
            raise ShapeError(
                f"got the state {name} of shape {tuple(value.shape)}, wanted {wanted}: "
                "(layers * directions, batch, size)."
            )
        check_like(f"the state {name}", value, like)
        value = value[:, None] if batch.unbatched else value
        if batch.layout.order is not None:
            value = value.index_select(1, batch.layout.order)
        columns.append(value.unbind(0))
    return list(zip(*columns, strict=True))
