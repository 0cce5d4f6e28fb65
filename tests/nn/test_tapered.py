"""Layers of one size and a last one of another, against torch and against itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from elman.cells import find
from elman.errors import ConfigError
from elman.nn import Tapered

GATES = "ifgo"


def _stack(dtype: torch.dtype = torch.float64, depth: int = 3) -> Tapered:
    torch.manual_seed(0)
    stack = Tapered(find("lstm"), 5, 7, 4, depth=depth, dropout=0.5, init="uniform")
    return stack.to(dtype).eval()


def _torch_layer(values: dict[str, torch.Tensor], sizes: tuple[int, int]) -> nn.LSTM:
    layer = nn.LSTM(*sizes).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.cat([values[f"W_{g}"] for g in GATES]))
        layer.weight_hh_l0.copy_(torch.cat([values[f"R_{g}"] for g in GATES]))
        layer.bias_ih_l0.copy_(torch.cat([values[f"b_{g}"] for g in GATES]))
        layer.bias_hh_l0.zero_()
    return layer


def test_it_is_layers_of_torch_on_one_another() -> None:
    stack, x = _stack(), torch.randn(6, 3, 5, dtype=torch.float64, requires_grad=True)
    named = dict(stack.named_parameters())
    places = ["below.layers.0.forwards.", "below.layers.1.forwards.", "last.layers.0.forwards."]
    y, (low, high) = stack(x)
    wanted, ends = x, []
    layers = []
    for place, sizes in zip(places, [(5, 7), (7, 7), (7, 4)], strict=True):
        own = {k.removeprefix(place): v for k, v in named.items() if k.startswith(place)}
        layers.append(_torch_layer(own, sizes))
        wanted, end = layers[-1](wanted)
        ends.append(end)
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(low[0], torch.cat([ends[0][0], ends[1][0]]))
    torch.testing.assert_close(high[1], ends[2][1])
    (slope,) = torch.autograd.grad(y.square().sum(), x, retain_graph=True)
    (other,) = torch.autograd.grad(wanted.square().sum(), x, retain_graph=True)
    torch.testing.assert_close(slope, other)
    first = torch.autograd.grad(y.square().sum(), named["last.layers.0.forwards.R_i"])[0]
    second = torch.autograd.grad(wanted.square().sum(), layers[2].weight_hh_l0)[0]
    torch.testing.assert_close(first, second[:4])


def test_its_stream_gives_what_the_call_gives() -> None:
    stack, x = _stack(torch.float32), torch.randn(9, 1, 5)
    with torch.no_grad():
        wanted, state = stack(x)
        stream = stack.stream()
        found = [stream.step(x[t, 0]) for t in range(5)]
        later = stack.stream()
        later.state = stream.state  # a second one goes on from the first one's state
        found += [later.step(x[t, 0]) for t in range(5, 9)]
    torch.testing.assert_close(torch.stack(found), wanted[:, 0])
    torch.testing.assert_close(later.state, state)


def test_it_begins_anew_at_a_reset_and_stops_at_a_length() -> None:
    stack, x = _stack(), torch.randn(6, 2, 5, dtype=torch.float64)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[3] = True
    y, _ = stack(x, resets=resets)
    torch.testing.assert_close(y[3:], stack(x[3:])[0])
    short, state = stack(x, lengths=torch.tensor([4, 6]))
    assert bool((short[4:, 0] == 0).all())
    torch.testing.assert_close(state[1][0][:, 0], stack(x[:4])[1][1][0][:, 0])


def test_what_the_last_layer_reads_is_dropped_in_training() -> None:
    stack, x = _stack(depth=2).train(), torch.randn(6, 2, 5, dtype=torch.float64)
    assert not torch.equal(stack(x)[0], stack(x)[0])


def test_one_layer_cannot_be_tapered() -> None:
    with pytest.raises(ConfigError, match="got 1, wanted 2 or more"):
        Tapered(find("lstm"), 5, 7, 4, depth=1)
