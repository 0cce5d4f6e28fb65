"""What the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def show(text: str = "") -> None:
    """Writes a line of the result to standard output."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Writes a message to standard error, where it does not mix with the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_json(value: Any, *, indent: int | None = 2) -> None:
    """Writes `value` as JSON to standard output; numbers that JSON lacks become null."""
    show(json.dumps(finite(value), ensure_ascii=False, indent=indent, allow_nan=False))


def finite(value: Any) -> Any:
    """`value` with NaN and infinities replaced by None, since JSON has no words for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str] | None = None) -> str:
    """The rows as aligned columns: the first to the left, numbers to the right."""
    lines = [list(head)] if head else []
    lines += [list(row) for row in rows]
    if not lines:
        return ""
    widths = [max(_width(line[k]) for line in lines) for k in range(len(lines[0]))]
    right = [k > 0 and all(_numeric(row[k]) for row in rows) for k in range(len(widths))]
    return "\n".join(
        "  ".join(
            _padded(cell, width, to_right)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """`75.3` -> `1 min 15 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number(value: float | None, digits: int = 4) -> str:
    """A measure for a table; `-` when there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}f}"


def _numeric(cell: str) -> bool:
    return cell == "-" or cell.lstrip("+-").replace(".", "").replace(",", "").isdigit()


def _padded(cell: str, width: int, to_right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if to_right else cell + space


def _width(text: str) -> int:
    # Chinese, Japanese and Korean characters take two columns of a terminal.
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)
