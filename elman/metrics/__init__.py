"""Measurement: lists in, floats out. Nothing here knows a model, a file or torch."""

from __future__ import annotations

from elman.metrics.calibration import (
    apply_temperature,
    ece,
    fit_temperature,
    log_loss,
    reliability_bins,
)
from elman.metrics.counting import accuracy, confusion_matrix, f1, precision, recall
from elman.metrics.evaluation import classification_report, summarise_folds
from elman.metrics.lengths import length_facts
from elman.metrics.ranking import average_precision, roc_auc
from elman.metrics.resampling import (
    bootstrap_interval,
    compare_folds_with_floor,
    compare_with_floor,
    confusion_intervals,
    paired_bootstrap,
    wilson_interval,
)
from elman.metrics.several import (
    compare_marks_with_floor,
    exact_match,
    hamming_loss,
    label_marks,
    marks_metrics,
)

__all__ = [
    "accuracy",
    "apply_temperature",
    "average_precision",
    "bootstrap_interval",
    "classification_report",
    "compare_folds_with_floor",
    "compare_marks_with_floor",
    "compare_with_floor",
    "confusion_intervals",
    "confusion_matrix",
    "ece",
    "exact_match",
    "f1",
    "fit_temperature",
    "hamming_loss",
    "label_marks",
    "length_facts",
    "log_loss",
    "marks_metrics",
    "paired_bootstrap",
    "precision",
    "recall",
    "reliability_bins",
    "roc_auc",
    "summarise_folds",
    "wilson_interval",
]
