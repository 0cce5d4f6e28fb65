"""A table that a small model learns at once, and the options of such a model."""

from __future__ import annotations

from pathlib import Path


def write_films(path: Path, rows: int = 80) -> Path:
    """A table `text,label` that a small model learns at once."""
    lines = ["text,label"]
    for number in range(rows):
        kind = "good" if number % 2 else "bad"
        word = ("lovely", "awful")[kind == "bad"]
        lines.append(f"{word} film number {number},{kind}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


SMALL = ("--hidden", "4", "--epochs", "1", "--model.embedding", "4", "--seed", "1")
