"""Each network leaves out rows of its own, and answers alone for those."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.cells import find
from elman.data import stratified_split
from elman.tasks import Classifier, held_out
from elman.tasks.building import built
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.classify_training import ClassifierTraining, network_scores, settled
from elman.tasks.held_out import LEARNT, owners_of
from elman.tasks.network import TextClassifier
from elman.tasks.preparation import Prepared, prepare

Made = tuple[ClassifyConfig, Prepared]


@given(
    st.lists(st.sampled_from("aaabbc"), min_size=2, max_size=200),
    st.sampled_from([0.05, 0.1, 0.2, 0.4]),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_shares_lie_side_by_side(labels: list[str], share: float, networks: int, seed: int) -> None:
    owners = owners_of(labels, share, networks, seed)
    assert owners.max() < (networks if networks * share < 1 else 1)
    _, off = stratified_split(labels, share, seed)
    assert np.flatnonzero(owners == 0).tolist() == off  # the first one's is the plain split
    for network in range(owners.max() + 1):
        left = [label for label, owner in zip(labels, owners, strict=True) if owner != network]
        assert set(left) == set(labels) or min(labels.count(one) for one in set(labels)) == 1
        wanted = share * len(labels)
        assert abs((owners == network).sum() - wanted) <= len(set(labels)) + 1


@pytest.fixture
def made(tmp_path: Path) -> Made:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        rows = [[f"word{k % 7} word{k % 3}", "ab"[k % 2]] for k in range(60)]
        csv.writer(file).writerows([["text", "label"], *rows])
    few = {"model.members": 3, "model.embedding": 4, "model.dropout": 0.0}
    config = Classifier(hidden=4, epochs=1, config=few).config
    made = prepare(config, path, None, None, lambda message: None)
    return settled(config, len(made.train), made.tokeniser.level, made.networks), made


@pytest.mark.parametrize("small", [40, 56, 60])
def test_the_number_of_networks_is_that_of_the_whole_file(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    # With 60 rows and a bound of 56 the training part alone (54) would be a small set.
    monkeypatch.setattr(held_out, "FEW", 8)
    monkeypatch.setattr(held_out, "SMALL", small)
    path, config = tmp_path / "rows.csv", made[0]
    config = config.model_copy(update={"model": config.model.model_copy(update={"members": None})})
    first = prepare(config, path, None, None, lambda message: None)
    decided = settled(config, len(first.train), first.tokeniser.level, first.networks)
    assert decided.model.members == first.networks == (3 if small == 60 else 1)
    again = prepare(decided, path, None, None, lambda message: None)
    assert list(again.train.texts()) == list(first.train.texts())
    assert list(again.valid.texts()) == list(first.valid.texts())
    assert (again.owners is None) == (first.owners is None)


def _network(config: ClassifyConfig, parts: Prepared) -> TextClassifier:
    return built(config, find(config.model.cell), parts, lambda message: None).network


def test_what_a_network_leaves_out_gives_it_no_gradient(
    made: Made,
) -> None:
    config, parts = made
    assert parts.owners is not None
    assert parts.own is not None
    network = _network(config, parts)
    training = ClassifierTraining(
        network, parts.numbers_train, parts.numbers_valid, None, config,
        (parts.owners, parts.own),
    )  # fmt: skip
    for batch in (training.batches(1)[k] for k in range(len(training.batches(1)))):
        for place, row in enumerate(batch.rows):
            logits = torch.randn(len(batch.rows), 1, requires_grad=True)
            for member in range(3):
                (slope,) = torch.autograd.grad(
                    training._loss(*training._learnt(member, logits, batch)), logits
                )
                learns = bool(slope[place].abs().sum() > 0)
                assert learns == (parts.owners[row] != member)


def test_validation_asks_the_owner_alone(made: Made) -> None:
    config, parts = made
    assert parts.own is not None
    network = _network(config, parts)
    found = network_scores(network, parts.numbers_valid, config.data, parts.own)
    together = np.zeros_like(found)
    for member in range(3):
        alone = _network(config, parts)
        alone.members = torch.nn.ModuleList([network.members[member]])
        scores = network_scores(alone, parts.numbers_valid, config.data)
        rows = parts.own == member
        np.testing.assert_allclose(found[rows], scores[rows], atol=1e-6)
        together += scores / 3
    every = network_scores(network, parts.numbers_valid, config.data)
    np.testing.assert_allclose(every, together, atol=1e-6)


def test_a_floor_scores_what_it_has_not_learnt(made: Made) -> None:
    _, parts = made
    assert parts.owners is not None
    assert parts.own is not None
    assert len(parts.floors) == 3
    assert len({floor.name for floor in parts.floors}) == 1
    scores = parts.floor_scores()
    assert scores is not None
    for member, floor in enumerate(parts.floors):
        rows = np.flatnonzero(parts.own == member)
        texts = list(parts.valid.select(rows.tolist()).texts())
        np.testing.assert_allclose(np.exp(scores[rows]), floor.probabilities(texts), atol=1e-8)
        assert floor.settings["train_rows"] == 60 - len(rows)
        assert (parts.owners != LEARNT).sum() == len(parts.valid)


def test_a_file_to_validate_on_is_everybodys(tmp_path: Path, made: object) -> None:
    path = tmp_path / "rows.csv"
    task = Classifier(hidden=4, epochs=1)
    parts = prepare(task.config, path, path, None, lambda message: None)
    assert parts.owners is None
    assert len(parts.floors) == 1
