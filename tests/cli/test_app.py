"""Words, exit codes, streams and errors of the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from films import SMALL, write_films

from elman import cells
from elman.cli import app
from elman.errors import DataError

PROGRAM = Path(sys.executable).with_name("elman")


def test_help_goes_to_standard_output(elman) -> None:
    answer = elman("--help")
    assert answer.code == 0 and answer.err == ""
    for verb in (
        "train",
        "evaluate",
        "predict",
        "report",
        "check",
        "cells",
        "doctor",
        "data",
        "demo",
    ):
        assert f"  {verb}: " in answer.out


@pytest.mark.parametrize("path", app.command_paths(), ids=" ".join)
def test_every_verb_has_help_and_json(elman, path: tuple[str, ...]) -> None:
    answer = elman(*path, "--help")
    assert answer.code == 0 and answer.err == ""
    assert answer.out.startswith(f"Usage: elman {' '.join(path)}")
    assert "--json" in answer.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], 'Did you mean "train"?'),
        (["train"], "needs one of: classify"),
        (["train", "clasify", "x"], 'Did you mean "classify"?'),
        (["train", "classify"], "DATA"),
        (["train", "classify", "x.csv", "--hiden", "3"], "--hidden"),
        (["train", "classify", "x.csv", "--epochs", "ten"], "--epochs"),
        (["train", "classify", "x.csv", "--model.hidden"], "needs a value"),
        (["train", "classify", "x.csv", "--model.hidden", "--json"], "needs a value"),
        (["evaluate", "run", "x.csv", "--model.hidden", "3"], "only `train`"),
        (["doctor", "--data.encoding", "utf-8"], "only `train`"),
        (["--data.text", "review"], "only `train`"),
        (["predict"], "RUN"),
        (["data"], "list, path, fetch"),
        (["data", "fecth", "imdb"], 'Did you mean "fetch"?'),
        (["cells", "LSTM", "--show", "picture"], "equations"),
        (["--bogus"], "--bogus"),
    ],
)
def test_wrong_calls_end_with_2(elman, words: list[str], told: str) -> None:
    answer = elman(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("elman: error: ") and told in answer.err
    assert "Traceback" not in answer.err and "--help`" in answer.err


def test_no_words_show_the_help(elman) -> None:
    assert "Usage: elman VERB" in elman().out


def test_overrides_are_taken_out_of_the_words() -> None:
    words = ["train", "classify", "a.csv", "--model.hidden", "3", "--training.lr=-1", "--json"]
    rest, found = app._overrides(words)
    assert rest == ["train", "classify", "a.csv", "--json"]
    assert found == {"model.hidden": "3", "training.lr": "-1"}
    rest, found = app._overrides(["predict", "run", "--", "--a.b", "c"])
    assert rest == ["predict", "run", "--", "--a.b", "c"] and not found
    rest, found = app._overrides(["predict", "run", "--well...", "v.1"])
    assert not found


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    def fail_with(error: BaseException) -> None:
        def fail(words: list[str]) -> int:
            raise error

        monkeypatch.setattr(app, "_call", fail)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (
            DataError("no such column.", where="a.csv", hint="Look."),
            1,
            "a.csv: no such column. Look.",
        ),
        (OSError(28, "No space left on device", "x/y"), 1, 'cannot write "x/y": the disk is full'),
        (FileNotFoundError(2, "No such file", "x/y"), 1, 'cannot read "x/y": it does not exist'),
        (MemoryError(), 1, "memory is used up"),
        (ValueError("two\nlines"), 1, "ValueError: two. This is a mistake of elman's own"),
        (RecursionError("deep"), 1, "RecursionError"),
        (KeyboardInterrupt(), 130, "stopped"),
        (KeyboardInterrupt("stopped; go on with --resume"), 130, "go on with --resume"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_errors_are_one_sentence(elman, failing, error, code: int, told: str) -> None:
    failing(error)
    answer = elman("train", "classify", "x.csv")
    assert answer.code == code and answer.out == ""
    assert told in answer.err and "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_traceback_on_demand(elman, failing, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(ValueError("odd"))
    assert "Traceback" in elman("--traceback", "doctor").err
    assert "Traceback" not in elman("doctor").err
    monkeypatch.setenv("ELMAN_TRACEBACK", "1")
    assert "Traceback" in elman("doctor").err


def test_reader_that_goes_away() -> None:
    command = f'"{PROGRAM}" cells --json | head -n 1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_behind_standard_output() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PROGRAM, "cells"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "the disk is full" in done.stderr


def test_works_without_a_locale() -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [PROGRAM, "cells", "GRU", "--show", "latex"],
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_cells(elman) -> None:
    listed = json.loads(elman("cells", "--json").out)
    names = [row["name"] for row in listed]
    assert {"LSTM", "Elman", "minGRU", "LEM"} <= set(names)
    assert all(row["source"] and row["kind"] for row in listed)
    shown = json.loads(elman("cells", "lstm", "--json").out)
    assert shown["name"] == "LSTM"
    assert "def LSTM(x, /, h, c)" in shown["equations"]
    assert r"\sigma" in shown["latex"] and "f * c" in shown["ir"]
    assert "cpu" in shown["plan"] and "matmul" in shown["analysis"]
    answer = elman("cells", "Elman", "--set", "activation=relu", "--show", "ir")
    assert answer.code == 0 and "relu(" in answer.out


@pytest.mark.parametrize("name", sorted(cells.catalogue()))
def test_every_cell_is_shown_in_every_form(elman, name: str) -> None:
    parts = ("equations", "latex", "ir", "analysis", "plan")
    answer = elman("cells", name)
    assert answer.code == 0 and answer.err == "", answer.err
    whole = json.loads(elman("cells", name, "--json").out)
    assert whole["name"] == name and all(whole[part] for part in parts)
    for part in parts:
        answer = elman("cells", name, "--show", part)
        assert answer.code == 0, answer.err
        assert answer.out.strip() == whole[part].strip()
        assert json.loads(elman("cells", name, "--show", part, "--json").out)[part] == whole[part]


def test_sizes_of_a_plan(elman) -> None:
    answer = elman("cells", "RGLRU", "--hidden", "64", "--show", "plan")
    assert answer.code == 0, answer.err
    answer = elman("cells", "ClockworkRNN", "--hidden", "9")
    assert answer.code == 1 and "hidden size (9) to equal size 8" in answer.err
    answer = elman("cells", "ClockworkRNN", "--set", "width=3", "--show", "plan")
    assert answer.code == 0, answer.err
    answer = elman("cells", "ClockworkRNN", "--check")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["LSMT"], 'Did you mean "LSTM"?'),
        (["Elman", "--set", "activation"], "name=value"),
        (["Elman", "--set", "activaton=relu"], "activation"),
        (["Elman", "--set", "activation=sofplus"], "softplus"),
    ],
)
def test_cells_that_are_not(elman, words: list[str], told: str) -> None:
    answer = elman("cells", *words)
    assert answer.code == 1 and told in answer.err


def test_a_curve_over_few_examples(elman, tmp_path: Path) -> None:
    data = write_films(tmp_path / "films.csv")
    words = ["train", "classify", data, *SMALL, "--shots-seeds", "1", "--out"]
    answer = elman(*words, tmp_path / "a", "--shots", "4", "8,16")
    assert answer.code == 0, answer.err
    assert [line.split()[0] for line in answer.out.splitlines()[:4]] == ["examples", "4", "8", "16"]
    assert (tmp_path / "a" / "report.html").exists()
    again = json.loads(elman(*words, tmp_path / "b", "--shots", "4,8,16", "--json").out)
    kept = json.loads((tmp_path / "a" / "result.json").read_text())
    assert again["shots"]["points"] == kept["shots"]["points"]
    answer = elman("predict", tmp_path / "a", "a lovely film")
    assert answer.code == 1 and "holds a learning curve and no model" in answer.err
    assert elman("train", "classify", data, "--shots").code == 2


def test_doctor(elman) -> None:
    answer = elman("doctor", "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["good"] and found["packages"]["torch"]
    assert {(check["cell"], check["backend"]) for check in found["kernels"]} >= {
        ("LSTM", "builtin"),
        ("LSTM", "reference"),
        ("GRU", "builtin"),
        ("Elman", "builtin"),
    }
    assert "good" in elman("doctor").out


@pytest.mark.parametrize("task", ["classify", "lm"])
def test_a_missing_package_is_noticed_first(
    elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    data = write_films(tmp_path / "films.csv")
    words = ["train", task, data, "--out", tmp_path / "run", "--training.tensorboard", "true"]
    answer = elman(*words)
    assert answer.code == 1 and 'pip install "elman[tensorboard]"' in answer.err
    assert len(answer.err.splitlines()) == 1, "something was read before"
    assert not (tmp_path / "run").exists()
