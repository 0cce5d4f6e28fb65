"""The parts of the page about what it was measured on and how to do it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from elman.diagnostics import pictures, words
from elman.diagnostics.commands import commands
from elman.diagnostics.drawing import svg
from elman.diagnostics.markup import bar, chart, code, facts, fold, heading, table
from elman.diagnostics.run_record import Facts, RunRecord, section
from elman.diagnostics.sources import sources
from elman.diagnostics.words import esc

_PARTS = (("train", "Training"), ("valid", "Validation"), ("test", "Test"))
_CLASSES = 60  # rows of the class table


def data(record: RunRecord) -> str:
    """The data's facts: files, fingerprints, classes, lengths."""
    parts = [(name, record.part("data", key)) for key, name in _PARTS]
    known = [(name, part) for name, part in parts if part]
    if not known:
        return ""
    listing = "".join(f"<div><h3>{esc(name)}</h3>{_part(part)}</div>" for name, part in known)
    draw = pictures.lengths_panel(record)
    train = record.part("data", "train")
    length = section(train, "tokens")
    lengths = ""
    if draw:
        caption = "Tokens in a training text"
        lengths = chart(caption, svg(draw, "lengths", (4.6, 2.8)))
    told = facts(
        (
            ("Tokens", words.count(length.get("total"))),
            ("Mean length", words.count(length.get("mean"))),
            ("Median", words.count(length.get("median"))),
            ("95 % are shorter than", words.count(length.get("p95"))),
            ("Longest", words.count(length.get("max"))),
            ("Unknown tokens", words.figure("share", train.get("unknown_share"))),
        )
    )
    counts = _class_counts(known)
    return (
        f'{heading("data", "Data")}<div class="plots">{listing}</div>'
        f'<div class="two"><div>{lengths}{told}</div><div>{counts}</div></div>'
    )


def _part(part: Facts) -> str:
    taken = part.get("split_of")
    if taken:
        share = part.get("fraction")
        told = f"{share * 100:g} % of " if isinstance(share, int | float) else "a part of "
        taken = f"{told}the {taken} file, stratified"
        if part.get("networks"):
            taken += f"; another part for each of {part['networks']} networks, which learn the rest"
    columns = ", ".join(
        f"{name}: {part[key]}"
        for key, name in (("text", "text"), ("label", "label"))
        if part.get(key)
    )
    if isinstance(part.get("share"), int | float):  # of running text
        taken = f"{part['share'] * 100:g} % of the text, from its end"
    kind = [part.get(key) for key in ("format", "encoding", "compression")]
    return facts(
        (
            ("File", part.get("path")),
            ("Taken from", taken),
            ("Rows", words.count(part.get("rows"))),
            ("Columns", columns),
            ("Format", ", ".join(str(one) for one in kind if one)),
            ("Fingerprint", _short(part.get("fingerprint"))),
        )
    )


def _short(fingerprint: Any) -> str | None:
    return f"sha256 {str(fingerprint)[:16]}…" if fingerprint else None


def _class_counts(parts: Iterable[tuple[str, Facts]]) -> str:
    counted = [(name, part["classes"]) for name, part in parts if part.get("classes")]
    counted = [(name, one) for name, one in counted if isinstance(one, Mapping)]
    if not counted:
        return ""
    first = counted[0][1]
    labels = sorted(first, key=lambda label: -first[label])
    most = max(first.values(), default=1) or 1
    rows = [
        (
            label,
            *(words.count(one.get(label, 0)) for _, one in counted),
            bar(first[label] / most),
        )
        for label in labels[:_CLASSES]
    ]
    head = ("Label", *(name for name, _ in counted), "")
    listing = table(head, rows, numbers=range(1, len(counted) + 1))
    rest = len(labels) - _CLASSES
    more = f'<p class="note">and {rest} rarer labels</p>' if rest > 0 else ""
    whole = f"<h3>Classes</h3>{listing}{more}"
    return whole if len(labels) <= 20 else fold(f"{len(labels)} classes", listing + more)


def model(record: RunRecord) -> str:
    """The model and the floor."""
    found, floor = record.part("model"), record.part("floor")
    inner = facts(
        (
            ("Cell", found.get("cell")),
            ("Parameters", words.count(found.get("parameters"))),
            ("Vocabulary", words.count(found.get("vocabulary"))),
            ("Word vectors", words.coverage(section(found, "vectors"))),
            ("Training time", words.duration(record.result.get("seconds"))),
        )
    )
    for name, key in (("Layers", "summary"), ("Kernel plan", "plan")):
        if found.get(key):
            inner += fold(name, code(str(found[key])))
    right = _floor(floor) if floor else ""
    if not found and not right:
        return ""
    beside = f"<h3>The floor</h3>{right}" if right else ""
    left = f"<h3>The network</h3>{inner}"
    title = heading("model", "Model")
    return f'{title}<div class="two"><div>{left}</div><div>{beside}</div></div>'


def _floor(floor: Facts) -> str:
    settings = section(floor, "settings")
    chosen = section(settings, "chosen")
    used, rows = settings.get("train_rows_used"), settings.get("train_rows")
    pairs = [
        ("Model", floor.get("name")),
        ("C", chosen.get("C")),
        ("Beta", chosen.get("beta")),
        ("Features", words.count(settings.get("features"))),
        ("Time, tuning included", words.duration(floor.get("seconds"))),
    ]
    if used != rows:
        pairs.append(("Sample", f"{words.count(used)} of {words.count(rows)} training rows"))
    tried = [one for one in settings.get("candidates") or [] if isinstance(one, Mapping)]
    listing = ""
    if tried:
        ranked = sorted(tried, key=lambda one: -(one.get("score") or 0))
        cells = [
            (one.get("name"), _plain(one.get("C")), _plain(one.get("beta")), _score(one))
            for one in ranked
        ]
        head = ("Candidate", "C", "Beta", "Validation")
        listing = fold(f"{len(tried)} candidates tried", table(head, cells, numbers=(1, 2, 3)))
    return facts(pairs) + listing


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "–"


def _score(one: Facts) -> str:
    return words.figure("score", one.get("score"))


def again(record: RunRecord) -> str:
    """The commands, the environment, the configuration and the sources."""
    listing = "".join(f"<h3>{esc(told)}</h3>{code(command)}" for told, command in commands(record))
    found = record.environment
    packages = section(found, "packages")
    environment = facts(
        [
            ("elman", found.get("elman") or record.result.get("elman")),
            *((str(key), value) for key, value in found.items() if not _nested(key, value)),
            *((str(key), value) for key, value in packages.items()),
        ]
    )
    parts = [heading("again", "Do it again"), listing]
    if environment:
        parts.append(fold("Environment", environment))
    if record.config:
        parts.append(fold("Configuration (config.yaml)", code(record.config)))
    cited = "".join(f"<li>{esc(one)}</li>" for one in sources(record))
    parts.append(fold("Sources", f"<ul>{cited}</ul>"))
    return "".join(parts)


def _nested(key: Any, value: Any) -> bool:
    return key in ("elman", "command") or isinstance(value, Mapping | list)
