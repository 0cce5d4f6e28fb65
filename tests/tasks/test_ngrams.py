"""n-grams against their definitions, written out the slow way."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.tasks.ngrams import NGrams, Smoothing, choose

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
