"""One call that measures a classifier: the `evaluation` part of a run's result.json."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ShapeError
from elman.metrics.calibration import apply_temperature, ece, reliability_bins, row_losses
from elman.metrics.counting import (
    Floats,
    Integers,
    count_pairs,
    counts_of,
    encode,
    per_class,
    same_length,
)
from elman.metrics.ranking import roc_auc
from elman.metrics.resampling import RESAMPLES, confusion_intervals
from elman.metrics.several import (
    counts_of_marks,
    label_marks,
    marks_intervals,
    marks_metrics,
    scaled_marks,
)

_CLIP = 1000  # characters of a worst error's text that are kept


def classification_report(
    truth: Sequence[Any],
    probabilities: Any,
    labels: Sequence[str],
    *,
    split: str = "valid",
    temperature: float = 1.0,
    several: bool = False,
    texts: Sequence[str] | None = None,
    where: Sequence[str] | None = None,
    worst: int = 20,
    seed: int = 1,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Everything that is measured about predictions, ready for result.json.

    Args:
        truth: each row's label; with `several` each row's collection of labels.
        probabilities: (rows, classes) before temperature scaling, columns in the order of `labels`.
        split: the name of the part that was measured, "valid" or "test".
        temperature: as found by `fit_temperature` on the validation part; 1 leaves all as it is.
            Log loss, ECE and the bins are those of the scaled probabilities.
        texts, where: the rows' texts and places ("file, row 3"), for the list of worst errors.
        worst: how many of the surest errors to list.
        seed, resamples: of the bootstrap.

    Raises:
        ShapeError: unequal lengths, or no rows.
        DataError: a label that is not in `labels`.
    """
    given = np.asarray(probabilities, np.float64)
    rows = same_length(truth, given, "rows of probabilities")
    if given.ndim != 2 or given.shape[1] != len(labels):
        wanted = (rows, len(labels))
        raise ShapeError(f"probabilities have the shape {given.shape}; {wanted} is wanted.")
    if not np.isfinite(given).all():
        raise ShapeError("probabilities hold NaN or infinity.")
    measure = _many if several else _single
    found = measure(truth, given, labels, temperature, seed, resamples)
    errors = found.pop("errors")
    return {
        "split": split,
        "rows": rows,
        **found,
        "worst": [_error(one, texts, where) for one in errors[:worst]],
    }


def _single(
    truth: Sequence[Hashable],
    given: Floats,
    labels: Sequence[str],
    temperature: float,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    codes = encode(truth, labels)
    guessed = given.argmax(axis=1).astype(np.int64)
    scaled = apply_temperature(given, temperature)
    matrix = count_pairs(codes, guessed, len(labels))
    intervals = confusion_intervals(matrix, seed=seed, resamples=resamples)
    right = codes == guessed
    return {
        "metrics": _single_metrics(codes, guessed, scaled, matrix),
        "intervals": {name: list(bounds) for name, bounds in intervals.items()},
        "per_class": per_class(counts_of(matrix), labels),
        "confusion": {"labels": list(labels), "matrix": matrix.tolist()},
        "calibration": _calibration(given.max(axis=1), scaled.max(axis=1), right, temperature),
        "errors": _single_errors(codes, guessed, scaled, labels),
    }


def _single_metrics(
    codes: Integers, guessed: Integers, scaled: Floats, matrix: Integers
) -> dict[str, float | None]:
    # Micro averages are left out: with one label a row all of them are the accuracy.
    counts = counts_of(matrix)
    return {
        "accuracy": float((codes == guessed).mean()),
        "macro_f1": counts.average(counts.f1, "macro"),
        "weighted_f1": counts.average(counts.f1, "weighted"),
        "macro_precision": counts.average(counts.precision, "macro"),
        "macro_recall": counts.average(counts.recall, "macro"),
        "weighted_precision": counts.average(counts.precision, "weighted"),
        "weighted_recall": counts.average(counts.recall, "weighted"),
        "roc_auc": roc_auc(codes.tolist(), scaled, list(range(scaled.shape[1]))),
        "log_loss": float(row_losses(codes, scaled).mean()),
        "ece": ece(scaled.max(axis=1), codes == guessed),
    }


def _single_errors(
    codes: Integers, guessed: Integers, scaled: Floats, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """The wrong rows, surest first."""
    sure = scaled.max(axis=1)
    wrong = np.flatnonzero(codes != guessed)
    order = wrong[np.argsort(-sure[wrong], kind="stable")]
    return [
        {
            "row": int(row),
            "label": labels[int(codes[row])],
            "predicted": labels[int(guessed[row])],
            "probability": float(sure[row]),
        }
        for row in order
    ]


def _many(
    truth: Sequence[Collection[Hashable]],
    given: Floats,
    labels: Sequence[str],
    temperature: float,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    marks = label_marks(truth, labels)
    guessed = (given > 0.5).astype(np.int64)
    scaled = scaled_marks(given, temperature)
    intervals = marks_intervals(marks, guessed, seed=seed, resamples=resamples)
    right = (marks == guessed).ravel()
    before, after = (np.maximum(one, 1 - one).ravel() for one in (given, scaled))
    return {
        "metrics": marks_metrics(marks, scaled),
        "intervals": {name: list(bounds) for name, bounds in intervals.items()},
        "per_class": per_class(counts_of_marks(marks, guessed), labels),
        "confusion": None,
        "calibration": _calibration(before, after, right, temperature),
        "errors": _many_errors(marks, guessed, scaled, labels),
    }


def _many_errors(
    marks: Integers, guessed: Integers, scaled: Floats, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows with a wrong label, the one with the surest wrong decision first."""
    sure = np.where(marks != guessed, np.maximum(scaled, 1 - scaled), 0.0).max(axis=1)
    wrong = np.flatnonzero((marks != guessed).any(axis=1))
    order = wrong[np.argsort(-sure[wrong], kind="stable")]
    return [
        {
            "row": int(row),
            "label": [labels[int(k)] for k in np.flatnonzero(marks[row])],
            "predicted": [labels[int(k)] for k in np.flatnonzero(guessed[row])],
            "probability": float(sure[row]),
        }
        for row in order
    ]


def _calibration(
    before: Floats, after: Floats, right: NDArray[np.bool_], temperature: float
) -> dict[str, Any]:
    return {
        "temperature": float(temperature),
        "ece_before": ece(before, right),
        "ece_after": ece(after, right),
        "bins": reliability_bins(after, right),
        "bins_before": reliability_bins(before, right),
    }


def _error(
    one: Mapping[str, Any], texts: Sequence[str] | None, where: Sequence[str] | None
) -> dict[str, Any]:
    row = one["row"]
    text = "" if texts is None else str(texts[row])
    return {
        "text": text if len(text) <= _CLIP else text[:_CLIP] + "…",
        "label": one["label"],
        "predicted": one["predicted"],
        "probability": one["probability"],
        "where": f"row {row + 1}" if where is None else where[row],
    }


def summarise_folds(folds: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """The `folds` part of a result: mean and spread of each metric over cross-validation folds.

    Args:
        folds: one `metrics` mapping a fold.

    Returns:
        k, the folds' metrics, and mean, std (of the sample, n - 1), lowest and highest of each
        metric that every fold has.
    """
    names = [name for name in folds[0] if all(fold.get(name) is not None for fold in folds)]
    values = {name: np.asarray([fold[name] for fold in folds], np.float64) for name in names}
    spread = 1 if len(folds) > 1 else 0
    return {
        "k": len(folds),
        "metrics": [dict(fold) for fold in folds],
        "mean": {name: float(one.mean()) for name, one in values.items()},
        "std": {name: float(one.std(ddof=spread)) for name, one in values.items()},
        "lowest": {name: float(one.min()) for name, one in values.items()},
        "highest": {name: float(one.max()) for name, one in values.items()},
    }
