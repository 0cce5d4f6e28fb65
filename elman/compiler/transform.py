"""Passes from step to step that layers use: recurrent dropout, zoneout, layer normalisation."""

from __future__ import annotations

import math

from elman.compiler.analyse import levels_of
from elman.compiler.build import StepBuilder
from elman.compiler.ir import Equation, Step, Var
from elman.compiler.simplify import simplify
from elman.compiler.verify import verify
from elman.errors import CellError

EPSILON = 1e-5


def with_recurrent_dropout(step: Step) -> Step:
    """Masks what the recurrent matrices see of each state (Gal and Ghahramani 2016).

    For every state that is the right of an `@`, an input `drop.<state>` of its size is added, and
    the products take `state * drop.<state>`. The mask holds 0 or 1 / (1 - rate); the layer makes
    it. The step is unchanged but for its name when no matrix meets a state.
    """
    multiplied = {e.args[1] for e in step.equations if e.op == "matmul"}
    dropped = [state for state in step.states if state.var in multiplied]
    build = StepBuilder(f"{step.name}.recurrent_dropout", step.constraints)
    values = build.declare(step)
    operands: dict[Var, Var] = {}
    for state in dropped:
        mask = build.input(f"drop.{state.name}", state.var.shape)
        operands[state.var] = build.add("mul", values[state.var], mask)
    for equation in step.equations:
        if equation.op == "matmul" and equation.args[1] in operands:
            values[equation.var] = build.add(
                "matmul",
                values[equation.args[0]],
                operands[equation.args[1]],
                where=equation.where,
            )
        else:
            values[equation.var] = build.copy(equation, values)
    return _finish(build, step, values)


def with_zoneout(step: Step) -> Step:
    """Mixes every new state with the old one (Krueger et al. 2016).

    An input `zone.<state>` of the state's size is added for each state; the new state becomes
    `zone * old + (1 - zone) * new`. Where the output is a new state, it is the mixed one.

    Raises:
        CellError: a state starts from an infinity, which cannot be mixed (0 * inf).
    """
    for state in step.states:
        if not math.isfinite(state.initial):
            raise CellError(
                f"{step.name} cannot have zoneout: its state {state.name} starts from "
                f"{state.initial}, and a mixture with it has no value.",
                where=str(step.where) if step.where else None,
                hint="Use recurrent dropout, or start the state from a finite number.",
            )
    build = StepBuilder(f"{step.name}.zoneout", step.constraints)
    values = build.declare(step)
    masks = [build.input(f"zone.{state.name}", state.var.shape) for state in step.states]
    for equation in step.equations:
        values[equation.var] = build.copy(equation, values)
    one = build.constant((1.0,))
    mixed: list[Var] = []
    for state, new, mask in zip(step.states, step.new_states, masks, strict=True):
        old = build.add("mul", mask, values[state.var])
        rest = build.add("mul", build.add("sub", one, mask), values[new])
        mixed.append(build.add("add", old, rest))
    # The output goes by value: the first new state that is the same value stays the same value.
    output = values[step.output]
    if step.output in step.new_states:
        output = mixed[step.new_states.index(step.output)]
    return verify(simplify(build.finish(output, mixed, step.where)))


def with_layer_norm(step: Step) -> Step:
    """Normalises every product by a parameter `W.*` or `R.*` (Ba et al. 2016).

    The product m becomes `g * norm(m)`, with a new vector parameter `g.<name>` (`g.W.i`, `g.R.i`)
    for the gain, which starts at 1. Products of computed matrices, of other namespaces and of a
    single row stay as they are.
    """
    names = {parameter.var: parameter.name for parameter in step.parameters}
    levels = levels_of(step)
    build = StepBuilder(f"{step.name}.layer_norm", step.constraints)
    values = build.declare(step)
    for equation in step.equations:
        values[equation.var] = build.copy(equation, values)
        name = names.get(equation.args[0], "") if equation.op == "matmul" else ""
        if levels[equation.var] != "P" and _normalised(equation, name):
            values[equation.var] = _normalise(build, equation, values[equation.var], name)
    return _finish(build, step, values)


def _normalised(equation: Equation, name: str) -> bool:
    return name.startswith(("W.", "R.")) and equation.var.shape != (1,)


def _normalise(build: StepBuilder, equation: Equation, product: Var, name: str) -> Var:
    gain = build.parameter(f"g.{name}", equation.var.shape)
    attributes = (("eps", EPSILON),)
    normal = build.add("norm", product, attributes=attributes, where=equation.where)
    return build.add("mul", gain, normal, where=equation.where)


def _finish(build: StepBuilder, step: Step, values: dict[Var, Var]) -> Step:
    new_states = [values[var] for var in step.new_states]
    return verify(simplify(build.finish(values[step.output], new_states, step.where)))
