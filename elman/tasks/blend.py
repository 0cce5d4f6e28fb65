"""The network and its floor as one model: scores added with weights found on the validation part.

A linear model of n-grams knows single telling words, a recurrent network knows order and context;
their errors differ, so that the sum of their scores is better than either (stacked generalisation,
Wolpert 1992). Fitted on the validation part: the floor's share, and temperatures (Guo et al. 2017)
that make both experts equally sure before they are added and calibrate their sum.

Among shares that are as good as the best within a standard error the one nearest to a half is
taken (the rule of Breiman et al. 1984): on few rows the best share is mostly luck, and equal parts
are the safest guess.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

_SHARES = np.linspace(0.0, 1.0, 41)
_TEMPERATURES = np.exp(np.linspace(np.log(0.1), np.log(10.0), 81))


@dataclass(frozen=True)
class Blend:
    """`((1 - share) * network / scale + share * floor) / temperature`, log-probabilities or logits.

    Attributes:
        share: of the floor, in [0, 1].
        scale: the temperature of the network alone, so that both experts are equally sure.
        temperature: above 1 the model was too sure of itself.
        several: whether labels are independent of one another.
    """

    share: float = 0.0
    scale: float = 1.0
    temperature: float = 1.0
    several: bool = False

    def scores(self, network: Scores, floor: Scores | None) -> Scores:
        """The mixed scores before the temperature, `(rows, classes)`."""
        if floor is None:
            return network
        return (1 - self.share) * network / self.scale + self.share * floor

    def probabilities(
        self, network: Scores, floor: Scores | None, *, calibrated: bool = True
    ) -> Scores:
        """`(rows, classes)` probabilities; with `several` one of each label alone."""
        mixed = self.scores(network, floor) / (self.temperature if calibrated else 1.0)
        return probabilities_of(mixed, self.several)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def scores_of(probabilities: Scores, several: bool) -> Scores:
    """Log-probabilities, or logits when labels are independent, safe at 0 and 1."""
    p = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p) if several else np.log(p)


def fit_blend(
    network: Scores, floor: Scores | None, targets: NDArray[Any], *, several: bool = False
) -> Blend:
    """The share, nearest to a half, and temperature whose log loss is as small as the smallest.

    Args:
        network, floor: `(rows, classes)` scores; no floor leaves the share at 0.
        targets: `(rows,)` class numbers, or `(rows, classes)` of 0 and 1 with `several`.
    """
    if len(targets) == 0:
        return Blend(several=several)
    alone = _best_temperature(network, targets, several)[1]
    if floor is None:
        return Blend(temperature=alone, several=several)
    trials: list[tuple[float, float, Scores]] = []
    for share in _SHARES:
        mixed = Blend(float(share), alone).scores(network, floor)
        temperature = _best_temperature(mixed, targets, several)[1]
        trials.append(
            (float(share), temperature, row_losses(mixed / temperature, targets, several))
        )
    best = min(trials, key=lambda trial: float(trial[2].mean()))
    equal = [trial for trial in trials if not _worse(trial[2], best[2])]
    share, temperature, _ = min(equal, key=lambda trial: abs(trial[0] - 0.5))
    return Blend(share, alone, temperature, several)


def _worse(losses: Scores, best: Scores) -> bool:
    """Whether the mean is above the best one by more than a standard error of the difference."""
    extra = losses - best
    return bool(extra.mean() > extra.std() / np.sqrt(len(extra)) + 1e-12)


def row_losses(scores: Scores, targets: NDArray[Any], several: bool) -> Scores:
    """Each row's negative log-probability of the truth, `(rows,)`."""
    if several:
        return (np.logaddexp(0.0, scores) - targets * scores).mean(axis=1)
    top = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return total - scores[np.arange(len(targets)), targets]


def log_loss(scores: Scores, targets: NDArray[Any], several: bool) -> float:
    """The mean negative log-probability of the truth."""
    return float(row_losses(scores, targets, several).mean())


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


def probabilities_of(scores: Scores, several: bool) -> Scores:
    """The probabilities that belong to scores, `(rows, classes)`: what `scores_of` undoes."""
    if several:
        return np.exp(-np.logaddexp(0.0, -scores))
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
