"""The README's tables are what the benchmarks have printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_readme_shows_what_was_measured() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "tables.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for table in done.stdout.strip().split("\n\n"):
        assert table in readme, "print them with: python benchmarks/tables.py"
