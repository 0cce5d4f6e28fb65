"""How each level cuts text: normaliser, cutter and decoder of the `tokenizers` library."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.data.config import TokeniserConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD = "[no token]"
UNKNOWN = "[unknown token]"
RESERVED = (PAD, UNKNOWN)

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
LETTER = r"[\p{L}\p{M}\p{N}_]"
"""What words consist of in prose; between two words of it stands a blank that is no piece."""
_BREAK = r"(?i)<br\s*/?\s*>"


def _words(letter: str, strip_punctuation: bool) -> str:
    """The pattern of a word: "don't" is "do" + "n't", "it's" is "it" + "'s", as GloVe cuts them."""
    parts = [
        rf"{letter}+?(?=n't\b)",
        r"n't\b",
        r"'(?:s|m|d|re|ve|ll)\b",
        r"\d+(?:[.,]\d+)*(?!\w)",
        rf"{letter}+",
    ]
    parts += [r"[^\w\s\p{P}]"] if strip_punctuation else [r"\.{2,}|-{2,}|``|''", r"[^\w\s]"]
    return "|".join(parts)


def _prose() -> str:
    """Words, and all that stands between two of them unless it is one blank.

    A mark has the blanks beside it in its piece, ", " or ' "', so that the pieces one after the
    other are the text again. A blank at the end is left out, where a text was cut or a word is to
    come.
    """
    mark = r"(?:\.{2,}|-{2,}|[^\p{L}\p{M}\p{N}_\s])"
    blank = rf" {{2,}}|(?<!{LETTER}) | (?!{LETTER}|\z)|[^\S\n ]"
    return rf"{LETTER}+(?:['\u2019]{LETTER}+)*|\n| ?{mark} ?|{blank}"


def _normaliser(level: str, config: TokeniserConfig) -> Any:
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    exact = level in {"char", "byte", "blank", "prose", "zh-prose"}
    if not exact:
        # An HTML line break parts words; a curved apostrophe is the straight one.
        steps += [
            normalizers.NFC(),
            normalizers.Replace(Regex(_BREAK), " "),
            normalizers.Replace("\u2019", "'"),
        ]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    if config.strip_punctuation and level in {"char", "byte", "bpe", "unigram"}:
        steps.append(normalizers.Replace(Regex(r"\p{P}+"), "" if exact else " "))
    return normalizers.Sequence(steps) if steps else None


def _cutter(level: str, config: TokeniserConfig) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if level in {"word", "zh-char"}:
        pattern = _words(r"\w", config.strip_punctuation)
        if level == "zh-char":
            other = rf"[\w&&[^{_CJK}]]"
            pattern = rf"[{_CJK}]|{_words(other, config.strip_punctuation)}"
        return pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    if level == "prose":
        return pre_tokenizers.Split(Regex(_prose()), "removed", invert=True)
    if level in {"blank", "zh-prose"}:
        return pre_tokenizers.Split(Regex(r"\n|[^\s]+"), "removed", invert=True)
    if level == "zh-word":  # words come apart by blanks already
        steps: list[Any] = [pre_tokenizers.WhitespaceSplit()]
        if config.strip_punctuation:
            steps.append(pre_tokenizers.Split(Regex(r"\p{P}+"), "removed"))
        return pre_tokenizers.Sequence(steps)
    if level == "char":
        return pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")
    if level == "byte":
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated"),
            ]
        )
    if level == "bpe":
        return pre_tokenizers.ByteLevel(add_prefix_space=True)
    return pre_tokenizers.Metaspace()


def _decoder(level: str) -> Any:
    from tokenizers import decoders

    if level in {"byte", "bpe"}:
        return decoders.ByteLevel()
    if level == "char":
        return decoders.Fuse()
    return decoders.Metaspace() if level == "unigram" else None


def assemble(model: Any, level: str, config: TokeniserConfig) -> Tokenizer:
    """A tokenizer round `model` without added tokens, so that no text is mistaken for one."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer(model)
    normaliser, decoder = _normaliser(level, config), _decoder(level)
    if normaliser is not None:
        tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = _cutter(level, config)
    if decoder is not None:
        tokenizer.decoder = decoder
    return tokenizer


def blank_model(level: str) -> Any:
    """The model to be trained for a level."""
    from tokenizers import models

    if level == "bpe":
        return models.BPE()
    return models.Unigram() if level == "unigram" else models.WordLevel(unk_token=UNKNOWN)


def byte_model() -> Any:
    """The 256 bytes at 2 to 257; nothing is unknown."""
    from tokenizers import models

    names = _byte_names()
    vocabulary = {name: number for number, name in enumerate([*RESERVED, *names])}
    return models.WordLevel(vocabulary, unk_token=UNKNOWN)


def character_model(texts: Iterable[str], config: TokeniserConfig) -> Any:
    """The characters of the texts, as `trainer` would number them: by count, then by code.

    Args:
        texts: without lone surrogates.
        config: min_count and max_size.
    """
    from tokenizers import models

    counts = np.zeros(sys.maxunicode + 1, np.int64)
    for text in texts:
        found = np.bincount(np.frombuffer(text.encode("utf-32-le"), np.uint32))
        counts[: len(found)] += found
    codes = np.flatnonzero(counts >= max(1, config.min_count))
    codes = codes[np.argsort(-counts[codes], kind="stable")][: config.max_size - len(RESERVED)]
    names = [*RESERVED, *map(chr, codes.tolist())]
    return models.WordLevel({name: k for k, name in enumerate(names)}, unk_token=UNKNOWN)


@functools.cache
def byte_values() -> dict[str, int]:
    """The byte that each character of a piece stands for, at the levels "byte" and "bpe"."""
    return {name: byte for byte, name in enumerate(_byte_names())}


def _byte_names() -> list[str]:
    """How the library writes each byte: itself where printable, else from U+0100 on."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def trainer(level: str, config: TokeniserConfig) -> Any:
    """The library's trainer for a level."""
    from tokenizers import pre_tokenizers, trainers

    common: dict[str, Any] = {"special_tokens": list(RESERVED), "show_progress": False}
    if level == "unigram":
        return trainers.UnigramTrainer(vocab_size=config.max_size, unk_token=UNKNOWN, **common)
    common |= {"vocab_size": config.max_size, "min_frequency": config.min_count}
    if level == "bpe":
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        return trainers.BpeTrainer(initial_alphabet=alphabet, **common)
    return trainers.WordLevelTrainer(**common)


@contextmanager
def one_thread() -> Iterator[None]:
    """Has the library train on one thread: several sum in an order of their own."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def ordered(learner: Tokenizer) -> Any:
    """The unigram model of `learner` with its pieces by score, then by spelling.

    The library sums probabilities in no fixed order, so that the last digits of a score, and with
    them the order of equal pieces, differ from run to run; three decimals do not when it runs on
    one thread (`one_thread`).
    """
    from tokenizers import models

    pieces: list[tuple[str, float]] = [
        (piece, round(score, 3)) for piece, score in json.loads(learner.to_str())["model"]["vocab"]
    ]
    learnt = sorted(pieces[len(RESERVED) :], key=lambda item: (-item[1], item[0]))
    return models.Unigram([*pieces[: len(RESERVED)], *learnt], unk_id=1, byte_fallback=False)
