"""The primitives in torch: one row an operation, named as in the compiler's table.

A vector is `(size,)` at level P and `(rows, size)` at levels X and S, so that the operations act on
the last dimension and everything else is broadcasting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Operation = Callable[..., Tensor]


def _comparison(compare: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda x, y: compare(x, y).to(x.dtype)


def _matmul(matrix: Tensor, value: Tensor, *, level: str = "S") -> Tensor:
    return matrix @ value if level == "P" else functional.linear(value, matrix)


def _norm(x: Tensor, *, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=eps)


OPERATIONS: Mapping[str, Operation] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    # d(a % n)/da = 1, d(a % n)/dn = -floor(a / n): torch's convention is the notation's.
    "mod": torch.remainder,
    "neg": torch.neg,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "lt": _comparison(torch.lt),
    "le": _comparison(torch.le),
    "gt": _comparison(torch.gt),
    "ge": _comparison(torch.ge),
    "eq": _comparison(torch.eq),
    "ne": _comparison(torch.ne),
    "where": lambda test, x, y: torch.where(test != 0, x, y),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda x, *, slope: functional.leaky_relu(x, slope),
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "softplus": functional.softplus,
    "logsigmoid": functional.logsigmoid,
    "silu": functional.silu,
    "abs": torch.abs,
    "cos": torch.cos,
    "sin": torch.sin,
    "matmul": _matmul,
    "transpose": lambda matrix: matrix.transpose(-1, -2),
    "norm": _norm,
    "mean": lambda x: x.mean(dim=-1, keepdim=True),
    "sum": lambda x: x.sum(dim=-1, keepdim=True),
}
