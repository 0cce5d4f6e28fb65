"""How a delimited file is written: delimiter, quoting, header; judged on its beginning.

`csv.Sniffer` guesses from character frequencies and is wrong on prose; here every candidate really
parses the sample, and the one whose rows agree on their number of fields is taken.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

TEXT_NAMES = (
    "text", "review", "sentence", "content", "body", "comment", "message", "tweet", "question",
    "document", "utterance", "description", "title", "review_body", "reviewtext", "query", "sms",
    "headline", "abstract", "post", "input", "文本", "内容", "评论", "句子",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "tag", "tags",
    "polarity", "stars", "rating", "score", "genre", "language", "lang", "emotion", "coarse_label",
    "label_text", "y", "output", "classification", "类别", "标签", "情感",
)  # fmt: skip
_OTHER_NAMES = (
    "id",
    "index",
    "name",
    "date",
    "time",
    "split",
    "source",
    "url",
    "author",
    "fine_label",
)
KNOWN_NAMES = frozenset((*TEXT_NAMES, *LABEL_NAMES, *_OTHER_NAMES))

DELIMITERS = ("\t", ",", ";", "|")
DELIMITER_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", "\x1f": "none"}
ALONE = "\x1f"  # stands for "no delimiter": one column
_SAMPLE_ROWS = 2000


@dataclass(frozen=True)
class Dialect:
    """A way to write rows: `quoting` is "quotes" (a quote doubled), "backslash" or "none"."""

    delimiter: str
    quoting: str = "quotes"

    def options(self, strict: bool = True) -> dict[str, Any]:
        """Arguments for `csv.reader`."""
        base: dict[str, Any] = {"delimiter": self.delimiter, "strict": strict}
        if self.quoting == "none":
            return base | {"quoting": csv.QUOTE_NONE}
        if self.quoting == "backslash":
            return base | {"doublequote": False, "escapechar": "\\"}
        return base


@dataclass(frozen=True)
class Sniffed:
    """A dialect, its usual number of fields and the share of rows that have it."""

    dialect: Dialect
    fields: int
    agreement: float
    rows: list[list[str]]


def raise_field_limit() -> None:
    """Lets `csv` read fields of any size; its own limit is 128 KiB."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def _parse(sample: str, dialect: Dialect, whole: bool) -> tuple[list[list[str]], int]:
    """(the rows of the sample, rows that break the dialect's rules)."""
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(sample, newline=""), **dialect.options())
    errors = 0
    while len(rows) < _SAMPLE_ROWS:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end" in str(error) and not whole:
                break  # the sample is cut in the middle of a quoted field
            errors += 1
            if errors > 20:
                break
            continue
        if row:
            rows.append(row)
    if not whole and len(rows) > 1:
        rows.pop()  # the last row may be cut
    return rows, errors


def _judge(sample: str, dialect: Dialect, whole: bool) -> Sniffed:
    rows, errors = _parse(sample, dialect, whole)
    if not rows:
        return Sniffed(dialect, 0, 0.0, rows)
    fields, common = Counter(map(len, rows)).most_common(1)[0]
    return Sniffed(dialect, fields, common / (len(rows) + errors), rows)


def _known(rows: list[list[str]]) -> int:
    return sum(cell.strip().casefold() in KNOWN_NAMES for cell in rows[0]) if rows else 0


def _rank(found: Sniffed, extension: str) -> tuple[Any, ...]:
    hint = {".tsv": "\t", ".tab": "\t", ".psv": "|"}.get(extension)
    delimiter = found.dialect.delimiter
    exact = found.agreement == 1.0
    return (
        found.fields > 1 and (found.agreement >= 0.9 or delimiter == hint),
        _known(found.rows) > 0 and found.fields > 1,
        exact,
        # Quotes that mean nothing are believed only when every row then agrees; otherwise the
        # reader had better name the quote that never closes.
        found.dialect.quoting != "none",
        round(found.agreement, 2),
        delimiter == hint,
        -("quotes", "backslash", "none").index(found.dialect.quoting),
        _known(found.rows),
        -DELIMITERS.index(delimiter) if delimiter in DELIMITERS else 0,
    )


def sniff(
    sample: str,
    *,
    whole: bool,
    extension: str = "",
    delimiter: str | None = None,
    quoting: str | None = None,
) -> Sniffed:
    """The dialect that reads `sample` best.

    Args:
        sample: the beginning of the file.
        whole: the sample is the whole file.
        extension: ".tsv" and the like, used where the contents leave it open.
        delimiter, quoting: fixed by the user.
    """
    raise_field_limit()
    delimiters = (delimiter,) if delimiter else tuple(d for d in DELIMITERS if d in sample)
    quotings = (quoting,) if quoting else ("quotes", "backslash", "none")
    if '"' not in sample and not quoting:
        quotings = ("quotes",)
    elif '\\"' not in sample and not quoting:
        quotings = ("quotes", "none")
    candidates = [
        _judge(sample, Dialect(mark, way), whole)
        for mark in delimiters or (",",)
        for way in quotings
    ]
    best = max(candidates, key=lambda found: _rank(found, extension))
    if best.fields > 1 or delimiter:
        return best
    # One column only: the delimiter does not matter as long as quotes are honoured.
    return _judge(sample, Dialect(ALONE, quotings[0]), whole)


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns.

    It does when a cell is a well-known name. It does not when a cell is empty text, a number or
    recurs below as a value of a column with few values. Otherwise it does when its cells are
    short, distinct and unlike what stands below them.
    """
    if not rows:
        return False
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if any(cell.casefold() in KNOWN_NAMES for cell in first):
        return True
    if any(_number(cell) for cell in first) or any(len(cell) > 60 for cell in first):
        return False
    if len(set(first)) < len(first) or not all(first[1:]):
        return False
    if not rest:
        return len(first) > 1 and all(cell.isidentifier() for cell in first)
    for column, cell in enumerate(first):
        below = [row[column] for row in rest if column < len(row)]
        if below and len(set(below)) <= max(2, len(below) // 3) and cell in below:
            return False
    return all(
        cell.replace(" ", "_").replace("-", "_").isidentifier() for cell in first if cell
    ) and (
        any(
            all(_number(row[column]) for row in rest if column < len(row) and row[column])
            for column in range(len(first))
        )
        or any(
            sum(len(row[column]) for row in rest if column < len(row)) > 3 * len(cell) * len(rest)
            for column, cell in enumerate(first)
        )
    )


def column_names(header: list[str]) -> tuple[list[str], list[str]]:
    """(unique names, names that occurred more than once); a nameless column gets its position."""
    names: list[str] = []
    twice: list[str] = []
    for position, cell in enumerate(header, start=1):
        name = cell.strip() or str(position)
        if name in names:
            twice.append(name)
            count = 2
            while f"{name}.{count}" in names:
                count += 1
            name = f"{name}.{count}"
        names.append(name)
    return names, twice


def positions(count: int) -> list[str]:
    """Names of the columns of a file without a header: "1", "2", ..."""
    return [str(number) for number in range(1, count + 1)]


def records(
    lines: Iterable[str], dialect: Dialect
) -> Iterator[tuple[int, list[str] | None, csv.Error | None]]:
    """(line, row, None) for each record, or (line, None, error) for one that breaks the rules."""
    raise_field_limit()
    reader = csv.reader(lines, **dialect.options())
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, None, error
            continue
        yield line, row, None
