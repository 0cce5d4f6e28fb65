"""The states of a ragged batch on their way from run to run.

A run is a stretch of steps with a fixed number of running rows. Forwards, rows leave between runs
with the state they have; backwards, rows join with their initial state. Everything is split and
joined once, so that the backward pass costs one copy, not one a run.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

States = tuple[Tensor, ...]


class Carry:
    """Holds the states of the running rows.

    Args:
        initial: one `(B, S)` a state, rows sorted by length.
        rows: the running rows of each run in the order in which the runs are visited: falling for
            a forward pass, rising for a reverse one.
        reverse: whether the pass runs backwards in time.
    """

    def __init__(self, initial: States, rows: Sequence[int], *, reverse: bool) -> None:
        self._reverse = reverse
        batch = initial[0].shape[0]
        sizes: list[int] = []
        if reverse:
            for n in rows:
                if n > sum(sizes):
                    sizes.append(n - sum(sizes))
        else:
            sizes.append(rows[0] if rows else 0)
        sizes.append(batch - sum(sizes))
        pieces = [state.split(sizes) for state in initial]
        self._waiting: list[States] = [tuple(p[k] for p in pieces) for k in range(len(sizes))]
        self._rest = self._waiting.pop()
        self._left: list[States] = []
        self.states: States = self._waiting.pop(0) if self._waiting else self._rest

    def enter(self, rows: int) -> States:
        """The states of the `rows` rows of the next run."""
        have = self.states[0].shape[0]
        if rows < have:
            pieces = [state.split([rows, have - rows]) for state in self.states]
            self.states = tuple(p[0] for p in pieces)
            self._left.append(tuple(p[1] for p in pieces))
        elif rows > have:
            joining = self._waiting.pop(0)
            pairs = zip(self.states, joining, strict=True)
            self.states = tuple(torch.cat(pair) for pair in pairs)
        return self.states

    def final(self) -> States:
        """The final states `(B, S)` of all rows, sorted; a row that never ran has its initial."""
        parts = [self.states, *reversed(self._left)]
        if self._rest[0].shape[0] and self._rest is not self.states:
            parts.append(self._rest)
        if len(parts) == 1:
            return parts[0]
        return tuple(torch.cat([part[k] for part in parts]) for k in range(len(self.states)))
