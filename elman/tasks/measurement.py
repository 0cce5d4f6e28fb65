"""What is measured of a trained classifier, and how it is written down in `result.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import elman
from elman.data import Vectors
from elman.metrics import (
    classification_report,
    compare_marks_with_floor,
    compare_with_floor,
    label_marks,
)
from elman.tasks.blend import Scores, probabilities_of
from elman.tasks.fitted import Fitted, parameter_count
from elman.tasks.floor import Floor
from elman.tasks.result import Evaluation
from elman.tasks.run import FORMAT, now
from elman.tasks.texts import LabelledTexts, facts

_FLOOR_METRICS = ("metrics", "intervals")


def measured(
    fitted: Fitted,
    texts: LabelledTexts,
    split: str,
    seed: int,
    unseen: tuple[Scores, Scores | None] | None = None,
) -> Evaluation:
    """The classifier on labelled texts, beside its floor on the same rows.

    Args:
        split: what these rows are called, "valid" or "test".
        seed: of the bootstrap.
        unseen: scores of networks and floors that have not learnt these rows, where others of the
            ensemble have.
    """
    numbers = fitted.encoded(texts)
    if unseen is not None:
        network, scores = unseen
        first = scores
    else:
        network = fitted.network_scores(numbers)
        every = fitted.floor_scores(texts.texts()) if fitted.floors else None
        scores, first = (None, None) if every is None else (every.mean(axis=0), every[0])
    beside = None if first is None else probabilities_of(first, fitted.several)
    blend = fitted.blend
    plain = blend.probabilities(network, scores, calibrated=False)
    report = _report(fitted, texts, plain, blend.temperature, split, seed)
    alone = blend.probabilities(network, None, calibrated=False)
    report["network_alone"] = _accuracy(fitted, texts.truth(), alone)
    report["floor_share"] = blend.share
    data = facts(texts, numbers, fitted.tokeniser)
    floor = fitted.floor
    if floor is None or beside is None:
        return Evaluation(report, data)
    return Evaluation(
        report,
        data,
        floor_facts(floor, _report(fitted, texts, beside, 1.0, split, seed)),
        _comparison(fitted, texts.truth(), plain, beside, seed),
    )


def floor_facts(floor: Floor, report: Mapping[str, Any]) -> dict[str, Any]:
    """What `result.json` says about the floor."""
    return {
        "name": floor.name,
        "settings": floor.settings,
        "seconds": floor.seconds,
        **{name: report[name] for name in _FLOOR_METRICS},
    }


def vector_facts(path: str, vectors: Vectors, words: int) -> dict[str, Any]:
    """What `result.json` says about the word vectors that a network began with.

    Args:
        path: their file.
        vectors: what was found in it.
        words: of the vocabulary; `coverage` is the share of them that has a vector.
    """
    return {
        "path": path,
        "found": vectors.found,
        "words": words,
        "coverage": vectors.coverage,
        "folded": vectors.folded,
        "dimension": vectors.dim,
    }


def document(
    fitted: Fitted,
    name: str,
    data: Mapping[str, Any],
    evaluation: Evaluation,
    seconds: float,
    command: str,
    citation: str,
) -> dict[str, Any]:
    """The content of `result.json`, format 1.

    Args:
        fitted: the classifier.
        name: the run's.
        data: the facts of its parts.
        evaluation: what was measured.
        seconds: from the beginning to the end.
        command: that trained it; empty where Python did.
        citation: where the cell's equations come from; empty where nobody says.
    """
    time = int(min(data["train"]["tokens"]["max"], 400)) or 1
    plan = getattr(fitted.network.members[0].recurrent, "plan", None)
    return {
        "format": FORMAT,
        "elman": elman.__version__,
        "task": "classify",
        "name": name,
        "created": now(),
        "seconds": seconds,
        "command": command,
        "data": dict(data),
        "model": {
            "parameters": parameter_count(fitted.network),
            "cell": fitted.config.model.cell,
            "plan": str(plan(64, time)) if plan is not None else "",
            "summary": repr(fitted.network),
            "vocabulary": fitted.network.vocabulary,
            "citation": citation or None,
            "vectors": fitted.vectors,
        },
        "evaluation": dict(evaluation.facts),
        "floor": dict(evaluation.floor) if evaluation.floor else None,
        "comparison": dict(evaluation.comparison) if evaluation.comparison else None,
    }


def _report(
    fitted: Fitted,
    texts: LabelledTexts,
    probabilities: Scores,
    temperature: float,
    split: str,
    seed: int,
) -> dict[str, Any]:
    report = classification_report(
        texts.truth(),
        probabilities,
        fitted.classes,
        split=split,
        temperature=temperature,
        several=fitted.several,
        where=[str(row) for row in range(len(texts))],
        seed=seed,
    )
    found = texts.at([int(error["where"]) for error in report["worst"]])
    for error in report["worst"]:
        text, error["where"] = found[int(error["where"])]
        error["text"] = text if len(text) <= 1000 else text[:1000] + "…"
    return report


def _comparison(
    fitted: Fitted, truth: Sequence[Any], model: Scores, floor: Scores, seed: int
) -> dict[str, Any]:
    ours, theirs = fitted.labels(model), fitted.labels(floor)
    if not fitted.several:
        return compare_with_floor(truth, ours, theirs, seed=seed)
    marks = [label_marks(labels, fitted.classes) for labels in (truth, ours, theirs)]
    return compare_marks_with_floor(*marks, seed=seed)


def _accuracy(fitted: Fitted, truth: Sequence[Any], probabilities: Scores) -> float:
    labels = fitted.labels(probabilities)
    same = [
        set(a) == set(b) if fitted.several else a == b for a, b in zip(truth, labels, strict=True)
    ]
    return sum(same) / max(1, len(same))
