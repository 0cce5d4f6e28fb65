"""Rows of a table: named fields and the place they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from elman.errors import DataError

_KEPT = 5  # faults of a kind that are kept to be shown

Fault = Literal["row", "encoding", "label"]


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


@dataclass
class Faults:
    """What a reading would have stopped at, counted by kind; the first few are kept.

    Kinds: "row" (it cannot be read and is left out), "encoding" (bytes that do not fit; U+FFFD
    stands for them; counted once a megabyte), "label" (there is none).
    """

    counts: dict[Fault, int] = field(default_factory=dict["Fault", int])
    first: dict[Fault, list[DataError]] = field(default_factory=dict["Fault", "list[DataError]"])

    def add(self, kind: Fault, error: DataError) -> None:
        """Counts one."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept = self.first.setdefault(kind, [])
        if len(kept) < _KEPT:
            kept.append(error)

    def clear(self) -> None:
        """Forgets all of them, before the file is read again."""
        self.counts.clear()
        self.first.clear()


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
        lines: whatever is not called a table, or JSON, is plain lines unless its first row has one
            of `columns`; a name that is a number wants as many fields in every row.
        faults: gathers what would stop the reading, which then goes on.
    """

    format: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    header: bool | None = None
    encoding: str | None = None
    encoding_errors: str = "strict"
    columns: tuple[str, ...] = ()
    lines: bool = False
    faults: Faults | None = None


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
