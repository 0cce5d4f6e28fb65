"""Cross-validation: measured as by hand, written down, reported, and no model."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from scipy import stats

from elman import diagnostics, load
from elman.errors import ConfigError, DataError, RunError
from elman.metrics import compare_folds_with_floor
from elman.tasks import Classifier
from elman.training import Event, Started

TINY: dict[str, Any] = {
    "model.hidden": 4, "model.embedding": 4, "model.members": 1, "training.epochs": 1,
    "data.tokeniser.min_count": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(1)
    lines = ["text,label"]
    for number in range(60):
        label = ("good", "bad")[number % 2]
        word = {"good": "fine lovely", "bad": "awful dull"}[label].split()[draw.randrange(2)]
        plain = " ".join(draw.choices("the a film plot".split(), k=4))
        lines.append(f"{plain} {word},{label}")
    path = tmp_path_factory.mktemp("folds") / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_folds_are_written_and_reported(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    found = Classifier(config=TINY).cross_validate(rows, folds=3, out=out)
    document = json.loads((out / "result.json").read_text())
    assert document == json.loads(json.dumps(found.summary()))
    folds = document["folds"]
    each = [one.metrics["accuracy"] for one in found.folds]
    assert [one["accuracy"] for one in folds["metrics"]] == each
    assert folds["k"] == 3 and folds["rows"] == [20, 20, 20]
    assert folds["mean"]["accuracy"] == pytest.approx(mean(each))
    assert folds["std"]["accuracy"] == pytest.approx(stdev(each))
    floor = mean(one.floor["metrics"]["accuracy"] for one in found.folds if one.floor)
    assert folds["floor_mean"]["accuracy"] == pytest.approx(floor)
    assert document["comparison"]["difference"] == pytest.approx(mean(each) - floor)
    assert found.sentence.startswith("The model")
    page = diagnostics.write_report(out).read_text()
    for told in ("Cross-validation", "Each fold", "Each of 3 parts", found.sentence.split(" (")[0]):
        assert told in page
    assert "--folds 3" in page and "--resume" not in page
    assert "None" not in page and "nan" not in page
    assert not (out / "card.md").exists()
    with pytest.raises(RunError, match="holds a cross-validation and no model"):
        load(out)
    with pytest.raises(RunError, match="already holds a run"):
        Classifier(config=TINY).cross_validate(rows, folds=3, out=out)


def test_folds_share_the_minutes(rows: Path) -> None:
    budgets: list[Any] = []

    def note(event: Event) -> None:
        if isinstance(event, Started):
            budgets.append(event.minutes)

    settings = {**TINY, "floor.measure": False}
    found = Classifier(config=settings, minutes=3).cross_validate(rows, folds=3, on_event=note)
    assert budgets == [1.0, 1.0, 1.0]
    assert found.comparison is None
    assert "No floor was trained" in found.sentence


def test_folds_that_were_stopped_can_be_begun_again(rows: Path, tmp_path: Path) -> None:
    def stop(_: Event) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "folds"
    task = Classifier(config={**TINY, "floor.measure": False})
    with pytest.raises(KeyboardInterrupt):
        task.cross_validate(rows, folds=2, out=out, on_event=stop)
    assert task.cross_validate(rows, folds=2, out=out).run == out
    with pytest.raises(ConfigError):
        task.cross_validate(rows, folds=1)


def test_a_class_of_one_row_is_refused_before_anything_is_trained(
    rows: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(rows.read_text() + "an odd one,odd\n")
    told: list[Event] = []
    with pytest.raises(DataError, match=r'every row of the class "odd" \(1\)'):
        Classifier(config=TINY).cross_validate(path, folds=3, on_event=told.append)
    assert not any(isinstance(event, Started) for event in told)


def test_the_interval_over_folds() -> None:
    # Nadeau and Bengio 2003 with scipy's own t distribution: a fifth of the rows is measured,
    # four fifths are learnt from.
    model, floor = [0.91, 0.88, 0.93, 0.90, 0.89], [0.88, 0.87, 0.90, 0.89, 0.88]
    steps = [a - b for a, b in zip(model, floor, strict=True)]
    scale = math.sqrt(1 / 5 + (1 / 5) / (4 / 5)) * stdev(steps)
    wanted = stats.t.interval(0.95, 4, loc=mean(steps), scale=scale)
    found = compare_folds_with_floor("accuracy", model, floor)
    assert found["interval"] == pytest.approx(wanted)
    assert found["verdict"] == ("beats" if wanted[0] > 0 else "ties")
    even = compare_folds_with_floor("accuracy", [0.5, 0.5], [0.5, 0.5])
    assert even["verdict"] == "ties" and even["interval"] == [0.0, 0.0]
