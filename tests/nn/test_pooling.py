"""Pooling and chopping against plain loops over the rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ConfigError
from elman.nn.pooling import Pooling, real_steps
from elman.nn.segments import chop, join


def _ragged(lengths: list[int], features: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    time = max(1, *lengths)
    y = torch.randn(time, len(lengths), features, dtype=torch.float64)
    n = torch.tensor(lengths)
    y[~real_steps(n, time)] = float("nan")
    return y, n


def _row_by_row(kind: str, row: torch.Tensor, both: bool) -> torch.Tensor:
    if len(row) == 0:
        return torch.zeros(row.shape[1], dtype=row.dtype)
    if kind == "mean":
        return row.mean(0)
    if kind == "max":
        return row.max(0).values
    half = row.shape[1] // 2
    return torch.cat([row[-1, :half], row[0, half:]]) if both else row[-1]


@pytest.mark.parametrize("kind", ["mean", "max", "last"])
@pytest.mark.parametrize("both", [False, True])
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_pooling_is_that_of_each_row_alone(kind: str, both: bool, lengths: list[int]) -> None:
    y, n = _ragged(lengths)
    pooled = Pooling(kind, 4, bidirectional=both)(y, n)
    for k, length in enumerate(lengths):
        expected = _row_by_row(kind, y[:length, k], both)
        torch.testing.assert_close(pooled[k], expected)


def test_attention_weighs_real_steps_only_and_sums_to_one() -> None:
    torch.manual_seed(1)
    pooling = Pooling("attention", 4).double()
    y, n = _ragged([5, 0, 2])
    pooled = pooling(y, n)
    assert pooling.project is not None and pooling.query is not None
    for k, length in ((0, 5), (2, 2)):
        row = y[:length, k]
        weight = torch.softmax(pooling.query(torch.tanh(pooling.project(row))), dim=0)
        torch.testing.assert_close(pooled[k], (weight * row).sum(0))
    assert torch.equal(pooled[1], torch.zeros(4, dtype=torch.float64))


def test_gradients_are_finite_beside_nan_padding() -> None:
    y, n = _ragged([3, 0, 1])
    y.requires_grad_()
    Pooling("max+mean+last+attention", 4).double()(y, n).sum().backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()


def test_joined_kinds_are_concatenated() -> None:
    y, n = _ragged([3, 2])
    pooled = Pooling("max+mean", 4)(y, n)
    assert pooled.shape == (2, 8)
    torch.testing.assert_close(pooled[:, 4:], Pooling("mean", 4)(y, n))


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match='Did you mean "max"'):
        Pooling("maxx", 4)


@given(
    time=st.integers(1, 23),
    size=st.integers(1, 9),
    lengths=st.lists(st.integers(0, 23), min_size=1, max_size=4),
)
@settings(max_examples=50, deadline=None)
def test_chopped_segments_hold_the_rows_in_order(time: int, size: int, lengths: list[int]) -> None:
    n = torch.tensor([min(length, time) for length in lengths])
    batch = len(lengths)
    x = torch.arange(time * batch * 2, dtype=torch.float64).view(time, batch, 2)
    chopped, real = chop(x, n, size)
    assert chopped.shape[0] == min(size, time)
    assert torch.equal(join(chopped, time, batch), x)
    for b in range(batch):
        pieces = [chopped[: int(real[r]), r] for r in range(b, chopped.shape[1], batch)]
        assert torch.equal(torch.cat(pieces), x[: int(n[b]), b])
