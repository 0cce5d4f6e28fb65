"""Where a benchmark's figures go: a line of JSON with command, machine, date and versions."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), name)
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "elman": version("elman"),
    }


def append(benchmark: str, figures: Mapping[str, Any]) -> None:
    """Adds a line to `results/<benchmark>.jsonl`, the folder of the data named by its variable."""
    RESULTS.mkdir(exist_ok=True)
    line = {
        "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "command": " ".join(["python", *sys.argv]),
        "machine": machine(),
        **figures,
    }
    text = json.dumps(line, ensure_ascii=False)
    folder = os.environ.get("ELMAN_DATA")
    if folder:
        text = text.replace(folder.rstrip("/") + "/", "$ELMAN_DATA/")
    with (RESULTS / f"{benchmark}.jsonl").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
