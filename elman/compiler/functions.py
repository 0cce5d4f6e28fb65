"""The words of the notation: functions, and the namespaces of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from elman.compiler.primitives import PRIMITIVES
from elman.compiler.symbols import Traced, active_tracer, apply, tracing
from elman.errors import CellError, did_you_mean

Operand = object


def _call(op: str, *args: Operand, **attributes: float) -> Traced:
    """Records the operation; on plain numbers outside of a cell, its value."""
    if tracing() or any(isinstance(arg, Traced) for arg in args):
        return apply(op, *args, **attributes)
    function = PRIMITIVES[op].value
    if function is None or not all(isinstance(arg, (int, float)) for arg in args):
        active_tracer(op)
    assert function is not None
    return function(*args, *attributes.values())  # type: ignore[return-value]


# fmt: off
def sigmoid(x: Operand) -> Traced:
    """1 / (1 + exp(-x)), without overflow."""
    return _call("sigmoid", x)


def tanh(x: Operand) -> Traced:
    """The hyperbolic tangent."""
    return _call("tanh", x)


def relu(x: Operand) -> Traced:
    """max(x, 0)."""
    return _call("relu", x)


def leaky_relu(x: Operand, slope: float = 0.01) -> Traced:
    """x where x > 0, else slope * x."""
    return _call("leaky_relu", x, slope=float(slope))


def identity(x: Operand) -> Traced:
    """x itself."""
    return x  # type: ignore[return-value]


def exp(x: Operand) -> Traced:
    """e to the power x."""
    return _call("exp", x)


def expm1(x: Operand) -> Traced:
    """exp(x) - 1, exact for small x."""
    return _call("expm1", x)


def log(x: Operand) -> Traced:
    """The natural logarithm."""
    return _call("log", x)


def log1p(x: Operand) -> Traced:
    """log(1 + x), exact for small x."""
    return _call("log1p", x)


def sqrt(x: Operand) -> Traced:
    """The square root."""
    return _call("sqrt", x)


def square(x: Operand) -> Traced:
    """x * x."""
    return _call("square", x)


def softplus(x: Operand) -> Traced:
    """log(1 + exp(x)), without overflow."""
    return _call("softplus", x)


def logsigmoid(x: Operand) -> Traced:
    """log(sigmoid(x)), without overflow."""
    return _call("logsigmoid", x)


def silu(x: Operand) -> Traced:
    """x * sigmoid(x)."""
    return _call("silu", x)


def abs(x: Operand) -> Traced:
    """The absolute value."""
    return _call("abs", x)


def cos(x: Operand) -> Traced:
    """The cosine of an angle in radians."""
    return _call("cos", x)


def sin(x: Operand) -> Traced:
    """The sine of an angle in radians."""
    return _call("sin", x)


def maximum(x: Operand, y: Operand) -> Traced:
    """The larger of two, element by element."""
    return _call("maximum", x, y)


def minimum(x: Operand, y: Operand) -> Traced:
    """The smaller of two, element by element."""
    return _call("minimum", x, y)


def where(condition: Operand, x: Operand, y: Operand) -> Traced:
    """x where the condition holds, else y, element by element."""
    return _call("where", condition, x, y)


def norm(x: Operand, eps: float = 1e-5) -> Traced:
    """(x - mean) / sqrt(variance + eps) over the features of a vector (Ba et al. 2016)."""
    return _call("norm", x, eps=float(eps))


def mean(x: Operand) -> Traced:
    """The mean over the features of a vector: a value of size 1."""
    return _call("mean", x)


def sum(x: Operand) -> Traced:
    """The sum over the features of a vector: a value of size 1."""
    return _call("sum", x)
# fmt: on


def const(values: Operand) -> Traced:
    """A constant: a number, nested lists, or an array with `.tolist()`, of rank 0, 1 or 2."""
    if isinstance(values, Traced):
        return values
    return active_tracer("const(...)").lift(values, active_tracer("const(...)").here())


ACTIVATIONS: Mapping[str, Callable[[Operand], Traced]] = {
    "tanh": tanh, "relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "identity": identity,
    "silu": silu, "softplus": softplus, "sin": sin,
}  # fmt: skip


def activate(name: str, x: Operand) -> Traced:
    """The activation function called `name`, applied to x.

    Raises:
        CellError: no activation has that name.
    """
    if name not in ACTIVATIONS:
        raise CellError(f"No activation is called {name!r}.", hint=did_you_mean(name, ACTIVATIONS))
    return ACTIVATIONS[name](x)


class Parameters:
    """A namespace of parameters: `W.i` is the parameter "W.i", `W[1].s` one with a single row."""

    def __init__(self, name: str, rows: int | None = None) -> None:
        self._name = name
        self._rows = rows

    def __getattr__(self, name: str) -> Traced:
        if name.startswith("_"):
            raise AttributeError(name)
        full = f"{self._name}.{name}"
        parameter = Traced(active_tracer(full), "parameter", (), rows=self._rows)
        parameter.node_name = full
        return parameter

    def __getitem__(self, rows: int) -> Parameters:
        if isinstance(rows, (Traced, bool)) or not hasattr(rows, "__index__"):
            raise CellError(
                f"{self._name}[{rows!r}]: the number of rows is a whole number.",
                hint=f"A family is indexed after its name: {self._name}.h[3].",
            )
        if (count := rows.__index__()) < 1:
            raise CellError(f"{self._name}[{count}]: a matrix has at least one row.")
        return Parameters(self._name, count)

    def __repr__(self) -> str:
        return f"params({self._name!r})"


def params(name: str) -> Parameters:
    """A new namespace of parameters, `Q = params("Q")`.

    Raises:
        CellError: the name is not an identifier.
    """
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise CellError(f"params({name!r}): a namespace is named like a variable, params('Q').")
    return Parameters(name)


W, R, U, V, b, p, u = (params(name) for name in ("W", "R", "U", "V", "b", "p", "u"))


class Affine:
    """Sugar: `a.i(x, h)` is `W.i @ x + R.i @ h + b.i`; a third argument meets `U.i`."""

    def __init__(self, rows: int | None = None) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Callable[..., Traced]:
        if name.startswith("_"):
            raise AttributeError(name)

        def affine(*values: Operand) -> Traced:
            if not 1 <= len(values) <= 3:
                active_tracer(f"a.{name}").abandon(
                    f"a.{name} of {len(values)} values", "a.i(x, h) takes one to three values."
                )
            spaces = [Parameters(space, self._rows) for space in ("W", "R", "U", "b")]
            total = getattr(spaces[0], name) @ values[0]
            for space, value in zip(spaces[1:3], values[1:], strict=False):
                total = total + getattr(space, name) @ value
            return total + getattr(spaces[3], name)

        return affine

    def __getitem__(self, rows: int) -> Affine:
        return Affine(Parameters("a")[rows]._rows)

    def __repr__(self) -> str:
        return "a"


a = Affine()

__all__ = [
    "ACTIVATIONS", "Affine", "Parameters", "R", "U", "V", "W", "a", "abs", "activate", "b", "const",
    "cos", "exp", "expm1", "identity", "leaky_relu", "log", "log1p", "logsigmoid", "maximum",
    "mean", "minimum", "norm", "p", "params", "relu", "sigmoid", "silu", "sin", "softplus", "sqrt",
    "square", "sum", "tanh", "u", "where",
]  # fmt: skip
