"""Building a step equation by equation: what every pass from step to step writes into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from elman.compiler.ir import (
    Attribute,
    Equation,
    Input,
    Parameter,
    Result,
    Shape,
    Size,
    State,
    Step,
    Var,
    Where,
)
from elman.compiler.primitives import PRIMITIVES


@dataclass(frozen=True)
class Origin(Where):
    """A source line together with the name that the user gave to the value there.

    `Equation.where` does not take part in comparisons, so names never make two steps differ.
    """

    name: str = ""


def name_of(equation: Equation) -> str:
    """The user's name for the value of an equation, or nothing."""
    return equation.where.name if isinstance(equation.where, Origin) else ""


def named(where: Where | None, name: str) -> Origin:
    """The same place with another name."""
    if where is None:
        return Origin("", 0, "", name)
    return Origin(where.file, where.line, where.text, name)


class SizeClasses:
    """Which sizes are equal by the constraints of a step; `hidden` speaks for its class."""

    def __init__(self, constraints: Iterable[tuple[Size, Size]]) -> None:
        self._speaker: dict[Size, Size] = {}
        for left, right in constraints:
            self._join(self[left], self[right])

    def _join(self, left: Size, right: Size) -> None:
        first, second = sorted((left, right), key=size_rank)
        for size, speaker in list(self._speaker.items()):
            if speaker == second:
                self._speaker[size] = first
        self._speaker[second] = first

    def __getitem__(self, size: Size) -> Size:
        return self._speaker.get(size, size)

    def shape(self, shape: Shape) -> Shape:
        """The shape with every size replaced by the speaker of its class."""
        return tuple(self[size] for size in shape)


def size_rank(size: Size) -> tuple[int, str]:
    """Sorts sizes by how telling they are: hidden, input, numbers."""
    return ({"hidden": 0, "input": 1}.get(str(size), 2), str(size))


class StepBuilder:
    """A step in the making: declare inputs, states and parameters, add equations, finish.

    Shapes follow from the primitives' rules, under the constraints given.
    """

    def __init__(self, name: str, constraints: Iterable[tuple[Size, Size]] = ()) -> None:
        self.name = name
        self.constraints = tuple(constraints)
        self.classes = SizeClasses(self.constraints)
        self.inputs: list[Input] = []
        self.states: list[State] = []
        self.parameters: dict[str, Parameter] = {}
        self.equations: list[Equation] = []
        self._next = 0

    def _var(self, shape: Shape) -> Var:
        self._next += 1
        return Var(self._next - 1, shape)

    def input(self, name: str, shape: Shape) -> Var:
        """Declares the next input."""
        self.inputs.append(Input(name, self._var(shape)))
        return self.inputs[-1].var

    def state(self, name: str, shape: Shape, initial: float) -> Var:
        """Declares the next state."""
        self.states.append(State(name, self._var(shape), initial))
        return self.states[-1].var

    def parameter(self, name: str, shape: Shape) -> Var:
        """The parameter called `name`, declared when it is new."""
        if name not in self.parameters:
            self.parameters[name] = Parameter(name, self._var(shape))
        return self.parameters[name].var

    def constant(
        self, values: tuple[float, ...], shape: Shape = (), where: Where | None = None
    ) -> Var:
        """A constant, its values row by row."""
        var = self._var(shape)
        self.equations.append(Equation(var, "const", (), (("values", values),), where))
        return var

    def add(
        self,
        op: str,
        *args: Var,
        attributes: tuple[tuple[str, Attribute], ...] = (),
        where: Where | None = None,
    ) -> Var:
        """Adds `op(*args)` and gives its value; ShapeMismatchError when the shapes disagree."""
        shape = PRIMITIVES[op].shape(tuple(self.classes.shape(arg.shape) for arg in args))
        var = self._var(shape)
        self.equations.append(Equation(var, op, args, attributes, where))
        return var

    def copy(self, equation: Equation, values: Mapping[Var, Var]) -> Var:
        """Adds the same equation on other values; its shape stays."""
        var = self._var(equation.var.shape)
        args = tuple(values[arg] for arg in equation.args)
        self.equations.append(Equation(var, equation.op, args, equation.attributes, equation.where))
        return var

    def declare(self, step: Step) -> dict[Var, Var]:
        """Declares the inputs, states and parameters of `step`; gives its values as ours."""
        values: dict[Var, Var] = {}
        for entry in step.inputs:
            values[entry.var] = self.input(entry.name, entry.var.shape)
        for state in step.states:
            values[state.var] = self.state(state.name, state.var.shape, state.initial)
        for parameter in step.parameters:
            values[parameter.var] = self.parameter(parameter.name, parameter.var.shape)
        return values

    def finish(
        self,
        output: Var,
        new_states: Iterable[Var],
        where: Where | None = None,
        results: Iterable[Result] = (),
    ) -> Step:
        """The step, with values numbered in the order inputs, states, parameters, equations."""
        step = Step(
            self.name,
            tuple(self.inputs),
            tuple(self.states),
            tuple(self.parameters.values()),
            tuple(self.equations),
            output,
            tuple(new_states),
            self.constraints,
            where,
            tuple(results),
        )
        return renumber(step)


def renumber(step: Step) -> Step:
    """The same step with its values numbered from 0 in order."""
    to = {var: Var(number, var.shape) for number, var in enumerate(step.vars())}
    return Step(
        step.name,
        tuple(Input(item.name, to[item.var]) for item in step.inputs),
        tuple(State(item.name, to[item.var], item.initial) for item in step.states),
        tuple(Parameter(item.name, to[item.var]) for item in step.parameters),
        tuple(
            Equation(to[e.var], e.op, tuple(to[arg] for arg in e.args), e.attributes, e.where)
            for e in step.equations
        ),
        to[step.output],
        tuple(to[var] for var in step.new_states),
        step.constraints,
        step.where,
        tuple(Result(item.name, to[item.var], item.summed) for item in step.results),
    )


def moved(results: Iterable[Result], values: Mapping[Var, Var]) -> tuple[Result, ...]:
    """The same results of another step, whose values are given by ours."""
    return tuple(Result(item.name, values[item.var], item.summed) for item in results)
