"""What the names of files end in: which are tables, which are texts, which are packed."""

from __future__ import annotations

import os
from pathlib import Path

PACKED_ENDINGS = (".gz", ".xz", ".zst", ".zstd", ".bz2")
CONLL_ENDINGS = (".conll", ".conllu", ".conll2003", ".bio", ".iob", ".iob2", ".bioes")
TABLE_ENDINGS = (
    ".csv", ".tsv", ".tab", ".psv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow",
    *CONLL_ENDINGS,
)  # fmt: skip
LINE_ENDINGS = (".txt", ".text")
PAGE_ENDINGS = (".md", ".html", ".htm")
_LONGEST = 1000  # characters of a path that somebody mistypes


def bare_name(path: str | os.PathLike[str]) -> str:
    """The file's name without the ending of its compression: `a.csv.gz` -> `a.csv`."""
    name = Path(path).name
    for ending in PACKED_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def ending_of(path: str | os.PathLike[str]) -> str:
    """The ending in small letters, without that of the compression; "" where there is none."""
    return Path(bare_name(path)).suffix.lower()


def is_table_name(path: str | os.PathLike[str]) -> bool:
    """Whether the name says that the file holds rows."""
    return ending_of(path) in TABLE_ENDINGS


def looks_like_a_path(text: str) -> bool:
    """Whether a word is likelier the name of a file than a text.

    It has no blanks, and a file's ending or a folder before its `/`: "10/10" is a text.
    """
    if not 0 < len(text) <= _LONGEST or any(char.isspace() or char == "\0" for char in text):
        return False
    known = (*TABLE_ENDINGS, *LINE_ENDINGS, *PAGE_ENDINGS, *PACKED_ENDINGS)
    named = any(text.lower().endswith(ending) for ending in known)
    return named or ("/" in text and _is_folder(os.path.dirname(text)))  # noqa: PTH120


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # too long for a name
        return False
