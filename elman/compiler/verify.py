"""Is a step well formed? Run after every pass; it reports all that is wrong, not the first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from elman.compiler.build import SizeClasses
from elman.compiler.ir import Equation, Step, Var
from elman.compiler.primitives import PRIMITIVES, ShapeMismatchError, say_shape
from elman.errors import CellError


def verify(step: Step) -> Step:
    """Gives `step` back when it is well formed.

    Raises:
        CellError: values used before they are defined, wrong arity or attributes, shapes that do
            not follow from the primitives' rules, names used twice, states that change shape.
    """
    problems = list(_declarations(step)) + list(_equations(step)) + list(_results(step))
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise CellError(f"{step.name} is not a well-formed step:{listed}")
    return step


def _declarations(step: Step) -> Iterator[str]:
    seen: set[int] = set()
    for var in step.vars():
        if var.index in seen:
            yield f"{var} is defined twice"
        seen.add(var.index)
        if len(var.shape) > 2:
            yield f"{var} has rank {len(var.shape)}"
        for size in var.shape:
            if (isinstance(size, str) and size not in ("input", "hidden")) or (
                isinstance(size, int) and size < 1
            ):
                yield f"{var} has the impossible size {size!r}"
    for group in ((*step.inputs, *step.states), step.parameters):
        names = [item.name for item in group]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"the name {name} is declared twice"
    for item in (*step.inputs, *step.states):
        if len(item.var.shape) != 1:
            yield f"{item.name} is not a vector but {say_shape(item.var.shape)}"
    for state in step.states:
        if math.isnan(state.initial):
            yield f"the state {state.name} starts as NaN"
    for parameter in step.parameters:
        if not parameter.var.shape:
            yield f"the parameter {parameter.name} has no size"


def _equations(step: Step) -> Iterator[str]:
    classes = SizeClasses(step.constraints)
    declared = (*step.inputs, *step.states, *step.parameters)
    known: set[Var] = {item.var for item in declared}
    for equation in step.equations:
        where = f" ({equation.where})" if equation.where else ""
        for problem in _equation(equation, known, classes):
            yield f"{equation.var} = {equation.op}(...): {problem}{where}"
        known.add(equation.var)


def _equation(equation: Equation, known: set[Var], classes: SizeClasses) -> Iterator[str]:
    row = PRIMITIVES.get(equation.op)
    if row is None:
        yield "no such primitive"
        return
    for arg in equation.args:
        if arg not in known:
            yield f"{arg} {say_shape(arg.shape)} is used before it is defined"
    if len(equation.args) != row.arity:
        yield f"{len(equation.args)} arguments instead of {row.arity}"
        return
    if tuple(sorted(key for key, _ in equation.attributes)) != tuple(sorted(row.attributes)):
        yield f"attributes {dict(equation.attributes)} instead of {row.attributes}"
        return
    if equation.op == "const":
        yield from _constant(equation)
        return
    try:
        shape = row.shape(tuple(classes.shape(arg.shape) for arg in equation.args))
    except ShapeMismatchError as error:
        yield str(error)
        return
    if shape != classes.shape(equation.var.shape):
        yield f"the shape is {say_shape(equation.var.shape)} instead of {say_shape(shape)}"


def _constant(equation: Equation) -> Iterator[str]:
    values = equation.attribute("values")
    if not isinstance(values, tuple):
        yield "the values of a constant are a tuple"
        return
    count = 1
    for size in equation.var.shape:
        if isinstance(size, str):
            yield f"a constant cannot have the symbolic size {size}"
            return
        count *= size
    if len(values) != count:
        yield f"{len(values)} values for the shape {say_shape(equation.var.shape)}"


def _results(step: Step) -> Iterator[str]:
    classes = SizeClasses(step.constraints)
    known = set(step.vars())
    if len(step.new_states) != len(step.states):
        yield f"{len(step.new_states)} new states for {len(step.states)} states"
    for result in (step.output, *step.new_states, *(item.var for item in step.results)):
        if result not in known:
            yield f"the result {result} is not defined"
    names = [item.name for item in step.results]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"the result {name} is given twice"
    if len(step.output.shape) != 1:
        yield f"the output is not a vector but {say_shape(step.output.shape)}"
    for state, new in zip(step.states, step.new_states, strict=False):
        if classes.shape(state.var.shape) != classes.shape(new.shape):
            yield (
                f"the state {state.name} {say_shape(state.var.shape)} becomes "
                f"{say_shape(new.shape)}"
            )
