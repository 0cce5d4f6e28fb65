"""The report of a run: one self-contained page, a model card and pictures, from its files alone."""

from __future__ import annotations

from pathlib import Path

from elman import files
from elman.diagnostics import circumstances, measured, words, written
from elman.diagnostics.card import card
from elman.diagnostics.pictures import save_pictures
from elman.diagnostics.run_record import RunRecord, read_run
from elman.diagnostics.style import CSS
from elman.diagnostics.words import esc

# No script, nothing fetched: the page can be opened and passed on without care.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SECTIONS = (
    ("measured", "Model and floor", measured.beside_floor),
    ("folds", "Cross-validation", measured.folds),
    ("shots", "Few examples", measured.shots),
    ("positions", "Memory", written.positions),
    ("ngrams", "n-grams", written.ngrams),
    ("learning", "While it learnt", written.learning),
    ("samples", "Samples", written.samples),
    ("passage", "Where it is sure", written.passage),
    ("curves", "Training", measured.curves),
    ("classes", "Classes", measured.classes),
    ("calibration", "Calibration", measured.calibration),
    ("errors", "Worst errors", measured.errors),
    ("data", "Data", circumstances.data),
    ("model", "Model", circumstances.model),
    ("again", "Do it again", circumstances.again),
)
_TASKS = {"classify": "text classification", "lm": "language model"}


def write_report(run: str | Path) -> Path:
    """Writes report.html, card.md and pictures/*.png into a run directory, from its files alone.

    A learning curve and a cross-validation get no card, since they hold no model.

    Returns:
        the path of report.html.

    Raises:
        RunError: no such run, no result yet, or a damaged file.
        ElmanError: a file cannot be written.
    """
    record = read_run(Path(run))
    drawn = save_pictures(record)
    if record.has_model:  # there is nothing else that a card could describe
        files.write_text(record.folder / "card.md", card(record, [path.name for path in drawn]))
    path = record.folder / "report.html"
    files.write_text(path, page(record))
    return path


def page(record: RunRecord) -> str:
    """The report as HTML."""
    made = [(name, title, build(record)) for name, title, build in _SECTIONS]
    links = "".join(f'<a href="#{name}">{esc(title)}</a>' for name, title, inner in made if inner)
    body = "\n".join(f"<section>{inner}</section>" for _, _, inner in made if inner)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{esc(record.name)} – elman report</title>
<style>{CSS}</style>
</head>
<body>
<main>
{_head(record)}
<nav>{links}</nav>
</header>
{measured.tiles(record)}
{body}
<footer>Written by elman {esc(record.result.get("elman", ""))} from {esc(record.shown)}.</footer>
</main>
</body>
</html>
"""


def _head(record: RunRecord) -> str:
    """The line above, and the result in words with its figures under it."""
    result = record.result
    task = str(result.get("task", "classify"))
    created = str(result.get("created") or "")[:16].replace("T", " ")
    rest = [_TASKS.get(task, task), created, words.duration(result.get("seconds"))]
    told = " · ".join(esc(one) for one in rest if one and one != "–")
    verdict = record.part("comparison").get("verdict")
    colour = {"beats": "beats", "ties": "ties", "does not beat": "below"}.get(str(verdict), "")
    sentence = record.sentence()
    first, _, aside = sentence.partition(" (")
    more = ""
    if aside:
        inside, _, after = aside.partition(")")
        after = after.lstrip(":;. ")
        first += "." if not first.endswith(".") else ""
        more = f'<span class="aside">{esc(inside[:1].upper() + inside[1:])}; {esc(after)}</span>'
    return (
        f'<header><p class="kicker"><b>{esc(record.name)}</b> · {told}</p>'
        f'<h1><span class="verdict {colour}"></span>{esc(first)}{more}</h1>'
    )
