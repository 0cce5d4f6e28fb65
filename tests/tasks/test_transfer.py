"""What a language model learnt is where a classifier begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from elman import Classifier, LanguageModel, load
from elman.cells import find
from elman.errors import ConfigError, TrainingError
from elman.tasks.classify_config import ModelConfig, configured
from elman.tasks.classify_training import ClassifierTraining, settled
from elman.tasks.lm_config import LmModelConfig
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.transfer import (
    Standardised,
    TransferNetwork,
    depth_of,
    steps_a_layer,
    unfreeze,
)
from elman.training import Step

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


def test_layers_are_set_free_from_the_top(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[int] = []
    loss = ClassifierTraining.loss

    def noted(self: Any, batch: Any) -> Any:
        learning = {
            depth_of(name, 2) for name, p in self.model.named_parameters() if p.requires_grad
        }
        free.append(max(learning))
        return loss(self, batch)

    monkeypatch.setattr(ClassifierTraining, "loss", noted)
    task = Classifier(encoder=str(folder / "lm"), epochs=1, config={"floor.measure": False})
    task.fit(folder / "rows.csv")
    assert free[0] == 0 and sorted(free) == free and set(free) == {0, 1, 2, 3}
    assert free.count(3) >= 0.65 * len(free)  # one pass, and yet everything learns for long


def test_what_is_free_follows_from_the_step_alone(folder: Path) -> None:
    task = Classifier(encoder=str(folder / "lm"), epochs=3, config={"floor.measure": False})
    whole, parts = folder / "whole", folder / "parts"
    task.fit(folder / "rows.csv", out=whole)

    def stop(event: Any) -> None:
        if isinstance(event, Step) and event.step >= 5:
            raise KeyboardInterrupt

    config = {"floor.measure": False, "training.checkpoint_seconds": 0.0}
    task = Classifier(encoder=str(folder / "lm"), epochs=3, config=config)
    with pytest.raises((KeyboardInterrupt, TrainingError)):
        task.fit(folder / "rows.csv", out=parts, on_event=stop)
    Classifier().fit(folder / "rows.csv", out=parts, resume=True)
    assert load(parts).predict("it was fine")
    ours, theirs = (load_file(place / "model.safetensors") for place in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_how_soon_everything_learns() -> None:
    assert steps_a_layer(1000, 2, None, 25_000) == 100
    assert steps_a_layer(750, 2, None, 4000) == 75
    assert steps_a_layer(1400, 2, 2.0, 25_000) == 9  # 96 steps fit into two minutes
    assert steps_a_layer(3, 4, None, 100) == 1


def test_how_far_down_a_parameter_stands() -> None:
    names = {"members.0.linear.weight": 0, "members.0.recurrent.layers.1.forwards.W_i": 1,
             "members.0.recurrent.layers.0.forwards.W_i": 2,
             "members.0.recurrent.last.layers.0.forwards.W_i": 1,
             "members.0.recurrent.below.layers.0.forwards.W_i": 2,
             "members.0.attention.leave.weight": 1, "members.0.embedding.weight": 3}  # fmt: skip
    assert {name: depth_of(name, 2) for name in names} == names


def test_how_far_down_a_block_stands() -> None:
    language = LmModelConfig(cell="minGRU", stack="deep", hidden=8, depth=4, embedding=6)
    network = LanguageNetwork(language, find("minGRU"), 20, tied=False)
    names = [name for name, _ in TransferNetwork(ModelConfig(), network, 1).named_parameters()]
    for block in range(4):
        own = {depth_of(name, 4) for name in names if f"recurrent.blocks.{block}." in name}
        assert own == {4 - block}
    assert {depth_of(name, 4) for name in names if "recurrent.enter." in name} == {4}
    assert {depth_of(name, 4) for name in names if "recurrent.norm." in name} == {1}
    assert depth_of("embedding.weight", 4) == 5


def test_pooled_texts_are_standardised_by_all_rows_so_far() -> None:
    rows = np.random.default_rng(0).normal(3.0, 0.01, (10, 4))
    norm = Standardised(4).double()
    for part in (rows[:3], rows[3:4], rows[4:]):
        norm(torch.from_numpy(part))
    assert norm.mean.numpy() == pytest.approx(rows.mean(axis=0))
    assert norm.variance.numpy() == pytest.approx(rows.var(axis=0))
    norm.eval()
    found = norm(torch.from_numpy(rows)).numpy()
    assert found.std(axis=0) == pytest.approx(np.ones(4), rel=1e-3)
    assert norm.mean.numpy() == pytest.approx(rows.mean(axis=0))  # reading changes nothing


def test_a_small_difference_between_texts_is_found() -> None:
    torch.manual_seed(0)
    language = LanguageNetwork(LmModelConfig(hidden=16, depth=1), find("lstm"), 9, tied=False)
    with torch.no_grad():  # what every text shares is a hundred times what tells them apart
        language.embedding.weight.mul_(0.02)
        for name, p in language.recurrent.named_parameters():
            if "b_" in name:
                p.fill_(2.0)
    network = TransferNetwork(ModelConfig(word_dropout=0.0), language, 1)
    unfreeze(network, 1, 1)
    learnt = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learnt, lr=2e-3)
    values, lengths = torch.randint(2, 9, (6, 64)), torch.full((64,), 6)
    target = (values == 3).any(0).float()
    for _ in range(150):
        loss = functional.binary_cross_entropy_with_logits(network(values, lengths)[:, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    right = (network(values, lengths)[:, 0] > 0) == (target > 0)
    assert right.float().mean() > 0.8


def test_settings_that_an_encoder_decides_are_refused(folder: Path) -> None:
    for options in ({"hidden": 32}, {"depth": 3}, {"cell": "gru"}, {"vectors": "glove.txt"}):
        with pytest.raises(ConfigError, match="beside an encoder"):
            Classifier(encoder=str(folder / "lm"), **options).fit(folder / "rows.csv")


def test_the_pooling_that_is_asked_for_is_taken(folder: Path) -> None:
    config = {"floor.measure": False, "model.pooling": "mean"}
    task = Classifier(encoder=str(folder / "lm"), epochs=1, config=config)
    task.fit(folder / "rows.csv")
    network = task._trained().network
    assert network.members[0].pooling.kinds == ("mean",)


def test_an_encoder_of_characters_sees_as_much_of_a_text() -> None:
    config = configured("default", {"model.encoder": "runs/lm"}, {})
    assert settled(config, 1000, "word").data.head_tail == (150, 250)
    assert settled(config, 1000, "char").data.head_tail == (750, 1250)
    assert settled(settled(config, 9, "byte"), 9, "byte").data.head_tail == (750, 1250)
    assert settled(config, 1000, "word").training.precision == "auto"
    named = configured("default", {"model.encoder": "runs/lm", "training.precision": "32"}, {})
    assert settled(named, 1000, "word").training.precision == "32"
    alone = settled(configured("default", {}, {}), 1000, "char")
    assert alone.data.head_tail == (150, 250) and alone.training.precision == "32"


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
