"""Do the probabilities mean what they say: log loss, reliability, ECE, temperature scaling.

Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.metrics.counting import Floats, class_order, encode, same_length

_TINY = float(np.finfo(np.float64).tiny)
_EPSILON = float(np.finfo(np.float64).eps)


def log_loss(
    truth: Sequence[Hashable],
    probabilities: Any,
    labels: Sequence[Hashable] | None = None,
) -> float:
    """Mean of -ln p(true label), in nats; p is clipped to [2.2e-16, 1] so that it stays finite.

    Args:
        probabilities: (rows, classes), each row summing to 1, in the order of `labels`.
    """
    same_length(truth, probabilities, "probabilities")
    order = class_order(truth) if labels is None else list(labels)
    given = np.asarray(probabilities, np.float64)
    return float(row_losses(encode(truth, order), given).mean())


def row_losses(codes: NDArray[np.int64], probabilities: Floats) -> Floats:
    """(rows,): -ln p of each row's true class."""
    return -np.log(np.clip(probabilities[np.arange(len(codes)), codes], _EPSILON, 1.0))


def reliability_bins(confidence: Any, right: Any, bins: int = 15) -> list[dict[str, float]]:
    """Rows grouped by confidence into equal-width bins (lower, upper]; empty ones are left out.

    Args:
        confidence: (rows,), the probability of the predicted label.
        right: (rows,), whether the prediction is right.

    Returns:
        one dict a bin: mean `confidence`, mean `accuracy`, `count`, and its `lower` and `upper`.
    """
    sure = np.asarray(confidence, np.float64)
    hit = np.asarray(right, np.float64)
    same_length(sure, hit, "outcomes")
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    total_sure = np.bincount(place, sure, bins)
    total_hit = np.bincount(place, hit, bins)
    return [
        {
            "confidence": float(total_sure[k] / count[k]),
            "accuracy": float(total_hit[k] / count[k]),
            "count": int(count[k]),
            "lower": k / bins,
            "upper": (k + 1) / bins,
        }
        for k in range(bins)
        if count[k]
    ]


def ece(confidence: Any, right: Any, bins: int = 15) -> float:
    """Expected calibration error: mean of |confidence - accuracy| over bins, weighted by rows.

    Args:
        confidence: (rows,), the probability of the predicted label.
        right: (rows,), whether the prediction is right.
    """
    found = reliability_bins(confidence, right, bins)
    rows = sum(one["count"] for one in found)
    return sum(abs(one["confidence"] - one["accuracy"]) * one["count"] for one in found) / rows


def apply_temperature(probabilities: Any, temperature: float, *, several: bool = False) -> Floats:
    """Probabilities after dividing the logits by `temperature`.

    The softmax does not see a shift, so log-probabilities serve as logits.

    Args:
        probabilities: (rows, classes).
        several: each column is a label of its own (sigmoid) instead of one class of many (softmax).
    """
    given = np.asarray(probabilities, np.float64)
    logits = np.log(np.maximum(given, _TINY))
    if several:
        odds = (logits - np.log(np.maximum(1.0 - given, _TINY))) / temperature
        return np.exp(-np.logaddexp(0.0, -odds))
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def fit_temperature(
    truth: Any,
    probabilities: Any,
    labels: Sequence[Hashable] | None = None,
    *,
    several: bool = False,
) -> float:
    """The temperature in [0.05, 20] that minimises the log loss of these rows.

    Fit it on the validation part and apply it to others: `apply_temperature`.

    Args:
        truth: labels; or, with `several`, (rows, classes) of 0 and 1.
        probabilities: (rows, classes), in the order of `labels`.
    """
    same_length(truth, probabilities, "probabilities")
    given = np.asarray(probabilities, np.float64)
    if several:
        marks = np.asarray(truth, np.float64)

        def loss(log_temperature: float) -> float:
            scaled = apply_temperature(given, float(np.exp(log_temperature)), several=True)
            return binary_loss(marks, scaled)
    else:
        order = class_order(truth) if labels is None else list(labels)
        codes = encode(truth, order)

        def loss(log_temperature: float) -> float:
            scaled = apply_temperature(given, float(np.exp(log_temperature)))
            return float(row_losses(codes, scaled).mean())

    return float(np.exp(_golden(loss, float(np.log(0.05)), float(np.log(20.0)))))


def binary_loss(marks: Floats, probabilities: Floats) -> float:
    """Mean binary cross-entropy over all rows and labels, in nats."""
    sure = np.clip(probabilities, _EPSILON, 1 - _EPSILON)
    return float(-(marks * np.log(sure) + (1 - marks) * np.log1p(-sure)).mean())


def _golden(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is smallest: golden-section search (Kiefer 1953)."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-4:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
