"""Pre-training a classifier's encoder: on what, for how long, with whose settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elman import Classifier, LanguageModel, load
from elman.data import load_tokeniser
from elman.errors import ConfigError, RunError
from elman.tasks import pretraining, run
from elman.tasks.classify_config import configured
from elman.training import Event, Validated

TINY: dict[str, Any] = {"floor.measure": False, "model.hidden": 8, "model.embedding": 6,
                        "training.epochs": 1}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = [f"the film {k % 7} was {('fine', 'dull')[k > 60]} and rather long" for k in range(120)]
    rows = [f"{text},{('good', 'bad')[k > 60]}" for k, text in enumerate(own)]
    (tmp_path / "rows.csv").write_text("\n".join(["review,label", *rows]))
    wide = [f"once upon a time there were {k} kings in a far away land" for k in range(900)]
    (tmp_path / "wide.txt").write_text("\n".join(wide))
    (tmp_path / "lines.txt").write_text("\n".join(own))
    return tmp_path


def settings(place: Path) -> dict[str, Any]:
    return run.read_yaml(place / "config.yaml")


def test_words_of_both_texts_are_known(folder: Path) -> None:
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "rows.csv", out=folder / "run")
    for name in ("language", "language-tuned"):
        known = load_tokeniser(folder / "run" / name).vocabulary
        assert {"film", "dull", "kings"} <= set(known)
    general = settings(folder / "run" / "language")
    tuned = settings(folder / "run" / "language-tuned")
    assert tuned["training"]["lr"] == general["training"]["lr"] / 4
    assert not general["floor"]["measure"] and not tuned["floor"]["measure"]


def test_the_tasks_own_text_is_read_in_one_stage(folder: Path) -> None:
    for name in ("rows.csv", "lines.txt"):
        out = folder / f"run-{name}"
        task = Classifier(pretrain=str(folder / name), config=TINY, minutes=0.1)
        task.fit(folder / "rows.csv", out=out)
        assert not (out / "language-tuned").exists()
        minutes = settings(out / "language")["training"]["minutes"]
        assert minutes == pytest.approx(0.1 * sum(pretraining.SHARES))


def test_what_is_held_out_is_of_every_class(folder: Path) -> None:
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "rows.csv", out=folder / "run")
    lines = (folder / "run" / "own.txt").read_text().split("\n\n")
    assert len(lines) == 120
    last = [("fine" in line) for line in lines[-20:]]
    assert any(last) and not all(last)


def test_the_classifier_has_what_is_left_of_the_minutes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured("default", TINY | {"training.minutes": 10.0}, {})
    monkeypatch.setattr(pretraining, "pretrained", lambda *_: ("runs/lm", 120.0))
    made = pretraining.with_encoder(config, "text", [], None, None)
    assert made.training.minutes == pytest.approx(8.0, abs=0.01)
    monkeypatch.setattr(pretraining, "pretrained", lambda *_: ("runs/lm", 9999.0))
    made = pretraining.with_encoder(config, "text", [], None, None)
    assert made.training.minutes == pytest.approx(2.0)


def test_a_finished_stage_is_not_trained_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    fit = LanguageModel.fit

    def counted(self: Any, data: Any, **options: Any) -> Any:
        trained.append(Path(options["out"]).name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return fit(self, data, **options)

    monkeypatch.setattr(LanguageModel, "fit", counted)
    out = folder / "run"
    with pytest.raises(KeyboardInterrupt):
        Classifier(pretrain=str(folder / "wide.txt"), config=TINY).fit(folder / "rows.csv", out=out)
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "rows.csv", out=out, resume=True)
    assert trained == ["language", "language-tuned", "language-tuned"]


def test_settings_go_to_the_language_model(folder: Path) -> None:
    config = TINY | {"model.cell": "gru", "model.depth": 3, "training.precision": "32",
                     "data.text": "review"}  # fmt: skip
    task = Classifier(pretrain=str(folder / "rows.csv"), config=config, device="cpu")
    task.fit(folder / "rows.csv", out=folder / "run")
    found = settings(folder / "run" / "language")
    assert found["model"]["cell"] == "gru" and found["model"]["depth"] == 3
    assert found["model"]["hidden"] == 8
    assert found["training"]["precision"] == "32" and found["training"]["device"] == "cpu"
    assert load(folder / "run").predict("the film was dull")
    with pytest.raises(ConfigError, match="got vectors"):
        Classifier(pretrain=str(folder / "wide.txt"), vectors="v.txt").fit(folder / "rows.csv")


def test_chinese_is_read_by_character(folder: Path) -> None:
    rows = [f"这家店的菜{'很好吃' if k % 2 else '太难吃了'}服务第{k}次,{k % 2}" for k in range(60)]
    (folder / "zh.csv").write_text("\n".join(["review,label", *rows]), encoding="utf-8")
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "zh.csv", out=folder / "zh")
    assert load_tokeniser(folder / "zh" / "language").level == "zh-char"


def test_many_words_are_sampled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_SAMPLED", 20)
    monkeypatch.setattr(pretraining, "MANY", 20)
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "rows.csv", out=folder / "run")
    found = settings(folder / "run" / "language")["model"]
    assert found["softmax"] == "sampled" and found["tied"] and found["embedding"] == 6


def test_a_long_text_holds_out_a_small_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_MOST_VALID", 200)
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "rows.csv", out=folder / "run")
    document = json.loads((folder / "run" / "language" / "result.json").read_text())
    assert 100 < document["evaluation"]["tokens"] < 400


def test_without_a_run_nothing_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[tuple[Any, ...]] = []
    monkeypatch.setattr(pretraining.atexit, "register", lambda *a, **_: ends.append(a))
    Classifier(pretrain=str(folder / "lines.txt"), config=TINY).fit(folder / "rows.csv")
    [(remove, place)] = ends
    assert Path(place).exists()
    remove(place, ignore_errors=True)
    assert not Path(place).exists()


def test_of_a_parted_folder_the_training_part_is_read(folder: Path) -> None:
    parts = folder / "parts"
    parts.mkdir()
    (folder / "wide.txt").rename(parts / "wide.train.txt")
    for name in ("valid", "test"):
        (parts / f"wide.{name}.txt").write_text(f"only the {name} part says {name}ity\n" * 40)
    task = Classifier(pretrain=str(parts), config=TINY)
    task.fit(folder / "rows.csv", out=folder / "run")
    known = load_tokeniser(folder / "run" / "language").vocabulary
    assert "kings" in known and "testity" not in known


def test_few_passes_drop_little(folder: Path) -> None:
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    task.fit(folder / "rows.csv", out=folder / "run")
    model = settings(folder / "run" / "language")["model"]
    assert (model["input_dropout"], model["embedding_dropout"]) == (0.1, 0.0)


def test_the_minutes_that_were_left_are_kept(tmp_path: Path) -> None:
    assert pretraining._decided(tmp_path, 7.5) == 7.5
    assert pretraining._decided(tmp_path, 3.0) == 7.5
    assert pretraining._decided(None, 3.0) == 3.0


def test_another_text_does_not_get_the_language_model_of_the_first(folder: Path) -> None:
    out = folder / "run"
    task = Classifier(pretrain=str(folder / "wide.txt"), config=TINY)
    with pytest.raises(KeyboardInterrupt):
        task.fit(folder / "rows.csv", out=out, on_event=_stop_the_classifier)
    (folder / "other.txt").write_text("something else was said here\n" * 400)
    other = Classifier(pretrain=str(folder / "other.txt"), config=TINY)
    with pytest.raises(RunError, match="another text"):
        other._pretrain(other.config, folder / "rows.csv", out, None)


def _stop_the_classifier(event: Event) -> None:
    if isinstance(event, Validated) and "log_loss" in event.metrics:
        raise KeyboardInterrupt
