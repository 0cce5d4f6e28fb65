"""The language model with every cell of the catalogue, with the settings as they are."""

from __future__ import annotations

import pytest
import torch

from elman.cells import catalogue
from elman.errors import ElmanError
from elman.nn import Recurrent
from elman.tasks.lm_config import PRESETS, LmConfig, LmModelConfig
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.settings import nested

HIDDEN = 8


def _network(name: str, **options: object) -> LanguageNetwork:
    config = LmModelConfig.model_validate({"hidden": HIDDEN, "embedding": HIDDEN, **options})
    torch.manual_seed(1)
    return LanguageNetwork(config, catalogue()[name], 11, tied=False)


@pytest.mark.parametrize("stack", ["plain", "deep"])
@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_cell_is_a_language_model_or_is_refused(name: str, stack: str) -> None:
    more = catalogue()[name].step().inputs[1:]
    if more:
        with pytest.raises(ElmanError, match=rf"\b{more[0].name}\b"):
            _network(name, stack=stack)(torch.zeros(3, 2, dtype=torch.long))
        return
    scores, _ = _network(name, stack=stack)(torch.randint(2, 11, (7, 4)))
    assert scores.shape == (7, 4, 11)
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize(("name", "bias", "value"), [("LSTM", "b_f", 1.0), ("coRNN", "b_z", 0.0)])
def test_a_cell_starts_as_it_says_itself(name: str, bias: str, value: float) -> None:
    recurrent = _network(name).recurrent
    assert isinstance(recurrent, Recurrent)
    found = [v for key, v in recurrent.named_parameters() if key.endswith(bias)]
    assert len(found) == 2
    assert all(bool((v == value).all()) for v in found)


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_drop", "zoneout"])
def test_a_deep_stack_drops_what_it_is_asked_to(name: str) -> None:
    ids = torch.randint(2, 11, (7, 4))
    plain = {"stack": "deep", "layer_dropout": 0.0, "output_dropout": 0.0}
    network = _network("LSTM", **plain, **{name: 0.5}).train()
    torch.manual_seed(2)
    first, _ = network(ids)
    second, _ = network(ids)
    assert not torch.equal(first, second)
    torch.testing.assert_close(network.eval()(ids)[0], network(ids)[0])


def test_a_deep_stack_starts_as_it_is_asked_to() -> None:
    network = _network("LSTM", stack="deep", init={"b.f": 3.0})
    found = [v for key, v in network.named_parameters() if key.endswith("b_f")]
    assert found and all(bool((v == 3.0).all()) for v in found)


def test_the_network_of_merity_et_al() -> None:
    """24 221 600 weights in their code, where each layer has a second, redundant bias."""
    config = LmConfig.model_validate(nested(PRESETS["awd-lstm"])).model
    network = LanguageNetwork(config, catalogue()["LSTM"], 10_000, tied=True)
    assert sum(p.numel() for p in network.parameters()) == 24_221_600 - 4 * (2 * 1150 + 400)
    assert network.shrink is None and network.recurrent.output_size == 400
