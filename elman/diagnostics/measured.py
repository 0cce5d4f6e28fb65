"""The parts of the page about what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from elman.diagnostics import pictures, words
from elman.diagnostics.confusion import confusion_section
from elman.diagnostics.drawing import svg
from elman.diagnostics.markup import Markup, bar, chart, facts, fold, heading, table
from elman.diagnostics.run_record import RunRecord
from elman.diagnostics.words import esc

_TEXT = 420  # characters of a worst error that are shown
_OPEN = 10  # errors that are shown without a click
_OF_A_FOLD = ("accuracy", "micro_f1", "macro_f1", "macro_precision", "macro_recall", "log_loss")
_SHOWN = ("accuracy", "macro_f1", "micro_f1", "roc_auc", "log_loss", "ece", "nats", "perplexity",
          "nats_per_character", "bits_per_character")  # fmt: skip


def tiles(record: RunRecord) -> str:
    """The key numbers, each with its interval or the floor's figure under it."""
    metrics, intervals = record.metrics, record.part("evaluation", "intervals")
    floor = record.floor_metrics
    boxes = []
    for name in _SHOWN:
        if not isinstance(metrics.get(name), int | float):
            continue
        more = []
        told = words.interval(name, intervals.get(name))
        if told:
            more.append(f"95 %: {told.removesuffix(' %')}")
        if isinstance(floor.get(name), int | float):
            more.append(f"floor {words.figure(name, floor[name])}")
        boxes.append((words.title(name), words.figure(name, metrics[name]), more))
    if record.evaluation.get("rows"):
        rows = words.count(record.evaluation["rows"])
        boxes.append(("Rows measured", rows, [str(record.evaluation.get("split", ""))]))
    inner = "".join(
        f'<div class="tile"><div class="of">{esc(of)}</div><div class="value">{esc(value)}</div>'
        + "".join(f'<div class="more">{esc(one)}</div>' for one in more)
        + "</div>"
        for of, value, more in boxes
    )
    return f'<div class="tiles">{inner}</div>' if boxes else ""


def beside_floor(record: RunRecord) -> str:
    """Model and floor, metric by metric."""
    metrics, floor = record.metrics, record.floor_metrics
    if not metrics:
        return ""
    intervals = record.part("evaluation", "intervals")
    rows = []
    for name, value in metrics.items():
        if value is None and floor.get(name) is None:
            continue
        base = floor.get(name)
        cells: list[Any] = [words.figure(name, one) for one in (value, base)]
        if isinstance(value, int | float) and isinstance(base, int | float) and value != base:
            place = 0 if (value < base) == (name in words.LESS_IS_MORE) else 1
            cells[place] = Markup(f'<span class="better">{esc(cells[place])}</span>')
        told = words.interval(name, intervals.get(name)) or "–"
        rows.append((words.title(name), cells[0], told, cells[1]))
    name = record.part("floor").get("name")
    note = f"On {words.split_name(record.evaluation)}. "
    note += f"The floor is {name}." if name else "There is no floor to compare with."
    share, alone = (record.evaluation.get(key) for key in ("floor_share", "network_alone"))
    if share and isinstance(alone, int | float):
        note += (
            f" The model adds both scores, the floor's with a weight of {share:.2f}; "
            f"the network alone has an accuracy of {words.figure('accuracy', alone)}."
        )
    head = ("Metric", "Model", "95 % interval", "Floor")
    return heading("measured", "Model and floor", note) + table(head, rows, numbers=(1, 2, 3))


def folds(record: RunRecord) -> str:
    """Mean and spread over cross-validation folds."""
    found = record.part("folds")
    mean = found.get("mean")
    if not isinstance(mean, Mapping):
        return ""
    spread = found.get("std") or found.get("deviation") or {}
    floor = found.get("floor_mean") or {}
    rows = [
        (
            words.title(name),
            words.figure(name, value),
            words.figure(name, spread.get(name)),
            words.figure(name, floor.get(name)),
        )
        for name, value in mean.items()
    ]
    number = found.get("k") or len(found.get("folds") or [])
    note = f"Each of {number} parts was held out once; the others trained the model."
    if record.part("comparison") and found.get("floor_metrics"):
        note += (
            " The interval of the difference is Student's over the folds, widened because their "
            "training parts overlap (Nadeau and Bengio 2003)."
        )
    head = ("Metric", "Mean", "Standard deviation", "Floor, mean")
    title = heading("folds", "Cross-validation", note)
    return title + table(head, rows, numbers=(1, 2, 3)) + _each_fold(found)


def _each_fold(found: Mapping[str, Any]) -> str:
    """The figures of each fold, model and floor; nothing where only their mean is known."""
    each, sizes = found.get("metrics") or [], found.get("rows") or []
    floors = found.get("floor_metrics") or [{}] * len(each)
    if not each or len(sizes) != len(each):
        return ""
    kept = [name for name in _OF_A_FOLD if isinstance(each[0].get(name), int | float)]
    measure = str(found.get("measure") or "accuracy")
    rows = [
        (
            str(number),
            words.count(size),
            *(words.figure(name, one.get(name)) for name in kept),
            words.figure(measure, floor.get(measure)),
        )
        for number, (size, one, floor) in enumerate(zip(sizes, each, floors, strict=True), start=1)
    ]
    head = ("Fold", "Rows", *map(words.title, kept), f"Floor, {words.title(measure).lower()}")
    listing = table(head, rows, numbers=range(1, len(head)))
    return f"<h3>Each fold</h3>{listing}"


def shots(record: RunRecord) -> str:
    """What few labelled examples give, from scratch and with transfer, beside the floor."""
    found, draw = record.part("shots"), pictures.shots_panel(record)
    if draw is None:
        return ""
    measure = found["measure"]
    kinds = {"scratch": "From scratch", "transfer": "With transfer", "floor": "Floor"}
    kept = {key: title for key, title in kinds.items() if found["points"][0][key]}
    rows = [
        (words.count(one["shots"]), *(_mean_and_spread(measure, one[key]) for key in kept))
        for one in found["points"]
    ]
    listing = table(("Examples", *kept.values()), rows, numbers=range(len(kept) + 1))
    note = (
        f"{words.title(measure)} on {words.split_name(found)}, mean and spread over the seeds "
        f"{', '.join(map(str, found['seeds']))}. Every number of examples is a stratified sample "
        "of the training part that holds the smaller ones; the weights of each training were "
        f"chosen on the same {words.count(found['choosing_rows'])} validation rows."
    )
    if found.get("encoder"):
        note += f" Transfer begins with the language model in {found['encoder']}."
    picture = chart("Each point is a training, the line their mean", svg(draw, "shots", (5.2, 3.4)))
    title = heading("shots", "Few labelled examples", note)
    return f'{title}<div class="two"><div>{listing}</div><div>{picture}</div></div>'


def _mean_and_spread(measure: str, values: Sequence[float]) -> str:
    if len(values) < 2:
        return words.figure(measure, values[0] if values else None)
    return f"{words.figure(measure, fmean(values))} ± {100 * stdev(values):.1f}"


def curves(record: RunRecord) -> str:
    """Learning curves."""
    panels = pictures.curve_panels(record)
    if not panels:
        return ""
    charts = "".join(
        chart(caption, svg(draw, f"curve{number}", (3.5, 2.7)))
        for number, (caption, draw) in enumerate(panels)
    )
    done = next(iter(record.events_of("finished")), {})
    told = f"Training took {words.duration(done.get('seconds'))}" if done else ""
    if done.get("best_epoch"):
        told += f"; the weights of epoch {done['best_epoch']} were kept"
    told = f"{told}." if told else ""
    return heading("curves", "Training", told) + f'<div class="plots">{charts}</div>'


def classes(record: RunRecord) -> str:
    """Per-class figures and the confusion matrix."""
    per_class = record.evaluation.get("per_class") or []
    if not per_class:
        return ""
    most = max((one["support"] for one in per_class), default=1) or 1
    rows = [
        (
            str(one["label"]),
            *(words.figure("f1", one[key]) for key in ("precision", "recall", "f1")),
            words.count(one["support"]),
            bar(one["support"] / most),
        )
        for one in per_class
    ]
    head = ("Label", "Precision", "Recall", "F1", "Rows", "")
    listing = table(head, rows, numbers=(1, 2, 3, 4))
    matrix = confusion_section(record.evaluation.get("confusion"))
    title = heading("classes", "Classes")
    if matrix and len(per_class) <= 6:
        return f'{title}<div class="two"><div>{matrix}</div><div>{listing}</div></div>'
    if len(per_class) > 20:
        return title + matrix + fold(f"Each of {len(per_class)} classes", listing)
    return f"{title}{matrix}<h3>Each class</h3>{listing}"


def calibration(record: RunRecord) -> str:
    """Whether probabilities mean what they say."""
    found = record.part("evaluation", "calibration")
    draw = pictures.calibration_panel(record)
    if draw is None:
        return ""
    listing = facts(
        (
            ("Temperature", _number(found.get("temperature"))),
            ("ECE before scaling", words.figure("ece", found.get("ece_before"))),
            ("ECE as predicted", words.figure("ece", found.get("ece_after"))),
        )
    )
    note = (
        "Of the rows predicted with a confidence of 80 %, about 80 % should be right: points on "
        "the dashed line. Larger points hold more rows. The temperature was fitted on the "
        "validation part; ECE is the mean distance from the line over 15 bins."
    )
    picture = chart("Accuracy by confidence", svg(draw, "calibration", (4.6, 3.4)))
    text = f'<div><p class="note">{esc(note)}</p>{listing}</div>'
    title = heading("calibration", "Calibration")
    return f'{title}<div class="two"><div>{picture}</div>{text}</div>'


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "–"


def errors(record: RunRecord) -> str:
    """The wrong predictions that the model was surest of, with their texts."""
    worst: Sequence[Mapping[str, Any]] = record.evaluation.get("worst") or []
    if not worst:
        return ""
    first, rest = ("".join(_error(one) for one in part) for part in (worst[:_OPEN], worst[_OPEN:]))
    more = fold(f"{len(worst) - _OPEN} more", f'<ol class="errors">{rest}</ol>') if rest else ""
    note = "The wrong predictions that the model was surest of. Some may be wrong labels."
    return f'{heading("errors", "Worst errors", note)}<ol class="errors">{first}</ol>{more}'


def _error(one: Mapping[str, Any]) -> str:
    text = words.clip(str(one.get("text", "")), _TEXT) or "(empty)"
    sure = one.get("probability")
    told = f" ({sure * 100:.1f} %)" if isinstance(sure, int | float) else ""
    where = f" · {esc(one['where'])}" if one.get("where") else ""
    return (
        f'<li><div class="text" dir="auto">{esc(text)}</div><div class="what">'
        f"labelled <b>{esc(words.label(one.get('label', '')))}</b>, predicted "
        f"<b>{esc(words.label(one.get('predicted', '')))}</b>{esc(told)}{where}</div></li>"
    )
