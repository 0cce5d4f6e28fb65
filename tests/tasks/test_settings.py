"""Settings: layers, dotted names, and mistakes that name the closest known word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import ConfigError
from elman.tasks.classify_config import PRESETS, configured
from elman.tasks.classify_training import settled
from elman.tasks.settings import merged, nested


def test_dotted_names_become_sections() -> None:
    assert nested({"model.hidden": 4, "model.word-dropout": 0.1, "valid": 0.2}) == {
        "model": {"hidden": 4, "word_dropout": 0.1},
        "valid": 0.2,
    }


def test_a_name_cannot_be_a_section_and_a_setting() -> None:
    with pytest.raises(ConfigError, match="both a setting and a section"):
        nested({"model": 1, "model.hidden": 2})


_trees = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)


@given(st.dictionaries(st.sampled_from("abc"), _trees))
def test_merging_with_nothing_or_itself_changes_nothing(tree: dict[str, object]) -> None:
    assert merged(tree) == tree
    assert merged(tree, {}) == tree
    assert merged(tree, tree) == tree


def test_settings_that_nobody_set_stay_open() -> None:
    """Whole settings handed on, as cross-validation does, must not freeze what the data decide."""
    whole = configured("default", {"model.dropout": 0.3}, {"hidden": 32})
    again = configured("default", whole, {})
    assert again == whole
    assert "epochs" not in again.training.model_fields_set


def test_what_the_user_names_lies_on_top_of_the_preset() -> None:
    config = configured("bilstm-glove", {"model.dropout": 0.3}, {"hidden": 32, "epochs": None})
    assert (config.model.hidden, config.model.dropout, config.model.depth) == (32, 0.3, 2)
    assert config.preset == "bilstm-glove"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_survives_its_config_file(preset: str) -> None:
    config = configured(preset, None, {})
    assert configured("default", config.model_dump(mode="json"), {}) == config
    assert configured("default", config, {}) == config


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model.hiden": 3}, 'no setting "model.hiden". Did you mean "hidden"'),
        ({"modell.hidden": 3}, 'Did you mean "model"'),
        ({"training.lr": "fast"}, "training.lr: got 'fast', wanted a valid number"),
        ({"training.epochs": -1}, "training.epochs: got -1, wanted greater than or equal to 1"),
        ({"model.dropout": 1.5}, "model.dropout: got 1.5, wanted less than 1"),
        ({"training.optimiser": "adamm"}, 'Did you mean "adam'),
        ({"model.stack": "tower"}, "model.stack: got 'tower', wanted 'plain', 'residual'"),
        ({"data.tokeniser.level": "words"}, "data.tokeniser.level: got 'words', wanted 'auto'"),
        ({"model": 3}, "model: got 3"),
    ],
)
def test_mistakes_are_sentences(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        configured("default", settings, {})
    assert words in str(error.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"hiden.*lr"):
        configured("default", {"model.hiden": 3, "training.lr": "fast"}, {})


def test_unknown_presets_and_short_names_offer_the_closest() -> None:
    with pytest.raises(ConfigError, match='Did you mean "bilstm-glove"'):
        configured("bilstm-glov", None, {})
    with pytest.raises(ConfigError, match='Did you mean "hidden"'):
        configured("default", None, {"hiddn": 3})


@pytest.mark.parametrize(
    ("settings", "segment"),
    [
        ({}, 50),
        ({"model.pooling": "last"}, 0),
        ({"model.pooling": "last", "model.segment": 30}, 30),
        ({"model.pooling": "mean"}, 50),
    ],
)
def test_the_last_step_has_read_the_whole_text(settings: dict[str, Any], segment: int) -> None:
    found = settled(configured("default", settings, {}), 100, "word")
    assert found.model.segment == segment
    assert settled(found, 100, "word").model.segment == segment


@pytest.mark.parametrize(
    ("rows", "level", "settings", "members", "subwords", "shapes"),
    [
        (5000, "word", {}, 5, 4096, True),
        (5000, "zh-char", {}, 5, 0, False),
        (8000, "blank", {}, 5, 4096, True),
        (8001, "word", {}, 3, 0, False),
        (20_000, "blank", {}, 3, 0, False),
        (25_000, "word", {}, 1, 0, False),
        (5000, "word", {"preset": "bilstm-glove"}, 1, 0, False),
        (5000, "word", {"model.vectors": "some.txt"}, 5, 0, True),
        (5000, "word", {"model.encoder": "runs/lm"}, 1, 0, False),
        (25_000, "char", {"model.shapes": True, "model.subwords": 10}, 1, 10, True),
    ],
)
def test_small_sets_of_words_get_help(
    rows: int, level: str, settings: dict[str, Any], members: int, subwords: int, shapes: bool
) -> None:
    preset = settings.get("preset", "default")
    named = {name: value for name, value in settings.items() if name != "preset"}
    model = settled(configured(preset, named, {}), rows, level).model
    assert (model.members, model.subwords, model.shapes) == (members, subwords, shapes)
