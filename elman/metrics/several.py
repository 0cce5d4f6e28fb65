"""Several labels at once: each row has a set of labels, each label its own probability."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError, did_you_mean
from elman.metrics.calibration import apply_temperature, binary_loss, ece
from elman.metrics.counting import Counts, Floats, divide, same_length
from elman.metrics.ranking import mean_known, precision_area, ranking_area
from elman.metrics.resampling import RESAMPLES, describe_comparison, percentiles

_THRESHOLD = 0.5


def label_marks(
    sets: Sequence[Collection[Hashable]], labels: Sequence[Hashable]
) -> NDArray[np.int64]:
    """(rows, classes) of 0 and 1: which of `labels` each row has.

    Raises:
        DataError: a label that `labels` does not hold.
    """
    place = {label: index for index, label in enumerate(labels)}
    marks = np.zeros((len(sets), len(labels)), np.int64)
    for row, names in enumerate(sets):
        for name in names:
            if name not in place:
                hint = did_you_mean(str(name), [str(label) for label in labels])
                raise DataError(f'the label "{name}" is not one of the known classes.', hint=hint)
            marks[row, place[name]] = 1
    return marks


def counts_of_marks(truth: Any, predicted: Any) -> Counts:
    """Per-class counts of two (rows, classes) 0/1 matrices."""
    true, guessed = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    same_length(true, guessed, "predictions")
    return Counts((true * guessed).sum(axis=0), guessed.sum(axis=0), true.sum(axis=0))


def exact_match(truth: Any, predicted: Any) -> float:
    """The share of rows whose whole set of labels is right ("subset accuracy")."""
    true, guessed = np.asarray(truth), np.asarray(predicted)
    same_length(true, guessed, "predictions")
    return float((true == guessed).all(axis=1).mean())


def hamming_loss(truth: Any, predicted: Any) -> float:
    """The share of single yes/no decisions that are wrong."""
    true, guessed = np.asarray(truth), np.asarray(predicted)
    same_length(true, guessed, "predictions")
    return float((true != guessed).mean())


def micro_f1(counts: Counts) -> float:
    """F1 of all decisions pooled."""
    total = counts.predicted.sum() + counts.true.sum()
    return float(divide(2 * counts.right.sum(), total))


def micro_precision(counts: Counts) -> float:
    """The share of all predicted labels that are right."""
    return float(divide(counts.right.sum(), counts.predicted.sum()))


def micro_recall(counts: Counts) -> float:
    """The share of all true labels that are found."""
    return float(divide(counts.right.sum(), counts.true.sum()))


def marks_metrics(truth: Any, probabilities: Any) -> dict[str, float | None]:
    """The `metrics` part of a result for several labels; `accuracy` is the exact match.

    Args:
        truth: (rows, classes) of 0 and 1.
        probabilities: (rows, classes); a label is predicted above one half.
    """
    true = np.asarray(truth, np.int64)
    sure = np.asarray(probabilities, np.float64)
    guessed = (sure > _THRESHOLD).astype(np.int64)
    counts = counts_of_marks(true, guessed)
    columns = range(true.shape[1])
    confidence = np.maximum(sure, 1 - sure)
    return {
        "accuracy": exact_match(true, guessed),
        "hamming_loss": hamming_loss(true, guessed),
        "micro_f1": micro_f1(counts),
        "macro_f1": counts.average(counts.f1, "macro"),
        "weighted_f1": counts.average(counts.f1, "weighted"),
        "macro_precision": counts.average(counts.precision, "macro"),
        "macro_recall": counts.average(counts.recall, "macro"),
        "micro_precision": micro_precision(counts),
        "micro_recall": micro_recall(counts),
        "weighted_precision": counts.average(counts.precision, "weighted"),
        "weighted_recall": counts.average(counts.recall, "weighted"),
        "roc_auc": mean_known([ranking_area(true[:, k] == 1, sure[:, k]) for k in columns]),
        "average_precision": mean_known(
            [precision_area(true[:, k] == 1, sure[:, k]) for k in columns]
        ),
        "log_loss": binary_loss(true.astype(np.float64), sure),
        "ece": ece(confidence.ravel(), (true == guessed).ravel()),
    }


def marks_intervals(
    truth: Any, predicted: Any, *, seed: int = 1, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals (rows drawn whole) of exact match, micro F1 and macro F1."""
    true, guessed = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    table = np.hstack([true * guessed, guessed, true, (true == guessed).all(1, keepdims=True)])
    sums = _resampled_sums(table, seed, resamples)
    classes = true.shape[1]
    counts = Counts(*(sums[:, k * classes : (k + 1) * classes] for k in range(3)))
    macro = divide(counts.f1.sum(axis=1), counts.present.sum(axis=1))
    pooled = divide(2 * counts.right.sum(1), counts.predicted.sum(1) + counts.true.sum(1))
    return {
        "accuracy": percentiles(sums[:, -1] / len(true)),
        "micro_f1": percentiles(pooled),
        "macro_f1": percentiles(macro),
    }


def compare_marks_with_floor(
    truth: Any, model: Any, floor: Any, *, seed: int = 1, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """The `comparison` part of a result for several labels: model minus floor in micro F1.

    Args:
        truth, model, floor: (rows, classes) of 0 and 1.
    """
    true = np.asarray(truth, np.float64)
    same_length(true, floor, "predictions of the floor")
    blocks = []
    for guessed in (np.asarray(model, np.float64), np.asarray(floor, np.float64)):
        blocks += [(true * guessed).sum(1), guessed.sum(1) + true.sum(1)]
    table = np.stack(blocks, axis=1)
    sums = _resampled_sums(table, seed, resamples)
    drawn = divide(2 * sums[:, 0], sums[:, 1]) - divide(2 * sums[:, 2], sums[:, 3])
    whole = table.sum(axis=0)
    figures = [float(divide(2 * whole[k], whole[k + 1])) for k in (0, 2)]
    return describe_comparison("micro_f1", figures[0], figures[1], percentiles(drawn))


def _resampled_sums(table: Floats, seed: int, resamples: int) -> Floats:
    """(resamples, columns): the column sums of rows drawn with replacement."""
    draw = np.random.default_rng(seed)
    rows = len(table)
    sums = np.empty((resamples, table.shape[1]))
    for k in range(resamples):
        times = np.bincount(draw.integers(0, rows, rows), minlength=rows)
        sums[k] = times @ table
    return sums


def scaled_marks(probabilities: Any, temperature: float) -> Floats:
    """Probabilities of independent labels after temperature scaling."""
    return apply_temperature(probabilities, temperature, several=True)
