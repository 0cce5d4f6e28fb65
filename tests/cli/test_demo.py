"""The demo's data: nothing of the test part can be remembered from the training part."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from elman.cli.demo_names import LANGUAGES, write_names


def _rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["name"], row["language"]) for row in csv.DictReader(file)]


def test_names_are_dealt_out_without_overlap(tmp_path: Path) -> None:
    parts = {part: _rows(path) for part, path in write_names(tmp_path).items()}
    assert {len(rows) > 1000 for rows in parts.values()} == {True}
    for rows in parts.values():
        assert {language for _, language in rows} == set(LANGUAGES)
        assert len({name for name, _ in rows}) == len(rows)
    names = {part: {name for name, _ in rows} for part, rows in parts.items()}
    assert not names["train"] & names["test"] and not names["train"] & names["valid"]


def test_same_seed_same_files(tmp_path: Path) -> None:
    first, again = write_names(tmp_path / "a"), write_names(tmp_path / "b")
    other = write_names(tmp_path / "c", seed=2)
    for part in first:
        assert first[part].read_bytes() == again[part].read_bytes()
        assert first[part].read_bytes() != other[part].read_bytes()


@pytest.mark.slow
def test_demo_runs_and_reports(elman, tmp_path: Path) -> None:
    answer = elman("demo", "--minutes", "0.3", "--epochs", "1", "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["evaluation"]["metrics"]["accuracy"] > 0.3
    assert found["floor"]["metrics"]["accuracy"] > 0.3
    assert len(found["predictions"]) >= 3
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
