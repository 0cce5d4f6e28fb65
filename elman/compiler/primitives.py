"""The primitives: one table row for each operation that an equation of a step may use.

A row says what the rest of the compiler must know about the operation: its arity, how shapes
follow, its value on numbers (for folding constants), how it is written in text and in LaTeX, and
its cost. A new operation is a new row; a new property of all operations is a new column.

Operands are elementwise values of the same rank, where a size of 1 and the scalar `()` broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elman.compiler.ir import Shape, Size

if TYPE_CHECKING:
    from elman.compiler.terms import Term

ShapeRule = Callable[[tuple[Shape, ...]], Shape]
Derivative = Callable[..., "tuple[Term | None, ...]"]

ATOM, CALL, NEGATION, PRODUCT, SUM, COMPARISON = 100, 90, 35, 30, 20, 10


class ShapeMismatchError(ValueError):
    """Operands whose shapes do not go together; the text says which."""


def say_shape(shape: Shape) -> str:
    """A shape in words: `(hidden, input)`, `(16)`, `a number`."""
    return f"({', '.join(str(size) for size in shape)})" if shape else "a number"


def elementwise_shape(shapes: tuple[Shape, ...]) -> Shape:
    """The common shape of operands taken element by element."""
    ranked = [shape for shape in shapes if shape]
    if not ranked:
        return ()
    if len({len(shape) for shape in ranked}) > 1:
        raise ShapeMismatchError(f"a vector beside a matrix: {_list(ranked)}")
    return tuple(_common(column, ranked) for column in zip(*ranked, strict=True))


def _common(sizes: tuple[Size, ...], shapes: list[Shape]) -> Size:
    wide = {size for size in sizes if size != 1}
    if len(wide) > 1:
        raise ShapeMismatchError(f"sizes that differ: {_list(shapes)}")
    return wide.pop() if wide else 1


def _matmul_shape(shapes: tuple[Shape, ...]) -> Shape:
    matrix, value = shapes
    if len(matrix) != 2 or not value or matrix[1] != value[0]:
        raise ShapeMismatchError(f"{say_shape(matrix)} cannot multiply {say_shape(value)}")
    return (matrix[0], *value[1:])


def _transpose_shape(shapes: tuple[Shape, ...]) -> Shape:
    (matrix,) = shapes
    if len(matrix) != 2:
        raise ShapeMismatchError(f"only a matrix can be transposed, not {say_shape(matrix)}")
    return (matrix[1], matrix[0])


def _vector_shape(shapes: tuple[Shape, ...]) -> Shape:
    (value,) = shapes
    if len(value) != 1:
        raise ShapeMismatchError(f"a reduction needs a vector, not {say_shape(value)}")
    return value


def _reduced_shape(shapes: tuple[Shape, ...]) -> Shape:
    _vector_shape(shapes)
    return (1,)


def _list(shapes: list[Shape]) -> str:
    return " and ".join(dict.fromkeys(say_shape(shape) for shape in shapes))


@dataclass(frozen=True)
class Primitive:
    """One operation.

    Args:
        name: how equations call it.
        arity: number of arguments.
        shape: the shape of the value, from those of the arguments.
        latex: a template; `{0}` is the first argument.
        flops: floating point operations for each element of the value (`matmul`: each product).
        text: a template for plain text; empty: `name(arguments)`.
        precedence: how strongly the written form binds (`ATOM` the most).
        commutative: the two arguments may be exchanged.
        reduces: it reads a whole feature vector for each element (a barrier in a kernel).
        attributes: the attributes that its equations carry.
        value: its value on numbers; None when it is not an elementwise function.
        derivative: from `(g, y, *arguments, **attributes)` to what each argument receives, where y
            is the value and g what it receives itself; None for an argument that receives nothing.
            The row has none when another pass treats the operation.
    """

    name: str
    arity: int
    shape: ShapeRule
    latex: str
    flops: int
    text: str = ""
    precedence: int = CALL
    commutative: bool = False
    reduces: bool = False
    attributes: tuple[str, ...] = ()
    value: Callable[..., float] | None = None
    derivative: Derivative | None = None

    @property
    def elementwise(self) -> bool:
        """True when element k of the value depends on elements k of the arguments only."""
        return self.shape is elementwise_shape


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _greater(x: float, y: float) -> float:
    return x if x > y or x != x else y


def _lesser(x: float, y: float) -> float:
    return x if x < y or x != x else y


def _point(
    name: str,
    latex: str,
    flops: int,
    value: Callable[[float], float],
    slope: Callable[[Term, Term], Term],
) -> Primitive:
    """An operation on one value; `slope(y, x)` is its derivative."""
    return Primitive(
        name,
        1,
        elementwise_shape,
        latex,
        flops,
        value=value,
        derivative=lambda g, y, x: (g * slope(y, x),),
    )


def _infix(
    name: str,
    symbol: str,
    latex: str,
    precedence: int,
    value: Callable[[float, float], float],
    derivative: Derivative,
    *,
    commutative: bool = False,
) -> Primitive:
    text = f"{{0}} {symbol} {{1}}"
    return Primitive(
        name,
        2,
        elementwise_shape,
        latex,
        1,
        text,
        precedence,
        commutative,
        value=value,
        derivative=derivative,
    )


def _flat(_g: Term, _y: Term, *arguments: Term) -> tuple[None, ...]:
    return (None,) * len(arguments)


def _larger_takes(g: Term, x: Term, y: Term) -> tuple[Term, Term]:
    # Equal arguments share, as in torch.
    tie = x.apply("eq", y).where_true(g * 0.5, 0.0)
    return (x > y).where_true(g, tie), (y > x).where_true(g, tie)


def _silu_slope(x: Term) -> Term:
    gate = x.apply("sigmoid")
    return gate * (x * (1 - gate) + 1.0)


_ROWS = (
    Primitive("const", 0, elementwise_shape, "", 0, attributes=("values",)),
    _infix("add", "+", "{0} + {1}", SUM, lambda x, y: x + y, lambda g, y, a, b: (g, g),
           commutative=True),
    _infix("sub", "-", "{0} - {1}", SUM, lambda x, y: x - y,
           lambda g, y, a, b: (g, -g)),
    _infix("mul", "*", r"{0} \odot {1}", PRODUCT, lambda x, y: x * y,
           lambda g, y, a, b: (g * b, g * a), commutative=True),
    _infix("div", "/", r"\frac{{{0}}}{{{1}}}", PRODUCT, lambda x, y: x / y,
           lambda g, y, a, b: (g / b, -(g / b * y))),
    _infix("mod", "%", r"{0} \bmod {1}", PRODUCT, lambda x, y: x % y,
           lambda g, y, a, b: (g, g * ((y - a) / b))),
    Primitive("neg", 1, elementwise_shape, "-{0}", 1, "-{0}", NEGATION, value=lambda x: -x,
              derivative=lambda g, y, x: (-g,)),
    Primitive("maximum", 2, elementwise_shape, r"\max({0}, {1})", 1, commutative=True,
              value=_greater, derivative=lambda g, y, a, b: _larger_takes(g, a, b)),
    Primitive("minimum", 2, elementwise_shape, r"\min({0}, {1})", 1, commutative=True,
              value=_lesser,
              derivative=lambda g, y, a, b: tuple(reversed(_larger_takes(g, a, b)))),
    _infix("lt", "<", "{0} < {1}", COMPARISON, lambda x, y: float(x < y), _flat),
    _infix("le", "<=", r"{0} \le {1}", COMPARISON, lambda x, y: float(x <= y), _flat),
    _infix("gt", ">", "{0} > {1}", COMPARISON, lambda x, y: float(x > y), _flat),
    _infix("ge", ">=", r"{0} \ge {1}", COMPARISON, lambda x, y: float(x >= y), _flat),
    _infix("eq", "==", "{0} = {1}", COMPARISON, lambda x, y: float(x == y), _flat,
           commutative=True),
    _infix("ne", "!=", r"{0} \ne {1}", COMPARISON, lambda x, y: float(x != y), _flat,
           commutative=True),
    Primitive("where", 3, elementwise_shape,
              r"\begin{{cases}} {1} & \text{{if }} {0} \\ {2} & \text{{otherwise}} \end{{cases}}",
              1, value=lambda test, x, y: x if test else y,
              derivative=lambda g, y, test, a, b: (
                  None, test.where_true(g, 0.0), test.where_true(0.0, g))),
    _point("sigmoid", r"\sigma({0})", 4, _sigmoid,
           lambda y, x: y * (1 - y)),
    _point("tanh", r"\tanh({0})", 6, math.tanh,
           lambda y, x: 1 - y * y),
    _point("relu", r"\operatorname{{relu}}({0})", 1, lambda x: _greater(x, 0.0),
           lambda y, x: x > 0.0),
    Primitive("leaky_relu", 1, elementwise_shape, r"\operatorname{{lrelu}}({0})", 2,
              attributes=("slope",), value=lambda x, slope: x if x > 0 else slope * x,
              derivative=lambda g, y, x, slope: ((x > 0.0).where_true(g, g * slope),)),
    _point("exp", r"\exp({0})", 4, math.exp,
           lambda y, x: y),
    _point("expm1", r"\operatorname{{expm1}}({0})", 5, math.expm1,
           lambda y, x: y + 1.0),
    _point("log", r"\log({0})", 4, math.log,
           lambda y, x: x.number(1.0) / x),
    _point("log1p", r"\operatorname{{log1p}}({0})", 5, math.log1p,
           lambda y, x: x.number(1.0) / (x + 1.0)),
    _point("sqrt", r"\sqrt{{{0}}}", 2, math.sqrt,
           lambda y, x: x.number(0.5) / y),
    _point("square", r"({0})^{{2}}", 1, lambda x: x * x,
           lambda y, x: x * 2.0),
    _point("softplus", r"\operatorname{{softplus}}({0})", 8, _softplus,
           lambda y, x: x.apply("sigmoid")),
    _point("logsigmoid", r"\log \sigma({0})", 8, lambda x: -_softplus(-x),
           lambda y, x: (-x).apply("sigmoid")),
    _point("silu", r"\operatorname{{silu}}({0})", 5, lambda x: x * _sigmoid(x),
           lambda y, x: _silu_slope(x)),
    _point("abs", r"\lvert {0} \rvert", 1, abs,
           lambda y, x: (x > 0.0) - (-x > 0.0)),
    _point("cos", r"\cos({0})", 6, math.cos,
           lambda y, x: -x.apply("sin")),
    _point("sin", r"\sin({0})", 6, math.sin,
           lambda y, x: x.apply("cos")),
    Primitive("matmul", 2, _matmul_shape, "{0} {1}", 2, "{0} @ {1}", PRODUCT),
    Primitive("transpose", 1, _transpose_shape, r"{0}^{{\top}}", 0, "{0}.T", CALL),
    Primitive("norm", 1, _vector_shape, r"\operatorname{{norm}}({0})", 8, reduces=True,
              attributes=("eps",)),
    Primitive("mean", 1, _reduced_shape, r"\operatorname{{mean}}({0})", 1, reduces=True),
    Primitive("sum", 1, _reduced_shape, r"\operatorname{{sum}}({0})", 1, reduces=True),
)  # fmt: skip

PRIMITIVES: dict[str, Primitive] = {row.name: row for row in _ROWS}
