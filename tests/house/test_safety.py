"""What the package never does: run code from files, reach the network, leak places of a machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from sources import ROOT, trees

FORBIDDEN_CALLS = {"eval", "exec", "torch.save", "torch.load", "pickle.load", "os.system"}
FORBIDDEN_MODULES = {"pickle", "shelve", "dill", "cloudpickle", "marshal", "requests"}
# Objects travel to elman's own worker processes through memory, never through a file of the user's.
MAY_IMPORT = {"elman/training/workers.py": {"pickle"}}
NETWORK = {"socket", "urllib.request", "http.client", "requests", "httpx", "aiohttp"}
MAY_FETCH = {"elman/cli/download.py", "elman/training/workers.py"}


def _calls(tree: ast.AST) -> list[tuple[str, int]]:
    return [
        (ast.unparse(node.func), node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute))
    ]


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module}
    return found


@pytest.mark.parametrize("name", trees())
def test_no_code_from_files(name: str) -> None:
    _, tree = trees()[name]
    calls = [(call, line) for call, line in _calls(tree) if call in FORBIDDEN_CALLS]
    assert not calls
    roots = {module.split(".")[0] for module in _imports(tree)}
    assert not (roots & FORBIDDEN_MODULES) - MAY_IMPORT.get(name, set())


@pytest.mark.parametrize("name", trees())
def test_no_network(name: str) -> None:
    _, tree = trees()[name]
    assert name in MAY_FETCH or not _imports(tree) & NETWORK


@pytest.mark.parametrize("name", trees())
def test_numpy_files_never_hold_objects(name: str) -> None:
    text, _ = trees()[name]
    assert "allow_pickle=True" not in text


def test_yaml_is_read_safely() -> None:
    for name, (text, _) in trees().items():
        assert not re.search(r"yaml\.(load|unsafe_load|full_load)\(", text), name


def test_no_place_of_a_machine_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    leak = re.compile(r"/(work|root|home/\w+|Users/\w+)/\w|(?<![\w/])/opt/(wheels|pypi)")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path == Path(__file__) or path.stat().st_size > 2_000_000:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = leak.search(text)
        assert not found, f"{name}: {found and found.group(0)}"
