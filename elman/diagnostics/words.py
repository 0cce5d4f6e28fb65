"""Figures and labels in words, the same in the page, the card and the pictures."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "micro_f1": "Micro F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "micro_precision": "Micro precision",
    "micro_recall": "Micro recall",
    "weighted_precision": "Weighted precision",
    "weighted_recall": "Weighted recall",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "hamming_loss": "Hamming loss",
    "log_loss": "Log loss (nats)",
    "ece": "Calibration (ECE)",
    "nats": "Nats a token",
    "perplexity": "Perplexity",
    "bits_per_token": "Bits a token",
    "nats_per_character": "Nats a character",
    "bits_per_character": "Bits a character",
    "bits_per_byte": "Bits a byte",
}
_TEXT = (
    "nats", "perplexity", "bits_per_token", "nats_per_character", "bits_per_character",
    "bits_per_byte",
)  # fmt: skip
PLAIN = frozenset({"log_loss", "roc_auc", *_TEXT})
LESS_IS_MORE = frozenset({"log_loss", "ece", "hamming_loss", *_TEXT})
SPLITS = {"valid": "the validation part", "test": "the test part", "train": "the training part"}

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def title(metric: str) -> str:
    """A metric's name for people."""
    return TITLES.get(metric, metric.replace("_", " ").capitalize())


def figure(metric: str, value: Any) -> str:
    """A metric's value: percent for shares, three decimals for others, a dash for none."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:.3f}" if metric in PLAIN else f"{value * 100:.1f} %"


def interval(metric: str, bounds: Any) -> str:
    """Two bounds, or nothing when there are none."""
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        return ""
    low, high = bounds
    if metric in PLAIN:
        return f"{low:.3f} to {high:.3f}"
    return f"{low * 100:.1f} to {high * 100:.1f} %"


def count(value: Any) -> str:
    """A whole number with thin spaces between thousands; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}".replace(",", "\u202f")
    return f"{int(value):,}".replace(",", "\u202f")


def duration(seconds: Any) -> str:
    """Seconds as "42 s", "3 min 12 s" or "2 h 05 min"."""
    if not isinstance(seconds, int | float):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def label(value: Any) -> str:
    """A label; several are joined, none is said."""
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value) or "(none)"
    return str(value)


def clip(text: str, characters: int) -> str:
    """The beginning of a long text."""
    flat = " ".join(text.split())
    return flat if len(flat) <= characters else flat[: characters - 1].rstrip() + "…"


def esc(value: Any) -> str:
    """Text that is safe inside HTML and its attributes; unprintable characters become U+FFFD."""
    return html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True)


_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def mark(value: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKS.sub(r"\\\1", _CONTROL.sub("\ufffd", " ".join(str(value).split())))


def coverage(vectors: Mapping[str, Any]) -> str:
    """How many words began with a vector from a file; nothing where none was read."""
    share = vectors.get("coverage")
    if not isinstance(share, int | float):
        return ""
    return (
        f"{count(vectors.get('found'))} of {count(vectors.get('words'))} words "
        f"({share * 100:.1f} %) from {vectors.get('path')}"
    )


def split_name(record_evaluation: Mapping[str, Any]) -> str:
    """Which part was measured, in words."""
    split = str(record_evaluation.get("split", "valid"))
    return SPLITS.get(split, f"“{split}”")


def largest_confusions(confusion: Any, most: int = 20) -> list[tuple[str, str, int, float]]:
    """The off-diagonal cells with most rows: true label, prediction, rows, share of the label's."""
    if not isinstance(confusion, Mapping):
        return []
    labels, matrix = confusion.get("labels") or [], confusion.get("matrix") or []
    found = [
        (str(labels[i]), str(labels[j]), int(cell), cell / max(1, sum(row)))
        for i, row in enumerate(matrix)
        for j, cell in enumerate(row)
        if i != j and cell
    ]
    return sorted(found, key=lambda one: (-one[2], -one[3], one[0], one[1]))[:most]
