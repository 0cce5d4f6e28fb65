"""The package's source files, parsed."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "elman"


@functools.cache
def trees() -> dict[str, tuple[str, ast.Module]]:
    """Path from the root -> text and tree of each source file of the package."""
    found: dict[str, tuple[str, ast.Module]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found[path.relative_to(ROOT).as_posix()] = (text, ast.parse(text))
    return found
