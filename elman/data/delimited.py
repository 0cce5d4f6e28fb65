"""Reads CSV, TSV and their relatives, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from elman.data.delimiters import (
    ALONE,
    DELIMITER_NAMES,
    Dialect,
    column_names,
    has_header,
    positions,
    records,
    sniff,
)
from elman.data.endings import ending_of
from elman.data.rows import Asked, Row, Rows
from elman.data.source import Source
from elman.errors import DataError

_DELIMITERS_BY_NAME = {name: mark for mark, name in DELIMITER_NAMES.items()} | {"\\t": "\t"}


def delimiter_named(value: str | None) -> str | None:
    """The delimiter as one character: "tab" and "\\t" in letters are understood.

    Raises:
        DataError: it is not one character.
    """
    if value is None:
        return None
    mark = _DELIMITERS_BY_NAME.get(value.lower(), value)
    if len(mark) != 1 or mark in '"\r\n':
        raise DataError(
            f"the delimiter {value!r} is not one character.",
            hint="Give one character, or tab, comma, semicolon or bar.",
        )
    return mark


def text_sample(source: Source) -> tuple[str, bool]:
    """(the first piece of the text, whether it is all of it)."""
    pieces = source.text()
    first = next(pieces, "")
    rest = next(pieces, None)
    pieces.close()  # pyright: ignore[reportAttributeAccessIssue]
    return first, rest is None


def read_delimited(source: Source, asked: Asked, sample: tuple[str, bool] | None = None) -> Rows:
    """The rows of a delimited file.

    Raises:
        DataError: at once for an empty file; while reading for a row with too many or too few
            fields, a quote that never closes, or bytes that do not fit the encoding.
    """
    text, whole = sample or text_sample(source)
    if not text.strip():
        raise DataError("the file is empty.", where=source.name)
    found = sniff(
        text,
        whole=whole,
        extension=ending_of(source.path),
        delimiter=delimiter_named(asked.delimiter),
        quoting=asked.quoting,
    )
    header = asked.header
    if header is None:
        first = {cell.strip() for cell in found.rows[0]} if found.rows else set[str]()
        header = bool(first & set(asked.columns)) or has_header(found.rows)
    names = found.rows[0] if header and found.rows else positions(found.fields)
    columns, twice = column_names(names)
    facts = {
        "path": source.path,
        "format": "tsv" if found.dialect.delimiter == "\t" else "csv",
        "compression": source.compression,
        "encoding": source.found_encoding,
        "delimiter": DELIMITER_NAMES.get(found.dialect.delimiter, found.dialect.delimiter),
        "quoting": found.dialect.quoting,
        "header": header,
        "columns": columns,
        "columns_twice": twice,
    }
    return Rows(facts, lambda: _read(source, found.dialect, columns, header, facts))


def _read(
    source: Source, dialect: Dialect, columns: list[str], header: bool, facts: dict[str, object]
) -> Iterator[Row]:
    number = 0
    for line, row, error in records(source.lines(), dialect):
        number += 1
        if error is not None or row is None:
            source.skip(_broken(source, number, line, error))
            continue
        if not row:
            continue
        if header:
            header = False
            continue
        if len(row) != len(columns):
            if dialect.delimiter == ALONE or not any(row):
                continue
            source.skip(_ragged(source, dialect, number, line, row, columns))
            continue
        yield Row(dict(zip(columns, row, strict=True)), f"{source.name}, row {number}")
    facts["encoding"] = source.found_encoding


def _ragged(
    source: Source, dialect: Dialect, number: int, line: int, row: list[str], columns: list[str]
) -> DataError:
    mark = DELIMITER_NAMES.get(dialect.delimiter, repr(dialect.delimiter))
    return DataError(
        f"{len(row)} fields, but the file has {len(columns)} columns "
        f"({', '.join(columns[:6])}{', ...' if len(columns) > 6 else ''}), delimiter {mark}.",
        where=f"{source.name}, row {number} (line {line})",
        hint="Put text that contains the delimiter in double quotes, or name the delimiter "
        "(--data.delimiter).",
    )


def _broken(source: Source, number: int, line: int, error: csv.Error | None) -> DataError:
    reason = str(error)
    if "unexpected end" in reason:
        reason = "a double quote that opens here never closes"
    elif "expected after" in reason:
        reason = "text follows a closing double quote; a quote inside a field is written twice"
    return DataError(
        f"{reason}.",
        where=f"{source.name}, row {number} (line {line})",
        hint="Mend the quote, or say that quotes mean nothing (--data.quoting none).",
    )
