"""A learning curve over few labelled examples, with a language model to begin with and without.

What carrying over is worth shows where labels are few (Howard and Ruder 2018, figure 3). Samples of
the training part are stratified and nested: the 10 examples of a seed are among its 30. The
validation part stays whole for every number, as in that paper, and chooses the weights; so the
curve compares the two ways to begin, and is a little better than so few labels alone would allow.
The networks stand alone: with the floor's scores added, which are best where labels are few, both
would answer as the floor does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import elman
from elman.data import stratified_order
from elman.errors import ConfigError, DataError, did_you_mean
from elman.files import explain, write_json, write_text
from elman.tasks import run
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.preparation import PREPARED, Say, Source, read_training, same_data, split_off
from elman.tasks.result import Evaluation, FewShot, ShotPoint
from elman.tasks.run_command import command
from elman.tasks.texts import LabelledTexts, file_facts, read_labelled
from elman.tasks.transfer import beside_encoder
from elman.training import Event, Step, notes_to

if TYPE_CHECKING:
    from elman.tasks.classify import Classifier

SHOTS = (10, 30, 100, 300, 1000)
_CHOOSING = 500  # validation rows that choose the weights of each training, at most
SCRATCH, TRANSFER = "scratch", "transfer"

Line = Mapping[str, Any]


@dataclass(frozen=True)
class ShotsPlan:
    """What a curve is drawn from.

    Attributes:
        train: the rows that examples are drawn from.
        choosing: the rows that choose the weights of each training.
        measured: the rows that every training is measured on; `split` is what they are called.
        sizes: the numbers of examples, the smallest first.
        seeds: of the samples and of the trainings.
    """

    train: LabelledTexts
    choosing: LabelledTexts
    measured: LabelledTexts
    split: str
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]


def plan_shots(
    config: ClassifyConfig,
    data: Source,
    parts: tuple[Source | float | None, Source | None],
    shots: Iterable[int],
    seeds: int,
    say: Say,
) -> ShotsPlan:
    """Reads and splits the data and decides which numbers of examples there can be.

    Args:
        config: the settings; `training.seed` is the first of the seeds.
        data: the labelled texts to draw from.
        parts: what to validate on and what to measure on, as for `Classifier.fit`.
        shots: the numbers of examples; those that the data cannot give are left out, and said.
        seeds: how many samples are drawn and trained on.
        say: is told what was found.

    Raises:
        ConfigError: no seed, or no number of examples that is possible.
        DataError: the data cannot be used.
    """
    wanted = sorted(set(shots))
    if seeds < 1:
        raise ConfigError(f"got {seeds} seeds, wanted 1 or more.", where="seeds")
    if not wanted or wanted[0] < 1:
        got = wanted[0] if wanted else "none"
        raise ConfigError(f"got {got}, wanted numbers of examples of 1 or more.", where="shots")
    whole = data if isinstance(data, LabelledTexts) else read_training(data, config, say)
    columns = {name: whole.examples.facts.get(name) for name in ("text", "label")}
    train, held, *_ = split_off(config, whole, parts[0], columns)
    test = parts[1]
    if test is not None and not isinstance(test, LabelledTexts):
        test = read_labelled(test, config.data, columns=columns, several=whole.several)
    measured = held if test is None else test
    _check_labels(train, held, measured)
    least, most = len(train.counts()) + 1, len(train)
    sizes = tuple(size for size in wanted if least <= size <= most)
    found = f"the training part has {most:,} rows of {least - 1} classes"
    for size in wanted:
        if size not in sizes:
            say(f"{size:,} labelled examples are left out: {found}.")
    if not sizes:
        hint = f"Give numbers from {least} to {most}." if least <= most else None
        raise ConfigError(f"no number of examples is possible: {found}.", where="shots", hint=hint)
    first = config.training.seed
    order = stratified_order(held.labels, first)
    choosing = held.select(order[:_CHOOSING]) if len(held) > _CHOOSING else held
    split = "valid" if test is None else "test"
    return ShotsPlan(train, choosing, measured, split, sizes, tuple(range(first, first + seeds)))


def _check_labels(train: LabelledTexts, *others: LabelledTexts) -> None:
    """Says what would otherwise end the first training, after the language model was trained."""
    known = train.counts()
    for texts in others:
        strange = next((label for label in texts.counts() if label not in known), None)
        if strange is not None:
            raise DataError(
                f'the label "{strange}" does not occur in the training part.',
                where=str(texts.examples.facts.get("path")),
                hint=did_you_mean(strange, known),
            )


def without_blend(config: ClassifyConfig) -> ClassifyConfig:
    """The settings with the networks alone, unless the sum with the floor was asked for."""
    if "blend" in config.floor.model_fields_set:
        return config
    return config.model_copy(update={"floor": config.floor.model_copy(update={"blend": False})})


def settings_to_keep(config: ClassifyConfig) -> dict[str, Any]:
    """What `config.yaml` holds: what the number of rows decides is left open."""
    settings = config.model_dump(mode="json")
    if "epochs" not in config.training.model_fields_set:
        del settings["training"]["epochs"]
    if "passes" not in config.batch.model_fields_set:
        del settings["batch"]["passes"]
    if "precision" not in config.training.model_fields_set:
        del settings["training"]["precision"]
    return settings


def few_shot(
    plan: ShotsPlan,
    config: ClassifyConfig,
    make: Callable[[ClassifyConfig], Classifier],
    folder: Path | None,
    on_event: Callable[[Event], None] | None,
) -> FewShot:
    """Trains on every sample, with transfer too where the settings name an encoder, and measures.

    Args:
        plan: the rows.
        config: the settings; what is left of a budget of minutes is shared out equally among the
            trainings that are left.
        make: gives a classifier of some settings.
        folder: the run; each measurement is kept there as soon as it is made, and what is there
            already is not made again.
        on_event: is told each measurement, and the steps on the way.

    Raises:
        RunError: the folder's run was begun with other data.
    """
    start = time.perf_counter()
    say, steps = notes_to(on_event), _steps_only(on_event)
    kept = _Kept(plan, folder)
    measure = "micro_f1" if plan.train.several else "accuracy"
    lines: list[Line] = []
    trainings = list(_trainings(plan, config))
    for place, (seed, size, arm, settings) in enumerate(trainings):
        line = kept.found.get((seed, size, arm))
        if line is None:
            rows = plan.train.select(stratified_order(plan.train.labels, seed)[:size])
            began = time.perf_counter()
            task = make(_with_minutes(settings, lines, len(trainings) - place))
            done = task.fit(rows, valid=plan.choosing, test=plan.measured, on_event=steps)
            line = _line(seed, size, arm, done.evaluation, measure) | {
                "seconds": time.perf_counter() - began
            }
            if line["floor"] is None:  # it was measured beside the training from scratch
                line["floor"] = next((one["floor"] for one in lines if _same(one, line)), None)
            kept.add(line)
        told = "with transfer" if arm == TRANSFER else "from scratch"
        say(f"{size:,} examples, seed {seed}, {told}: {measure} {line['value']:.4f}")
        lines.append(line)
    points = tuple(_point(size, lines) for size in plan.sizes)
    document = _document(plan, config, points, lines, measure)
    document |= {"name": folder.name if folder is not None else "shots"}
    document |= {"seconds": time.perf_counter() - start}
    if folder is not None:
        write_json(folder / "result.json", document)
        run.seal(folder, [])
    return FewShot(measure, points, document, folder)


def _steps_only(on_event: Callable[[Event], None] | None) -> Callable[[Event], None] | None:
    """Passes steps on; what each of many trainings says at its begin and end is too much."""
    if on_event is None:
        return None
    return lambda event: on_event(event) if isinstance(event, Step) else None


def _trainings(
    plan: ShotsPlan, config: ClassifyConfig
) -> Iterator[tuple[int, int, str, ClassifyConfig]]:
    """Seed, number of examples, way to begin and settings of each training."""
    alone = config.model.model_copy(update={"encoder": None, "pretrain": None})
    arms = {SCRATCH: config.model_copy(update={"model": alone})}
    if config.model.encoder is not None:
        # The floor of the same rows is fitted once, unless the sum with it is asked for.
        floor = config.floor.model_copy(
            update={"measure": config.floor.measure and config.floor.blend}
        )
        model = beside_encoder(config.model)
        arms[TRANSFER] = config.model_copy(update={"model": model, "floor": floor})
    for seed in plan.seeds:
        training = config.training.model_copy(update={"seed": seed})
        for size in plan.sizes:
            for arm, settings in arms.items():
                yield seed, size, arm, settings.model_copy(update={"training": training})


def _with_minutes(config: ClassifyConfig, lines: Sequence[Line], left: int) -> ClassifyConfig:
    """The settings with a training's part of the minutes that those before it have left."""
    minutes = config.training.minutes
    if minutes is None:
        return config
    each = minutes / (len(lines) + left)
    rest = minutes - sum(line["seconds"] for line in lines) / 60
    training = config.training.model_copy(update={"minutes": max(rest / left, each / 4)})
    return config.model_copy(update={"training": training})


def _same(one: Line, other: Line) -> bool:
    """Whether both were trained on the same rows."""
    return (one["seed"], one["shots"]) == (other["seed"], other["shots"])


def _line(seed: int, size: int, arm: str, evaluation: Evaluation, measure: str) -> dict[str, Any]:
    floor = evaluation.floor
    return {
        "seed": seed,
        "shots": size,
        "arm": arm,
        "value": evaluation.metrics[measure],
        "floor": None if floor is None else floor["metrics"][measure],
        "floor_share": evaluation.facts["floor_share"],
    }


class _Kept:
    """The measurements in a run's folder, one line each."""

    def __init__(self, plan: ShotsPlan, folder: Path | None) -> None:
        self.path = None if folder is None else folder / run.SHOTS
        self.found: dict[tuple[int, int, str], Line] = {}
        if folder is None or self.path is None:
            return
        parts = {"train": plan.train, "valid": plan.choosing, plan.split: plan.measured}
        prints = {name: texts.examples.fingerprint() for name, texts in parts.items()}
        same_data(folder, prints)
        write_json(folder / PREPARED, prints)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a last line may be cut off
        for line in map(json.loads, whole.splitlines()):
            self.found[line["seed"], line["shots"], line["arm"]] = line
        write_text(self.path, whole)

    def add(self, line: Line) -> None:
        """Writes a line at once."""
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise explain(error, self.path) from error


def _point(size: int, lines: Sequence[Line]) -> ShotPoint:
    def values(arm: str, key: str = "value") -> tuple[float, ...]:
        found = (one[key] for one in lines if one["shots"] == size and one["arm"] == arm)
        return tuple(float(value) for value in found if value is not None)

    # The floor is the same both ways to begin: it was fitted on the same rows.
    return ShotPoint(size, values(SCRATCH), values(TRANSFER), values(SCRATCH, "floor"))


def _document(
    plan: ShotsPlan,
    config: ClassifyConfig,
    points: Sequence[ShotPoint],
    lines: Sequence[Line],
    measure: str,
) -> dict[str, Any]:
    encoder = config.model.encoder
    weights = None
    if encoder is not None:  # which language model it was, wherever the folder goes
        weights = run.read_json(Path(encoder) / run.MANIFEST)["files"]["model.safetensors"]
    return {
        "format": run.FORMAT,
        "elman": elman.__version__,
        "task": "classify",
        "created": run.now(),
        "command": command(),
        "data": {
            "train": file_facts(plan.train),
            "valid": file_facts(plan.choosing),
            "test": file_facts(plan.measured) if plan.split == "test" else None,
        },
        "model": {"cell": config.model.cell},
        "shots": {
            "measure": measure,
            "split": plan.split,
            "rows": len(plan.measured),
            "choosing_rows": len(plan.choosing),
            "seeds": list(plan.seeds),
            "encoder": encoder,
            "encoder_sha256": weights,
            "pretrain": config.model.pretrain,
            "points": [asdict(point) for point in points],
            "trainings": [dict(line) for line in lines],
        },
        "sentence": _sentence(points, measure, len(plan.seeds)),
    }


def _sentence(points: Sequence[ShotPoint], measure: str, seeds: int) -> str:
    """The two ends of the curve, and where the floor is not beaten."""
    ends = points if len(points) == 1 else (points[0], points[-1])
    name = "micro F1" if measure == "micro_f1" else "accuracy"
    parts: list[str] = []
    for point in ends:
        text = f"{100 * fmean(point.scratch):.1f} % from scratch"
        if point.transfer:
            text += f" and {100 * fmean(point.transfer):.1f} % with transfer"
        parts.append(f"with {point.shots:,} labelled examples {name} is {text}")
    told = "; ".join(parts)
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    lost = [
        f"{point.shots:,}"
        for point in points
        if point.floor and fmean(point.floor) >= fmean(point.transfer or point.scratch)
    ]
    below = f" The floor is not beaten with {', '.join(lost)} examples." if lost else ""
    return f"{told[:1].upper()}{told[1:]}{mean}.{below}"
