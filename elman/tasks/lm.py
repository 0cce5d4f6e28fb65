"""The language model: from a text to a trained, measured and saved model that writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from elman.cells import Cell, find
from elman.data import Tokeniser
from elman.data.corpus import EncodedCorpus, encode_corpus
from elman.decoding import Constraint, Constraints, Sampling
from elman.errors import ConfigError, DataError, ElmanError
from elman.files import write_json
from elman.tasks import run
from elman.tasks.lm_config import COMMON, MANY, PRESETS, LmConfig
from elman.tasks.lm_document import run_document
from elman.tasks.lm_drawing import Wanted
from elman.tasks.lm_files import FittedText, load_text
from elman.tasks.lm_generation import Chat, Token, beam, generate
from elman.tasks.lm_measurement import LmEvaluation, measured
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.lm_preparation import (
    LEVELS,
    PreparedText,
    Source,
    last_part,
    prepare_text,
    to_measure,
)
from elman.tasks.lm_training import LanguageTraining, token_losses
from elman.tasks.settings import layered
from elman.tasks.validation_part import own_part
from elman.training import Event, check_extras, fit, notes_to

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class LmResult:
    """What `fit` gives: the model, its measurement beside the floor's, and the run directory."""

    task: LanguageModel
    evaluation: LmEvaluation
    document: Mapping[str, Any]
    folder: Path | None


class LanguageModel:
    """A recurrent language model of characters, bytes, words or pieces of words.

    Args:
        preset: a recipe by name.
        config: settings over the preset: a nested mapping, dotted names, or an `LmConfig`.
        cell: a cell of the catalogue by name, or a cell of your own.
        common: short names: hidden, depth, level, tbptt, epochs, minutes, seed, device, devices.

    `LanguageModel().fit("input.txt")` trains and gives an `LmResult`; afterwards `generate`,
    `score`, `evaluate` and `save` work. `elman.load(folder)` brings a saved one back.

    Raises:
        ConfigError: a setting that does not exist or an impossible value.
    """

    def __init__(
        self,
        preset: str = "default",
        config: LmConfig | Mapping[str, Any] | None = None,
        *,
        cell: str | Cell | None = None,
        **common: Any,
    ) -> None:
        name = cell.name if isinstance(cell, Cell) else cell
        level = common.get("level")
        common["level"] = LEVELS.get(level, level) if level else None
        self._asked, self._preset = (config, {**common, "cell": name}), preset
        self.config = self._settings(preset)
        self._cell = cell if isinstance(cell, Cell) else None
        self._fitted: FittedText | None = None
        self._recurrence()

    def fit(
        self,
        data: Source,
        *,
        valid: Source | float | None = None,
        test: Source | float | None = None,
        out: str | PathLike[str] | None = None,
        resume: bool = False,
        on_event: OnEvent | None = None,
    ) -> LmResult:
        """Trains on running text and measures the result beside its floor.

        Args:
            data: a text file, a folder, JSON Lines, or "-" for standard input.
            valid, test: files, or shares of the text's end to hold out; without a test part the
                validation part is measured.
            out: the run directory to write; without one nothing is kept.
            resume: go on with the run in `out`, with its validation part.
            on_event: is told what happens.

        Raises:
            DataError: the data cannot be used. RunError: the folder cannot. TrainingError: the
                training failed or was interrupted.
        """
        begun = time.perf_counter()
        self.config = self._settings(self._preset)
        folder = self._open(out, resume)
        part = own_part(folder if resume else None, self.config, valid)
        if valid is None and part != LmConfig().valid:
            valid = part  # named in the settings or when the run was begun: taken as it is
        start = self.config.model.start
        before = None if start is None else LanguageModel.load(start)
        say = notes_to(on_event)
        made = prepare_text(self.config, data, valid, test, folder, say)
        self._suit(made.tokeniser.size, say)
        if before is not None:  # its sizes, our dropouts would be another model's
            model = before.config.model.model_copy(update={"start": start})
            self.config = self.config.model_copy(update={"model": model})
        config = self.config.model_copy(update={"valid": part})
        if folder is not None and not run.has_config(folder):
            run.write_config(folder, config.model_dump(mode="json"))
        fitted = self._fitted = self._build(made, before)
        fitted.config = config
        self._train(made, config, folder, resume, on_event)
        split = ("valid", made.valid) if made.test is None else ("test", made.test)
        evaluation = measured(fitted.network, split[1], fitted.floor, split=split[0])
        samples = {seed: self.generate(length=300, seed=seed) for seed in (1, 2)}
        document = run_document(
            fitted,
            made,
            evaluation,
            data=data,
            held={"valid": valid, "test": test},
            name="lm" if folder is None else folder.name,
            samples=samples,
            seconds=time.perf_counter() - begun,
        )
        if folder is not None:
            self._write(folder, document)
        return LmResult(self, evaluation, document, folder)

    def evaluate(
        self,
        data: Source,
        *,
        text: str | None = None,
        dynamic: bool = False,
        last: float | None = None,
    ) -> LmEvaluation:
        """Measures on a text, the state carried through all of it.

        Args:
            data: as for `fit`; of a folder with train, valid and test files the test part.
            text: the column of the text, of rows; by default that of the training.
            dynamic: the model goes on learning from what it has predicted (Krause et al. 2018).
            last: only this share of the text's end.
        """
        fitted = self._trained()
        source, split = to_measure(self.config.data, data, text)
        corpus = encode_corpus(source, fitted.tokeniser)
        if last is not None:
            corpus = last_part(corpus, last, source, fitted.tokeniser)
        return measured(fitted.network, corpus, fitted.floor, dynamic=dynamic, split=split)

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        stream: bool = False,
        seed: int = 1,
        stops: Sequence[str] = (),
        constraints: Sequence[Constraint] = (),
        required: Sequence[str] = (),
        ends: bool = True,
        weights: str | None = None,
        **sampling: Any,
    ) -> Any:
        """Text that goes on from the prompt.

        Args:
            prompt: in any language; the generated text does not repeat it.
            length: tokens at most.
            stream: give the tokens one by one as they are made (`Token`), not the whole text.
            seed: the same seed gives the same text.
            stops: strings that end the text and are left out.
            constraints: rules on the text; see `elman.decoding`.
            required: strings that the text holds, each where the model finds it likely.
            ends: whether the model may end the text itself.
            weights: how they are kept: "float32", "bfloat16", "int8".
            sampling: temperature, top_k, top_p, min_p, repetition_penalty, window.

        Raises:
            DataError: the prompt is made of unknown characters only, or no token is allowed.
            ConfigError: an impossible setting.
        """
        rules = Constraints(constraints)
        wanted = Wanted(
            length, Sampling(**sampling), rules, tuple(stops), ends, seed, tuple(required)
        )
        found = self._tokens(prompt, wanted, weights)
        if stream:
            return found
        return "".join(token.text for token in found)

    def _tokens(self, prompt: str, wanted: Wanted, weights: str | None) -> Iterator[Token]:
        fitted = self._trained()
        ids = self._prompt(prompt)
        return generate(fitted.network, fitted.tokeniser, ids, wanted, weights=weights)

    def chat(self, *, length: int = 200, seed: int = 1, **sampling: Any) -> Chat:
        """A dialogue with a model that was trained on dialogues: `chat.reply("Hello")`.

        Raises:
            ConfigError: it was not, or an impossible setting.
        """
        fitted = self._trained()
        if not fitted.dialogues:
            raise ConfigError(
                "this model was trained on plain text, wanted one that was trained on dialogues.",
                hint="Train it on JSON Lines with turns, or let it write without chat.",
            )
        wanted = Wanted(length, Sampling(**sampling), seed=seed)
        return Chat(fitted.network, fitted.tokeniser, wanted)

    def beam(
        self, prompt: str = "", *, width: int = 5, length: int = 100, penalty: float = 0.0
    ) -> list[tuple[str, float]]:
        """The most probable continuations with their log-probabilities, the best one first."""
        fitted = self._trained()
        return beam(
            fitted.network,
            fitted.tokeniser,
            self._prompt(prompt),
            width=width,
            length=length,
            penalty=penalty,
        )

    def score(self, text: str) -> list[Token]:
        """The log-probability of each token of a text, from a fresh start."""
        fitted = self._trained()
        ids = fitted.tokeniser.encode(text)
        if not ids:
            return []
        corpus = _corpus_of([0, *ids])
        losses = token_losses(fitted.network, corpus)
        names = fitted.pieces(ids)
        return [Token(*item) for item in zip(ids, names, (-losses).tolist(), strict=True)]

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes a run directory that `elman.load` and every verb of the command line take."""
        path = Path(folder)
        run.create(path)
        self._write(path, None)
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str], *, cell: Cell | None = None) -> LanguageModel:
        """The model in a run directory; a cell of your own must be given again.

        Raises:
            RunError: there is no finished, undamaged run. ConfigError: it is of another task.
        """
        path = Path(folder)
        run.verify_language_model(path)
        task = cls(config=run.read_yaml(path / "config.yaml"), cell=cell)
        task._fitted = load_text(path, task.config, task._recurrence())
        return task

    @property
    def network(self) -> LanguageNetwork:
        """The trained network."""
        return self._trained().network

    # -- the steps

    def _settings(self, preset: str) -> LmConfig:
        config, common = self._asked
        return layered(LmConfig, PRESETS, COMMON, preset, config, common)

    def _suit(self, kinds: int, say: Callable[[str], None]) -> None:
        """Takes the recipe of words for tokens of many kinds, unless a preset was named."""
        if self.config.preset == "default" and kinds >= MANY:
            self.config = self._settings("word")
            say(f"{kinds:,} kinds of tokens: the recipe is the preset word")

    def _open(self, out: str | PathLike[str] | None, resume: bool) -> Path | None:
        if out is None:
            if resume:
                raise ConfigError("resume needs the run to continue.", hint="Name it with out=.")
            return None
        folder = Path(out)
        check_extras(self.config.training)
        if not resume:
            run.create(folder)
        return folder

    def _train(
        self,
        made: PreparedText,
        config: LmConfig,
        folder: Path | None,
        resume: bool,
        on_event: OnEvent | None,
    ) -> None:
        network = self._trained().network
        trainable = LanguageTraining(network, made.train, made.valid, self.config, made.tokeniser)
        settings = config.model_dump(mode="json", exclude={"training"})
        fit(
            trainable,
            self.config.training,
            directory=folder,
            on_event=on_event,
            resume=resume,
            extra_state={"settings": settings, "data": made.train.fingerprint},
        )
        network.cpu().eval()

    def _build(self, made: PreparedText, before: LanguageModel | None) -> FittedText:
        torch.manual_seed(self.config.training.seed)
        tied = self.config.model.tied
        tied = made.tokeniser.size >= MANY if tied is None else tied
        tied = tied if before is None else before.network.tied
        form = self.config.model if before is None else before.network.config
        network = LanguageNetwork(form, self._recurrence(), made.tokeniser.size, tied=tied)
        if before is not None:
            network.load_state_dict(before.network.state_dict())
        floor = None if made.floor is None else (made.floor.name, made.floor.model)
        replies = made.train.counted is not None
        return FittedText(self.config, network, made.tokeniser, floor, replies)

    def _write(self, folder: Path, document: Mapping[str, Any] | None) -> None:
        files = self._trained().save(folder)
        if document is not None:
            write_json(folder / "result.json", dict(document))
        run.seal(folder, files)

    def _recurrence(self) -> Cell:
        if self._cell is not None:
            return self._cell
        try:
            return find(self.config.model.cell)
        except ElmanError as error:
            raise ConfigError(error.message, where="model.cell", hint=error.hint) from error

    def _trained(self) -> FittedText:
        if self._fitted is None:
            raise ConfigError("this model is not trained.", hint="Call fit or elman.load.")
        return self._fitted

    def _prompt(self, prompt: str) -> list[int]:
        tokeniser: Tokeniser = self._trained().tokeniser
        ids = tokeniser.encode(prompt) if prompt else []
        if ids and all(number == tokeniser.unknown_id for number in ids):
            raise DataError(
                f"the model knows nothing of the prompt {prompt[:40]!r}.",
                hint="Use words or characters that occur in its training text.",
            )
        return ids


def _corpus_of(ids: Sequence[int]) -> EncodedCorpus:
    import numpy as np

    return EncodedCorpus(np.array(ids, np.int32), 0, 1, len(ids), len(ids), 0, "")
