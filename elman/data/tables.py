"""Rows out of any file: finds the format and hands over to its reader."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from elman.data.delimited import delimiter_named, read_delimited, text_sample
from elman.data.delimiters import KNOWN_NAMES, sniff
from elman.data.endings import CONLL_ENDINGS, LINE_ENDINGS, ending_of, is_table_name
from elman.data.folders import read_folder
from elman.data.frames import read_arrow, read_parquet
from elman.data.lines import (
    LABEL_PREFIX,
    is_comment,
    read_conll,
    read_fasttext,
    read_json,
    read_json_lines,
    read_plain,
)
from elman.data.rows import Asked, Row, Rows
from elman.data.source import Source, source_of
from elman.errors import DataError, did_you_mean

__all__ = ["FORMATS", "Asked", "Row", "Rows", "read_rows"]

_READERS: dict[str, Callable[[Source], Rows]] = {
    "jsonl": read_json_lines,
    "json": read_json,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "fasttext": read_fasttext,
    "conll": read_conll,
    "lines": read_plain,
}
FORMATS = ("csv", "tsv", *_READERS, "folder")


def read_rows(
    path: str | os.PathLike[str], format: str | None = None, *, asked: Asked | None = None
) -> Rows:
    """The rows of `path`, whatever its format; only a sample is read until they are iterated.

    Args:
        path: a file (plain, gzip, xz, zstd or bz2), a folder, or "-" for standard input.
        format: a name of `FORMATS`; None finds it by the contents.
        asked: everything else that the user fixed.

    Raises:
        DataError: the file is missing, empty, binary, or not in the format; also while iterating.
    """
    if not os.fspath(path):
        raise DataError("the path is empty.", hint="Name a file, a folder or - for standard input.")
    asked = asked or Asked()
    wanted = format or asked.format
    if wanted is not None and wanted not in FORMATS:
        raise DataError(f'there is no format "{wanted}".', hint=did_you_mean(wanted, FORMATS))
    if wanted == "folder" or (wanted is None and Path(path).is_dir()):
        return read_folder(path, asked, read_rows)
    source = source_of(path, asked)
    if wanted == "tsv" and asked.delimiter is None:
        asked = Asked(**{**asked.__dict__, "delimiter": "\t"})
    if wanted in {"csv", "tsv"}:
        return read_delimited(source, asked)
    if wanted is not None:
        return _READERS[wanted](source)
    return _find(source, asked)


def _find(source: Source, asked: Asked) -> Rows:
    magic = source.sample(8)
    if not magic:
        raise DataError("the file is empty.", where=source.name)
    if magic.startswith(b"PAR1"):
        return read_parquet(source)
    if magic.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return read_arrow(source)
    sample = text_sample(source)
    text, whole = sample
    if not text.strip():
        raise DataError("the file is empty.", where=source.name)
    found = _text_format(source, text, whole, asked)
    if found in {"csv", "tsv"}:
        return read_delimited(source, asked, sample)
    return _READERS[found](source)


def _text_format(source: Source, text: str, whole: bool, asked: Asked) -> str:
    ending = ending_of(source.path)
    first = next(line for line in text.splitlines() if line.strip()).strip()
    lines = asked.lines and not is_table_name(source.path)
    if asked.delimiter is not None and not lines:
        return "csv"
    if first.startswith("{") and (_is_json(first) or ending in {".jsonl", ".ndjson", ".json"}):
        return "jsonl" if _is_json(first) or ending != ".json" else "json"
    if first.startswith("[") and (ending == ".json" or _starts_array(text)):
        return "json"
    if ending in {".jsonl", ".ndjson"}:
        return "jsonl"
    if first.startswith(LABEL_PREFIX):
        return "fasttext"
    if lines:
        return _lines_but_for(text, whole, asked)
    if ending in CONLL_ENDINGS or (is_comment(first) and " = " in first):
        return "conll"
    if ending in (*LINE_ENDINGS, ""):
        return _lines_or_table(text, whole, asked)
    return "csv"


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _starts_array(text: str) -> bool:
    rest = text.lstrip()[1:].lstrip()
    return rest.startswith("{") and '"' in rest[:2000]


def _lines_or_table(text: str, whole: bool, asked: Asked) -> str:
    """A `.txt` file or standard input is a table only when its rows agree; prose has commas too."""
    found = sniff(text, whole=whole)
    named = bool(found.rows) and _names(found.rows[0], (*KNOWN_NAMES, *asked.columns))
    if found.fields < 2 or found.agreement < 0.9:
        return "csv" if named and len(found.rows) > 1 and found.fields < 2 else "lines"
    if named or (found.dialect.delimiter == "\t" and found.agreement == 1.0):
        return "csv"
    return "lines"


def _names(row: Sequence[str], columns: Iterable[str]) -> bool:
    """Whether a cell of the row is one of the columns' names, in whatever capitals."""
    wanted = {name.casefold() for name in columns}
    return any(cell.strip().casefold() in wanted for cell in row)


def _lines_but_for(text: str, whole: bool, asked: Asked) -> str:
    """Lines, unless the rows have the column that is asked for: one line of prose is no table."""
    found = sniff(
        text, whole=whole, delimiter=delimiter_named(asked.delimiter), quoting=asked.quoting
    )
    if not found.rows:
        return "lines"
    named = _names(found.rows[0], asked.columns)
    if named and (found.fields > 1 or len(found.rows) > 1):
        return "csv"
    # Columns without names: the comma of a sentence would do for two, so it has to be said.
    sure = found.dialect.delimiter == "\t" or asked.delimiter is not None
    numbers = [int(name) for name in asked.columns if name.isdecimal()]
    fits = any(number <= found.fields for number in numbers) and found.fields > 1
    return "csv" if sure and fits and found.agreement == 1.0 else "lines"
