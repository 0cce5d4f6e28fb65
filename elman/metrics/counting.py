"""What can be counted: accuracy, the confusion matrix, precision, recall and F1.

Precision is right / all predicted, recall is right / all true, F1 their harmonic mean (van
Rijsbergen 1979). A quotient with nothing below the line is 0. Averages run over the classes that
occur in the truth or in the predictions, so that a class that a small test file happens to lack
does not pull the average down.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, DataError, ShapeError, did_you_mean

Average: TypeAlias = Literal["macro", "weighted", "micro"]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Per class: right predictions, all predictions, all true rows; each (classes,)."""

    right: Floats
    predicted: Floats
    true: Floats

    @property
    def precision(self) -> Floats:
        """(classes,): right / predicted, 0 where a class was never predicted."""
        return divide(self.right, self.predicted)

    @property
    def recall(self) -> Floats:
        """(classes,): right / true, 0 where a class has no rows."""
        return divide(self.right, self.true)

    @property
    def f1(self) -> Floats:
        """(classes,): 2 right / (predicted + true), the harmonic mean of the two above."""
        return divide(2 * self.right, self.predicted + self.true)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(classes,): the class occurs in the truth or in the predictions."""
        return (self.predicted + self.true) > 0

    def average(self, values: Floats, average: Average) -> float:
        """Macro (each class alike) or weighted (by true rows) mean of `values` (classes,)."""
        present = self.present
        if not present.any():
            return 0.0
        if average == "macro":
            return float(values[present].mean())
        return float(divide(np.sum(values * self.true), np.sum(self.true)))


def divide(above: Any, below: Any) -> Floats:
    """above / below, and 0 where below is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below != 0)


def same_length(truth: Sequence[Any] | NDArray[Any], other: Any, what: str) -> int:
    """The common number of rows.

    Raises:
        ShapeError: the two differ, or there are none.
    """
    rows, others = len(truth), len(other)
    if rows != others:
        raise ShapeError(f"got {rows} true labels but {others} {what}; one each is wanted.")
    if rows == 0:
        raise ShapeError("there are no rows to measure.")
    return rows


def class_order(*columns: Sequence[Hashable]) -> list[Hashable]:
    """The labels that occur, sorted (as text where they do not compare)."""
    found = {label for column in columns for label in column}
    try:
        return sorted(found)  # type: ignore[type-var]
    except TypeError:
        return sorted(found, key=str)


def encode(column: Sequence[Hashable], labels: Sequence[Hashable]) -> Integers:
    """Each label's place in `labels`, (rows,).

    Raises:
        DataError: a label that `labels` does not hold.
    """
    place = {label: index for index, label in enumerate(labels)}
    try:
        return np.fromiter((place[label] for label in column), np.int64, len(column))
    except KeyError as error:
        name = error.args[0]
        hint = did_you_mean(str(name), [str(label) for label in labels])
        raise DataError(f'the label "{name}" is not one of the known classes.', hint=hint) from None


def accuracy(truth: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """The share of rows whose prediction is the true label."""
    rows = same_length(truth, predicted, "predictions")
    return sum(a == b for a, b in zip(truth, predicted, strict=True)) / rows


def confusion_matrix(
    truth: Sequence[Hashable],
    predicted: Sequence[Hashable],
    labels: Sequence[Hashable] | None = None,
) -> Integers:
    """(classes, classes) counts: rows are true labels, columns predictions.

    Args:
        labels: the classes in order; those that occur, sorted, when None.
    """
    same_length(truth, predicted, "predictions")
    order = class_order(truth, predicted) if labels is None else labels
    return count_pairs(encode(truth, order), encode(predicted, order), len(order))


def count_pairs(truth: Integers, predicted: Integers, classes: int) -> Integers:
    """The confusion matrix of class numbers."""
    cells = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def counts_of(matrix: Integers) -> Counts:
    """The per-class counts of a confusion matrix."""
    whole = matrix.astype(np.float64)
    return Counts(np.diag(whole).copy(), whole.sum(axis=0), whole.sum(axis=1))


def precision(
    truth: Sequence[Hashable],
    predicted: Sequence[Hashable],
    *,
    average: Average = "macro",
    labels: Sequence[Hashable] | None = None,
) -> float:
    """Precision, averaged over classes; micro is the accuracy when every row has one label."""
    return _averaged("precision", truth, predicted, average, labels)


def recall(
    truth: Sequence[Hashable],
    predicted: Sequence[Hashable],
    *,
    average: Average = "macro",
    labels: Sequence[Hashable] | None = None,
) -> float:
    """Recall, averaged over classes; weighted and micro are the accuracy."""
    return _averaged("recall", truth, predicted, average, labels)


def f1(
    truth: Sequence[Hashable],
    predicted: Sequence[Hashable],
    *,
    average: Average = "macro",
    labels: Sequence[Hashable] | None = None,
) -> float:
    """F1, averaged over classes: macro is the mean of the classes' F1 (not F1 of the means)."""
    return _averaged("f1", truth, predicted, average, labels)


def _averaged(
    which: Literal["precision", "recall", "f1"],
    truth: Sequence[Hashable],
    predicted: Sequence[Hashable],
    average: Average,
    labels: Sequence[Hashable] | None,
) -> float:
    counts = counts_of(confusion_matrix(truth, predicted, labels))
    if average == "micro":
        return accuracy(truth, predicted)
    if average not in ("macro", "weighted"):
        hint = did_you_mean(str(average), ["macro", "weighted", "micro"])
        raise ConfigError(f'there is no average "{average}".', hint=hint)
    return counts.average(getattr(counts, which), average)


def per_class(counts: Counts, labels: Sequence[Hashable]) -> list[dict[str, Any]]:
    """One dict a class: label, precision, recall, f1 and support (its number of true rows)."""
    columns = zip(labels, counts.precision, counts.recall, counts.f1, counts.true, strict=True)
    return [
        {
            "label": label,
            "precision": float(p),
            "recall": float(r),
            "f1": float(f),
            "support": int(support),
        }
        for label, p, r, f, support in columns
    ]
