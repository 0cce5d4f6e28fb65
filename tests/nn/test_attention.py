"""Attention over a window: against a softmax over all pairs, in chunks, across resets."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.errors import ConfigError, ShapeError
from elman.nn import WindowAttention


def layer(size: int = 6, window: int = 4, dropout: float = 0.0) -> WindowAttention:
    torch.manual_seed(0)
    made = WindowAttention(size, window, dropout=dropout).double()
    torch.nn.init.normal_(made.leave.weight)
    torch.nn.init.normal_(made.norm.weight)
    return made


def steps(time: int, batch: int = 3, size: int = 6, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, batch, size, generator=generator, dtype=torch.float64)


def some_resets(time: int, batch: int = 3, seed: int = 2) -> Tensor:
    return torch.rand(time, batch, generator=torch.Generator().manual_seed(seed)) < 0.2


def plain(made: WindowAttention, x: Tensor, resets: Tensor | None = None) -> Tensor:
    """The definition: row by row, step by step, a softmax over the steps that may be seen."""
    weights = dict(made.named_parameters())
    query, key, value = weights["enter.weight"].split(made.size)
    rows: list[Tensor] = []
    for b in range(x.shape[1]):
        u = x[:, b] / (x[:, b].square().mean(-1, keepdim=True) + 2.220446049250313e-16).sqrt()
        u = u * weights["norm.weight"]
        found: list[Tensor] = []
        begin = 0
        for t in range(x.shape[0]):
            if resets is not None and bool(resets[t, b]):
                begin = t
            seen = range(max(begin, t - made.window + 1), t + 1)
            scores = [query @ u[t] @ (key @ u[s]) / math.sqrt(made.size) for s in seen]
            share = torch.stack(scores).softmax(0)
            taken = torch.stack([value @ u[s] for s in seen])
            found.append(x[t, b] + weights["leave.weight"] @ (share @ taken))
        rows.append(torch.stack(found))
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("window", [1, 2, 4, 7, 50])
@pytest.mark.parametrize("with_resets", [False, True])
def test_values_and_gradients(window: int, with_resets: bool) -> None:
    made, time = layer(window=window), 17
    resets = some_resets(time) if with_resets else None
    ours, theirs = (steps(time).requires_grad_() for _ in range(2))
    y, _ = made(ours, None, resets)
    wanted = plain(made, theirs, resets)
    torch.testing.assert_close(y, wanted, rtol=1e-9, atol=1e-9)
    weight = steps(time, seed=5)
    gradients = torch.autograd.grad((y * weight).sum(), [ours, *made.parameters()])
    right = torch.autograd.grad((wanted * weight).sum(), [theirs, *made.parameters()])
    for one, other in zip(gradients, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 11, 40])
@pytest.mark.parametrize("with_resets", [False, True])
def test_chunks_of_any_size_give_the_same(chunk: int, with_resets: bool) -> None:
    made, time = layer(window=5), 23
    x, resets = steps(time), some_resets(time) if with_resets else None
    whole, last = made(x, None, resets)
    memory: Any = None
    parts: list[Tensor] = []
    for k in range(0, time, chunk):
        here = None if resets is None else resets[k : k + chunk]
        y, memory = made(x[k : k + chunk], memory, here)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-10, atol=1e-10)
    more = steps(9, seed=8)
    torch.testing.assert_close(made(more, memory)[0], made(more, last)[0])


def test_memory_does_not_grow() -> None:
    made = layer(window=4)
    _, memory = made(steps(3))
    shapes = [tuple(part.shape) for part in memory]
    assert shapes == [(3, 3, 6), (3, 3, 6), (1, 3, 1)]
    for _ in range(5):
        _, memory = made(steps(2), memory)
        assert [tuple(part.shape) for part in memory] == shapes
        assert memory[2].max() <= 3


def test_a_reset_forgets() -> None:
    made = layer(window=4)
    _, memory = made(steps(9))
    resets = torch.zeros(6, 3, dtype=torch.bool)
    resets[0] = True
    x = steps(6, seed=4)
    torch.testing.assert_close(made(x, memory, resets)[0], made(x)[0])


def test_it_starts_as_if_it_were_not_there() -> None:
    x = torch.randn(5, 2, 8)
    torch.testing.assert_close(WindowAttention(8, 3, dropout=0.5)(x)[0], x)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="window of 1 step or more"):
        WindowAttention(4, 0)
    with pytest.raises(ShapeError, match=r"\(5, 2, 7\)"):
        WindowAttention(8, 3)(torch.zeros(5, 2, 7))
