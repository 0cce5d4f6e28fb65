"""From equations as they are written to equations as a kernel runs them.

`with_sizes` puts numbers in place of symbolic sizes; `lower` writes `norm` and `mean` as sums and
pointwise work; `gather_sums` brings the terms of a sum into the order parameters and inputs first,
matrix products on states next, the rest last, so that all that does not depend on the states
leaves the time loop as one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from elman.compiler.analyse import Level, levels_of
from elman.compiler.build import StepBuilder, moved
from elman.compiler.ir import (
    Equation,
    Input,
    Parameter,
    Result,
    Size,
    State,
    Step,
    Var,
    dimensions,
)
from elman.compiler.simplify import simplify
from elman.compiler.terms import Term
from elman.compiler.verify import verify


def with_sizes(step: Step, sizes: Mapping[str, int]) -> Step:
    """The step with every size a number, from `Step.resolve`."""
    to = {var: Var(var.index, dimensions(var.shape, sizes)) for var in step.vars()}

    def equation(e: Equation) -> Equation:
        return Equation(to[e.var], e.op, tuple(to[a] for a in e.args), e.attributes, e.where)

    return verify(
        Step(
            step.name,
            tuple(Input(item.name, to[item.var]) for item in step.inputs),
            tuple(State(item.name, to[item.var], item.initial) for item in step.states),
            tuple(Parameter(item.name, to[item.var]) for item in step.parameters),
            tuple(equation(e) for e in step.equations),
            to[step.output],
            tuple(to[var] for var in step.new_states),
            (),
            step.where,
            tuple(Result(item.name, to[item.var], item.summed) for item in step.results),
        )
    )


def lower(step: Step, *, inputs: bool = True) -> Step:
    """Without `norm` and `mean`: what is left is pointwise, a sum or a matrix product.

    Those of inputs and parameters alone leave the loop and stay as they are, for the framework's
    own; `inputs=False` is for a caller who works on inputs step by step.
    """
    build = StepBuilder(step.name, step.constraints)
    values = build.declare(step)
    levels = levels_of(step)
    for equation in step.equations:
        inside = levels[equation.var] == "S" or not inputs
        if equation.op not in ("norm", "mean") or not inside:
            values[equation.var] = build.copy(equation, values)
            continue
        x = Term(build, values[equation.args[0]], equation.where)
        length = _length(equation.args[0].shape[0])
        if equation.op == "norm" and length == 1:  # nothing is left of it, nor is there a gradient
            values[equation.var] = (x - x).var
            continue
        share = 1.0 / length
        mean = x.apply("sum") * share
        if equation.op == "mean":
            values[equation.var] = mean.var
            continue
        eps = equation.attribute("eps")
        assert isinstance(eps, float)
        centred = x - mean
        variance = (centred * centred).apply("sum") * share
        # One division a row, and a product a unit.
        scale = x.number(1.0) / (variance + eps).apply("sqrt")
        values[equation.var] = (centred * scale).var
    return _finish(build, step, values)


def _length(size: Size) -> int:
    assert isinstance(size, int), "sizes are numbers by now"
    return size


@dataclass(frozen=True)
class Addend:
    """A term of a sum with its sign."""

    var: Var
    negative: bool


_SUMS = ("add", "sub", "neg")


class Sums:
    """The sums of a step: `terms(var)` takes one apart.

    A value inside of a sum that is used elsewhere too is one term; `tops` are the sums that are
    not themselves terms of a larger one.
    """

    def __init__(self, step: Step) -> None:
        self._made = {equation.var: equation for equation in step.equations}
        uses = count_uses(step)
        self._inner = {
            arg
            for equation in step.equations
            if equation.op in _SUMS
            for arg in equation.args
            if uses[arg] == 1 and arg in self._made and self._made[arg].op in _SUMS
            if arg.shape == equation.var.shape
        }
        self.tops = [e.var for e in step.equations if e.op in _SUMS and e.var not in self._inner]

    def terms(self, var: Var) -> tuple[Addend, ...]:
        """The terms of the value in order; of a value that is no sum, itself."""
        return tuple(self._collect(var, False, True))

    def _collect(self, var: Var, negative: bool, top: bool) -> list[Addend]:
        equation = self._made.get(var)
        if equation is None or equation.op not in _SUMS or not (top or var in self._inner):
            return [Addend(var, negative)]
        found = self._collect(equation.args[0], negative != (equation.op == "neg"), False)
        if equation.op != "neg":
            found += self._collect(equation.args[1], negative != (equation.op == "sub"), False)
        return found


def count_uses(step: Step) -> dict[Var, int]:
    """How often each value is an argument or a result."""
    uses = dict.fromkeys(step.vars(), 0)
    for equation in step.equations:
        for arg in equation.args:
            uses[arg] += 1
    for var in (step.output, *step.new_states, *(item.var for item in step.results)):
        uses[var] += 1
    return uses


def gather_sums(step: Step) -> Step:
    """Every sum with terms of several levels as (parameters and inputs) + products + the rest."""
    levels = levels_of(step)
    made = {equation.var: equation for equation in step.equations}
    sums = Sums(step)
    mixed = {
        var: terms
        for var, terms in ((var, sums.terms(var)) for var in sums.tops)
        if levels[var] == "S" and len(terms) > 1 and _worth_it(terms, levels, made)
    }
    build = StepBuilder(step.name, step.constraints)
    values = build.declare(step)
    for equation in step.equations:
        if equation.var in mixed:
            ordered = sorted(mixed[equation.var], key=lambda term: _rank(term, levels, made))
            values[equation.var] = _sum(build, ordered, values, levels)
        else:
            values[equation.var] = build.copy(equation, values)
    return _finish(build, step, values)


def _rank(term: Addend, levels: Mapping[Var, Level], made: Mapping[Var, Equation]) -> int:
    product = term.var in made and made[term.var].op == "matmul"
    if levels[term.var] == "X":
        return 0 if product else 1
    if levels[term.var] == "P":
        return 2
    return 3 if product else 4


def _worth_it(
    terms: tuple[Addend, ...], levels: Mapping[Var, Level], made: Mapping[Var, Equation]
) -> bool:
    return any(_rank(term, levels, made) in (0, 3) for term in terms)


def _sum(
    build: StepBuilder,
    terms: list[Addend],
    values: Mapping[Var, Var],
    levels: Mapping[Var, Level],
) -> Var:
    """The terms in order; those of the lower levels are one value before the states come in."""
    outer = [term for term in terms if levels[term.var] != "S"]
    inner = [term for term in terms if levels[term.var] == "S"]
    if not any(levels[term.var] == "X" for term in outer):
        # Parameters alone start the sum of the products.
        return _chain(build, None, outer + inner, values)
    return _chain(build, _chain(build, None, outer, values), inner, values)


def _chain(
    build: StepBuilder, start: Var | None, terms: list[Addend], values: Mapping[Var, Var]
) -> Var:
    total = start
    for term in terms:
        var = values[term.var]
        if total is None:
            total = build.add("neg", var) if term.negative else var
        else:
            total = build.add("sub" if term.negative else "add", total, var)
    assert total is not None
    return total


def _finish(build: StepBuilder, step: Step, values: Mapping[Var, Var]) -> Step:
    new_states = [values[var] for var in step.new_states]
    results = moved(step.results, values)
    return verify(simplify(build.finish(values[step.output], new_states, step.where, results)))
