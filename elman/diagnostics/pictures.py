"""The pictures of a run: what each shows. They are drawn once, for the page and as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from elman import files
from elman.diagnostics import words
from elman.diagnostics.drawing import FIRST, GRID, INK, MUTED, PAPER, SECOND, Draw, png
from elman.diagnostics.run_record import Facts, RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED = 50  # classes that a confusion picture shows


def save_pictures(record: RunRecord) -> list[Path]:
    """Writes curves.png, confusion.png, calibration.png, lengths.png and shots.png, where they are.

    Raises:
        ElmanError: a file cannot be written.
    """
    folder = record.folder / "pictures"
    saved = []
    for name, panels, size in _sheets(record):
        path = folder / f"{name}.png"
        files.write_bytes(path, png(panels, size))
        saved.append(path)
    return saved


def _sheets(record: RunRecord) -> list[tuple[str, list[Draw], tuple[float, float]]]:
    sheets: list[tuple[str, list[Draw], tuple[float, float]]] = []
    curves = [draw for _, draw in curve_panels(record)]
    if curves:
        sheets.append(("curves", curves, (4.4 * len(curves), 3.1)))
    confusion = confusion_panel(record)
    if confusion:
        draw, classes = confusion
        side = min(12.0, 3.2 + 0.36 * classes) if classes > 2 else 4.2
        sheets.append(("confusion", [draw], (side + 0.6, side)))
    for name, found in (
        ("calibration", calibration_panel),
        ("lengths", lengths_panel),
        ("shots", shots_panel),
    ):
        draw_one = found(record)
        if draw_one:
            sheets.append((name, [draw_one], (4.4, 3.6)))
    return sheets


def curve_panels(record: RunRecord) -> list[tuple[str, Draw]]:
    """Training loss, validation metric and learning rate over steps, with their titles."""
    steps, checks = record.events_of("step"), record.events_of("validated")
    panels: list[tuple[str, Draw]] = []
    if steps:
        panels.append(("Training loss", lambda axes: _draw_loss(axes, steps)))
    metric = _monitored(checks)
    if checks and metric:
        told = words.title(metric) + " on the validation part"
        panels.append((told, lambda axes: _draw_checks(axes, checks, metric)))
    if steps:
        panels.append(("Learning rate", lambda axes: _draw_rate(axes, steps)))
    return panels


def _monitored(checks: Sequence[Facts]) -> str | None:
    names = [name for check in checks[:1] for name in check.get("metrics") or {}]
    return next((name for name in ("accuracy", "micro_f1", *names) if name in names), None)


def _points(events: Sequence[Facts], value: Callable[[Facts], Any]) -> tuple[list[Any], list[Any]]:
    pairs = [(event.get("step"), value(event)) for event in events]
    kept = [(x, y) for x, y in pairs if isinstance(x, int | float) and isinstance(y, int | float)]
    return [x for x, _ in kept], [y for _, y in kept]


def _draw_loss(axes: Axes, steps: Sequence[Facts]) -> None:
    x, y = _points(steps, lambda event: event.get("loss"))
    _label(axes, "Training loss", "step", "")
    if len(y) > 40:
        axes.plot(x, y, color=FIRST, linewidth=0.8, alpha=0.3)
        axes.plot(x, _smooth(y), color=FIRST, linewidth=1.8)
    else:
        axes.plot(x, y, color=FIRST, linewidth=1.6)
    if y:
        axes.set_ylim(bottom=min(0.0, *y))


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential mean over about a twentieth of the points, corrected for its start."""
    keep = 1 - 20 / max(40, len(values))
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        found.append(mean / weight)
    return found


def _draw_checks(axes: Axes, checks: Sequence[Facts], metric: str) -> None:
    x, y = _points(checks, lambda event: (event.get("metrics") or {}).get(metric))
    scale = 1 if metric in words.PLAIN else 100
    y = [value * scale for value in y]
    _label(axes, f"{words.title(metric)} on validation", "step", "" if scale == 1 else "%")
    axes.plot(x, y, color=FIRST, linewidth=1.6, marker="o", markersize=3.5)
    if y:
        best = (min if metric in words.LESS_IS_MORE else max)(range(len(y)), key=y.__getitem__)
        axes.plot([x[best]], [y[best]], "o", color=SECOND, markersize=6, zorder=5)
        text = f"best {y[best]:.1f}" if scale == 100 else f"best {y[best]:.3f}"
        below = metric in words.LESS_IS_MORE
        edge = (x[best] - x[0]) / max(1, x[-1] - x[0])
        axes.annotate(
            text,
            (x[best], y[best]),
            xytext=(0, -14 if below else 7),
            textcoords="offset points",
            ha="left" if edge < 0.15 else "right" if edge > 0.85 else "center",
            color=SECOND,
            fontsize=9,
        )
        axes.margins(x=0.06, y=0.2)


def _draw_rate(axes: Axes, steps: Sequence[Facts]) -> None:
    x, y = _points(steps, lambda event: event.get("lr"))
    _label(axes, "Learning rate", "step", "")
    axes.plot(x, y, color=FIRST, linewidth=1.6)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)


def calibration_panel(record: RunRecord) -> Draw | None:
    """Accuracy over confidence, before and after temperature scaling."""
    facts = record.part("evaluation", "calibration")
    bins = facts.get("bins")
    return (lambda axes: _draw_calibration(axes, facts)) if bins else None


def _draw_calibration(axes: Axes, facts: Facts) -> None:
    _label(axes, "Calibration", "confidence, %", "accuracy, %")
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    pairs = (("before scaling", "bins_before", MUTED), ("as predicted", "bins", FIRST))
    lowest, least = 100.0, 100.0
    for name, key, colour in pairs:
        bins = facts.get(key) or []
        if not bins or (key == "bins_before" and facts.get("temperature") == 1.0):
            continue
        x = [100 * one["confidence"] for one in bins]
        y = [100 * one["accuracy"] for one in bins]
        most = max(one["count"] for one in bins)
        sizes = [8 + 70 * one["count"] / most for one in bins]
        axes.plot(x, y, color=colour, linewidth=1.4, label=name)
        axes.scatter(x, y, s=sizes, color=colour, edgecolors=PAPER, linewidths=0.6, zorder=4)
        lowest, least = min(lowest, *x), min(least, *y)
    start = 50 if lowest >= 50 else 0
    axes.set_xlim(start, 101.5)
    axes.set_ylim(start if least >= start else 0, 102)
    axes.legend(frameon=False, fontsize=9, loc="upper left", labelcolor=INK)


def lengths_panel(record: RunRecord) -> Draw | None:
    """How long the training texts are, in tokens."""
    tokens = record.part("data", "train", "tokens")
    return (lambda axes: _draw_lengths(axes, tokens)) if section_histogram(tokens) else None


def shots_panel(record: RunRecord) -> Draw | None:
    """What few labelled examples give, with a language model to begin with and without."""
    curve = record.part("shots")
    return (lambda axes: _draw_shots(axes, curve)) if curve.get("points") else None


def _draw_shots(axes: Axes, curve: Facts) -> None:
    points = curve["points"]
    _label(axes, "Few labelled examples", "labelled examples", f"{curve['measure']}, %")
    axes.set_xscale("log")
    for key, told, colour, style in (
        ("transfer", "with transfer", SECOND, "-"),
        ("scratch", "from scratch", FIRST, "-"),
        ("floor", "floor", MUTED, (0, (4, 3))),
    ):
        known = [(one["shots"], [100 * value for value in one[key]]) for one in points if one[key]]
        if not known:
            continue
        x, mean = [shots for shots, _ in known], [fmean(values) for _, values in known]
        axes.plot(x, mean, color=colour, linewidth=1.6, linestyle=style, label=told)
        each = [(shots, value) for shots, values in known for value in values]
        axes.plot(*zip(*each, strict=True), "o", color=colour, markersize=3, alpha=0.55)
    axes.set_ylim(top=min(101.0, axes.get_ylim()[1]))
    shots = [one["shots"] for one in points]
    axes.set_xticks(shots, [words.count(value) for value in shots])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=9, loc="lower right", labelcolor=INK)


def section_histogram(tokens: Facts) -> bool:
    """Whether there is a histogram that fits together."""
    found = tokens.get("histogram")
    if not isinstance(found, Mapping):
        return False
    return len(found.get("edges") or []) == len(found.get("counts") or []) + 1 > 1


def _draw_lengths(axes: Axes, tokens: Facts) -> None:
    _label(axes, "Length of the training texts", "tokens", "texts")
    edges, counts = tokens["histogram"]["edges"], tokens["histogram"]["counts"]
    widths = [b - a for a, b in pairwise(edges)]
    axes.bar(edges[:-1], counts, widths, align="edge", color=FIRST, edgecolor=PAPER, linewidth=0.4)
    axes.set_xlim(edges[0], edges[-1])
    top = max(counts) * 1.16
    axes.set_ylim(0, top)
    for name, told in (("median", "median"), ("p95", "95 %")):
        value = tokens.get(name)
        if isinstance(value, int | float) and value <= edges[-1]:
            axes.axvline(value, color=SECOND, linewidth=1, linestyle=(0, (4, 3)))
            side = value > edges[0] + 0.8 * (edges[-1] - edges[0])
            axes.annotate(
                f"{told} {value:.0f}",
                (value, top * 0.99),
                xytext=(-4 if side else 4, 0),
                textcoords="offset points",
                ha="right" if side else "left",
                va="top",
                color=SECOND,
                fontsize=9,
            )


def confusion_panel(record: RunRecord) -> tuple[Draw, int] | None:
    """The confusion matrix, rows as shares, and how many classes it shows."""
    confusion = shown_confusion(record.evaluation.get("confusion"))
    if confusion is None:
        return None
    labels, matrix, _ = confusion
    return (lambda axes: _draw_confusion(axes, labels, matrix)), len(labels)


def shown_confusion(confusion: Any) -> tuple[list[str], list[list[int]], int] | None:
    """Labels and counts of at most 50 classes to show, and how many classes there are.

    Of more than 50 classes those with most wrong rows are kept, in their own order.
    """
    if not isinstance(confusion, Mapping):
        return None
    labels = [str(one) for one in confusion.get("labels") or []]
    matrix = confusion.get("matrix") or []
    if len(labels) < 2 or len(matrix) != len(labels):
        return None
    if len(labels) <= _NAMED:
        return labels, matrix, len(labels)
    wrong = [
        sum(matrix[k]) + sum(row[k] for row in matrix) - 2 * matrix[k][k]
        for k in range(len(labels))
    ]
    kept = sorted(sorted(range(len(labels)), key=lambda k: -wrong[k])[:_NAMED])
    return [labels[k] for k in kept], [[matrix[i][j] for j in kept] for i in kept], len(labels)


def _draw_confusion(axes: Axes, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    shares = [[cell / max(1, sum(row)) for cell in row] for row in matrix]
    colours = LinearSegmentedColormap.from_list("share", [PAPER, FIRST])
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
    size = 9 if len(labels) <= 12 else 8 if len(labels) <= 25 else 6.5
    names = [words.clip(label, 18) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90 if len(labels) > 4 else 0, fontsize=size)
    axes.set_yticks(range(len(labels)), names, fontsize=size)
    axes.set_xlabel("predicted", color=MUTED, fontsize=9)
    axes.set_ylabel("true", color=MUTED, fontsize=9)
    axes.tick_params(length=0, colors=INK)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_color(GRID)
        side.set_visible(True)
    if len(labels) > 25:
        return
    for i, row in enumerate(matrix):
        for j, cell in enumerate(row):
            if cell:
                colour = PAPER if shares[i][j] > 0.55 else INK
                small = size if len(labels) <= 12 else 6.5
                axes.text(j, i, str(cell), ha="center", va="center", color=colour, fontsize=small)


def _label(axes: Axes, heading: str, across: str, up: str) -> None:
    axes.set_title(heading, loc="left", fontsize=11, color=INK, pad=8)
    axes.set_xlabel(across, color=MUTED, fontsize=9)
    axes.set_ylabel(up, color=MUTED, fontsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    for name, side in axes.spines.items():
        side.set_visible(name == "bottom")
        side.set_color(GRID)
