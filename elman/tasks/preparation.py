"""From the files to what a classifier is trained on: split, tokeniser, numbers, floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from elman.data import (
    EncodedTexts,
    Tokeniser,
    build_tokeniser,
    class_names,
    load_tokeniser,
    stratified_split,
)
from elman.errors import ConfigError, DataError, RunError
from elman.files import read_json, write_json
from elman.tasks.blend import Scores, scores_of, share_right
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.floor import Floor, fit_floor
from elman.tasks.texts import LabelledTexts, encoded, read_labelled

Say = Callable[[str], None]
Source = str | PathLike[str] | LabelledTexts

PREPARED = "prepared.json"


@dataclass
class Prepared:
    """Everything that training needs, made from the files.

    Attributes:
        train, valid: the rows of both parts; `held_out` is the share that `valid` was split off
            by, or None when it is a file of its own.
        classes: every label of the training part, in the order of the scores.
        numbers_train, numbers_valid: the same rows as token numbers.
        floor: the classical model; None when it is switched off.
    """

    train: LabelledTexts
    valid: LabelledTexts
    held_out: float | None
    classes: tuple[str, ...]
    tokeniser: Tokeniser
    numbers_train: EncodedTexts
    numbers_valid: EncodedTexts
    floor: Floor | None = None
    columns: dict[str, str | None] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether a text may have several labels."""
        return self.train.several

    def floor_scores(self) -> Scores | None:
        """The floor's scores on the validation part."""
        if self.floor is None or not len(self.valid):
            return None
        return scores_of(self.floor.probabilities(self.valid.texts()), self.several)


def prepare(
    config: ClassifyConfig,
    data: Source,
    valid: Source | float | None,
    folder: Path | None,
    say: Say,
) -> Prepared:
    """Reads, splits, encodes and fits the floor; in a run's `folder` the parts are kept.

    Raises:
        DataError: the files cannot be used.
        ConfigError: an impossible share to hold out.
        RunError: the folder's run was begun with other data.
    """
    whole = data if isinstance(data, LabelledTexts) else read_training(data, config, say)
    classes = _classes(whole)
    columns = {name: whole.examples.facts.get(name) for name in ("text", "label")}
    train, held, share = split_off(config, whole, valid, columns)
    _require_text(train)
    fingerprints = {"train": train.examples.fingerprint(), "valid": held.examples.fingerprint()}
    begun = folder is not None and (folder / PREPARED).exists()
    if folder is not None:
        same_data(folder, fingerprints)
    if begun and folder is not None:
        tokeniser: Tokeniser = load_tokeniser(folder)
    elif config.model.encoder is not None:
        tokeniser = load_tokeniser(config.model.encoder)
    else:
        tokeniser = build_tokeniser(train.texts(), config.data.tokeniser)
    made = Prepared(
        train,
        held,
        share,
        classes,
        tokeniser,
        encoded(train, tokeniser, classes),
        encoded(held, tokeniser, classes),
        columns=columns,
    )
    if len(made.numbers_train.ids) == 0:
        raise DataError(
            "no text of the training part holds a word.",
            where=str(whole.examples.facts.get("path")),
            hint="Name the column of the texts with --text.",
        )
    made.floor = _floor(config, made, folder if begun else None, say)
    if folder is not None and not begun:
        _keep(made, folder, fingerprints)
    return made


def read_training(data: str | PathLike[str], config: ClassifyConfig, say: Say) -> LabelledTexts:
    """The labelled texts to train on; says what was found in the file.

    Raises:
        DataError: the file or a row cannot be used.
    """
    texts = read_labelled(data, config.data, several=config.data.several_labels)
    found = texts.examples.facts
    how = ", ".join(str(found[key]) for key in ("format", "compression") if found.get(key))
    columns = f'text "{found.get("text")}", label "{found.get("label")}"'
    rows = f"{len(texts)} rows of {len(texts.counts())} classes"
    say(f"{rows} from {found.get('path')} ({how}; {columns})")
    return texts


def _classes(texts: LabelledTexts) -> tuple[str, ...]:
    counts, path = texts.counts(), str(texts.examples.facts.get("path"))
    names = tuple(class_names(counts, path))
    if max(counts.values()) == 1:
        raise DataError(
            f'the {len(names)} labels of the column "{texts.examples.facts.get("label")}" '
            "all differ, so that there is nothing to learn from.",
            where=path,
            hint="Name the column of the classes with --label.",
        )
    return names


def split_off(
    config: ClassifyConfig,
    whole: LabelledTexts,
    valid: Source | float | None,
    columns: dict[str, str | None],
) -> tuple[LabelledTexts, LabelledTexts, float | None]:
    """The rows to train on, those to validate on, and the share that these were split off by.

    Raises:
        DataError: the file to validate on cannot be used. ConfigError: an impossible share.
    """
    chosen = config.valid if valid is None else valid
    if isinstance(chosen, str) and _number(chosen) is not None:
        chosen = _number(chosen)
    if isinstance(chosen, LabelledTexts):
        return whole, chosen, None
    if isinstance(chosen, int | float):
        share = float(chosen)
        if not 0 < share < 1:
            raise ConfigError(
                f"got a share of {share:g} to validate on, wanted one between 0 and 1.",
                where="valid",
            )
        kept, off = stratified_split(whole.labels, share, config.training.seed)
        return whole.select(kept), whole.select(off), share
    assert chosen is not None
    several = whole.several
    return whole, read_labelled(chosen, config.data, columns=columns, several=several), None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _require_text(texts: LabelledTexts) -> None:
    if not any(text.strip() for text in texts.texts()):
        raise DataError(
            "every text is empty.",
            where=str(texts.examples.facts.get("path")),
            hint="Name the column of the texts with --text.",
        )


def same_data(folder: Path, fingerprints: dict[str, str]) -> None:
    """Checks that a run is continued with the data that it was begun with.

    Raises:
        RunError: it is not.
    """
    path = folder / PREPARED
    if not path.exists():
        return
    before = read_json(path)
    for part, fingerprint in fingerprints.items():
        if before.get(part) != fingerprint:
            raise RunError(
                f"the {part} data is not what the run was begun with.",
                where=str(folder),
                hint="Give the same files, or begin a new run with another --out.",
            )


def _floor(config: ClassifyConfig, made: Prepared, kept: Path | None, say: Say) -> Floor | None:
    if not config.floor.measure:
        return None
    if kept is not None and (kept / "floor.json").exists():
        return Floor.load(kept)
    floor = fit_floor(
        made.train.texts(),
        made.train.truth(),
        made.valid.texts(),
        made.valid.truth(),
        classes=made.classes,
        several=made.several,
        seed=config.training.seed,
    )
    scores = scores_of(floor.probabilities(made.valid.texts()), made.several)
    targets = made.numbers_valid.targets(range(len(made.valid)))
    right = f"{100 * share_right(scores, targets, made.several):.1f} % right"
    say(f"floor: {floor.name}, {right} on the validation part ({floor.seconds:.0f} s)")
    return floor


def _keep(made: Prepared, folder: Path, fingerprints: dict[str, Any]) -> None:
    made.tokeniser.save(folder)
    if made.floor is not None:
        made.floor.save(folder)
    write_json(folder / PREPARED, fingerprints)
