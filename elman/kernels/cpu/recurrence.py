"""The cpu backend: a step over a packed batch through generated machine code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from elman.kernels.carry import States
from elman.kernels.cpu.program import Program
from elman.kernels.cpu.target import host
from elman.kernels.cpu.work import Work
from elman.kernels.reference import Call

_FEW, _SOME = 8, 32
_LARGE = 16 << 20  # bytes of weights that caches do not hold from step to step

_PROGRAMS: dict[Any, tuple[Any, Program]] = {}


def few_rows(call: Call) -> bool:
    """Whether inputs are multiplied before the loop.

    Inside of it each step would fetch their weights for the sake of a handful of rows. Measured
    with LSTMs on two cores: worth it below 8 rows, and below 32 when the weights do not stay in
    the caches.
    """
    rows = call.layout.batch
    if rows < _FEW or rows >= _SOME:
        return rows < _FEW
    size = call.initial[0].element_size()
    matrices = (value for value in call.parameters.values() if value.dim() > 1)
    return sum(value.numel() for value in matrices) * size > _LARGE


def program_of(call: Call) -> Program:
    """The program of a call's step, made once for its sizes and dtype."""
    target = host()
    dtype = call.initial[0].dtype
    few = few_rows(call)
    key = (id(call.step), tuple(sorted(call.sizes.items())), dtype, target, few)
    found = _PROGRAMS.get(key)
    if found is None or found[0] is not call.step:
        found = _PROGRAMS[key] = (call.step, Program(call.step, call.sizes, dtype, target, few=few))
    return found[1]


def run_cpu(call: Call) -> tuple[Tensor, States]:
    """Runs a step over a batch: the output `(N, O)` and the final states `(B, S)`, rows sorted."""
    program = program_of(call)
    values = program.outside(call.parameters, call.streams)
    work = Work(program, call.layout, call.reverse, call.resets)
    tensors = work.gather(call, values)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        results: tuple[Tensor, ...] = _Recurrence.apply(work, *tensors)
        return results[0], tuple(results[1:])
    outcome = work.forward(tensors, program.inference)
    return outcome.output, outcome.finals


class _Recurrence(Function):
    """The loop under autograd."""

    @staticmethod
    def forward(ctx: Any, work: Work, *tensors: Tensor) -> tuple[Tensor, ...]:
        work.needs = ctx.needs_input_grad[1:]
        wanted = work.wanted()
        training = work.program.training(wanted)
        outcome = work.forward([tensor.detach() for tensor in tensors], training.forward)
        ctx.work, ctx.training, ctx.kept_names = work, training, list(outcome.kept)
        ctx.save_for_backward(*tensors, *outcome.kept.values())
        return (outcome.output, *outcome.finals)

    @staticmethod
    def backward(ctx: Any, *owed: Tensor) -> tuple[Tensor | None, ...]:
        work: Work = ctx.work
        count = len(work.names)
        tensors = ctx.saved_tensors[:count]
        if torch.is_grad_enabled():
            return (None, *work.backward_through_reference(tensors, owed))
        kept = dict(zip(ctx.kept_names, ctx.saved_tensors[count:], strict=True))
        found = work.backward(ctx.training, tensors, kept, owed)
        needs = ctx.needs_input_grad[1:]
        pairs = zip(work.names, needs, strict=True)
        return (None, *(found.get(name) if needed else None for name, needed in pairs))
