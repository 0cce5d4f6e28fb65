"""The page of the command line is what `--help` prints, and names every option of the design."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "command-line.md"


def test_page_is_up_to_date() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); "
        "import command_line_page; sys.stdout.write(command_line_page.page())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == PAGE.read_text(encoding="utf-8"), "run `make reference`"


def test_every_option_is_explained() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    options = [line for line in lines if line.startswith("  --")]
    assert len(options) > 40
    for line in options:
        assert ": " in line and len(line.split(": ", 1)[1]) > 5, line
