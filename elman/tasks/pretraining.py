"""A language model for a classifier to begin with: trained on text, then tuned on the task's own.

The three stages of ULMFiT (Howard and Ruder 2018). Both language models are runs of their own in
the classifier's folder, so that each can be looked at, used and resumed. Where the text is the
task's own, it is read as one stage: tuning would be the same again.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from elman.data import Tokeniser, TokeniserConfig, build_tokeniser, load_tokeniser
from elman.data.corpus import Corpus, encode_corpus
from elman.data.passages import parts_of
from elman.data.tokenisers import choose_level
from elman.errors import ConfigError, DataError, RunError
from elman.files import read_json, write_json, write_text
from elman.tasks import run
from elman.tasks.classify_config import ClassifyConfig, ModelConfig
from elman.tasks.lm import LanguageModel, OnEvent
from elman.tasks.lm_config import MANY
from elman.tasks.lm_preparation import PREPARED
from elman.training import Event, notes_to

GENERAL, TUNED = "language", "language-tuned"
_LEFT = "minutes-left.json"
SHARES = (0.4, 0.12)
"""Of the budget of minutes: for the text at large, and for the task's own texts. Where there is one
stage, it has both."""
_LEAST = 0.2  # of the minutes that the classifier has, however long the language model took
_PASSES = (2, 2)  # over each, at most, where no budget is given
_TUNING_RATE = 1e-3  # a third or a quarter of the recipe's: what was learnt is to be kept
_MOST_VALID = 60_000  # tokens that validate: they are read three more times when a stage ends
_SAMPLED = 8000  # pieces from which on a sampled softmax is worth its draws
_A_MINUTE = 1_000_000  # tokens that two cores train
_MANY_PASSES = 8  # over a text, from which on it is learnt by heart without strong dropouts
_LETTERS, _TEXTS = 2_000_000, 20_000  # by which "auto" decides
_CARRIED = (
    "cell", "hidden", "depth", "stack", "hyperparameters", "init", "recurrent_dropout",
    "weight_drop", "zoneout", "backend",
)  # fmt: skip
"""Settings of the classifier's that are the language model's, where they are not the defaults."""
_PLAIN = ModelConfig()


def with_encoder(
    asked: ClassifyConfig,
    text: str,
    own: Iterable[str],
    folder: Path | None,
    on_event: OnEvent | None,
) -> ClassifyConfig:
    """The settings with a language model to begin with, and the minutes that it leaves.

    Args: as for `pretrained`, which trains it or finds it trained already.
    """
    began = time.perf_counter()
    encoder, before = pretrained(asked, text, own, folder, on_event)
    minutes = asked.training.minutes
    if minutes is not None:
        spent = (before + time.perf_counter() - began) / 60
        minutes = _decided(folder, max(minutes - spent, _LEAST * minutes))
    return asked.model_copy(
        update={
            "model": asked.model.model_copy(update={"encoder": encoder}),
            "training": asked.training.model_copy(update={"minutes": minutes}),
        }
    )


def _decided(folder: Path | None, minutes: float) -> float:
    """The minutes that are left, as they were when the classifier's training first began.

    Its schedule is laid out for them; a resumed run has the same.
    """
    if folder is None:
        return minutes
    path = folder / _LEFT
    if path.exists():
        return float(read_json(path)["minutes"])
    write_json(path, {"minutes": minutes})
    return minutes


def as_asked(config: ClassifyConfig, asked: ClassifyConfig) -> ClassifyConfig:
    """The settings of a run with the encoder and the minutes that were asked for.

    So they stand in config.yaml: a run that is begun or resumed with it trains its language model,
    or finds it, and shares the minutes out as the first one did.
    """
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"encoder": asked.model.encoder}),
            "training": config.training.model_copy(update={"minutes": asked.training.minutes}),
        }
    )


def pretrained(
    config: ClassifyConfig,
    text: str,
    own: Iterable[str],
    folder: Path | None,
    on_event: OnEvent | None,
) -> tuple[str, float]:
    """The folder of a language model that was trained on `text` and tuned on `own`.

    Args:
        config: the classifier's settings; its tokeniser, seed, minutes and sizes count here too.
        text: a file or a folder of running text; "-" is standard input.
        own: the texts that are to be classified.
        folder: the classifier's run; when it keeps none, a temporary folder that is removed when
            Python ends.
        on_event: is told what happens.

    Returns:
        The folder, and the seconds that stages took which an earlier, interrupted run finished.

    Raises:
        ConfigError: settings that no language model has. Otherwise as `LanguageModel.fit`.
    """
    _check(config.model)
    base = folder or _temporary()
    texts = list(own)
    plan = _Plan(config, base, texts, _corpus(text, config.data.text, base))
    say = notes_to(on_event)
    if plan.alone:
        say(f"{text} is the task's own text: the language model is not tuned on it once more")
    stages = plan.stages()
    earlier = sum(map(_finished, stages))
    for stage in stages:
        _train(stage, on_event)
    return str(stages[-1].place), earlier


@dataclass(frozen=True)
class _Stage:
    """A language model to train.

    Attributes:
        place: its run.
        source: the text.
        settings: those of the language model.
    """

    place: Path
    source: str
    settings: dict[str, Any]


class _Plan:
    """What is trained on what; makes the files and the tokeniser that the stages need.

    Args:
        config: the classifier's settings.
        base: where the runs and files go.
        texts: those that are to be classified.
        corpus: the text at large.
    """

    def __init__(
        self, config: ClassifyConfig, base: Path, texts: Sequence[str], corpus: Corpus
    ) -> None:
        self.config, self.base, self.corpus = config, base, corpus
        documents = same_documents(corpus, texts)
        self.alone = documents is not None
        self.lines = shuffled(documents or map(_line, texts), config.training.seed)
        self.own = base / "own.txt"
        write_text(self.own, "\n\n".join(self.lines) + "\n")
        self.tokeniser_config = _levelled(config.data.tokeniser, texts)

    def stages(self) -> tuple[_Stage, ...]:
        """The stages in order."""
        first, second = self.base / GENERAL, self.base / TUNED
        own = Corpus(str(self.own), documents="paragraph")
        if self.alone:
            return (self._stage(first, own, None, sum(SHARES), sum(_PASSES)),)
        return (
            self._stage(first, self.corpus, None, SHARES[0], _PASSES[0]),
            self._stage(second, own, str(first), SHARES[1], _PASSES[1]),
        )

    def _stage(
        self, place: Path, corpus: Corpus, start: str | None, share: float, passes: int
    ) -> _Stage:
        minutes = self.config.training.minutes
        tokeniser, characters = self._tokeniser, _characters(corpus)
        tokens = max(1.0, characters * _density(tokeniser, self.lines))
        often = passes if minutes is None else share * minutes * _A_MINUTE / tokens
        dropout = 0.1 if often < _MANY_PASSES else 0.3
        training = {
            "seed": self.config.training.seed,
            "device": self.config.training.device,
            "devices": self.config.training.devices,
            "epochs": passes if minutes is None else 50,
            "minutes": None if minutes is None else share * minutes,
        }
        if start is not None:
            training["lr"] = _TUNING_RATE
        if "precision" in self.config.training.model_fields_set:
            training["precision"] = self.config.training.precision
        asked = {name: getattr(self.config.model, name) for name in _CARRIED}
        # The recipe drops states of letters that are read twenty times; here few passes are made.
        model: dict[str, Any] = {"recurrent_dropout": 0.0}
        model |= {name: value for name, value in asked.items() if value != getattr(_PLAIN, name)}
        model |= {"start": start, "layer_dropout": dropout, "output_dropout": dropout}
        model["input_dropout"] = dropout
        model["embedding_dropout"] = 0.0 if often < _MANY_PASSES else 0.1
        if tokeniser.size >= MANY:
            model |= {"tied": True, "embedding": self.config.model.embedding}
        if tokeniser.size >= _SAMPLED:
            model["softmax"] = "sampled"
        settings = {
            "valid": min(0.1, _MOST_VALID / tokens),
            "data": {
                "text": corpus.text,
                "documents": corpus.documents,
                "tokeniser": self.tokeniser_config.model_dump(),
            },
            "model": model,
            "floor": {"measure": False},
            "training": training,
        }
        return _Stage(place, corpus.path, settings)

    @property
    def _tokeniser(self) -> Tokeniser:
        """The tokeniser of both texts, which the first stage finds in its folder."""
        place = self.base / GENERAL
        corpus = Corpus(str(self.own), documents="paragraph") if self.alone else self.corpus
        fingerprint = encode_corpus(corpus, _Uncut()).fingerprint
        if (place / PREPARED).exists():
            if read_json(place / PREPARED).get("text") != fingerprint:
                raise RunError(
                    "the language model in it was begun with another text.",
                    where=str(self.base),
                    hint="Give the same text, or begin a new run with another --out.",
                )
            return load_tokeniser(place)
        texts = corpus.texts() if self.alone else chain(self.lines, corpus.texts())
        tokeniser = build_tokeniser(texts, self.tokeniser_config)
        tokeniser.save(place)
        write_json(place / PREPARED, {"text": fingerprint})
        return tokeniser


class _Uncut:
    """No pieces at all: a text is read for its fingerprint and its length."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """No number for any text."""
        return [[] for _ in texts]


def _characters(corpus: Corpus) -> int:
    return sum(len(passage.text) for passage in corpus)


def _density(tokeniser: Tokeniser, texts: Sequence[str]) -> float:
    """Tokens a character, by some of the texts."""
    some = texts[:: max(1, len(texts) // 200)]
    return sum(map(len, tokeniser.encode_batch(some))) / max(1, sum(map(len, some)))


def _finished(stage: _Stage) -> float:
    """The seconds that a stage took which is finished; 0 for another."""
    if not (stage.place / run.MANIFEST).exists():
        return 0.0
    return float(read_json(stage.place / "result.json")["seconds"])


def _train(stage: _Stage, on_event: OnEvent | None) -> None:
    """Trains a stage to its end, from where it was interrupted."""
    if (stage.place / run.MANIFEST).exists():
        return
    begun = run.holds_run(stage.place)
    # What was decided in the beginning stands in the run.
    settings = run.read_yaml(stage.place / "config.yaml") if begun else stage.settings
    told = _without_end(on_event)
    LanguageModel(config=settings).fit(stage.source, out=stage.place, resume=begun, on_event=told)


def _check(model: ModelConfig) -> None:
    """Refuses what a language model cannot have.

    Raises:
        ConfigError: it is asked for.
    """
    wrong = {"vectors": model.vectors is not None, "layer_norm": model.layer_norm is not None}
    for name, asked in (wrong | {"stack": model.stack == "residual"}).items():
        if asked:
            raise ConfigError(
                f"got {name} {getattr(model, name)!r}, which a language model does not have.",
                where=f"model.{name}",
                hint="Leave it out, or train without pre-training.",
            )


def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="elman-pretraining-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _corpus(text: str, column: str | None, base: Path) -> Corpus:
    """The text to pre-train on; standard input is kept, since it is read several times."""
    if text == "-":
        kept = base / "text.txt"
        if not kept.exists():
            write_text(kept, "".join(passage.text for passage in Corpus(text)))
        return Corpus(str(kept))
    # Of a folder that is parted the language model reads the training part, and so does its
    # tokeniser.
    files = tuple(parts_of(Path(text)).get("train", ())) if Path(text).is_dir() else ()
    named = Corpus(text, column, files=files)
    if column is None:
        return named
    try:
        next(iter(named))
    except DataError:  # the column of the task's file, which this one need not have
        return Corpus(text, files=files)
    return named


def same_documents(corpus: Corpus, own: Iterable[str]) -> list[str] | None:
    """The documents of a text, a line each, if it is the task's own; None if it is another.

    It is the same when the texts to be classified make up half of it at least, and half of them
    stand in it. Reading ends as soon as it is too long for that.

    Args:
        corpus: rows with a text, or lines.
        own: the texts to be classified.
    """
    lines = [_line(text) for text in own]
    wanted, size = set(lines), sum(map(len, lines))
    found: list[str] = []
    total = known = 0
    for passage in corpus:
        whole = _line(passage.text)
        for line in [whole] if whole in wanted else map(_line, passage.text.splitlines()):
            total += len(line)
            known += len(line) if line in wanted else 0
            if line:
                found.append(line)
        if total > 2 * size:
            return None
    return found if 2 * known >= max(total, size) else None


def shuffled(lines: Iterable[str], seed: int) -> list[str]:
    """Those with something in them, in an order that only the seed decides.

    Files are often sorted by class; the share that is held out would be of one class.
    """
    kept = [line for line in lines if line]
    order = np.random.default_rng([seed, 0x0E17]).permutation(len(kept))
    return [kept[place] for place in order]


def _line(text: str) -> str:
    return " ".join(text.split())


def _levelled(config: TokeniserConfig, texts: Iterable[str]) -> TokeniserConfig:
    """The tokeniser's settings with the level that the classifier would take without an encoder."""
    if config.level != "auto":
        return config
    sample: list[str] = []
    letters = 0
    for text in texts:
        sample.append(text)
        letters += len(text)
        if len(sample) >= _TEXTS or letters >= _LETTERS:
            break
    return config.model_copy(update={"level": choose_level(sample)})


def _without_end(on_event: OnEvent | None) -> Callable[[Event], None] | None:
    """What a stage tells, but not that everything is finished."""
    if on_event is None:
        return None

    def told(event: Event) -> None:
        if type(event).__name__ != "Finished":
            on_event(event)

    return told
