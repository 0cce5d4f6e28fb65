"""The exact commands that repeat, resume, measure and use a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from elman.cells import find
from elman.diagnostics.run_record import Facts, RunRecord
from elman.errors import ElmanError


def commands(record: RunRecord) -> list[tuple[str, str]]:
    """Pairs of what a command does and the command; only such as can be run as they stand."""
    run = record.shown
    given = _given(record)
    found: list[tuple[str, str]] = []
    if given:
        found.append(("Trained with", shlex.join(given)))
    if _known_cell(record):
        found += _trainings(record, given)
        found += _uses(record)
    return [*found, ("Write this page again", shlex.join(["elman", "report", run]))]


def _given(record: RunRecord) -> list[str]:
    """The words of elman's command line that made the run; none where Python did."""
    told = str(record.result.get("command") or record.environment.get("command") or "")
    try:
        words = shlex.split(told)
    except ValueError:  # an older run: its words were joined without quotes
        words = told.split()
    return words if words[:1] == ["elman"] else []


def _known_cell(record: RunRecord) -> bool:
    """Whether the command line knows the cell: one of the user's own exists in Python only."""
    name = record.part("model").get("cell")
    if not name:
        return True
    try:
        find(str(name))
    except ElmanError:
        return False
    return True


def _trainings(record: RunRecord, given: Sequence[str]) -> list[tuple[str, str]]:
    run, settings = record.shown, _with_settings(record)
    found: list[tuple[str, str]] = []
    if not record.part("folds"):  # folds are trained anew, they are not resumed
        begun = list(given) if given[1:2] == ["train"] else [] if given else settings
        if begun:
            words = [*_without(begun, "--out", "--resume"), "--out", run, "--resume"]
            found.append(("Resume after an interruption", shlex.join(words)))
    if settings:
        words = [*settings, "--out", f"{run}-again"]
        found.append(("Repeat with every setting of this run", shlex.join(words)))
    return found


def _with_settings(record: RunRecord) -> list[str]:
    """The words that train with the run's data and its config.yaml; none where they are unknown."""
    train = record.part("data", "train").get("path")
    if not train or train == "None" or not record.config:
        return []
    words = ["elman", "train", _task(record), str(train)]
    words += ["--config", str(Path(record.shown) / "config.yaml")]
    shots, folds = record.part("shots"), record.part("folds")
    if folds:
        return [*words, "--folds", str(folds.get("k") or len(folds.get("folds") or []))]
    test = _test(record)
    words += ["--test", test] if test else []
    if shots:
        words += ["--shots", *(str(point["shots"]) for point in shots["points"])]
        words += ["--shots-seeds", str(len(shots["seeds"]))]
    return words


def _test(record: RunRecord) -> str | None:
    """The file that was measured at the end, or the share of a text."""
    part = record.part("data", "test")
    if part.get("share"):
        return f"{part['share']:g}"
    path = part.get("path")
    if not path or path == record.part("data", "train").get("path"):
        return None
    return str(path)


def _without(words: Sequence[str], *options: str) -> list[str]:
    """The words without these options and what follows `--out`."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, _, value = word.partition("=")
        if skip:
            skip = False
        elif name in options:
            skip = name == "--out" and not value
        else:
            kept.append(word)
    return kept


def _uses(record: RunRecord) -> list[tuple[str, str]]:
    """What a model is good for."""
    if not record.has_model:
        return []
    run = record.shown
    words = ["elman", "evaluate", run, *_measured_on(record)]
    found = [("Measure", shlex.join(words))]
    if _task(record) == "lm":
        quoted = shlex.quote(run)
        return [*found, ("Write", f'elman generate {quoted} --prompt "..." --stream')]
    return [*found, ("Predict", f'elman predict {shlex.quote(run)} "a text to classify"')]


def _measured_on(record: RunRecord) -> list[str]:
    part: Facts = record.part("data", "test")
    path = part.get("path")
    if not path:
        return ["TEST_FILE"]
    if part.get("share"):
        return [str(path), "--last", f"{part['share']:g}"]
    return [str(path)]


def _task(record: RunRecord) -> str:
    return str(record.result.get("task") or "classify")
