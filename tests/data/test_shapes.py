"""Shapes of words: named ones, and the number of every piece stays within its shape's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data import SHAPES, Shaped, TokeniserConfig, build_tokeniser
from elman.data.shapes import shape_of

TEXTS = ["Who was the cat ?", "the NASA cat", "who was McCartney"]


@pytest.mark.parametrize(
    ("piece", "shape"),
    [
        ("cat", "small letters, or no letters"), ("?", "small letters, or no letters"),
        ("猫", "small letters, or no letters"), ("Galileo", "capital first"),
        ("A", "capital first"), ("O'neill", "capital first"), ("Été", "capital first"),
        ("NASA", "capitals"), ("McCartney", "mixed"), ("iPod", "mixed"), ("1984", "with digits"),
        ("B52", "with digits"),
    ],
)  # fmt: skip
def test_shapes(piece: str, shape: str) -> None:
    assert SHAPES[shape_of(piece)] == shape


@pytest.mark.parametrize("lowercase", [True, False])
def test_numbers_hold_piece_and_shape(lowercase: bool) -> None:
    config = TokeniserConfig(level="word", min_count=1, lowercase=lowercase)
    tokeniser = build_tokeniser(TEXTS, config)
    text = "Who was Galileo , the CAT of 1984 ?"
    (row,) = Shaped(tokeniser).encode_batch([text])
    assert [number % tokeniser.size for number in row] == tokeniser.encode(text)
    found = [SHAPES[number // tokeniser.size] for number in row]
    small = SHAPES[0]
    assert found == [
        "capital first", small, "capital first", small, small, "capitals", small, "with digits",
        small,
    ]  # fmt: skip


@pytest.mark.parametrize("level", ["word", "blank", "char", "bpe", "zh-char"])
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_has_the_numbers_of_the_tokeniser(level: str, texts: list[str]) -> None:
    tokeniser = TOKENISERS[level]
    shaped = Shaped(tokeniser).encode_batch(texts)
    plain = tokeniser.encode_batch(texts)
    assert [[number % tokeniser.size for number in row] for row in shaped] == plain


TOKENISERS = {
    level: build_tokeniser(TEXTS * 5, TokeniserConfig(level=level))
    for level in ("word", "blank", "char", "bpe", "zh-char")
}
