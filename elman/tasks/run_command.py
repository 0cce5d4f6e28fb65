"""The command that a run was made with."""

from __future__ import annotations

import sys
from pathlib import Path


def command() -> str:
    """The words of the command line, the program by its bare name."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
