"""Rows of a table: named fields and the place they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        fields: column name -> value (text, number, list or None).
        where: the place, as "train.csv, row 12"; rows are counted as a spreadsheet does, so that
            a header is row 1.
    """

    fields: dict[str, Any]
    where: str


@dataclass(frozen=True)
class Asked:
    """What the user fixed about a file; None means: find it.

    Attributes:
        format: csv, tsv, jsonl, json, parquet, arrow, fasttext, conll, lines or folder.
        delimiter: one character, or "tab", "comma", "semicolon", "bar".
        quoting: "quotes", "backslash" or "none".
        header: whether the first row names the columns.
        encoding: a name that Python knows.
        encoding_errors: "strict" or "replace".
        columns: names the user expects; a first row that has one of them is a header.
    """

    format: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    header: bool | None = None
    encoding: str | None = None
    encoding_errors: str = "strict"
    columns: tuple[str, ...] = ()


@dataclass
class Rows:
    """The rows of a file; iterating reads it in a stream, each time from the beginning.

    Attributes:
        facts: what was found: path, format, compression, encoding, delimiter, quoting, header,
            columns. The encoding may become more exact while rows are read.
    """

    facts: dict[str, Any]
    start: Callable[[], Iterator[Row]] = field(repr=False)

    def __iter__(self) -> Iterator[Row]:
        return self.start()

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.facts["columns"])
