"""Word vectors in every text format, packed or not."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from elman.data import read_vectors

BODY = "the 1 2 3\nof 4 5 6\nApple 7 8 9\n. . . 0.5 0.5 0.5\nParis 1 1 1\nparis 2 2 2\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", BODY.encode()),
        ("word2vec.txt", b"6 3\n" + BODY.encode()),
        ("wiki.vec.gz", gzip.compress(b"6 3\n" + BODY.replace("\n", " \n").encode())),
        ("glove.txt.xz", lzma.compress(BODY.encode())),
        ("tabs.txt", BODY.replace("the 1 2 3", "the\t1\t2\t3").encode()),
        ("windows.txt", BODY.replace("\n", "\r\n").encode()),
    ],
)
def test_formats(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    vocabulary = {"the": 2, "apple": 3, "absent": 4, ". . .": 5, "paris": 6}
    vectors = read_vectors(tmp_path / name, vocabulary, 3)
    assert vectors.matrix.shape == (7, 3)
    assert vectors.matrix.dtype == np.float32
    assert vectors.matrix.tolist() == [
        *([[0] * 3] * 2),
        [1, 2, 3],
        [7, 8, 9],  # "Apple" stands in for "apple"
        [0] * 3,
        [0.5] * 3,
        [2, 2, 2],  # "paris" as written, though "Paris" comes first
    ]
    assert vectors.mask.tolist() == [False, False, True, True, False, True, True]
    assert (vectors.found, vectors.folded, vectors.dim) == (4, 1, 3)
    assert vectors.coverage == pytest.approx(0.8)
    assert vectors.missing == ("absent",)


def test_a_few_bad_lines_are_counted_and_named(tmp_path: Path) -> None:
    lines = [f"w{n} {n} {n} {n}" for n in range(100)]
    lines[40], lines[50] = "w40 1 2", "w50 1 x 3"
    (tmp_path / "v.txt").write_text("\n".join(lines))
    vectors = read_vectors(tmp_path / "v.txt", {f"w{n}": n + 2 for n in range(100)})
    assert (vectors.found, vectors.bad_lines) == (98, 2)
    assert vectors.bad_examples[0].startswith("line 41: 2 numbers")
    assert vectors.bad_examples[1].startswith("line 51: not a number")
