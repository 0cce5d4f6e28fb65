"""The deep block: recurrence and feed-forward, each behind a norm and beside a residual path.

Every recurrent model that trains more than four layers has residual paths, norms and a
feed-forward part (De et al. 2024, "Griffin"; Orvieto et al. 2023; Beck et al. 2024):

    x = x + Drop(W_o * Cell(Conv(RMSNorm(x))))
    x = x + Drop(W_2 (SiLU(W_1 u) * (W_3 u))),   u = RMSNorm(x)

Cells whose state is not multiplied by a matrix (minGRU, RG-LRU, ...) work at 1.5 times the width
and are gated by GELU(W_g RMSNorm(x)), as in Griffin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.cells import Cell
from elman.compiler import analyse
from elman.compiler.ir import dimensions
from elman.errors import ShapeError
from elman.nn.dropout import SharedDropout
from elman.nn.norm import Norm
from elman.nn.pooling import real_steps
from elman.nn.recurrent import Recurrent
from elman.nn.sequences import Lengths, open_batch, read_lengths
from elman.nn.streams import check_one_input
from elman.nn.traced_batch import TracedBatch

State = Any


class CausalConvolution(nn.Module):
    """A convolution over the last `width` steps, one filter a feature; its state is a value.

    `(time, batch, size)` -> the same; the state is the last `width - 1` inputs of each row,
    `(width - 1, batch, size)`.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.width = width
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(width, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(
        self, x: Tensor, state: Tensor | None, lengths: Tensor, resets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`x`: `(time, batch, size)`, zero in the padding -> the result and the next state.

        Nothing is seen across a reset (`resets`: `(time, batch)`, True where a row starts anew).
        """
        time, keep = x.shape[0], self.width - 1
        before = x.new_zeros(keep, *x.shape[1:]) if state is None else state
        whole = torch.cat([before, x])
        piece = _pieces(resets, keep) if resets is not None else None
        y = self.bias.expand_as(x)
        for k in range(self.width):  # k = width - 1 is the present step
            seen = whole[k : k + time]
            if piece is not None:
                seen = seen * (piece[k : k + time] == piece[keep:])[..., None].to(x.dtype)
            y = y + seen * self.weight[k]
        index = lengths[None, :] + torch.arange(keep, device=x.device)[:, None]
        after = whole.gather(0, index[..., None].expand(-1, -1, x.shape[2]))
        if piece is not None:
            last = piece.gather(0, (lengths + keep - 1)[None, :])
            after = after * (piece.gather(0, index) == last)[..., None].to(x.dtype)
        return y, after


def _pieces(resets: Tensor, keep: int) -> Tensor:
    """The number of resets up to each step, `(keep + time, batch)`; 0 before the first step."""
    before = torch.zeros(keep, resets.shape[1], dtype=torch.long, device=resets.device)
    return torch.cat([before, resets.long().cumsum(0)])


class DeepBlock(nn.Module):
    """One block: a recurrent part and a feed-forward part at constant width.

    Args:
        cell: the recurrence.
        size: the width d of the residual path.
        bidirectional: a second cell reads the same normalised input backwards; both are
            concatenated into W_o, so that the width stays.
        convolution: width of a causal convolution before the cell; 0 for none (a default of 4
            serves cells whose gates see the input only).
        expansion: the feed-forward part's inner width over `size`.
        dropout: masks shared over time, on both branches.
        depth: how many blocks the stack has: W_o and W_2 start with the deviation
            0.02 / sqrt(2 depth).
        options: of the recurrence, as `Recurrent`: `recurrent_dropout`, `weight_drop`, `zoneout`,
            `init`, `hyperparameters`, `backend`, ...

    Raises:
        ConfigError: a cell that reads more than its input.
    """

    def __init__(
        self,
        cell: Cell,
        size: int,
        *,
        bidirectional: bool = False,
        convolution: int = 0,
        expansion: float = 2.0,
        dropout: float = 0.1,
        depth: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        step = cell.step(**dict(options.get("hyperparameters") or {}))
        check_one_input(step, "a deep block")
        gated = analyse(step).kind != "matmul"
        width = -(-3 * size // 2) if gated else size
        inner = -(-int(expansion * size) // 8) * 8
        self.norm = Norm(size)
        self.enter = nn.Linear(size, width, bias=False) if gated else None
        given = step.resolve(input_size=width, hidden_size=width)
        output = (*dimensions(step.output.shape, given), 1)[0]
        self.gate = nn.Linear(size, output, bias=False) if gated else None
        self.convolution = CausalConvolution(width, convolution) if convolution > 1 else None
        self.recurrent = Recurrent(cell, width, width, bidirectional=bidirectional, **options)
        self.bidirectional = bidirectional
        self.leave = nn.Linear(self.recurrent.output_size, size, bias=False)
        self.feed_norm = Norm(size)
        self.feed_in = nn.Linear(size, 2 * inner, bias=False)
        self.feed_out = nn.Linear(inner, size, bias=False)
        self.drop = SharedDropout(dropout)
        for matrix in (self.leave, self.feed_out):
            nn.init.normal_(matrix.weight, std=0.02 / math.sqrt(2 * depth))

    def forward(
        self, x: Tensor, state: State = None, *, lengths: Tensor, resets: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`x`: `(time, batch, size)`, finite in the padding -> the same shape and the state."""
        recurrent_state, window = (None, None) if state is None else state
        u = self.norm(x)
        v = self.enter(u) if self.enter is not None else u
        if self.convolution is not None:
            real = real_steps(lengths, x.shape[0])[..., None]
            v, window = self.convolution(v * real.to(v.dtype), window, lengths, resets)
        y, recurrent_state = self.recurrent(v, recurrent_state, lengths=lengths, resets=resets)
        if self.gate is not None:
            g = functional.gelu(self.gate(u))
            y = y * (torch.cat([g, g], dim=-1) if self.bidirectional else g)
        x = x + self.drop(self.leave(y))
        left, right = self.feed_in(self.feed_norm(x)).chunk(2, dim=-1)
        x = x + self.drop(self.feed_out(functional.silu(left) * right))
        return x, (recurrent_state, window)


class Deep(nn.Module):
    """A stack of deep blocks with a norm behind it, for depth > 2.

    Args:
        cell: the recurrence of every block.
        input_size: features of the input; mapped to `size` when they differ.
        size: the width of the residual path and of the output.
        depth: the number of blocks.
        batch_first: padded tensors are `(batch, time, features)`.
        others: as `DeepBlock`.

    `y, state = deep(x, state, lengths=n)`: `x` is `(time, batch, input_size)`, `y` is
    `(time, batch, size)`, zero in the padding; the state is a value, one entry a block. A batch
    may have any form that `Recurrent` takes.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        size: int,
        *,
        depth: int = 3,
        bidirectional: bool = False,
        batch_first: bool = False,
        convolution: int = 0,
        expansion: float = 2.0,
        dropout: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__()
        self.bidirectional, self.batch_first = bidirectional, batch_first
        self.input_size = input_size
        self.size = self.output_size = size
        self.enter = nn.Linear(input_size, size) if input_size != size else nn.Identity()
        self.blocks = nn.ModuleList(
            DeepBlock(
                cell,
                size,
                bidirectional=bidirectional,
                convolution=convolution,
                expansion=expansion,
                dropout=dropout,
                depth=depth,
                **options,
            )
            for _ in range(depth)
        )
        self.norm = Norm(size)

    def forward(
        self,
        x: Any,
        state: State = None,
        *,
        lengths: Lengths | None = None,
        mask: Tensor | None = None,
        resets: Any = None,
    ) -> tuple[Any, State]:
        """Runs the blocks over a batch; the arguments are those of `Recurrent`.

        Returns:
            The output in the form of x, zero in the padding, and the state: one entry a block.

        Raises:
            ShapeError: a shape or a length that cannot be used.
        """
        form: Any = {"batch_first": self.batch_first, "lengths": lengths, "mask": mask}
        if torch.compiler.is_compiling():
            traced = TracedBatch(x, self.input_size, **form)
            marks = None if resets is None else traced.pack(resets, "resets", features=False)
            begin = _with_rows(state, traced.unbatched)
            y, state = self._run(traced.data, begin, traced.lengths, marks)
            return traced.restore(y), _without_rows(state, traced.unbatched)
        if self._is_plain(x, mask) and isinstance(lengths, Tensor | None):
            if lengths is not None:
                read_lengths(lengths, *x.shape[:2])
            return self._run(x, state, lengths, resets)
        batch = open_batch(x, features=self.input_size, **form)
        layout, time = batch.layout, max(batch.layout.steps, 1)
        marks = None
        if resets is not None:
            marks = layout.unpack(batch.pack_marks(resets, "resets"), time)
        counts = layout.unsort(torch.tensor(layout.lengths, device=layout.device))
        begin = _with_rows(state, batch.unbatched)
        y, state = self._run(layout.unpack(batch.data, time), begin, counts, marks)
        return batch.restore(layout.pack(y)), _without_rows(state, batch.unbatched)

    def step(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """One step: `(B, F)` or `(F,)` and a state -> the output `(B, size)` and the next state.

        Stepping through a sequence gives what one call gives; the state holds what the short
        convolution still needs. In training masks are drawn anew in each step.

        Raises:
            ShapeError: wrong shapes, or blocks that also run backwards in time.
        """
        if self.bidirectional:
            raise ShapeError("a bidirectional layer has no single step: it needs what is to come.")
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"got a step of shape {tuple(x.shape)}, wanted (batch, {self.input_size})."
            )
        alone = x.dim() == 1
        data = x[None, None] if alone else x[None]
        y, state = self._run(data, _with_rows(state, alone), None, None)
        return (y[0, 0] if alone else y[0]), _without_rows(state, alone)

    def _is_plain(self, x: Any, mask: Tensor | None) -> bool:
        """Whether a batch has the form already in which the blocks are run."""
        if not isinstance(x, Tensor) or x.is_nested or self.batch_first or mask is not None:
            return False
        return x.dim() == 3

    def _run(
        self, x: Tensor, state: State, lengths: Tensor | None, resets: Tensor | None
    ) -> tuple[Tensor, State]:
        """`(T, B, F)` with the real steps of each row first -> `(T, B, size)`."""
        if x.shape[2] != self.input_size:
            raise ShapeError(
                f"got an input of shape {tuple(x.shape)}, wanted (time, batch, {self.input_size})."
            )
        if lengths is None:
            lengths = torch.full((x.shape[1],), x.shape[0], device=x.device)
        lengths = lengths.to(x.device)
        real = real_steps(lengths, x.shape[0])[..., None]
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        x = self.enter(torch.where(real, x, zero))
        new: list[State] = []
        for k, block in enumerate(self.blocks):
            x, after = block(x, None if state is None else state[k], lengths=lengths, resets=resets)
            new.append(after)
        return self.norm(x) * real.to(x.dtype), tuple(new)


def _mapped(state: State, function: Callable[[Tensor], Tensor]) -> State:
    """The same state with every tensor changed: what is no tensor is None or a tuple of states."""
    if isinstance(state, tuple | list):
        return tuple(_mapped(part, function) for part in state)
    return None if state is None else function(state)


def _with_rows(state: State, alone: bool) -> State:
    """The state of one sequence `(..., S)` as that of a batch of one row, `(..., 1, S)`."""
    return _mapped(state, lambda value: value[:, None]) if alone else state


def _without_rows(state: State, alone: bool) -> State:
    return _mapped(state, lambda value: value[:, 0]) if alone else state
