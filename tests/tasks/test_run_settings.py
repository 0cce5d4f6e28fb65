"""What stands in a run's config.yaml: enough to repeat the run, and to resume it and no other."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import elman
from elman import LanguageModel
from elman.errors import ElmanError, RunError
from elman.tasks import Classifier, run
from elman.training import Event, Validated

TINY: dict[str, Any] = {
    "model.hidden": 4, "model.embedding": 4, "model.members": 1, "training.epochs": 2,
    "training.checkpoint_seconds": 0, "data.tokeniser.min_count": 1, "floor.measure": False,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "model.hidden": 4, "model.depth": 1, "batch.streams": 2, "batch.tbptt": 8,
    "training.epochs": 2, "training.checkpoint_seconds": 0, "floor.measure": False,
    "training.precision": "32",
}  # fmt: skip


def _rows(count: int, seed: int) -> str:
    draw = random.Random(seed)
    words = {"good": "fine lovely great", "bad": "awful dull poor"}
    lines = ["text,label"]
    for number in range(count):
        label = ("good", "bad")[number % 2]
        plain = " ".join(draw.choices("the a film plot actor".split(), k=4))
        lines.append(f"{plain} {draw.choice(words[label].split())},{label}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    (folder / "rows.csv").write_text(_rows(80, 1))
    (folder / "held.csv").write_text(_rows(20, 2))
    (folder / "other.csv").write_text(_rows(20, 3))
    (folder / "more.csv").write_text(_rows(400, 4))
    (folder / "text.txt").write_text(_rows(120, 5).replace(",", " "))
    return folder


def _cut(task: Any, data: Path, out: Path, **options: Any) -> None:
    """Stops the training of the task, and not that of a language model before it."""
    measure = "nats" if isinstance(task, LanguageModel) else "log_loss"

    def stop(event: Event) -> None:
        if isinstance(event, Validated) and measure in event.metrics:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.fit(data, out=out, on_event=stop, **options)


def _saved(out: Path) -> dict[str, Any]:
    return run.read_yaml(out / "config.yaml")


@pytest.mark.parametrize("form", ["share", "word", "file"])
def test_the_validation_part_stands_in_the_settings(
    folder: Path, tmp_path: Path, form: str
) -> None:
    file = folder / "held.csv"
    valid: Any = {"share": 0.25, "word": "0.25", "file": file}[form]
    first = Classifier(config=TINY).fit(folder / "rows.csv", valid=valid, out=tmp_path / "run")
    assert _saved(tmp_path / "run")["valid"] == (str(file) if form == "file" else 0.25)
    settings = _saved(tmp_path / "run")
    again = Classifier(config=settings).fit(folder / "rows.csv", out=tmp_path / "again")
    assert again.evaluation.facts["rows"] == first.evaluation.facts["rows"] == 20
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("run", "again")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("again", ["same", "none"])
def test_a_run_goes_on_with_its_own_validation_part(
    folder: Path, tmp_path: Path, again: str
) -> None:
    rows = folder / "rows.csv"
    whole = Classifier(config=TINY).fit(rows, valid=0.25, out=tmp_path / "whole")
    _cut(Classifier(config=TINY), rows, tmp_path / "cut", valid=0.25)
    valid = 0.25 if again == "same" else None
    resumed = Classifier(config=TINY).fit(rows, valid=valid, out=tmp_path / "cut", resume=True)
    assert resumed.metrics == whole.metrics
    assert resumed.evaluation.facts["rows"] == 20


def test_another_validation_part_is_refused(folder: Path, tmp_path: Path) -> None:
    rows = folder / "rows.csv"
    _cut(Classifier(config=TINY), rows, tmp_path / "run", valid=0.25)
    for valid in (0.1, folder / "held.csv"):
        with pytest.raises(RunError, match=r"begun with --valid 0\.25, not"):
            Classifier(config=TINY).fit(rows, valid=valid, out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match=r"begun with --valid 0\.25, not 0\.3"):
        Classifier(config={**TINY, "valid": "0.3"}).fit(rows, out=tmp_path / "run", resume=True)
    _cut(Classifier(config=TINY), rows, tmp_path / "file", valid=folder / "held.csv")
    with pytest.raises(RunError, match=r'held\.csv", not ".*other\.csv"'):
        Classifier().fit(rows, valid=folder / "other.csv", out=tmp_path / "file", resume=True)


def test_a_text_goes_on_with_its_own_validation_part(folder: Path, tmp_path: Path) -> None:
    text = folder / "text.txt"
    whole = LanguageModel("char", TEXT).fit(text, valid=0.3, test=0.1, out=tmp_path / "whole")
    assert _saved(tmp_path / "whole")["valid"] == 0.3
    assert whole.document["data"]["test"]["share"] == 0.1
    _cut(LanguageModel("char", TEXT), text, tmp_path / "cut", valid=0.3, test=0.1)
    task = LanguageModel("char", TEXT)
    found = task.fit(text, test=0.1, out=tmp_path / "cut", resume=True)
    assert found.evaluation.metrics == whole.evaluation.metrics
    assert _saved(tmp_path / "cut")["valid"] == 0.3
    assert task.config.valid == 0.1  # another text is held out as it was asked for
    with pytest.raises(RunError, match=r"begun with --valid 0\.3, not 0\.2"):
        LanguageModel("char", TEXT).fit(text, valid=0.2, out=tmp_path / "cut", resume=True)


def test_a_second_fit_begins_with_the_settings_that_were_given(
    folder: Path, tmp_path: Path
) -> None:
    config = {key: value for key, value in TINY.items() if "members" not in key}
    del config["training.epochs"]
    config |= {"training.minutes": 5.0, "batch.size": 400}
    # A handful of rows gets passes, epochs and networks of its own; the next set is larger.
    task, fresh = Classifier(config=config), Classifier(config=config)
    task.fit(folder / "rows.csv", valid=0.85)
    assert task.config.batch.passes > 1
    task.fit(folder / "more.csv", valid=folder / "held.csv")
    fresh.fit(folder / "more.csv", valid=folder / "held.csv")
    assert task.config == fresh.config
    assert task.config.batch.passes == 1


def test_a_curve_leaves_the_settings_alone(folder: Path) -> None:
    task = Classifier(config={**TINY, "floor.measure": True, "training.epochs": 1})
    before = task.config
    task.few_shot(folder / "rows.csv", shots=[6], seeds=1)
    assert task.config == before
    assert task.fit(folder / "rows.csv").task.config.floor.blend


def test_pre_training_is_resumed_with_the_same_command(folder: Path, tmp_path: Path) -> None:
    config = {**TINY, "model.embedding": 8}
    wanted = {"pretrain": str(folder / "text.txt"), "minutes": 0.05, "config": config}
    whole = Classifier(**wanted)
    whole.fit(folder / "rows.csv", out=tmp_path / "whole")
    saved = _saved(tmp_path / "whole")
    assert saved["training"]["minutes"] == 0.05
    assert saved["model"]["encoder"] is None
    assert whole.config.training.minutes == 0.05  # a second fit has all of them again
    _cut(Classifier(**wanted), folder / "rows.csv", tmp_path / "cut")
    before = (tmp_path / "cut" / "language-tuned" / "manifest.json").stat().st_mtime_ns
    Classifier(**wanted).fit(folder / "rows.csv", out=tmp_path / "cut", resume=True)
    after = (tmp_path / "cut" / "language-tuned" / "manifest.json").stat().st_mtime_ns
    assert before == after  # the language model is not trained again
    assert Classifier.load(tmp_path / "cut").predict(["a lovely film"])


def test_a_finished_run_survives_a_wrong_resumption(folder: Path, tmp_path: Path) -> None:
    Classifier(config=TINY).fit(folder / "rows.csv", out=tmp_path / "rows")
    with pytest.raises(ElmanError):
        Classifier(config=TINY, hidden=9).fit(
            folder / "rows.csv", out=tmp_path / "rows", resume=True
        )
    assert elman.load(tmp_path / "rows").predict("one")
    LanguageModel("char", TEXT).fit(folder / "text.txt", out=tmp_path / "text")
    with pytest.raises(ElmanError):
        other = LanguageModel("char", {**TEXT, "model.hidden": 9})
        other.fit(folder / "text.txt", out=tmp_path / "text", resume=True)
    assert elman.load(tmp_path / "text").score("one")
