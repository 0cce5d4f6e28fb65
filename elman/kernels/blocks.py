"""How a ragged batch becomes few calls of an operator that knows rectangles only.

A block is a stretch of steps run as one rectangle `(steps, rows)`. Exact states need a block at
each distinct length - unless the operator can be made to hold a state still, then neighbouring
lengths may share a block in which the rows that have ended idle.

Rule: the blocks minimise `calls * CALL + sum(steps * (rows + ROW))`, counted in row-steps. CALL is
what one call costs beside its steps; ROW is the fixed part of a step. Measured with torch 2.13's
oneDNN LSTM, one AVX-512 thread, forward and backward, H = 64 to 256, B = 16 to 64, T = 64 to 300: a
call alone costs 40 to 60 row-steps (weights are laid out anew in each), and with what stands around
it CALL = 200 was fastest or within the noise of it among 10, 30, 60, 100, 200, 400 at every shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from elman.kernels.layout import Layout

CALL = 200.0
ROW = 4.0
_MOST = 64  # distinct lengths that the search considers; beyond, neighbours are taken together


@dataclass(frozen=True)
class Block:
    """Steps `start` to `stop` of the first `rows` sorted rows."""

    start: int
    stop: int
    rows: int

    @property
    def size(self) -> int:
        """Row-steps, idle ones included."""
        return (self.stop - self.start) * self.rows


def exact_blocks(layout: Layout, cuts: set[int] | None = None) -> list[Block]:
    """A block at each distinct length and at each step of `cuts`."""
    blocks: list[Block] = []
    for start, stop, rows in layout.runs:
        inner = sorted(t for t in (cuts or ()) if start < t < stop)
        edges = [start, *inner, stop]
        blocks += [Block(a, b, rows) for a, b in pairwise(edges)]
    return blocks


def merged_blocks(layout: Layout) -> list[Block]:
    """The cheapest blocks when ended rows may idle."""
    runs = layout.runs
    if len(runs) > _MOST:
        every = -(-len(runs) // _MOST)
        groups = [runs[k : k + every] for k in range(0, len(runs), every)]
        runs = [(group[0][0], group[-1][1], group[0][2]) for group in groups]
    count = len(runs)
    best = [0.0] * (count + 1)  # best[k]: the cheapest way to run from run k to the end
    choice = [0] * count
    for k in range(count - 1, -1, -1):
        start, _, rows = runs[k]
        best[k] = float("inf")
        for j in range(k, count):
            cost = CALL + (runs[j][1] - start) * (rows + ROW)
            if cost >= best[k]:
                break  # longer blocks from the same start only cost more
            if cost + best[j + 1] < best[k]:
                best[k], choice[k] = cost + best[j + 1], j
    blocks: list[Block] = []
    k = 0
    while k < count:
        j = choice[k]
        blocks.append(Block(runs[k][0], runs[j][1], runs[k][2]))
        k = j + 1
    return blocks


class Placement:
    """Where the packed steps stand in the blocks laid end to end.

    Attributes:
        blocks: forwards in time.
        size: the number of row-steps in all blocks.
        index: the place of each packed element, `(N,)`; None when nobody idles.
    """

    def __init__(self, layout: Layout, blocks: list[Block]) -> None:
        self.layout, self.blocks = layout, blocks
        self.size = sum(block.size for block in blocks)
        self.index: Tensor | None = None
        if self.size != layout.total:
            first, base = [0] * layout.steps, 0
            width = [0] * layout.steps
            for block in blocks:
                for t in range(block.start, block.stop):
                    first[t] = base + (t - block.start) * block.rows
                    width[t] = block.rows
                base += block.size
            begins = torch.tensor(first, device=layout.device)
            self.index = begins[layout.step_of] + layout.row_of

    @cached_property
    def idle(self) -> Tensor:
        """True at the places where an ended row idles, `(size,)`."""
        idle = torch.ones(self.size, dtype=torch.bool, device=self.layout.device)
        if self.index is None:
            idle.zero_()
        else:
            idle[self.index] = False
        return idle

    def last(self, block: Block) -> Tensor:
        """Where in its block each row has its last step, `(rows,)`."""
        lengths = torch.tensor(self.layout.lengths[: block.rows], device=self.layout.device)
        steps = lengths.clamp(max=block.stop) - 1 - block.start
        return steps * block.rows + torch.arange(block.rows, device=self.layout.device)
