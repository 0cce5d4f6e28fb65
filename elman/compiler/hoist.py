"""What leaves the time loop: a step in two parts, around the loop and inside of it.

Parameters alone (level P) are worked out once a call. Matrix products and sums over features of
inputs (level X), with all that they are computed from, are worked out for all steps at once; where
such a value is a plain sum of `matrix @ input` and vectors it is a projection, and projections of
one input are one large product. What is left is the loop: pointwise work on inputs, and all that
depends on the states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from elman.compiler.analyse import levels_of
from elman.compiler.build import StepBuilder, moved
from elman.compiler.ir import Equation, Step, Var
from elman.compiler.lower import Addend, Sums
from elman.compiler.primitives import PRIMITIVES
from elman.compiler.simplify import simplify
from elman.compiler.verify import verify


@dataclass(frozen=True)
class Read:
    """An input of the loop that is a sum of products with one value, plus vectors.

    Attributes:
        name: of the loop's input.
        matrices, vectors: values of level P, with their signs.
    """

    name: str
    matrices: tuple[Addend, ...]
    vectors: tuple[Addend, ...]


@dataclass(frozen=True)
class Projection:
    """All reads that multiply the same value of level X."""

    operand: Var
    reads: tuple[Read, ...]


@dataclass(frozen=True)
class Split:
    """A step in two parts.

    Attributes:
        step: the whole.
        outer: the equations that run outside of the loop, in order, levels P and X.
        projections: reads that are large products; their equations are not in `outer`.
        inputs: the loop's other inputs by name, each a value of `step` at level X.
        parameters: the loop's parameters by name, each a value of `step` at level P.
        loop: what runs in every step.
    """

    step: Step
    outer: tuple[Equation, ...]
    projections: tuple[Projection, ...]
    inputs: dict[str, Var]
    parameters: dict[str, Var]
    loop: Step


def split(step: Step, *, inputs: bool = True) -> Split:
    """Parts a step, after `lower` and `gather_sums`, into the loop and what is around it.

    `inputs=False` leaves the work on inputs in the loop: for a caller who has one step at a time.
    """
    return _Splitting(step, inputs).run()


class _Splitting:
    def __init__(self, step: Step, inputs: bool) -> None:
        self.step = step
        self.levels = levels_of(step)
        self.made = {equation.var: equation for equation in step.equations}
        self.sums = Sums(step)
        self.constant = _constants(step)
        self.hoisted = self._hoisted() if inputs else set[Var]()

    def _hoisted(self) -> set[Var]:
        """Values of level X that are computed for all steps at once."""
        found: set[Var] = set()
        for equation in reversed(self.step.equations):
            row = PRIMITIVES[equation.op]
            large = equation.op == "matmul" or row.reduces
            if self.levels[equation.var] == "X" and (large or equation.var in found):
                found.add(equation.var)
                found.update(a for a in equation.args if self.levels[a] == "X" and a in self.made)
        for equation in self.step.equations:  # sums of what is outside anyway
            free = all(a in found or self.levels[a] == "P" for a in equation.args)
            if self.levels[equation.var] == "X" and equation.op in ("add", "sub", "neg") and free:
                found.add(equation.var)
        return found

    def run(self) -> Split:
        step = self.step
        inside = [
            e for e in step.equations if self.levels[e.var] != "P" and e.var not in self.hoisted
        ]
        used = [arg for e in inside for arg in e.args]
        used += [step.output, *step.new_states]
        kept = {e.var for e in inside} | {state.var for state in step.states}
        reads = [var for var in dict.fromkeys(used) if var not in kept]
        projections, taken = self._projections([v for v in reads if v in self.hoisted])
        build = StepBuilder(step.name, step.constraints)
        values: dict[Var, Var] = {}
        inputs: dict[str, Var] = {}
        for projection in projections:
            for read in projection.reads:
                values[taken[read.name]] = build.input(read.name, taken[read.name].shape)
        names = {item.var: item.name for item in (*step.inputs, *step.parameters)}
        for var in reads:
            if self.levels[var] == "X" and var not in values:
                name = names.get(var, f"value.{var.index}")
                inputs[name], values[var] = var, build.input(name, var.shape)
        for state in step.states:
            values[state.var] = build.state(state.name, state.var.shape, state.initial)
        parameters: dict[str, Var] = {}
        for var in reads:
            if self.levels[var] == "P" and var not in self.constant:
                name = names.get(var, f"value.{var.index}")
                parameters[name], values[var] = var, build.parameter(name, var.shape)
        loop = self._loop(build, values, inside)
        return Split(step, self._outer(projections, inputs, parameters), projections, inputs,
                     parameters, loop)  # fmt: skip

    def _loop(self, build: StepBuilder, values: dict[Var, Var], inside: list[Equation]) -> Step:
        step = self.step
        wanted = {e.var for e in inside}
        for equation in step.equations:
            if equation.var in wanted or (equation.var in self.constant):
                values[equation.var] = build.copy(equation, values)
        new_states = [values[var] for var in step.new_states]
        results = moved(step.results, values)
        made = build.finish(values[step.output], new_states, step.where, results)
        return verify(simplify(made))

    def _projections(self, reads: list[Var]) -> tuple[tuple[Projection, ...], dict[str, Var]]:
        groups: dict[Var, list[Read]] = {}
        taken: dict[str, Var] = {}
        for var in reads:
            terms = self.sums.terms(var)
            products = [t for t in terms if t.var in self.made and self._is_product(t.var)]
            rest = [t for t in terms if t not in products]
            operands = {self.made[t.var].args[1] for t in products}
            plain = all(self.levels[t.var] == "P" and t.var.shape == var.shape for t in rest)
            if len(operands) != 1 or not plain:
                continue
            name = f"read.{var.index}"
            taken[name] = var
            matrices = tuple(Addend(self.made[t.var].args[0], t.negative) for t in products)
            groups.setdefault(operands.pop(), []).append(Read(name, matrices, tuple(rest)))
        made = tuple(Projection(operand, tuple(found)) for operand, found in groups.items())
        return made, taken

    def _is_product(self, var: Var) -> bool:
        return self.made[var].op == "matmul" and self.levels[var] == "X"

    def _outer(
        self,
        projections: tuple[Projection, ...],
        inputs: dict[str, Var],
        parameters: dict[str, Var],
    ) -> tuple[Equation, ...]:
        """The equations outside of the loop that something asks for."""
        needed: set[Var] = {*inputs.values(), *parameters.values()}
        for projection in projections:
            needed.add(projection.operand)
            for read in projection.reads:
                needed.update(term.var for term in (*read.matrices, *read.vectors))
        kept: list[Equation] = []
        for equation in reversed(self.step.equations):
            if equation.var in needed:
                needed.update(equation.args)
                kept.append(equation)
        return tuple(reversed(kept))


def _constants(step: Step) -> set[Var]:
    """Values that depend on nothing."""
    found: set[Var] = set()
    for equation in step.equations:
        if all(arg in found for arg in equation.args):
            found.add(equation.var)
    return found


def sums_inputs(parts: Split) -> bool:
    """Whether sums over the features of inputs have left the loop."""
    levels = levels_of(parts.step)
    return any(PRIMITIVES[e.op].reduces and levels[e.var] == "X" for e in parts.outer)


def ordered(parts: Split, names: Sequence[str]) -> Split:
    """The same with the reads of each projection in the order in which `names` has their matrices.

    Where weights are stored joined in that order, the matrices of all reads are one.
    """
    places = {name: place for place, name in enumerate(names)}
    of = {p.var: places.get(p.name, len(places)) for p in parts.step.parameters}

    def place(read: Read) -> int:
        return of.get(read.matrices[0].var, len(places))

    projections = tuple(
        replace(projection, reads=tuple(sorted(projection.reads, key=place)))
        for projection in parts.projections
    )
    return replace(parts, projections=projections)


def fused(parts: Split) -> Split:
    """The same with the projections inside of the loop: each read is computed where it is used.

    The inputs `operand.<n>` take the place of the reads; their matrices and vectors become the
    loop's parameters `<read>.matrix.<k>` and `<read>.vector.<k>`.
    """
    loop = parts.loop
    build = StepBuilder(loop.name, loop.constraints)
    values: dict[Var, Var] = {}
    reads = {read.name: (k, read) for k, p in enumerate(parts.projections) for read in p.reads}
    inputs = {f"operand.{k}": p.operand for k, p in enumerate(parts.projections)} | parts.inputs
    parameters = dict(parts.parameters)
    operands = [
        build.input(f"operand.{k}", projection.operand.shape)
        for k, projection in enumerate(parts.projections)
    ]
    for entry in loop.inputs:
        if entry.name not in reads:
            values[entry.var] = build.input(entry.name, entry.var.shape)
    for state in loop.states:
        values[state.var] = build.state(state.name, state.var.shape, state.initial)
    for parameter in loop.parameters:
        values[parameter.var] = build.parameter(parameter.name, parameter.var.shape)
    for entry in loop.inputs:
        if entry.name in reads:
            number, read = reads[entry.name]
            for kind, terms in (("vector", read.vectors), ("matrix", read.matrices)):
                named = {f"{read.name}.{kind}.{k}": term.var for k, term in enumerate(terms)}
                parameters.update(named)
            values[entry.var] = _computed(build, read, operands[number])
    for equation in loop.equations:
        values[equation.var] = build.copy(equation, values)
    new_states = [values[var] for var in loop.new_states]
    results = moved(loop.results, values)
    made = verify(build.finish(values[loop.output], new_states, loop.where, results))
    return Split(parts.step, parts.outer, (), inputs, parameters, made)


def _computed(build: StepBuilder, read: Read, operand: Var) -> Var:
    """The vectors and products of a read, added up."""
    total: Var | None = None
    for kind, terms in (("vector", read.vectors), ("matrix", read.matrices)):
        for k, term in enumerate(terms):
            value = build.parameter(f"{read.name}.{kind}.{k}", term.var.shape)
            value = build.add("matmul", value, operand) if kind == "matrix" else value
            if total is None:
                total = build.add("neg", value) if term.negative else value
            else:
                total = build.add("sub" if term.negative else "add", total, value)
    assert total is not None
    return total
