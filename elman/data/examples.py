"""Texts with labels out of any file: columns guessed or named, rows read in a stream."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from elman.data.columns import guess_label, guess_text, named_column, refuse_twice
from elman.data.labels import label_text, labels_of
from elman.data.rows import Asked, Faults, Row, Rows
from elman.data.tables import read_rows
from elman.errors import DataError

_SAMPLE = 1000  # rows by which columns are guessed
_NAMED_ROWS = 3  # rows without a label that an error names

Missing = Literal["error", "drop", "keep"]


@dataclass(frozen=True, slots=True)
class TextExample:
    """One text, its labels (one, several or none) and the place it comes from."""

    text: str
    labels: tuple[str, ...]
    where: str


class Fingerprint:
    """SHA-256 over texts and labels in order, fed one example at a time."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, text: str, labels: Sequence[str]) -> None:
        """Adds one example; lengths go in too, so that no two data sets read the same."""
        for part in (text, *labels):
            content = part.encode("utf-8", "surrogatepass")
            self._digest.update(len(content).to_bytes(8, "little"))
            self._digest.update(content)
        self._digest.update(b"\xff" * 8)

    def hexdigest(self) -> str:
        """The fingerprint so far, in hexadecimal."""
        return self._digest.hexdigest()


@dataclass
class Examples:
    """Examples of a file; iterating reads it in a stream, each time from the beginning.

    Attributes:
        facts: what was found and used: path, format, compression, encoding, delimiter, quoting,
            header, columns, text, label, several_labels; after a full reading also rows, dropped.
        faults: what the last reading would have stopped at, if that is gathered.
    """

    facts: dict[str, Any]
    start: Callable[[], Iterator[TextExample]] = field(repr=False)
    faults: Faults | None = field(default=None, repr=False)
    _fingerprint: str | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[TextExample]:
        digest = Fingerprint()
        count = 0
        for example in self.start():
            digest.add(example.text, example.labels)
            count += 1
            yield example
        if not count:
            raise DataError("there is no row of data.", where=str(self.facts.get("path")))
        self.facts["rows"] = count
        self._fingerprint = digest.hexdigest()

    @property
    def several_labels(self) -> bool:
        """Whether a row may have several labels at once."""
        return bool(self.facts.get("several_labels"))

    def fingerprint(self) -> str:
        """SHA-256 over texts and labels in order; free once the examples were read to the end."""
        if self._fingerprint is None:
            for _ in self:
                pass
        assert self._fingerprint is not None
        return self._fingerprint

    def texts(self) -> Iterator[str]:
        """The texts alone."""
        return (example.text for example in self)

    def select(self, rows: Iterable[int]) -> Subset:
        """The examples at these positions, in the order of the file, still read in a stream."""
        return Subset(self, frozenset(rows))


@dataclass(frozen=True)
class Subset:
    """Some rows of `Examples`, in the order of the file; iterable again and again."""

    examples: Iterable[TextExample]
    rows: frozenset[int]

    def __iter__(self) -> Iterator[TextExample]:
        return (example for row, example in enumerate(self.examples) if row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def texts(self) -> Iterator[str]:
        """The texts alone."""
        return (example.text for example in self)


def read_examples(
    path: str | os.PathLike[str],
    *,
    text: str | int | None = None,
    label: str | int | Sequence[str] | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    quoting: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    encoding_errors: str = "strict",
    label_separator: str | None = None,
    missing_labels: Missing = "error",
    need_labels: bool = True,
    faults: Faults | None = None,
) -> Examples:
    """Texts with their labels out of `path`.

    Args:
        path: a file (CSV, TSV, JSON Lines, Parquet, Arrow, fastText, CoNLL, plain lines; packed or
            not), a folder, or "-" for standard input.
        text, label: column names, or positions from one; None guesses. Several label columns
            (a list, or names joined by commas) hold 0 and 1 and are several labels at once.
        format, delimiter, quoting, header, encoding, encoding_errors: None finds them.
        label_separator: splits a label cell into several labels.
        missing_labels: "error"; "drop" and count them; "keep" them with no label.
        need_labels: False for texts to be predicted; labels are then read if there are any.
        faults: gathers bad rows, bytes and missing labels, which then stop nothing; it begins anew
            with each reading.

    Raises:
        DataError: the file cannot be read, a column is missing, there is no row; while iterating:
            a bad row, a row without a label.
    """
    named = [str(name) for name in (text, *_label_names(label)) if name is not None]
    asked = Asked(
        format, delimiter, quoting, header, encoding, encoding_errors, tuple(named), faults=faults
    )
    rows = read_rows(path, asked=asked)
    sample = list(islice(rows, _SAMPLE))
    where = str(rows.facts["path"])
    if not sample:
        raise DataError("there is a header but no row of data.", where=where)
    chosen = _choose(rows, sample, text, label, need_labels, where)
    facts = {**rows.facts, **chosen.facts}
    facts["several_labels"] = chosen.several(sample, label_separator)
    keep: Missing = missing_labels if need_labels else "keep"

    def start() -> Iterator[TextExample]:
        facts["dropped"] = 0
        if faults is not None:
            faults.clear()
        yield from _examples(rows, chosen, label_separator, keep, facts, faults)
        facts["encoding"] = rows.facts["encoding"]

    return Examples(facts, start, faults)


@dataclass(frozen=True)
class _Chosen:
    text: str
    labels: tuple[str, ...]
    guessed: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "label": ", ".join(self.labels) or None,
            "guessed": list(self.guessed),
        }

    def several(self, sample: Sequence[Row], separator: str | None) -> bool:
        if separator is not None or len(self.labels) > 1:
            return True
        values = [row.fields.get(self.labels[0]) for row in sample] if self.labels else []
        lists = [value for value in values if isinstance(value, list)]
        return any(len(value) != 1 for value in lists)

    def read(self, row: Row, separator: str | None) -> tuple[str, ...] | None:
        if not self.labels:
            return None
        if len(self.labels) == 1:
            return labels_of(row.fields.get(self.labels[0]), separator)
        return tuple(name for name in self.labels if _is_on(row, name))


def _is_on(row: Row, name: str) -> bool:
    value = label_text(row.fields.get(name))
    if value in {"1", "True", "true"}:
        return True
    if value in {None, "0", "False", "false"}:
        return False
    raise DataError(
        f'{value!r} in the column "{name}"; where several columns are labels, they hold 0 and 1.',
        where=row.where,
        hint="Name one label column, or split its cells with --data.label-separator.",
    )


def _label_names(label: str | int | Sequence[str] | None) -> list[str]:
    if label is None:
        return []
    if isinstance(label, str | int):
        return [str(label)]
    return list(label)


def _choose(
    rows: Rows,
    sample: list[Row],
    text: str | int | None,
    label: str | int | Sequence[str] | None,
    need_labels: bool,
    where: str,
) -> _Chosen:
    columns = rows.columns
    twice = rows.facts.get("columns_twice", [])
    names = _label_names(label)
    if len(names) == 1 and names[0] not in columns and "," in names[0]:
        names = [name.strip() for name in names[0].split(",")]
    labels = [named_column(name, columns, "the label", where) for name in names]
    guessed = [part for part, given in (("text", text), ("label", label)) if given is None]
    if text is not None:
        text_column = named_column(text, columns, "the text", where)
    else:
        found = guess_text(sample, columns, labels[0] if labels else None)
        if found is None:
            raise DataError(
                "no column holds text.",
                where=where,
                hint=f"Name it (--text); the columns are: {', '.join(columns)}.",
            )
        text_column = found
    if not labels:
        guess = guess_label(sample, columns, text_column)
        if guess is None and need_labels:
            raise DataError(
                f"no column looks like a label beside the text ({text_column}).",
                where=where,
                hint=f"Name it (--label); the columns are: {', '.join(columns)}.",
            )
        labels = [guess] if guess else []
    if text_column in labels:
        raise DataError(f'"{text_column}" is both the text and the label.', where=where)
    for column in (text_column, *labels):
        refuse_twice(column, twice, where)
    return _Chosen(text_column, tuple(labels), tuple(guessed))


def _examples(
    rows: Rows,
    chosen: _Chosen,
    separator: str | None,
    missing: Missing,
    facts: dict[str, Any],
    faults: Faults | None,
) -> Iterator[TextExample]:
    unlabelled: list[str] = []
    for row in rows:
        try:
            labels = chosen.read(row, separator)
        except DataError as error:
            if faults is None:
                raise
            faults.add("row", error)
            continue
        if labels is None and missing == "drop":
            facts["dropped"] += 1
            continue
        if labels is None and missing == "error" and faults is not None:
            faults.add("label", DataError("no label.", where=row.where))
        elif labels is None and missing == "error":
            unlabelled.append(row.where)
            if len(unlabelled) == _NAMED_ROWS:
                break
        if unlabelled:
            continue  # an error is sure; go on only to name more such rows
        if labels is not None and len(labels) > 1:
            facts["several_labels"] = True
        yield TextExample(text_of(row, chosen.text), labels or (), row.where)
    if unlabelled:
        raise DataError(
            f"no label ({', '.join(chosen.labels)}) in {_listed(unlabelled)}.",
            where=str(rows.facts["path"]),
            hint="Fill it in, or leave such rows out: --data.missing-labels drop.",
        )


def _listed(places: list[str]) -> str:
    more = " and perhaps more" if len(places) == _NAMED_ROWS else ""
    return "; ".join(places) + more


def text_of(row: Row, column: str) -> str:
    """The text in a row's column; "" where there is none."""
    value = row.fields.get(column)
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone half of a surrogate pair, written as \ud800 in JSON
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
