"""Which column is the text and which the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elman.data.delimiters import LABEL_NAMES, TEXT_NAMES
from elman.data.labels import label_text
from elman.data.rows import Row
from elman.errors import DataError, did_you_mean


def named_column(name: str | int, columns: Sequence[str], setting: str, where: str) -> str:
    """The column called `name`; a number that no column is called counts columns from one.

    Raises:
        DataError: there is no such column; offers the closest.
    """
    name = str(name)
    if name in columns:
        return name
    if name.isdigit() and 1 <= int(name) <= len(columns):
        return columns[int(name) - 1]
    if (found := called(name, columns)) is not None:
        return found
    hint = did_you_mean(name, columns)
    if hint.startswith("Did"):
        hint = f"{hint} The columns are: {', '.join(columns)}."
    raise DataError(f'no column "{name}" ({setting}).', where=where, hint=hint)


def called(name: str, columns: Sequence[str]) -> str | None:
    """The column of that name; else the only one that differs from it in capitals alone."""
    if name in columns:
        return name
    folded = [column for column in columns if column.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def refuse_twice(column: str, twice: Sequence[str], where: str) -> None:
    """Raises DataError when `column` is a name that two columns have."""
    if column in twice:
        raise DataError(
            f'two columns are called "{column}".',
            where=where,
            hint="Rename one, or name the column by its position with --data.header false.",
        )


def _mean_length(values: Sequence[Any]) -> float:
    texts = [value for value in values if isinstance(value, str)]
    return sum(map(len, texts)) / len(values) if texts else 0.0


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def guess_text(rows: Sequence[Row], columns: Sequence[str], label: str | None) -> str | None:
    """The text column: a well-known name that holds strings, else the longest strings."""
    usable = [
        column
        for column in columns
        if column != label and any(isinstance(row.fields.get(column), str) for row in rows)
    ]
    lengths = {column: _mean_length([row.fields.get(column) for row in rows]) for column in usable}
    named = {name: place for place, name in enumerate(TEXT_NAMES)}
    known = [column for column in usable if column.casefold() in named]
    known = [column for column in known if lengths[column] > 0] or known
    if known:
        # "title" beside "body": the earlier name of the list is the likelier text.
        return min(known, key=lambda column: named[column.casefold()])
    if not usable:
        return columns[0] if len(columns) == 1 else None
    return max(usable, key=lambda column: lengths[column])


def guess_label(rows: Sequence[Row], columns: Sequence[str], text: str | None) -> str | None:
    """The label column: a well-known name, else the column of the fewest values that recur."""
    others = [column for column in columns if column != text]
    named = {name: place for place, name in enumerate(LABEL_NAMES)}
    known = [column for column in others if column.casefold() in named]
    if known:
        return min(known, key=lambda column: named[column.casefold()])
    best: tuple[int, str] | None = None
    for column in others:
        values = [label_text(row.fields.get(column)) for row in rows]
        present = [value for value in values if value]
        distinct = len(set(present))
        if not present or distinct > max(2, len(present) // 2) or max(map(len, present)) > 100:
            continue
        # One value only may be a constant column (a split's name) or a sorted file's first class.
        rank = distinct if distinct > 1 else 10**6
        if best is None or rank < best[0]:
            best = (rank, column)
    if best:
        return best[1]
    return others[0] if len(others) == 1 else None
