"""Text to numbers and back, on the `tokenizers` library; one `tokenizer.json` and a header.

Number 0 is padding and 1 the unknown piece, at every level. Their names contain a blank, which no
piece does, and they are not "added tokens" of the library: nothing a user writes is padding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from elman.data.characters import CharacterTable, join_chinese, join_words, sound
from elman.data.config import TokeniserConfig
from elman.data.pipelines import (
    RESERVED,
    assemble,
    blank_model,
    byte_model,
    byte_values,
    character_model,
    one_thread,
    ordered,
    trainer,
)
from elman.errors import DataError, MissingExtraError, RunError
from elman.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HEADER = "tokenizer.header.json"
MODEL = "tokenizer.json"
_FORMAT = 1
_SAMPLE = 20_000  # texts, and
_SAMPLE_LETTERS = 2_000_000  # characters, by which "auto" decides
_BLOCK_LETTERS = 8_000_000  # characters that are learnt from at a time


class Tokeniser(Protocol):
    """What the rest of the house needs of a tokeniser."""

    pad_id: int
    unknown_id: int

    @property
    def level(self) -> str:
        """The level of the pieces; never "auto"."""
        ...

    @property
    def size(self) -> int:
        """Numbers in use, the two reserved ones included."""
        ...

    @property
    def vocabulary(self) -> dict[str, int]:
        """Piece -> number, the two reserved ones left out."""
        ...

    def encode(self, text: str) -> list[int]:
        """The numbers of one text."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text, on all cores."""
        ...

    def written(self, texts: Sequence[str]) -> list[list[tuple[int, str]]]:
        """The numbers of each text, each with its piece as it stands in the text."""
        ...

    def offset(self, text: str, number: int) -> int:
        """How many characters of `text` stand before its token `number`."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text again: exactly, by characters and bytes; readable, by words."""
        ...

    def utf8(self, ids: Sequence[int]) -> bytes:
        """The bytes of the tokens at levels whose pieces may be parts of characters; else none."""
        ...

    def tokens(self, text: str) -> list[str]:
        """The pieces as written (normalised), unknown ones too."""
        ...

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `tokenizer.json` and its header."""
        ...


def _cut_chinese() -> Callable[[str], str]:
    try:
        import rjieba
    except ImportError:
        raise MissingExtraError(
            "Chinese by word needs the package rjieba.",
            hint='Install it: pip install "elman[chinese]", or take characters: the level '
            '"zh-char", of a language model "char".',
        ) from None
    return lambda text: " ".join(cast("Any", rjieba).cut(text))


_CUT = {"zh-word", "zh-prose"}  # levels whose texts are cut into words before


class TextTokeniser:
    """A tokeniser of any level; made by `build_tokeniser` or `load_tokeniser`.

    Attributes:
        config: the settings, with the level that "auto" chose.
    """

    pad_id = 0
    unknown_id = 1

    def __init__(self, tokenizer: Tokenizer, config: TokeniserConfig) -> None:
        self.config = config
        self._tokenizer = tokenizer
        self._cut = _cut_chinese() if config.level in _CUT else None
        plain = config.level == "char" and tokenizer.normalizer is None
        self._characters = CharacterTable(self.vocabulary) if plain else None

    @property
    def level(self) -> str:
        """The level of the pieces; never "auto"."""
        return self.config.level

    @property
    def size(self) -> int:
        """Numbers in use, the two reserved ones included."""
        return self._tokenizer.get_vocab_size()

    @property
    def vocabulary(self) -> dict[str, int]:
        """Piece -> number, the two reserved ones left out, by number."""
        pieces = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        return {piece: number for piece, number in pieces if number > 1}

    def encode(self, text: str) -> list[int]:
        """The numbers of one text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text, on all cores; give some thousand texts at a time."""
        if self._characters is not None:
            return [self._characters.numbers(text).tolist() for text in texts]
        return [one.ids for one in self._encoded(texts, self._tokenizer.encode_batch_fast)[1]]

    def written(self, texts: Sequence[str]) -> list[list[tuple[int, str]]]:
        """The numbers of each text, each with its piece as it stands in the text."""
        ready, found = self._encoded(texts, self._tokenizer.encode_batch)
        return [
            [(number, text[a:b]) for number, (a, b) in zip(one.ids, one.offsets, strict=True)]
            for text, one in zip(ready, found, strict=True)
        ]

    def offset(self, text: str, number: int) -> int:
        """How many characters of `text` stand before its token `number`; all if it has fewer."""
        if number <= 0 or self._characters is not None:
            return max(0, min(number, len(text)))
        (ready,), (found,) = self._encoded([text], self._tokenizer.encode_batch)
        if number >= len(found.offsets):
            return len(text)
        place = found.offsets[number][0]
        if self._cut is None:
            return place
        # Between the words of `ready` stand blanks that the text has not; line ends are words.
        kept = [k for k, char in enumerate(text) if char == "\n" or not char.isspace()]
        return kept[sum(char == "\n" or not char.isspace() for char in ready[:place])]

    def _encoded(
        self, texts: Sequence[str], encode: Callable[..., list[Any]]
    ) -> tuple[list[str], list[Any]]:
        """The texts as the library takes them, and its answers."""
        ready = [self._cut(text) for text in texts] if self._cut else list(texts)
        try:
            return ready, encode(ready, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError):
            ready = [sound(text) for text in ready]
            return ready, encode(ready, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """Text again: exactly, by characters and bytes; readable, by words."""
        real = [int(number) for number in ids if number != self.pad_id]
        names = [self._name(number) for number in real]
        if self.level == "char":
            return "".join(names)
        if self.level == "prose":
            return join_words(names)
        if self.level == "zh-prose":
            return join_chinese(names)
        if self.level == "blank":
            return re.sub(r" ?\n ?", "\n", " ".join(names))
        if self.level in {"word", "zh-char", "zh-word"}:
            return " ".join(names)
        return self._tokenizer.decode(real, skip_special_tokens=False)

    def utf8(self, ids: Sequence[int]) -> bytes:
        """The bytes of the tokens at the levels "byte" and "bpe"; else none."""
        if self.level not in {"byte", "bpe"}:
            return b""  # each of their pieces is whole characters
        values = byte_values()
        return bytes(values[name] for number in ids if number > 1 for name in self._name(number))

    def _name(self, number: int) -> str:
        name = self._tokenizer.id_to_token(number)
        return "\ufffd" if number == self.unknown_id or name is None else name

    def tokens(self, text: str) -> list[str]:
        """The pieces as written (normalised), unknown ones too."""
        text = sound(self._cut(text) if self._cut else text)
        if self.level in {"bpe", "unigram"}:
            return self._tokenizer.encode(text, add_special_tokens=False).tokens
        normaliser = self._tokenizer.normalizer
        ready = normaliser.normalize_str(text) if normaliser is not None else text
        return [piece for piece, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(ready)]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `tokenizer.json` and its header into `folder`.

        Raises:
            ElmanError: the folder cannot be written.
        """
        write_text(Path(folder) / MODEL, self._tokenizer.to_str(pretty=False) + "\n")
        header = {"format": _FORMAT, "size": self.size, **self.config.model_dump()}
        write_json(Path(folder) / HEADER, header)


def load_tokeniser(folder: str | os.PathLike[str]) -> TextTokeniser:
    """The tokeniser that `save` wrote into `folder`.

    Raises:
        RunError: a file is missing, damaged or of a newer format.
    """
    from tokenizers import Tokenizer

    header = read_json(Path(folder) / HEADER)
    place = os.fspath(Path(folder) / HEADER)
    if not isinstance(header, dict) or header.pop("format", None) != _FORMAT:
        raise RunError(
            f"not a tokeniser header of format {_FORMAT}.",
            where=place,
            hint="It was written by another version of elman, or is damaged.",
        )
    size = header.pop("size", None)
    try:
        config = TokeniserConfig.model_validate(header)
    except ValueError as error:
        raise RunError(f"not a tokeniser header: {_first_line(error)}.", where=place) from None
    path = Path(folder) / MODEL
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read it: {error.strerror}.", where=os.fspath(path)) from error
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        raise RunError(f"not a tokeniser: {_first_line(error)}.", where=os.fspath(path)) from None
    if tokenizer.get_vocab_size() != size or tokenizer.id_to_token(0) != RESERVED[0]:
        raise RunError(
            f"{tokenizer.get_vocab_size()} pieces, but its header says {size}.",
            where=os.fspath(path),
            hint="The two files do not belong together, or one is damaged.",
        )
    return TextTokeniser(tokenizer, config)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["damaged"])[0][:200]


def build_tokeniser(texts: Iterable[str], config: TokeniserConfig | None = None) -> TextTokeniser:
    """A tokeniser for `texts` (the training part), which are read once, in a stream.

    Pieces are numbered from 2 by how often they occur, those of equal count by spelling, so that
    the same texts give the same numbers.

    Raises:
        DataError: the texts hold nothing to learn pieces from.
        MissingExtraError: the level needs a package that is not installed.
    """
    config = config or TokeniserConfig()
    stream = iter(texts)
    if config.level == "auto":
        sample = _first(stream)
        config = config.model_copy(update={"level": choose_level(sample)})
        stream = chain(sample, stream)
    level = config.level
    if level == "byte":
        return TextTokeniser(assemble(byte_model(), level, config), config)
    cut = _cut_chinese() if level in _CUT else None
    learner = assemble(blank_model(level), level, config)
    ready = (_ready(text, cut) for text in stream)
    try:
        with one_thread() if level == "unigram" else nullcontext():
            if level == "char" and learner.normalizer is None:
                learner.model = character_model(map("".join, _blocks(ready)), config)
            else:
                learner.train_from_iterator(_blocks(ready), trainer(level, config))
        model = ordered(learner) if level == "unigram" else learner.model
        if learner.get_vocab_size() < len(RESERVED):
            raise ValueError("no piece occurs in them")
    except (DataError, OSError):
        raise
    except Exception as error:
        if type(error).__module__.startswith("elman"):
            raise
        raise DataError(
            f"no pieces of the level {level} could be learnt from the texts: {_first_line(error)}.",
            hint='Give more text, or use the level "word" or "char" (--data.tokeniser.level).',
        ) from None
    return TextTokeniser(assemble(model, level, config), config)


def _first(stream: Iterator[str]) -> list[str]:
    # Files are often sorted by class: a short sample would see one class only.
    sample: list[str] = []
    letters = 0
    while len(sample) < _SAMPLE and letters < _SAMPLE_LETTERS:
        text = next(stream, None)
        if text is None:
            break
        sample.append(text)
        letters += len(text)
    return sample


def _ready(text: str, cut: Callable[[str], str] | None) -> str:
    if not text.isascii():
        text = sound(text)
    return cut(text) if cut else text


def _blocks(texts: Iterator[str]) -> Iterator[list[str]]:
    """At most 1000 texts at a time, and fewer where they are long."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if len(block) == 1000 or size > _BLOCK_LETTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


_JOINED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese, Khmer


def is_unspaced(text: str) -> bool:
    """Whether no blanks part the words of this script, and no package here does: Thai, Khmer."""
    return len(_UNSPACED.findall(text)) > 0.3 * sum(map(str.isalpha, text))


def choose_level(texts: Sequence[str]) -> str:
    """The level that "auto" takes for texts like these.

    Chinese and Japanese: by character; scripts without blanks and single words (names): by
    character; everything else: by word.
    """
    letters = sum(char.isalpha() for text in texts for char in text)
    if not letters:
        return "word"
    joined = "".join(texts)
    if len(_JOINED.findall(joined)) > 0.15 * letters:
        return "zh-char"
    if is_unspaced(joined):
        return "char"
    words = [text.split() for text in texts if text.strip()]
    total = sum(map(len, words))
    different = len({word for text in words for word in text})
    if len(words) >= 20 and total < 1.5 * len(words) and different > 0.3 * total:
        return "char"
    return "word"
