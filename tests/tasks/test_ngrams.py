"""n-grams against their definitions, written out the slow way."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.tasks.ngrams import Counts, NGrams, Smoothing, choose

V = 4


def _slow(
    train: list[int], order: int, smoothing: Smoothing, context: list[int], token: int
) -> float:
    """One probability by the textbook's formula, from counts in dictionaries."""
    grams = [Counter(tuple(train[k : k + n]) for k in range(len(train) - n + 1))
             for n in range(1, order + 1)]  # fmt: skip
    tables = list(grams)
    if smoothing == "kneser-ney":
        for n in range(order - 1):
            before: dict[tuple[int, ...], set[int]] = defaultdict(set)
            for gram in grams[n + 1]:
                before[gram[1:]].add(gram[0])
            tables[n] = Counter({gram: max(1, len(before[gram])) for gram in grams[n]})
    p = 1 / V
    for n in range(order):
        given = tuple(context[len(context) - n :]) if n else ()
        if len(given) < n:
            break
        if n and given not in grams[n - 1]:
            break
        row = {gram[-1]: count for gram, count in tables[n].items() if gram[:-1] == given}
        total, kinds = sum(row.values()), len(row)
        if not total:
            break
        if smoothing == "kneser-ney":
            once = sum(count == 1 for count in tables[n].values())
            twice = sum(count == 2 for count in tables[n].values())
            d = once / (once + 2 * twice) if once else 0.5
            p = max(row.get(token, 0) - d, 0) / total + d * kinds / total * p
        else:
            p = (row.get(token, 0) + kinds * p) / (total + kinds)
    return p


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
@given(st.lists(st.integers(0, V - 1), min_size=6, max_size=40), st.integers(1, 4),
       st.lists(st.integers(0, V - 1), min_size=1, max_size=6))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_probabilities(smoothing: Smoothing, train: list[int], order: int, text: list[int]) -> None:
    model = NGrams(np.array(train), V, order, smoothing)
    got = model.probabilities(np.array(text))
    for k, token in enumerate(text):
        context = text[max(0, k - order + 1) : k]
        assert got[k] == pytest.approx(_slow(train, order, smoothing, context, token), rel=1e-9)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
def test_they_sum_to_one(smoothing: Smoothing) -> None:
    train = np.random.default_rng(0).integers(0, V, 300)
    model = NGrams(train, V, 3, smoothing)
    for context in ([], [0], [1, 2], [3, 3, 3]):
        total = sum(model.probabilities(np.array([*context, w]))[-1] for w in range(V))
        assert total == pytest.approx(1.0)


def test_saved_and_restored() -> None:
    train = np.random.default_rng(1).integers(0, V, 300)
    model = NGrams(train, V, 4, "kneser-ney")
    again = NGrams.restored(model.arrays(), V, "kneser-ney")
    text = np.random.default_rng(2).integers(0, V, 50)
    np.testing.assert_array_equal(again.probabilities(text), model.probabilities(text))
    assert again.order == 4


def test_the_best_on_the_validation_part_is_chosen() -> None:
    period = np.tile(np.arange(V), 100)
    found = choose(period, period[:40], V)
    assert found.valid == min(found.tried.values())
    assert found.valid < 0.2


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
@pytest.mark.parametrize("boundary", [None, 0])
def test_counts_that_are_shared_are_those_of_each_model_alone(
    smoothing: Smoothing, boundary: int | None
) -> None:
    random = np.random.default_rng(5)
    train, text = random.integers(0, V, 400), random.integers(0, V, 80)
    counts = Counts(train, V, boundary)
    for order in (3, 1, 5, 2):  # in any order
        shared = NGrams(counts, V, order, smoothing)
        alone = NGrams(train, V, order, smoothing, boundary)
        np.testing.assert_array_equal(shared.probabilities(text), alone.probabilities(text))
        for name, array in alone.arrays().items():
            np.testing.assert_array_equal(shared.arrays()[name], array)


def test_the_choice_is_that_among_models_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(6)
    train, valid = np.repeat(random.integers(0, V, 300), 2), random.integers(0, V, 90)
    alone = {
        f"{order}-gram, {smoothing}": NGrams(train, V, order, smoothing).cross_entropy(valid)
        for smoothing in ("kneser-ney", "witten-bell")
        for order in range(2, 9)
    }
    calls: list[int] = []
    unique = np.unique
    monkeypatch.setattr(np, "unique", lambda *a, **o: calls.append(1) or unique(*a, **o))
    found = choose(train, valid, V)
    assert len(calls) <= 8  # each length once
    assert found.tried == {name: alone[name] for name in found.tried}
    assert found.valid == min(found.tried.values()) == found.model.cross_entropy(valid)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
def test_no_context_reaches_into_the_document_before(smoothing: Smoothing) -> None:
    """As the network's state begins anew: a document's probabilities are those of it alone."""
    random = np.random.default_rng(7)
    documents = [np.array([0, *random.integers(1, V, 9)]) for _ in range(40)]
    model = NGrams(np.concatenate(documents), V, 4, smoothing, boundary=0)
    read = model.probabilities(np.concatenate([documents[0], documents[1]]))
    alone = model.probabilities(documents[1])
    np.testing.assert_array_equal(read[11:], alone[1:])
    text = documents[3]
    again = NGrams.restored(model.arrays(), V, smoothing)
    assert again.order == 4 and again.boundary == 0
    np.testing.assert_array_equal(again.probabilities(text), model.probabilities(text))
