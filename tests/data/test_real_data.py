"""The real sets have the rows and classes that their description says."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from elman.data import (
    build_tokeniser,
    check_texts,
    count_labels,
    encode,
    read_examples,
    read_vectors,
)

pytestmark = pytest.mark.data
DATA = Path(os.environ.get("ELMAN_DATA", "/nonexistent"))
if not DATA.is_dir():
    pytest.skip("ELMAN_DATA names no folder", allow_module_level=True)


@pytest.mark.parametrize(
    ("path", "rows", "classes", "label"),
    [
        ("imdb/test.csv.xz", 25_000, 2, "label"),
        ("trec/train.tsv", 5_452, 6, "label"),
        ("trec/test.tsv", 500, 6, "label"),
        ("trec/train.tsv", 5_452, 50, "fine_label"),
        ("waimai_10k/train.csv.gz", 9_554, 2, None),
        ("waimai_10k/valid.csv.gz", 1_248, 2, None),
        ("snips/train.conll", 13_084, 7, None),
        ("snips/valid.conll", 700, 7, None),
        ("snips/test.conll", 700, 7, "intent"),
        ("names", 20_050, 18, None),
    ],
)
def test_rows_and_classes(path: str, rows: int, classes: int, label: str | None) -> None:
    if not (DATA / path).exists():
        pytest.skip(f"{path} is not there")
    examples = read_examples(DATA / path, label=label)
    counts = count_labels(example.labels for example in examples)
    assert examples.facts["rows"] == rows
    assert len(counts) == classes
    assert examples.facts["encoding"] == "utf-8"


def test_imdb_is_guessed_read_and_encoded() -> None:
    whole = read_examples(DATA / "imdb/train.csv.xz")
    examples = whole.select(range(0, 25_000, 5))
    assert (whole.facts["text"], whole.facts["label"]) == ("text", "label")
    begun = time.process_time()
    tokeniser = build_tokeniser(examples.texts())
    encoded = encode(examples, tokeniser, ["0", "1"])
    assert time.process_time() - begun < 20  # of processor time, with room for slow machines
    assert len(encoded) == 5_000
    assert tokeniser.level == "word"
    assert (encoded.ids == 1).mean() < 0.03
    assert 260 < encoded.lengths.mean() < 290
    assert whole.fingerprint() == read_examples(DATA / "imdb/train.csv.xz").fingerprint()


def test_imdb_repeats_are_known() -> None:
    parts = [
        read_examples(DATA / f"imdb/{part}.csv.xz", label="label") for part in ("train", "test")
    ]
    findings = {f.kind: f for f in check_texts(parts[0], None, parts[1])}
    assert findings["duplicates-across"].count == 123


def test_glove_covers_trec() -> None:
    tokeniser = build_tokeniser(read_examples(DATA / "trec/train.tsv").texts())
    path = DATA / "glove_6b_50d_30k/glove.6B.50d.top30k.txt.xz"
    vectors = read_vectors(path, tokeniser.vocabulary)
    assert vectors.dim == 50
    assert vectors.bad_lines == 0
    assert vectors.coverage > 0.9


def test_levels_chosen_for_real_texts() -> None:
    for path, level in (("names", "char"), ("waimai_10k/train.csv.gz", "zh-char")):
        assert build_tokeniser(read_examples(DATA / path).texts()).level == level
