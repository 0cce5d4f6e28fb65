"""Batches, encoded sets, splits: every row once, budgets kept, the same again for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data import (
    TextExample,
    TokeniserConfig,
    bucketed,
    build_tokeniser,
    collate,
    encode,
    k_folds,
    shortened_lengths,
    stratified_order,
    stratified_split,
)
from elman.errors import ConfigError, DataError

LENGTHS = st.lists(st.integers(0, 400), min_size=1, max_size=120)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 600), st.integers(1, 20), st.integers(0, 3), st.booleans())
def test_every_row_once_within_the_limits(
    lengths: list[int], budget: int, size: int, epoch: int, shuffle: bool
) -> None:
    batches = bucketed(
        lengths, batch_size=size, token_budget=budget, seed=3, epoch=epoch, shuffle=shuffle
    )
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[row] for row in batch) * len(batch)
        assert 1 <= len(batch) <= size
        assert padded <= budget or len(batch) == 1
    again = bucketed(
        lengths, batch_size=size, token_budget=budget, seed=3, epoch=epoch, shuffle=shuffle
    )
    assert again == batches


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 9))
def test_ranks_share_the_batches_evenly(lengths: list[int], world: int, size: int) -> None:
    parts = [bucketed(lengths, batch_size=size, rank=r, world=world) for r in range(world)]
    assert len({len(part) for part in parts}) == 1
    rows = [row for part in parts for batch in part for row in batch]
    assert set(rows) == set(range(len(lengths)))
    if len(rows) > len(lengths):
        assert len(rows) < len(lengths) + world
        assert all(len(batch) == 1 for part in parts for batch in part)


def test_epochs_and_seeds_differ_and_padding_is_small() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 2000)
    first = bucketed(lengths, token_budget=8000, seed=1, epoch=0)
    assert first != bucketed(lengths, token_budget=8000, seed=1, epoch=1)
    assert first != bucketed(lengths, token_budget=8000, seed=2, epoch=0)
    padded = sum(max(lengths[row] for row in batch) * len(batch) for batch in first)
    assert padded < 1.2 * lengths.sum()
    with pytest.raises(ConfigError):
        bucketed(lengths)


def examples(count: int = 50) -> list[TextExample]:
    return [
        TextExample("w " * (number % 7), (str(number % 3),), f"row {number}")
        for number in range(count)
    ]


def test_collate_pads_and_shortens() -> None:
    rows = examples()
    tokeniser = build_tokeniser([row.text for row in rows], TokeniserConfig(level="word"))
    encoded = encode(rows, tokeniser, ["0", "1", "2"])
    batch = collate(encoded, [6, 0, 3])
    assert batch.values.shape == (6, 3)
    assert batch.lengths.tolist() == [6, 0, 3]
    assert batch.values[:, 2].tolist() == [2, 2, 2, 0, 0, 0]
    assert batch.targets.tolist() == [0, 0, 0]
    assert collate(encoded, [0, 7]).values.shape == (1, 2)
    assert collate(encoded, [6], max_tokens=4).lengths.tolist() == [4]
    assert shortened_lengths(encoded.lengths, 4).max() == 4


def test_head_and_tail() -> None:
    text = "a b c d e f g h"
    tokeniser = build_tokeniser([text], TokeniserConfig(level="word", min_count=1))
    encoded = encode([TextExample(text, (), "x")], tokeniser, [])
    batch = collate(encoded, [0], head_tail=(2, 1))
    assert tokeniser.decode(batch.values[:, 0].tolist()) == "a b h"
    assert batch.targets.tolist() == [-1]
    assert shortened_lengths(encoded.lengths, None, (2, 1)).tolist() == [3]


def test_large_sets_go_to_a_file(tmp_path: Path) -> None:
    rows = examples(5000)
    tokeniser = build_tokeniser([row.text for row in rows], TokeniserConfig(level="word"))
    small = encode(rows, tokeniser, ["0", "1", "2"])
    large = encode(rows, tokeniser, ["0", "1", "2"], tmp_path / "tokens", in_memory=100)
    elsewhere = encode(rows, tokeniser, ["0", "1", "2"], in_memory=100)
    assert isinstance(large.ids, np.memmap)
    assert isinstance(elsewhere.ids, np.memmap)
    for other in (large, elsewhere):
        assert np.array_equal(small.ids, other.ids)
        assert np.array_equal(small.offsets, other.offsets)
        assert small.labels == other.labels
    temporary = Path(str(elsewhere.ids.filename))
    del elsewhere, other
    assert not temporary.exists()


def test_several_labels_are_vectors() -> None:
    rows = [TextExample("a", ("x", "z"), "1"), TextExample("b", (), "2")]
    tokeniser = build_tokeniser(["a b"], TokeniserConfig(level="word", min_count=1))
    encoded = encode(rows, tokeniser, ["x", "y", "z"], several_labels=True)
    assert encoded.targets([0, 1]).tolist() == [[1, 0, 1], [0, 0, 0]]
    with pytest.raises(DataError, match="2 labels, where one"):
        encode(rows, tokeniser, ["x", "y", "z"])
    with pytest.raises(DataError, match='label "z" does not occur'):
        encode(rows, tokeniser, ["x"], several_labels=True)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("aaabbc"), min_size=2, max_size=200),
    st.floats(0.05, 0.6),
    st.integers(0, 9),
)
def test_splits_keep_the_shares(labels: list[str], fraction: float, seed: int) -> None:
    kept, off = stratified_split(labels, fraction, seed)
    assert sorted(kept + off) == list(range(len(labels)))
    assert kept
    assert off
    assert (kept, off) == stratified_split(labels, fraction, seed)
    counts, there = Counter(labels), Counter(labels[row] for row in off)
    left = Counter(labels[row] for row in kept)
    for label, count in counts.items():
        if count > 1:
            assert left[label] >= 1
            assert there[label] >= 1
            assert abs(there[label] - fraction * count) <= 2.01
        elif len(counts) < len(labels):
            assert left[label] == 1


@settings(deadline=None)
@given(st.lists(st.sampled_from("aaabbc"), min_size=5, max_size=200), st.integers(2, 5))
def test_folds(labels: list[str], k: int) -> None:
    folds = k_folds(labels, k, 1)
    assert len(folds) == k
    assert sorted(row for _, test in folds for row in test) == list(range(len(labels)))
    for label, count in Counter(labels).items():
        shares = [sum(labels[row] == label for row in test) for _, test in folds]
        assert max(shares) - min(shares) <= 1
        assert sum(shares) == count
    for train, test in folds:
        assert sorted(train + test) == list(range(len(labels)))


@settings(deadline=None)
@given(st.lists(st.sampled_from("aaabbc"), min_size=2, max_size=200), st.integers(0, 9))
def test_every_beginning_of_the_order_is_stratified(labels: list[str], seed: int) -> None:
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    assert order == stratified_order([(label,) for label in labels], seed)
    counts = Counter(labels)
    assert {labels[row] for row in order[: len(counts)]} == set(labels)
    for size in range(len(counts), len(labels) + 1):
        there = Counter(labels[row] for row in order[:size])
        for label, count in counts.items():
            assert abs(there[label] - size * count / len(labels)) <= len(counts)


def test_a_beginning_holds_every_one_of_several_labels() -> None:
    labels = [("a",)] * 40 + [("a", "b"), ("c", "b"), ()]
    seen = {label for row in stratified_order(labels)[:3] for label in labels[row]}
    assert seen == {"a", "b", "c"}


def test_impossible_splits() -> None:
    for labels, fraction in ((["a"], 0.5), (["a", "b"], 0.0), (["a", "b"], 1.5)):
        with pytest.raises(ConfigError):
            stratified_split(labels, fraction)
    with pytest.raises(ConfigError):
        k_folds(["a", "b"], 3)


def test_several_labels_are_split_by_the_rarest() -> None:
    labels = [("a", "b") if number % 10 == 0 else ("a",) for number in range(100)] + [()] * 10
    _, off = stratified_split(labels, 0.2, 1)
    assert sum("b" in labels[row] for row in off) == 2
    assert sum(not labels[row] for row in off) == 2
