"""What follows from a step without running it: levels, kind, depth, and what a kernel must do.

Levels (rule 7): a value depends on parameters only (P), on inputs too (X), or on states (S). P
values are computed once a call; matrix products at level X leave the time loop; the rest is the
kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from elman.compiler.ir import Equation, Shape, Step, Var, dimensions
from elman.compiler.primitives import PRIMITIVES

Level = Literal["P", "X", "S"]
Kind = Literal["matmul", "channel", "scan"]


@dataclass(frozen=True)
class Analysis:
    """The derived facts about a step.

    Attributes:
        levels: of every value, also of inputs (X), states (S) and parameters (P).
        kind: `matmul` when matrices meet the states; else `scan` when the new states are affine in
            the states; else `channel` (each unit runs by itself).
        depth: the longest chain of dependent matrix products in a step; 0 for scan and channel.
        operands: distinct vectors that are multiplied by a matrix in a step.
        state_matmuls: matrix products at level S.
        vector_gradients: parameter vectors (or vectors computed from parameters) whose gradient
            the kernel must sum over time; a bias beside a product of the input is not among them.
        reductions: reductions over features at level S.
        affine: the new states are affine in the states.
        reads_per_step: tensors the kernel reads in a step when exactly the matrix products leave
            the time loop.
        reads: the values that those are.
    """

    levels: Mapping[Var, Level]
    kind: Kind
    depth: int
    operands: int
    state_matmuls: int
    vector_gradients: int
    reductions: int
    affine: bool
    reads_per_step: int
    reads: tuple[Var, ...]

    def __str__(self) -> str:
        kind = f"{self.kind} x{self.depth}" if self.kind == "matmul" else self.kind
        return (
            f"{kind}, {self.reads_per_step} reads, {self.state_matmuls} state products of "
            f"{self.operands} vectors, {self.vector_gradients} vector gradients, "
            f"{self.reductions} reductions"
        )


@lru_cache(maxsize=256)
def analyse(step: Step) -> Analysis:
    """Derives the levels and costs of a step; see `Analysis`."""
    levels = levels_of(step)
    inside = [equation for equation in step.equations if levels[equation.var] == "S"]
    products = [equation for equation in inside if equation.op == "matmul"]
    affine = _affine(step, levels)
    kind: Kind = "matmul" if products else "scan" if affine else "channel"
    reads = _reads(step, levels)
    return Analysis(
        levels=levels,
        kind=kind,
        depth=_depth(step, levels),
        operands=len({equation.args[1] for equation in products}),
        state_matmuls=len(products),
        vector_gradients=len(_gradient_vectors(step, levels)),
        reductions=sum(PRIMITIVES[equation.op].reduces for equation in inside),
        affine=affine,
        reads_per_step=len(reads),
        reads=reads,
    )


def levels_of(step: Step) -> dict[Var, Level]:
    """The level of every value."""
    levels: dict[Var, Level] = {item.var: "P" for item in step.parameters}
    levels.update({item.var: "X" for item in step.inputs})
    levels.update({item.var: "S" for item in step.states})
    for equation in step.equations:
        depends = {levels[arg] for arg in equation.args}
        levels[equation.var] = "S" if "S" in depends else "X" if "X" in depends else "P"
    return levels


def _depth(step: Step, levels: Mapping[Var, Level]) -> int:
    depth: dict[Var, int] = dict.fromkeys(step.vars(), 0)
    for equation in step.equations:
        if levels[equation.var] == "S":
            before = max(depth[arg] for arg in equation.args)
            depth[equation.var] = before + (equation.op == "matmul")
    return max(depth[var] for var in (step.output, *step.new_states))


def _reads(step: Step, levels: Mapping[Var, Level]) -> tuple[Var, ...]:
    """Values that cross into the time loop: products of inputs, and inputs used as they are."""
    made = {equation.var: equation for equation in step.equations}
    found: dict[Var, None] = {}
    seen: set[Var] = set()
    open_ = [step.output, *step.new_states]
    while open_:
        var = open_.pop()
        if var in seen or levels[var] == "P":
            continue
        seen.add(var)
        equation = made.get(var)
        if levels[var] == "X" and (equation is None or equation.op == "matmul"):
            found[var] = None
        elif equation is not None:
            open_.extend(equation.args)
    return tuple(sorted(found, key=lambda var: var.index))


# How a value depends on the states: not at all, affinely, otherwise.
_FREE, _LINE, _CURVE = 0, 1, 2


def _affine(step: Step, levels: Mapping[Var, Level]) -> bool:
    bend: dict[Var, int] = dict.fromkeys(step.vars(), _FREE)
    bend.update({state.var: _LINE for state in step.states})
    for equation in step.equations:
        if levels[equation.var] == "S":
            bend[equation.var] = _bend(equation, [bend[arg] for arg in equation.args])
    return all(bend[var] != _CURVE for var in step.new_states)


def _bend(equation: Equation, args: list[int]) -> int:
    worst = max(args)
    match equation.op:
        case "add" | "sub" | "neg" | "mean" | "sum" | "matmul":
            return worst
        case "mul":
            return worst if min(args) == _FREE else _CURVE
        case "div" | "where":  # linear in the numerator, in the branches
            fixed = args[1] if equation.op == "div" else args[0]
            return worst if fixed == _FREE else _CURVE
    return _CURVE


def _gradient_vectors(step: Step, levels: Mapping[Var, Level]) -> set[Var]:
    """Vectors at level P that equations at level S use, without the absorbed biases."""
    constant = _constants(step)
    uses: dict[Var, list[Equation]] = {}
    for equation in step.equations:
        for arg in equation.args:
            uses.setdefault(arg, []).append(equation)
    made = {equation.var: equation for equation in step.equations}
    found: set[Var] = set()
    for equation in step.equations:
        if levels[equation.var] != "S" or equation.op == "matmul":
            continue
        for arg in equation.args:
            if levels[arg] != "P" or len(arg.shape) != 1 or arg in constant:
                continue
            if not _absorbed(equation, made, uses, levels, step):
                found.add(arg)
    return found


def _constants(step: Step) -> set[Var]:
    """Values that do not depend on parameters, inputs or states."""
    found: set[Var] = set()
    for equation in step.equations:
        if all(arg in found for arg in equation.args):
            found.add(equation.var)
    return found


def _absorbed(
    equation: Equation,
    made: Mapping[Var, Equation],
    uses: Mapping[Var, list[Equation]],
    levels: Mapping[Var, Level],
    step: Step,
) -> bool:
    """Is a vector added here part of a sum with a product of inputs? Then that product takes it."""
    if equation.op not in ("add", "sub"):
        return False
    results = (step.output, *step.new_states)
    top = equation
    while True:  # up to the end of the sum
        users = uses.get(top.var, [])
        if len(users) != 1 or top.var in results or users[0].op not in ("add", "sub", "neg"):
            break
        top = users[0]
    open_ = [top]
    while open_:  # down through all terms that are used in this sum only
        for arg in open_.pop().args:
            if levels[arg] == "X":
                return True
            inner = made.get(arg)
            if inner is None or inner.op not in ("add", "sub", "neg") or arg in results:
                continue
            if len(uses[arg]) == 1:
                open_.append(inner)
    return False


def flops(
    step: Step, sizes: Mapping[str, int], *, levels: str = "XS", products: bool = False
) -> int:
    """Floating point operations of one step of one row.

    Args:
        step: the step.
        sizes: the numbers behind `input` and `hidden`, as `Step.resolve` gives them.
        levels: which levels to count; P is left out because it is computed once a call.
        products: count matrix products only.
    """
    known = levels_of(step)
    return sum(
        _cost(e, sizes)
        for e in step.equations
        if known[e.var] in levels and (e.op == "matmul" or not products)
    )


def _cost(equation: Equation, sizes: Mapping[str, int]) -> int:
    row = PRIMITIVES[equation.op]
    if equation.op == "matmul":
        columns = dimensions(equation.args[0].shape, sizes)[1]
        return row.flops * _count(equation.var.shape, sizes) * columns
    widest = equation.args[0].shape if row.reduces else equation.var.shape
    return row.flops * _count(widest, sizes)


def _count(shape: Shape, sizes: Mapping[str, int]) -> int:
    count = 1
    for size in dimensions(shape, sizes):
        count *= size
    return count
