"""The exact commands that repeat, resume, measure and use a run."""

from __future__ import annotations

import shlex

from elman.diagnostics.run_record import RunRecord


def commands(record: RunRecord) -> list[tuple[str, str]]:
    """Pairs of what a command does and the command."""
    run = shlex.quote(record.shown)
    given = str(record.result.get("command") or record.environment.get("command") or "").strip()
    found: list[tuple[str, str]] = []
    if given:
        found.append(("Trained with", given))
        if "--resume" not in given:
            found.append(("Resume after an interruption", f"{given} --resume"))
    if record.part("shots"):
        return [*found, ("Write this page again", f"elman report {run}")]
    train = record.part("data", "train").get("path")
    task = str(record.result.get("task") or "classify")
    if train and record.config:
        repeat = f"elman train {task} {shlex.quote(str(train))} --config {run}/config.yaml"
        found.append(("Repeat with every setting of this run", f"{repeat} --out {run}-again"))
    test = record.part("data", "test").get("path")
    measured = shlex.quote(str(test)) if test else "TEST_FILE"
    found.append(("Measure", f"elman evaluate {run} {measured}"))
    if task == "lm":
        found.append(("Write", f'elman generate {run} --prompt "..." --stream'))
    else:
        found.append(("Predict", f'elman predict {run} "a text to classify"'))
    found.append(("Write this page again", f"elman report {run}"))
    return found
