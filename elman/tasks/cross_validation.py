"""Cross-validation: every row is measured once, by a classifier that has not seen it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elman
from elman.data import k_folds
from elman.errors import DataError
from elman.files import write_json
from elman.metrics import compare_folds_with_floor, summarise_folds
from elman.tasks import run
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.result import CrossValidation, Evaluation
from elman.tasks.run_command import command
from elman.tasks.shots import settings_to_keep
from elman.tasks.texts import LabelledTexts, file_facts
from elman.training import Event, notes_to

if TYPE_CHECKING:
    from elman.tasks.classify import Classifier


def cross_validated(
    whole: LabelledTexts,
    folds: int,
    config: ClassifyConfig,
    make: Callable[[ClassifyConfig], Classifier],
    folder: Path | None,
    on_event: Callable[[Event], None] | None,
) -> CrossValidation:
    """Trains `folds` times, each time without the rows that are measured then.

    Args:
        whole: the rows.
        folds: how many parts they are cut into.
        config: the settings; a budget of minutes is shared out equally.
        make: gives a classifier of some settings.
        folder: where the result is written at the end.
        on_event: is told what happens.

    Raises:
        ConfigError: fewer than two folds, or more than rows. DataError: a class is in one fold.
    """
    start = time.perf_counter()
    say = notes_to(on_event)
    settings = _shared_out(config, folds)
    measured: list[Evaluation] = []
    cell: Mapping[str, Any] = {}
    parts = k_folds(whole.labels, folds, config.training.seed)
    _require_each_class(whole, parts)
    for number, (kept, off) in enumerate(parts, start=1):
        say(f"fold {number} of {folds}")
        result = make(settings).fit(whole.select(kept), test=whole.select(off), on_event=on_event)
        measured.append(result.evaluation)
        cell = {key: result.document["model"].get(key) for key in ("cell", "citation")}
    found = _summary(measured, "micro_f1" if whole.several else "accuracy")
    document = {
        "format": run.FORMAT,
        "elman": elman.__version__,
        "task": "classify",
        "name": folder.name if folder is not None else "folds",
        "created": run.now(),
        "seconds": time.perf_counter() - start,
        "command": command(),
        "data": {"train": file_facts(whole)},
        "model": dict(cell),
        **found,
    }
    if folder is not None:
        # Its settings last: folds that were stopped leave no run behind and can be begun again.
        write_json(folder / "result.json", document)
        run.write_config(folder, settings_to_keep(config))
        run.seal(folder, [])
    kept_facts = found["folds"]
    return CrossValidation(
        tuple(measured),
        kept_facts["mean"],
        kept_facts["std"],
        kept_facts["floor_mean"],
        found["comparison"],
        document,
        folder,
    )


def _require_each_class(whole: LabelledTexts, parts: Sequence[tuple[list[int], list[int]]]) -> None:
    """Refuses, before anything is trained, what a fold could not measure."""
    for kept, off in parts:
        unseen = set(whole.select(off).counts()) - set(whole.select(kept).counts())
        if unseen:
            name = min(unseen)
            rows = whole.counts()[name]
            raise DataError(
                f'every row of the class "{name}" ({rows}) falls into one fold, so that it would '
                "be measured by a model that has never seen it.",
                where=str(whole.examples.facts.get("path")),
                hint="Leave the class out, find more rows of it, or measure on a file (--test).",
            )


def _shared_out(config: ClassifyConfig, folds: int) -> ClassifyConfig:
    """The settings of one fold: its share of the minutes."""
    minutes = config.training.minutes
    if minutes is None:
        return config
    training = config.training.model_copy(update={"minutes": minutes / folds})
    return config.model_copy(update={"training": training})


def _summary(measured: Sequence[Evaluation], measure: str) -> dict[str, Any]:
    """Each fold's figures, their mean and spread, the floor's beside them, and both in words."""
    floors = [one.floor["metrics"] for one in measured if one.floor is not None]
    beside = summarise_folds(floors) if len(floors) == len(measured) else None
    folds = {
        **summarise_folds([one.metrics for one in measured]),
        "rows": [one.facts["rows"] for one in measured],
        "measure": measure,
        "floor_names": [one.floor["name"] for one in measured if one.floor is not None],
        "floor_metrics": beside["metrics"] if beside else None,
        "floor_mean": beside["mean"] if beside else None,
        "floor_std": beside["std"] if beside else None,
        "evaluations": [one.summary() for one in measured],
    }
    if beside is not None:
        values = [[one[measure] for one in part] for part in (folds["metrics"], beside["metrics"])]
        comparison = compare_folds_with_floor(measure, *values)
        return {"folds": folds, "comparison": comparison, "sentence": comparison["sentence"]}
    name, spread = measure.replace("_", " "), folds["std"][measure]
    sentence = (
        f"Over {folds['k']} folds {name} is {100 * folds['mean'][measure]:.1f} % on average, "
        f"with a spread of {100 * spread:.1f} points. No floor was trained to compare it with."
    )
    return {"folds": folds, "comparison": None, "sentence": sentence}
