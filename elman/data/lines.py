"""Reads formats that are lines: JSON Lines, fastText, CoNLL columns and plain lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from elman.data.endings import bare_name
from elman.data.rows import Row, Rows
from elman.data.source import Source
from elman.errors import DataError

LABEL_PREFIX = "__label__"
_COLUMNS_SAMPLE = 1000


def _facts(source: Source, name: str, columns: list[str]) -> dict[str, Any]:
    return {
        "path": source.path,
        "format": name,
        "compression": source.compression,
        "encoding": source.found_encoding,
        "delimiter": None,
        "quoting": None,
        "header": None,
        "columns": columns,
    }


def _rows(
    source: Source, name: str, columns: list[str], read: Callable[[Source], Iterator[Row]]
) -> Rows:
    facts = _facts(source, name, columns)

    def start() -> Iterator[Row]:
        yield from read(source)
        facts["encoding"] = source.found_encoding

    return Rows(facts, start)


def _columns_of(rows: Iterator[Row]) -> list[str]:
    """The union of the names in the first rows, in the order they appear."""
    columns: dict[str, None] = {}
    for count, row in enumerate(rows):
        columns.update(dict.fromkeys(row.fields))
        if count >= _COLUMNS_SAMPLE:
            break
    return list(columns)


def read_json_lines(source: Source) -> Rows:
    """JSON Lines: one object a line. A line that is a plain JSON string is a row with `text`."""
    return _rows(source, "jsonl", _columns_of(_json_lines(source)), _json_lines)


def _json_lines(source: Source) -> Iterator[Row]:
    for number, line in enumerate(_by_line_feed(source), start=1):
        if not line.strip():
            continue
        where = f"{source.name}, line {number}"
        try:
            fields = _fields(_parsed(line, where), where)
        except DataError as error:
            source.skip(error)
            continue
        yield Row(fields, where)


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON: {error.msg} at column {error.colno}.",
            where=where,
            hint="JSON Lines has one whole JSON object on each line.",
        ) from None
    except RecursionError:
        raise DataError("JSON nested too deeply.", where=where) from None


def _by_line_feed(source: Source) -> Iterator[str]:
    # JSON may hold U+2028 and the like raw; only a line feed ends a row.
    held: list[str] = []
    for line in source.lines():
        held.append(line)
        if line.endswith("\n"):
            yield "".join(held)
            held = []
    if held:
        yield "".join(held)


def _fields(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {str(name): item for name, item in value.items()}
    if isinstance(value, str):
        return {"text": value}
    raise DataError(
        f"a JSON {type(value).__name__}, where an object with named fields is wanted.",
        where=where,
        hint='Write rows as {"text": "...", "label": "..."}.',
    )


def read_json(source: Source) -> Rows:
    """One JSON array of objects; it is read whole, so that it must fit into memory."""
    return _rows(source, "json", _columns_of(_json(source)), _json)


def _json(source: Source) -> Iterator[Row]:
    try:
        value = json.loads("".join(source.text()))
    except json.JSONDecodeError as error:
        place = f"{source.name}, line {error.lineno}, column {error.colno}"
        raise DataError(f"not JSON: {error.msg}.", where=place) from None
    except RecursionError:
        raise DataError("JSON nested too deeply.", where=source.name) from None
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        if len(lists) != 1:
            raise DataError(
                "one JSON object, where an array of objects is wanted.",
                where=source.name,
                hint="Write one object a line (JSON Lines).",
            )
        value = lists[0]
    if not isinstance(value, list):
        raise DataError("this JSON file holds no rows.", where=source.name)
    for number, item in enumerate(value, start=1):
        where = f"{source.name}, row {number}"
        try:
            fields = _fields(item, where)
        except DataError as error:
            source.skip(error)
            continue
        yield Row(fields, where)


def read_fasttext(source: Source) -> Rows:
    """fastText lines: `__label__a __label__b text`; the column `label` is a list."""
    return _rows(source, "fasttext", ["label", "text"], _fasttext)


def _fasttext(source: Source) -> Iterator[Row]:
    for number, line in enumerate(source.lines(), start=1):
        if not line.strip():
            continue
        labels: list[str] = []
        rest = line.strip()
        while rest.startswith(LABEL_PREFIX):
            label, rest = (*rest.split(maxsplit=1), "")[:2]
            labels.append(label.removeprefix(LABEL_PREFIX).rstrip(","))
            rest = rest.lstrip(" \t,")
        where = f"{source.name}, line {number}"
        yield Row({"label": labels or None, "text": rest}, where)


def read_plain(source: Source) -> Rows:
    """Plain lines: each is a text; there are no labels."""
    return _rows(source, "lines", ["text"], _plain)


def _plain(source: Source) -> Iterator[Row]:
    for number, line in enumerate(source.lines(), start=1):
        text = line.rstrip("\r\n")
        # Whoever pipes lines in puts what comes out beside them, so that none may be missing.
        if text.strip() or source.standard_input:
            yield Row({"text": text}, f"{source.name}, line {number}")


def read_conll(source: Source) -> Rows:
    """CoNLL columns: a token a line, a blank line between examples, `# key = value` above them.

    Columns: `text` (the tokens joined by a blank), `tokens`, `tags` (the last column), and one for
    each comment key. Ten columns (CoNLL-U) have the token in the second, others in the first.
    """
    columns = _columns_of(_conll(source))
    order = ["text", *(name for name in columns if name not in {"text", "tokens", "tags"})]
    return _rows(source, "conll", [*order, "tokens", "tags"], _conll)


def is_comment(line: str) -> bool:
    """A CoNLL comment: `# key = value` or `# words`; a token "#" has its tag behind a tab."""
    return line.startswith("#") and "\t" not in line and ("=" in line or line.startswith("# "))


def _conll(source: Source) -> Iterator[Row]:
    comments: dict[str, Any] = {}
    tokens: list[list[str]] = []
    first = 1
    wide = bare_name(source.path).lower().endswith(".conllu")
    for number, raw in enumerate(source.lines(), start=1):
        line = raw.strip("\r\n")
        if not line.strip():
            if tokens:
                yield _sentence(tokens, comments, wide, f"{source.name}, line {first}")
            if tokens or comments:
                comments, tokens = {}, []
            continue
        if not tokens and not comments:
            first = number
        if not tokens and is_comment(line):
            key, _, value = line[1:].partition("=")
            comments[key.strip()] = value.strip() or None
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if fields[0] == "-DOCSTART-":
            continue
        if tokens and len(fields) != len(tokens[0]):
            source.skip(_uneven(source, number, fields, tokens[0]))
            continue
        tokens.append(fields)
    if tokens:
        yield _sentence(tokens, comments, wide, f"{source.name}, line {first}")


def _uneven(source: Source, number: int, fields: list[str], above: list[str]) -> DataError:
    return DataError(
        f"{len(fields)} columns, but the line above has {len(above)}.",
        where=f"{source.name}, line {number}",
        hint="A token, then its tags, separated by tabs; a blank line ends a sentence.",
    )


def _sentence(tokens: list[list[str]], comments: dict[str, Any], wide: bool, where: str) -> Row:
    column = 1 if wide and len(tokens[0]) > 1 else 0
    words = [fields[column] for fields in tokens]
    tags = [fields[-1] for fields in tokens]
    text = " ".join(words)
    return Row({"text": text, **comments, "tokens": words, "tags": tags} | {"text": text}, where)
