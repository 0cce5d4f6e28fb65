"""Running text: from files to one long array of numbers.

A boundary stands before each document and behind the last one: what follows it begins anew, and to
predict it is to say that the document ends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from elman.data.encoded import IN_MEMORY, BatchEncoder, Growing
from elman.data.endings import bare_name
from elman.data.passages import (
    DIALOGUES,
    TABLES,
    Passage,
    line_ends,
    text_column,
    text_files,
    turns,
)
from elman.data.places import GrowingPieces, Pieces, PlacedEncoder, Runs
from elman.data.rows import Asked
from elman.data.source import Source
from elman.data.tables import read_rows
from elman.errors import DataError

Documents = Literal["auto", "file", "line", "paragraph"]
_PIECE = 1 << 20  # characters that are encoded at a time, at least


@dataclass(frozen=True)
class EncodedCorpus:
    """Text as numbers.

    Attributes:
        ids: (N,) int32; an np.memmap where there are many.
        boundary: the number that stands before each document and at the end.
        documents: how many there are.
        characters, bytes: of the text that is to be predicted, in UTF-8.
        unknown: how many of the numbers to be predicted are the unknown piece.
        fingerprint: SHA-256 of the text and of where documents begin.
        counted: (N,) bool, which numbers are to be predicted; None: all.
        pieces: where the text's pieces stand, for `sizes_before`.
    """

    ids: np.ndarray
    boundary: int
    documents: int
    characters: int
    bytes: int
    unknown: int
    fingerprint: str
    counted: np.ndarray | None = None
    pieces: Pieces | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def counts(self, vocabulary: int) -> np.ndarray:
        """How often each number occurs, `(vocabulary,)`; read in pieces, as it may be a file."""
        found = np.zeros(vocabulary, np.int64)
        for begin in range(0, len(self.ids), _PIECE):
            piece = self.ids[begin : begin + _PIECE]
            found += np.bincount(piece, minlength=vocabulary)
        return found

    @property
    def predicted(self) -> int:
        """Numbers that are predicted: all but the first boundary, and in a dialogue the replies."""
        if self.counted is not None:
            return int(self.counted[1:].sum())
        return max(0, len(self.ids) - 1)

    def sizes_before(
        self, place: int, passages: Iterable[Passage], tokeniser: PlacedEncoder
    ) -> tuple[int, int]:
        """Characters and bytes to be predicted before a place among the numbers.

        They are counted in the text, which an unknown word or a blank cannot be read back from the
        numbers.

        Args:
            place: among `ids`.
            passages: the text again, as it was encoded.
            tokeniser: that encoded it.
        """
        assert self.pieces is not None
        number = int(self.pieces.starts.searchsorted(place, side="right")) - 1
        if number < 0:
            return 0, 0
        characters, size = int(self.pieces.characters[number]), int(self.pieces.bytes[number])
        if self.pieces.counted[number]:
            piece = next(islice(_all_pieces(passages), number, None))[1]
            inside = place - int(self.pieces.starts[number])
            before = piece[: tokeniser.offset(piece, inside)]
            characters += len(before)
            size += len(before.encode("utf-8", "surrogatepass"))
        return characters, size


@dataclass
class Corpus:
    """Running text out of a file or a folder; iterating reads it in a stream, again and again.

    Args:
        path: a text file, a folder of them, rows with a text (JSON Lines, CSV, Parquet ...), each
            packed or not; "-" is standard input.
        text: the column of the text, of rows.
        documents: what is one document: a file, a line, a paragraph (blank lines part them); a row
            always is. "auto": a file.
        encoding: a name that Python knows; None finds it.
        files: of the folder, which are read; (): all that hold text.
    """

    path: str
    text: str | None = None
    documents: Documents = "auto"
    encoding: str | None = None
    files: tuple[Path, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    _input: Source | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Passage]:
        """The passages in order.

        Raises:
            DataError: there is no such file, it is no text, or nothing is in it.
        """
        found = False
        for passage in self._passages():
            found = found or bool(passage.text.strip())
            yield passage
        if not found:
            hint = "Give a file, a folder or rows with text in them."
            raise DataError("it is empty: there is no text.", where=self.path, hint=hint)

    def texts(self) -> Iterator[str]:
        """The texts alone, for a tokeniser to learn from."""
        return (piece for passage in self for piece in _pieces(passage.text))

    def _passages(self) -> Iterator[Passage]:
        path = Path(self.path)
        if self.path != "-" and path.is_dir():
            for file in self.files or text_files(path):
                yield from self._file(str(file))
            return
        yield from self._file(self.path)

    def _file(self, path: str) -> Iterator[Passage]:
        name = bare_name(path).lower()
        if path != "-" and name.endswith(TABLES):
            yield from self._rows(path)
            return
        source = self._source(path)
        if self.documents == "line":
            for number, line in enumerate(source.lines(), start=1):
                if line.strip():
                    yield Passage(line_ends(line), True, f"{source.name}, line {number}")
        elif self.documents == "paragraph":
            yield from _paragraphs(source)
        else:
            yield from _whole(source)

    def _source(self, path: str) -> Source:
        if path != "-":
            return Source(path, encoding=self.encoding)
        if self._input is None:  # it can be read once only: the source keeps a copy
            self._input = Source(path, encoding=self.encoding)
        return self._input

    def _rows(self, path: str) -> Iterator[Passage]:
        rows = read_rows(path, asked=Asked(encoding=self.encoding))
        column = self.text or text_column(rows.columns, path)
        if column not in rows.columns:
            raise DataError(
                f'there is no column "{column}".',
                where=path,
                hint=f"There are: {', '.join(rows.columns)}.",
            )
        for row in rows:
            value = row.fields.get(column)
            if column.casefold() in DIALOGUES and isinstance(value, list):
                yield from turns(value, row.where)
                continue
            if isinstance(value, list):
                value = "\n".join(str(item) for item in value)
            if value is not None and str(value).strip():
                yield Passage(line_ends(str(value)) + "\n", True, row.where)


def _whole(source: Source) -> Iterator[Passage]:
    """The file as one document, in passages of about a million characters, however long a line."""
    held, begins = "", True
    for block in source.text():
        held += block
        if len(held) >= _PIECE:
            place = _place(held)
            yield Passage(line_ends(held[:place]), begins, source.name)
            held, begins = held[place:], False
    if held:
        yield Passage(line_ends(held), begins, source.name)


def _place(text: str) -> int:
    """Where a long text is best cut in its second half: behind a line, behind a blank, anywhere."""
    half = len(text) // 2
    place = text.rfind("\n", half) + 1 or text.rfind(" ", half) + 1 or len(text)
    return place - (text[place - 1] == "\r")  # a line feed may follow


def _pieces(text: str) -> Iterator[str]:
    """The text in parts that can be encoded at a time."""
    begin = 0
    while len(text) - begin > 2 * _PIECE:
        place = begin + _place(text[begin : begin + 2 * _PIECE])
        yield text[begin:place]
        begin = place
    yield text[begin:]


def _paragraphs(source: Source) -> Iterator[Passage]:
    held: list[str] = []
    first = 1
    for number, line in enumerate(source.lines(), start=1):
        if line.strip():
            first = first if held else number
            held.append(line_ends(line))
        elif held:
            yield Passage("".join(held), True, f"{source.name}, line {first}")
            held = []
    if held:
        yield Passage("".join(held), True, f"{source.name}, line {first}")


def encode_corpus(
    passages: Iterable[Passage],
    tokeniser: BatchEncoder,
    folder: str | os.PathLike[str] | None = None,
    *,
    boundary: int = 0,
    unknown: int = 1,
    in_memory: int = IN_MEMORY,
) -> EncodedCorpus:
    """Every passage as numbers, one after the other.

    Args:
        passages: read once, in order.
        tokeniser: gives the numbers.
        folder: where the numbers go when there are many; None: a temporary folder that is removed
            with the result.
        boundary: the number between documents.
        unknown: the number of the unknown piece, which is counted.
        in_memory: numbers kept in memory before they go to a file.
    """
    store = Growing(None if folder is None else Path(folder), in_memory)
    digest = hashlib.sha256()
    documents = lost = 0
    pieces, runs = GrowingPieces(), Runs()
    edge = np.full(1, boundary, np.int32)
    for passage, piece, first in _all_pieces(passages):
        if first and passage.begins:
            documents += 1
            store.extend(edge)
            runs.add(1, passage.counted)
            digest.update(b"\xff")
        content = piece.encode("utf-8", "surrogatepass")
        digest.update(content)
        ids = np.asarray(tokeniser.encode_batch([piece])[0], np.int32)
        pieces.add(runs.total, len(piece), len(content), passage.counted)
        lost += int((ids == unknown).sum()) if passage.counted else 0
        store.extend(ids)
        runs.add(len(ids), passage.counted)
    store.extend(edge)
    runs.add(1, True)
    return EncodedCorpus(
        ids=store.finish(),
        boundary=boundary,
        documents=documents,
        characters=pieces.characters,
        bytes=pieces.bytes,
        unknown=lost,
        fingerprint=digest.hexdigest(),
        counted=runs.marks(),
        pieces=pieces.finish(),
    )


def _all_pieces(passages: Iterable[Passage]) -> Iterator[tuple[Passage, str, bool]]:
    """Each passage with its pieces, and whether a piece is its first."""
    for passage in passages:
        for number, piece in enumerate(_pieces(passage.text)):
            yield passage, piece, number == 0


@dataclass(frozen=True)
class Windows:
    """A corpus as parallel streams in windows: one epoch of truncated backpropagation.

    The text is cut into `streams` equal parts that are read side by side; window k of a stream
    continues its window k - 1, so that the state can be carried over (Mikolov et al. 2010).

    Args:
        corpus: the text.
        streams: parts read side by side, B.
        steps: numbers of a window, T.
        offset: numbers left out in the beginning, so that windows are cut elsewhere each epoch.
    """

    corpus: EncodedCorpus
    streams: int
    steps: int
    offset: int = 0

    @property
    def length(self) -> int:
        """Predictions of a stream."""
        return (len(self.corpus) - 1 - self.offset) // self.streams

    def __len__(self) -> int:
        return -(-self.length // self.steps)

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < len(self):
            raise IndexError(index)
        begin = index * self.steps
        count = min(self.steps, self.length - begin)
        first = self.offset + begin + np.arange(self.streams) * self.length
        places = first[None, :] + np.arange(count)[:, None]
        inputs = self.corpus.ids[places].astype(np.int64)
        resets = inputs == self.corpus.boundary
        return Window(
            inputs,
            self.corpus.ids[places + 1].astype(np.int64),
            resets if resets[1:].any() or (index and resets.any()) else None,
            index == 0,
            None if self.corpus.counted is None else self.corpus.counted[places + 1],
        )


@dataclass(frozen=True)
class Window:
    """One step of training.

    Attributes:
        inputs, targets: `(T, B)` int64; a target is the number that follows.
        resets: `(T, B)` bool, True where a document begins; None for nowhere.
        first: whether the state before it is the initial one.
        counted: `(T, B)` bool, which targets are to be predicted; None: all.
    """

    inputs: np.ndarray
    targets: np.ndarray
    resets: np.ndarray | None
    first: bool
    counted: np.ndarray | None = None

    def of_streams(self, begin: int, end: int) -> Window:
        """The same step of some of the streams."""
        own = slice(begin, end)
        return Window(
            self.inputs[:, own],
            self.targets[:, own],
            None if self.resets is None else self.resets[:, own],
            self.first,
            None if self.counted is None else self.counted[:, own],
        )
