"""The text classifier: from a file of labelled texts to a trained, measured and saved model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from elman.cells import Cell, find
from elman.data import k_folds, read_vectors
from elman.errors import ConfigError, DataError, ElmanError, RunError
from elman.files import write_json
from elman.tasks import run
from elman.tasks.blend import Blend, Scores, fit_blend
from elman.tasks.classify_config import ClassifyConfig, check_cell, configured
from elman.tasks.classify_training import ClassifierTraining, settled
from elman.tasks.fitted import Fitted, load_fitted, outputs_for
from elman.tasks.measurement import averaged, document, measured
from elman.tasks.network import TextClassifier
from elman.tasks.preparation import Prepared, Source, prepare
from elman.tasks.pretraining import with_encoder
from elman.tasks.result import CrossValidation, Evaluation, FewShot, Prediction, Result
from elman.tasks.run_command import command
from elman.tasks.settings import checked
from elman.tasks.shots import SHOTS, few_shot, plan_shots, settings_to_keep, without_blend
from elman.tasks.texts import LabelledTexts, facts, read_labelled
from elman.tasks.transfer import check_encoder, language_network
from elman.training import Event, fit, notes_to

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
        self.config = configured(*self._given)
        self._cell = cell if isinstance(cell, Cell) else None
        self._fitted: Fitted | None = None
        self._document: Mapping[str, Any] | None = None
        check_cell(self._recurrence(), self.config)

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
        folder = self._open(out, resume)
        self._pretrain(data, folder, on_event)
        check_encoder(self.config.model)
        made = prepare(self.config, data, valid, folder, say)
        self._settle(made, folder)
        test_texts = self._read_test(test, made)
        fitted = self._build(made, say)
        self._train(fitted, made, folder, resume, on_event)
        unseen = (fitted.network_scores(made.numbers_valid, made.own), made.floor_scores())
        fitted.blend = _blend(fitted, made, *unseen)
        self._fitted = fitted
        seed = self.config.training.seed
        if test_texts is None:
            evaluation = measured(fitted, made.valid, "valid", seed, unseen)
        else:
            evaluation = measured(fitted, test_texts, "test", seed)
        self._document = self._describe(made, evaluation, folder, start)
        if folder is not None:
            self._write(folder)
        return Result(self, evaluation, self._document, folder)

    def evaluate(
        self, data: Source, *, text: str | None = None, label: str | None = None
    ) -> Evaluation:
        """Measures on labelled texts, beside the floor on the same rows.

        Args:
            data: a file or folder of labelled texts.
            text, label: its columns; those of the training file unless named.

        Raises:
            DataError: the data cannot be used or has a label that was not trained.
        """
        fitted = self._trained()
        texts = data if isinstance(data, LabelledTexts) else self._labelled(data, text, label)
        return measured(fitted, texts, "test", self.config.training.seed)

    def predict(self, texts: str | Iterable[str]) -> list[Prediction]:
        """The label of each text, with the probabilities of every class."""
        fitted = self._trained()
        given = [texts] if isinstance(texts, str) else list(texts)
        wrong = next((text for text in given if not isinstance(text, str)), None)
        if wrong is not None:
            raise DataError(f"got {wrong!r} ({type(wrong).__name__}), wanted texts.")
        probabilities = fitted.blend.probabilities(*fitted.scored(given))
        labels = fitted.labels(probabilities)
        return [
            Prediction(
                text,
                tuple(label) if fitted.several else (label,),
                dict(zip(fitted.classes, map(float, row), strict=True)),
                fitted.several,
            )
            for text, label, row in zip(given, labels, probabilities, strict=True)
        ]

    def cross_validate(
        self, data: Source, folds: int = 5, *, on_event: OnEvent | None = None
    ) -> CrossValidation:
        """Trains `folds` times, each time measured on rows it has not seen.

        Raises:
            ConfigError: fewer than two folds, or more than rows.
        """
        whole = data if isinstance(data, LabelledTexts) else read_labelled(data, self.config.data)
        say = notes_to(on_event)
        measurements: list[Evaluation] = []
        for number, (kept, off) in enumerate(
            k_folds(whole.labels, folds, self.config.training.seed), start=1
        ):
            say(f"fold {number} of {folds}")
            task = Classifier(config=self.config, cell=self._cell)
            result = task.fit(whole.select(kept), test=whole.select(off), on_event=on_event)
            measurements.append(result.evaluation)
        return averaged(measurements)

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
        folder = self._open(out, resume)
        self.config = without_blend(self.config)
        plan = plan_shots(self.config, data, (valid, test), shots, seeds, notes_to(on_event))
        if folder is not None:
            run.write_config(folder, settings_to_keep(self.config))
        self._pretrain(plan.train, folder, on_event)
        return few_shot(
            plan, self.config, lambda c: Classifier(config=c, cell=self._cell), folder, on_event
        )

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
        task._fitted = load_fitted(path, config, task._recurrence())
        result = path / "result.json"
        task._document = run.read_json(result) if result.exists() else None
        return task

    # The steps of `fit`, in order.

    def _open(self, out: str | PathLike[str] | None, resume: bool) -> Path | None:
        if out is None:
            if resume:
                raise ConfigError("resume needs the run to continue.", hint="Name it with out=.")
            return None
        folder = Path(out)
        if resume:
            self._resume_settings(folder)
            return folder
        run.create(folder)
        return folder

    def _pretrain(self, data: Source, folder: Path | None, on_event: OnEvent | None) -> None:
        """Trains the language model to begin with, and leaves the rest of the minutes."""
        model = self.config.model
        if model.encoder is not None:
            run.verify_language_model(Path(model.encoder))
        if model.pretrain is None or model.encoder is not None:
            return
        whole = data if isinstance(data, LabelledTexts) else read_labelled(data, self.config.data)
        self.config = with_encoder(self.config, model.pretrain, whole.texts(), folder, on_event)

    def _settle(self, made: Prepared, folder: Path | None) -> None:
        """Decides what depends on the data, and writes the settings down."""
        self.config = settled(self.config, len(made.train), made.tokeniser.level)
        if folder is not None:
            run.write_config(folder, self.config.model_dump(mode="json"))

    def _resume_settings(self, folder: Path) -> None:
        if not (folder / "config.yaml").exists():
            if (folder / "environment.json").exists():  # stopped before training began
                return
            raise RunError(
                f'there is no run to resume in "{folder}".', hint="Train without --resume first."
            )
        saved = run.read_yaml(folder / "config.yaml")
        preset, config, common = self._given
        if preset not in ("default", saved.get("preset")):
            raise ConfigError(f'the run was begun with the preset "{saved.get("preset")}".')
        named = config.model_dump() if isinstance(config, ClassifyConfig) else config
        self.config = configured("default", {**saved, **(named or {})}, common)

    def _read_test(self, test: Source | None, made: Prepared) -> LabelledTexts | None:
        if test is None or isinstance(test, LabelledTexts):
            return test
        return read_labelled(test, self.config.data, columns=made.columns, several=made.several)

    def _build(self, made: Prepared, say: Callable[[str], None]) -> Fitted:
        model = self.config.model
        torch.manual_seed(self.config.training.seed)
        vectors = None
        if model.vectors is not None:
            vectors = read_vectors(model.vectors, made.tokeniser.vocabulary)
            say(
                f"vectors: {vectors.found} of {made.tokeniser.size - 2} words found "
                f"({100 * vectors.coverage:.1f} %), {vectors.dim} numbers each"
            )
        network = TextClassifier(
            model,
            self._recurrence(),
            made.tokeniser.size,
            outputs_for(made.classes, made.several),
            dimension=None if vectors is None else vectors.dim,
            pieces=made.tokeniser.vocabulary,
            encoder=None if model.encoder is None else language_network(model.encoder),
        )
        if vectors is not None:
            network.take_vectors(torch.from_numpy(vectors.matrix), freeze=model.freeze_vectors)
        return Fitted(
            self.config,
            network,
            made.tokeniser,
            made.classes,
            made.several,
            made.columns,
            Blend(several=made.several),
            made.floors,
        )

    def _train(
        self,
        fitted: Fitted,
        made: Prepared,
        folder: Path | None,
        resume: bool,
        on_event: OnEvent | None,
    ) -> None:
        blended = made.floor_scores() if self.config.floor.blend else None
        trainable = ClassifierTraining(
            fitted.network,
            made.numbers_train,
            made.numbers_valid,
            blended,
            self.config,
            None if made.owners is None or made.own is None else (made.owners, made.own),
        )
        settings = self.config.model_dump(mode="json", exclude={"training"})
        fit(
            trainable,
            self.config.training,
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
        return document(fitted, name, data, evaluation, seconds, command())

    def _write(self, folder: Path) -> None:
        fitted = self._trained()
        files = fitted.save(folder)
        if self._document is not None:
            write_json(folder / "result.json", dict(self._document))
        run.seal(folder, files)

    def _recurrence(self) -> Cell:
        if self._cell is not None:
            return self._cell
        try:
            return find(self.config.model.cell)
        except ElmanError as error:
            raise ConfigError(error.message, where="model.cell", hint=error.hint) from error

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise ConfigError("this classifier is not trained.", hint="Call fit or elman.load.")
        return self._fitted

    def _labelled(
        self, data: str | PathLike[str], text: str | None, label: str | None
    ) -> LabelledTexts:
        fitted = self._trained()
        config = self.config.data.model_copy(
            update={"text": text or self.config.data.text, "label": label or self.config.data.label}
        )
        return read_labelled(data, config, columns=fitted.columns, several=fitted.several)


def _blend(fitted: Fitted, made: Prepared, network: Scores, floor: Scores | None) -> Blend:
    blended = floor if fitted.config.floor.blend else None
    targets = made.numbers_valid.targets(range(len(made.valid)))
    return fit_blend(network, blended, targets, several=made.several)
