"""The floor: its n-grams against scikit-learn's, its formulas by hand, and what it promises."""

from __future__ import annotations

import csv
import lzma
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from elman.errors import ConfigError, DataError, RunError
from elman.metrics import accuracy
from elman.tasks import floor_tuning
from elman.tasks.floor import Floor, fit_floor
from elman.tasks.floor_candidates import inverse_frequency, log_count_ratios, tf_idf
from elman.tasks.floor_ngrams import build_table, split_characters, split_words
from elman.tasks.floor_sample import take_sample

WORDS = {"good": "fine lovely great sunny warm", "bad": "awful dull grey cold wet"}


def toy(rows: int, seed: int = 0, noise: float = 0.25) -> tuple[list[str], list[str]]:
    """Sentences of words of their class, some from the other."""
    draw = np.random.default_rng(seed)
    labels = [("good", "bad")[k] for k in draw.integers(0, 2, rows)]
    texts = []
    for label in labels:
        other = "bad" if label == "good" else "good"
        mix = [other if draw.random() < noise else label for _ in range(6)]
        texts.append(" ".join(str(draw.choice(WORDS[one].split())) for one in mix))
    return texts, labels


TEXT = st.lists(
    st.lists(st.sampled_from(["a", "bb", "c", "!", "d"]), max_size=8).map(" ".join),
    min_size=1,
    max_size=12,
)


@given(TEXT, TEXT, st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=80)
def test_counts_agree_with_sklearn(
    train: list[str], other: list[str], orders: int, at_least: int
) -> None:
    train = [*train, "a a", "a a bb", "bb a"]
    table, stream = build_table(
        train, split_words, level="word", orders=orders, at_least=at_least, limit=10_000
    )
    vectoriser = CountVectorizer(
        tokenizer=str.split, token_pattern=None, ngram_range=(1, orders), min_df=at_least
    )
    wanted = vectoriser.fit_transform(train)
    assert table.size == wanted.shape[1]
    for ours, theirs in (
        (table.counts(stream), wanted),
        (table.counts(table.stream(other, split_words)), vectoriser.transform(other)),
    ):
        # The columns stand in another order: compare them as a multiset.
        left = Counter(map(tuple, ours.toarray().astype(int).T.tolist()))
        right = Counter(map(tuple, theirs.toarray().astype(int).T.tolist()))
        assert left == right


def test_tf_idf_agrees_with_sklearn() -> None:
    train, _ = toy(60)
    table, stream = build_table(
        train, split_words, level="word", orders=1, at_least=1, limit=10_000
    )
    counts = table.counts(stream)
    ours = tf_idf(counts, inverse_frequency(counts)).toarray()
    theirs = TfidfVectorizer(sublinear_tf=True, vocabulary=table.units).fit_transform(train)
    np.testing.assert_allclose(ours, theirs.toarray(), atol=1e-12)


def test_log_count_ratios_by_hand() -> None:
    from scipy.sparse import csr_matrix

    present = csr_matrix(np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]], float))
    marks = np.array([[True], [True], [False]])
    p, q = np.array([3, 2, 2]) / 7, np.array([1, 2, 2]) / 5
    np.testing.assert_allclose(log_count_ratios(present, marks)[:, 0], np.log(p / q))


def test_limit_keeps_the_most_frequent() -> None:
    texts = ["a b c d", "a b c", "a b", "a"]
    table, stream = build_table(texts, split_words, level="word", orders=2, at_least=1, limit=4)
    assert table.size <= 4
    assert table.counts(stream).sum(axis=0).min() >= 2
    whole = table.counts(table.stream(["a b c d"], split_words)).toarray()
    assert whole.sum() == table.size


def test_splitters() -> None:
    assert split_words("Don't STOP, 不好吃!") == ["don't", "stop", ",", "不", "好", "吃", "!"]
    assert "".join(split_characters("  A\n b ")) == " a b "


def test_beats_the_most_frequent_class_and_says_how() -> None:
    train, labels = toy(300)
    held, held_labels = toy(100, seed=1)
    fresh, fresh_labels = toy(300, seed=2)
    floor = fit_floor(train, labels, held, held_labels, classes=["bad", "good"])
    assert accuracy(fresh_labels, floor.predict(fresh)) > 0.8
    names = [one["name"] for one in floor.settings["candidates"]]
    assert names[0] == "most frequent class"
    assert floor.name in names
    best = max(one["score"] for one in floor.settings["candidates"])
    assert floor.settings["chosen"]["score"] == best
    found = floor.probabilities(fresh)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    again = fit_floor(train, labels, held, held_labels, classes=["bad", "good"])
    np.testing.assert_array_equal(again.probabilities(fresh), found)


def test_saved_and_loaded_it_predicts_the_same(tmp_path: Path) -> None:
    train, labels = toy(200)
    held, held_labels = toy(60, seed=1)
    texts = [*held, "", "ganz anders", "没有送水", "\ud800 broken"]
    floor = fit_floor(train, labels, held, held_labels, classes=["bad", "good"])
    floor.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["floor.json", "floor.safetensors"]
    loaded = Floor.load(tmp_path)
    np.testing.assert_array_equal(loaded.probabilities(texts), floor.probabilities(texts))
    assert loaded.settings == floor.settings
    assert (loaded.name, loaded.classes) == (floor.name, floor.classes)


def test_damage_is_told(tmp_path: Path) -> None:
    train, labels = toy(60)
    fit_floor(train, labels, train, labels, classes=["bad", "good"]).save(tmp_path)
    path = tmp_path / "floor.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match="damaged"):
        Floor.load(tmp_path)
    path.unlink()
    with pytest.raises(RunError, match="cannot read"):
        Floor.load(tmp_path)
    (tmp_path / "floor.json").write_text('{"format": 9}')
    with pytest.raises(RunError, match="format 9"):
        Floor.load(tmp_path)


def test_many_classes_and_one_that_train_lacks(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    names = [f"k{k}" for k in range(8)]
    labels = [names[k] for k in draw.integers(0, 7, 400)]
    texts = [f"{label} {draw.choice(['x', 'y'])} {label}z" for label in labels]
    floor = fit_floor(texts[:300], labels[:300], texts[300:], labels[300:], classes=names)
    assert accuracy(labels[300:], floor.predict(texts[300:])) == 1.0
    assert floor.probabilities(texts[:1]).shape == (1, 8)


def test_several_labels(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    names = ["red", "green", "blue"]
    sets = [tuple(n for n in names if draw.random() < 0.4) for _ in range(300)]
    texts = [" ".join([*(f"{n}ish" for n in one), "thing"]) for one in sets]
    floor = fit_floor(texts[:240], sets[:240], texts[240:], sets[240:], classes=names, several=True)
    assert floor.predict(texts[240:]) == sets[240:]
    floor.save(tmp_path)
    assert Floor.load(tmp_path).predict(texts[240:]) == sets[240:]


def test_one_class_only_and_no_words() -> None:
    floor = fit_floor(["a", "b"], ["x", "x"], ["c"], ["x"], classes=["x", "y"])
    assert floor.name == "most frequent class"
    assert floor.predict(["anything"]) == ["x"]
    floor = fit_floor(["", " ", ""], ["x", "y", "x"], [""], ["x"], classes=["x", "y"])
    assert floor.predict(["", "a"]) == ["x", "x"]


def test_without_a_validation_part_it_says_so() -> None:
    train, labels = toy(100)
    floor = fit_floor(train, labels, [], [], classes=["bad", "good"])
    assert floor.settings["tuned"] is False
    assert accuracy(labels, floor.predict(train)) > 0.8


def test_a_given_tokeniser_is_needed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor_tuning, "_SHORT", 0)  # words only
    train, labels = toy(100)
    texts = [text.replace(" ", "_") for text in train]

    def tokens(text: str) -> list[str]:
        return text.split("_")

    floor = fit_floor(texts, labels, texts, labels, tokens=tokens, classes=["bad", "good"])
    floor.save(tmp_path)
    with pytest.raises(ConfigError, match="tokens="):
        Floor.load(tmp_path).predict(texts)
    assert Floor.load(tmp_path, tokens=tokens).predict(texts) == floor.predict(texts)


def test_large_sets_are_sampled_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    train, labels = toy(4000)
    monkeypatch.setattr(floor_tuning, "_TRAIN_CHARACTERS", 20_000)
    floor = fit_floor(iter(train), labels, train[:50], labels[:50], classes=["bad", "good"])
    assert floor.settings["train_rows"] == 4000
    assert 100 < floor.settings["train_rows_used"] < 1000


def test_sample_is_uniform() -> None:
    texts = [str(k).zfill(4) for k in range(4000)]
    places = np.concatenate(
        [[int(text) for text in take_sample(texts, texts, 2000, seed).texts] for seed in range(20)]
    )
    assert abs(places.mean() - 2000) < 60
    sample = take_sample(texts, texts, 2000, 0)
    assert sample.texts == sample.labels
    assert sum(map(len, sample.texts)) <= 2000
    assert take_sample(texts, texts, 10**6, 0).whole


def test_mistakes_are_sentences() -> None:
    with pytest.raises(ConfigError, match="no training texts"):
        fit_floor([], [], ["a"], ["x"], classes=["x"])
    with pytest.raises(ConfigError, match="as many labels"):
        fit_floor(["a", "b"], ["x"], ["a"], ["x"], classes=["x", "y"])
    with pytest.raises(DataError, match="not one of the known classes"):
        fit_floor(["a"], ["z"], ["a"], ["x"], classes=["x", "y"])


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="ELMAN_DATA is not set")
def test_imdb_reaches_the_published_figure() -> None:
    """Wang & Manning 2012 report 91.22 % for NB-SVM with bigrams on this split."""
    parts = {}
    for name in ("train", "test"):
        path = Path(os.environ["ELMAN_DATA"]) / "imdb" / f"{name}.csv.xz"
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        parts[name] = [row["text"] for row in rows], [row["label"] for row in rows]
    texts, labels = parts["train"]
    held = [k % 10 == 0 for k in range(len(texts))]
    train = [(t, y) for t, y, h in zip(texts, labels, held, strict=True) if not h]
    valid = [(t, y) for t, y, h in zip(texts, labels, held, strict=True) if h]
    floor = fit_floor(
        [t for t, _ in train],
        [y for _, y in train],
        [t for t, _ in valid],
        [y for _, y in valid],
        classes=sorted(set(labels)),
    )
    assert accuracy(parts["test"][1], floor.predict(parts["test"][0])) > 0.912
