"""The adjoint of a step, itself a step: reverse-mode differentiation, equation by equation.

Backpropagation through time (Werbos 1990) runs the adjoint of each step from the last to the
first. Its states are what the loss owes to each state after the step; it turns them into what the
loss owes to each state before it, and on the way gives what it owes to every input. Products of
matrices and states leave two vectors a step, the product's adjoint and the vector it multiplied:
their outer products, summed over time, are the matrix's gradient, one large product after the loop.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from elman.compiler.analyse import levels_of
from elman.compiler.build import StepBuilder
from elman.compiler.ir import Equation, Result, Step, Var
from elman.compiler.primitives import PRIMITIVES
from elman.compiler.terms import Term
from elman.compiler.verify import verify
from elman.errors import CellError

OWED = "d."
"""Before a name: what the loss owes to the value of that name."""


@dataclass(frozen=True)
class Product:
    """A product `matrix @ operand` of the step, and the names of the two results that stand for it.

    Attributes:
        matrix: the parameter's name.
        delta: the adjoint's result that holds what is owed to the product.
        operand: the result, or the input of the adjoint, that holds what the matrix multiplied.
    """

    matrix: str
    delta: str
    operand: str


@dataclass(frozen=True)
class Adjoint:
    """The adjoint of a step.

    Attributes:
        step: its inputs are the step's inputs, the states before the step under their own names,
            and `d.output`; its states are `d.<state>`; its results are `d.<input>` for each input
            wanted, `d.<parameter>` summed for each vector, and what `products` names. All values
            of the forward step that it needs it computes again.
        products: one for each matrix product that meets a state.
        forward: of each value of the step, the same value in the adjoint.
    """

    step: Step
    products: tuple[Product, ...]
    forward: dict[Var, Var]


def differentiate(step: Step, wanted: Collection[str] | None = None) -> Adjoint:
    """The adjoint of a step whose sizes are numbers and whose sums are written out.

    Args:
        step: from `lower`; every matrix product has a parameter on its left.
        wanted: the inputs and parameters whose gradients are asked for; None: all of them.

    Raises:
        CellError: an operation that has no derivative.
    """
    return _Differentiation(step, wanted).run()


class _Differentiation:
    def __init__(self, step: Step, wanted: Collection[str] | None) -> None:
        self.step = step
        names = {item.name for item in (*step.inputs, *step.parameters)}
        self.wanted = names if wanted is None else names & set(wanted)
        self.build = StepBuilder(f"{step.name}.adjoint", step.constraints)
        self.values: dict[Var, Var] = {}
        self.owed: dict[Var, Term] = {}
        self.results: list[Result] = []
        self.products: list[Product] = []
        self.active = self._active()

    def _active(self) -> set[Var]:
        """Values through which something wanted, or a state, influences the results."""
        step = self.step
        found = {state.var for state in step.states}
        found |= {i.var for i in (*step.inputs, *step.parameters) if i.name in self.wanted}
        for equation in step.equations:
            if any(arg in found for arg in equation.args):
                found.add(equation.var)
        return found

    def run(self) -> Adjoint:
        step, build = self.step, self.build
        for entry in step.inputs:
            self.values[entry.var] = build.input(entry.name, entry.var.shape)
        for state in step.states:
            self.values[state.var] = build.input(state.name, state.var.shape)
        owed_output = build.input(f"{OWED}output", step.output.shape)
        owed_states = [build.state(f"{OWED}{s.name}", s.var.shape, 0.0) for s in step.states]
        for parameter in step.parameters:
            self.values[parameter.var] = build.parameter(parameter.name, parameter.var.shape)
        for equation in step.equations:
            self.values[equation.var] = build.copy(equation, self.values)
        self._owe(step.output, Term(build, owed_output))
        for new, owed in zip(step.new_states, owed_states, strict=True):
            self._owe(new, Term(build, owed))
        for equation in reversed(step.equations):
            if equation.var in self.owed and equation.var in self.active:
                self._backwards(equation)
        return self._finish()

    def _owe(self, var: Var, amount: Term) -> None:
        if var not in self.active:
            return
        amount = self._fitted(amount, var)
        before = self.owed.get(var)
        self.owed[var] = amount if before is None else before + amount

    def _fitted(self, amount: Term, var: Var) -> Term:
        """An amount for a value that was broadcast is the sum over its copies."""
        if amount.var.shape != var.shape and len(amount.var.shape) == 1 and var.shape in ((), (1,)):
            return amount.apply("sum")
        return amount

    def _backwards(self, equation: Equation) -> None:
        g = Term(self.build, self._spread(equation.var), equation.where)
        if equation.op == "matmul":
            self._product(equation, g)
            return
        if equation.op == "sum":
            self._owe(equation.args[0], g)
            return
        rule = PRIMITIVES[equation.op].derivative
        if rule is None:
            raise CellError(
                f"{equation.op} has no derivative.",
                where=str(equation.where) if equation.where else None,
            )
        arguments = [Term(self.build, self.values[a], equation.where) for a in equation.args]
        y = Term(self.build, self.values[equation.var], equation.where)
        amounts = rule(g, y, *arguments, **dict(equation.attributes))
        for arg, amount in zip(equation.args, amounts, strict=True):
            if amount is not None:
                self._owe(arg, amount)

    def _product(self, equation: Equation, g: Term) -> None:
        matrix, operand = equation.args
        if operand in self.active:
            across = self.build.add("transpose", self.values[matrix])
            self._owe(operand, Term(self.build, self.build.add("matmul", across, g.var)))
        if matrix not in self.active:
            return
        name = next(p.name for p in self.step.parameters if p.var == matrix)
        delta = self._result(f"delta.{equation.var.index}", g.var)
        inputs = {item.var: item.name for item in (*self.step.states, *self.step.inputs)}
        known = inputs.get(operand)
        if known is None:
            known = self._result(f"factor.{operand.index}", self.values[operand])
        self.products.append(Product(name, delta, known))

    def _result(self, name: str, var: Var, *, summed: bool = False) -> str:
        if all(item.name != name for item in self.results):
            self.results.append(Result(name, var, summed))
        return name

    def _spread(self, var: Var) -> Var:
        """What is owed to a value, in its full size; zeros when nothing is."""
        zeros = self.build.constant((0.0,) * _count(var), var.shape)
        owed = self.owed.get(var)
        return zeros if owed is None else (owed + Term(self.build, zeros)).var

    def _finish(self) -> Adjoint:
        step, build = self.step, self.build
        levels = levels_of(step)
        for entry in step.inputs:
            if entry.name in self.wanted:
                self._result(f"{OWED}{entry.name}", self._spread(entry.var))
        for parameter in step.parameters:
            vector = len(parameter.var.shape) == 1 and levels[parameter.var] == "P"
            if parameter.name in self.wanted and vector:
                name = f"{OWED}{parameter.name}"
                self._result(name, self._spread(parameter.var), summed=True)
        before = [self._spread(state.var) for state in step.states]
        made = build.finish(before[0], before, step.where, self.results)
        places = dict(zip(_order(build), made.vars(), strict=True))
        forward = {var: places[value] for var, value in self.values.items()}
        return Adjoint(verify(made), tuple(self.products), forward)


def _order(build: StepBuilder) -> list[Var]:
    groups = (build.inputs, build.states, tuple(build.parameters.values()), build.equations)
    return [item.var for group in groups for item in group]


def _count(var: Var) -> int:
    count = 1
    for size in var.shape:
        assert isinstance(size, int), "sizes are numbers by now"
        count *= size
    return count
