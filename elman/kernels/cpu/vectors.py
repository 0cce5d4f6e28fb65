"""Every elementwise primitive as vector code: one row an operation, named as in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from elman.kernels.cpu import circular, exponentials, logarithms
from elman.kernels.cpu.arithmetic import Arithmetic, Value
from elman.kernels.cpu.remainder import remainder

Emitter = Callable[..., Value]


class Vectors(Arithmetic):
    """Arithmetic and the elementwise primitives on vectors, with the values that torch gives.

    Args:
        builder: where the instructions go; `mod` also appends a block.
        lanes: elements of a vector.
        double: float64 instead of float32.
    """

    def emit(
        self, op: str, args: Sequence[Value], attributes: Mapping[str, Any] | None = None
    ) -> Value:
        """The value of a primitive; attributes as in its equation (`slope`)."""
        return EMITTERS[op](self, *args, **(attributes or {}))


def _greater(v: Arithmetic, x: Value, y: Value) -> Value:
    return v.choose(v.unordered(x, x), x, v.choose(v.compare(">", x, y), x, y))


def _lesser(v: Arithmetic, x: Value, y: Value) -> Value:
    return v.choose(v.unordered(x, x), x, v.choose(v.compare("<", x, y), x, y))


def _comparison(relation: str) -> Emitter:
    def emitter(v: Arithmetic, x: Value, y: Value) -> Value:
        return v.choose(v.compare(relation, x, y), v.constant(1.0), v.constant(0.0))

    return emitter


def _where(v: Arithmetic, test: Value, x: Value, y: Value) -> Value:
    return v.choose(v.compare("!=", test, v.constant(0.0)), x, y)


def _leaky_relu(v: Arithmetic, x: Value, *, slope: float) -> Value:
    return v.choose(v.compare(">", x, v.constant(0.0)), x, v.mul(x, v.constant(slope)))


EMITTERS: Mapping[str, Emitter] = {
    "add": Arithmetic.add,
    "sub": Arithmetic.sub,
    "mul": Arithmetic.mul,
    "div": Arithmetic.div,
    "mod": remainder,
    "neg": Arithmetic.neg,
    "maximum": _greater,
    "minimum": _lesser,
    "lt": _comparison("<"),
    "le": _comparison("<="),
    "gt": _comparison(">"),
    "ge": _comparison(">="),
    "eq": _comparison("=="),
    "ne": _comparison("!="),
    "where": _where,
    "sigmoid": exponentials.sigmoid,
    "tanh": exponentials.tanh,
    "relu": lambda v, x: v.at_least(x, 0.0),
    "leaky_relu": _leaky_relu,
    "exp": exponentials.exp,
    "expm1": exponentials.expm1,
    "log": logarithms.log,
    "log1p": logarithms.log1p,
    "sqrt": lambda v, x: v.intrinsic("sqrt", x),
    "square": lambda v, x: v.mul(x, x),
    "softplus": exponentials.softplus,
    "logsigmoid": exponentials.logsigmoid,
    "silu": exponentials.silu,
    "abs": Arithmetic.absolute,
    "cos": circular.cos,
    "sin": circular.sin,
}
