"""The commands of a report can be run as they stand."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elman.diagnostics.commands import commands
from elman.diagnostics.run_record import read_run
from elman.tasks import run
from elman.tasks.run_command import command

Build = Callable[..., dict[str, Any]]
REPEAT, RESUME = "Repeat with every setting of this run", "Resume after an interruption"


def told(folder: Path, build_run: Build, **more: Any) -> dict[str, str]:
    """The commands of a run whose result has these entries."""
    result = build_run(folder, rows=40)
    for name, value in more.items():
        result[name] = {**result[name], **value} if isinstance(value, dict) else value
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return dict(commands(read_run(folder)))


def test_resuming_names_the_run(tmp_path: Path, build_run: Build) -> None:
    out = tmp_path / "my run"
    for given in (
        "elman train classify a.csv",
        "elman train classify a.csv --out elsewhere",
        "elman train classify a.csv --out=elsewhere --resume",
    ):
        found = told(out, build_run, command=given)
        words = ["elman", "train", "classify", "a.csv", "--out", str(out), "--resume"]
        assert shlex.split(found[RESUME]) == words
        assert shlex.split(found["Trained with"]) == shlex.split(given)


def test_a_demo_is_not_resumed(tmp_path: Path, build_run: Build) -> None:
    found = told(tmp_path, build_run, command="elman demo")
    assert RESUME not in found and found["Trained with"] == "elman demo"
    assert REPEAT in found


@pytest.mark.parametrize("given", ["", "ipykernel_launcher.py -f kernel.json", "it's broken"])
def test_python_is_told_the_same_for_the_command_line(
    tmp_path: Path, build_run: Build, given: str
) -> None:
    found = told(tmp_path, build_run, command=given)
    config = ["--config", str(tmp_path / "config.yaml"), "--test", "reviews-test.csv.xz"]
    train = ["elman", "train", "classify", "reviews.csv.xz", *config]
    assert "Trained with" not in found
    assert shlex.split(found[RESUME]) == [*train, "--out", str(tmp_path), "--resume"]
    assert shlex.split(found[REPEAT]) == [*train, "--out", f"{tmp_path}-again"]


def test_a_share_of_a_text_is_measured_again(tmp_path: Path, build_run: Build) -> None:
    data = {"train": {"path": "a b.txt"}, "test": {"path": "a b.txt", "share": 0.1}}
    found = told(tmp_path, build_run, command="", task="lm", data=data)
    assert "'a b.txt'" in found[REPEAT] and "--test 0.1" in found[REPEAT]
    words = ["elman", "evaluate", str(tmp_path), "a b.txt", "--last", "0.1"]
    assert shlex.split(found["Measure"]) == words


def test_a_cell_of_ones_own_has_no_command(tmp_path: Path, build_run: Build) -> None:
    found = told(tmp_path, build_run, command="", model={"cell": "Mine"})
    assert list(found) == ["Write this page again"]


@pytest.mark.parametrize("program", ["/usr/bin/elman", "/site/elman/__main__.py", "C:/elman.exe"])
def test_words_are_quoted(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "train", "classify", "my file.csv", "--text", "a'b"])
    wanted = ["elman", "train", "classify", "my file.csv", "--text", "a'b"]
    assert shlex.split(command()) == wanted
    assert shlex.split(run.environment()["command"]) == wanted


def test_a_script_is_no_command_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/scripts/fit.py", "--token", "secret words"])
    assert command() == ""
    assert shlex.split(run.environment()["command"]) == ["fit.py", "--token", "secret words"]
