"""The linear models that compete to be the floor: how n-grams are weighted, what is fitted on them.

Naive-Bayes weights: S. Wang & C. Manning 2012, "Baselines and bigrams" (NB-SVM): each binary
n-gram is multiplied by its log-count ratio r = log((p / |p|) / (q / |q|)), p = 1 + counts in the
class, q = 1 + counts elsewhere; the weights w of the linear model are interpolated with their mean
size, w' = (1 - beta) mean|w| + beta w.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_VIEW_NAMES = {
    ("word",): "word 1-2-grams",
    ("character",): "character 1-5-grams",
    ("word", "character"): "word 1-2-grams and character 1-5-grams",
}


@dataclass(frozen=True)
class Candidate:
    """A linear model: on which n-grams, how weighted, what is fitted, how strongly.

    Attributes:
        view: the n-gram tables whose features stand side by side.
        weighting: "tf-idf" (1 + log count, idf, rows of length 1) or "binary".
        naive_bayes: features multiplied by their log-count ratio, one model a class.
        learner: "logistic regression" or "linear SVM" (squared hinge).
        strength: the inverse regularisation C.
    """

    view: tuple[str, ...]
    weighting: str
    naive_bayes: bool
    learner: str
    strength: float

    @property
    def name(self) -> str:
        """In words, for a print-out."""
        before = "naive-Bayes-weighted " if self.naive_bayes else ""
        grams = _VIEW_NAMES.get(self.view, " and ".join(self.view))
        return f"{self.learner} on {before}{self.weighting} {grams}"


@dataclass(frozen=True)
class Linear:
    """score = features @ weights + bias, one column a class (one column for two classes)."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    beta: float = 1.0
    work: float = 0.0  # non-zero features x passes of the solver that fitting took

    def scores(self, features: Any) -> NDArray[np.float64]:
        """(rows, classes) scores, the larger the likelier; two classes get -s/2 and s/2."""
        raw = np.asarray(features @ self.weights, np.float64) + self.bias
        return np.hstack([-raw / 2, raw / 2]) if raw.shape[1] == 1 else raw


_SETTINGS: tuple[tuple[str, bool, str, tuple[float, ...]], ...] = (
    ("tf-idf", False, "linear SVM", (1.0, 0.3)),
    ("binary", True, "linear SVM", (0.1, 0.01)),
    ("tf-idf", True, "linear SVM", (0.3,)),
    ("tf-idf", True, "logistic regression", (30.0, 10.0)),
    ("binary", True, "logistic regression", (0.1, 1.0)),
    ("tf-idf", False, "logistic regression", (10.0, 3.0, 30.0)),
)


def candidates(views: list[tuple[str, ...]]) -> Iterator[Candidate]:
    """All candidates, the most promising first: who runs out of time has tried those."""
    for rank in range(max(len(strengths) for *_, strengths in _SETTINGS)):
        for weighting, naive_bayes, learner, strengths in _SETTINGS:
            if rank < len(strengths):
                for view in views:
                    yield Candidate(view, weighting, naive_bayes, learner, strengths[rank])


def binary(counts: Any) -> Any:
    """1 where an n-gram occurs, however often; float64 CSR."""
    matrix = counts.astype(np.float64)
    matrix.data[:] = 1.0
    return matrix


def inverse_frequency(counts: Any) -> NDArray[np.float64]:
    """(features,): ln((1 + texts) / (1 + texts with it)) + 1."""
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.log((1 + counts.shape[0]) / (1 + frequency)) + 1


def tf_idf(counts: Any, idf: NDArray[np.float64]) -> Any:
    """(1 + ln count) * idf, each row divided by its Euclidean length; float64 CSR."""
    from sklearn.preprocessing import normalize

    matrix = counts.astype(np.float64)
    matrix.data = (1 + np.log(matrix.data)) * idf[matrix.indices]
    # scikit-learn refuses a matrix without rows, such as an empty validation part.
    return normalize(matrix, copy=False) if matrix.shape[0] else matrix


def log_count_ratios(
    present: Any, marks: NDArray[np.bool_], smoothing: float = 1.0
) -> NDArray[np.float64]:
    """(features, classes): how much likelier an n-gram is in the class than elsewhere, as a log.

    Args:
        present: (rows, features) binary CSR.
        marks: (rows, classes), which rows belong to each class.
    """
    inside = np.asarray(present.T @ marks.astype(np.float64)) + smoothing
    everywhere = np.asarray(present.sum(axis=0)).reshape(-1, 1) + 2 * smoothing
    outside = everywhere - inside
    return np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))


def fit_linear(
    candidate: Candidate,
    features: Any,
    ratios: NDArray[np.float64] | None,
    marks: NDArray[np.bool_],
    seed: int,
) -> Linear:
    """One binary model for each column of `marks`, as one matrix of weights.

    Args:
        features: (rows, features) weighted CSR.
        ratios: (features, classes) log-count ratios, or None for no naive Bayes.
        marks: (rows, columns); a column whose rows are all alike gets its smoothed log odds.
    """
    columns = marks.shape[1]
    weights = np.zeros((features.shape[1], columns), np.float32)
    bias = np.zeros(columns, np.float32)
    passes = 0
    for k in range(columns):
        positive = marks[:, k]
        total = int(positive.sum())
        if total in (0, len(positive)):
            bias[k] = np.log((total + 0.5) / (len(positive) - total + 0.5))
            continue
        ratio = None if ratios is None else ratios[:, k]
        fitted = _fit_one(candidate, features if ratio is None else _scaled(features, ratio))
        weight, bias[k], took = fitted(positive, seed)
        weights[:, k] = weight if ratio is None else weight * ratio
        passes += took
    return Linear(weights, bias, work=float(features.nnz) * passes)


def _scaled(features: Any, ratio: NDArray[np.float64]) -> Any:
    """The features' columns multiplied by `ratio`, sharing the index arrays."""
    from scipy.sparse import csr_matrix

    data = features.data * ratio[features.indices]
    return csr_matrix((data, features.indices, features.indptr), shape=features.shape)


def _fit_one(candidate: Candidate, features: Any) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    def fit(positive: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.float64], float, int]:
        settings: dict[str, Any] = {"C": candidate.strength, "dual": True, "tol": 1e-2}
        if candidate.learner == "linear SVM":
            model = LinearSVC(max_iter=100, random_state=seed, **settings)
        else:
            model = LogisticRegression(
                solver="liblinear", max_iter=40, random_state=seed, **settings
            )
        with warnings.catch_warnings():
            # The floor need not reach the optimum: the validation part chooses.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", FutureWarning)
            model.fit(features, positive)
        return model.coef_.ravel(), float(np.ravel(model.intercept_)[0]), int(np.max(model.n_iter_))

    return fit


def interpolated(linear: Linear, ratios: NDArray[np.float64], beta: float) -> Linear:
    """NB-SVM's interpolation between naive Bayes (beta 0) and the fitted weights (beta 1)."""
    ratio = ratios[:, : linear.weights.shape[1]]
    safe = np.where(np.abs(ratio) < 1e-12, 1.0, ratio)
    size = np.abs(linear.weights / safe).mean(axis=0)
    weights = (1 - beta) * size * ratio + beta * linear.weights
    return Linear(weights.astype(np.float32), linear.bias, beta)


def joined(blocks: Mapping[str, Any], view: tuple[str, ...]) -> Any:
    """The blocks of a view side by side, as CSR."""
    from scipy.sparse import hstack

    if len(view) == 1:
        return blocks[view[0]]
    return hstack([blocks[level] for level in view], format="csr")
