"""The reference: a step op by op in torch, any dtype and device, differentiable without end.

This is the definition of correct. Work on parameters only (level P) is done once, work on inputs
only (level X) on all packed steps at once, the rest (level S) in the time loop; matrix products
with the same right-hand side are one product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler import analyse
from elman.compiler.ir import Equation, Step, Var, dimensions
from elman.kernels.carry import Carry, States
from elman.kernels.layout import Layout
from elman.kernels.memo import memo
from elman.kernels.operations import OPERATIONS

Values = dict[int, Tensor]
Action = Callable[[Values], None]


@dataclass(frozen=True)
class Call:
    """What one run of a step over a batch needs; shared by all backends.

    Attributes:
        step, sizes: the equations and the numbers behind their sizes.
        parameters: by name.
        streams: the inputs by name, packed `(N, F)`.
        initial: the state before the first step, one `(B, S)` a state, rows sorted.
        fresh: what a reset puts in place of a state, like `initial`.
        layout: where the steps lie.
        reverse: whether time runs backwards.
        resets: `(N,)`, True where the state is replaced before the step; None for nowhere.
    """

    step: Step
    sizes: Mapping[str, int]
    parameters: Mapping[str, Tensor]
    streams: Mapping[str, Tensor]
    initial: States
    fresh: States
    layout: Layout
    reverse: bool = False
    resets: Tensor | None = None

    def reset_steps(self) -> set[int]:
        """The steps before which some row is reset."""
        if self.resets is None:
            return set()
        found: list[int] = self.layout.step_of[self.resets].tolist()
        return set(found)


class Program:
    """A step's equations sorted by level, as actions on a table of values."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.levels = {var: str(level) for var, level in analyse(step).levels.items()}
        for group, level in ((step.parameters, "P"), (step.inputs, "X"), (step.states, "S")):
            for item in group:
                self.levels[item.var] = level
        self.equations = {
            level: [e for e in step.equations if self.levels[e.var] == level] for level in "PXS"
        }
        used = {arg for e in self.equations["S"] for arg in e.args}
        used.update((step.output, *step.new_states))
        # What the time loop reads from outside, one slice a step.
        self.reads = [var for var in step.vars() if var in used and self.levels[var] == "X"]
        self.actions = {level: self._actions(level) for level in "PXS"}

    def _actions(self, level: str) -> list[Action]:
        """The actions of a level in order; products with one right-hand side share an action."""
        products: dict[Var, list[Equation]] = {}
        if level != "P":
            for e in self.equations[level]:
                if e.op == "matmul" and self.levels[e.args[1]] == level:
                    products.setdefault(e.args[1], []).append(e)
        actions: list[Action] = []
        done: set[Var] = set()
        for e in self.equations[level]:
            group = products.get(e.args[1], []) if e.op == "matmul" else []
            if e in group:
                if e.args[1] not in done:
                    done.add(e.args[1])
                    actions.append(Products(group))
            elif e.op != "const":
                actions.append(_single(e, level))
        return actions


def _single(equation: Equation, level: str) -> Action:
    options = dict(equation.attributes)
    if equation.op == "matmul":
        options["level"] = level
    operation = OPERATIONS[equation.op]
    if options:
        operation = partial(operation, **options)
    to = equation.var.index
    args = [arg.index for arg in equation.args]
    if len(args) == 1:
        (a,) = args

        def unary(v: Values) -> None:
            v[to] = operation(v[a])

        return unary
    if len(args) == 2:
        a, b = args

        def binary(v: Values) -> None:
            v[to] = operation(v[a], v[b])

        return binary

    def several(v: Values) -> None:
        v[to] = operation(*(v[a] for a in args))

    return several


class Products:
    """Several matrices times one value: one product with the matrices stacked once a call."""

    def __init__(self, group: list[Equation]) -> None:
        self.value = group[0].args[1].index
        self.matrices = [e.args[0].index for e in group]
        self.results = [e.var.index for e in group]
        # Where the stacked matrix of this call is kept in the table of values.
        self.stacked = -1 - group[0].var.index

    def __call__(self, v: Values) -> None:
        if len(self.matrices) == 1:
            v[self.results[0]] = functional.linear(v[self.value], v[self.matrices[0]])
            return
        if self.stacked not in v:
            v[self.stacked] = torch.cat([v[m] for m in self.matrices])
        product = functional.linear(v[self.value], v[self.stacked])
        parts = product.split([v[m].shape[0] for m in self.matrices], dim=-1)
        for result, part in zip(self.results, parts, strict=True):
            v[result] = part


def _constants(call: Call, like: Tensor) -> Values:
    values: Values = {}
    for e in call.step.equations:
        if e.op == "const":
            flat = torch.tensor(e.attribute("values"), dtype=torch.float64)
            shape = dimensions(e.var.shape, call.sizes)
            values[e.var.index] = flat.reshape(shape).to(dtype=like.dtype, device=like.device)
    return values


def run_reference(call: Call) -> tuple[Tensor, States]:
    """Runs a step over a batch: the output `(N, O)` and the final states `(B, S)`, rows sorted."""
    program = memo(Program, call.step)
    step, layout = call.step, call.layout
    like = call.initial[0]
    v = _constants(call, like)
    for parameter in step.parameters:
        v[parameter.var.index] = call.parameters[parameter.name]
    for entry in step.inputs:
        v[entry.var.index] = call.streams[entry.name]
    for level in "PX":
        for action in program.actions[level]:
            action(v)
    slices = {
        var.index: _with_rows(v[var.index], layout.total).split(layout.rows)
        for var in program.reads
    }
    return _loop(call, program, v, slices)


def _with_rows(value: Tensor, rows: int) -> Tensor:
    return value if value.shape[:1] == (rows,) else value.expand(rows, *value.shape[1:])


def _loop(
    call: Call, program: Program, v: Values, slices: Mapping[int, tuple[Tensor, ...]]
) -> tuple[Tensor, States]:
    step, layout = call.step, call.layout
    actions = program.actions["S"]
    times = range(layout.steps)
    order = list(reversed(times)) if call.reverse else list(times)
    rows = [layout.rows[t] for t in order]
    carry = Carry(call.initial, rows, reverse=call.reverse)
    resets = _reset_slices(call)
    sizes = [state.shape[1] for state in call.initial]
    width = dimensions(step.output.shape, call.sizes)
    outputs: list[Tensor] = []
    for t, n in zip(order, rows, strict=True):
        states = carry.enter(n)
        if t in resets:
            states = replace(states, resets[t], call.fresh)
        for state, value in zip(step.states, states, strict=True):
            v[state.var.index] = value
        for index, parts in slices.items():
            v[index] = parts[t]
        for action in actions:
            action(v)
        outputs.append(_vector(v[step.output.index], n, width[0] if width else 1))
        pairs = zip(step.new_states, sizes, strict=True)
        carry.states = tuple(_vector(v[new.index], n, size) for new, size in pairs)
    if not outputs:
        return call.initial[0].new_zeros(0, width[0] if width else 1), carry.final()
    return torch.cat(outputs[::-1] if call.reverse else outputs), carry.final()


def _vector(value: Tensor, rows: int, size: int) -> Tensor:
    """The value as `(rows, size)`: what depends on no state may still have fewer dimensions."""
    return value if value.shape == (rows, size) else value.expand(rows, size)


def _reset_slices(call: Call) -> dict[int, Tensor]:
    """For each step with a reset, the reset rows as `(rows, 1)`."""
    if call.resets is None:
        return {}
    parts = call.resets[:, None].split(call.layout.rows)
    return {t: parts[t] for t in call.reset_steps()}


def replace(states: States, rows: Tensor, fresh: States) -> States:
    """The states with those of the marked rows `(rows, 1)` replaced by fresh ones."""
    pairs = zip(states, fresh, strict=True)
    return tuple(torch.where(rows, new[: len(old)], old) for old, new in pairs)
