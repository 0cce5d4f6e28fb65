"""Pre-trained word vectors as text: GloVe, word2vec and fastText, packed or not.

All three are lines of a word and its numbers; word2vec and fastText have a first line with the
number of words and the dimension. Only the words of the vocabulary are kept, so that a file of any
size can be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from elman.data.source import Source
from elman.errors import DataError

_BLOCK = 1 << 22
_NAMED_LINES = 5
_BAD_SHARE = 0.1  # more bad lines than this, and the file is something else


@dataclass(frozen=True)
class Vectors:
    """The vectors of a vocabulary.

    Attributes:
        matrix: (size, dim) float32; row n is the vector of number n, zero where none was found.
        mask: (size,) bool, True where a vector was found.
        found: words of the vocabulary that have a vector.
        coverage: `found` as a share of the vocabulary's words (types, not running words).
        dim: numbers in a vector.
        folded: of `found`, the words found only with other capitals.
        bad_lines: lines that could not be read, and were left out.
        bad_examples: the first of them, as "line 7: ...".
        missing: the first words of the vocabulary without a vector.
    """

    matrix: np.ndarray
    mask: np.ndarray
    found: int
    coverage: float
    dim: int
    folded: int
    bad_lines: int
    bad_examples: tuple[str, ...]
    missing: tuple[str, ...]


class _Wanted:
    """The vocabulary by exact and by folded spelling."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.exact = {
            word.encode("utf-8", "replace"): number for word, number in vocabulary.items()
        }
        self.folded: dict[bytes, list[int]] = {}
        for word, number in vocabulary.items():
            self.folded.setdefault(word.lower().encode("utf-8", "replace"), []).append(number)

    def numbers(self, word: bytes) -> tuple[int | None, list[int]]:
        """(the number of exactly this word, numbers of words that differ in capitals only)."""
        exact = self.exact.get(word)
        if word.isascii():
            return exact, self.folded.get(word.lower(), [])
        low = word.decode("utf-8", "replace").lower().encode()
        return exact, self.folded.get(low, [])


def _lines(source: Source) -> Iterator[bytes]:
    stream = source.open()
    held = b""
    try:
        while block := stream.read(_BLOCK):
            lines = (held + block).split(b"\n")
            held = lines.pop()
            yield from lines
        if held:
            yield held
    finally:
        stream.close()


def _header(line: bytes) -> tuple[int, int] | None:
    """(words, dimension) of a first line like `400000 300`."""
    parts = line.split()
    if len(parts) == 2 and all(part.isdigit() for part in parts):
        return int(parts[0]), int(parts[1])
    return None


def _find_dimension(source: Source) -> tuple[int, bool]:
    """(dimension, whether there is a header line)."""
    counts: list[int] = []
    for number, line in enumerate(_lines(source)):
        if number == 0:
            header = _header(line)
            if header:
                _refuse_binary(source)
                return header[1], True
        counts.append(len(line.split()) - 1)
        if number >= 20:
            break
    dim = max(set(counts), key=counts.count) if counts else 0
    if dim < 2:
        raise DataError(
            "this is no file of word vectors.",
            where=source.name,
            hint="Each line is a word and its numbers, separated by blanks (GloVe, word2vec text, "
            "fastText .vec).",
        )
    return dim, False


def _refuse_binary(source: Source) -> None:
    sample = source.sample(1 << 12)
    controls = sum(byte < 9 for byte in sample)
    if controls > len(sample) // 50:
        raise DataError(
            "these are word2vec vectors in the binary form.",
            where=source.name,
            hint="Save them as text, for instance with gensim: "
            "KeyedVectors.load_word2vec_format(..., binary=True).save_word2vec_format(...).",
        )


def read_vectors(
    path: str | os.PathLike[str], vocabulary: Mapping[str, int], dimension: int | None = None
) -> Vectors:
    """The vectors of the words in `vocabulary`; other words are skipped.

    A word is looked up as written; one that is not there takes the vector of the same word with
    other capitals, the first in the file (which is the most frequent).

    Args:
        path: the file; gzip, xz, zstd or bz2 as well.
        vocabulary: word -> number, without the reserved numbers.
        dimension: the dimension wanted; None takes the file's.

    Raises:
        DataError: no file of vectors, another dimension, or more than a tenth of the lines bad.
    """
    source = Source(path)
    if not source.sample(1):
        raise DataError("the file is empty.", where=source.name)
    dim, header = _find_dimension(source)
    if dimension is not None and dim != dimension:
        raise DataError(
            f"vectors of {dim} numbers, but {dimension} are wanted.",
            where=source.name,
            hint=f"Set the dimension of the embedding to {dim}, or name another file.",
        )
    wanted = _Wanted(vocabulary)
    size = max(vocabulary.values(), default=1) + 1
    matrix = np.zeros((size, dim), dtype=np.float32)
    state = np.zeros(size, dtype=np.int8)  # 0 nothing, 1 by folding, 2 exactly
    bad: list[str] = []
    bad_lines = lines = 0
    for number, line in enumerate(_lines(source), start=1):
        if (number == 1 and header) or not line.strip():
            continue
        lines += 1
        reason = _take(line, dim, wanted, matrix, state)
        if reason:
            bad_lines += 1
            if len(bad) < _NAMED_LINES:
                bad.append(f"line {number}: {reason}")
    if bad_lines > _BAD_SHARE * lines or not lines:
        raise DataError(
            f"{bad_lines} of {lines} lines are not a word and {dim} numbers ({'; '.join(bad)}).",
            where=source.name,
        )
    return _result(matrix, state, vocabulary, bad_lines, bad)


def _take(
    line: bytes, dim: int, wanted: _Wanted, matrix: np.ndarray, state: np.ndarray
) -> str | None:
    """Puts one line into the matrix when its word is wanted; a reason when it is bad."""
    parts = line.rstrip().rsplit(b" ", dim)
    if len(parts) != dim + 1:
        parts = line.rstrip().rsplit(None, dim)  # tabs, or two blanks
    if len(parts) != dim + 1:
        return f"{len(line.split()) - 1} numbers, not {dim}"
    exact, folded = wanted.numbers(parts[0].strip())
    if exact is None and not folded:
        return None
    try:
        vector = np.array(parts[1:], dtype=np.float32)
    except ValueError:
        return "not a number among its numbers"
    if not np.isfinite(vector).all():
        return "a number that is not finite"
    if exact is not None and state[exact] < 2:
        matrix[exact], state[exact] = vector, 2
    for number in folded:
        if state[number] == 0:
            matrix[number], state[number] = vector, 1
    return None


def _result(
    matrix: np.ndarray, state: np.ndarray, vocabulary: Mapping[str, int], bad: int, named: list[str]
) -> Vectors:
    found = sum(bool(state[number]) for number in vocabulary.values())
    missing = [word for word, number in vocabulary.items() if not state[number]]
    return Vectors(
        matrix=matrix,
        mask=state > 0,
        found=found,
        coverage=found / len(vocabulary) if vocabulary else 0.0,
        dim=matrix.shape[1],
        folded=int((state == 1).sum()),
        bad_lines=bad,
        bad_examples=tuple(named),
        missing=tuple(missing[:20]),
    )
