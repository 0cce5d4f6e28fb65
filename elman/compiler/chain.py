"""Several steps as one: a stack of layers whose single step is itself a step.

The first input of each layer is what the layer below gives; everything else keeps its own name
behind the layer's number, `0.h`, `1.R.i`. Whatever runs a step then runs a stack in one call.
"""

from __future__ import annotations

from collections.abc import Sequence

from elman.compiler.build import StepBuilder
from elman.compiler.ir import Step, Var
from elman.compiler.terms import Term
from elman.compiler.verify import verify

EPSILON = 1e-5  # of a layer norm, as torch has it


def chain(
    steps: Sequence[Step],
    *,
    residual: bool = False,
    summed: bool = False,
    normed: bool = False,
) -> Step:
    """One step of a stack; sizes are numbers.

    Args:
        steps: from the bottom up; the first input of each is the value that comes from below.
        residual: adds what a layer reads to what it gives where their sizes agree.
        summed: the output is the sum of all layers' outputs, not the last one's.
        normed: what a layer reads is normalised (Ba et al. 2016), with the parameters
            `<k>.norm.gain` and `<k>.norm.bias`.

    Returns:
        A step with the input of the first and, as `<k>.<name>`, the other inputs, the states and
        the parameters of all.
    """
    name = " on ".join(dict.fromkeys(step.name for step in reversed(steps)))
    build = StepBuilder(name, steps[0].constraints)
    entry = steps[0].inputs[0]
    data = build.input(entry.name, entry.var.shape)
    extra = [
        {item.var: build.input(f"{k}.{item.name}", item.var.shape) for item in step.inputs[1:]}
        for k, step in enumerate(steps)
    ]
    states = [
        {s.var: build.state(f"{k}.{s.name}", s.var.shape, s.initial) for s in step.states}
        for k, step in enumerate(steps)
    ]
    new_states: list[Var] = []
    outputs: list[Var] = []
    for k, step in enumerate(steps):
        below = data
        values = {**extra[k], **states[k]}
        values[step.inputs[0].var] = _normed(build, k, below) if normed else below
        for parameter in step.parameters:
            shape = parameter.var.shape
            values[parameter.var] = build.parameter(f"{k}.{parameter.name}", shape)
        for equation in step.equations:
            values[equation.var] = build.copy(equation, values)
        data = values[step.output]
        if residual and data.shape == below.shape:
            data = build.add("add", data, below)
        outputs.append(data)
        new_states += [values[var] for var in step.new_states]
    if summed:
        data = outputs[0]
        for other in outputs[1:]:
            data = build.add("add", data, other)
    return verify(build.finish(data, new_states, steps[0].where))


def _normed(build: StepBuilder, layer: int, var: Var) -> Var:
    """`norm(x) * gain + bias`."""
    x = Term(build, var).apply("norm", eps=EPSILON)
    gain = Term(build, build.parameter(f"{layer}.norm.gain", var.shape))
    bias = Term(build, build.parameter(f"{layer}.norm.bias", var.shape))
    return (x * gain + bias).var
