"""The report, the card and the pictures, from run directories that no training made."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from elman.diagnostics import write_report
from elman.diagnostics.run_record import read_run
from elman.diagnostics.words import clip, duration, largest_confusions, mark
from elman.errors import RunError

Build = Callable[..., dict[str, Any]]
_VOID = {"meta", "br", "hr", "img", "input", "link"}


class Checker(HTMLParser):
    """Collects tags and text, and notes tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if found.get("id") else []
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Checker:
    checker = Checker()
    checker.feed(page.read_text(encoding="utf-8"))
    assert not checker.open
    return checker


def test_the_page_is_whole_safe_and_self_contained(tmp_path: Path, build_run: Build) -> None:
    run = tmp_path / "imdb"
    result = build_run(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(run)
    assert page == run / "report.html"
    checker = read(page)
    told = " ".join(" ".join(checker.text).split())
    source = page.read_text(encoding="utf-8")
    # Nothing is fetched and nothing of the user's becomes markup.
    assert "script" not in checker.tags
    assert all(link.startswith("#") for link in checker.links)
    assert not re.search(r"url\((?!#)", source)
    assert len(set(checker.ids)) == len(checker.ids)
    # The sentence is the headline; its figures follow.
    headline = re.search(r"<h1>.*?</h1>", source, re.DOTALL)
    assert headline is not None
    assert result["comparison"]["sentence"].split(" (")[0] in headline.group()
    for wanted in (
        f"{result['evaluation']['metrics']['accuracy'] * 100:.1f} %",
        "<script>alert('x')</script>",
        "没有送水",
        "فيلم",
        "(empty)",
        "elman train classify reviews.csv.xz",
        "--resume",
        "elman evaluate",
        "elman predict",
        "--config",
        "sha256 ad653df3ca5ef0a0",
        "hidden: 128 # <units>",
        "a <fast> one",
        "Wang, C. Manning 2012",
    ):
        assert wanted in told
    assert len(source) < 400_000


def test_pictures_are_png_files(tmp_path: Path, build_run: Build) -> None:
    build_run(tmp_path / "r", labels=["差评", "好评"], rows=300)
    write_report(tmp_path / "r")
    found = sorted((tmp_path / "r" / "pictures").iterdir())
    names = ["calibration.png", "confusion.png", "curves.png", "lengths.png"]
    assert [path.name for path in found] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in found)
    assert not [path for path in (tmp_path / "r").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "options",
    [
        {"classes": 6, "rows": 300},
        {"classes": 47, "rows": 600, "skill": 0.6},
        {"classes": 70, "rows": 700, "skill": 0.5},
        {"classes": 5, "several": True, "rows": 200},
        {"floor": False, "split": "valid", "rows": 200},
    ],
)
def test_other_kinds_of_runs(tmp_path: Path, build_run: Build, options: dict[str, Any]) -> None:
    build_run(tmp_path / "r", **options)
    told = " ".join(read(write_report(tmp_path / "r")).text)
    card = (tmp_path / "r" / "card.md").read_text(encoding="utf-8")
    assert "nan" not in told.lower().split()
    assert "None" not in told
    if options.get("classes", 2) > 50:
        assert "50 with most errors are shown" in told
    if options.get("classes", 2) > 20:
        assert "Largest confusions" in told
    if options.get("floor") is False:
        assert "No floor was trained" in told
        assert "validation part, which chose" in card
    if options.get("several"):
        assert not (tmp_path / "r" / "pictures" / "confusion.png").exists()


def test_the_papers_of_the_cell_are_named(tmp_path: Path, build_run: Build) -> None:
    result = build_run(tmp_path, rows=40)
    told = " ".join(read(write_report(tmp_path)).text)
    assert "Hochreiter" in told and "(the cell)" in told  # an older run names the cell alone
    for citation, named in (("A. Body 2031. A cell.", True), (None, False)):
        model = {**result["model"], "citation": citation}
        (tmp_path / "result.json").write_text(json.dumps({**result, "model": model}))
        told = " ".join(read(write_report(tmp_path)).text)
        assert ("A. Body 2031. A cell. (the cell)" in told) is named
        assert ("A. Body 2031" in (tmp_path / "card.md").read_text()) is named
        assert "Hochreiter" not in told


def test_only_result_is_needed(tmp_path: Path) -> None:
    value = {"format": 1, "task": "classify", "name": "bare"}
    (tmp_path / "result.json").write_text(json.dumps(value))
    told = " ".join(read(write_report(tmp_path)).text)
    assert "Nothing was measured" in told
    assert not (tmp_path / "pictures").exists()


def test_folds_are_shown(tmp_path: Path, build_run: Build) -> None:
    result = build_run(tmp_path, rows=200)
    mean, spread = {"accuracy": 0.871}, {"accuracy": 0.012}
    for folds in (
        {"k": 5, "metrics": [], "mean": mean, "std": spread},
        {"folds": [{}] * 5, "mean": mean, "deviation": spread, "floor_mean": {"accuracy": 0.85}},
    ):
        value = json.dumps({**result, "folds": folds})
        (tmp_path / "result.json").write_text(value)
        told = " ".join(" ".join(read(write_report(tmp_path)).text).split())
        assert "Cross-validation" in told
        assert "Each of 5 parts" in told
        assert "87.1 %" in told
        assert "1.2 %" in told


def test_the_card(tmp_path: Path, build_run: Build) -> None:
    run = tmp_path / "card_run"
    result = build_run(run, classes=6, rows=300)
    write_report(run)
    card = (run / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# card\\_run\n")
    for heading in ("Model", "Data", "Measured", "Limits", "Use", "Sources", "Licence"):
        assert f"\n## {heading}\n" in card
    assert result["comparison"]["sentence"] in card
    assert "Weakest classes" in card
    assert "![confusion](pictures/confusion.png)" in card
    assert f"elman.load({str(run)!r})" in card


def test_labels_cannot_break_the_card_or_the_page(tmp_path: Path, build_run: Build) -> None:
    labels = ["<img src=x onerror=alert(1)>", "a|b", "`c`\nd", "[x](y)"]
    build_run(tmp_path, classes=4, labels=labels, rows=200, skill=0.5)
    assert "img" not in read(write_report(tmp_path)).tags
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert "<img" not in card.replace("\\<img", "")
    assert "a\\|b" in card


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run directory"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"no result\.json yet"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text('{"format": 2}')
    with pytest.raises(RunError, match="format 2"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunError, match="not JSON"):
        write_report(tmp_path)


def test_a_torn_line_is_passed_over(tmp_path: Path, build_run: Build) -> None:
    build_run(tmp_path, rows=100)
    kinds = {event["event"] for event in read_run(tmp_path).events}
    assert kinds == {"started", "step", "validated", "finished"}


def test_words() -> None:
    assert clip("a  b\nc", 10) == "a b c"
    assert clip("abcdefgh", 5) == "abcd…"
    assert [duration(one) for one in (3.21, 42, 192, 7500)] == [
        "3.2 s",
        "42 s",
        "3 min 12 s",
        "2 h 05 min",
    ]
    assert mark("a_b|<c>") == "a\\_b\\|\\<c\\>"
    found = largest_confusions({"labels": ["x", "y"], "matrix": [[8, 2], [5, 5]]})
    assert found == [("y", "x", 5, 0.5), ("x", "y", 2, 0.2)]
