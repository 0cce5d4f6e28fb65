"""The learning curve over few labelled examples: what is drawn, trained, kept and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from elman import Classifier, LanguageModel, diagnostics, load
from elman.errors import ConfigError, DataError, RunError
from elman.tasks import preparation
from elman.training import Note, Step

GOOD, BAD = "fine great lovely bright".split(), "poor awful dull broken".split()
TINY: dict[str, Any] = {
    "model.hidden": 6, "model.embedding": 6, "model.members": 1, "training.epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shots")
    random = torch.Generator().manual_seed(0)
    rows, texts = ["text,label"], list[str]()
    for number in range(120):
        words = (GOOD, BAD)[number % 2]
        picks = torch.randint(0, 4, (3,), generator=random).tolist()
        texts.append(" ".join(["it", "was", *(words[k] for k in picks)]))
        rows.append(f"{texts[-1]},{('good', 'bad')[number % 2]}")
    (folder / "rows.csv").write_text("\n".join(rows))
    (folder / "test.csv").write_text("\n".join(rows[:41]))
    (folder / "text.txt").write_text("\n".join(texts))
    config = {"model.hidden": 8, "batch.streams": 4, "batch.tbptt": 16}
    LanguageModel(level="word", epochs=1, config=config).fit(folder / "text.txt", out=folder / "lm")
    return folder


def test_a_curve_with_and_without_transfer(folder: Path) -> None:
    told: list[Any] = []
    run = folder / "curve"
    task = Classifier(encoder=str(folder / "lm"), config=TINY)
    curve = task.few_shot(
        folder / "rows.csv", test=folder / "test.csv", shots=(20, 6, 9999, 2), seeds=2, out=run,
        on_event=told.append,
    )  # fmt: skip
    assert curve.measure == "accuracy"
    assert [point.shots for point in curve.points] == [6, 20]
    for point in curve.points:
        assert len(point.scratch) == len(point.transfer) == len(point.floor) == 2
        assert all(0 <= value <= 1 for value in (*point.scratch, *point.transfer, *point.floor))
    notes = [event.message for event in told if isinstance(event, Note)]
    assert any(note.startswith("9,999 labelled examples are left out") for note in notes)
    assert any(note.startswith("2 labelled examples are left out") for note in notes)
    assert {type(event) for event in told} <= {Note, Step}
    assert "With 6 labelled examples accuracy is" in curve.sentence
    written = json.loads((run / "result.json").read_text())
    assert written["format"] == 1 and written["shots"]["seeds"] == [1, 2]
    assert written["shots"]["split"] == "test" and written["shots"]["rows"] == 40
    assert len(written["shots"]["encoder_sha256"]) == 64
    page = diagnostics.write_report(run).read_text()
    assert "Few labelled examples" in page and "With transfer" in page
    assert (run / "pictures" / "shots.png").exists()
    with pytest.raises(RunError, match="holds a learning curve and no model"):
        load(run)


def test_the_same_settings_give_the_same_curve(folder: Path) -> None:
    curves = [
        Classifier(config=TINY).few_shot(folder / "rows.csv", shots=[6, 12], seeds=1)
        for _ in range(2)
    ]
    assert curves[0].points == curves[1].points
    assert not curves[0].points[0].transfer
    assert curves[0].document["shots"]["split"] == "valid"


def test_nothing_is_measured_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder / "cut"
    trained: list[int] = []
    fit = Classifier.fit

    def counted(self: Any, data: Any, **options: Any) -> Any:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(len(data))
        return fit(self, data, **options)

    monkeypatch.setattr(Classifier, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        Classifier(config=TINY).few_shot(folder / "rows.csv", shots=[6, 12], seeds=1, out=run)
    with (run / "shots.jsonl").open("a") as file:
        file.write('{"seed": 1, "sho')  # the machine stopped here
    trained[:] = []
    task = Classifier(config=TINY)
    with pytest.raises(KeyboardInterrupt):
        task.few_shot(folder / "rows.csv", shots=[6, 12, 20], seeds=1, out=run, resume=True)
    assert trained == [12]
    monkeypatch.setattr(Classifier, "fit", fit)
    curve = Classifier(config=TINY).few_shot(
        folder / "rows.csv", shots=[6, 12, 20], seeds=1, out=run, resume=True
    )
    assert [point.shots for point in curve.points] == [6, 12, 20]
    assert len((run / "shots.jsonl").read_text().splitlines()) == 3
    with pytest.raises(RunError, match="not what the run was begun with"):
        Classifier(config=TINY).few_shot(folder / "test.csv", shots=[6], out=run, resume=True)


def test_pre_training_is_done_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[object] = []
    fit = LanguageModel.fit

    def counted(self: Any, data: Any, **options: Any) -> Any:
        trained.append(data)
        return fit(self, data, **options)

    monkeypatch.setattr(LanguageModel, "fit", counted)
    other = [f"something else number {k} was told" for k in range(400)]
    text = (folder / "text.txt").read_text() + "\n" + "\n".join(other)
    (folder / "wide.txt").write_text(text)
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    curve = task.few_shot(folder / "rows.csv", shots=[6, 12], seeds=1, out=folder / "pre")
    assert len(trained) == 2  # on the text, and on the rows
    assert all(point.transfer for point in curve.points)
    # The second stage has read the rows to draw from, and none of those that are measured.
    assert len((folder / "pre" / "own.txt").read_text().split("\n\n")) == 108


def test_a_floor_is_fitted_once_for_the_same_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = preparation.fit_floor

    def counted(texts: Any, *rest: Any, **options: Any) -> Any:
        fitted.append(1)
        return fit(texts, *rest, **options)

    monkeypatch.setattr(preparation, "fit_floor", counted)
    task = Classifier(encoder=str(folder / "lm"), config=TINY)
    curve = task.few_shot(folder / "rows.csv", shots=[6, 12], seeds=2)
    assert len(fitted) == 4 and len(curve.document["shots"]["trainings"]) == 8
    for line in curve.document["shots"]["trainings"]:
        assert line["floor"] is not None


def test_a_handful_of_rows_gets_enough_steps(folder: Path) -> None:
    steps: list[Step] = []

    def note(event: Any) -> None:
        if isinstance(event, Step):
            steps.append(event)

    few = {"model.hidden": 4, "model.embedding": 4, "model.members": 1, "floor.measure": False}
    task = Classifier(config=few)
    task.fit(folder / "rows.csv", valid=0.85, on_event=note)  # 18 rows are left to train on
    assert task.config.batch.passes == 9 and task.config.training.epochs == 15
    assert 300 <= steps[-1].steps <= 420
    task = Classifier(config=few, epochs=2)
    task.fit(folder / "rows.csv", valid=0.85)
    assert task.config.batch.passes == 1  # two passes are two passes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shots": [0, 10]}, "wanted numbers of examples of 1 or more"),
        ({"shots": []}, "got none"),
        ({"shots": [2, 5000]}, "Give numbers from 3 to 108"),
        ({"shots": [6], "seeds": 0}, "got 0 seeds"),
    ],
)
def test_impossible_curves(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Classifier(config=TINY).few_shot(folder / "rows.csv", **options)


def test_an_unknown_label_is_told_before_anything_is_trained(folder: Path) -> None:
    (folder / "odd.csv").write_text("text,label\nit was fine,splendid\nit was dull,bad\n")
    task = Classifier(pretrain=str(folder / "text.txt"), config=TINY)
    with pytest.raises(DataError, match='"splendid" does not occur'):
        task.few_shot(folder / "rows.csv", test=folder / "odd.csv", shots=[6])
