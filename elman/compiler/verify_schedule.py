"""Checks that nothing in a schedule is read before it is there."""

from __future__ import annotations

from elman.compiler.ir import Var
from elman.compiler.schedule import Reduction, Region, Schedule, units_of
from elman.errors import CellError


def verify_schedule(made: Schedule) -> Schedule:
    """The schedule itself, if it keeps its rules.

    A part reads what lies in memory before the step, what it makes itself, and what an earlier part
    has stored. What it needs in other units than its own, it may read only behind a wait, since
    where units are dealt another thread makes it; they are never dealt where there are reductions.

    Raises:
        CellError: it does not; a mistake of the compiler's.
    """
    step = made.step
    outside = {item.var for item in (*step.inputs, *step.states, *step.parameters)}
    outside |= {equation.var for equation in step.equations if equation.op == "const"}
    carried = dict(zip((state.var for state in step.states), step.new_states, strict=True))
    dealt = len(made.regions) == len(made.parts)
    stored: dict[Var, int] = {}
    shared: set[Var] = set()
    for number, part in enumerate(made.parts):
        own, whole = _needs(part)
        for var in (own | whole) - outside:
            if var not in stored:
                raise CellError(f"part {number} of {step.name} reads {var} too early.")
        shared |= whole
        for var in whole - outside if dealt else ():
            if not any(stored[var] <= wait < number for wait in made.waits):
                raise CellError(f"part {number} of {step.name} does not wait for {var}.")
        for var in part.stores if isinstance(part, Region) else (part.var,):
            stored.setdefault(var, number)
    results = {step.output, *step.new_states, *(item.var for item in step.results)}
    lost = results - set(stored)
    if lost:
        raise CellError(f"{step.name} does not store {sorted(map(str, lost))}.")
    for var in shared & set(carried) if dealt else ():  # the next step reads it
        if not any(stored[carried[var]] <= wait for wait in made.waits):
            raise CellError(f"the next step of {step.name} does not wait for {carried[var]}.")
    return made


def _needs(part: Region | Reduction) -> tuple[set[Var], set[Var]]:
    """What a part loads unit by unit, and what it needs in units that are not its own."""
    if isinstance(part, Reduction):
        return set(), {part.operand}
    given = {accumulator.var for accumulator in part.accumulators}
    loads: set[Var] = {a.start for a in part.accumulators if a.start is not None}
    for equation in part.equations:
        loads.update(arg for arg in equation.args if arg not in given)
        given.add(equation.var)
    loads.update(var for var in part.stores if var not in given)
    whole = {product.operand for a in part.accumulators for product in a.products}
    whole |= {var for var in loads if units_of(var) != part.size}
    return loads - whole, whole
