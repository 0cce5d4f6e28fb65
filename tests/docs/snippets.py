"""The fenced blocks of a document, and how a reader would run them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from elman.cli.app import main

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^(?:<!-- test: (?P<mark>\w+) -->\n)?```(?P<kind>python|console)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its text, its first line and its mark (`slow` or `skip`)."""

    kind: str
    body: str
    line: int
    mark: str | None


def blocks(document: Path) -> list[Block]:
    """The python and console blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(
            found["kind"],
            found["body"],
            text.count("\n", 0, found.start("body")) + 1,
            found["mark"],
        )
        for found in _BLOCK.finditer(text)
    ]


def run_block(block: Block, document: Path, names: dict[str, Any]) -> None:
    """Runs a block in the current folder; Python blocks of a document share their names."""
    if block.kind == "python":
        code = "\n" * (block.line - 1) + block.body
        exec(compile(code, str(document), "exec", dont_inherit=True), names)
        return
    for line in block.body.splitlines():
        if line.startswith("$ "):
            _run_command(line[2:], f"{document.name}, line {block.line}")


def _run_command(command: str, where: str) -> None:
    if "|" not in command and command.startswith("elman "):
        assert main(shlex.split(command)[1:]) == 0, f"{where}: {command}"
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", f"set -o pipefail; {command}"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{where}: {command}\n{done.stderr}")
