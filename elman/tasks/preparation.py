"""From the files to what a classifier is trained on: split, tokeniser, numbers, floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from elman.data import (
    EncodedTexts,
    Tokeniser,
    build_tokeniser,
    class_names,
    load_tokeniser,
)
from elman.errors import ConfigError, DataError, RunError
from elman.files import read_json, write_json
from elman.tasks.blend import Scores, scores_of, share_right
from elman.tasks.classify_config import ClassifyConfig, shapes_for
from elman.tasks.floor import Floor, Floors, fit_floor, load_floors, save_floors
from elman.tasks.held_out import LEARNT, Owners, members_for, owners_of
from elman.tasks.texts import LabelledTexts, encoded, read_labelled
from elman.tasks.validation_part import share_or_file

Say = Callable[[str], None]
Source = str | PathLike[str] | LabelledTexts

PREPARED = "prepared.json"


@dataclass
class Prepared:
    """Everything that training needs, made from the files.

    Attributes:
        train, valid: the rows of both parts; `held_out` is the share that a network leaves out, or
            None when `valid` is a file of its own.
        networks: how many answer together, decided by the rows before any is split off.
        owners: `(train rows,)`: the network that leaves a row out and is validated on it
            (`held_out.owners_of`); None where `train` and `valid` share no row.
        classes: every label of the training part, in the order of the scores.
        numbers_train, numbers_valid: the same rows as token numbers.
        floors: the classical models: one beside each network that leaves out rows of its own; none
            when it is switched off.
    """

    train: LabelledTexts
    valid: LabelledTexts
    held_out: float | None
    classes: tuple[str, ...]
    tokeniser: Tokeniser
    numbers_train: EncodedTexts
    numbers_valid: EncodedTexts
    networks: int = 1
    owners: Owners | None = None
    floors: tuple[Floor, ...] = ()
    columns: dict[str, str | None] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether a text may have several labels."""
        return self.train.several

    @property
    def own(self) -> Owners | None:
        """`(valid rows,)`: the network that has not seen a row."""
        return None if self.owners is None else self.owners[self.owners != LEARNT]

    def split_facts(self) -> dict[str, Any]:
        """What `result.json` says about how the validation part was split off."""
        found: dict[str, Any] = {}
        if self.held_out:
            found = {"split_of": "train", "fraction": self.held_out}
        if self.own is not None:
            found["networks"] = int(self.own.max()) + 1
        return found

    def floor_scores(self) -> Scores | None:
        """Each validation row's scores by the floor that has not seen it, `(rows, classes)`."""
        if not self.floors or not len(self.valid):
            return None
        own = np.zeros(len(self.valid), np.int64) if self.own is None else self.own
        scores = np.zeros((len(self.valid), len(self.classes)))
        for place in np.unique(own):
            rows = np.flatnonzero(own == place)
            floor = self.floors[min(place, len(self.floors) - 1)]
            texts = self.valid.select(rows.tolist()).texts()
            scores[rows] = scores_of(floor.probabilities(texts), self.several)
        return scores


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
    networks = members_for(config.model, len(whole))
    train, held, share, owners = split_off(config, whole, valid, columns, networks)
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
    shapes = shapes_for(config.model, len(train), tokeniser.level)
    made = Prepared(
        train,
        held,
        share,
        classes,
        tokeniser,
        encoded(train, tokeniser, classes, several=train.several, shapes=shapes),
        encoded(held, tokeniser, classes, several=held.several, shapes=shapes),
        networks,
        owners,
        columns=columns,
    )
    if len(made.numbers_train.ids) == 0:
        raise DataError(
            "no text of the training part holds a word.",
            where=str(whole.examples.facts.get("path")),
            hint="Name the column of the texts with --text.",
        )
    made.floors = _floors(config, made, folder if begun else None, say)
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
    how = ", ".join(_how(found))
    columns = f'text "{found.get("text")}", label "{found.get("label")}"'
    rows = f"{len(texts)} rows of {len(texts.counts())} classes"
    say(f"{rows} from {found.get('path')} ({how}; {columns})")
    return texts


def _how(found: Mapping[str, Any]) -> Iterator[str]:
    """How a file was read, in words that `--data.*` takes."""
    for key in ("format", "compression"):
        if found.get(key):
            yield str(found[key])
    for key in ("delimiter", "encoding"):
        if found.get(key):
            yield f"{key} {found[key]}"


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
    networks: int = 1,
) -> tuple[LabelledTexts, LabelledTexts, float | None, Owners | None]:
    """The rows to train on, those to validate on, and the share that these were split off by.

    With several networks each leaves out rows of its own where no file to validate on is given:
    then all rows are trained on, and the owners say by whom not.

    Raises:
        DataError: the file to validate on cannot be used. ConfigError: an impossible share.
    """
    if isinstance(valid, LabelledTexts):
        return whole, valid, None, None
    share = share_or_file(config.valid if valid is None else valid)
    if not isinstance(share, str):
        if not 0 < share < 1:
            raise ConfigError(
                f"got a share of {share:g} to validate on, wanted one between 0 and 1.",
                where="valid",
            )
        owners = owners_of(whole.labels, share, networks, config.training.seed)
        held = whole.select(np.flatnonzero(owners != LEARNT).tolist())
        if owners.max() > 0:
            return whole, held, share, owners
        return whole.select(np.flatnonzero(owners == LEARNT).tolist()), held, share, None
    held = read_labelled(share, config.data, columns=columns, several=whole.several)
    return whole, held, None, None


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


def _floors(config: ClassifyConfig, made: Prepared, kept: Path | None, say: Say) -> Floors:
    if not config.floor.measure:
        return ()
    if kept is not None and (kept / "floor.json").exists():
        return load_floors(kept)
    if made.owners is None:
        floors = (_fitted(config, made, made.train, made.valid, None),)
    else:  # the first one's choice is the others' too
        found: list[Floor] = []
        for number in range(int(made.owners.max()) + 1):
            left_out = made.owners == number
            learnt = made.train.select(np.flatnonzero(~left_out).tolist())
            unseen = made.train.select(np.flatnonzero(left_out).tolist())
            found.append(_fitted(config, made, learnt, unseen, found[0] if found else None))
        floors = tuple(found)
    scores = made.floor_scores()
    if scores is not None:
        targets = made.numbers_valid.targets(range(len(made.valid)))
        right = f"{100 * share_right(scores, targets, made.several):.1f} % right"
        took = sum(floor.seconds for floor in floors)
        say(f"floor: {floors[0].name}, {right} on the validation part ({took:.0f} s)")
    return floors


def _fitted(
    config: ClassifyConfig,
    made: Prepared,
    train: LabelledTexts,
    valid: LabelledTexts,
    like: Floor | None,
) -> Floor:
    return fit_floor(
        train.texts(),
        train.truth(),
        valid.texts(),
        valid.truth(),
        classes=made.classes,
        several=made.several,
        seed=config.training.seed,
        like=like,
    )


def _keep(made: Prepared, folder: Path, fingerprints: dict[str, Any]) -> None:
    made.tokeniser.save(folder)
    save_floors(made.floors, folder)
    write_json(folder / PREPARED, fingerprints)
