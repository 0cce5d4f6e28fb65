"""The pool gives memory back when nobody can see it any longer, and not before."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import torch
from torch import Tensor

from elman import cells
from elman.kernels.cpu.room import Pool
from elman.nn import Recurrent

N = 1 << 19  # float32: two megabytes


def test_a_buffer_is_used_again() -> None:
    pool = Pool(1 << 30)
    first = pool.take(2, N // 2, dtype=torch.float32)
    place = first.data_ptr()
    assert pool.idle == 0
    del first
    assert pool.idle > 0
    second = pool.take(N - 5, dtype=torch.float32)
    assert second.data_ptr() == place
    assert place % 64 == 0
    assert pool.take(N, dtype=torch.float32).data_ptr() != place


def test_much_larger_and_small_ones_are_left() -> None:
    pool = Pool(1 << 30)
    del (large := [pool.take(4 * N, dtype=torch.float32)])[0]
    assert not large
    idle = pool.idle
    pool.take(N, dtype=torch.float32)
    assert pool.idle > idle  # a new one came and went back
    assert pool.take(10, dtype=torch.float32).shape == (10,)


def test_the_limit_holds() -> None:
    pool = Pool(5 << 20)
    held = [pool.take(N, dtype=torch.float32) for _ in range(5)]
    held.clear()
    assert 0 < pool.idle <= 5 << 20


def test_memory_that_another_tensor_has_is_not_lent() -> None:
    pool = Pool(1 << 30)
    first = pool.take(N, dtype=torch.float32)
    other = first.detach()
    del first
    second = pool.take(N, dtype=torch.float32)
    assert second.data_ptr() != other.data_ptr()
    place = other.data_ptr()
    del other
    assert pool.take(N, dtype=torch.float32).data_ptr() == place


def test_no_buffer_is_lent_twice_when_others_come_back_in_between() -> None:
    pool = Pool(12 << 20)
    seen = [pool.take(N, dtype=torch.float32) for _ in range(4)]

    def work() -> None:
        for _ in range(300):
            mine = pool.take(N, dtype=torch.float32)
            mark = float(torch.rand(()))
            mine[0] = mark
            time.sleep(0)
            wrong.extend([mark] if float(mine[0]) != mark else [])
            del mine

    wrong: list[float] = []
    seen.clear()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class _Keeps(torch.autograd.Function):
    pool = Pool(1 << 30)

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        kept = _Keeps.pool.take(N, dtype=torch.float32)
        kept.fill_(3)
        ctx.save_for_backward(kept)
        return x * 2

    @staticmethod
    def backward(ctx: Any, *owed: Tensor) -> Tensor:
        assert bool((ctx.saved_tensors[0] == 3).all())
        return owed[0] * 2


def test_what_autograd_keeps_is_not_given_away() -> None:
    x = torch.ones(3, requires_grad=True)
    y = _Keeps.apply(x)
    gc.collect()
    assert _Keeps.pool.idle == 0
    y.sum().backward(retain_graph=True)
    assert _Keeps.pool.idle == 0
    y.sum().backward()
    gc.collect()
    assert _Keeps.pool.idle > 0


def test_layers_overlap_without_harm() -> None:
    """Two graphs alive at once, and gradients that outlive their graph."""
    torch.manual_seed(1)
    layers = [Recurrent(cells.minGRU, 40, 64, backend=b) for b in ("cpu", "reference")]
    layers[1].load_state_dict(layers[0].state_dict())
    batches = [torch.randn(400, 16, 40) for _ in range(3)]

    def gradients(layer: Any) -> list[Tensor]:
        inputs = [x.clone().requires_grad_() for x in batches]
        losses = [layer(x)[0].square().sum() for x in inputs]
        found: list[Tensor] = []
        for x, loss in zip(inputs, losses, strict=True):
            found += torch.autograd.grad(loss, [x, *layer.parameters()])
        return found

    for ours, theirs in zip(gradients(layers[0]), gradients(layers[1]), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
