"""What `elman train classify` and `evaluate` print and write."""

from __future__ import annotations

import json
from pathlib import Path

from films import SMALL, write_films


def test_precision_and_recall_are_printed(elman, a_run: Path, tmp_path: Path) -> None:
    films = write_films(tmp_path / "films.csv")
    answer = elman("evaluate", a_run, films)
    assert answer.code == 0
    for title in ("macro F1", "macro precision", "macro recall"):
        assert title in answer.out


def test_folds_are_a_run(elman, tmp_path: Path) -> None:
    films, out = write_films(tmp_path / "films.csv"), tmp_path / "out"
    words = ("train", "classify", films, "--folds", "2", *SMALL, "--model.members", "1")
    answer = elman(*words, "--out", out)
    assert answer.code == 0, answer.err
    assert "2 folds" in answer.out and "spread" in answer.out and "The model" in answer.out
    assert str(out / "report.html") in answer.out and (out / "report.html").exists()
    document = json.loads((out / "result.json").read_text())
    assert document["folds"]["k"] == 2
    assert document["sentence"] in answer.out
    answer = elman("predict", out, "a lovely film")
    assert answer.code == 1 and "no model" in answer.err


def test_folds_are_named_after_the_data(elman, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    films = write_films(tmp_path / "films.csv")
    words = ("train", "classify", films, "--folds", "2", *SMALL, "--floor.measure", "false")
    answer = elman(*words, "--name", "mine", "--json", "--model.members", "1")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["folds"]["k"] == 2
    assert (tmp_path / "runs" / "folds-mine" / "result.json").exists()
