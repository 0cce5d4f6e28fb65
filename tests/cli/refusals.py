"""Bad inputs as rows: what is laid out and asked, and how elman has to refuse it."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Build = Callable[[Path], list[object]]
PROGRAM = Path(sys.executable).with_name("elman")


@dataclass(frozen=True)
class Bad:
    """A bad input.

    `build` lays out files in an empty folder and gives the command's words; `told` are words (any
    case) that the sentence has to hold; `run` stands for the task of a trained run in `run/`.
    """

    name: str
    build: Build
    told: tuple[str, ...]
    run: str = ""
    stdin: bytes = b""


@dataclass(frozen=True)
class Training:
    """The words that train a tiny model of a task into `out`; given options replace the usual."""

    task: str
    usual: tuple[str, ...]

    def __call__(self, data: object, *more: object) -> list[object]:
        pairs = [*zip(self.usual[::2], self.usual[1::2], strict=True), ("--out", "out")]
        options = [word for pair in pairs if pair[0] not in more for word in pair]
        return ["train", self.task, data, *options, *more]

    def on_file(self, name: str, content: str | bytes, *more: object) -> Build:
        """Trains on a file of this content."""

        def build(folder: Path) -> list[object]:
            data = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(data)
            return self(name, *more)

        return build


def prints(folder: Path) -> dict[str, str]:
    """The checksum of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_sentence(text: str, told: tuple[str, ...]) -> None:
    """The last line is the sentence; notes on the way to it may stand above."""
    assert "Traceback" not in text
    assert "elman's own" not in text, text
    sentence = text.strip().splitlines()[-1]
    assert sentence.startswith("elman: error: "), text
    assert sentence.count("elman: error") == text.count("elman: error") == 1
    assert len(sentence) < 700
    for words in told:
        assert re.search(words, sentence, re.IGNORECASE), f"no {words!r} in: {sentence}"


def check_refusal(bad: Bad, elman, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 and one sentence; no file is changed, and no temporary one left."""
    monkeypatch.chdir(folder)
    words = bad.build(folder)
    before = prints(folder)
    answer = elman(*words, stdin=bad.stdin)
    assert answer.code == 1, (answer.code, answer.out, answer.err)
    check_sentence(answer.err, bad.told)
    after = prints(folder)
    assert {name: after.get(name) for name in before} == before, "a file of the user's was changed"
    assert not [name for name in after if ".tmp-" in name], "a temporary file was left"
