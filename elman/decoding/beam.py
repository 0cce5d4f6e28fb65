"""Beam search: the most probable sequences, several at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

State = Any
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""`(B,)` tokens and a state of B rows -> log-probabilities `(B, V)` and the next state."""
Select = Callable[[State, Tensor], State]
"""The state with the rows that an index `(B,)` names, in its order."""


@dataclass(frozen=True)
class Hypothesis:
    """A found sequence.

    Attributes:
        tokens: without the end.
        score: the sum of its log-probabilities, the end's included.
        ended: whether it came to an end of its own.
    """

    tokens: tuple[int, ...]
    score: float
    ended: bool

    def normalised(self, penalty: float) -> float:
        """The score over `((5 + length) / 6) ** penalty` (Wu et al. 2016); 0 leaves it alone."""
        length = len(self.tokens) + self.ended
        return self.score / ((5 + length) / 6) ** penalty


def beam_search(
    first: Tensor,
    state: State,
    step: Step,
    select: Select,
    *,
    width: int,
    length: int,
    ends: Collection[int] = (),
    penalty: float = 0.0,
) -> list[Hypothesis]:
    """The best sequences, the best one first.

    Args:
        first: log-probabilities `(V,)` of the first token.
        state: the state after what came before, one row.
        step: gives the next ones.
        select: picks rows of a state.
        width: how many sequences are followed at once.
        length: tokens at most.
        ends: tokens that end a sequence and do not belong to it.
        penalty: of length; above 0 longer sequences are preferred.
    """
    state = select(state, torch.zeros(1, dtype=torch.long))
    alive: list[tuple[int, ...]] = [()]
    scores = torch.zeros(1, dtype=torch.float64)
    logs = first[None].double()
    done: list[Hypothesis] = []
    for number in range(length):
        total = scores[:, None] + logs
        best = total.flatten().topk(min(2 * width, total.numel()))
        kept: list[tuple[int, int, float]] = []
        for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, token = divmod(place, total.shape[1])
            if score == -math.inf:
                continue
            if token in ends:
                done.append(Hypothesis(alive[row], score, True))
            elif len(kept) < width:
                kept.append((row, token, score))
        if not kept or _settled(done, kept, width, penalty, length):
            break
        alive = [(*alive[row], token) for row, token, _ in kept]
        scores = torch.tensor([score for _, _, score in kept], dtype=torch.float64)
        if number == length - 1:
            done += [Hypothesis(t, s, False) for t, s in zip(alive, scores.tolist(), strict=True)]
            break
        state = select(state, torch.tensor([row for row, _, _ in kept]))
        logs, state = step(torch.tensor([token for _, token, _ in kept]), state)
        logs = logs.double()
    return sorted(done, key=lambda found: -found.normalised(penalty))[:width]


def _settled(
    done: list[Hypothesis],
    kept: list[tuple[int, int, float]],
    width: int,
    penalty: float,
    length: int,
) -> bool:
    """Whether nothing that is still open can come among the best."""
    if len(done) < width:
        return False
    worst = sorted(found.normalised(penalty) for found in done)[-width]
    hope = max(score for _, _, score in kept) / ((5 + length) / 6) ** penalty
    return worst >= hope
