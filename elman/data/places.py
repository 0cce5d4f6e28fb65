"""Where the pieces of an encoded text stand, and which numbers are to be predicted."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from elman.data.encoded import BatchEncoder


class PlacedEncoder(BatchEncoder, Protocol):
    """What finding a number's place in the text needs of a tokeniser."""

    def offset(self, text: str, number: int) -> int:
        """How many characters of `text` stand before its token `number`."""
        ...


@dataclass(frozen=True)
class Pieces:
    """Where the pieces stand in which a text was encoded, `(K,)` each, in order.

    Attributes:
        starts: the place of a piece's first number.
        characters, bytes: of what is to be predicted before it.
        counted: whether it is to be predicted itself.
    """

    starts: np.ndarray
    characters: np.ndarray
    bytes: np.ndarray
    counted: np.ndarray


class Runs:
    """Runs of numbers that are to be predicted, or not."""

    def __init__(self) -> None:
        self.total = 0
        self._lengths, self._counted = array("q"), bytearray()  # there may be one for each line

    def add(self, length: int, counted: bool) -> None:
        """One more run."""
        self.total += length
        self._lengths.append(length)
        self._counted.append(counted)

    def marks(self) -> np.ndarray | None:
        """Which numbers are to be predicted; None: all."""
        if all(self._counted):
            return None
        return np.repeat(np.frombuffer(self._counted, bool), np.array(self._lengths))


class GrowingPieces:
    """`Pieces` in the making."""

    def __init__(self) -> None:
        self.characters = self.bytes = 0
        self._columns = (array("q"), array("q"), array("q"), array("b"))

    def add(self, start: int, characters: int, size: int, counted: bool) -> None:
        """One more piece of so many characters and bytes."""
        values = (start, self.characters, self.bytes, counted)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self.characters += characters if counted else 0
        self.bytes += size if counted else 0

    def finish(self) -> Pieces:
        """All of them."""
        starts, characters, sizes, counted = (np.array(column) for column in self._columns)
        return Pieces(starts, characters, sizes, counted.astype(bool))
