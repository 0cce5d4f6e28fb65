"""Files, functions and names stay small and say something."""

from __future__ import annotations

import ast
from pathlib import Path

from sources import ROOT, trees

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "stuff"}


def test_files_are_short() -> None:
    long = {name: text.count("\n") for name, (text, _) in trees().items()}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST_FILE}


def test_functions_are_short() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {lines} lines"
        for name, (_, tree) in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := _body_lines(node)) > LONGEST_FUNCTION
    ]
    assert not long


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring, which grow with its options."""
    first = node.body[0]
    start = first.lineno
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        start = (first.end_lineno or first.lineno) + 1
    return (node.end_lineno or start) - start + 1


def test_names_say_something() -> None:
    for name in trees():
        stem = Path(name).stem
        assert stem not in EMPTY_NAMES, name
        assert not stem.startswith("new_") and not stem.endswith(("_v2", "_new", "_old")), name


def test_public_names_are_documented() -> None:
    missing: list[str] = []
    for name, (_, tree) in trees().items():
        if not ast.get_docstring(tree):
            missing.append(name)
        for node in tree.body:
            if _is_public(node) and not ast.get_docstring(node) and not _is_overload(node):
                missing.append(f"{name}:{node.lineno} {node.name}")
            if isinstance(node, ast.ClassDef) and _is_public(node):
                missing += _undocumented_methods(name, node)
    assert not missing


def _is_public(node: ast.stmt) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return isinstance(node, kinds) and not node.name.startswith("_")


def _undocumented_methods(name: str, owner: ast.ClassDef) -> list[str]:
    return [
        f"{name}:{node.lineno} {owner.name}.{node.name}"
        for node in owner.body
        if _is_public(node)
        and not ast.get_docstring(node)
        and not _explained_elsewhere(owner, node)
    ]


def _explained_elsewhere(owner: ast.ClassDef, node: ast.stmt) -> bool:
    """`forward` is explained by its layer, a method by the parent's, an overload by the last."""
    inherits = any(ast.unparse(base) not in ("object", "Generic") for base in owner.bases)
    return inherits or _is_overload(node) or getattr(node, "name", "") == "forward"


def _is_overload(node: ast.stmt) -> bool:
    return "overload" in {ast.unparse(item) for item in getattr(node, "decorator_list", [])}


def test_only_the_root_knows_the_version() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in text
