"""`elman train`: from a data file to a run directory, with the floor beside the model."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import elman
from elman.cli.options import NONE, TrainOptions
from elman.cli.output import duration, number, show, show_json, table
from elman.cli.progress import watching
from elman.errors import ConfigError, ElmanError

if TYPE_CHECKING:
    from elman.training import Event

Shown = Callable[[Mapping[str, Any], Path, Path | None], None]

MEASURES = {
    "accuracy": "accuracy",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "weighted_f1": "weighted F1",
    "roc_auc": "ROC-AUC",
    "log_loss": "log loss",
    "ece": "calibration error",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How a classifier is measured: once, by cross-validation, or as a learning curve."""

    folds: Annotated[
        int | None, Parameter(help="Cross-validate with so many folds; no model is kept.")
    ] = None
    shots: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=1,
            help="A learning curve over so many labelled examples, as 10 30 100 or 10,30,100.",
        ),
    ] = ()
    shots_seeds: Annotated[
        int, Parameter(help="Samples of each number of examples.", show_default=True)
    ] = 3

    def check(self, valid: str | None, test: str | None, *, resume: bool) -> None:
        """Refuses what does not go together.

        Raises:
            ConfigError: it is asked for.
        """
        if self.folds is not None and self.shots:
            raise ConfigError("--folds and --shots are two ways to measure.", hint="Take one.")
        if self.folds is not None:
            _refuse_beside_folds(valid, test, resume)
        _numbers(self.shots)

    @property
    def kind(self) -> str:
        """What the run's folder is called after."""
        return "folds" if self.folds is not None else "shots" if self.shots else "classify"

    def run(
        self,
        task: elman.Classifier,
        data: str,
        on_event: Callable[[Event], None],
        asked: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Trains and measures: the document of the run. `asked` is what `fit` takes by name."""
        if self.folds is not None:
            found = task.cross_validate(data, self.folds, out=asked["out"], on_event=on_event)
            return found.summary()
        if self.shots:
            numbers = _numbers(self.shots)
            curve = task.few_shot(
                data, shots=numbers, seeds=self.shots_seeds, on_event=on_event, **asked
            )
            return curve.summary()
        return task.fit(data, on_event=on_event, **asked).summary()

    def show(self, document: Mapping[str, Any], folder: Path, report: Path | None) -> None:
        """Prints what came out."""
        shown: dict[str, Shown] = {
            "folds": show_folds, "shots": show_curve, "classify": _show_result
        }  # fmt: skip
        shown[self.kind](document, folder, report)


ONCE = Measuring()
"""One training, one measurement."""


def classify(
    data: Annotated[str, Parameter(help="The labelled texts, or - for standard input.")],
    /,
    *,
    valid: Annotated[
        str | None, Parameter(help="A file to validate on, or the share of DATA to keep for it.")
    ] = None,
    test: Annotated[str | None, Parameter(help="A file to measure on at the end.")] = None,
    preset: Annotated[
        str, Parameter(help="A recipe: default, bilstm-glove ...", show_default=True)
    ] = "default",
    text: Annotated[str | None, Parameter(help="The column of the texts.")] = None,
    label: Annotated[str | None, Parameter(help="The column of the classes.")] = None,
    bidirectional: Annotated[
        bool | None, Parameter(help="Read in both directions.", negative="--no-bidirectional")
    ] = None,
    vectors: Annotated[
        str | None, Parameter(help="Word vectors to start from: GloVe, word2vec, fastText text.")
    ] = None,
    encoder: Annotated[
        str | None, Parameter(help="The run of a language model to begin with.")
    ] = None,
    pretrain: Annotated[
        str | None, Parameter(help="Text that a language model learns first, to begin with.")
    ] = None,
    measuring: Measuring = ONCE,
    options: TrainOptions = NONE,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> None:
    """Train a classifier of texts and measure it beside its floor.

    DATA is CSV, TSV, JSON Lines, Parquet, a folder per class or fastText lines, compressed or
    not; delimiter, encoding and columns are found and shown. Any other setting is named as
    --section.key VALUE, for instance --model.pooling max or --training.lr 0.001; every setting
    stands in the run's config.yaml.
    """
    if encoder is not None and pretrain is not None:
        raise ConfigError(
            "--encoder and --pretrain both name a language model to go on from.", hint="Take one."
        )
    settings = options.settings(overrides, data__text=text, data__label=label)
    own = {"vectors": vectors, "encoder": encoder, "pretrain": pretrain}
    task = elman.Classifier(
        preset=preset, config=settings, **options.named(), **own, bidirectional=bidirectional
    )
    measuring.check(valid, test, resume=options.resume)
    folder = options.folder(measuring.kind, data)
    asked = {"valid": valid, "test": test, "out": folder, "resume": options.resume}
    with watching() as on_event:
        document = measuring.run(task, data, on_event, asked)
    finish(document, folder, json=options.json, show_result=measuring.show)


def _numbers(shots: tuple[str, ...]) -> list[int]:
    """`("10", "30,100")` -> `[10, 30, 100]`."""
    words = [word for part in shots for word in part.replace(",", " ").split()]
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise ConfigError(
            f"got {wrong!r}, wanted numbers of labelled examples such as 10 30 100.",
            where="--shots",
        )
    return [int(word) for word in words]


def _refuse_beside_folds(valid: str | None, test: str | None, resume: bool) -> None:
    """Refuses what has no meaning where every row is held out once.

    Raises:
        ConfigError: it is asked for.
    """
    told = {
        "--valid": (valid, "each fold is measured on rows of its own, and a share of the others "
                    "(the setting `valid`) chooses its weights"),
        "--test": (test, "each fold is measured on rows of its own"),
        "--resume": (resume or None, "folds are trained anew"),
    }  # fmt: skip
    for option, (given, why) in told.items():
        if given is not None:
            raise ConfigError(
                f"got {option} beside --folds, where {why}.", hint="Leave one of the two out."
            )


def show_measures(document: Mapping[str, Any]) -> None:
    """Prints the model's measures beside the floor's, and the comparison in words."""
    evaluation, floor = document["evaluation"], document.get("floor")
    beside = floor["metrics"] if floor else {}
    rows = [
        [title, number(evaluation["metrics"][key]), number(beside.get(key))]
        for key, title in MEASURES.items()
        if evaluation["metrics"].get(key) is not None
    ]
    where = f"{evaluation['split']}, {evaluation['rows']} rows"
    show(table(rows, head=[where, "model", "floor"]))
    if floor:
        show(f"The floor is {floor['name']}.")
        alone, share = evaluation.get("network_alone"), evaluation.get("floor_share")
        if share:
            show(
                f"The model adds both scores, the floor's with a weight of {share:.2f}; "
                f"the network alone has an accuracy of {number(alone)}."
            )
    comparison = document.get("comparison")
    if comparison:
        show(comparison["sentence"])


def finish(
    document: Mapping[str, Any],
    folder: Path,
    *,
    json: bool,
    show_result: Shown | None = None,
) -> None:
    """Writes the report of a finished training and prints what came out.

    Raises:
        ElmanError: the report could not be written; the result is printed before.
    """
    report: Path | None = None
    failure: ElmanError | None = None
    try:
        report = elman.diagnostics.write_report(folder)
    except ElmanError as error:
        failure = error
    if json:
        show_json(document)
    else:
        (show_result or _show_result)(document, folder, report)
    if failure is not None:
        raise ElmanError(
            f"the run is complete, but its report was not written: {failure}",
            hint=f"Write it later with `elman report {shlex.quote(str(folder))}`.",
        ) from failure


def _show_result(document: Mapping[str, Any], folder: Path, report: Path | None) -> None:
    show_measures(document)
    show_places(document, folder, report, "predict {run} 'your text'", "evaluate {run} other.csv")


def show_places(
    document: Mapping[str, Any], folder: Path, report: Path | None, *following: str
) -> None:
    """Prints where run and report lie, and what can be done next; `{run}` stands for the folder."""
    show()
    show(f"run     {folder}  ({duration(document['seconds'])})")
    if report:
        show(f"report  {report}")
    run = shlex.quote(str(folder))
    for place, words in enumerate(following):
        show(f"{'' if place else 'next':8}elman {words.replace('{run}', run)}")


def show_curve(document: Mapping[str, Any], folder: Path, report: Path | None) -> None:
    """Prints a learning curve: a row a number of labelled examples."""
    curve = document["shots"]
    kinds = {"scratch": "from scratch", "transfer": "with transfer", "floor": "floor"}
    shown = {key: title for key, title in kinds.items() if curve["points"][0][key]}
    rows = [
        [f"{point['shots']:,}", *(_mean_and_spread(point[key]) for key in shown)]
        for point in curve["points"]
    ]
    show(table(rows, head=["examples", *shown.values()]))
    measure = curve["measure"].replace("_", " ")
    seeds = len(curve["seeds"])
    show(
        f"{measure.capitalize()} on {curve['rows']:,} {curve['split']} rows, {seeds} "
        f"seed{'s' if seeds > 1 else ''}; weights chosen on {curve['choosing_rows']:,} rows."
    )
    show(document["sentence"])
    show_places(document, folder, report)


def show_folds(document: Mapping[str, Any], folder: Path, report: Path | None) -> None:
    """Prints mean and spread of the measures over the folds, beside the floor's mean."""
    found = document["folds"]
    mean, floor = found["mean"], found["floor_mean"] or {}
    rows = [
        [title, number(mean[key]), number(found["std"][key]), number(floor.get(key))]
        for key, title in MEASURES.items()
        if key in mean
    ]
    show(table(rows, head=[f"{found['k']} folds", "mean", "spread", "floor"]))
    show(document["sentence"])
    show_places(document, folder, report)


def _mean_and_spread(values: Sequence[float]) -> str:
    mean = number(fmean(values)) if values else "-"
    return f"{mean} ± {number(stdev(values))}" if len(values) > 1 else mean
