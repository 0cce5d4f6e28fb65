"""Writes docs/reference/command-line.md from the help of every verb; `make reference` runs it."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

# The width of a line of help, whatever the terminal.
os.environ["COLUMNS"] = "100"

from elman.cli.app import command_paths, main

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command-line.md"
_HEAD = """# The command line

This page is generated from `--help` by `make reference`.

Exit codes: 0 done, 1 a failure told in one sentence, 2 a wrong call, 130 stopped with Ctrl-C.
"""


def page() -> str:
    """The text of the page."""
    parts = [_HEAD]
    for path in ((), *command_paths()):
        title = " ".join(("elman", *path))
        parts.append(f"## {title}\n\n```text\n{_help(*path)}\n```\n")
    return "\n".join(parts)


def _help(*words: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
