"""How words are written: what folding capitals loses, most of all about words not known.

Collobert et al. 2011 gave a network a second vector for it. Here the shape travels within a
token's number: `piece + shape * size`, so that one array holds both.
"""

from __future__ import annotations

from collections.abc import Sequence

from elman.data.tokenisers import Tokeniser

SHAPES = ("small letters, or no letters", "capital first", "capitals", "mixed", "with digits")


def shape_of(piece: str) -> int:
    """The place in `SHAPES` of a piece as it is written."""
    if any(letter.isdigit() for letter in piece):
        return 4
    if not any(letter.isupper() for letter in piece):
        return 0
    if piece[0].isupper() and not any(letter.isupper() for letter in piece[1:]):
        return 1
    return 2 if piece.isupper() else 3


class Shaped:
    """Encodes as a tokeniser does, with each piece's shape in its number."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self._tokeniser = tokeniser

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text, below `tokeniser.size * len(SHAPES)`."""
        size = self._tokeniser.size
        return [
            [number + size * shape_of(piece) for number, piece in row]
            for row in self._tokeniser.written(texts)
        ]
