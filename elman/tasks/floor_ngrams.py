"""Counts of n-grams of words or characters, as sparse matrices; no strings but the single units.

An n-gram is the pair (the n-gram without its last unit, the last unit), written as one integer, and
its number is that integer's place in a sorted array. A table of a million n-grams is thus a few
plain arrays that are saved without pickle, and looking text up is a binary search.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError

# A Chinese or Japanese character or kana is a unit; elsewhere a run of letters and digits with its
# inner apostrophes, or one mark of punctuation (Wang & Manning 2012 keep punctuation too).
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
    r"(?:['’][^\W\u3040-\u30ff\u3400-\u9fff]+)*|[^\w\s]"
)
_SPACE = re.compile(r"\s+")


def split_words(text: str) -> list[str]:
    """Lower-cased words, single Chinese or Japanese characters and punctuation marks."""
    return _WORD.findall(text.lower())


def split_characters(text: str) -> list[str]:
    """Lower-cased characters, white space as one blank, a blank at both ends."""
    return list(f" {_SPACE.sub(' ', text.lower().strip())} ")


SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "word": split_words,
    "character": split_characters,
}


@dataclass(frozen=True)
class Stream:
    """Texts as one run of units: `units` (positions,) numbers, -1 unknown; `rows` (positions,)."""

    units: NDArray[np.int64]
    rows: NDArray[np.int64]
    count: int


@dataclass
class NgramTable:
    """Which n-grams are features, and their numbers.

    Attributes:
        level: "word", "character", or "given" when the caller's own tokeniser made the units.
        units: every unit, in order of its number.
        keys: for each order from 1, the sorted keys of its n-grams (order 1: unit numbers).
    """

    level: str
    units: list[str]
    keys: list[NDArray[np.int64]]
    _places: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """The number of features."""
        return sum(len(keys) for keys in self.keys)

    def stream(self, texts: Iterable[str], split: Callable[[str], list[str]]) -> Stream:
        """The texts in this table's unit numbers."""
        if not self._places:
            self._places.update((unit, number) for number, unit in enumerate(self.units))
        return _read(texts, split, self._places, grow=False)

    def counts(self, stream: Stream) -> Any:
        """(rows, features) scipy CSR matrix of n-gram counts, float32."""
        from scipy.sparse import csr_matrix

        found_rows, found = [], []
        start, ends = 0, None
        for order, keys in enumerate(self.keys):
            raw = stream.units if order == 0 else _extend(stream, ends, len(self.units))
            ends = _look_up(raw, keys)
            here = np.flatnonzero(ends >= 0)
            found_rows.append(stream.rows[here].astype(np.int32))
            found.append((ends[here] + start).astype(np.int32))
            start += len(keys)
        rows, columns = np.concatenate(found_rows), np.concatenate(found)
        ones = np.ones(len(rows), np.float32)
        matrix = csr_matrix((ones, (rows, columns)), shape=(stream.count, start))
        matrix.sum_duplicates()
        return matrix


def build_table(
    texts: Sequence[str],
    split: Callable[[str], list[str]],
    *,
    level: str,
    orders: int,
    at_least: int,
    limit: int,
) -> tuple[NgramTable, Stream]:
    """The n-grams of up to `orders` units that `at_least` texts hold, and the texts as a stream.

    When more than `limit` would be kept, `at_least` is raised until they fit.

    Raises:
        ConfigError: the texts hold no units at all.
    """
    places: dict[str, int] = {}
    stream = _read(texts, split, places, grow=True)
    units, stream = _frequent_units(stream, list(places), at_least)
    if not units:
        raise ConfigError("the texts hold no words.", where="floor")
    keys, frequencies, ends = [], [], stream.units
    for order in range(orders):
        raw = ends if order == 0 else _extend(stream, ends, len(units))
        known, frequency = _document_frequency(raw, stream)
        keep = frequency >= at_least
        keys.append(known[keep])
        frequencies.append(frequency[keep])
        ends = _look_up(raw, keys[-1])
    table = NgramTable(level, units, keys)
    return _shrink(table, frequencies, at_least, limit), stream


def _read(
    texts: Iterable[str], split: Callable[[str], list[str]], places: dict[str, int], *, grow: bool
) -> Stream:
    parts, lengths = [], []
    for text in texts:
        units = split(text)
        if grow:
            numbers = [places.setdefault(unit, len(places)) for unit in units]
        else:
            numbers = [places.get(unit, -1) for unit in units]
        parts.append(np.asarray(numbers, np.int32))
        lengths.append(len(numbers))
    joined = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    return Stream(joined.astype(np.int64), rows, len(lengths))


def _frequent_units(stream: Stream, units: list[str], at_least: int) -> tuple[list[str], Stream]:
    """The units that occur in `at_least` texts, and the stream in their new numbers."""
    known, frequency = _document_frequency(stream.units, stream)
    # A lone surrogate cannot be written to a file; such a unit is unknown from here on.
    kept = [k for k in known[frequency >= at_least] if _writable(units[k])]
    numbers = np.full(len(units) + 1, -1, np.int64)
    numbers[kept] = np.arange(len(kept))
    return [units[k] for k in kept], Stream(numbers[stream.units], stream.rows, stream.count)


def _writable(unit: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in unit)


def _extend(stream: Stream, ends: NDArray[np.int64] | None, units: int) -> NDArray[np.int64]:
    """(positions,): the key of the n-gram that ends there, -1 where there is none."""
    assert ends is not None
    raw = np.full(len(ends), -1, np.int64)
    whole = (ends[:-1] >= 0) & (stream.units[1:] >= 0) & (stream.rows[1:] == stream.rows[:-1])
    raw[1:][whole] = ends[:-1][whole] * units + stream.units[1:][whole]
    return raw


def _look_up(raw: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """(positions,): the place of each key in the sorted `keys`, -1 where it is not there."""
    if not len(keys):
        return np.full(len(raw), -1, np.int64)
    place = np.searchsorted(keys, raw)
    place[place == len(keys)] = 0
    place[keys[place] != raw] = -1
    return place


def _document_frequency(
    raw: NDArray[np.int64], stream: Stream
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct keys, sorted, and in how many texts each occurs."""
    here = np.flatnonzero(raw >= 0)
    known, place = np.unique(raw[here], return_inverse=True)
    once = np.unique(place.astype(np.int64) * stream.count + stream.rows[here])
    return known, np.bincount(once // max(1, stream.count), minlength=len(known))


def _shrink(
    table: NgramTable, frequencies: list[NDArray[np.int64]], at_least: int, limit: int
) -> NgramTable:
    """The table with rare n-grams left out until it has at most `limit` features.

    An n-gram is never more frequent than its beginning, so that no kept one loses its prefix.
    """
    if table.size <= limit:
        return table
    every = np.sort(np.concatenate(frequencies))[::-1]
    threshold = max(at_least, int(every[limit]) + 1)
    kept: list[NDArray[np.int64]] = []
    numbers: NDArray[np.int64] | None = None
    for keys, frequency in zip(table.keys, frequencies, strict=True):
        keep = frequency >= threshold
        chosen = keys[keep]
        if numbers is not None:
            before, last = chosen // len(table.units), chosen % len(table.units)
            chosen = numbers[before] * len(table.units) + last
        kept.append(chosen)
        numbers = np.where(keep, np.cumsum(keep) - 1, -1)
    return NgramTable(table.level, table.units, kept, table._places)
