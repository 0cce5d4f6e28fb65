"""The command that a run was made with."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_PROGRAMS = ("elman", "elman.exe", "elman-script.py")


def words() -> str:
    """This process's command line, the program by its bare name, quoted for a shell."""
    return shlex.join([_program(), *sys.argv[1:]])


def command() -> str:
    """The same where it is elman's own, "" in a script, a notebook or a test.

    Those lines would not train the run again, and may hold what is nobody's business.
    """
    return words() if _program() == "elman" else ""


def _program() -> str:
    path = Path(sys.argv[0]) if sys.argv else Path()
    own = path.name in _PROGRAMS or (path.name, path.parent.name) == ("__main__.py", "elman")
    return "elman" if own else path.name
