"""Which values of the forward loop are kept for the backward one, and which are worked out again.

What the adjoint needs of the forward step it can compute from the states before the step, from the
inputs, and from saved values. A value is saved when it comes out of a matrix product or a sum over
features, which no step can repeat cheaply, or when repeating it costs more than `limit` operations
an element: about what a store and a load of it cost. Everything else is recomputed (Chen et al.
2016 call the trade checkpointing).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from elman.compiler.build import StepBuilder, moved
from elman.compiler.differentiate import Adjoint, Product
from elman.compiler.ir import Result, Step, Var
from elman.compiler.primitives import PRIMITIVES
from elman.compiler.simplify import remove_dead, simplify
from elman.compiler.verify import verify

SAVED = "saved."
BEFORE = "before."
"""Before the name of a state: its value before each step, kept for the adjoint."""
LIMIT = 12


@dataclass(frozen=True)
class Trained:
    """A loop and its adjoint with an agreement on what is kept in between.

    Attributes:
        forward: the loop; its results are `saved.<n>` and `before.<state>`.
        adjoint: its inputs are those results, the loop's inputs that it reads again, `d.output`.
        products: as in `Adjoint`; an operand that is a state is named `before.<state>`.
    """

    forward: Step
    adjoint: Step
    products: tuple[Product, ...]


def with_saved(
    loop: Step, adjoint: Adjoint, *, kept: Collection[str] = (), limit: int = LIMIT
) -> Trained:
    """Chooses the saved values.

    Args:
        loop, adjoint: a loop and what `differentiate` made of it.
        kept: inputs of the loop that are still there when the adjoint runs.
        limit: the most operations an element that are spent on recomputing a value.
    """
    return _Saving(loop, adjoint, set(kept), limit).run()


class _Saving:
    def __init__(self, loop: Step, adjoint: Adjoint, kept: set[str], limit: int) -> None:
        self.loop, self.adjoint, self.limit = loop, adjoint, limit
        self.step = adjoint.step
        self.made = {equation.var: equation for equation in self.step.equations}
        self.forward = {adjoint.forward[e.var] for e in loop.equations}
        states = {state.name for state in loop.states}
        free = {i.var for i in self.step.inputs if i.name in kept | states | {"d.output"}}
        free |= {item.var for item in (*self.step.parameters, *self.step.states)}
        free |= {equation.var for equation in self.step.equations if equation.op == "const"}
        self.free = free

    def run(self) -> Trained:
        saved = self._chosen()
        back = {value: var for var, value in self.adjoint.forward.items()}
        names = {var: f"{SAVED}{number}" for number, var in enumerate(saved)}
        adjoint = self._rebuilt(names)
        used = {i.name for i in adjoint.inputs}
        operands = {product.operand for product in self.adjoint.products}
        results = [Result(name, back[var]) for var, name in names.items() if name in used]
        states = {state.name: state.var for state in self.loop.states}
        for name, var in states.items():
            if name in operands or f"{BEFORE}{name}" in used:
                results.append(Result(f"{BEFORE}{name}", var))
        forward = replace(self.loop, results=tuple(results))
        products = tuple(
            Product(p.matrix, p.delta, f"{BEFORE}{p.operand}" if p.operand in states else p.operand)
            for p in self.adjoint.products
        )
        return Trained(verify(forward), verify(adjoint), products)

    def _needed(self) -> set[Var]:
        """Forward values, inputs included, that the adjoint's own equations and results use."""
        found: set[Var] = set()
        seen: set[Var] = set()
        open_ = [*self.step.new_states, *(item.var for item in self.step.results)]
        while open_:
            var = open_.pop()
            if var in seen:
                continue
            seen.add(var)
            if var in self.forward or var not in self.made:
                found.add(var)
            else:
                open_.extend(self.made[var].args)
        return found - self.free

    def _chosen(self) -> list[Var]:
        saved = self._needed()
        for var in sorted(saved, key=lambda var: -var.index):
            cost = self._cost(var, saved - {var}, set())
            if cost is not None and cost <= self.limit:
                saved.discard(var)
        return sorted(saved, key=lambda var: var.index)

    def _cost(self, var: Var, saved: set[Var], seen: set[Var]) -> int | None:
        """Operations that give `var` again; None when only a product or a sum can."""
        if var in saved or var in self.free or var in seen:
            return 0
        equation = self.made.get(var)
        if equation is None or equation.op == "matmul" or PRIMITIVES[equation.op].reduces:
            return None
        seen.add(var)
        total = PRIMITIVES[equation.op].flops
        for arg in equation.args:
            cost = self._cost(arg, saved, seen)
            if cost is None:
                return None
            total += cost
        return total

    def _rebuilt(self, names: dict[Var, str]) -> Step:
        """The adjoint that reads the saved values, without inputs that it does not use."""
        step = self.step
        states = {state.name for state in self.loop.states}
        build = StepBuilder(step.name, step.constraints)
        values: dict[Var, Var] = {}
        for entry in step.inputs:
            name = f"{BEFORE}{entry.name}" if entry.name in states else entry.name
            if entry.var not in names:
                values[entry.var] = build.input(name, entry.var.shape)
        for var, name in names.items():
            values[var] = build.input(name, var.shape)
        for state in step.states:
            values[state.var] = build.state(state.name, state.var.shape, state.initial)
        for parameter in step.parameters:
            values[parameter.var] = build.parameter(parameter.name, parameter.var.shape)
        for equation in step.equations:
            if equation.var not in names:
                values[equation.var] = build.copy(equation, values)
        new_states = [values[var] for var in step.new_states]
        results = moved(step.results, values)
        made = simplify(build.finish(values[step.output], new_states, step.where, results))
        return _without_unused_inputs(made)


def _without_unused_inputs(step: Step) -> Step:
    used: set[Var] = {arg for equation in step.equations for arg in equation.args}
    used |= {step.output, *step.new_states, *(item.var for item in step.results)}
    return remove_dead(replace(step, inputs=tuple(e for e in step.inputs if e.var in used)))
