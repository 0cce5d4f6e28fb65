"""Passages of running text, and which files of a folder hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.data.endings import bare_name
from elman.errors import DataError

DIALOGUES = ("turns", "messages", "dialogue", "dialog", "conversation")
TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_REPLIES = ("assistant", "bot", "gpt", "model", "agent", "b")
_TEXTS = (".txt", ".text", ".md", ".tokens", ".raw")
_BESIDE = {"license", "licence", "copying", "notice", "readme", "sha256sums", "sha1sums", "md5sums",
           "checksums"}  # fmt: skip
_PARTS = {
    "train": {"train", "training", "trainset"},
    "valid": {"valid", "validation", "val", "dev", "devel"},
    "test": {"test", "testing", "testset"},
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document.

    Attributes:
        text: of the part, line ends as "\\n".
        begins: whether a document begins with it.
        where: the place it comes from.
        counted: whether it is to be predicted; in a dialogue only the replies are.
    """

    text: str
    begins: bool
    where: str
    counted: bool = True


def text_files(folder: Path) -> list[Path]:
    """The files of a folder that are read as text, in order.

    What stands beside a text is none: a licence, a README, a list of checksums.

    Raises:
        DataError: there is none.
    """
    files = sorted(file for file in folder.rglob("*") if _is_text(file))
    if not files:
        raise DataError(
            "there is no text file in this folder.",
            where=str(folder),
            hint="Read are .txt, .md, .tokens, .raw, tables and files without an ending; not "
            "README, LICENSE and checksums.",
        )
    return files


def _is_text(file: Path) -> bool:
    name = bare_name(file).lower()
    readable = name.endswith((*_TEXTS, *TABLES)) or "." not in name
    beside = name.split(".")[0] in _BESIDE
    return readable and not beside and not name.startswith(".") and file.is_file()


def parts_of(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that is parted into train, valid and test, by part.

    A file's own name decides, `wiki.train.tokens`, then its folder's, `train/a.txt`; the part is a
    word of the name, so that `contest.txt` is no test. Files of no part are under "". A folder
    without a training part and another one is not parted: `{}`.
    """
    found: dict[str, list[Path]] = {}
    for file in text_files(folder):
        names = (bare_name(file), *reversed(file.relative_to(folder).parts[:-1]))
        part = next((part for name in names if (part := _part(name))), "")
        found.setdefault(part, []).append(file)
    return found if "train" in found and len(found.keys() & _PARTS.keys()) > 1 else {}


def _part(name: str) -> str | None:
    words = set(re.split(r"[^a-z]+", name.lower()))
    parts = [part for part, names in _PARTS.items() if words & names]
    return parts[0] if len(parts) == 1 else None  # "train-dev" may be either


def text_column(columns: list[str], path: str) -> str:
    """The column of the text, found by its name.

    Raises:
        DataError: it may be any of several.
    """
    for name in (*DIALOGUES, "text", "content", "body", "sentence", "review"):
        for column in columns:
            if column.casefold() == name:
                return column
    if len(columns) == 1:
        return columns[0]
    raise DataError(
        f"which column is the text? There are: {', '.join(columns)}.",
        where=path,
        hint="Name it: --text COLUMN.",
    )


def turns(said: list[Any], where: str) -> Iterator[Passage]:
    """A dialogue as one document, a line a turn: `["Hi", "Hello"]`, or with roles as chats have.

    Turns of the roles assistant, bot and system's answers are replies; without roles every second
    turn is.

    Raises:
        DataError: a turn is no text.
    """
    for number, turn in enumerate(said):
        role, text = None, turn
        if isinstance(turn, dict):
            role = next((str(turn[k]) for k in ("role", "speaker", "from") if k in turn), None)
            text = next((turn[k] for k in ("content", "text", "value") if k in turn), None)
        if not isinstance(text, str):
            raise DataError(
                f"turn {number + 1} is no text.",
                where=where,
                hint='Write turns as texts, or as {"role": ..., "content": ...}.',
            )
        reply = number % 2 == 1 if role is None else role.casefold() in _REPLIES
        yield Passage(" ".join(text.split()) + "\n", number == 0, where, reply)


def line_ends(text: str) -> str:
    """The text with "\\n" for every line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
