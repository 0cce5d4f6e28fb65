"""The language model: state, windows, generation, and the way from a file to a run and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_models import ATTENTION, TAPERED, TEXT, corpus, network

from elman import LanguageModel, load
from elman.cells import find
from elman.data.corpus import EncodedCorpus, Windows
from elman.decoding import Forbidden, LineStarts, Matching
from elman.diagnostics import write_report
from elman.errors import ConfigError, DataError
from elman.tasks.lm_config import LmConfig
from elman.tasks.lm_measurement import dynamic_losses, fresh_losses, position_losses
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.lm_preparation import prepare_text
from elman.tasks.lm_training import LanguageTraining, TokenBatch, token_losses
from elman.training import fit, read_events


@pytest.mark.parametrize("window", [1, 7, 64, 1000])
@pytest.mark.parametrize(
    "options",
    [{}, {"stack": "deep", "cell": "minGRU"}, {"tied": True}, TAPERED, ATTENTION,
     {"stack": "deep", "cell": "minGRU", **ATTENTION}],
)  # fmt: skip
def test_chunks_of_any_size_give_the_same_loss(window: int, options: dict[str, Any]) -> None:
    model, text = network(**options), corpus()
    whole = token_losses(model, text, window=10_000)
    found = token_losses(model, text, window=window)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    assert found.mean(dtype=np.float64) == pytest.approx(whole.mean(dtype=np.float64), abs=1e-6)


@pytest.mark.parametrize("options", [{}, TAPERED, ATTENTION])
def test_documents_begin_anew(options: dict[str, Any]) -> None:
    model, text = network(**options), corpus()
    losses = token_losses(model, text)
    edge = int(np.flatnonzero(text.ids == 0)[1])
    alone = EncodedCorpus(text.ids[edge:], 0, 1, 1, 1, 0, "")
    np.testing.assert_allclose(losses[edge:], token_losses(model, alone), atol=1e-5)


@pytest.mark.parametrize(("streams", "devices"), [(1, 1), (4, 2), (5, 3), (1, 2)])
def test_each_process_goes_on_with_its_own_streams(streams: int, devices: int) -> None:
    text = corpus(2000)
    batch, training = {"streams": streams, "tbptt": 8}, {"devices": devices}
    made = LanguageTraining(network(), text, text, LmConfig(batch=batch, training=training))
    batches = made.batches(1)
    sizes = {one.inputs.shape[1] for one in batches}
    assert sizes == {max(1, streams // devices)}
    for number in range(len(batches) - devices):
        ends, goes_on = batches[number].targets[-1], batches[number + devices].inputs[0]
        assert torch.equal(ends, goes_on)
    seen = torch.cat([one.inputs.flatten() for one in batches])
    assert len(seen) > 2000 - 8 - devices * max(1, streams // devices)


def test_two_processes_learn_what_one_does() -> None:
    """They share the streams; without dropout the sums differ in their rounding alone."""
    text = corpus(600)
    plain = {"layer_dropout": 0, "output_dropout": 0}
    found = []
    for devices in (1, 2):
        training = {"devices": devices, "epochs": 2, "ema_decay": 0.9, "device": "cpu"}
        config = LmConfig(batch={"streams": 4, "tbptt": 16}, training=training)
        made = LanguageTraining(network(**plain), text, text, config)
        fit(made, config.training)
        found.append({name: p.detach() for name, p in made.model.named_parameters()})
    for name, alone in found[0].items():
        torch.testing.assert_close(found[1][name], alone, rtol=1e-4, atol=1e-5)


def test_a_window_over_all_is_full_backpropagation() -> None:
    """Gradients of one window, and of two that carry the state, against one graph."""
    text = corpus(60)
    config = LmConfig(batch={"streams": 1, "tbptt": 100},
                      model={"hidden": 12, "layer_dropout": 0, "output_dropout": 0})  # fmt: skip
    model = LanguageNetwork(config.model, find("lstm"), 9, tied=False)
    training = LanguageTraining(model, text, text, config)
    loss, weight = training.loss(TokenBatch.of(Windows(text, 1, 100)[0]))
    assert weight == 59
    found = torch.autograd.grad(loss, list(model.parameters()))
    ids = torch.from_numpy(text.ids.astype(np.int64))
    resets = (ids[:-1] == 0)[:, None]
    scores, _ = model(ids[:-1, None], None, resets)
    whole = torch.nn.functional.cross_entropy(scores[:, 0], ids[1:])
    wanted = torch.autograd.grad(whole, list(model.parameters()))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"attention": 20}])
def test_training_resumes_to_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    config = LmConfig(batch={"streams": 4, "tbptt": 8}, model={"hidden": 8, **options},
                      training={"epochs": 2, "checkpoint_seconds": 0})  # fmt: skip

    def trained(folder: Path, stop: bool, resume: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = LanguageNetwork(config.model, find("gru"), 9, tied=False)
        training = LanguageTraining(model, corpus(), corpus(90, 1), config)
        count = 0

        def event(_: Any) -> None:
            nonlocal count
            count += 1
            if stop and count == 6:
                raise KeyboardInterrupt

        fit(training, config.training, directory=folder, on_event=event, resume=resume)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = trained(tmp_path / "whole", False, False)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", True, False)
    again = trained(tmp_path / "cut", False, True)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_dynamic_evaluation_learns_and_leaves_the_model_alone() -> None:
    model = network()
    ids = np.tile(np.arange(1, 9), 60).astype(np.int32)
    text = EncodedCorpus(ids, 0, 1, len(ids), len(ids), 0, "")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapted = dynamic_losses(model, text, lr=1e-2)
    assert adapted[-100:].mean() < token_losses(model, text)[-100:].mean() - 0.1
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_losses_by_position() -> None:
    model, text = network(), corpus(2000)
    losses, marks = fresh_losses(model, text, 16)
    assert losses.shape == (124, 16) and marks.all() and model.training
    model.eval()
    for k in (0, 7, 123):
        alone = replace(text, ids=text.ids[16 * k : 16 * k + 17])
        np.testing.assert_allclose(losses[k], token_losses(model, alone), rtol=1e-5)
    assert list(position_losses(losses, marks)) == ["1", "2-3", "4-7", "8-15", "16"]
    assert not position_losses(*fresh_losses(model, corpus(10), 16))


def test_a_long_text_validates_and_counts_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.setattr("elman.tasks.lm_preparation._MOST_VALID", 100)
    monkeypatch.setattr("elman.tasks.lm_preparation._MOST_COUNTED", 1000)
    told: list[str] = []
    config = LanguageModel(level="char").config
    made = prepare_text(config, tmp_path / "text.txt", None, None, None, told.append)
    assert len(made.valid) in (100, 101) and len(made.train) > 2000
    assert made.train.characters + made.valid.characters == len(TEXT)
    assert made.train.unknown == made.valid.unknown == 0
    assert any("100 tokens validate" in note for note in told)
    assert any("the last 1,000 tokens" in note for note in told)
    told.clear()
    made = prepare_text(config, tmp_path / "text.txt", 0.2, 0.3, None, told.append)
    assert len(made.valid) > 500  # what is named is taken
    assert made.test is not None
    parts = (made.train, made.valid, made.test)
    assert sum(part.characters for part in parts) == len(TEXT)
    assert not any("tokens validate" in note for note in told)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "text.txt").write_text(TEXT)
    task = LanguageModel(
        config={"model.hidden": 32, "batch.streams": 4, "batch.tbptt": 32}, epochs=6
    )
    task.fit(folder / "text.txt", valid=0.1, test=0.1, out=folder / "run")
    return folder / "run"


def test_from_a_file_to_text_and_back(run: Path) -> None:
    task = load(run)
    assert isinstance(task, LanguageModel)
    first = task.generate("the ", length=40, temperature=0.5)
    assert first == task.generate("the ", length=40, temperature=0.5)
    streamed = "".join(t.text for t in task.generate("the ", length=40, temperature=0.5,
                                                     stream=True))  # fmt: skip
    assert streamed == first
    assert task.generate("the ", length=40, seed=2) != task.generate("the ", length=40, seed=3)
    found = task.evaluate(run.parent / "text.txt", last=0.1)
    assert found.metrics["nats"] < 2.0
    assert found.floor is not None
    scores = task.score("the cat")
    assert "".join(t.text for t in scores) == "the cat"
    assert all(t.log_probability <= 0 for t in scores)


def test_what_it_wrote_while_it_learnt(run: Path) -> None:
    events = read_events(run / "metrics.jsonl")
    said = [event for event in events if event["event"] == "sample"]
    checks = {event["step"]: event["metrics"]["nats"] for event in events
              if event["event"] == "validated"}  # fmt: skip
    assert 3 <= len(said) <= 11 and all(event["step"] in checks for event in said)
    assert all(0 < len(event["text"]) <= 200 for event in said)
    assert said[0]["text"] != said[-1]["text"]  # one seed, another model
    page = write_report(run).read_text()
    places = [page.index(f"{checks[event['step']]:.3f} nats a token</h3>") for event in said]
    assert places == sorted(places) and "While it learnt" in page


@pytest.mark.parametrize("options", [{}, {"model.attention": 8}, {"model.stack": "deep"}])
def test_samples_do_not_change_what_is_learnt(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    config = {"model.hidden": 16, "batch.streams": 4, "batch.tbptt": 32, **options}
    found: list[dict[str, torch.Tensor]] = []
    for speaks in (True, False):
        if not speaks:
            monkeypatch.setattr(LanguageTraining, "sample", lambda self: None)
        task = LanguageModel(epochs=3, config=config)
        task.fit(tmp_path / "text.txt", valid=0.1)
        found.append(task.network.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.fixture(scope="module")
def attentive(run: Path) -> Path:
    """A run whose model looks back over 20 steps."""
    folder = run.parent / "attentive"
    config = {"model.hidden": 32, "batch.streams": 4, "batch.tbptt": 32, "model.attention": 20}
    LanguageModel(config=config, epochs=3).fit(run.parent / "text.txt", valid=0.1, out=folder)
    return folder


@pytest.fixture(scope="module")
def tapered(run: Path) -> Path:
    """A run whose last layer has the size of its vectors."""
    folder = run.parent / "tapered"
    config = {"model.hidden": 32, "batch.streams": 4, "batch.tbptt": 32, "model.tied": True,
              "model.embedding": 16, "model.outputs": "last"}  # fmt: skip
    LanguageModel(config=config, epochs=3).fit(run.parent / "text.txt", valid=0.1, out=folder)
    return folder


def test_attention_learns_is_kept_and_writes(attentive: Path) -> None:
    task = load(attentive)
    assert isinstance(task, LanguageModel)
    attention = task.network.attention
    assert attention is not None and attention.leave.weight.abs().max() > 0
    text = task.generate("the ", length=60)
    streamed = "".join(token.text for token in task.generate("the ", length=60, stream=True))
    assert text == streamed
    assert task.beam("the ", width=3, length=12)[0][0]


@pytest.mark.parametrize("kind", ["run", "attentive", "tapered"])
def test_generation_follows_the_network(kind: str, request: pytest.FixtureRequest) -> None:
    """Each token's log-probability is that of the whole text read at once."""
    task = load(request.getfixturevalue(kind))
    tokens = list(task.generate("", length=30, ends=False, stream=True))
    scored = task.score("".join(t.text for t in tokens))
    for ours, theirs in zip(tokens, scored, strict=True):
        assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-4)


def test_threads_do_not_matter(run: Path) -> None:
    task, texts, before = load(run), set[str](), torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            texts.add(task.generate("the", length=60))
    finally:
        torch.set_num_threads(before)
    assert len(texts) == 1


def test_constraints_hold(run: Path) -> None:
    task = load(run)
    text = task.generate("", length=80, constraints=[LineStarts("tm")])
    assert [line[:1] for line in text.split("\n")[:2]] == ["t", "m"]
    assert "th" not in task.generate("", length=80, constraints=[Forbidden(("th",))])
    text = task.generate("", length=9, constraints=[Matching("[a-d ]{9}")])
    assert len(text) == 9 and set(text) <= set("abcd ")
    assert not task.generate("", length=80, stops=["cat"]).count("cat")
    for length in (7, 60):
        text = task.generate("the", length=length, required=["mat", "dog"])
        assert "mat" in text and "dog" in text and len(text) <= length
    with pytest.raises(ConfigError, match="cannot write '漢'"):
        task.generate("", required=["漢"])
    with pytest.raises(DataError, match=r"'dog' is required .* exclude it"):
        task.generate("", length=3, required=["dog"], constraints=[Forbidden(("do",))])
    for seed in range(5):  # a place where the whole string fits, not its first character alone
        rule = Matching("([a-z]{4} ){4}")
        text = task.generate("", length=20, required=["mat"], constraints=[rule], seed=seed)
        assert "mat" in text and rule.finished(text)
    for seed in range(5):
        text = "".join(
            t.text for t in task.generate("", required=["mat"], stops=[" "], seed=seed, stream=True)
        )
        assert "mat" in text and text.find(" ") in (-1, len(text) - 1)
    with pytest.raises(ConfigError, match="ends the text"):
        task.generate("", required=["a cat"], stops=["cat"])
    with pytest.raises(DataError, match="exclude every token"):
        task.generate("", length=5, constraints=[Matching("Z+")])
    with pytest.raises(DataError, match="knows nothing"):
        task.generate("漢字")


def test_beams_are_better_than_greedy(run: Path) -> None:
    task = load(run)
    best, score = task.beam("the ", width=4, length=12)[0]
    greedy = list(task.generate("the ", length=12, temperature=0, stream=True))
    assert score >= sum(t.log_probability for t in greedy) - 1e-4
    assert best


@pytest.mark.parametrize("level", ["char", "byte", "word", "subword"])
def test_levels(level: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT + "春眠不覺曉 處處聞啼鳥\n" * 20)
    task = LanguageModel(level=level, epochs=1,
                         config={"model.hidden": 8, "batch.streams": 2})  # fmt: skip
    result = task.fit(tmp_path / "text.txt")
    assert result.evaluation.metrics["nats_per_character"] > 0
    assert isinstance(task.generate("the", length=20), str)


def test_dialogues_count_only_replies(tmp_path: Path) -> None:
    rows = ['{"turns": ["ping", "pong", "ping", "pong"]}'] * 60
    rows += ['{"turns": [{"role": "user", "content": "hot"}, '
             '{"role": "assistant", "content": "cold"}]}'] * 60  # fmt: skip
    (tmp_path / "talk.jsonl").write_text("\n".join(rows))
    config = {"model.hidden": 32, "batch.streams": 4, "batch.tbptt": 16}
    task = LanguageModel(level="char", epochs=8, config=config)
    result = task.fit(tmp_path / "talk.jsonl")
    assert result.evaluation.metrics["nats"] < 0.5  # what is said cannot be known, and is not asked
    talk = task.chat(temperature=0)
    assert "".join(t.text for t in talk.reply("hot")) == "cold"
    first, second = task.chat(seed=1, temperature=9), task.chat(seed=2, temperature=9)
    said = ["".join(t.text for t in one.reply("hot")) for one in (first, first, second)]
    assert said[1] != said[2]  # the second turn of one seed is not the first of the next


@pytest.mark.parametrize("preset", ["default", "char", "deep", "awd-lstm"])
def test_no_letter_is_folded(preset: str) -> None:
    config = LanguageModel(preset, level="char", minutes=1).config
    assert not config.data.tokeniser.lowercase
    assert config.data.tokeniser.min_count == 1
    assert config.training.lr > 2e-3  # a recipe is not lost to a setting beside it


def test_the_recipe_follows_the_kinds_of_tokens(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(1200)]
    many, few = tmp_path / "many.txt", tmp_path / "few.txt"
    many.write_text(" ".join(words * 3), encoding="utf-8")
    few.write_text(TEXT, encoding="utf-8")
    small = {"model.hidden": 4, "floor.measure": False, "training.epochs": 1}
    small |= {"data.tokeniser.level": "blank"}
    found = LanguageModel(config=small)
    found.fit(many)
    assert (found.config.preset, found.config.model.input_dropout) == ("word", 0.3)
    assert found.config.model.hidden == 4 and found.network.tied
    left = LanguageModel(config=small)
    left.fit(few)
    assert left.config.preset == "default" and not left.network.tied
    asked = LanguageModel("char", {**small, "batch.tbptt": 32})
    asked.fit(many)
    assert (asked.config.preset, asked.config.batch.tbptt) == ("char", 32)


def test_each_fit_begins_with_what_was_asked_for(tmp_path: Path) -> None:
    many, few = tmp_path / "many.txt", tmp_path / "few.txt"
    many.write_text(" ".join(f"word{number}" for number in range(1200)) * 3, encoding="utf-8")
    few.write_text(TEXT, encoding="utf-8")
    settings = {"model.hidden": 4, "floor.measure": False, "training.epochs": 1}
    model = LanguageModel(config=settings | {"data.tokeniser.level": "blank"})
    model.fit(many)
    model.fit(few)
    assert model.config.preset == "default" and model.config.model.input_dropout == 0
