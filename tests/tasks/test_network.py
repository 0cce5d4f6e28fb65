"""The classifier's network with every cell of the catalogue, in every stack."""

from __future__ import annotations

import pytest
import torch

from elman.cells import R, U, W, b, catalogue, cell, sigmoid
from elman.errors import ElmanError
from elman.nn import Deep
from elman.tasks.classify_config import ModelConfig
from elman.tasks.network import TextClassifier

HIDDEN = 8
MORE = {"PhasedLSTM": "t", "ZoneoutGRU": "keep", "ClockworkRNN": "t"}


def _config(stack: str, **options: object) -> ModelConfig:
    sizes = {"hidden": HIDDEN, "embedding": HIDDEN, "members": 1, "segment": 3, "subwords": 0}
    return ModelConfig.model_validate({"stack": stack, "bidirectional": True, **sizes, **options})


@pytest.mark.parametrize("stack", ["plain", "residual", "deep"])
@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_cell_classifies_or_is_refused(name: str, stack: str) -> None:
    torch.manual_seed(1)
    config = _config(stack, depth=1 if stack == "plain" else 2)
    if stack == "residual" and name == "RGLRU":
        config = _config(stack, depth=2, bidirectional=False)
    if name in MORE:
        with pytest.raises(ElmanError, match=f"{name} needs {MORE[name]} beside its input"):
            TextClassifier(config, catalogue()[name], 11, 3)
        return
    network = TextClassifier(config, catalogue()[name], 11, 3).eval()
    scores = network(torch.randint(2, 11, (7, 4)), torch.tensor([7, 0, 3, 1]))
    assert scores.shape == (1, 4, 3)
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("both", [False, True])
def test_a_gated_block_takes_a_cell_of_another_output(both: bool) -> None:
    @cell
    def Narrow(x, /, h: 4):  # type: ignore[no-untyped-def,valid-type]
        a = sigmoid(W[4].a @ x + b.a)
        return a * h + (1 - a) * (W[4].h @ x)

    deep = Deep(Narrow, 6, 8, depth=2, bidirectional=both)
    y, _ = deep(torch.randn(5, 2, 6))
    assert y.shape == (5, 2, deep.output_size)
    assert deep.output_size == 8


def test_a_gated_block_refuses_what_it_cannot_feed() -> None:
    @cell
    def Timed(x, t: 1, /, h):  # type: ignore[no-untyped-def,valid-type]
        return sigmoid(t * (W.a @ x) + R.a @ h + U.a @ h)

    with pytest.raises(ElmanError, match="Timed needs t beside its input"):
        Deep(Timed, 6, 8)


def test_words_without_a_given_vector_stay_apart() -> None:
    torch.manual_seed(0)
    network = TextClassifier(_config("plain"), catalogue()["LSTM"], 6, 2, dimension=3)
    given = torch.zeros(6, 3)
    given[2:4] = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    known = torch.tensor([False, False, True, True, False, False])
    network.take_vectors(given, known, freeze=True)
    (member,) = network.members
    table = member.embedding.weight
    assert torch.equal(table[2:4], given[2:4]) and not table.requires_grad
    assert not table[0].any()  # padding
    assert table[1].any() and not torch.equal(table[4], table[5])
