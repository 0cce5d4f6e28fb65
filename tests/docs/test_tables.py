"""The README's tables are what the benchmarks have printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "options"), [("README.md", []), ("README.zh.md", ["--chinese"])])
def test_the_readme_shows_what_was_measured(name: str, options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", ROOT / "benchmarks" / "tables.py", *options],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    readme = (ROOT / name).read_text(encoding="utf-8")
    for table in done.stdout.strip().split("\n\n"):
        assert table in readme, "print them with: python benchmarks/tables.py"
