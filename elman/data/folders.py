"""Reads folders: one per class, a file per class, shards, and data sets saved by Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from elman.data.encodings import TextDecoder, binary_kind
from elman.data.endings import (
    LINE_ENDINGS,
    PACKED_ENDINGS,
    PAGE_ENDINGS,
    TABLE_ENDINGS,
    bare_name,
    ending_of,
)
from elman.data.rows import Asked, Row, Rows
from elman.data.source import Source, source_of
from elman.errors import DataError
from elman.files import explain, read_json

_SPLITS = ("train", "test", "valid", "val", "validation", "dev", "eval")
_UNLABELLED = ("unsup", "unlabelled", "unlabeled")
_TEXT_ENDINGS = (*LINE_ENDINGS, *PAGE_ENDINGS, "")
Reader = Callable[..., Rows]


def _visible(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DataError(explain(error, folder, "read").message) from error
    return [path for path in entries if not path.name.startswith((".", "__"))]


def read_folder(path: str | os.PathLike[str], asked: Asked, read_rows: Reader) -> Rows:
    """The rows of a folder.

    Understood, in this order: a data set saved by Hugging Face; tables of the same columns (read
    one after the other); a folder for each class with a file for each example; a text file for
    each class with an example on each line.

    Raises:
        DataError: nothing of the kind is in it, or it holds several splits (names them).
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f'"{folder}" is not a folder.', hint="Check the path.")
    entries = _visible(folder)
    files = [entry for entry in entries if entry.is_file()]
    folders = [entry for entry in entries if entry.is_dir() and entry.name not in _UNLABELLED]
    _refuse_splits(folder, files, folders)
    tables = [file for file in files if ending_of(file) in TABLE_ENDINGS and not _is_metadata(file)]
    texts = [file for file in files if ending_of(file) in LINE_ENDINGS]
    if tables and not folders:
        return _shards(folder, tables, asked, read_rows)
    full = [entry for entry in folders if next(_text_files(entry), None) is not None]
    if full:
        return _per_class(folder, full, asked)
    if texts:
        return _file_per_class(folder, texts, asked)
    raise DataError(
        f'the folder "{folder}" holds no examples.',
        hint="Wanted: a folder per class with a text file per example, a Label.txt per class with "
        "an example a line, or tables (CSV, JSON Lines, Parquet).",
    )


def _is_metadata(file: Path) -> bool:
    return file.name in {"dataset_info.json", "state.json", "dataset_dict.json"}


def _refuse_splits(folder: Path, files: list[Path], folders: list[Path]) -> None:
    def split_of(entry: Path) -> str:
        return entry.name.split(".")[0].split("-")[0].lower()

    parts = [entry for entry in (*folders, *files) if split_of(entry) in _SPLITS]
    usable = [entry for entry in parts if entry.is_dir() or ending_of(entry) in TABLE_ENDINGS]
    if not usable and parts and len(parts) == len(files):
        usable = parts
    if len({split_of(entry) for entry in usable}) > 1 or (
        len(usable) == 1 and not usable[0].is_file()
    ):
        names = ", ".join(entry.name for entry in parts)
        raise DataError(
            f'the folder "{folder}" holds parts of a data set ({names}), not one set.',
            hint=f'Name one, say "{usable[0]}", and give the others by --valid and --test.',
        )


def _shards(folder: Path, tables: list[Path], asked: Asked, read_rows: Reader) -> Rows:
    endings = {ending_of(file) for file in tables}
    if len(endings) > 1:
        raise DataError(
            f'the folder "{folder}" mixes formats ({", ".join(sorted(endings))}).',
            hint="Name one file.",
        )
    parts = [read_rows(file, asked=asked) for file in tables]
    for file, part in zip(tables, parts, strict=True):
        if part.columns != parts[0].columns:
            raise DataError(
                f"its columns are {', '.join(part.columns)}, "
                f"but {tables[0].name} has {', '.join(parts[0].columns)}.",
                where=os.fspath(file),
                hint="Name one file, or give all of them the same columns.",
            )
    names = _class_names(folder)
    facts: dict[str, Any] = {**parts[0].facts, "path": os.fspath(folder), "files": len(tables)}
    if names:
        facts["class_names"] = names

    def start() -> Iterator[Row]:
        for part in parts:
            for row in part:
                yield _named(row, names) if names else row
            facts["encoding"] = part.facts.get("encoding")

    return Rows(facts, start)


def _class_names(folder: Path) -> dict[str, list[str]]:
    """Column -> class names out of `dataset_info.json`, where Hugging Face keeps them."""
    info = folder / "dataset_info.json"
    if not info.is_file():
        return {}
    features = (read_json(info) or {}).get("features") or {}
    return {
        column: [str(name) for name in feature["names"]]
        for column, feature in features.items()
        if isinstance(feature, dict)
        and feature.get("_type") == "ClassLabel"
        and isinstance(feature.get("names"), list)
    }


def _named(row: Row, names: dict[str, list[str]]) -> Row:
    fields = dict(row.fields)
    for column, known in names.items():
        value = fields.get(column)
        if isinstance(value, int) and 0 <= value < len(known):
            fields[column] = known[value]
        elif isinstance(value, int):
            fields[column] = None  # -1: no label
    return Row(fields, row.where)


def _text_files(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.startswith(".") and ending_of(name) in _TEXT_ENDINGS:
                yield Path(base) / name


def _per_class(folder: Path, classes: list[Path], asked: Asked) -> Rows:
    facts = _folder_facts(folder, "folder", asked)
    facts["classes"] = [entry.name for entry in classes]

    def start() -> Iterator[Row]:
        encodings: set[str] = set()
        for entry in classes:
            for file in _text_files(entry):
                text, encoding = _whole_text(file, asked)
                encodings.add(encoding)
                yield Row({"text": text, "label": entry.name}, os.fspath(file.relative_to(folder)))
        facts["encoding"] = ", ".join(sorted(encodings)) or None

    # The first files of the first and the last class say what is there without reading all.
    for entry in (classes[0], classes[-1]):
        for file in islice(_text_files(entry), 20):
            facts["encoding"] = _whole_text(file, asked)[1]
    return Rows(facts, start)


def _folder_facts(folder: Path, name: str, asked: Asked) -> dict[str, Any]:
    return {
        "path": os.fspath(folder),
        "format": name,
        "compression": None,
        "encoding": asked.encoding,
        "delimiter": None,
        "quoting": None,
        "header": None,
        "columns": ["text", "label"],
    }


def _whole_text(file: Path, asked: Asked) -> tuple[str, str]:
    """(the text of a small file, its encoding)."""
    if file.name.lower().endswith(PACKED_ENDINGS):
        content = Source(file).open().read()
    else:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DataError(explain(error, file, "read").message) from error
    kind = None if asked.encoding else binary_kind(content[: 1 << 16])
    if kind:
        raise DataError(f"this is {kind}, not text.", where=os.fspath(file))
    decoder = TextDecoder(os.fspath(file), asked.encoding, asked.encoding_errors, asked.faults)
    text = decoder.decode(content) + decoder.decode(b"", final=True)
    return text.strip("\r\n"), decoder.found


def _file_per_class(folder: Path, files: list[Path], asked: Asked) -> Rows:
    facts = _folder_facts(folder, "file per class", asked)
    facts["classes"] = [Path(bare_name(file)).stem for file in files]

    def start() -> Iterator[Row]:
        encodings: set[str] = set()
        for file in files:
            source = source_of(file, asked)
            label = Path(bare_name(file)).stem
            for number, line in enumerate(source.lines(), start=1):
                text = line.rstrip("\r\n")
                if text.strip():
                    yield Row({"text": text, "label": label}, f"{file.name}, line {number}")
            encodings.add(source.found_encoding or "utf-8")
        facts["encoding"] = ", ".join(sorted(encodings)) or None

    return Rows(facts, start)
