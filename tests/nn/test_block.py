"""The deep block: carried state, resets, padding, and gradients that neither vanish nor explode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence, pad_sequence

from elman.cells import GRU, LSTM, Cell, minGRU
from elman.errors import ShapeError
from elman.nn.block import Deep

CELLS = [LSTM, GRU, minGRU]


def _deep(cell: Cell, **options: Any) -> Deep:
    torch.manual_seed(1)
    return Deep(cell, 6, 8, depth=2, **options).double().eval()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
@pytest.mark.parametrize("convolution", [0, 4])
def test_chunks_with_carried_state_equal_the_whole(cell: Cell, convolution: int) -> None:
    deep = _deep(cell, convolution=convolution)
    x = torch.randn(11, 3, 6, dtype=torch.float64)
    whole, _ = deep(x)
    pieces, state = [], None
    for chunk in x.split([1, 2, 5, 3]):
        y, state = deep(chunk, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("convolution", [0, 4])
@pytest.mark.parametrize("both", [False, True])
def test_ragged_rows_equal_rows_alone_and_padding_never_leaks(both: bool, convolution: int) -> None:
    deep = _deep(minGRU, convolution=convolution, bidirectional=both)
    lengths = [7, 0, 3]
    x = torch.randn(7, 3, 6, dtype=torch.float64)
    for k, length in enumerate(lengths):
        x[length:, k] = float("nan")
    y, _ = deep(x, lengths=torch.tensor(lengths))
    for k, length in enumerate(lengths):
        assert torch.equal(y[length:, k], torch.zeros_like(y[length:, k]))
        if length:
            alone, _ = deep(x[:length, k : k + 1])
            torch.testing.assert_close(y[:length, k], alone[:, 0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("convolution", [0, 4])
def test_a_reset_is_a_new_beginning(convolution: int) -> None:
    deep = _deep(LSTM, convolution=convolution)
    x = torch.randn(9, 2, 6, dtype=torch.float64)
    resets = torch.zeros(9, 2, dtype=torch.bool)
    resets[4, 0] = resets[8, 0] = True
    y, state = deep(x, resets=resets)
    first, _ = deep(x[:4, :1])
    second, _ = deep(x[4:8, :1])
    torch.testing.assert_close(y[:8, :1], torch.cat([first, second]), rtol=1e-10, atol=1e-12)
    after, _ = deep(x[:3], state)
    third, _ = deep(torch.cat([x[8:, :1], x[:3, :1]]))
    torch.testing.assert_close(after[:, :1], third[1:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_gradients_reach_the_first_of_eight_layers(cell: Cell) -> None:
    torch.manual_seed(1)
    deep = Deep(cell, 16, 16, depth=8, dropout=0.0)
    deep(torch.randn(20, 4, 16))[0].square().mean().backward()
    norms = [
        torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None]).norm()
        for block in deep.blocks
    ]
    assert 0.1 <= float(norms[0] / norms[-1]) <= 10


def _flat(state: Any) -> list[Any]:
    if isinstance(state, tuple):
        return [tensor for part in state for tensor in _flat(part)]
    return [] if state is None else [state]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
@pytest.mark.parametrize("convolution", [0, 4])
def test_steps_give_the_whole(cell: Cell, convolution: int) -> None:
    deep = _deep(cell, convolution=convolution)
    x = torch.randn(9, 3, 6, dtype=torch.float64)
    whole, final = deep(x)
    state, alone = None, None
    outputs, first = [], []
    for now in x:
        y, state = deep.step(now, state)
        outputs.append(y)
        y, alone = deep.step(now[0], alone)
        first.append(y)
    torch.testing.assert_close(torch.stack(outputs), whole, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(_flat(state), _flat(final), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack(first), whole[:, 0], rtol=1e-10, atol=1e-12)
    wanted = [value[:, 0] for value in _flat(final)]
    torch.testing.assert_close(_flat(alone), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("convolution", [0, 3])
@pytest.mark.parametrize("both", [False, True])
def test_every_form_gives_the_same(both: bool, convolution: int) -> None:
    options = {"convolution": convolution, "bidirectional": both}
    deep, first = _deep(LSTM, **options), _deep(LSTM, batch_first=True, **options)
    lengths = [3, 5, 1, 4]
    rows = [torch.randn(n, 6, dtype=torch.float64) for n in lengths]
    x = pad_sequence(rows, padding_value=float("nan"))
    resets = torch.rand(5, 4) < 0.3
    real = torch.arange(5)[:, None] < torch.tensor(lengths)
    for marks in (None, resets):
        wanted, state = deep(x, lengths=torch.tensor(lengths), resets=marks)
        turned = None if marks is None else marks.T
        xt = x.transpose(0, 1)
        results = {
            "list": deep(x, lengths=lengths, resets=marks),
            "mask": deep(x, mask=real, resets=marks),
            "packed": deep(pack_sequence(rows, enforce_sorted=False), resets=marks),
            "first": first(xt, lengths=torch.tensor(lengths), resets=turned),
            "first, mask": first(xt, mask=real.T, resets=turned),
        }
        for name, (y, after) in results.items():
            if name == "packed":
                y = pad_packed_sequence(y)[0]
            y = y.transpose(0, 1) if name.startswith("first") else y
            torch.testing.assert_close(y, wanted, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(_flat(after), _flat(state), rtol=1e-10, atol=1e-12)
        alone, after = deep(rows[0], resets=None if marks is None else marks[:3, 0])
        torch.testing.assert_close(alone, wanted[:3, 0], rtol=1e-10, atol=1e-12)
        assert [v.shape for v in _flat(after)] == [v[:, 0].shape for v in _flat(state)]
        again, _ = deep(rows[0], after)
        assert again.shape == (3, 8)


@pytest.mark.parametrize("convolution", [0, 3])
def test_missing_steps_are_skipped(convolution: int) -> None:
    deep = _deep(GRU, convolution=convolution)
    mask = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 0, 0], [0] * 6]).bool().T
    x = torch.randn(6, 3, 6, dtype=torch.float64)
    y, state = deep(x.masked_fill(~mask[..., None], float("nan")), mask=mask)
    assert not y[~mask].any()
    for row in (0, 1):
        alone, after = deep(x[mask[:, row], row])
        torch.testing.assert_close(y[mask[:, row], row], alone, rtol=1e-10, atol=1e-12)
        got = [value[:, row] for value in _flat(state)]
        torch.testing.assert_close(got, _flat(after), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_compiled_deep_stack(batch_first: bool) -> None:
    torch._dynamo.reset()
    deep = _deep(LSTM, batch_first=batch_first, convolution=3)
    compiled = torch.compile(deep, fullgraph=True, backend="aot_eager")
    x, lengths = torch.randn(4, 4, 6, dtype=torch.float64), torch.tensor([4, 1, 0, 3])
    mask, resets = torch.rand(4, 4) < 0.6, torch.rand(4, 4) < 0.3
    for given in ({}, {"lengths": lengths}, {"mask": mask}):
        got, wanted = (call(x, resets=resets, **given) for call in (compiled, deep))
        torch.testing.assert_close(got[0], wanted[0], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(_flat(got[1]), _flat(wanted[1]), rtol=1e-10, atol=1e-12)
    torch._dynamo.reset()


def test_a_step_that_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match="a bidirectional layer has no single step"):
        _deep(LSTM, bidirectional=True).step(torch.zeros(2, 6, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"step of shape \(2, 3\), wanted \(batch, 6\)"):
        _deep(LSTM).step(torch.zeros(2, 3, dtype=torch.float64))


def test_a_wrong_input_is_named() -> None:
    with pytest.raises(ShapeError, match=r"got an input of shape \(5, 2, 3\), wanted"):
        _deep(LSTM)(torch.zeros(5, 2, 3, dtype=torch.float64))
