"""Drawing the next token: temperature, top-k, nucleus, min-p, a penalty on repetition."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; the defaults draw from the model's own distribution.

    Attributes:
        temperature: divides the scores; 0 takes the best token.
        top_k: only the k best (Fan et al. 2018); 0: all.
        top_p: only the best that together have this probability (Holtzman et al. 2020).
        min_p: only those with at least this share of the best one's probability (Nguyen et al.
            2024).
        repetition_penalty: divides the scores of tokens seen lately, multiplies negative ones
            (Keskar et al. 2019); 1: none.
        window: how many tokens back "lately" reaches.

    Raises:
        ConfigError: an impossible value.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    window: int = 256

    def __post_init__(self) -> None:
        checks = {
            "temperature": (self.temperature >= 0, "0 or more"),
            "top_k": (self.top_k >= 0, "0 or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (0 <= self.min_p <= 1, "from 0 to 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0"),
            "window": (self.window >= 0, "0 or more"),
        }
        for name, (good, wanted) in checks.items():
            value = getattr(self, name)
            if not good or not math.isfinite(value):
                raise ConfigError(f"got {value!r}, wanted {wanted}.", where=name)


def filtered(scores: Tensor, sampling: Sampling, recent: Iterable[int] = ()) -> Tensor:
    """Log-probabilities `(V,)` of what may be drawn; -inf for everything else.

    The order is: penalty, temperature, top-k, top-p, min-p, each on what the one before left.

    Args:
        scores: `(V,)` unnormalised, -inf for tokens that may not be taken.
        sampling: the settings.
        recent: tokens that count as repeated.
    """
    scores = scores.double()
    seen = list(recent)
    if sampling.repetition_penalty != 1 and seen:
        index = torch.tensor(sorted(set(seen)))
        values = scores[index]
        scaled = torch.where(
            values > 0, values / sampling.repetition_penalty, values * sampling.repetition_penalty
        )
        scores = scores.index_put((index,), scaled)
    if sampling.temperature == 0:
        best = torch.full_like(scores, -math.inf)
        best[scores.argmax()] = 0.0
        return best
    logs = torch.log_softmax(scores / sampling.temperature, dim=0)
    if 0 < sampling.top_k < len(logs):
        least = logs.topk(sampling.top_k).values[-1]
        logs = logs.masked_fill(logs < least, -math.inf)
    if sampling.top_p < 1:
        values, order = logs.softmax(dim=0).sort(descending=True)
        before = values.cumsum(dim=0) - values  # the best one always stays
        logs = logs.index_fill(0, order[before >= sampling.top_p], -math.inf)
    if sampling.min_p > 0:
        logs = logs.masked_fill(logs < logs.max() + math.log(sampling.min_p), -math.inf)
    return torch.log_softmax(logs, dim=0)


def choose(logs: Tensor, random: torch.Generator) -> int:
    """A token drawn from log-probabilities `(V,)`, the same for the same state of `random`."""
    # The sum is inverted on purpose: multinomial's draws differ between versions and devices.
    total = logs.exp().cumsum(dim=0)
    point = torch.rand((), generator=random, dtype=torch.float64) * total[-1]
    place = int(torch.searchsorted(total, point, right=True))
    if place >= len(logs) or logs[place] == -math.inf:
        place = int(logs.argmax())
    return place
