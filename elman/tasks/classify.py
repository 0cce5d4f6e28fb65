"""The text classifier: from a file of labelled texts to a trained, measured and saved model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from elman.cells import Cell, find
from elman.errors import ConfigError, ElmanError
from elman.files import write_json
from elman.tasks import reading, run
from elman.tasks.building import blended, built
from elman.tasks.classify_config import ClassifyConfig, check_cell, configured
from elman.tasks.classify_training import ClassifierTraining, settled
from elman.tasks.cross_validation import cross_validated
from elman.tasks.fitted import Fitted, load_fitted
from elman.tasks.measurement import document, measured
from elman.tasks.predictions import predictions
from elman.tasks.preparation import Prepared, Source, prepare, read_training
from elman.tasks.pretraining import as_asked, with_encoder
from elman.tasks.result import CrossValidation, Evaluation, FewShot, Prediction, Result
from elman.tasks.resuming import resumed
from elman.tasks.run_command import command
from elman.tasks.settings import checked
from elman.tasks.shots import SHOTS, few_shot, plan_shots, settings_to_keep, without_blend
from elman.tasks.texts import LabelledTexts, facts, read_labelled
from elman.tasks.transfer import check_encoder
from elman.tasks.validation_part import as_setting
from elman.training import Event, check_extras, fit, notes_to

OnEvent = Callable[[Event], None]


class Classifier:
    """A recurrent classifier of texts.

    Args:
        preset: a recipe by name; see `elman.tasks.PRESETS`.
        config: settings over the preset: a nested mapping, dotted names, or a whole
            `ClassifyConfig`.
        cell: a cell of the catalogue by name, or a cell of your own.
        common: short names of common settings: hidden, depth, bidirectional, vectors, epochs,
            minutes, seed, device, devices.

    `Classifier().fit("reviews.csv")` trains and gives a `Result`; afterwards `predict`, `evaluate`
    and `save` work. `elman.load(folder)` brings a saved one back.

    Raises:
        ConfigError: a setting that does not exist or an impossible value.
    """

    def __init__(
        self,
        preset: str = "default",
        config: ClassifyConfig | Mapping[str, Any] | None = None,
        *,
        cell: str | Cell | None = None,
        **common: Any,
    ) -> None:
        name = cell.name if isinstance(cell, Cell) else cell
        self._given = (preset, config, {**common, "cell": name})
        self._asked = configured(*self._given)
        self._cell = cell if isinstance(cell, Cell) else None
        self._fitted: Fitted | None = None
        self._document: Mapping[str, Any] | None = None
        check_cell(self._recurrence(self._asked), self._asked)

    @property
    def config(self) -> ClassifyConfig:
        """The settings: those of the last fit, its decisions on the data included, or as given."""
        return self._asked if self._fitted is None else self._fitted.config

    def fit(
        self,
        data: Source,
        *,
        valid: Source | float | None = None,
        test: Source | None = None,
        out: str | PathLike[str] | None = None,
        resume: bool = False,
        on_event: OnEvent | None = None,
    ) -> Result:
        """Trains on labelled texts and measures the result beside its floor.

        Args:
            data: a file, a folder, or "-" for standard input.
            valid: a file to validate on, or the share of `data` to hold out for it.
            test: a file to measure on at the end; without one the validation part is measured.
            out: the run directory to write; without one nothing is kept.
            resume: go on with the run in `out`, with its settings.
            on_event: is told what happens (`elman.training.Event`).

        Raises:
            DataError: the data cannot be used. RunError: the folder cannot. TrainingError: the
                training failed or was interrupted.
        """
        start = time.perf_counter()
        say = notes_to(on_event)
        folder, asked = self._open(out, resume, valid)
        config = self._pretrain(asked, data, folder, on_event)
        check_encoder(config.model)
        made = prepare(config, data, valid, folder, say)
        config = settled(config, len(made.train), made.tokeniser.level, made.networks)
        kept = as_asked(config, asked)
        if folder is not None and not run.has_config(folder):
            run.write_config(folder, kept.model_dump(mode="json"))
        test_texts = self._read_test(test, config, made)
        fitted = built(config, self._recurrence(config), made, say)
        self._train(fitted, kept, made, folder, resume, on_event)
        fitted.config = kept
        unseen = (fitted.network_scores(made.numbers_valid, made.own), made.floor_scores())
        fitted.blend = blended(fitted, made, *unseen)
        self._fitted = fitted
        seed = kept.training.seed
        if test_texts is None:
            evaluation = measured(fitted, made.valid, "valid", seed, unseen)
        else:
            evaluation = measured(fitted, test_texts, "test", seed)
        self._document = self._describe(made, evaluation, folder, start)
        if folder is not None:
            self._write(folder)
        return Result(self, evaluation, self._document, folder)

    def evaluate(
        self,
        data: Source,
        *,
        text: str | None = None,
        label: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Measures on labelled texts, beside the floor on the same rows.

        Args:
            data: a file or folder of labelled texts.
            text, label: its columns; those of the training file unless named.
            settings: `data.*` settings over the run's, for a file that is written otherwise.

        Raises:
            DataError: the data cannot be used or has a label that was not trained.
        """
        fitted = self._trained()
        if not isinstance(data, LabelledTexts):
            data = reading.labelled(fitted, data, {"text": text, "label": label}, settings)
        return measured(fitted, data, "test", self.config.training.seed)

    def read(
        self,
        data: str | PathLike[str],
        *,
        text: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Iterator[str]:
        """The texts to predict in a file or "-", read as the training file was; see `evaluate`."""
        return reading.texts_in(self._trained(), data, text, settings)

    def predict(self, texts: str | Iterable[str]) -> list[Prediction]:
        """The label of each text, with the probabilities of every class."""
        return predictions(self._trained(), texts)

    def cross_validate(
        self,
        data: Source,
        folds: int = 5,
        *,
        out: str | PathLike[str] | None = None,
        on_event: OnEvent | None = None,
    ) -> CrossValidation:
        """Trains `folds` times, each time measured on rows it has not seen.

        Args:
            data, out, on_event: as for `fit`; the run holds what was measured and no model.
            folds: how many parts the rows are cut into; they share the minutes.

        Raises:
            ConfigError: fewer than two folds, or more than rows. Otherwise as `fit`.
        """
        folder, asked = self._open(out, False, None)
        say = notes_to(on_event)
        whole = data if isinstance(data, LabelledTexts) else read_training(data, asked, say)
        return cross_validated(whole, folds, asked, self._like, folder, on_event)

    def few_shot(
        self,
        data: Source,
        *,
        valid: Source | float | None = None,
        test: Source | None = None,
        shots: Iterable[int] = SHOTS,
        seeds: int = 3,
        out: str | PathLike[str] | None = None,
        resume: bool = False,
        on_event: OnEvent | None = None,
    ) -> FewShot:
        """A learning curve over few labelled examples, from scratch and with an encoder.

        Args:
            data, valid, test, out, resume, on_event: as for `fit`.
            shots: the numbers of examples that are drawn from the training part.
            seeds: how many samples of each are drawn and trained on.

        Raises:
            ConfigError: no number of examples is possible. Otherwise as `fit`.
        """
        folder, asked = self._open(out, resume, valid)
        asked = without_blend(asked)
        plan = plan_shots(asked, data, (valid, test), shots, seeds, notes_to(on_event))
        if folder is not None:
            run.write_config(folder, settings_to_keep(asked))
        config = self._pretrain(asked, plan.train, folder, on_event)
        return few_shot(plan, config, self._like, folder, on_event)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes a run directory that `elman.load` and every verb of the command line take.

        Raises:
            RunError: the folder holds a run already.
        """
        self._trained()
        path = Path(folder)
        run.create(path)
        self._write(path)
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str], *, cell: Cell | None = None) -> Classifier:
        """The classifier in a run directory; a cell of your own must be given again.

        Raises:
            RunError: there is no finished, undamaged run of a classifier.
        """
        path = Path(folder)
        run.verify(path)
        config = checked(ClassifyConfig, run.read_yaml(path / "config.yaml"), str(path))
        task = cls(config=config, cell=cell)
        task._fitted = load_fitted(path, config, task._recurrence(config))
        result = path / "result.json"
        task._document = run.read_json(result) if result.exists() else None
        return task

    def _like(self, config: ClassifyConfig) -> Classifier:
        """One of other settings, with the same cell."""
        return Classifier(config=config, cell=self._cell)

    # The steps of `fit`, in order.

    def _open(
        self, out: str | PathLike[str] | None, resume: bool, valid: Source | float | None
    ) -> tuple[Path | None, ClassifyConfig]:
        """The run's folder and the settings that it is trained with."""
        part = as_setting(valid)
        asked = self._asked if part is None else self._asked.model_copy(update={"valid": part})
        if out is None:
            if resume:
                raise ConfigError("resume needs the run to continue.", hint="Name it with out=.")
            return None, asked
        folder = Path(out)
        if resume:
            asked = resumed(folder, self._given, valid) or asked
        check_extras(asked.training)
        if not resume:
            run.create(folder)
        return folder, asked

    def _pretrain(
        self, asked: ClassifyConfig, data: Source, folder: Path | None, on_event: OnEvent | None
    ) -> ClassifyConfig:
        """The settings with the language model to begin with, which is trained where asked for."""
        model = asked.model
        if model.encoder is not None:
            run.verify_language_model(Path(model.encoder))
        if model.pretrain is None or model.encoder is not None:
            return asked
        whole = data if isinstance(data, LabelledTexts) else read_labelled(data, asked.data)
        return with_encoder(asked, model.pretrain, whole.texts(), folder, on_event)

    def _read_test(
        self, test: Source | None, config: ClassifyConfig, made: Prepared
    ) -> LabelledTexts | None:
        if test is None or isinstance(test, LabelledTexts):
            return test
        return read_labelled(test, config.data, columns=made.columns, several=made.several)

    def _train(
        self,
        fitted: Fitted,
        kept: ClassifyConfig,
        made: Prepared,
        folder: Path | None,
        resume: bool,
        on_event: OnEvent | None,
    ) -> None:
        config = fitted.config
        beside = made.floor_scores() if config.floor.blend else None
        trainable = ClassifierTraining(
            fitted.network,
            made.numbers_train,
            made.numbers_valid,
            beside,
            config,
            None if made.owners is None or made.own is None else (made.owners, made.own),
        )
        settings = kept.model_dump(mode="json", exclude={"training"})
        fit(
            trainable,
            config.training,
            directory=folder,
            on_event=on_event,
            resume=resume,
            extra_state={"settings": settings, "data": made.train.examples.fingerprint()},
        )
        fitted.network.cpu().eval()

    def _describe(
        self,
        made: Prepared,
        evaluation: Evaluation,
        folder: Path | None,
        start: float,
    ) -> dict[str, Any]:
        fitted = self._trained()
        data = {
            "train": facts(made.train, made.numbers_train, made.tokeniser),
            "valid": facts(made.valid, made.numbers_valid, made.tokeniser, **made.split_facts()),
            "test": evaluation.data if evaluation.facts["split"] == "test" else None,
        }
        name = folder.name if folder is not None else "classify"
        seconds = time.perf_counter() - start
        citation = self._recurrence(fitted.config).citation
        return document(fitted, name, data, evaluation, seconds, command(), citation)

    def _write(self, folder: Path) -> None:
        fitted = self._trained()
        files = fitted.save(folder)
        if self._document is not None:
            write_json(folder / "result.json", dict(self._document))
        run.seal(folder, files)

    def _recurrence(self, config: ClassifyConfig) -> Cell:
        if self._cell is not None:
            return self._cell
        try:
            return find(config.model.cell)
        except ElmanError as error:
            raise ConfigError(error.message, where="model.cell", hint=error.hint) from error

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise ConfigError("this classifier is not trained.", hint="Call fit or elman.load.")
        return self._fitted
