"""Running commands in this process, and a small trained run to run them on."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from films import SMALL, write_films

from elman.cli.app import main


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def elman(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `elman WORDS...` in this process, with `stdin` as its standard input."""
    monkeypatch.delenv("ELMAN_TRACEBACK", raising=False)

    def run(*words: object, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = main([str(word) for word in words])
        caught = capsys.readouterr()
        return Answer(code, caught.out, caught.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; copy it before changing it."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_films(folder / "films.csv")
    words = ["train", "classify", str(data), *SMALL, "--out", str(folder / "run")]
    assert main(words) == 0
    return folder / "run"


@pytest.fixture
def a_run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"
