"""Small pieces of HTML: tables, lists of facts, figures. Values are escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from elman.diagnostics.words import esc


@dataclass(frozen=True)
class Markup:
    """HTML that has been made safe already."""

    text: str


def safe(value: Any) -> str:
    """The value as HTML: markup as it is, anything else escaped."""
    return value.text if isinstance(value, Markup) else esc(value)


def table(
    head: Sequence[Any], rows: Iterable[Sequence[Any]], *, numbers: Iterable[int] = ()
) -> str:
    """A table that scrolls sideways on a narrow screen; columns in `numbers` are set right."""
    right = frozenset(numbers)

    def cells(tag: str, row: Sequence[Any]) -> str:
        kinds = ("n" if k in right else "name" for k in range(len(row)))
        return "".join(
            f'<{tag} class="{kind}">{safe(value)}</{tag}>'
            for kind, value in zip(kinds, row, strict=True)
        )

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="full"><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """A list of names and values; those without a value are left out."""
    kept = [(name, value) for name, value in pairs if value not in (None, "", "–")]
    inner = "".join(f"<dt>{esc(name)}</dt><dd>{safe(value)}</dd>" for name, value in kept)
    return f"<dl>{inner}</dl>" if kept else ""


def chart(caption: str, svg: str) -> str:
    """A picture with its caption; `svg` is trusted."""
    return f"<figure><figcaption>{esc(caption)}</figcaption>{svg}</figure>"


def bar(share: float) -> Markup:
    """A bar as long as `share` of its cell."""
    width = max(0.0, min(1.0, share)) * 100
    return Markup(
        f'<span class="track"><span class="bar" style="width:{width:.1f}%"></span></span>'
    )


def fold(summary: str, inner: str) -> str:
    """A part that opens on a click; `inner` is HTML."""
    return f"<details><summary>{esc(summary)}</summary>{inner}</details>"


def code(text: str) -> str:
    """A block of commands or settings."""
    return f"<pre>{esc(text)}</pre>"


def heading(identifier: str, text: str, note: str = "") -> str:
    """The head of a section, with a sentence under it."""
    told = f'<p class="note">{esc(note)}</p>' if note else ""
    return f'<h2 id="{identifier}">{esc(text)}</h2>{told}'
