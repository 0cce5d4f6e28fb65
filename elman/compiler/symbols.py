"""Symbolic values: what a cell's function computes with while it is traced.

Every operation on a `Traced` value appends a node to the active `Tracer`. Nothing is decided here
about ranks and sizes (`infer.py` does, once the whole graph is known), so that one wrong line does
not hide the next: mistakes are noted with their source line and reported together.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import NoReturn

from elman.compiler.build import Origin
from elman.compiler.ir import Attribute, Shape
from elman.compiler.literals import read_literal, say_value
from elman.compiler.refusals import Refusing
from elman.errors import CellError

_HERE = str(Path(__file__).parent)


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a cell: what, where, and what to do."""

    message: str
    where: Origin | None
    hint: str = ""

    def __str__(self) -> str:
        text = f" in `{self.where.text}`" if self.where and self.where.text else ""
        return f"{self.where or 'cell'}: {self.message}{text}. {self.hint}".rstrip()


class AbandonedError(Exception):
    """Tracing cannot go on after a mistake that has been noted."""


_active: ContextVar[Tracer | None] = ContextVar("active tracer", default=None)


class Tracer:
    """Collects the nodes, the parameters and the mistakes of one trace of one function."""

    def __init__(self, name: str, code: CodeType) -> None:
        self.name = name
        self.code = code
        self.nodes: list[Traced] = []
        self.parameters: dict[str, Traced] = {}
        self.mistakes: list[Mistake] = []

    def require_active(self, value: Traced) -> None:
        """CellError when `value` has outlived the trace that made it."""
        if _active.get() is not self:
            raise CellError(
                f"{value.describe()} of {self.name} is used outside of its cell.",
                hint="Pass values as arguments; do not keep them in global variables.",
            )

    def activate(self, work: Callable[[], object]) -> object:
        """Runs `work` with this tracer receiving the operations."""
        token = _active.set(self)
        try:
            return work()
        finally:
            _active.reset(token)

    def mistake(self, message: str, hint: str = "", where: Origin | None = None) -> None:
        """Notes a mistake; tracing goes on."""
        noted = Mistake(message, where or self.here(), hint)
        if noted not in self.mistakes:
            self.mistakes.append(noted)

    def abandon(self, message: str, hint: str = "") -> NoReturn:
        """Notes a mistake after which the function cannot be run further."""
        self.mistake(message, hint)
        raise AbandonedError(message)

    def here(self) -> Origin:
        """The user's line: the innermost frame in the cell's file, else the cell's own frame."""
        frames = [frame for frame in _frames() if not _is_ours(frame)]
        own = [frame for frame in frames if frame.f_code.co_filename == self.code.co_filename]
        for frame in frames:
            if frame.f_code is self.code:
                self._name_locals(frame)
                break
        if not (own or frames):
            return Origin(self.code.co_filename, self.code.co_firstlineno)
        frame = (own or frames)[0]
        file, line = frame.f_code.co_filename, frame.f_lineno
        return Origin(file, line, linecache.getline(file, line).strip())

    def _name_locals(self, frame: FrameType) -> None:
        """Values that are bound to a local name of the cell get that name: they print with it."""
        for name, value in frame.f_locals.items():
            if isinstance(value, Traced) and not value.node_name and value.tracer is self:
                value.node_name = name

    def leaf(self, op: str, name: str, level: str) -> Traced:
        """An input, a state or a parameter."""
        node = Traced(self, op, (), level=level)
        node.node_name = name
        self.nodes.append(node)
        return node

    def record(
        self,
        op: str,
        args: tuple[object, ...],
        attributes: tuple[tuple[str, Attribute], ...] = (),
    ) -> Traced:
        """Appends `op(*args)`; numbers and arrays among the arguments become constants."""
        here = self.here()
        values = tuple(self.lift(arg, here) for arg in args)
        levels = [value.level for value in values]
        level = max(levels, key="PXS".index) if levels else "P"
        if op == "matmul" and values[0].level != "P":
            self.mistake(*_bad_matmul(values), where=here)
            op = "unknown"
        if any(value.op == "unknown" for value in values):
            op = "unknown"
        node = Traced(self, op, values, level=level, attributes=attributes, where=here)
        self.nodes.append(node)
        return node

    def lift(self, value: object, where: Origin | None = None) -> Traced:
        """Any operand as a node of this trace."""
        if isinstance(value, Traced):
            if value.tracer is not self:
                self.abandon(
                    f"{value.describe()} belongs to another cell",
                    "Pass values as arguments; do not keep them in global variables.",
                )
            return self._intern(value) if value.op == "parameter" else value
        try:
            values, shape = read_literal(value)
        except (TypeError, ValueError):
            self.abandon(
                f"{say_value(value)} cannot be part of an equation",
                "Operands are traced values, numbers, and arrays of numbers of rank 1 or 2.",
            )
        node = Traced(self, "const", (), where=where, attributes=(("values", values),))
        node.shape = shape
        self.nodes.append(node)
        return node

    def _intern(self, parameter: Traced) -> Traced:
        known = self.parameters.get(parameter.node_name)
        if known is None:
            parameter.where = self.here()
            self.parameters[parameter.node_name] = parameter
            self.nodes.append(parameter)
            return parameter
        if known.rows != parameter.rows:
            sizes = " and ".join(
                "hidden" if r is None else str(r) for r in (known.rows, parameter.rows)
            )
            self.mistake(
                f"{known.node_name} is used with two sizes, {sizes}",
                "One name is one parameter: give the second a name of its own.",
            )
        return known


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_HERE)


def _bad_matmul(values: tuple[Traced, ...]) -> tuple[str, str]:
    left, right = values
    if right.level == "P":
        return (
            f"`@` has the vector {left.describe()} on its left",
            "Matrices stand on the left: write W.h @ x.",
        )
    return (
        f"`@` between two vectors, {left.describe()} and {right.describe()}",
        "The left of `@` is a matrix of parameters; the product element by element is `*`.",
    )


def active_tracer(what: str) -> Tracer:
    """The tracer at work; CellError when `what` is used outside of a cell."""
    tracer = _active.get()
    if tracer is None:
        raise CellError(
            f"{what} has a value only while a cell is traced.",
            hint="Use it inside a function decorated with @cell.",
        )
    return tracer


def tracing() -> bool:
    """True while a cell is traced."""
    return _active.get() is not None


def apply(op: str, *args: object, **attributes: Attribute) -> Traced:
    """Records an operation of the table `primitives.PRIMITIVES`."""
    for arg in args:
        if isinstance(arg, Traced):
            arg.tracer.require_active(arg)
    return active_tracer(op).record(op, args, tuple(sorted(attributes.items())))


class Traced(Refusing):
    """A symbolic value: an input, a state, a parameter, a constant or an operation on others."""

    __slots__ = (
        "args", "attributes", "level", "node_name", "op", "rows", "shape", "tracer", "where",
    )  # fmt: skip

    def __init__(
        self,
        tracer: Tracer,
        op: str,
        args: tuple[Traced, ...],
        *,
        level: str = "P",
        attributes: tuple[tuple[str, Attribute], ...] = (),
        where: Origin | None = None,
        rows: int | None = None,
    ) -> None:
        self.tracer, self.op, self.args, self.level = tracer, op, args, level
        self.attributes, self.where, self.rows = attributes, where, rows
        self.node_name = ""
        self.shape: Shape | None = None

    def describe(self) -> str:
        """How a message calls this value."""
        kind = {"input": "the input ", "state": "the state ", "parameter": "the parameter "}
        if self.node_name:
            return f"{kind.get(self.op, '')}{self.node_name}"
        return {"const": "a constant"}.get(self.op, f"the value of {self.op}(...)")

    __hash__ = object.__hash__

    # fmt: off
    def __add__(self, other: object) -> Traced: return apply("add", self, other)
    def __radd__(self, other: object) -> Traced: return apply("add", other, self)
    def __sub__(self, other: object) -> Traced: return apply("sub", self, other)
    def __rsub__(self, other: object) -> Traced: return apply("sub", other, self)
    def __mul__(self, other: object) -> Traced: return apply("mul", self, other)
    def __rmul__(self, other: object) -> Traced: return apply("mul", other, self)
    def __truediv__(self, other: object) -> Traced: return apply("div", self, other)
    def __rtruediv__(self, other: object) -> Traced: return apply("div", other, self)
    def __mod__(self, other: object) -> Traced: return apply("mod", self, other)
    def __rmod__(self, other: object) -> Traced: return apply("mod", other, self)
    def __matmul__(self, other: object) -> Traced: return apply("matmul", self, other)
    def __rmatmul__(self, other: object) -> Traced: return apply("matmul", other, self)
    def __lt__(self, other: object) -> Traced: return apply("lt", self, other)
    def __le__(self, other: object) -> Traced: return apply("le", self, other)
    def __gt__(self, other: object) -> Traced: return apply("gt", self, other)
    def __ge__(self, other: object) -> Traced: return apply("ge", self, other)
    def __neg__(self) -> Traced: return apply("neg", self)
    def __pos__(self) -> Traced: return self
    def __abs__(self) -> Traced: return apply("abs", self)
    # fmt: on

    def __eq__(self, other: object) -> Traced:  # type: ignore[override]
        return apply("eq", self, other)

    def __ne__(self, other: object) -> Traced:  # type: ignore[override]
        return apply("ne", self, other)

    # Conditions are 0 or 1, so that `and`, `or` and `not` are arithmetic.
    def __and__(self, other: object) -> Traced:
        return apply("mul", self, other)

    def __or__(self, other: object) -> Traced:
        return apply("maximum", self, other)

    def __invert__(self) -> Traced:
        return apply("sub", 1.0, self)

    def __pow__(self, exponent: object) -> Traced:
        if exponent == 0.5:
            return apply("sqrt", self)
        if isinstance(exponent, (int, float)) and float(exponent).is_integer():
            return self._power(int(exponent))
        self.tracer.mistake(
            f"the power {say_value(exponent)} of a traced value",
            "Whole powers and 0.5 are known; write exp(y * log(x)) for others.",
        )
        return apply("unknown", self)

    def _power(self, exponent: int) -> Traced:
        if exponent < 0:
            return apply("div", 1.0, self._power(-exponent))
        if exponent == 0:
            return self.tracer.lift(1.0, self.tracer.here())
        if exponent == 1:
            return self
        if exponent == 2:
            return apply("square", self)
        half = apply("square", self._power(exponent // 2))
        return apply("mul", half, self) if exponent % 2 else half

    @property
    def T(self) -> Traced:
        """The transpose of a matrix of parameters."""
        if self.level != "P":
            self.tracer.mistake(
                f"{self.describe()} is a vector and has no transpose",
                "Only matrices of parameters are transposed: R.h.T.",
            )
            return apply("unknown", self)
        return apply("transpose", self)

    def __getitem__(self, key: object) -> Traced:
        if self.op != "parameter":
            self.tracer.abandon(
                f"{self.describe()} is indexed",
                "A vector is one value: give its parts names (two states, two parameters).",
            )
        if isinstance(key, (Traced, slice)):
            self.tracer.abandon(
                f"{self.describe()} is indexed by {say_value(key)}",
                "The index of a family is a number or a text: R.h[3].",
            )
        member = Traced(self.tracer, "parameter", (), rows=self.rows)
        member.node_name = f"{self.node_name}[{key}]"
        return member

    def _no(self, what: str, hint: str) -> NoReturn:
        self.tracer.require_active(self)
        self.tracer.abandon(what, hint)

    def _foreign(self, function: str) -> Traced:
        self.tracer.mistake(
            f"{function} on a traced value",
            "Use the functions of elman.cells (tanh, where, maximum ...); arrays are constants.",
        )
        return apply("unknown", self)

    def __floordiv__(self, other: object) -> Traced:
        self.tracer.mistake(
            "integer division `//` of a traced value", "Use `/`, or `%` for the remainder."
        )
        return apply("unknown", self, other)

    __rfloordiv__ = __floordiv__
    __divmod__ = __floordiv__

    def __array_ufunc__(self, ufunc: object, method: str, *inputs: object, **_: object) -> Traced:
        """Arithmetic between a numpy array and a traced value; other functions are refused."""
        name = str(getattr(ufunc, "__name__", ufunc))
        if method == "__call__" and name in _ARITHMETIC:
            return apply(_ARITHMETIC[name], *inputs)
        return self._foreign(f"numpy.{name}")


_ARITHMETIC = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div",
    "remainder": "mod", "matmul": "matmul", "maximum": "maximum", "minimum": "minimum",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "equal": "eq",
    "not_equal": "ne",
}  # fmt: skip
