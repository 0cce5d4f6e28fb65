"""Where the real steps of a ragged batch lie: the packed layout.

Rows are sorted by length, longest first (stable), and step t holds the `rows[t]` rows that are
still running, so that a run of steps with the same rows is one contiguous `(steps, rows, features)`
view. Steps beyond a row's length do not exist in it and cannot leak. A uniform batch is its plain
case: packing it is a reshape.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from elman.errors import ShapeError


class _Gather(torch.autograd.Function):
    """`data[index]` for an index without repeats; its derivative is `_Scatter`."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, index: Tensor) -> Tensor:
        ctx.size = data.shape[0]
        ctx.save_for_backward(index)
        return data.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return scatter(grads[0], index, ctx.size), None


class _Scatter(torch.autograd.Function):
    """Zeros with `data` written at an index without repeats; its derivative is `_Gather`."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, index: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(index)
        return data.new_zeros(size, *data.shape[1:]).index_put_((index,), data)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        return gather(grads[0], index), None, None


class _ScatterBeside(torch.autograd.Function):
    """`_Scatter` into the first columns of a tensor whose last columns are `beside`."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, index: Tensor, beside: Tensor) -> Tensor:
        ctx.features = data.shape[1]
        ctx.save_for_backward(index)
        wide = data.new_zeros(beside.shape[0], ctx.features + beside.shape[1])
        wide[:, : ctx.features][index] = data
        wide[:, ctx.features :] = beside
        return wide

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        return gather(grads[0][:, : ctx.features], index), None, None


def _transformed() -> bool:
    """Whether a transform of torch.func is at work; it wants plain operators."""
    return torch._C._are_functorch_transforms_active()


def gather(data: Tensor, index: Tensor) -> Tensor:
    """`data[index]` along dimension 0; `index` has no repeats. Differentiable any number of times.

    torch's own derivative of `index_select` adds row by row; this one writes all rows at once.
    """
    if _transformed():
        return data.index_select(0, index)
    return _Gather.apply(data, index)


def scatter(data: Tensor, index: Tensor, size: int) -> Tensor:
    """Zeros of `size` rows with `data[i]` in row `index[i]`; `index` has no repeats."""
    if _transformed():
        return data.new_zeros(size, *data.shape[1:]).index_put((index,), data)
    return _Scatter.apply(data, index, size)


def scatter_beside(data: Tensor, index: Tensor, beside: Tensor) -> Tensor:
    """`(N, F)` written at `index` into `(size, F + K)`; `beside`, `(size, K)`, is a constant."""
    if _transformed():
        return torch.cat([scatter(data, index, beside.shape[0]), beside], dim=1)
    return _ScatterBeside.apply(data, index, beside)


class Layout:
    """The packed layout of a batch of `batch` rows with the given lengths.

    Attributes:
        lengths: the real steps of each row, sorted, longest first.
        order: `order[k]` is the row of the batch that stands at sorted place k; None when the
            rows stand in that order already.
        inverse: the sorted place of each row; None when `order` is None.
        rows: `rows[t]` is the number of rows with a step t.
        offsets: where step t begins in the packed data; `offsets[-1] == total`.
        total: the number of real steps N.
        batch, steps: the number of rows, the longest length.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        device: torch.device | None = None,
        order: Tensor | None = None,
        inverse: Tensor | None = None,
    ) -> None:
        """`lengths` in the order of the batch, or sorted already with the `order` that did it."""
        given = [int(n) for n in lengths]
        if any(n < 0 for n in given):
            raise ShapeError(f"got a negative length ({min(given)}), wanted lengths >= 0.")
        self.device = device or torch.device("cpu")
        self.order, self.inverse = order, inverse
        if order is None and any(a < b for a, b in pairwise(given)):
            places = sorted(range(len(given)), key=lambda k: -given[k])
            given = [given[k] for k in places]
            self.order = torch.tensor(places, device=self.device)
        if self.order is not None and self.inverse is None:
            self.inverse = torch.empty_like(self.order)
            self.inverse[self.order] = torch.arange(len(given), device=self.order.device)
        self.lengths = given
        self.batch = len(given)
        self.steps = given[0] if given else 0

    @classmethod
    def uniform(cls, steps: int, batch: int, device: torch.device | None = None) -> Layout:
        """Every row has `steps` steps."""
        return cls([steps] * batch, device=device)

    @property
    def is_uniform(self) -> bool:
        """Whether all rows have the same length."""
        return self.batch == 0 or self.lengths[-1] == self.steps

    @cached_property
    def rows(self) -> list[int]:
        """The number of running rows at each step."""
        if self.is_uniform:
            return [self.batch] * self.steps
        rows, running = [], self.batch
        for t in range(self.steps):
            while self.lengths[running - 1] <= t:
                running -= 1
            rows.append(running)
        return rows

    @cached_property
    def offsets(self) -> list[int]:
        """Where each step begins, and the end."""
        return [0, *accumulate(self.rows)]

    @cached_property
    def tables(self) -> tuple[array[int], array[int]]:
        """`offsets` and `rows` as machine code reads them, in 64 bits; at least one of each."""
        return array("q", self.offsets), array("q", self.rows or [0])

    @cached_property
    def total(self) -> int:
        """The number of real steps in the batch."""
        return sum(self.lengths)

    @cached_property
    def runs(self) -> list[tuple[int, int, int]]:
        """Maximal `(start, stop, rows)` of steps with the same running rows."""
        runs: list[tuple[int, int, int]] = []
        start = 0
        for k in range(self.batch - 1, -1, -1):
            stop = self.lengths[k]
            if stop > start:
                runs.append((start, stop, k + 1))
                start = stop
        return runs

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """For each packed element its step and its sorted row, both `(N,)`."""
        if self.is_uniform:
            step = torch.arange(self.steps, device=self.device).repeat_interleave(self.batch)
            return step, torch.arange(self.batch, device=self.device).repeat(self.steps)
        lengths = torch.tensor(self.lengths, device=self.device)
        real = torch.arange(self.steps, device=self.device)[:, None] < lengths[None, :]
        step, row = real.nonzero(as_tuple=True)
        return step, row

    @property
    def step_of(self) -> Tensor:
        """The step of each packed element, `(N,)`."""
        return self._places[0]

    @property
    def row_of(self) -> Tensor:
        """The sorted row of each packed element, `(N,)`."""
        return self._places[1]

    @cached_property
    def original_row_of(self) -> Tensor:
        """The row in the batch's own order of each packed element, `(N,)`."""
        return self.row_of if self.order is None else self.order[self.row_of]

    def sort(self, value: Tensor) -> Tensor:
        """Rows `(B, ...)` of the batch's own order -> sorted."""
        return value if self.order is None else gather(value, self.order)

    def unsort(self, value: Tensor) -> Tensor:
        """Sorted rows `(B, ...)` -> the batch's own order."""
        return value if self.inverse is None else gather(value, self.inverse)

    def pack(self, x: Tensor) -> Tensor:
        """`(T, B, ...)` with T >= the longest length -> packed `(N, ...)`."""
        flat = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
        if self.order is None and self.is_uniform:
            return flat[: self.total] if flat.shape[0] != self.total else flat
        return gather(flat, self.step_of * self.batch + self.original_row_of)

    def unpack(self, data: Tensor, total_length: int | None = None) -> Tensor:
        """Packed `(N, ...)` -> `(total_length, B, ...)`, zero where no real step is."""
        time = self.steps if total_length is None else total_length
        if self.order is None and self.is_uniform and time == self.steps:
            return data.reshape(time, self.batch, *data.shape[1:])
        index = self.step_of * self.batch + self.original_row_of
        return scatter(data, index, time * self.batch).reshape(time, self.batch, *data.shape[1:])

    def __repr__(self) -> str:
        return f"Layout(batch={self.batch}, steps={self.steps}, total={self.total})"
