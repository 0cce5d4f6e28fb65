"""Characters: to numbers by a table, and which of them blanks stand between."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import regex

from elman.data.pipelines import LETTER

_LETTER = regex.compile(LETTER)
_WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\u3000-\u303f\uff00-\uffef\n]")


def sound(text: str) -> str:
    """`text` without lone surrogates, which the library cannot take."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class CharacterTable:
    """A table from characters to numbers, some forty times as fast as the library."""

    def __init__(self, vocabulary: dict[str, int], unknown: int = 1) -> None:
        codes = {ord(piece): number for piece, number in vocabulary.items() if len(piece) == 1}
        self._table = np.full(max(codes, default=0) + 2, unknown, np.int32)
        for code, number in codes.items():
            self._table[code] = number

    def numbers(self, text: str) -> np.ndarray:
        """`(characters,)` int32."""
        try:
            content = text.encode("utf-32-le")
        except UnicodeEncodeError:
            content = sound(text).encode("utf-32-le")
        codes = np.frombuffer(content, np.uint32)
        return self._table[np.minimum(codes, len(self._table) - 1)]  # the last one is unknown


def _is_letter(char: str) -> bool:
    return char == "\ufffd" or _LETTER.match(char) is not None  # mostly words are unknown


def join_words(pieces: list[str]) -> str:
    """Pieces of prose as text: a blank stands between words."""
    return _joined(pieces, lambda a, b: _is_letter(a) and _is_letter(b))


def join_chinese(pieces: list[str]) -> str:
    """Pieces of Chinese as text: a blank stands before words of another script alone."""
    return _joined(
        pieces, lambda a, b: bool(_LETTER.match(b)) and not (_WIDE.match(a) or _WIDE.match(b))
    )


def _joined(pieces: list[str], parted: Callable[[str, str], bool]) -> str:
    """The pieces in a row, with a blank where two characters that meet are to be parted."""
    text = pieces[:1]
    for before, piece in pairwise(pieces):
        text.append(" " + piece if parted(before[-1], piece[0]) else piece)
    return "".join(text)
