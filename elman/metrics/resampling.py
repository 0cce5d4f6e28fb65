"""How sure a figure is: bootstrap intervals, and a model compared with its floor on the same rows.

Percentile intervals of Efron 1979. Rows that look alike to a statistic are exchangeable, so a
resample is drawn as multinomial counts of the kinds of rows (the cells of a confusion matrix)
instead of row by row: the same distribution, a thousand times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from elman.metrics.counting import Counts, Floats, Integers, divide, same_length

RESAMPLES = 2000
_BLOCK = 4_000_000  # draws held at once


def bootstrap_interval(
    function: Callable[..., float],
    *columns: Any,
    seed: int = 1,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of any statistic: `function(*columns)` on rows drawn with replacement.

    Args:
        columns: equally long sequences; each call gets them as arrays of the drawn rows.
        level: the share of resamples inside.
    """
    arrays = [np.asarray(column) for column in columns]
    rows = len(arrays[0])
    for other in arrays[1:]:
        same_length(arrays[0], other, "values in another column")
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        index = draw.integers(0, rows, rows)
        values.append(float(function(*(column[index] for column in arrays))))
    return percentiles(np.asarray(values), level)


def percentiles(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of `values`; NaN (a statistic that a resample cannot have) is left out."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(right: int, rows: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), which is honest at 0 and at 1 too."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = right / rows
    middle = share + z * z / (2 * rows)
    spread = z * (share * (1 - share) / rows + z * z / (4 * rows * rows)) ** 0.5
    below = 1 + z * z / rows
    return max(0.0, (middle - spread) / below), min(1.0, (middle + spread) / below)


def confusion_intervals(
    matrix: Integers, *, seed: int = 1, resamples: int = RESAMPLES, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Intervals of accuracy and macro F1 from a confusion matrix (classes, classes).

    When every row is right (or wrong) no resample can differ; accuracy then gets Wilson's interval.
    """
    rows = int(matrix.sum())
    right = int(np.trace(matrix))
    truth, predicted = np.nonzero(matrix)
    share = matrix[truth, predicted] / rows
    sums = _indicators(truth, predicted, len(matrix))
    accuracies, means = [], []
    for drawn in _draws(rows, share, seed, resamples):
        good, guessed, true = (drawn @ one for one in sums)
        counts = Counts(good, guessed, true)
        accuracies.append(good.sum(axis=1) / rows)
        means.append(divide(counts.f1.sum(axis=1), counts.present.sum(axis=1)))
    bounds = percentiles(np.concatenate(accuracies), level)
    if right in (0, rows):
        bounds = wilson_interval(right, rows, level)
    return {"accuracy": bounds, "macro_f1": percentiles(np.concatenate(means), level)}


def _indicators(truth: Integers, predicted: Integers, classes: int) -> tuple[Any, Any, Any]:
    """(cells, classes) 0/1 matrices that sum cells into right, predicted and true counts."""
    cells = np.arange(len(truth))
    guessed = np.zeros((len(truth), classes), np.float32)
    true = np.zeros((len(truth), classes), np.float32)
    guessed[cells, predicted] = 1
    true[cells, truth] = 1
    return guessed * true, guessed, true


def _draws(rows: int, share: Floats, seed: int, resamples: int) -> Iterator[Floats]:
    """Blocks (some resamples, kinds) of how often each kind of row was drawn."""
    draw = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(1, len(share)))
    exact = share.astype(np.float64) / share.sum(dtype=np.float64)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield draw.multinomial(rows, exact, size=size).astype(np.float64)


def paired_bootstrap(
    model_right: Any,
    floor_right: Any,
    *,
    seed: int = 1,
    resamples: int = 10_000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of accuracy(model) - accuracy(floor) when the same rows are drawn for both.

    Args:
        model_right, floor_right: (rows,), whether each prediction is right.
    """
    rows = same_length(model_right, floor_right, "rows of the floor")
    step = np.asarray(model_right, np.int64) - np.asarray(floor_right, np.int64)
    share = np.bincount(step + 1, minlength=3) / rows
    drawn = np.random.default_rng(seed).multinomial(rows, share, size=resamples)
    return percentiles((drawn[:, 2] - drawn[:, 0]) / rows, level)


def compare_with_floor(
    truth: Sequence[Hashable],
    model: Sequence[Hashable],
    floor: Sequence[Hashable],
    *,
    seed: int = 1,
    resamples: int = 10_000,
) -> dict[str, Any]:
    """The `comparison` part of a result: model minus floor in accuracy, in figures and in words.

    Args:
        truth, model, floor: the true labels and the two predictions of the same rows.
    """
    same_length(truth, floor, "predictions of the floor")
    same_length(truth, model, "predictions of the model")
    good = [a == b for a, b in zip(truth, model, strict=True)]
    base = [a == b for a, b in zip(truth, floor, strict=True)]
    interval = paired_bootstrap(good, base, seed=seed, resamples=resamples)
    return describe_comparison("accuracy", float(np.mean(good)), float(np.mean(base)), interval)


def compare_folds_with_floor(
    metric: str, model: Sequence[float], floor: Sequence[float]
) -> dict[str, Any]:
    """The `comparison` part of a cross-validation: mean difference over the folds, with 95 %.

    The interval is Student's with the variance of Nadeau and Bengio 2003 ("Inference for the
    generalization error"): the folds' training parts overlap, so that the plain one is too narrow.

    Args:
        metric: what was measured.
        model, floor: its value in each fold; two folds at least.
    """
    from scipy.special import stdtrit

    folds = same_length(model, floor, "folds of the floor")
    step = np.asarray(model, np.float64) - np.asarray(floor, np.float64)
    spread = float(step.std(ddof=1)) * (1 / folds + 1 / (folds - 1)) ** 0.5
    reach = float(stdtrit(folds - 1, 0.975)) * spread
    middle = float(step.mean())
    means = float(np.mean(model)), float(np.mean(floor))
    return describe_comparison(metric, *means, (middle - reach, middle + reach))


def describe_comparison(
    metric: str, model: float, floor: float, interval: tuple[float, float]
) -> dict[str, Any]:
    """Figures and the sentence for a metric in [0, 1] where more is better."""
    low, high = interval
    verdict = "beats" if low > 0 else "does not beat" if high < 0 else "ties"
    return {
        "metric": metric,
        "model": model,
        "floor": floor,
        "difference": model - floor,
        "interval": [low, high],
        "verdict": verdict,
        "sentence": _sentence(metric, model, floor, interval, verdict),
    }


def _sentence(
    metric: str, model: float, floor: float, interval: tuple[float, float], verdict: str
) -> str:
    points = f"{abs(model - floor) * 100:.1f} points"
    between = f"95 % interval {_signed(interval[0])} to {_signed(interval[1])}"
    figures = f"{metric.replace('_', ' ')} {model * 100:.1f} % against {floor * 100:.1f} %"
    if verdict == "beats":
        return f"The model beats the floor by {points} ({between}): {figures}."
    if verdict == "ties":
        side = "above" if model >= floor else "below"
        return f"The model ties with the floor: {points} {side} it ({between}); {figures}."
    return f"The model does not beat the floor: it is {points} below it ({between}); {figures}."


def _signed(share: float) -> str:
    points = round(share * 100, 1)
    return f"{points if points else 0.0:.1f}"
