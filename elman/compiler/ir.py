"""The intermediate representation: one step of a recurrence as a list of equations.

    step      ::= Step(name, inputs, states, parameters, equations, output, new_states, constraints,
                       results)
    input     ::= Input(name, var)
    state     ::= State(name, var, initial)
    parameter ::= Parameter(name, var)              name: "W.i", "b.f", "R.h[3]"
    result    ::= Result(name, var, summed)
    equation  ::= Equation(var, op, args, attributes, where)      op: a row of primitives.py
    var       ::= Var(index, shape)
    shape     ::= ()  |  (size,)  |  (size, size)
    size      ::= int  |  "input"  |  "hidden"

Equations are in single-assignment form and in an order in which every argument is defined before
it is used. A constant is the equation `op="const"` without arguments whose attribute `values` is a
flat tuple of floats. Sizes are symbolic until `Step.resolve`; a row vector and a scalar are the
same thing (`()`), a vector of size 1 broadcasts. Nothing here knows torch or numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from elman.errors import CellError

Size = int | str
Shape = tuple[Size, ...]
Attribute = float | int | str | bool | tuple[float, ...]


@dataclass(frozen=True)
class Where:
    """The source line of the user's that an equation comes from."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Var:
    """A value: its number in the step and its symbolic shape."""

    index: int
    shape: Shape

    def __str__(self) -> str:
        return f"%{self.index}"


@dataclass(frozen=True)
class Input:
    """An input of the step, `(size,)`, before the `/` of the signature."""

    name: str
    var: Var


@dataclass(frozen=True)
class State:
    """A state of the step, `(size,)`, with the value that each of its units starts from."""

    name: str
    var: Var
    initial: float = 0.0


@dataclass(frozen=True)
class Parameter:
    """A learned matrix `(rows, columns)` or vector `(size,)`; `name` is its public name."""

    name: str
    var: Var


@dataclass(frozen=True)
class Equation:
    """`var = op(*args)`, with attributes such as a slope or an epsilon."""

    var: Var
    op: str
    args: tuple[Var, ...]
    attributes: tuple[tuple[str, Attribute], ...] = ()
    where: Where | None = field(default=None, compare=False)

    def attribute(self, name: str, default: Attribute | None = None) -> Attribute:
        """The attribute called `name`; a KeyError when it is absent and has no default."""
        for key, value in self.attributes:
            if key == name:
                return value
        if default is None:
            raise KeyError(name)
        return default


@dataclass(frozen=True)
class Result:
    """A further value of a step that a pass asks for; `summed`: only its sum over rows and time."""

    name: str
    var: Var
    summed: bool = False


@dataclass(frozen=True)
class Step:
    """One step: `output, new_states, results = step(inputs, states; parameters)`."""

    name: str
    inputs: tuple[Input, ...]
    states: tuple[State, ...]
    parameters: tuple[Parameter, ...]
    equations: tuple[Equation, ...]
    output: Var
    new_states: tuple[Var, ...]
    constraints: tuple[tuple[Size, Size], ...] = ()
    where: Where | None = field(default=None, compare=False)
    results: tuple[Result, ...] = ()

    def vars(self) -> Iterator[Var]:
        """Every value: inputs, states and parameters first, then the equations in order."""
        for group in (self.inputs, self.states, self.parameters, self.equations):
            for item in group:
                yield item.var

    def resolve(self, *, input_size: int, hidden_size: int) -> dict[str, int]:
        """The number behind each symbolic size.

        Raises:
            CellError: the equations ask for other sizes (`RGLRU` wants input = hidden).
        """
        sizes: dict[str, int] = {"input": input_size, "hidden": hidden_size}
        for left, right in self.constraints:
            a, b = numeric(left, sizes), numeric(right, sizes)
            if a != b:
                raise CellError(
                    f"{self.name} needs {_say(left, a)} to equal {_say(right, b)}.",
                    where=str(self.where) if self.where else None,
                    hint="Choose sizes that agree, or map the input by a matrix (W.skip @ x).",
                )
        return sizes

    def fitting(
        self, *, input_size: int | None = None, hidden_size: int | None = None, usual: int
    ) -> tuple[int, int]:
        """An input and a hidden size: those given, else what the constraints ask, else `usual`."""
        found: dict[Size, int | None] = {"input": input_size, "hidden": hidden_size}
        for left, right in self.constraints * 2:  # twice: one may follow from a later one
            for name, other in ((left, right), (right, left)):
                if name in found and found[name] is None:
                    found[name] = found[other] if isinstance(other, str) else other
        return found["input"] or usual, found["hidden"] or usual


def _say(size: Size, value: int) -> str:
    return f"the {size} size ({value})" if isinstance(size, str) else f"size {value}"


def numeric(size: Size, sizes: Mapping[str, int]) -> int:
    """The number behind a size."""
    return sizes[size] if isinstance(size, str) else size


def dimensions(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers behind a shape."""
    return tuple(numeric(size, sizes) for size in shape)


def signature(step: Step) -> str:
    """Everything about a step but its source lines, as text: equal for equal steps."""

    def var(value: Var) -> str:
        return f"{value.index}{list(value.shape)}"

    lines = [f"input {item.name} {var(item.var)}" for item in step.inputs]
    lines += [f"state {item.name} {var(item.var)} {item.initial}" for item in step.states]
    lines += [f"parameter {item.name} {var(item.var)}" for item in step.parameters]
    for equation in step.equations:
        args = " ".join(var(arg) for arg in equation.args)
        lines.append(f"{var(equation.var)} = {equation.op} {args} {equation.attributes}")
    lines.append(f"output {var(step.output)}")
    lines += [f"new {var(value)}" for value in step.new_states]
    lines += [f"result {item.name} {var(item.var)} {item.summed}" for item in step.results]
    return "\n".join(lines)
