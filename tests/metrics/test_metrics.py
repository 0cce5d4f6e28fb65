"""Metrics against scikit-learn and brute force, which share no code with them."""

from __future__ import annotations

import itertools
import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from elman import metrics
from elman.errors import ConfigError, DataError, ShapeError

NAMES = ["a", "b", "c", "d"]
ROWS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=60)


def soft(rows: int, classes: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows)


@given(ROWS)
def test_counts_agree_with_sklearn(rows: list[tuple[str, str]]) -> None:
    truth, guess = [a for a, _ in rows], [b for _, b in rows]
    assert metrics.accuracy(truth, guess) == pytest.approx(oracle.accuracy_score(truth, guess))
    found = metrics.confusion_matrix(truth, guess, NAMES)
    np.testing.assert_array_equal(found, oracle.confusion_matrix(truth, guess, labels=NAMES))
    pairs = (
        (metrics.precision, oracle.precision_score),
        (metrics.recall, oracle.recall_score),
        (metrics.f1, oracle.f1_score),
    )
    for (ours, theirs), average in itertools.product(pairs, ("macro", "weighted", "micro")):
        wanted = theirs(truth, guess, average=average, zero_division=0)
        # Classes that occur nowhere must not change an average.
        assert ours(truth, guess, average=average, labels=NAMES) == pytest.approx(wanted)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 5), st.booleans())
def test_rankings_agree_with_sklearn(seed: int, classes: int, ties: bool) -> None:
    draw = np.random.default_rng(seed)
    scores = soft(60, classes, seed)
    if ties:
        scores = np.round(scores, 1)
    codes = draw.integers(0, classes, 60)
    labels = list(range(classes))
    for k in labels:
        one = (codes == k).astype(int)
        if 0 < one.sum() < 60:
            area = metrics.roc_auc(one.tolist(), scores[:, k], [0, 1])
            assert area == pytest.approx(oracle.roc_auc_score(one, scores[:, k]))
    known = [k for k in labels if (codes == k).any()]
    wanted = np.mean([oracle.average_precision_score(codes == k, scores[:, k]) for k in known])
    assert metrics.average_precision(codes.tolist(), scores, labels) == pytest.approx(wanted)
    if len(known) == classes:
        clean = scores if classes == 2 else scores / np.maximum(scores.sum(1, keepdims=True), 1e-9)
        if classes > 2 and np.allclose(clean.sum(1), 1):
            area = oracle.roc_auc_score(codes, clean, multi_class="ovr", labels=labels)
            assert metrics.roc_auc(codes.tolist(), clean, labels) == pytest.approx(area)


def test_roc_auc_by_counting_pairs() -> None:
    truth, scores = [0, 1, 0, 1, 1], [0.1, 0.4, 0.4, 0.9, 0.2]
    won = 0.0
    for positive, negative in itertools.product((1, 3, 4), (0, 2)):
        gap = scores[positive] - scores[negative]
        won += 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0
    assert metrics.roc_auc(truth, scores, [0, 1]) == pytest.approx(won / 6)
    assert metrics.roc_auc([1, 1], [0.2, 0.3], [0, 1]) is None


def test_log_loss_agrees_with_sklearn() -> None:
    given = soft(50, 3)
    truth = [NAMES[k] for k in np.random.default_rng(1).integers(0, 3, 50)]
    found = metrics.log_loss(truth, given, NAMES[:3])
    assert found == pytest.approx(oracle.log_loss(truth, given, labels=NAMES[:3]))
    assert np.isfinite(metrics.log_loss(["a"], [[0.0, 1.0]], ["a", "b"]))


def test_ece_by_hand() -> None:
    sure, right = [0.95, 0.95, 0.55, 0.05], [1, 0, 1, 0]
    # Fifteen bins: the first two rows share one, the others stand alone.
    wanted = (2 * abs(0.95 - 0.5) + abs(0.55 - 1) + 0.05) / 4
    assert metrics.ece(sure, right) == pytest.approx(wanted)
    assert sum(one["count"] for one in metrics.reliability_bins([0.0, 1.0, 1 / 15], [0, 1, 1])) == 3
    assert metrics.ece([1.0, 1.0], [True, True]) == 0.0


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_temperature_is_found_again(true: float) -> None:
    draw = np.random.default_rng(5)
    logits = 2 * draw.normal(size=(6000, 4))
    given = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    sampled = metrics.apply_temperature(given, true)
    codes = [int(draw.choice(4, p=row)) for row in sampled]
    found = metrics.fit_temperature(codes, given, [0, 1, 2, 3])
    assert found == pytest.approx(true, rel=0.1)
    grid = np.exp(np.linspace(np.log(found) - 0.5, np.log(found) + 0.5, 41))
    losses = [metrics.log_loss(codes, metrics.apply_temperature(given, t), range(4)) for t in grid]
    best = metrics.log_loss(codes, metrics.apply_temperature(given, found), range(4))
    assert best <= min(losses) + 1e-9


def test_temperature_of_independent_labels() -> None:
    odds = np.linspace(-4, 4, 9).reshape(-1, 1)
    plain = 1 / (1 + np.exp(-odds))
    scaled = metrics.apply_temperature(plain, 2.0, several=True)
    np.testing.assert_allclose(scaled, 1 / (1 + np.exp(-odds / 2)), atol=1e-12)


def test_intervals_agree_with_drawing_rows() -> None:
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 3, 150)
    guess = np.where(draw.random(150) < 0.7, truth, draw.integers(0, 3, 150))
    matrix = metrics.confusion_matrix(truth.tolist(), guess.tolist(), [0, 1, 2])
    fast = metrics.confusion_intervals(matrix, seed=1, resamples=4000)

    def macro(a: Any, b: Any) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(oracle.f1_score(a, b, average="macro"))

    slow = metrics.bootstrap_interval(
        lambda a, b: float((a == b).mean()), truth, guess, seed=2, resamples=2000
    )
    assert fast["accuracy"] == pytest.approx(slow, abs=0.012)
    slow = metrics.bootstrap_interval(macro, truth, guess, seed=2, resamples=400)
    assert fast["macro_f1"] == pytest.approx(slow, abs=0.025)


def test_intervals_are_seeded_and_cover() -> None:
    values = np.random.default_rng(0).normal(size=200)
    first = metrics.bootstrap_interval(np.mean, values, seed=4)
    assert first == metrics.bootstrap_interval(np.mean, values, seed=4)
    assert first[0] < values.mean() < first[1]
    covered = 0
    for seed in range(200):
        right = np.random.default_rng(seed).random(100) < 0.8
        matrix = np.array([[right.sum(), (~right).sum()], [0, 0]])
        low, high = metrics.confusion_intervals(matrix, seed=seed, resamples=300)["accuracy"]
        covered += low <= 0.8 <= high
    assert 170 <= covered <= 200


def test_no_false_certainty_when_all_is_right() -> None:
    low, high = metrics.confusion_intervals(np.array([[10, 0], [0, 10]]))["accuracy"]
    assert low == pytest.approx(0.839, abs=0.001)
    assert high == 1.0


@pytest.mark.parametrize(
    ("better", "verdict", "words"),
    [
        (90, "beats", "beats the floor by"),
        (0, "ties", "ties with"),
        (-90, "does not beat", "below"),
    ],
)
def test_comparison_in_words(better: int, verdict: str, words: str) -> None:
    rows = 1000
    truth, base = ["x"] * rows, ["x"] * 800 + ["y"] * 200
    model = ["x"] * (800 + better) + ["y"] * (200 - better)
    found = metrics.compare_with_floor(truth, model, base)
    assert found["verdict"] == verdict
    assert words in found["sentence"]
    assert found["difference"] == pytest.approx(better / rows)
    low, high = found["interval"]
    assert low <= found["difference"] <= high
    assert "95 % interval" in found["sentence"]


def test_paired_bootstrap_by_drawing_rows() -> None:
    draw = np.random.default_rng(8)
    model, base = draw.random(300) < 0.85, draw.random(300) < 0.8
    slow = metrics.bootstrap_interval(lambda a, b: a.mean() - b.mean(), model, base, resamples=3000)
    assert metrics.paired_bootstrap(model, base) == pytest.approx(slow, abs=0.008)


def test_several_labels_agree_with_sklearn() -> None:
    draw = np.random.default_rng(2)
    marks = (draw.random((80, 4)) < 0.4).astype(int)
    sure = np.clip(0.5 * marks + 0.5 * draw.random((80, 4)), 0.01, 0.99)
    guess = (sure > 0.5).astype(int)
    found = metrics.marks_metrics(marks, sure)
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(marks, guess))
    assert found["hamming_loss"] == pytest.approx(oracle.hamming_loss(marks, guess))
    scores = {
        "f1": oracle.f1_score, "precision": oracle.precision_score, "recall": oracle.recall_score
    }  # fmt: skip
    for (kind, score), name in itertools.product(scores.items(), ("micro", "macro", "weighted")):
        assert found[f"{name}_{kind}"] == pytest.approx(score(marks, guess, average=name))
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(marks, sure))
    assert found["average_precision"] == pytest.approx(oracle.average_precision_score(marks, sure))
    wanted = np.mean([oracle.log_loss(marks[:, k], sure[:, k]) for k in range(4)])
    assert found["log_loss"] == pytest.approx(wanted)
    same = metrics.compare_marks_with_floor(marks, guess, guess, resamples=50)
    assert same["verdict"] == "ties"
    assert same["model"] == pytest.approx(oracle.f1_score(marks, guess, average="micro"))


def test_a_report_has_precision_and_recall() -> None:
    names, given = ["x", "y", "z"], soft(60, 3)
    truth = [names[k] for k in np.random.default_rng(3).choice(3, 60, p=(0.6, 0.3, 0.1))]
    guess = [names[k] for k in given.argmax(axis=1)]
    found = metrics.classification_report(truth, given, names, resamples=20)["metrics"]
    scores = {"precision": oracle.precision_score, "recall": oracle.recall_score}
    for (kind, score), name in itertools.product(scores.items(), ("macro", "weighted")):
        assert found[f"{name}_{kind}"] == pytest.approx(score(truth, guess, average=name))


@pytest.mark.parametrize("several", [False, True])
def test_report_has_the_schema_and_is_json(several: bool) -> None:
    draw = np.random.default_rng(0)
    names = ["x", "y", "z"]
    given = draw.random((40, 3)) if several else soft(40, 3)
    one = [names[k] for k in draw.integers(0, 3, 40)]
    truth: list[Any] = [(name,) for name in one] if several else one
    texts = ["t" * 5000] * 40
    report = metrics.classification_report(
        truth, given, names, split="test", several=several, temperature=1.5, texts=texts, worst=3
    )
    json.dumps(report, allow_nan=False)
    wanted = {"split", "rows", "metrics", "intervals", "per_class", "confusion", "calibration"}
    assert set(report) == wanted | {"worst"}
    assert report["rows"] == 40
    assert len(report["worst"]) == 3
    assert len(report["worst"][0]["text"]) == 1001
    sure = [one["probability"] for one in report["worst"]]
    assert sure == sorted(sure, reverse=True)
    low, high = report["intervals"]["accuracy"]
    assert low <= report["metrics"]["accuracy"] <= high
    assert sum(one["support"] for one in report["per_class"]) == 40
    assert sum(one["count"] for one in report["calibration"]["bins"]) == (120 if several else 40)


def test_report_of_one_row_and_missing_classes() -> None:
    report = metrics.classification_report(["b"], [[0.2, 0.8, 0.0]], ["a", "b", "c"])
    assert report["metrics"]["accuracy"] == 1.0
    assert report["metrics"]["roc_auc"] is None
    assert report["worst"] == []
    json.dumps(report, allow_nan=False)


def test_mistakes_are_sentences() -> None:
    with pytest.raises(ShapeError, match="2 true labels but 1"):
        metrics.accuracy(["a", "b"], ["a"])
    with pytest.raises(ShapeError, match="no rows"):
        metrics.accuracy([], [])
    with pytest.raises(DataError, match='Did you mean "positive"'):
        metrics.confusion_matrix(["postive"], ["positive"], ["positive", "negative"])
    with pytest.raises(ConfigError, match="macro"):
        metrics.f1(["a"], ["a"], average="makro")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="NaN"):
        metrics.classification_report(["a"], [[float("nan"), 1.0]], ["a", "b"])
    with pytest.raises(ShapeError, match="wanted"):
        metrics.classification_report(["a"], [[0.5, 0.5]], ["a", "b", "c"])


def test_folds() -> None:
    found = metrics.summarise_folds([{"accuracy": 0.8, "roc_auc": None}, {"accuracy": 0.9}])
    assert found["k"] == 2
    assert found["mean"] == {"accuracy": pytest.approx(0.85)}
    assert found["std"]["accuracy"] == pytest.approx(np.std([0.8, 0.9], ddof=1))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=200))
def test_length_facts(lengths: list[int]) -> None:
    facts = metrics.length_facts(lengths)
    assert facts["total"] == sum(lengths)
    assert facts["max"] == max(lengths)
    assert sum(facts["histogram"]["counts"]) == len(lengths)
    assert len(facts["histogram"]["edges"]) == len(facts["histogram"]["counts"]) + 1
