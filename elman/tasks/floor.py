"""The floor: a cheap classical text classifier that stands beside every model.

Word and character n-grams with tf-idf or naive-Bayes weights (Wang & Manning 2012) and a linear
model, or simply the most frequent class: whichever does best on the validation part. It is fitted
on the training part only, so that model and floor have seen the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from elman.tasks.floor_model import Floor
from elman.tasks.floor_tuning import tune

__all__ = ["Floor", "Floors", "fit_floor", "load_floors", "save_floors"]

Floors = tuple[Floor, ...]


def fit_floor(
    train_texts: Iterable[str],
    train_labels: Sequence[Any],
    valid_texts: Iterable[str],
    valid_labels: Sequence[Any],
    *,
    tokens: Callable[[str], list[str]] | None = None,
    classes: Sequence[str],
    several: bool = False,
    seed: int = 1,
    like: Floor | None = None,
) -> Floor:
    """The best of a small grid of linear models on n-grams, chosen on the validation part.

    Args:
        train_texts: read once; of more than 60 million characters (fewer with more than 16
            classes) a random share is used, and `settings` says so.
        train_labels: a label of `classes` for each text; with `several` a collection of them.
        valid_texts, valid_labels: what the choice is made on (accuracy; micro F1 with `several`).
            With none, the first candidate is taken, and `settings` says so.
        tokens: makes words of a text; by default a tokeniser that keeps punctuation and takes
            Chinese and Japanese by character. `Floor.load` needs it again.
        classes: every label, in the order of the probabilities' columns.
        seed: of the sample and of the solver.
        like: a floor whose choice is taken; nothing else is tried.

    Raises:
        ConfigError: no training texts, or texts and labels that differ in number.
        DataError: a label that is not in `classes`.
    """
    start = time.perf_counter()
    floor = tune(
        (train_texts, train_labels),
        (valid_texts, valid_labels),
        tokens=tokens,
        classes=tuple(classes),
        several=several,
        seed=seed,
        chosen=None if like is None else like.settings["chosen"],
    )
    floor.seconds = time.perf_counter() - start
    return floor


def save_floors(floors: Floors, folder: Path) -> list[str]:
    """Writes floor.json, floor-1.json ... with their numbers, and gives the files' names."""
    named = [(_name(place), floor) for place, floor in enumerate(floors)]
    return [file for name, floor in named for file in floor.save(folder, name)]


def load_floors(folder: Path) -> Floors:
    """What `save_floors` wrote.

    Raises:
        RunError: a file is damaged or of another version.
    """
    names = takewhile(lambda name: (folder / f"{name}.json").exists(), map(_name, count()))
    return tuple(Floor.load(folder, name) for name in names)


def _name(place: int) -> str:
    return f"floor-{place}" if place else "floor"
