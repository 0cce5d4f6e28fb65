"""Labels: one spelling for one class, whatever the file's format made of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from elman.errors import DataError

_MISSING = frozenset({"", "nan", "NaN", "NAN", "<NA>"})


def label_text(value: Any) -> str | None:
    """One label as text; None when it is missing (empty, None or not a number).

    Labels that look like numbers stay text; 1.0 from Parquet or JSON is the "1" of a CSV file.
    """
    if value is None:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    text = str(value).strip()
    return None if text in _MISSING else text


def labels_of(value: Any, separator: str | None = None) -> tuple[str, ...] | None:
    """The labels in a cell: a list gives several, a `separator` splits; None when missing.

    An empty list, or an empty cell where a separator is set, is a row with no label at all,
    which is a fine thing where several labels are allowed.
    """
    if isinstance(value, list | tuple | set):
        parts = [label_text(part) for part in value]
    elif separator is not None:
        text = label_text(value)
        parts = [label_text(part) for part in text.split(separator)] if text else []
    else:
        text = label_text(value)
        return None if text is None else (text,)
    return tuple(dict.fromkeys(part for part in parts if part is not None))


def count_labels(labels: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """Label -> rows that have it, in the order of `class_names`."""
    counts = Counter(label for row in labels for label in row)
    return {name: counts[name] for name in _ordered(counts)}


def _ordered(names: Iterable[str]) -> list[str]:
    # Numbers by value ("2" before "10"), everything else by spelling.
    def key(name: str) -> tuple[int, float, str]:
        try:
            value = float(name)
        except ValueError:
            return (1, 0.0, name)
        return (0, value, name) if math.isfinite(value) else (1, 0.0, name)

    return sorted(names, key=key)


def class_names(counts: Mapping[str, int], where: str | None = None) -> list[str]:
    """The classes in their order: numbers by value, then names by spelling.

    Raises:
        DataError: there are fewer than two classes, so that there is nothing to learn.
    """
    names = _ordered(counts)
    if not names:
        raise DataError("no row has a label.", where=where, hint="Name the column: --label.")
    if len(names) == 1:
        raise DataError(
            f'every row has the label "{names[0]}"; at least two classes are wanted.',
            where=where,
            hint="Name another label column (--label), or add examples of another class.",
        )
    return names
