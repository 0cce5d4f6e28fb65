"""What a task gives back: frozen values that can be printed, saved and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.classify import Classifier


@dataclass(frozen=True)
class Prediction:
    """One text's prediction.

    `labels` holds the one label of the text, or every label when there may be several (none is
    possible then). `probabilities` has an entry for each class.
    """

    text: str
    labels: tuple[str, ...]
    probabilities: Mapping[str, float]
    several: bool = False

    @property
    def label(self) -> str:
        """The label; several are joined by a comma."""
        return ", ".join(self.labels)

    @property
    def probability(self) -> float:
        """The probability of the label; of the least sure one when there are several."""
        chosen = self.labels or tuple(self.probabilities)
        values = [self.probabilities[label] for label in chosen]
        return min(values) if self.labels else 1.0 - max(values, default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """The prediction as plain values for JSON."""
        label = list(self.labels) if self.several else self.label
        return {
            "text": self.text,
            "label": label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True)
class Evaluation:
    """A measurement on labelled data, beside the floor's on the same rows.

    `facts` is `metrics.classification_report` with the split's name; see `summary`.
    """

    facts: Mapping[str, Any]
    data: Mapping[str, Any]
    floor: Mapping[str, Any] | None = None
    comparison: Mapping[str, Any] | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        """The measures by name, such as `accuracy` and `macro_f1`."""
        return self.facts["metrics"]

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON: data, evaluation, floor and comparison."""
        return {
            "data": dict(self.data),
            "evaluation": dict(self.facts),
            "floor": dict(self.floor) if self.floor else None,
            "comparison": dict(self.comparison) if self.comparison else None,
        }


@dataclass(frozen=True)
class Result:
    """What `fit` gives: the fitted task, its measurement and the floor's, and the run directory."""

    task: Classifier
    evaluation: Evaluation
    document: Mapping[str, Any]
    run: Path | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def metrics(self) -> Mapping[str, float]:
        """The measures of the evaluation by name."""
        return self.evaluation.metrics

    @property
    def floor(self) -> Mapping[str, Any] | None:
        """The floor's name, settings and measures on the same rows."""
        return self.evaluation.floor

    @property
    def comparison(self) -> Mapping[str, Any] | None:
        """The model against the floor: difference, interval, verdict and a sentence."""
        return self.evaluation.comparison

    def summary(self) -> dict[str, Any]:
        """The content of `result.json`."""
        return dict(self.document)


@dataclass(frozen=True)
class ShotPoint:
    """What one number of labelled examples gave, a value a seed.

    Attributes:
        shots: the number of labelled examples.
        scratch: without a language model.
        transfer: beginning with one; empty when there is none.
        floor: of the classical model on the same examples; empty when it is switched off.
    """

    shots: int
    scratch: tuple[float, ...]
    transfer: tuple[float, ...] = ()
    floor: tuple[float, ...] = ()


@dataclass(frozen=True)
class FewShot:
    """A learning curve over few labelled examples.

    Attributes:
        measure: the name of what was measured, "accuracy" or, with several labels, "micro_f1".
        points: one a number of examples, the smallest first.
        document: the content of `result.json`.
        run: the run directory, if there is one.
    """

    measure: str
    points: tuple[ShotPoint, ...]
    document: Mapping[str, Any]
    run: Path | None = None

    @property
    def sentence(self) -> str:
        """The curve in words."""
        return str(self.document["sentence"])

    def summary(self) -> dict[str, Any]:
        """The content of `result.json`."""
        return dict(self.document)


@dataclass(frozen=True)
class CrossValidation:
    """The results of `k` folds.

    Attributes:
        folds: each fold's evaluation.
        mean, deviation: of each measure over the folds.
        floor_mean: the floor's, where it is measured.
        comparison: model and floor over the folds: difference, interval, verdict and a sentence.
        document: the content of `result.json`.
        run: the run directory, if there is one; it holds no model.
    """

    folds: tuple[Evaluation, ...]
    mean: Mapping[str, float]
    deviation: Mapping[str, float]
    floor_mean: Mapping[str, float] | None
    comparison: Mapping[str, Any] | None
    document: Mapping[str, Any]
    run: Path | None = None

    @property
    def sentence(self) -> str:
        """The result in words."""
        return str(self.document["sentence"])

    def summary(self) -> dict[str, Any]:
        """The content of `result.json`."""
        return dict(self.document)
