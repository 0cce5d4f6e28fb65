"""A language model's part of the page: its memory, its floors, what it writes, where it is sure."""

from __future__ import annotations

import math
from typing import Any

from elman.diagnostics import words
from elman.diagnostics.markup import Markup, bar, code, fold, heading, table
from elman.diagnostics.run_record import RunRecord, section
from elman.diagnostics.words import esc


def positions(record: RunRecord) -> str:
    """Nats by distance from a fresh start: how much of the context is used."""
    found = record.part("evaluation", "by_position")
    if not found:
        return ""
    most = max(found.values())
    rows = [(name, f"{value:.3f}", bar(value / most)) for name, value in found.items()]
    note = "Nats of a token by its place after a fresh start. Where the figures stop falling, more "
    note += "context no longer helps."
    listing = table(("Place", "Nats", ""), rows, numbers=(1,))
    return heading("positions", "Memory", note) + listing


def ngrams(record: RunRecord) -> str:
    """Every n-gram model that was tried."""
    tried = record.part("tried")
    if not tried:
        return ""
    rows = sorted(tried.items(), key=lambda item: item[1])
    listing = table(("Model", "Nats"), [(name, f"{v:.4f}") for name, v in rows], numbers=(1,))
    note = "Nats of a token on the validation part; the best one is the floor."
    return heading("ngrams", "n-grams", note) + fold(f"{len(rows)} were tried", listing)


def learning(record: RunRecord) -> str:
    """What the model wrote on its way, from one seed, with the loss at each point."""
    found = record.events_of("sample")
    if not found:
        return ""
    nats = {one.get("step"): section(one, "metrics").get("nats")
            for one in record.events_of("validated")}  # fmt: skip
    shown: list[str] = []
    for one in found:
        step, loss = one.get("step"), nats.get(one.get("step"))
        told = f"Epoch {one.get('epoch')}, step {words.count(step)}"
        told += f": {loss:.3f} nats a token" if isinstance(loss, int | float) else ""
        shown.append(f"<h3>{esc(told)}</h3>{code(str(one.get('text')) or '(nothing)')}")
    note = "Written during training, each time from the same seed (temperature 1), with the loss "
    note += "on the validation part at that point."
    return heading("learning", "While it learnt", note) + "".join(shown)


def samples(record: RunRecord) -> str:
    """What the model writes, with the seeds that repeat it."""
    found = record.result.get("samples")
    if not isinstance(found, list) or not found:
        return ""
    shown = "".join(f"<h3>Seed {esc(one['seed'])}</h3>{code(one['text'])}" for one in found)
    return heading("samples", "Samples", "Drawn from the model as it is (temperature 1).") + shown


def passage(record: RunRecord) -> str:
    """A passage of the measured text, darker where the model was surprised."""
    found = record.result.get("passage")
    if not isinstance(found, list) or not found:
        return ""
    note = "A passage of the measured text; the darker, the less likely the model found it."
    inner = "".join(_mark(str(text), value) for text, value in found)
    return heading("passage", "Where it is sure", note) + f"<pre>{inner}</pre>"


def _mark(text: str, log_probability: Any) -> str:
    nats = -float(log_probability)
    share = min(1.0, nats / 6) * 0.75
    title = f"{nats:.2f} nats, {100 * math.exp(-nats):.1f} %"
    shade = Markup(f"background:rgba(192,90,28,{share:.2f})").text
    return f'<span style="{shade}" title="{title}">{esc(text)}</span>'
