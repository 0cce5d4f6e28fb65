"""README and documents are run: every python and console block, in order, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from reviews import write_reviews, write_text
from snippets import ROOT, Block, blocks, run_block

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "README.zh.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUNNABLE = [document for document in DOCUMENTS if blocks(document)]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _run(document: Path, chosen: list[Block], folder: Path) -> None:
    write_reviews(folder / "reviews.csv")
    write_text(folder / "input.txt")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in chosen:
        run_block(block, document, names)


@pytest.mark.parametrize("document", RUNNABLE, ids=_name)
def test_quick_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _run(document, [block for block in blocks(document) if block.mark is None], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [document for document in RUNNABLE if any(block.mark == "slow" for block in blocks(document))],
    ids=_name,
)
def test_all_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _run(document, [block for block in blocks(document) if block.mark != "skip"], tmp_path)


def test_the_two_readmes_have_the_same_commands() -> None:
    english, chinese = (blocks(ROOT / name) for name in ("README.md", "README.zh.md"))
    assert [block.kind for block in english] == [block.kind for block in chinese]
    for ours, theirs in zip(english, chinese, strict=True):
        if ours.kind == "console":
            assert ours.body == theirs.body


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    import re

    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (document.parent / target).exists(), f"{_name(document)} links to {target}"
