"""Simplification: constants, neutral elements, common subexpressions, dead values.

Values are kept exactly (also for infinities and NaN: `x * 0` stays), and so are the names and
source lines of what remains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from elman.compiler.build import StepBuilder, moved, name_of, named
from elman.compiler.ir import Attribute, Equation, Shape, Step, Var
from elman.compiler.primitives import PRIMITIVES, elementwise_shape

Key = tuple[object, ...]
_LIMIT = 4096  # constants longer than this are not folded further


def simplify(step: Step) -> Step:
    """The same function of inputs, states and parameters in fewer equations."""
    return remove_dead(_Rewriter(step).run())


def remove_dead(step: Step) -> Step:
    """Without the equations and the parameters that no result depends on."""
    live: set[Var] = {step.output, *step.new_states, *(item.var for item in step.results)}
    for equation in reversed(step.equations):
        if equation.var in live:
            live.update(equation.args)
    build = StepBuilder(step.name, step.constraints)
    values: dict[Var, Var] = {}
    for entry in step.inputs:
        values[entry.var] = build.input(entry.name, entry.var.shape)
    for state in step.states:
        values[state.var] = build.state(state.name, state.var.shape, state.initial)
    for parameter in step.parameters:
        if parameter.var in live:
            values[parameter.var] = build.parameter(parameter.name, parameter.var.shape)
    for equation in step.equations:
        if equation.var in live:
            values[equation.var] = build.copy(equation, values)
    new_states = (values[var] for var in step.new_states)
    results = moved(step.results, values)
    return build.finish(values[step.output], new_states, step.where, results)


class _Rewriter:
    """One pass over the equations in order, each becoming an old value, a constant or a new one."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.build = StepBuilder(step.name, step.constraints)
        self.values = self.build.declare(step)
        self.constants: dict[Var, tuple[float, ...]] = {}
        self.made_by: dict[Var, int] = {}
        self.seen: dict[Key, Var] = {}

    def run(self) -> Step:
        for equation in self.step.equations:
            var = self._rewrite(equation)
            self.values[equation.var] = var
            self._keep_name(var, equation)
        step, values = self.step, self.values
        new_states = (values[var] for var in step.new_states)
        results = moved(step.results, values)
        return self.build.finish(values[step.output], new_states, step.where, results)

    def _rewrite(self, equation: Equation) -> Var:
        args = tuple(self.values[arg] for arg in equation.args)
        if equation.op == "const":
            values = _floats(equation.attribute("values"))
            return self._constant(values, equation.var.shape, equation)
        folded = self._fold(equation, args)
        if folded is not None:
            return self._constant(*folded, equation)
        same = self._neutral(equation, args)
        if same is not None:
            return same
        return self._emit(equation, args)

    def _constant(self, numbers: tuple[float, ...], shape: Shape, equation: Equation) -> Var:
        key: Key = ("const", tuple(map(_exact, numbers)), shape)
        if key not in self.seen:
            var = self.build.constant(numbers, shape, equation.where)
            self.seen[key] = var
            self.constants[var] = numbers
        return self.seen[key]

    def _emit(self, equation: Equation, args: tuple[Var, ...]) -> Var:
        row = PRIMITIVES[equation.op]
        order = sorted(args, key=lambda var: var.index) if row.commutative else args
        key: Key = (equation.op, tuple(var.index for var in order), equation.attributes)
        if key not in self.seen:
            values = dict(zip(equation.args, args, strict=True))
            self.seen[key] = self.build.copy(equation, values)
            self.made_by[self.seen[key]] = len(self.build.equations) - 1
        return self.seen[key]

    def _keep_name(self, var: Var, equation: Equation) -> None:
        """A value that two equations give keeps the name that either has."""
        number = self.made_by.get(var)
        if number is None or not name_of(equation):
            return
        kept = self.build.equations[number]
        if not name_of(kept):
            where = named(kept.where, name_of(equation))
            self.build.equations[number] = Equation(
                kept.var, kept.op, kept.args, kept.attributes, where
            )

    def _fold(
        self, equation: Equation, args: tuple[Var, ...]
    ) -> tuple[tuple[float, ...], Shape] | None:
        """The value of an elementwise operation on constants; None when it has none in floats."""
        function = PRIMITIVES[equation.op].value
        if function is None or not all(arg in self.constants for arg in args):
            return None
        # The constants' own numbers: the equation may speak of a symbolic size that equals them.
        sizes = tuple(int(size) for size in elementwise_shape(tuple(arg.shape for arg in args)))
        if math.prod(sizes) > _LIMIT:
            return None
        columns = [_broadcast(self.constants[arg], arg.shape, sizes) for arg in args]
        attributes = [value for _, value in equation.attributes]
        try:
            rows = zip(*columns, strict=True)
            return tuple(float(function(*row, *attributes)) for row in rows), sizes
        except (OverflowError, ValueError, ZeroDivisionError):
            return None

    def _neutral(self, equation: Equation, args: tuple[Var, ...]) -> Var | None:
        """x + 0, x - 0, x * 1, x / 1, --x, x.T.T, max(x, x): an argument in place of the value."""
        same = _identity(equation.op, args, self.constants)
        if same is None and equation.op in ("neg", "transpose"):
            number = self.made_by.get(args[0])
            if number is not None and self.build.equations[number].op == equation.op:
                same = self.build.equations[number].args[0]
        # Broadcasting: 0 + x may be wider than x.
        shape = self.build.classes.shape
        if same is not None and shape(same.shape) == shape(equation.var.shape):
            return same
        return None


def _identity(
    op: str, args: tuple[Var, ...], constants: Mapping[Var, tuple[float, ...]]
) -> Var | None:
    def only(arg: Var, number: float) -> bool:
        return arg in constants and all(value == number for value in constants[arg])

    match op, args:
        case ("add", (x, y)) if only(y, 0.0):
            return x
        case ("add", (x, y)) if only(x, 0.0):
            return y
        case ("sub", (x, y)) if only(y, 0.0):
            return x
        case (("mul" | "div"), (x, y)) if only(y, 1.0):
            return x
        case ("mul", (x, y)) if only(x, 1.0):
            return y
        case (("maximum" | "minimum"), (x, y)) if x == y:
            return x
        case ("where", (_, x, y)) if x == y:
            return x
    return None


def _exact(number: float) -> str:
    return number.hex()  # tells 0.0 from -0.0 and keeps NaN equal to itself


def _floats(values: Attribute) -> tuple[float, ...]:
    assert isinstance(values, tuple)
    return values


def _broadcast(
    numbers: tuple[float, ...], shape: tuple[object, ...], sizes: tuple[int, ...]
) -> list[float]:
    """The numbers of a constant, repeated to the sizes (of the same rank, or a single number)."""
    if not shape:
        return list(numbers) * math.prod(sizes)
    if len(sizes) == 1:
        return list(numbers) if shape[0] != 1 else list(numbers) * sizes[0]
    rows, columns = (int(size) for size in shape if isinstance(size, int))
    return [
        numbers[(row % rows) * columns + column % columns]
        for row in range(sizes[0])
        for column in range(sizes[1])
    ]
