"""The parts of a text: files of a folder, shares of its end, and what they are measured by."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_models import TEXT, network

from elman import LanguageModel
from elman.data import TokeniserConfig, build_tokeniser
from elman.data.corpus import Corpus, EncodedCorpus
from elman.errors import ConfigError
from elman.tasks.lm_measurement import fresh_losses, measured, position_losses
from elman.tasks.lm_preparation import PreparedText, prepare_text, settled
from elman.tasks.lm_training import token_losses


def _prepared(data: Path, *held: Any, level: str = "char", **more: Any) -> PreparedText:
    config = LanguageModel(level=level, config={"floor.measure": False, **more}).config
    valid, test = (*held, None, None)[:2]
    return prepare_text(config, data, valid, test, None, _TOLD.append)


_TOLD: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    _TOLD.clear()


def _lay(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"a.{name}.txt").write_text(text)
    return folder


def test_a_folder_of_parts_does_not_train_on_its_test_file(tmp_path: Path) -> None:
    _lay(tmp_path, train=TEXT, valid="the cat " * 9, test="a dog\n" * 20)
    (tmp_path / "README.md").write_text("what this is")
    made = _prepared(tmp_path)
    assert made.test is not None
    sizes = [part.characters for part in (made.train, made.valid, made.test)]
    assert sizes == [len(TEXT), 72, 120]
    assert {"train: a.train.txt", "valid: a.valid.txt", "test: a.test.txt"} <= set(_TOLD)


def test_what_is_named_goes_before_the_files_of_a_folder(tmp_path: Path) -> None:
    _lay(tmp_path, train=TEXT, valid="the cat " * 9, test="a dog\n" * 20)
    made = _prepared(tmp_path, 0.1, tmp_path / "a.valid.txt")
    assert made.test is not None and made.test.characters == 72
    assert made.train.characters + made.valid.characters == len(TEXT)
    assert {"left out: a.valid.txt", "left out: a.test.txt"} <= set(_TOLD)
    made = _prepared(tmp_path, valid=0.2)  # in the settings
    assert made.valid.characters == pytest.approx(0.2 * len(TEXT), abs=2)


def test_a_model_is_measured_on_the_test_file_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    _lay(tmp_path / "d", train=TEXT, valid="the cat " * 9, test="the dog\n" * 20)
    config = {"model.hidden": 8, "batch.streams": 2, "batch.tbptt": 16}
    task = LanguageModel(config=config, epochs=1)
    result = task.fit(tmp_path / "d")
    found = task.evaluate(tmp_path / "d")
    assert found.facts["characters"] == result.evaluation.facts["characters"] == 160
    assert found.facts["split"] == "test"


def test_one_long_document_among_short_ones_is_cut_inside(tmp_path: Path) -> None:
    lines = ["a b\n"] * 40 + ["a b " * 5000 + "\n"]
    (tmp_path / "a.txt").write_text("".join(lines))
    made = _prepared(tmp_path / "a.txt", **{"data.documents": "line"})
    assert len(made.valid) == pytest.approx(0.1 * len(made.train) / 0.9, rel=0.01)
    sizes = made.train.characters + made.valid.characters
    assert sizes == sum(map(len, lines))


def test_characters_of_unknown_words_are_those_of_the_text(tmp_path: Path) -> None:
    """`decode` gives one character for an unknown word, however long it is."""
    text = "".join(f"the rareword{k} sat .\n" for k in range(200))
    (tmp_path / "a.txt").write_text(text)
    made = _prepared(tmp_path / "a.txt", 0.2, 0.2, level="blank", **{"data.tokeniser.min_count": 2})
    assert made.test is not None
    parts = (made.train, made.valid, made.test)
    assert sum(part.characters for part in parts) == len(text)
    assert sum(part.bytes for part in parts) == len(text.encode())
    mean = len(text) / 200
    for part in parts:
        assert part.unknown == pytest.approx(len(part) / 5, abs=2)
        assert part.characters == pytest.approx(len(part) / 5 * mean, rel=0.03)


def _dialogue() -> EncodedCorpus:
    random = np.random.default_rng(3)
    ids = random.integers(1, 9, 4001).astype(np.int32)
    counted = random.random(4001) < 0.3
    letters = int(counted[1:].sum())
    return EncodedCorpus(ids, 0, 1, letters, 2 * letters, 0, "", counted)


def test_a_dialogue_is_measured_by_its_replies() -> None:
    model, text = network(), _dialogue()
    found = measured(model, text, None)
    assert text.counted is not None
    losses = token_losses(model, text)[text.counted[1:]]
    assert found.facts["tokens"] == len(losses)
    assert found.metrics["nats_per_character"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found.metrics["bits_per_byte"] == pytest.approx(losses.mean() / 2 / math.log(2), 1e-5)


def test_losses_by_position_are_the_replies() -> None:
    model, text = network(), _dialogue()
    assert text.counted is not None
    found = position_losses(*fresh_losses(model, text, 16))
    rows = [slice(k * 16, k * 16 + 17) for k in range(250)]
    losses, marks = [], []
    for row in rows:
        alone = EncodedCorpus(text.ids[row], 0, 1, 1, 1, 0, "")
        losses.append(token_losses(model, alone))
        marks.append(text.counted[row][1:])
    kept = np.array(marks)[:, 3:7]
    assert found["4-7"] == pytest.approx(np.array(losses)[:, 3:7][kept].mean(), rel=1e-5)


def test_a_dialogue_that_is_cut_counts_its_replies(tmp_path: Path) -> None:
    rows = [json.dumps({"turns": ["what is said " * 3, f"reply {k}"]}) for k in range(100)]
    (tmp_path / "talk.jsonl").write_text("\n".join(rows))
    made = _prepared(tmp_path / "talk.jsonl")
    wanted = sum(len(f"reply {k}\n") for k in range(100))
    assert made.train.characters + made.valid.characters == wanted
    assert made.valid.characters == sum(len(f"reply {k}\n") for k in range(90, 100))
    assert any("characters of replies" in line for line in _TOLD)


def _level(text: str, level: str = "prose") -> str:
    return settled(TokeniserConfig(level=level), [text]).level  # type: ignore[arg-type]


def test_words_are_found_as_the_text_has_them() -> None:
    cut = "the cat sat on the mat . the dog , he ran . <unk> \n" * 30
    prose = "The cat sat on the mat. The dog, he ran.\n" * 30
    assert [_level(text) for text in (cut, prose)] == ["blank", "prose"]
    assert [_level(text, "auto") for text in (cut, prose)] == ["blank", "char"]
    assert _level("味道很好，送餐也快\n" * 30) == "zh-prose"
    with pytest.raises(ConfigError, match=r"does not part words.*--level char"):
        _level("หนังเรื่องนี้ดีมาก\n" * 30)


def test_a_mark_is_no_part_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello, world.\nThe world, the cat.\n" * 60)
    task = LanguageModel(level="word", epochs=2, config={"model.hidden": 8, "batch.streams": 2})
    result = task.fit(tmp_path / "a.txt")
    assert result.document["model"]["vocabulary"] < 14  # "world" is one word
    assert result.evaluation.facts["characters"] > 0
    text = task.generate("Hello", length=40, ends=False)
    words = build_tokeniser([text], TokeniserConfig(level="prose", min_count=1, lowercase=False))
    assert text.strip(" ") == words.decode(words.encode(text)).strip(" ")


@pytest.mark.data
@pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="ELMAN_DATA is not set")
def test_the_penn_treebank_is_cut_at_blanks() -> None:
    path = Path(os.environ["ELMAN_DATA"]) / "ptb" / "ptb.valid.txt.gz"
    config = LanguageModel(level="word").config.data.tokeniser
    assert settled(config, Corpus(str(path)).texts()).level == "blank"
