"""How the floor is chosen: every candidate is fitted on train and scored on the validation part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.metrics import fit_temperature, label_marks
from elman.tasks.floor_candidates import (
    Candidate,
    Linear,
    binary,
    candidates,
    fit_linear,
    interpolated,
    inverse_frequency,
    joined,
    log_count_ratios,
    tf_idf,
)
from elman.tasks.floor_model import Floor, scaled_scores
from elman.tasks.floor_ngrams import SPLITTERS, NgramTable, build_table
from elman.tasks.floor_sample import Sample, take_sample

_TRAIN_CHARACTERS = 60_000_000
_VALID_CHARACTERS = 20_000_000
_CHARACTER_VIEW = 6_000_000  # characters of training text up to which character n-grams are tried
_SHORT = 200  # mean characters a text up to which character n-grams are tried
_FILE_BYTES = 24_000_000
_WORK = 2e9  # non-zero features x solver passes that tuning may take, about half a minute
_PASSES = 10  # what a fit is expected to take at least
_CLASSES = 16  # more classes than this take a smaller sample each
_WORDY = 3  # mean words a text below which word n-grams are pointless: names, product codes
_BETAS = (1.0, 0.5, 0.25)


@dataclass
class Part:
    """One part of the data: its labels as marks and its n-gram counts by level."""

    marks: NDArray[np.bool_]
    counts: dict[str, Any]


@dataclass
class Best:
    """The best candidate so far."""

    score: float
    loss: float
    candidate: Candidate
    linear: Linear
    temperature: float


def tune(
    train: tuple[Iterable[str], Sequence[Any]],
    valid: tuple[Iterable[str], Sequence[Any]],
    *,
    tokens: Callable[[str], list[str]] | None,
    classes: tuple[str, ...],
    several: bool,
    seed: int,
    chosen: dict[str, Any] | None = None,
) -> Floor:
    """See `floor.fit_floor`; `chosen` is the line of the one candidate to fit."""
    most = _TRAIN_CHARACTERS * _CLASSES // max(_CLASSES, len(classes))
    fitted = take_sample(*train, most, seed)
    held = take_sample(*valid, _VALID_CHARACTERS, seed)
    if not fitted.texts:
        raise ConfigError("there are no training texts.", where="floor")
    marks = _marks(fitted, classes, several)
    held_marks = _marks(held, classes, several)
    frequent = _most_frequent(marks, several)
    settings = _settings(fitted, held, tokens)
    constant = _constant_score(frequent, held_marks, several)
    trials = [_trial("most frequent class", None, None, constant)]
    splits = {**SPLITTERS, "word": tokens or SPLITTERS["word"]}
    tables, parts = _features(fitted, held, marks, held_marks, splits, len(classes))
    best = _search(tables, parts, several, seed, trials, settings, chosen)
    settings["candidates"] = trials
    if best is None or (constant is not None and best.score <= constant):
        settings["chosen"] = trials[0]
        return Floor("most frequent class", classes, settings, 0.0, several, shares=frequent)
    return _assemble(best, tables, parts[0], classes, several, settings, tokens)


def _marks(sample: Sample, classes: tuple[str, ...], several: bool) -> NDArray[np.bool_]:
    sets = sample.labels if several else [(label,) for label in sample.labels]
    return label_marks(sets, classes).astype(bool)


def _settings(
    fitted: Sample, held: Sample, tokens: Callable[[str], list[str]] | None
) -> dict[str, Any]:
    return {
        "tokens": "given" if tokens else "lower-cased words and punctuation",
        "train_rows": fitted.rows,
        "train_rows_used": len(fitted.texts),
        "valid_rows_used": len(held.texts),
    }


def _most_frequent(marks: NDArray[np.bool_], several: bool) -> NDArray[np.float64]:
    """(classes,): the training shares; the largest, or those above one half, are predicted."""
    shares = marks.mean(axis=0)
    return shares if several else shares / shares.sum()


def _constant_score(
    shares: NDArray[np.float64], marks: NDArray[np.bool_], several: bool
) -> float | None:
    if not len(marks):
        return None
    guess = shares > 0.5 if several else np.arange(len(shares)) == shares.argmax()
    return _score(np.tile(guess, (len(marks), 1)), marks, several)


def _score(guessed: NDArray[np.bool_], marks: NDArray[np.bool_], several: bool) -> float:
    """Accuracy; micro F1 when a row may have several labels."""
    right = float((guessed & marks).sum())
    if several:
        return 2 * right / max(1.0, float(guessed.sum() + marks.sum()))
    return right / len(marks)


def _features(
    fitted: Sample,
    held: Sample,
    marks: NDArray[np.bool_],
    held_marks: NDArray[np.bool_],
    splits: dict[str, Callable[[str], list[str]]],
    classes: int,
) -> tuple[dict[str, NgramTable], tuple[Part, Part]]:
    tables: dict[str, NgramTable] = {}
    parts = Part(marks, {}), Part(held_marks, {})
    at_least = 1 if len(fitted.texts) < 20_000 else 2
    length = sum(len(text) for text in fitted.texts)
    short = length <= _CHARACTER_VIEW and length <= _SHORT * len(fitted.texts)
    levels = {"word": 2, "character": 5} if short else {"word": 2}
    words = sum(len(splits["word"](text)) for text in fitted.texts) if short else 0
    if short and words < _WORDY * len(fitted.texts):
        del levels["word"]
    # Each feature costs its key, its idf and a weight a class in the file.
    limit = _FILE_BYTES // len(levels) // (16 + 4 * classes)
    for level, orders in levels.items():
        try:
            table, stream = build_table(
                fitted.texts,
                splits[level],
                level=level,
                orders=orders,
                at_least=at_least,
                limit=limit,
            )
        except ConfigError:
            continue
        tables[level] = table
        parts[0].counts[level] = table.counts(stream)
        parts[1].counts[level] = table.counts(table.stream(held.texts, splits[level]))
    return tables, parts


def _search(
    tables: dict[str, NgramTable],
    parts: tuple[Part, Part],
    several: bool,
    seed: int,
    trials: list[dict[str, Any]],
    settings: dict[str, Any],
    chosen: dict[str, Any] | None,
) -> Best | None:
    """Fits candidates until the work allowed is done; each is added to `trials`."""
    train, valid = parts
    if not tables or not _learnable(train.marks, several):
        return None
    views: list[tuple[str, ...]] = [(level,) for level in tables]
    if len(tables) > 1:
        views.append(tuple(tables))
    columns = train.marks[:, 1:] if _two_classes(train.marks, several) else train.marks
    weighted = _Weighted(train, valid, tables)
    best, work, left_out = None, 0.0, 0
    tried = list(candidates(views))
    for candidate in [one for one in tried if _is(one, chosen)] or tried:
        cost = sum(train.counts[level].nnz for level in candidate.view) * columns.shape[1]
        if work and work + _PASSES * cost > _WORK:
            left_out += 1
            continue
        work += cost * _PASSES
        for found in _try(candidate, weighted, columns, valid.marks, several, seed):
            if chosen and found.linear.beta != chosen.get("beta", found.linear.beta):
                continue
            work += max(0.0, found.linear.work - _PASSES * cost)
            trials.append(_trial(candidate.name, candidate, found.linear.beta, found.score))
            if best is None or (found.score, -found.loss) > (best.score, -best.loss):
                best = found
        if not len(valid.marks):
            break
    settings["candidates_left_out"] = left_out
    settings["tuned"] = bool(len(valid.marks))
    return best


def _is(candidate: Candidate, chosen: dict[str, Any] | None) -> bool:
    given = None if chosen is None else (chosen["name"], chosen.get("C"))
    return given in (None, (candidate.name, candidate.strength))


def _learnable(marks: NDArray[np.bool_], several: bool) -> bool:
    """There is more than one class, or one label of several that comes and goes."""
    varied = marks.any(axis=0) & ~marks.all(axis=0)
    return int(varied.sum()) >= (1 if several else 2)


def _two_classes(marks: NDArray[np.bool_], several: bool) -> bool:
    return not several and marks.shape[1] == 2


class _Weighted:
    """Weighted feature matrices and log-count ratios, made when first asked for."""

    def __init__(self, train: Part, valid: Part, tables: dict[str, NgramTable]) -> None:
        self.counts = train.counts, valid.counts
        self.marks = train.marks
        self.idf = {level: inverse_frequency(train.counts[level]) for level in tables}
        self._blocks: dict[tuple[str, str], tuple[Any, Any]] = {}
        self._ratios: dict[str, NDArray[np.float64]] = {}

    def features(self, candidate: Candidate) -> tuple[Any, Any]:
        """The training and the validation matrix."""
        pairs = {level: self._block(level, candidate.weighting) for level in candidate.view}
        return (
            joined({level: pair[0] for level, pair in pairs.items()}, candidate.view),
            joined({level: pair[1] for level, pair in pairs.items()}, candidate.view),
        )

    def ratios(self, view: tuple[str, ...], columns: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(features, columns): each block's own ratios, one below the other."""
        for level in view:
            if level not in self._ratios:
                present = binary(self.counts[0][level])
                self._ratios[level] = log_count_ratios(present, columns)
        return np.concatenate([self._ratios[level] for level in view])

    def _block(self, level: str, weighting: str) -> tuple[Any, Any]:
        if (level, weighting) not in self._blocks:
            one, other = (counts[level] for counts in self.counts)
            if weighting == "binary":
                self._blocks[level, weighting] = binary(one), binary(other)
            else:
                idf = self.idf[level]
                self._blocks[level, weighting] = tf_idf(one, idf), tf_idf(other, idf)
        return self._blocks[level, weighting]


def _try(
    candidate: Candidate,
    weighted: _Weighted,
    columns: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    several: bool,
    seed: int,
) -> Iterator[Best]:
    """The candidate's validation score, for each interpolation when it is an NB-SVM."""
    features, held = weighted.features(candidate)
    ratios = weighted.ratios(candidate.view, columns) if candidate.naive_bayes else None
    fitted = fit_linear(candidate, features, ratios, columns, seed)
    nbsvm = ratios is not None and candidate.learner == "linear SVM"
    for beta in _BETAS if nbsvm else (1.0,):
        linear = fitted if beta == 1.0 or ratios is None else interpolated(fitted, ratios, beta)
        if not len(valid):
            yield Best(0.0, 0.0, candidate, linear, 1.0)
            continue
        scores = linear.scores(held)
        guess = scores > 0 if several else _winner(scores)
        temperature, loss = _calibrate(scores, valid, several)
        yield Best(_score(guess, valid, several), loss, candidate, linear, temperature)


def _winner(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]


def _calibrate(
    scores: NDArray[np.float64], marks: NDArray[np.bool_], several: bool
) -> tuple[float, float]:
    """The temperature that fits the validation part, and the log loss at it."""
    plain = scaled_scores(scores, 1.0, several)
    labels = list(range(marks.shape[1]))
    truth: Any = marks if several else marks.argmax(axis=1).tolist()
    temperature = fit_temperature(truth, plain, labels, several=several)
    sure = np.clip(scaled_scores(scores, temperature, several), 1e-12, 1 - 1e-12)
    loss = -np.log(sure[marks]).sum() - (np.log1p(-sure[~marks]).sum() if several else 0.0)
    return temperature, float(loss)


def _trial(
    name: str, candidate: Candidate | None, beta: float | None, score: float | None
) -> dict[str, Any]:
    """A line of the candidates' table in `settings`."""
    facts: dict[str, Any] = {"name": name, "score": None if score is None else round(score, 6)}
    if candidate is not None:
        facts["C"] = candidate.strength
    if candidate is not None and candidate.naive_bayes and candidate.learner == "linear SVM":
        facts["beta"] = beta
    return facts


def _assemble(
    best: Best,
    tables: dict[str, NgramTable],
    train: Part,
    classes: tuple[str, ...],
    several: bool,
    settings: dict[str, Any],
    tokens: Callable[[str], list[str]] | None,
) -> Floor:
    candidate = best.candidate
    chosen = _trial(candidate.name, candidate, best.linear.beta, best.score)
    if not settings["tuned"]:
        chosen["score"] = None
    settings["chosen"] = chosen
    settings["features"] = sum(tables[level].size for level in candidate.view)
    idf = {}
    if candidate.weighting == "tf-idf":
        idf = {level: inverse_frequency(train.counts[level]) for level in candidate.view}
    return Floor(
        candidate.name,
        classes,
        settings,
        0.0,
        several,
        candidate.weighting,
        best.temperature,
        {level: tables[level] for level in candidate.view},
        idf,
        best.linear,
        tokens=tokens,
    )
