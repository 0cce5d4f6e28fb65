"""Who may import whom: the contracts in pyproject.toml, and no cycles anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]


def test_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph("elman", exclude_type_checking_imports=True, cache_dir=None)
    state: dict[str, str] = {}
    circles: list[str] = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = "open"
        for other in graph.find_modules_directly_imported_by(module):
            # A package's __init__ imports its own modules; that is no circle of code.
            if other == "elman" or module.startswith(f"{other}.") or other.startswith(f"{module}."):
                continue
            if state.get(other) == "open":
                circles.append(" -> ".join([*path, module, other]))
            elif other not in state:
                visit(other, [*path, module])
        state[module] = "done"

    for module in graph.modules:
        if module not in state:
            visit(module, [])
    assert not circles
