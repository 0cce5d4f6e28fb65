"""Layers under torch.compile and torch.export: one operator, the same numbers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import elman.nn
from elman import cells
from elman.errors import ShapeError


def _gradients(layer: Any, x: Tensor, lengths: Tensor | None) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y, state = layer(x, lengths=lengths)
    states = (state,) if isinstance(state, Tensor) else state
    loss = y.square().sum() + sum(s.sum() for s in states)
    return [y, *torch.autograd.grad(loss, [x, *layer.parameters()])]


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_one_graph_serves_all_lengths() -> None:
    torch.manual_seed(1)
    layer = elman.nn.LSTM(5, 8, 2, bidirectional=True)
    graphs: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(len(graph.graph.nodes))
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=backend)
    for time in (7, 11, 20):
        x = torch.randn(time, 3, 5)
        lengths = torch.tensor([time, 2, time - 1])
        wanted, got = _gradients(layer, x, lengths), _gradients(compiled, x, lengths)
        for ours, theirs in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert len(graphs) == 1


@pytest.mark.parametrize("batch_first", [False, True])
def test_forms_and_options_compile(batch_first: bool) -> None:
    torch.manual_seed(1)
    layer = elman.nn.Recurrent(
        cells.GRUResetBefore, 6, 6, depth=2, batch_first=batch_first, residual=True,
        layer_norm="around", zoneout=0.1, learn_initial=True,
    ).eval()  # fmt: skip
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 5, 6)
    resets = torch.rand(4, 5) < 0.3
    state = layer.initial_state(4 if batch_first else 5)
    for given in ({}, {"resets": resets}, {"state": state}):
        torch.testing.assert_close(compiled(x, **given), layer(x, **given))
    torch.testing.assert_close(compiled(x[0]), layer(x[0]))


def test_dropout_compiles() -> None:
    layer = elman.nn.Recurrent(
        cells.LSTM, 4, 4, depth=2, dropout=0.5, recurrent_dropout=0.5, weight_drop=0.5, zoneout=0.3
    )
    y, _ = torch.compile(layer, fullgraph=True, backend="aot_eager")(torch.randn(5, 2, 4))
    assert bool(torch.isfinite(y).all())


def test_the_operator_holds_what_it_promises() -> None:
    from elman.kernels.operator import recurrence, register

    step = cells.LSTM.step()
    sizes = step.resolve(input_size=3, hidden_size=4)
    layer = elman.nn.Recurrent(cells.LSTM, 3, 4)
    parameters = layer.cell_parameters(0, 0)
    values = [parameters[p.name].detach().requires_grad_() for p in step.parameters]
    x = torch.randn(5, 2, 3, requires_grad=True)
    state = [torch.randn(2, 4, requires_grad=True) for _ in range(2)]
    args = (register(step, sizes), [x], torch.tensor([5, 3]), values, state, [], None, False)
    torch.library.opcheck(recurrence, args)


def test_an_exported_layer_runs() -> None:
    layer = elman.nn.GRU(3, 4).eval()
    x = torch.randn(6, 2, 3)
    time = torch.export.Dim("time", min=2, max=50)
    program = torch.export.export(layer, (x,), dynamic_shapes={"x": {0: time}}, strict=False)
    other = torch.randn(9, 2, 3)
    torch.testing.assert_close(program.module()(other), layer(other))


def test_functional_transforms() -> None:
    layer = elman.nn.GRU(3, 4)
    x = torch.randn(5, 2, 3)
    parameters = dict(layer.named_parameters())

    def loss(values: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, values, (x,))[0].square().sum()

    found = torch.func.grad(loss)(parameters, x)
    layer(x)[0].square().sum().backward()
    for name, value in parameters.items():
        torch.testing.assert_close(found[name], value.grad)
    many = torch.randn(4, 5, 2, 3)
    each = torch.stack([layer(x)[0] for x in many])
    torch.testing.assert_close(torch.func.vmap(lambda x: layer(x)[0])(many), each)


def test_copies_and_casts() -> None:
    layer = elman.nn.LSTM(3, 4)
    other = copy.deepcopy(layer)
    x = torch.randn(5, 2, 3)
    assert torch.equal(layer(x)[0], other(x)[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = layer(x.bfloat16())
    torch.testing.assert_close(y.float(), layer(x.bfloat16().float())[0], rtol=2e-2, atol=2e-2)


def test_a_compiled_layer_refuses_lengths_that_do_not_fit() -> None:
    layer = elman.nn.LSTM(3, 4)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 2, 3)
    with pytest.raises(ShapeError, match="up to 5 steps"):
        compiled(x, lengths=torch.tensor([6, 6]))
