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


def _with_resets(cell: Any = cells.GRUResetBefore, **options: Any) -> Any:
    torch.manual_seed(1)
    layer = elman.nn.Recurrent(cell, 6, 6, depth=2, bidirectional=True, **options)
    return layer.eval()


HOLES = torch.tensor([[0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 0, 0], [0] * 5]).bool()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32])
def test_a_mask_with_holes_means_in_a_graph_what_it_means_without(
    batch_first: bool, kind: torch.dtype
) -> None:
    layer = _with_resets(batch_first=batch_first, layer_norm="around")
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 5, 6).masked_fill(~HOLES[..., None], float("nan"))
    resets = torch.rand(4, 5) < 0.4
    x, mask, resets = (v if batch_first else v.transpose(0, 1) for v in (x, HOLES, resets))
    mask = mask.to(kind)
    results: list[Any] = []
    for call in (layer, compiled):
        for given in ({}, {"resets": resets}):
            inner = x.clone().requires_grad_()
            y, state = call(inner, mask=mask, **given)
            loss = y.square().sum() + state.sum()
            results.append([y, state, *torch.autograd.grad(loss, [inner, *layer.parameters()])])
    torch.testing.assert_close(results[2:], results[:2])


def test_a_mask_with_holes_reaches_the_other_streams_too() -> None:
    layer = _with_resets(cells.PhasedLSTM)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, mask, t = torch.randn(5, 4, 6), HOLES.T, torch.rand(5, 4).cumsum(0)
    for given in (t, t[..., None]):
        wanted = layer(x, mask=mask, streams={"t": given})
        torch.testing.assert_close(compiled(x, mask=mask, streams={"t": given}), wanted)
    one, real = x[:, 0], mask[:, 0]
    wanted = layer(one, mask=real, streams={"t": t[:, 0]})
    torch.testing.assert_close(compiled(one, mask=real, streams={"t": t[:, 0]}), wanted)


def test_an_exported_layer_reads_masks_with_holes() -> None:
    layer = _with_resets()
    x, mask = torch.randn(5, 4, 6), HOLES.T
    none = torch.ones_like(mask)
    program = torch.export.export(layer, (x,), {"mask": none}, strict=False).module()
    torch.testing.assert_close(program(x, mask=mask), layer(x, mask=mask))


@pytest.mark.parametrize("options", [{"residual": True}, {"layer_norm": "both"}], ids=str)
def test_padding_never_leaks_out_of_a_graph(options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    layer = elman.nn.Recurrent(cells.GRU, 6, 6, depth=2, **options)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    lengths = torch.tensor([5, 0, 2])
    x = torch.randn(5, 3, 6)
    for row, n in enumerate(lengths.tolist()):
        x[n:, row] = float("nan")
    wanted, got = _gradients(layer, x, lengths), _gradients(compiled, x, lengths)
    torch.testing.assert_close(got, wanted)


X = torch.zeros(5, 3, 6)
REFUSED = {
    "both": ({"lengths": torch.tensor([5, 1, 2]), "mask": torch.ones(5, 3)}, "wanted one of them"),
    "floats": ({"lengths": torch.ones(3)}, "lengths of dtype torch.float32, wanted integers"),
    "too long": ({"lengths": torch.tensor([5, 6, 1])}, "length 6 .*wanted at most the 5 steps"),
    "rows": ({"lengths": torch.tensor([5, 4])}, r"shape \(2,\), wanted \(3,\)"),
    "mask": ({"mask": torch.ones(3, 5)}, r"mask of shape \(3, 5\), wanted \(5, 3\)"),
    "streams": ({"streams": {"t": X}}, 'stream "t"; GRUResetBefore has none'),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_a_graph_cannot_mean_is_refused(case: str) -> None:
    given, words = REFUSED[case]
    compiled = torch.compile(_with_resets(), backend="aot_eager")
    with pytest.raises(Exception, match=words):
        compiled(X, **given)


def test_one_sequence_in_a_graph_has_one_length() -> None:
    layer = _with_resets()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 6)
    for n in (torch.tensor(3), torch.tensor([3])):
        torch.testing.assert_close(compiled(x, lengths=n), layer(x, lengths=n))


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
    program = torch.export.export(layer, (x,), dynamic_shapes={"input": {0: time}}, strict=False)
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
    with pytest.raises(ShapeError, match="at most the 5 steps"):
        compiled(x, lengths=torch.tensor([6, 6]))
