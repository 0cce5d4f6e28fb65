"""The deep block: carried state, resets, padding, and gradients that neither vanish nor explode."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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


def test_a_wrong_input_is_named() -> None:
    with pytest.raises(ShapeError, match=r"got an input of shape \(5, 2, 3\), wanted"):
        _deep(LSTM)(torch.zeros(5, 2, 3, dtype=torch.float64))
