"""From the files to what a language model is trained on: tokeniser, numbers, parts, floor."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from elman.data import Tokeniser, TokeniserConfig, build_tokeniser, load_tokeniser
from elman.data.corpus import Corpus, EncodedCorpus, encode_corpus
from elman.data.passages import parts_of
from elman.data.tokenisers import choose_level, is_unspaced
from elman.errors import ConfigError, DataError, RunError
from elman.files import read_json, write_json
from elman.tasks.lm_config import CorpusConfig, LmConfig
from elman.tasks.ngrams import Chosen, choose

Say = Callable[[str], None]
Source = str | os.PathLike[str]

PREPARED = "prepared.json"
LEVELS = {"word": "prose", "subword": "bpe"}
"""What a language model calls a level, where the data room has another name for it."""
_LEAST = 8  # numbers that a part must have
_MOST_VALID = 500_000  # numbers that validate, unless a share or a file is named
_MOST_COUNTED = 5_000_000  # numbers that n-grams are counted in


@dataclass
class PreparedText:
    """Everything that training needs, made from the files.

    Attributes:
        train, valid, test: the parts; no test part unless it was asked for.
        tokeniser: of all of them.
        floor: the n-gram model; None when it is switched off.
    """

    train: EncodedCorpus
    valid: EncodedCorpus
    test: EncodedCorpus | None
    tokeniser: Tokeniser
    floor: Chosen | None = None


def prepare_text(
    config: LmConfig,
    data: Source,
    valid: Source | float | None,
    test: Source | float | None,
    folder: Path | None,
    say: Say,
) -> PreparedText:
    """Reads, encodes and splits the text, and fits the floor.

    Shares are cut from the end of the text: the test part is the last, the validation part stands
    before it; between documents where there are many. A folder may hold the parts as files.

    Raises:
        DataError: the files cannot be used. ConfigError: impossible shares.
        RunError: the folder's run was begun with other text.
    """
    sources = _sources(config, data, valid, test, say)
    whole = sources.train
    begun = folder is not None and (folder / PREPARED).exists()
    if begun and folder is not None:
        tokeniser: Tokeniser = load_tokeniser(folder)
    elif config.model.start is not None:
        tokeniser = load_tokeniser(config.model.start)
    else:
        tokeniser = build_tokeniser(whole.texts(), settled(config.data.tokeniser, whole.texts()))
    encoded = encode_corpus(whole, tokeniser)
    say(
        f"{encoded.characters:,} characters{'' if encoded.counted is None else ' of replies'} in "
        f"{encoded.documents:,} document{'s' if encoded.documents > 1 else ''}, "
        f"{len(encoded):,} tokens of {tokeniser.size:,} kinds, from {whole.path}"
    )
    if folder is not None:
        _same_text(folder, encoded)
    made = _parted(encoded, sources, valid is None, tokeniser, say)
    if config.floor.measure:
        made.floor = _floor(config, made, say)
    if folder is not None and not begun:
        tokeniser.save(folder)
        write_json(folder / PREPARED, {"text": encoded.fingerprint})
    return made


@dataclass(frozen=True)
class _Sources:
    """Where the parts come from: texts of their own, or shares of the training text's end."""

    train: Corpus
    valid: Corpus | float
    test: Corpus | float | None


def _sources(
    config: LmConfig,
    data: Source,
    valid: Source | float | None,
    test: Source | float | None,
    say: Say,
) -> _Sources:
    """What trains, validates and tests; what is named goes before what a folder's files say."""
    read = config.data
    held = _share(config.valid if valid is None else valid)
    assert held is not None
    last = _share(test)
    found = {
        "train": _corpus(read, data),
        "valid": _corpus(read, held) if isinstance(held, str) else held,
        "test": _corpus(read, last) if isinstance(last, str) else last,
    }
    parts = _parts(data)
    named = {part for part, value in (("valid", valid), ("test", test)) if value is not None}
    if config.valid != LmConfig().valid:
        named.add("valid")
    for part, files in parts.items():
        used = part != "" and part not in named
        if used:
            found[part] = _corpus(read, data, files)
        say(f"{part if used else 'left out'}: {_names(files)}")
    return _Sources(**found)


def _parts(data: Source) -> dict[str, list[Path]]:
    """The files of each part, if the data are a folder that says so."""
    return parts_of(Path(data)) if os.fspath(data) != "-" and Path(data).is_dir() else {}


def _names(files: list[Path]) -> str:
    shown = ", ".join(file.name for file in files[:3])
    return shown if len(files) <= 3 else f"{shown} and {len(files) - 3:,} more files"


def _parted(
    encoded: EncodedCorpus, sources: _Sources, usual: bool, tokeniser: Tokeniser, say: Say
) -> PreparedText:
    """The parts as numbers; `usual`: nobody named the validation part."""
    held, last, whole = sources.valid, sources.test, sources.train
    if usual and isinstance(held, float) and held * len(encoded) > _MOST_VALID:
        held = _MOST_VALID / len(encoded)
        say(f"{_MOST_VALID:,} tokens validate; --valid names another share, or a file")
    train, rest = encoded, None
    if isinstance(last, Corpus):
        rest = encode_corpus(last, tokeniser)
    elif last is not None:
        train, rest = _cut_off(encoded, last, whole, tokeniser)
    if isinstance(held, Corpus):
        valid = encode_corpus(held, tokeniser)
    else:
        share = held / (1 - last) if isinstance(last, float) else held
        train, valid = _cut_off(train, share, whole, tokeniser)
    return PreparedText(replace(train, pieces=None), valid, rest, tokeniser)


def _floor(config: LmConfig, made: PreparedText, say: Say) -> Chosen:
    """The n-grams of the training part; of its end, where it is long."""
    known = made.train.ids[-_MOST_COUNTED:]
    if len(known) < len(made.train):
        say(f"the floor counts the last {_MOST_COUNTED:,} tokens of the training part")
    size, longest = made.tokeniser.size, config.floor.longest
    floor = choose(known, made.valid.ids, size, longest=longest, boundary=made.train.boundary)
    say(f"floor: {floor.name}, {floor.valid:.4f} nats a token on the validation part")
    return floor


def _corpus(config: CorpusConfig, path: Source, files: Iterable[Path] = ()) -> Corpus:
    return Corpus(
        os.fspath(path), config.text, config.documents, config.encoding, files=tuple(files)
    )


def to_measure(config: CorpusConfig, data: Source, text: str | None) -> tuple[Corpus, str]:
    """The text to measure a model on, and what it is: of a parted folder the test part.

    Args:
        config: how the model's own text was read.
        data: a file or a folder.
        text: the column of the text, of rows; None: that of the settings.
    """
    if text is not None:
        config = config.model_copy(update={"text": text})
    parts = _parts(data)
    part = next((name for name in ("test", "valid") if name in parts), "test")
    return _corpus(config, data, parts.get(part, ())), part


def settled(config: TokeniserConfig, texts: Iterable[str]) -> TokeniserConfig:
    """The tokeniser's settings with a level that suits running text.

    Words of a text that was cut before are what stands between blanks; in other texts they stand
    apart from punctuation, and in Chinese a package finds them.

    Raises:
        ConfigError: words are asked for in a script that does not part them.
    """
    if config.level not in ("auto", "prose"):
        return config
    sample = _sample(iter(texts))
    joined = choose_level([sample]) in ("zh-char", "char")
    if config.level == "auto":
        level = "blank" if not joined and _was_cut(sample) else "char"
    elif is_unspaced(sample):
        raise ConfigError(
            "got a text whose script does not part words by blanks, wanted one that does.",
            where="data.tokeniser.level",
            hint="Take --level char or --level subword.",
        )
    elif joined:
        level = "zh-prose"
    else:
        level = "blank" if _was_cut(sample) else "prose"
    return config.model_copy(update={"level": level})


def _sample(texts: Iterator[str]) -> str:
    return "".join(text[:200_000] for text in islice(texts, 200))[:2_000_000]


def _was_cut(text: str) -> bool:
    """Whether words and punctuation stand apart, as in the Penn Treebank."""
    words = text.split()
    if "<unk>" in words:
        return True
    marks = re.findall(r"\s[.,;:!?](?=\s)", text)
    joined = re.findall(r"\w[.,;:!?](?=\s)", text)
    return len(marks) > 20 and len(marks) > 10 * len(joined)


def _share(value: Source | float | None) -> str | float | None:
    """A share of the text, or a file."""
    if value is None:
        return None
    if isinstance(value, str) and not Path(value).exists():
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float | int):
        if not 0 < float(value) < 1:
            raise ConfigError(f"got a share of {value:g}, wanted one between 0 and 1.")
        return float(value)
    return os.fspath(value)


def _cut_off(
    corpus: EncodedCorpus, share: float, text: Corpus, tokeniser: Tokeniser
) -> tuple[EncodedCorpus, EncodedCorpus]:
    """The text without its last share, and that share."""
    place = _place(corpus, share)
    inside = corpus.ids[place] != corpus.boundary
    edge = np.full(int(inside), corpus.boundary, corpus.ids.dtype)
    parts = (corpus.ids[: place + 1 - inside], np.concatenate([edge, corpus.ids[place:]]))
    marks = corpus.counted
    if marks is not None:
        seen = np.concatenate([np.ones(int(inside), bool), marks[place:]])
        halves = (marks[: place + 1 - inside], seen)
    else:
        halves = (None, None)
    before = corpus.sizes_before(place, text, tokeniser)
    unknown = parts[1] == tokeniser.unknown_id
    lost = int((unknown if halves[1] is None else unknown & halves[1]).sum())
    second = replace(
        corpus,
        ids=parts[1],
        counted=halves[1],
        documents=_documents(parts[1], corpus.boundary),
        characters=corpus.characters - before[0],
        bytes=corpus.bytes - before[1],
        unknown=lost,
        pieces=None,
    )
    first = replace(
        corpus,
        ids=parts[0],
        counted=halves[0],
        documents=_documents(parts[0], corpus.boundary),
        characters=before[0],
        bytes=before[1],
        unknown=corpus.unknown - lost,
    )
    return first, second


def _place(corpus: EncodedCorpus, share: float) -> int:
    """Where the last share begins: at a document, if there are many and one is near."""
    size = len(corpus)
    place = round(size * (1 - share))
    if min(place, size - place) < _LEAST:
        raise DataError(
            f"got a text of {size} tokens, too few to hold out {share:.2g} of it.",
            hint="Give more text, or files of their own with --valid and --test.",
        )
    edges = np.flatnonzero(corpus.ids == corpus.boundary)
    if len(edges) > 40:
        near = int(edges[np.argmin(np.abs(edges - place))])
        # One long document among many: its edge may leave nothing, or nearly all, to hold out.
        moved = abs(near - place) <= min(place, size - place) / 2
        if moved and min(near, size - near) >= _LEAST:
            return near
    return place


def _documents(ids: np.ndarray, boundary: int) -> int:
    return max(1, int((ids[:-1] == boundary).sum()))


def last_part(
    corpus: EncodedCorpus, share: float, text: Corpus, tokeniser: Tokeniser
) -> EncodedCorpus:
    """The last share of a text, as it is held out of training."""
    checked = _share(share)
    assert isinstance(checked, float)
    return _cut_off(corpus, checked, text, tokeniser)[1]


def _same_text(folder: Path, encoded: EncodedCorpus) -> None:
    path = folder / PREPARED
    if path.exists() and read_json(path).get("text") != encoded.fingerprint:
        raise RunError(
            "the text is not what the run was begun with.",
            where=str(folder),
            hint="Give the same files, or begin a new run with another --out.",
        )
