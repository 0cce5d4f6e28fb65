"""The network and its floor as one model: scores added with weights found on the validation part.

A linear model of n-grams knows single telling words, a recurrent network knows order and context;
their errors differ, so that the sum of their scores is better than either (stacked generalisation,
Wolpert 1992). Two numbers are fitted on the validation part: the floor's share and a temperature
(Guo et al. 2017), which also calibrates the probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

_SHARES = np.linspace(0.0, 1.0, 41)
_TEMPERATURES = np.exp(np.linspace(np.log(0.1), np.log(10.0), 81))


@dataclass(frozen=True)
class Blend:
    """`((1 - share) * network + share * floor) / temperature`, in log-probabilities or logits.

    Attributes:
        share: of the floor, in [0, 1].
        temperature: above 1 the model was too sure of itself.
        several: whether labels are independent of one another.
    """

    share: float = 0.0
    temperature: float = 1.0
    several: bool = False

    def scores(self, network: Scores, floor: Scores | None) -> Scores:
        """The mixed scores before the temperature, `(rows, classes)`."""
        if floor is None or self.share == 0:
            return network
        return (1 - self.share) * network + self.share * floor

    def probabilities(
        self, network: Scores, floor: Scores | None, *, calibrated: bool = True
    ) -> Scores:
        """`(rows, classes)` probabilities; with `several` one of each label alone."""
        mixed = self.scores(network, floor) / (self.temperature if calibrated else 1.0)
        return _probabilities(mixed, self.several)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"share": self.share, "temperature": self.temperature, "several": self.several}


def scores_of(probabilities: Scores, several: bool) -> Scores:
    """Log-probabilities, or logits when labels are independent, safe at 0 and 1."""
    p = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p) if several else np.log(p)


def fit_blend(
    network: Scores, floor: Scores | None, targets: NDArray[Any], *, several: bool = False
) -> Blend:
    """The share and temperature with the smallest log loss on these rows.

    Args:
        network, floor: `(rows, classes)` scores; no floor leaves the share at 0.
        targets: `(rows,)` class numbers, or `(rows, classes)` of 0 and 1 with `several`.
    """
    if len(targets) == 0:
        return Blend(several=several)
    best = (np.inf, 0.0, 1.0)
    for share in _SHARES if floor is not None else _SHARES[:1]:
        mixed = Blend(float(share)).scores(network, floor)
        loss, temperature = _best_temperature(mixed, targets, several)
        if loss < best[0] - 1e-12:
            best = (loss, float(share), temperature)
    return Blend(best[1], best[2], several)


def log_loss(scores: Scores, targets: NDArray[Any], several: bool) -> float:
    """The mean negative log-probability of the truth."""
    if several:
        return float((np.logaddexp(0.0, scores) - targets * scores).mean())
    top = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return float((total - scores[np.arange(len(targets)), targets]).mean())


def share_right(scores: Scores, targets: NDArray[Any], several: bool) -> float:
    """The share of rows whose label is right; of label decisions with several."""
    right = (scores > 0) == (targets > 0) if several else scores.argmax(axis=1) == targets
    return float(right.mean()) if right.size else 0.0


def _best_temperature(scores: Scores, targets: NDArray[Any], several: bool) -> tuple[float, float]:
    # The loss is convex in 1 / temperature: a ternary search over a fine grid finds its minimum.
    low, high = 0, len(_TEMPERATURES) - 1
    while high - low > 2:
        left, right = low + (high - low) // 3, high - (high - low) // 3
        if _loss_at(left, scores, targets, several) <= _loss_at(right, scores, targets, several):
            high = right
        else:
            low = left
    losses = [(_loss_at(k, scores, targets, several), k) for k in range(low, high + 1)]
    loss, place = min(losses)
    return loss, float(_TEMPERATURES[place])


def _loss_at(place: int, scores: Scores, targets: NDArray[Any], several: bool) -> float:
    return log_loss(scores / _TEMPERATURES[place], targets, several)


def _probabilities(scores: Scores, several: bool) -> Scores:
    if several:
        return np.exp(-np.logaddexp(0.0, -scores))
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
