"""Large matrix products through the tiles of the time loop.

A product of all rows is a loop without states: its steps are blocks of rows, few enough that what
they are multiplied from stays in the second cache while the panels of weights pass by. The rows of
weights are brought into panels first, which is why small products are torch's.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from elman.compiler.build import StepBuilder
from elman.compiler.ir import Step
from elman.kernels.cpu.arrays import Storage
from elman.kernels.cpu.kernel import Kernel
from elman.kernels.cpu.target import Target, host
from elman.kernels.layout import Layout

_BLOCK = 128  # rows of a step
_SMALL = 1 << 25
"""Multiplications below which torch's own product is as fast."""


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, storage: Storage = "full"
) -> Tensor:
    """`x @ weight.t() + bias` for `(N, K)`, `(P, K)` and `(P,)`: `(N, P)`.

    With the storage "brain" numbers, float32, are rounded to bfloat16 before they are multiplied;
    but not in products so small that torch's own are taken.
    """
    (n, k), p = x.shape, len(weight)
    if n * k * p < _SMALL:
        return torch.nn.functional.linear(x, weight, bias)
    kernel = _kernel(k, p, bias is not None, x.dtype, host(), storage)
    step = kernel.step
    arrays = {"in.x": x, **kernel.pack({step.parameters[0].var: weight})}
    if bias is not None:
        arrays["vector.b"] = bias.contiguous()
    output = x.new_empty(n, p)
    arrays[kernel.stream(step.output).name] = output
    kernel.run(arrays, _rows(n))
    return output


@functools.lru_cache(maxsize=64)
def _rows(n: int) -> Layout:
    """Rows one behind the other as steps of a block each, the last one with what is left."""
    steps, block = -(-n // _BLOCK), min(n, _BLOCK)
    last = n - (steps - 1) * block
    return Layout([steps] * last + [steps - 1] * (block - last))


@functools.lru_cache(maxsize=64)
def _kernel(
    k: int, p: int, biased: bool, dtype: torch.dtype, target: Target, storage: Storage
) -> Kernel:
    return Kernel(_step(k, p, biased), target, dtype, storage=storage)


def _step(k: int, p: int, biased: bool) -> Step:
    build = StepBuilder("product")
    x = build.input("x", (k,))
    y = build.add("matmul", build.parameter("W", (p, k)), x)
    if biased:
        y = build.add("add", y, build.parameter("b", (p,)))
    return build.finish(y, ())
