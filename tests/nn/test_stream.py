"""A stream gives, step by step, what one call gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import elman.nn
from elman import cells
from elman.errors import ConfigError, ShapeError


def _stepped(layer: Any, x: Tensor, **options: Any) -> tuple[Tensor, Any]:
    stream = layer.stream(x.shape[1], **options)
    return torch.stack([stream.step(part) for part in x]), stream.state


def _each(state: Any) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"depth": 3, "residual": True, "outputs": "sum"},
    {"depth": 2, "layer_norm": "around", "zoneout": 0.2},
    {"layer_norm": "inside", "heads": 2, "learn_initial": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["LSTM", "GRUResetBefore", "MGU", "minGRU", "Elman"])
@pytest.mark.parametrize("batch", [1, 3])
def test_steps_give_what_a_call_gives(name: str, options: dict[str, Any], batch: int) -> None:
    torch.manual_seed(1)
    options = dict(options)
    if name == "minGRU":
        options.pop("heads", None)  # it has no recurrent matrix to divide
    layer = elman.nn.Recurrent(getattr(cells, name), 12, 12, dtype=torch.float64, **options)
    layer.eval()
    x = torch.randn(9, batch, 12, dtype=torch.float64)
    with torch.no_grad():
        wanted, final = layer(x)
    got, state = _stepped(layer, x)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(_each(state), _each(final), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_torch_layers_stream_too(kind: str) -> None:
    layer = getattr(elman.nn, kind)(5, 300, 2).eval()
    x = torch.randn(6, 1, 5)
    with torch.no_grad():
        wanted, _ = layer(x)
    got, _ = _stepped(layer, x)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("weights", "limit"), [("bfloat16", 3e-3), ("int8", 8e-3)])
def test_short_weights_are_near(weights: str, limit: float) -> None:
    torch.manual_seed(1)
    layer = elman.nn.LSTM(40, 100, 2).eval()
    x = torch.randn(20, 2, 40)
    with torch.no_grad():
        wanted, _ = layer(x)
    stream = layer.stream(2, weights=weights)
    got = torch.stack([stream.step(part) for part in x])
    assert 0 < stream.error < limit
    assert float((got - wanted).norm() / wanted.norm()) < 3 * limit


def test_the_state_is_a_value() -> None:
    layer = elman.nn.Recurrent(cells.LSTM, 3, 4, depth=2).eval()
    stream = layer.stream()
    x = torch.randn(4, 3)
    first = [stream.step(part).clone() for part in x]
    state = stream.state
    other = stream.copy()
    assert torch.equal(stream.step(x[0]), other.step(x[0]))
    stream.reset()
    assert torch.equal(torch.stack(first), torch.stack([stream.step(part) for part in x]))
    for ours, kept in zip(stream.state, state, strict=True):
        assert torch.equal(ours, kept)
    stream.step(x[0])
    stream.state = state
    assert torch.equal(stream.state[0], state[0])


def test_rows_are_reset_alone() -> None:
    layer = elman.nn.Recurrent(cells.GRU, 3, 4).eval()
    stream = layer.stream(3)
    stream.step(torch.randn(3, 3))
    before = stream.state
    stream.reset(torch.tensor([False, True, False]))
    assert torch.equal(stream.state[:, [0, 2]], before[:, [0, 2]])
    assert not stream.state[:, 1].any()
    stream.reset(torch.tensor([1, 0, 0]))
    assert not stream.state[:, 0].any()


def test_weights_are_taken_anew_when_asked() -> None:
    layer = elman.nn.Recurrent(cells.GRU, 3, 4).eval()
    stream = layer.stream()
    x = torch.randn(3)
    old = stream.step(x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2)
    stream.reset()
    assert torch.equal(stream.step(x), old)
    stream.reload()
    stream.reset()
    assert not torch.equal(stream.step(x), old)


@pytest.mark.parametrize("name", ["LSTM", "PeepholeLSTM", "GRU"])
def test_no_weight_reaches_a_stream_unasked_nor_its_copy(name: str) -> None:
    layer = elman.nn.Recurrent(getattr(cells, name), 3, 4, depth=2).eval()
    x = torch.randn(5, 3)
    stream = layer.stream()
    wanted = [stream.step(part) for part in x]
    stream.reset()
    first = stream.step(x[0])
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1)
    copied = stream.copy()
    assert torch.equal(first, wanted[0])
    for part, y in zip(x[1:], wanted[1:], strict=True):
        assert torch.equal(stream.step(part), y)
    for part, y in zip(x[1:], wanted[1:], strict=True):
        assert torch.equal(copied.step(part), y)


def test_a_stream_stays_what_it_was_when_its_layer_is_converted() -> None:
    layer = elman.nn.Recurrent(cells.LSTM, 3, 4).eval()
    stream, x = layer.stream(2), torch.randn(2, 3)
    wanted = stream.step(x)
    layer.double()
    stream.reset()
    assert torch.equal(stream.step(x), wanted)
    assert torch.equal(stream.copy().state[0], stream.state[0])
    with pytest.raises(ConfigError, match="now float64 on cpu, and the stream was made of float32"):
        stream.reload()


def test_cells_with_streams_of_their_own() -> None:
    layer = elman.nn.Recurrent(cells.ZoneoutGRU, 3, 4).eval()
    stream = layer.stream(2)
    x, keep = torch.randn(5, 2, 3), torch.rand(5, 2, 4)
    with torch.no_grad():
        wanted, _ = layer(x, streams={"keep": keep})
    got = torch.stack([stream.step(x[t], streams={"keep": keep[t]}) for t in range(5)])
    torch.testing.assert_close(got, wanted)


def test_what_cannot_be_streamed_says_so() -> None:
    with pytest.raises(ConfigError, match="bidirectional"):
        elman.nn.LSTM(3, 4, bidirectional=True).stream()
    layer = elman.nn.LSTM(3, 4)
    with pytest.raises(ConfigError, match="int8"):
        layer.stream(weights="in8")
    with pytest.raises(ConfigError, match="batch"):
        layer.stream(0)
    with pytest.raises(ConfigError, match="cannot be kept"):
        elman.nn.LSTM(3, 4, dtype=torch.float64).stream(weights="int8")
    with pytest.raises(ShapeError, match="wanted"):
        layer.stream(2).step(torch.randn(1, 3))
    with pytest.raises(ShapeError, match="wanted"):
        layer.stream().state = torch.zeros(1, 1, 4)
    with pytest.raises(ShapeError, match='stream "t"; LSTM has none'):
        layer.stream().step(torch.randn(1, 3), streams={"t": torch.zeros(1)})
    for rows in (torch.tensor([True]), [True, False], torch.zeros(2, 1)):
        with pytest.raises(ShapeError, match=r"wanted a tensor of shape \(2,\)"):
            layer.stream(2).reset(rows)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_stream(kind: str, bias: bool) -> None:
    cell = getattr(elman.nn, kind)(3, 5, bias=bias)
    stream, state = cell.stream(2), None
    with torch.no_grad():
        for x in torch.randn(4, 2, 3):
            state = cell(x, state)
            wanted = state[0] if isinstance(state, tuple) else state
            torch.testing.assert_close(stream.step(x), wanted)


def test_eight_bits_stand_for_rounded_weights() -> None:
    """Beside the rounding of the weights themselves nothing is lost that shows."""
    torch.manual_seed(1)
    layer = elman.nn.LSTM(33, 40).eval()
    rounded = elman.nn.LSTM(33, 40).eval()
    rounded.load_state_dict(layer.state_dict())
    with torch.no_grad():
        both = torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], dim=1)
        scale = both.abs().amax(dim=1, keepdim=True) / 127
        whole = (both / scale).round() * scale
        rounded.weight_ih_l0.copy_(whole[:, :33])
        rounded.weight_hh_l0.copy_(whole[:, 33:])
        x = torch.randn(50, 3, 33)
        wanted, _ = rounded(x)
    stream = layer.stream(3, weights="int8")
    got = torch.stack([stream.step(part) for part in x])
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=2e-4)
