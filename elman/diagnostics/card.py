"""The model card (after Mitchell et al. 2019, "Model cards for model reporting")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from elman.diagnostics import words
from elman.diagnostics.commands import commands
from elman.diagnostics.run_record import Facts, RunRecord, section
from elman.diagnostics.sources import sources
from elman.diagnostics.words import largest_confusions, mark

_FENCE = "```"


def card(record: RunRecord, drawn: Sequence[str] = ()) -> str:
    """card.md: what the model is, what it saw, what was measured, where it fails, how to use it.

    Args:
        drawn: names of the files in pictures/.
    """
    parts = [
        f"# {mark(record.name)}",
        mark(record.sentence()),
        *_model(record),
        *_data(record),
        *_measured(record, drawn),
        *_limits(record),
        *_use(record),
        "## Sources",
        "\n".join(f"- {mark(one)}" for one in sources(record)),
        "## Licence",
        "Unknown: the licence of the model follows from that of its data, which elman cannot know. "
        "Check it before you pass the model on.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *([mark(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _list(pairs: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(
        f"- {name}: {mark(value)}" for name, value in pairs if value not in (None, "", "–")
    )


def _model(record: RunRecord) -> list[str]:
    found = record.part("model")
    pairs = (
        ("Task", record.result.get("task")),
        ("Cell", found.get("cell")),
        ("Parameters", words.count(found.get("parameters"))),
        ("Vocabulary", words.count(found.get("vocabulary"))),
        ("Word vectors", words.coverage(section(found, "vectors"))),
        ("Trained", str(record.result.get("created") or "")[:10]),
        ("Training time", words.duration(record.result.get("seconds"))),
        ("elman", record.result.get("elman")),
    )
    return ["## Model", _list(pairs)]


def _data(record: RunRecord) -> list[str]:
    rows = []
    for name, key in (("training", "train"), ("validation", "valid"), ("test", "test")):
        part = record.part("data", key)
        if part:
            origin = part.get("path") or f"taken from {part.get('split_of', 'the training file')}"
            told = str(part.get("fingerprint") or "–")[:16]
            rows.append((name, origin, words.count(part.get("rows")), told))
    if not rows:
        return []
    classes = record.part("data", "train").get("classes") or {}
    named = ", ".join(words.clip(str(label), 40) for label in list(classes)[:20])
    more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
    told = f"{len(classes)} classes: {mark(named)}{more}." if classes else ""
    return ["## Data", _table(("part", "from", "rows", "sha256"), rows), told]


def _measured(record: RunRecord, drawn: Sequence[str]) -> list[str]:
    metrics, floor = record.metrics, record.floor_metrics
    intervals = record.part("evaluation", "intervals")
    rows = [
        (
            words.title(name),
            words.figure(name, value),
            words.interval(name, intervals.get(name)) or "–",
            words.figure(name, floor.get(name)),
        )
        for name, value in metrics.items()
        if value is not None
    ]
    if not rows:
        return []
    note = f"On {words.split_name(record.evaluation)}, "
    note += f"{words.count(record.evaluation.get('rows'))} rows."
    floor_name = record.part("floor").get("name")
    if floor_name:
        note += f" The floor, trained on the same rows, is {floor_name}."
    shown = [name for name in drawn if name in ("confusion.png", "calibration.png")]
    images = "\n".join(f"![{name.split('.')[0]}](pictures/{name})" for name in shown)
    head = ("metric", "model", "95 % interval", "floor")
    return ["## Measured", mark(note), _table(head, rows), images]


def _limits(record: RunRecord) -> list[str]:
    told = [
        "The figures hold for texts like those of the data above; for other sources, languages or "
        "times they must be measured again.",
    ]
    if record.result.get("task") == "lm":
        told.append("What it writes is likely, not true; it repeats what its text held, also bias.")
    else:
        told.append("The model always answers with one of its classes, also when none fits.")
    if record.evaluation.get("split") != "test":
        told.append(
            "Measured on the validation part, which chose the best weights: expect slightly less "
            "on new data. Measure on a file that was not used with `elman evaluate`."
        )
    weakest = _weakest(record.evaluation.get("per_class") or [])
    if weakest:
        told.append("Weakest classes: " + "; ".join(weakest) + ".")
    mixed = largest_confusions(record.evaluation.get("confusion"), 3)
    if mixed:
        pairs = [f"{mark(a)} taken for {mark(b)} ({n} rows)" for a, b, n, _ in mixed]
        told.append("Most frequent confusions: " + "; ".join(pairs) + ".")
    unknown = record.part("data", "train").get("unknown_share")
    if isinstance(unknown, int | float):
        told.append(f"{unknown * 100:.1f} % of the training tokens are unknown to the vocabulary.")
    return ["## Limits", "\n".join(f"- {one}" for one in told)]


def _weakest(per_class: Sequence[Facts]) -> list[str]:
    if len(per_class) < 3:
        return []
    ranked = sorted((one for one in per_class if one.get("support")), key=lambda one: one["f1"])
    return [f"{mark(one['label'])} (F1 {one['f1'] * 100:.1f} %)" for one in ranked[:3]]


def _use(record: RunRecord) -> list[str]:
    shell = "\n".join(f"# {told}\n{command}" for told, command in commands(record))
    python = (
        "import elman\n\n"
        f"model = elman.load({record.shown!r})\n"
        'for prediction in model.predict(["a text to classify"]):\n'
        "    print(prediction.label, prediction.probability)"
    )
    return ["## Use", f"{_FENCE}sh\n{shell}\n{_FENCE}", f"{_FENCE}python\n{python}\n{_FENCE}"]
