"""Drawing the next token: temperature, top-k, nucleus, min-p, a penalty on repetition."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError

Scores = NDArray[np.float64]
"""A number for each token, `(V,)`. One vector at a time is the work of numpy: a call of torch's
costs several times as much before it begins."""


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
        window: how many tokens back "lately" reaches; 0: none are penalised.

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


def log_softmax(scores: Scores) -> Scores:
    """Log-probabilities of unnormalised scores; at least one of them must be finite."""
    shifted = scores - scores.max()
    return shifted - math.log(np.exp(shifted).sum())


def filtered(scores: Scores, sampling: Sampling, recent: Iterable[int] = ()) -> Scores:
    """Log-probabilities `(V,)` of what may be drawn; -inf for everything else.

    The order is: penalty, temperature, top-k, top-p, min-p, each on what the one before left.

    Args:
        scores: `(V,)` unnormalised, -inf for tokens that may not be taken.
        sampling: the settings.
        recent: tokens that count as repeated.
    """
    logs = penalised(scores, sampling.repetition_penalty, recent)
    if sampling.temperature == 0:
        best = np.full_like(logs, -math.inf)
        best[logs.argmax()] = 0.0
        return best
    logs = log_softmax(logs / sampling.temperature)
    kept = logs
    if 0 < sampling.top_k < len(kept):
        least = np.partition(kept, -sampling.top_k)[-sampling.top_k]
        kept = np.where(kept < least, -math.inf, kept)
    if sampling.top_p < 1:
        order = np.argsort(-kept, kind="stable")
        values = np.exp(log_softmax(kept)[order])
        before = values.cumsum() - values  # the best one always stays
        kept = kept.copy()
        kept[order[before >= sampling.top_p]] = -math.inf
    if sampling.min_p > 0:
        kept = np.where(kept < kept.max() + math.log(sampling.min_p), -math.inf, kept)
    return kept if kept is logs else log_softmax(kept)


def penalised(scores: Scores, penalty: float, recent: Iterable[int]) -> Scores:
    """The scores with the penalty on tokens that have come lately; see `Sampling`."""
    seen = list(recent) if penalty != 1 else []
    if not seen:
        return scores
    scores = scores.copy()
    values = scores[seen]
    scores[seen] = np.where(values > 0, values / penalty, values * penalty)
    return scores


def choose(logs: Scores, random: np.random.Generator) -> int:
    """A token drawn from log-probabilities `(V,)`, the same for the same state of `random`."""
    total = np.exp(logs).cumsum()
    place = int(total.searchsorted(random.random() * total[-1], side="right"))
    if place >= len(logs) or logs[place] == -math.inf:
        place = int(logs.argmax())
    return place
