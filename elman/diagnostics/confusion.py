"""The confusion matrix on the page: a table for few classes, a map for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elman.diagnostics.markup import table
from elman.diagnostics.pictures import shown_confusion
from elman.diagnostics.words import clip, count, esc, largest_confusions

_TABLE = 20  # classes up to which the counts are written out


def confusion_section(confusion: Any) -> str:
    """The matrix and, beyond a few classes, its largest confusions; empty without a matrix."""
    shown = shown_confusion(confusion)
    if shown is None:
        return ""
    labels, matrix, classes = shown
    picture = _table(labels, matrix) if len(labels) <= _TABLE else _map(labels, matrix)
    note = "Rows are the true labels, columns the predictions; shades are shares of the row."
    if classes > len(labels):
        note += f" Of {classes} classes the {len(labels)} with most errors are shown."
    parts = [f'<p class="note">{esc(note)}</p>{picture}']
    largest = largest_confusions(confusion, 10 if len(labels) <= _TABLE else 20)
    if len(labels) > 4 and largest:
        rows = [
            (true, guess, count(n), f"{share * 100:.0f} %") for true, guess, n, share in largest
        ]
        parts.append("<h3>Largest confusions</h3>")
        parts.append(table(("True", "Predicted", "Rows", "Of the label"), rows, numbers=(2, 3)))
    return "".join(parts)


def _table(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    turned = len(labels) > 5 or any(len(label) > 12 for label in labels)
    head = "".join(
        f'<th title="{esc(one)}"><span>{esc(clip(one, 24))}</span></th>' for one in labels
    )
    rows = []
    for label, row in zip(labels, matrix, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            _cell(cell, cell / total, f"{label} → {guess}: {cell}")
            for guess, cell in zip(labels, row, strict=True)
        )
        rows.append(f'<tr><th title="{esc(label)}">{esc(clip(label, 24))}</th>{cells}</tr>')
    kind = "confusion turned" if turned else "confusion"
    kind += " few" if len(labels) <= 6 else ""
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(cell: int, share: float, told: str) -> str:
    if not cell:
        return '<td class="none">0</td>'
    kind = ' class="strong"' if share > 0.55 else ""
    shade = f"color-mix(in srgb, var(--first) {8 + 92 * share:.0f}%, var(--paper))"
    return f'<td{kind} style="background:{shade}" title="{esc(told)}">{cell}</td>'


def _map(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """An SVG of coloured squares; only cells with rows are drawn, each with its numbers."""
    side, margin = 13, 108
    size = margin + side * len(labels)
    parts = [
        f'<rect x="{margin}" y="{margin}" width="{size - margin}" height="{size - margin}" '
        'fill="var(--panel)"/>'
    ]
    for i, (label, row) in enumerate(zip(labels, matrix, strict=True)):
        middle = margin + side * i + side / 2
        name = esc(clip(label, 20))
        parts.append(f'<text x="{margin - 5}" y="{middle + 3}" text-anchor="end">{name}</text>')
        place = f"translate({middle + 3} {margin - 5}) rotate(-90)"
        parts.append(f'<text transform="{place}">{name}</text>')
        total = max(1, sum(row))
        for j, cell in enumerate(row):
            if cell:
                colour = "first" if i == j else "second"
                told = esc(f"{label} → {labels[j]}: {cell}")
                parts.append(
                    f'<rect x="{margin + side * j + 0.5}" y="{margin + side * i + 0.5}" '
                    f'width="{side - 1}" height="{side - 1}" fill="var(--{colour})" '
                    f'fill-opacity="{0.15 + 0.85 * cell / total:.2f}"><title>{told}</title></rect>'
                )
    return (
        f'<div class="wide heat"><svg viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="Confusion matrix">{"".join(parts)}</svg></div>'
    )
