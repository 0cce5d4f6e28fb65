"""Tokenisers: identity by characters and bytes, order of the vocabulary, saving, levels."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data import TokeniserConfig, build_tokeniser, load_tokeniser
from elman.data.pipelines import assemble, blank_model, trainer
from elman.errors import MissingExtraError, RunError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
SENTENCES = [
    "I don't like it.",
    "It's <br /><br />well-made, really!",
    "café won’t (do) 3,000.5",
] * 3


def built(level: str, texts: list[str] = SENTENCES, **options: Any):
    settings_ = {"min_count": 1, "lowercase": False, **options}
    return build_tokeniser(texts, TokeniserConfig(level=level, **settings_))  # pyright: ignore


@settings(deadline=None, max_examples=80)
@given(TEXTS)
def test_characters_and_bytes_come_back(text: str) -> None:
    by_char = built("char", [text, "a"])
    assert by_char.decode(by_char.encode(text)) == text
    assert len(by_char.encode(text)) == len(text)
    by_byte = built("byte")
    assert by_byte.decode(by_byte.encode(text)) == text
    assert by_byte.encode(text) == [byte + 2 for byte in text.encode()] or _as_set(by_byte, text)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=60), st.text(max_size=60), st.integers(3, 30))
def test_the_table_of_characters_is_the_library(text: str, other: str, size: int) -> None:
    """Lone surrogates, combining marks, unknown and reserved ones included."""
    texts = [text or "a", "e\u0301 \u0300\u200d👩\r\n\0", "[no token] [unknown token]"]
    tokeniser = built("char", texts, max_size=size)
    for one in (text, other, "".join(texts), "\U0010ffff\ud800a", ""):
        sound = one.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        wanted = tokeniser._tokenizer.encode(sound, add_special_tokens=False).ids
        assert tokeniser.encode_batch([one]) == [wanted]
        assert tokeniser.offset(one, 1) == min(1, len(one))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=30), max_size=5), st.integers(1, 3), st.integers(3, 12))
def test_characters_are_learnt_as_the_library_learns_them(
    texts: list[str], least: int, size: int
) -> None:
    config = TokeniserConfig(level="char", lowercase=False, min_count=least, max_size=size)
    ours = build_tokeniser(texts, config)
    learner = assemble(blank_model("char"), "char", config)
    sound = [one.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for one in texts]
    learner.train_from_iterator(sound, trainer("char", config))
    theirs = assemble(learner.model, "char", config)
    assert json.loads(ours._tokenizer.to_str()) == json.loads(theirs.to_str())


def test_folded_characters_go_through_the_library() -> None:
    tokeniser = built("char", ["aİ", "b"], lowercase=True)
    assert tokeniser.encode("AB") == tokeniser.encode("ab")
    assert tokeniser._characters is None


def _as_set(tokeniser: Any, text: str) -> bool:
    # The numbers of bytes: one to one, whatever their order.
    return len(tokeniser.encode(text)) == len(text.encode())


def test_bytes_are_numbered_in_order() -> None:
    tokeniser = built("byte", [])
    assert tokeniser.size == 258
    text = "".join(map(chr, range(128))) + "é中👩"
    assert tokeniser.encode(text) == [byte + 2 for byte in text.encode()]


def test_words_are_cut_as_glove_cuts_them() -> None:
    tokeniser = built("word")
    assert tokeniser.tokens("I don't like it's <br /><br />well-made... U.S. 3,000.5!!") == [
        *("I", "do", "n't", "like", "it", "'s", "well", "-", "made", "..."),
        *("U", ".", "S", ".", "3,000.5", "!", "!"),
    ]
    assert tokeniser.tokens("won’t") == ["wo", "n't"]
    assert tokeniser.tokens("cafe\u0301") == [unicodedata.normalize("NFC", "cafe\u0301")]


@settings(deadline=None, max_examples=200)
@given(st.text(st.one_of(st.sampled_from(" \n\t.,'\"-(é_3a"),
                         st.characters(exclude_categories=("Cs", "Cn"))), max_size=40))  # fmt: skip
def test_prose_comes_back(text: str) -> None:
    tokeniser = built("prose", [text, "a"])
    found = tokeniser.decode(tokeniser.encode(text))
    assert found == text or found + " " == text  # a blank at the end is no piece


def test_prose_is_cut_into_words_and_marks() -> None:
    tokeniser = built("prose")
    assert tokeniser.tokens('He said, "don\u2019t go"... world.\n  A (new) day, 3.5%') == [
        *("He", "said", ", ", '"', "don\u2019t", "go", '"', "... ", "world", ".", "\n", "  ", "A"),
        *(" (", "new", ") ", "day", ", ", "3", ".", "5", "%"),
    ]
    assert tokeniser.tokens("a b ") == ["a", "b"]  # what comes next is a word


def test_chinese_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = SimpleNamespace(cut=lambda text: re.findall(r"[\u4e00-\u9fff]{2}|[a-z]+|\s|.", text))
    monkeypatch.setitem(sys.modules, "rjieba", cut)
    text = "味道很好，iphone case也快□□\n"
    tokeniser = built("zh-prose", [text])
    assert tokeniser.tokens(text) == [
        "味道",
        "很好",
        "，",
        "iphone",
        "case",
        "也快",
        "□",
        "□",
        "\n",
    ]
    assert tokeniser.decode(tokeniser.encode(text)) == text
    places = [0, 2, 4, 5, 12, 16, 18, 19, 20, 21]
    assert [tokeniser.offset(text, number) for number in range(10)] == places
    assert tokeniser.offset("你好\n", 1) == 2


def test_options() -> None:
    folded = built("word", lowercase=True, strip_punctuation=True)
    assert folded.tokens("Well, DON'T (do) it 👍!") == ["well", "do", "n't", "do", "it", "👍"]
    assert built("char", ["a,b"], strip_punctuation=True).tokens("a,b") == ["a", "b"]


def test_the_vocabulary_is_ordered_by_count_then_spelling() -> None:
    texts = ["b a c", "a b", "d c e", "a", "zz"] * 3 + ["once"]
    tokeniser = built("word", texts, min_count=2, max_size=6)
    counts = Counter(" ".join(texts).split())
    expected = sorted(counts, key=lambda word: (-counts[word], word))[:4]
    assert list(tokeniser.vocabulary.items()) == [(w, n + 2) for n, w in enumerate(expected)]
    assert tokeniser.size == 6
    assert tokeniser.encode("a once zz") == [2, 1, 1]


def test_reserved_names_in_a_text_are_text() -> None:
    for level in ("word", "char", "bpe", "unigram"):
        texts = ["[no token] [unknown token] <pad> <unk>"] * 20 + SENTENCES
        tokeniser = built(level, texts, max_size=400)
        numbers = tokeniser.encode("[no token] [unknown token]")
        assert min(numbers) > 1, level


@pytest.mark.parametrize("level", ["word", "prose", "char", "byte", "bpe", "unigram", "zh-char"])
def test_saved_and_loaded(tmp_path: Path, level: str) -> None:
    tokeniser = built(level, SENTENCES * 10, max_size=300, lowercase=True)
    tokeniser.save(tmp_path)
    loaded = load_tokeniser(tmp_path)
    for text in [*SENTENCES, "unseen ψ 中文", "", "lone \udc80 half"]:
        assert loaded.encode(text) == tokeniser.encode(text)
        assert loaded.tokens(text) == tokeniser.tokens(text)
    assert loaded.config == tokeniser.config
    assert loaded.encode_batch(SENTENCES) == [tokeniser.encode(text) for text in SENTENCES]
    again = built(level, SENTENCES * 10, max_size=300, lowercase=True)
    assert again.vocabulary == tokeniser.vocabulary


def test_bpe_and_unigram_decode() -> None:
    for level in ("bpe", "unigram"):
        tokeniser = built(level, SENTENCES * 10, max_size=400)
        assert (
            tokeniser.decode(tokeniser.encode("I like it, really!")).strip() == "I like it, really!"
        )


def test_auto_looks_at_the_text() -> None:
    assert built("auto", ["味道很好，送餐也快", "太慢了"] * 5).level == "zh-char"
    assert built("auto", ["これは良い映画です"] * 5).level == "zh-char"
    assert built("auto", [f"Name{chr(97 + i)}{chr(97 + j)}" for i in range(9) for j in range(9)]).level == "char"  # fmt: skip # noqa: E501
    assert built("auto", ["หนังเรื่องนี้ดีมาก"] * 5).level == "char"
    assert built("auto", SENTENCES).level == "word"
    assert built("auto", []).level == "word"
    mixed = built("zh-char", ["iPhone很好用 ok"] * 3)
    assert mixed.tokens("iPhone很好用 ok") == ["iPhone", "很", "好", "用", "ok"]


def test_chinese_words_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(MissingExtraError, match=r"rjieba.*elman\[chinese\]"):
        built("zh-word")


def test_chinese_by_word(tmp_path: Path) -> None:
    texts = ["味道很好，送餐也快", "iPhone的味道 very good", "我来到北京清华大学"]
    tokeniser = built("zh-word", texts * 2)
    assert tokeniser.level == "zh-word"
    assert tokeniser.tokens(texts[0])[:2] == ["味道", "很"]
    assert "清华大学" in tokeniser.tokens(texts[2]) and "北京" in tokeniser.tokens(texts[2])
    assert {"iPhone", "very", "good"} <= set(tokeniser.tokens(texts[1]))
    assert tokeniser.unknown_id not in {n for text in texts for n in tokeniser.encode(text)}
    tokeniser.save(tmp_path)
    assert load_tokeniser(tmp_path).encode_batch(texts) == tokeniser.encode_batch(texts)


def test_texts_without_pieces() -> None:
    assert built("word", ["", "  "]).encode("a") == [1]
    for level in ("char", "bpe", "unigram"):
        assert set(built(level, [""]).encode("ψ")) <= {1, *range(2, 300)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "not json"),
        ("tokenizer.header.json", "{}"),
        ("tokenizer.header.json", '{"format": 9}'),
        ("tokenizer.header.json", '{"format": 1, "level": "wrd"}'),
        ("tokenizer.header.json", None),
        ("tokenizer.json", None),
    ],
)
def test_damaged_tokenisers(tmp_path: Path, name: str, content: str | None) -> None:
    built("word").save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        load_tokeniser(tmp_path)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    built("word").save(tmp_path)
    header = json.loads((tmp_path / "tokenizer.header.json").read_text())
    (tmp_path / "tokenizer.header.json").write_text(json.dumps({**header, "size": 7}))
    with pytest.raises(RunError, match="do not belong together"):
        load_tokeniser(tmp_path)
