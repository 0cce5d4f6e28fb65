"""The whole way of a classifier: fit, measure, save, load, predict, evaluate, resume, folds."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import elman
from elman.cells import R, W, b, cell, tanh
from elman.errors import ConfigError, DataError, RunError
from elman.tasks import Classifier
from elman.training import Event, Note

SMALL = {
    "hidden": 8,
    "epochs": 2,
    "config": {
        "model.embedding": 8,
        "training.checkpoint_seconds": 0,
        "model.dropout": 0.1,
        "data.tokeniser.min_count": 1,
    },
}
WORDS = {"good": "fine lovely great superb", "bad": "awful dull poor bleak", "odd": "weird strange"}


def _rows(count: int, classes: tuple[str, ...] = ("good", "bad"), seed: int = 1) -> list[list[str]]:
    draw = random.Random(seed)
    rows = []
    for k in range(count):
        label = classes[k % len(classes)]
        words = draw.choices("the a film plot actor music ending was".split(), k=draw.randint(3, 9))
        words.insert(draw.randrange(len(words)), draw.choice(WORDS[label].split()))
        rows.append([" ".join(words), label])
    return rows


def _write(path: Path, rows: list[list[str]], head: tuple[str, ...] = ("text", "label")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("data") / "reviews.csv", _rows(120))


@pytest.fixture(scope="module")
def trained(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    out = tmp_path_factory.mktemp("runs") / "reviews"
    return Classifier(**SMALL).fit(reviews, test=reviews, out=out), out


def test_a_run_directory_holds_everything_and_no_pickle(trained: tuple[Any, Path]) -> None:
    result, out = trained
    names = {path.name for path in out.iterdir()}
    wanted = {"config.yaml", "environment.json", "manifest.json", "metrics.jsonl"}
    wanted |= {"model.safetensors", "tokenizer.json", "result.json", "checkpoints"}
    assert wanted <= names
    assert not [p for p in out.rglob("*") if p.suffix in {".pt", ".pth", ".pkl", ".ckpt"}]
    document = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert document == json.loads(json.dumps(result.summary()))
    assert document["floor"]["metrics"]["accuracy"] > 0.9
    # Every row is learnt by four of five networks at least, and each is validated on a tenth.
    assert document["data"]["train"]["rows"] == 120
    assert (document["data"]["valid"]["rows"], document["data"]["valid"]["networks"]) == (60, 5)
    assert document["comparison"]["sentence"].startswith("The model")
    assert "Hochreiter" in document["model"]["citation"]
    assert "result.json" in json.loads((out / "manifest.json").read_text())["files"]


def test_loading_gives_the_same_predictions_and_measures(trained: tuple[Any, Path]) -> None:
    result, out = trained
    again = elman.load(out)
    texts = ["a superb film", "the dull plot", "", "unknown words only"]
    before, after = result.task.predict(texts), again.predict(texts)
    assert [p.probabilities for p in before] == [p.probabilities for p in after]
    assert [p.label for p in after][:2] == ["good", "bad"]
    for one in after:
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == max(one.probabilities.values())


def test_evaluation_agrees_with_counting(trained: tuple[Any, Path], tmp_path: Path) -> None:
    result, _ = trained
    rows = _rows(40, seed=7)
    path = _write(tmp_path / "other.csv", [[b, a] for a, b in rows], head=("label", "text"))
    found = result.task.evaluate(path)
    predicted = [p.label for p in result.task.predict([text for text, _ in rows])]
    right = np.mean([p == label for p, (_, label) in zip(predicted, rows, strict=True)])
    assert found.metrics["accuracy"] == pytest.approx(right)
    assert found.summary()["floor"]["metrics"]["accuracy"] <= 1


def test_predictions_do_not_depend_on_the_company(trained: tuple[Any, Path]) -> None:
    task = trained[0].task
    texts = [text for text, _ in _rows(30, seed=3)]
    together = task.predict(texts)
    for text, one in zip(texts, together, strict=True):
        alone = task.predict(text)[0]
        assert alone.probability == pytest.approx(one.probability, abs=1e-5)


def test_the_same_seed_gives_the_same_weights(reviews: Path) -> None:
    runs = [Classifier(**SMALL, seed=seed).fit(reviews) for seed in (3, 3, 4)]
    weights = [run.task._fitted.network.state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_saved_classifier_is_a_run(trained: tuple[Any, Path], tmp_path: Path) -> None:
    folder = trained[0].task.save(tmp_path / "copy")
    assert elman.load(folder).predict("a great film")[0].label == "good"
    with pytest.raises(RunError, match="already holds a run"):
        trained[0].task.save(folder)


def test_an_interrupted_run_ends_as_if_it_had_not_been(reviews: Path, tmp_path: Path) -> None:
    whole = Classifier(**SMALL).fit(reviews, out=tmp_path / "whole")
    assert whole.run is not None
    steps = 0

    def stop(event: Event) -> None:
        nonlocal steps
        if type(event).__name__ == "Validated":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Classifier(**SMALL).fit(reviews, out=tmp_path / "cut", on_event=stop)
    with pytest.raises(RunError, match="not finished"):
        elman.load(tmp_path / "cut")
    resumed = Classifier().fit(reviews, out=tmp_path / "cut", resume=True)
    first = load_file(tmp_path / "whole" / "model.safetensors")
    second = load_file(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert resumed.metrics == whole.metrics


def test_resuming_with_other_data_or_settings_is_refused(
    trained: tuple[Any, Path], reviews: Path, tmp_path: Path
) -> None:
    other = _write(tmp_path / "other.csv", _rows(60, seed=9))
    with pytest.raises(RunError, match="not what the run was begun with"):
        Classifier().fit(other, out=trained[1], resume=True)
    with pytest.raises((RunError, ConfigError), match="hidden"):
        Classifier(hidden=9).fit(reviews, out=trained[1], resume=True)
    with pytest.raises(RunError, match="no run to resume"):
        Classifier().fit(reviews, out=tmp_path / "none", resume=True)


def test_more_classes_weights_and_sampler(tmp_path: Path) -> None:
    rows = _rows(90, ("good", "bad", "odd")) + _rows(60)
    path = _write(tmp_path / "three.csv", rows)
    for balance in ("weights", "sampler"):
        config = {**SMALL["config"], "batch.balance": balance}
        result = Classifier(hidden=8, epochs=1, config=config).fit(path)
        assert len(result.summary()["evaluation"]["per_class"]) == 3


def test_several_labels_at_once(tmp_path: Path) -> None:
    rows = [[text, label + ("|loud" if k % 3 else "")] for k, (text, label) in enumerate(_rows(90))]
    path = _write(tmp_path / "several.csv", rows)
    config = {**SMALL["config"], "data.label_separator": "|"}
    result = Classifier(hidden=8, epochs=1, config=config).fit(path, out=tmp_path / "run")
    assert set(result.task.predict("great")[0].probabilities) == {"good", "bad", "loud"}
    assert elman.load(tmp_path / "run").predict("great")[0].several
    assert "micro_f1" in result.metrics


def test_a_cell_of_ones_own_and_vectors(reviews: Path, tmp_path: Path) -> None:
    @cell
    def Mine(x, /, h):
        return tanh(W.h @ x + R.h @ h + b.h)

    vectors = tmp_path / "vectors.txt"
    vectors.write_text("great 1 2 3\ndull -1 -2 -3\n", encoding="utf-8")
    notes: list[str] = []
    result = Classifier(cell=Mine, vectors=str(vectors), **SMALL).fit(
        reviews,
        out=tmp_path / "run",
        on_event=lambda e: notes.append(e.message) if isinstance(e, Note) else None,
    )
    assert any("vectors: 2 of" in note for note in notes)
    assert result.task._fitted.network.dimension == 3
    told = json.loads((tmp_path / "run" / "result.json").read_text())["model"]["vectors"]
    assert (told["found"], told["dimension"], told["path"]) == (2, 3, str(vectors))
    assert told["coverage"] == pytest.approx(2 / told["words"])
    page = elman.diagnostics.write_report(tmp_path / "run").read_text()
    card = (tmp_path / "run" / "card.md").read_text()
    for text in (page, card):
        assert f"2 of {told['words']} words" in text
        assert "elman predict" not in text  # the command line does not know this cell
    assert elman.load(tmp_path / "run", cell=Mine).predict("great")
    with pytest.raises(ConfigError, match=r"model\.cell"):
        elman.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["gru", "mingru", "IndRNN", "elman"])
def test_cells_of_the_catalogue(reviews: Path, name: str) -> None:
    assert Classifier(**{**SMALL, "epochs": 1}, cell=name).fit(reviews).metrics["accuracy"] > 0.4


@pytest.mark.parametrize("stack", ["residual", "deep"])
def test_stacks(reviews: Path, stack: str) -> None:
    config = {**SMALL["config"], "model.stack": stack, "floor.measure": False, "model.depth": 2}
    result = Classifier(hidden=8, epochs=1, config=config).fit(reviews)
    assert result.floor is None


def test_folds_measure_every_row_once(reviews: Path) -> None:
    found = Classifier(**{**SMALL, "epochs": 1}).cross_validate(reviews, folds=3)
    assert [fold.facts["rows"] for fold in found.folds] == [40, 40, 40]
    mean = np.mean([fold.metrics["accuracy"] for fold in found.folds])
    assert found.mean["accuracy"] == pytest.approx(mean)
    with pytest.raises(ConfigError):
        Classifier(**SMALL).cross_validate(reviews, folds=1)


def test_a_cell_with_a_second_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs t beside the words"):
        Classifier(cell="PhasedLSTM")


def test_what_is_not_a_text_is_refused(trained: tuple[Any, Path]) -> None:
    with pytest.raises(DataError, match="wanted texts"):
        trained[0].task.predict([3])
    with pytest.raises(ConfigError, match="not trained"):
        Classifier().predict("x")
