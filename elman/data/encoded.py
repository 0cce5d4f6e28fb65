"""Texts as numbers: one long array with offsets, in memory or, when large, in files."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import IO, Protocol

import numpy as np

from elman.data.examples import TextExample
from elman.errors import DataError, did_you_mean
from elman.files import explain

FILE = "tokens.int32"  # name of the file in the folder
_BLOCK = 1000  # texts encoded at a time
IN_MEMORY = 200_000_000  # tokens; more go to files (4 bytes each)


class BatchEncoder(Protocol):
    """What encoding needs of a tokeniser."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text."""
        ...


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as numbers; row `i` is `ids[offsets[i]:offsets[i + 1]]`.

    Attributes:
        ids: (N,) int32 numbers of all tokens; an np.memmap where the set is large.
        offsets: (rows + 1,) int64.
        label_ids: (L,) int32 class numbers of all rows.
        label_offsets: (rows + 1,) int64.
        label_names: the classes in order.
        several_labels: whether targets are vectors of 0 and 1.
        fingerprint: SHA-256 of texts and labels, where the examples gave one.
    """

    ids: np.ndarray
    offsets: np.ndarray
    label_ids: np.ndarray
    label_offsets: np.ndarray
    label_names: tuple[str, ...]
    several_labels: bool = False
    fingerprint: str | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) int64 tokens of each row."""
        return np.diff(self.offsets)

    @property
    def labels(self) -> list[tuple[int, ...]]:
        """The class numbers of each row."""
        return [
            tuple(self.label_ids[begin:end].tolist())
            for begin, end in zip(
                self.label_offsets[:-1].tolist(), self.label_offsets[1:].tolist(), strict=True
            )
        ]

    def targets(self, rows: Sequence[int]) -> np.ndarray:
        """(B,) int64 class numbers (-1 without one), or (B, classes) float32 of 0 and 1."""
        picked = np.asarray(rows, dtype=np.int64)
        begins, ends = self.label_offsets[picked], self.label_offsets[picked + 1]
        if not self.several_labels:
            first = np.full(len(picked), -1, dtype=np.int64)
            present = ends > begins
            first[present] = self.label_ids[begins[present]]
            return first
        hot = np.zeros((len(picked), len(self.label_names)), dtype=np.float32)
        for place, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            hot[place, self.label_ids[begin:end]] = 1.0
        return hot


class Growing:
    """An int32 array that grows at its end; beyond a size it goes on in a file."""

    def __init__(self, folder: Path | None, limit: int) -> None:
        self._folder = folder
        self._temporary = folder is None
        self._limit = limit
        self._parts: list[np.ndarray] = []
        self._held = 0
        self._file: IO[bytes] | None = None

    def extend(self, values: np.ndarray) -> None:
        """Adds int32 numbers at the end."""
        self._parts.append(values)
        self._held += len(values)
        if self._file is not None or self._held > self._limit:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                folder = self._folder or Path(tempfile.mkdtemp(prefix="elman-tokens-"))
                folder.mkdir(parents=True, exist_ok=True)
                self._folder = folder
                self._file = (folder / FILE).open("wb")
            for part in self._parts:
                self._file.write(part.tobytes())
        except OSError as error:
            raise explain(error, self._folder or tempfile.gettempdir()) from error
        self._parts = []
        self._held = 0

    def finish(self) -> np.ndarray:
        """All of them, `(N,)`; an np.memmap where they went to a file."""
        if self._file is None or self._folder is None:
            return np.concatenate(self._parts) if self._parts else np.zeros(0, np.int32)
        try:
            self._file.close()
            array = np.memmap(self._folder / FILE, dtype=np.int32, mode="r")
        except OSError as error:
            raise explain(error, self._folder) from error
        if self._temporary:
            weakref.finalize(array, rmtree, self._folder, ignore_errors=True)
        return array


def encode(
    examples: Iterable[TextExample],
    tokeniser: BatchEncoder,
    label_names: Sequence[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    several_labels: bool | None = None,
    in_memory: int = IN_MEMORY,
) -> EncodedTexts:
    """Every example as numbers, read and encoded in blocks.

    Args:
        examples: read once, in order.
        tokeniser: gives the numbers.
        label_names: the classes; a label that is not among them is an error.
        folder: where the numbers go when there are many; None: a temporary folder that is removed
            with the result.
        several_labels: whether rows may have several labels; None asks the examples.
        in_memory: tokens kept in memory before they go to a file.

    Raises:
        DataError: an unknown label, or several labels where one is wanted; names the row.
    """
    numbers = {name: number for number, name in enumerate(label_names)}
    if several_labels is None:
        inner = getattr(examples, "examples", examples)
        several_labels = bool(getattr(inner, "several_labels", False))
    store = Growing(None if folder is None else Path(folder), in_memory)
    lengths: list[np.ndarray] = []
    label_ids: list[int] = []
    label_counts: list[int] = []
    stream = iter(examples)
    while block := list(islice(stream, _BLOCK)):
        rows = tokeniser.encode_batch([example.text for example in block])
        lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
        store.extend(np.fromiter((i for row in rows for i in row), np.int32))
        for example in block:
            label_ids.extend(_numbers(example, numbers, several_labels))
            label_counts.append(len(example.labels))
    return EncodedTexts(
        ids=store.finish(),
        offsets=_offsets(np.concatenate(lengths) if lengths else np.zeros(0, np.int64)),
        label_ids=np.array(label_ids, np.int32),
        label_offsets=_offsets(np.array(label_counts, np.int64)),
        label_names=tuple(label_names),
        several_labels=several_labels,
        fingerprint=getattr(examples, "_fingerprint", None),
    )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _numbers(example: TextExample, numbers: dict[str, int], several: bool) -> list[int]:
    if len(example.labels) > 1 and not several:
        raise DataError(
            f"{len(example.labels)} labels, where one is wanted.",
            where=example.where,
            hint="Say that rows have several labels: --data.label-separator.",
        )
    try:
        return [numbers[label] for label in example.labels]
    except KeyError as error:
        unknown = str(error.args[0])
        raise DataError(
            f'the label "{unknown}" does not occur in the training data.',
            where=example.where,
            hint=did_you_mean(unknown, numbers),
        ) from None
