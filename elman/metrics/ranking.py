"""How well scores rank: the area under the ROC curve and average precision."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.metrics.counting import Floats, class_order, encode, same_length


def ranking_area(positive: NDArray[np.bool_], scores: Floats) -> float | None:
    """P(a positive row's score > a negative row's), ties counting half (Mann & Whitney 1947).

    Args:
        positive: (rows,), which rows belong to the class.
        scores: (rows,), any increasing measure of belonging.

    Returns:
        the area, or None when one of the two kinds is absent.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return None
    _, place, times = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    rank = last - (times - 1) / 2  # the mean rank of equal scores, from 1
    total = float(rank[place][positive].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def precision_area(positive: NDArray[np.bool_], scores: Floats) -> float | None:
    """Average precision: sum over thresholds of gain in recall x precision; None if no row is."""
    positives = int(positive.sum())
    if positives == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(positive[order])
    # Equal scores move together: only the end of each run of them is a threshold.
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    gain = np.diff(right[ends], prepend=0)
    return float(np.sum(gain * right[ends] / (ends + 1)) / positives)


def roc_auc(
    truth: Sequence[Hashable],
    probabilities: Any,
    labels: Sequence[Hashable] | None = None,
) -> float | None:
    """Area under the ROC curve: of the second class when there are two, else one-vs-rest macro.

    Args:
        probabilities: (rows, classes) in the order of `labels`, or (rows,) of the second class.
        labels: the classes in order; those that occur, sorted, when None.

    Returns:
        the area; the mean over the classes that have both kinds of rows; None when none has.
    """
    same_length(truth, probabilities, "probabilities")
    order = class_order(truth) if labels is None else list(labels)
    scores = np.asarray(probabilities, np.float64)
    codes = encode(truth, order)
    if scores.ndim == 1:
        return ranking_area(codes == 1, scores)
    if scores.shape[1] == 2:
        return ranking_area(codes == 1, scores[:, 1])
    return mean_known([ranking_area(codes == k, scores[:, k]) for k in range(scores.shape[1])])


def average_precision(
    truth: Sequence[Hashable],
    probabilities: Any,
    labels: Sequence[Hashable] | None = None,
) -> float | None:
    """Mean over the classes of their average precision; classes without rows are left out."""
    same_length(truth, probabilities, "probabilities")
    order = class_order(truth) if labels is None else list(labels)
    scores = np.asarray(probabilities, np.float64)
    codes = encode(truth, order)
    return mean_known([precision_area(codes == k, scores[:, k]) for k in range(scores.shape[1])])


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean of those that are not None; None when all are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
