"""What a language model learnt is where a classifier begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from elman import Classifier, LanguageModel, load
from elman.errors import ConfigError
from elman.tasks.transfer import depth_of

WORDS = {"good": "fine great lovely bright".split(), "bad": "poor awful dull broken".split()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    random = torch.Generator().manual_seed(0)
    rows = ["text,label"]
    texts: list[str] = []
    for _ in range(120):
        for label, words in WORDS.items():
            picks = torch.randint(0, 4, (3,), generator=random).tolist()
            texts.append(" ".join(["it", "was", *(words[k] for k in picks)]))
            rows.append(f"{texts[-1]},{label}")
    (folder / "rows.csv").write_text("\n".join(rows))
    (folder / "text.txt").write_text("\n".join(texts))
    config = {"model.hidden": 24, "batch.streams": 4, "batch.tbptt": 16}
    task = LanguageModel(level="word", epochs=3, config=config)
    task.fit(folder / "text.txt", out=folder / "lm")
    return folder


def test_a_classifier_goes_on_from_a_language_model(folder: Path) -> None:
    # A few dozen steps: everything learns at once, and fast.
    config = {"floor.measure": False, "model.unfreeze": False, "model.slower": 1.0}
    task = Classifier(encoder=str(folder / "lm"), epochs=5, config=config)
    result = task.fit(folder / "rows.csv", out=folder / "run")
    assert result.evaluation.metrics["accuracy"] > 0.9
    again = load(folder / "run")
    wanted = task.predict(["it was great fine lovely"])[0]
    got = again.predict(["it was great fine lovely"])[0]
    assert got.label == wanted.label == "good"
    assert got.probability == pytest.approx(wanted.probability, abs=1e-6)
    (folder / "lm").rename(folder / "gone")  # the run stands on its own
    assert load(folder / "run").predict(["it was dull"])[0].label == "bad"
    (folder / "gone").rename(folder / "lm")


def test_layers_are_set_free_from_the_top(folder: Path) -> None:
    task = Classifier(encoder=str(folder / "lm"), epochs=1, config={"floor.measure": False})
    before = LanguageModel.load(folder / "lm").network
    task.fit(folder / "rows.csv")
    after = task._trained().network.members[0]
    assert torch.equal(before.embedding.weight, after.embedding.weight)
    for ours, theirs in zip(before.recurrent.parameters(), after.recurrent.parameters(),
                            strict=True):  # fmt: skip
        assert torch.equal(ours, theirs)


def test_how_far_down_a_parameter_stands() -> None:
    names = {"members.0.linear.weight": 0, "members.0.recurrent.layers.1.forwards.W_i": 1,
             "members.0.recurrent.layers.0.forwards.W_i": 2,
             "members.0.attention.leave.weight": 1, "members.0.embedding.weight": 3}  # fmt: skip
    assert {name: depth_of(name, 2) for name in names} == names


def test_attention_is_carried_over(folder: Path) -> None:
    config = {"model.hidden": 8, "batch.streams": 4, "batch.tbptt": 16, "model.attention": 5}
    LanguageModel(level="word", epochs=1, config=config).fit(
        folder / "text.txt", out=folder / "attentive"
    )
    options = {"floor.measure": False, "model.unfreeze": False}
    task = Classifier(encoder=str(folder / "attentive"), epochs=1, config=options)
    task.fit(folder / "rows.csv", out=folder / "with-attention")
    texts = ["it was great", "it was dull awful poor and bad"]
    again = load(folder / "with-attention")
    for ours, theirs in zip(task.predict(texts), again.predict(texts), strict=True):
        assert ours.probability == pytest.approx(theirs.probability, abs=1e-6)
    # What stands in the padding of a batch is not seen.
    assert again.predict(texts[:1])[0].probability == pytest.approx(
        again.predict(texts)[0].probability, abs=1e-6
    )


def test_another_task_is_no_encoder(folder: Path) -> None:
    run = folder / "other"
    Classifier(epochs=1, config={"floor.measure": False, "model.hidden": 4}).fit(
        folder / "rows.csv", out=run
    )
    with pytest.raises(ConfigError, match="wanted a language model"):
        Classifier(encoder=str(run), epochs=1).fit(folder / "rows.csv")
