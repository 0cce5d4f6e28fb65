"""The changelog knows the version of the package."""

from __future__ import annotations

from pathlib import Path

import elman


def test_version_has_an_entry() -> None:
    text = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {elman.__version__}" in text
