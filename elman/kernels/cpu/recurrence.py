"""The cpu backend: a step over a packed batch through generated machine code."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from elman.kernels.carry import States
from elman.kernels.cpu.arrays import Storage
from elman.kernels.cpu.brain import multiplies_brain
from elman.kernels.cpu.program import Program
from elman.kernels.cpu.target import host
from elman.kernels.cpu.work import Work
from elman.kernels.fused import FusedParameters
from elman.kernels.reference import Call

SHORT = (torch.bfloat16, torch.float16)
_FEW, _SOME = 8, 32
_LARGE = 16 << 20  # bytes of weights that caches do not hold from step to step

_PROGRAMS: dict[Any, tuple[Any, Program]] = {}


def few_rows(rows: int, weights: Callable[[], int]) -> bool:
    """Whether inputs are multiplied before the loop; `weights` gives their bytes.

    Inside of it each step would fetch their weights for the sake of a handful of rows. Measured
    with LSTMs on two cores: worth it below 8 rows, and below 32 when the weights do not stay in
    the caches.
    """
    return rows < _FEW or (rows < _SOME and weights() > _LARGE)


def program_of(call: Call, storage: Storage = "full") -> Program:
    """The program of a call's step, made once for its sizes, dtype and storage of weights."""
    target = host()
    dtype = call.initial[0].dtype

    def weights() -> int:
        matrices = [value for value in call.parameters.values() if value.dim() > 1]
        return sum(matrix.numel() * matrix.element_size() for matrix in matrices)

    few = few_rows(call.layout.batch, weights)
    stored = call.parameters.names if isinstance(call.parameters, FusedParameters) else ()
    sizes = tuple(sorted(call.sizes.items()))
    key = (id(call.step), sizes, dtype, target, few, storage, stored)
    found = _PROGRAMS.get(key)
    if found is None or found[0] is not call.step:
        made = Program(
            call.step, call.sizes, dtype, target, few=few, storage=storage, stored=stored
        )
        found = _PROGRAMS[key] = (call.step, made)
    return found[1]


def run_cpu(call: Call) -> tuple[Tensor, States]:
    """Runs a step over a batch: the output `(N, O)` and the final states `(B, S)`, rows sorted.

    Numbers of 16 bits are worked on in 32, and rounded where they leave the layer. Of bfloat16, and
    under its autocast, only the products are of 16 bits, where the processor has them.
    """
    dtype = call.initial[0].dtype
    storage = storage_of(dtype)
    with _without_autocast():
        if dtype in SHORT:
            output, finals = _run(_converted(call, torch.float32), storage)
            return output.to(dtype), tuple(final.to(dtype) for final in finals)
        if any(value.dtype != dtype for value in call.streams.values()):
            call = _converted(call, dtype)
        return _run(call, storage)


def storage_of(dtype: torch.dtype) -> Storage:
    """How weights meet what they multiply, in a layer of this dtype that is called here and now."""
    autocast = torch.is_autocast_enabled("cpu") and dtype == torch.float32
    low = torch.get_autocast_dtype("cpu") if autocast else dtype
    return "brain" if low == torch.bfloat16 and multiplies_brain(host()) else "full"


def _without_autocast() -> contextlib.AbstractContextManager[Any]:
    if torch.is_autocast_enabled("cpu"):
        return torch.autocast("cpu", enabled=False)
    return contextlib.nullcontext()


def _converted(call: Call, dtype: torch.dtype) -> Call:
    return dataclasses.replace(
        call,
        parameters={name: value.to(dtype) for name, value in call.parameters.items()},
        streams={name: value.to(dtype) for name, value in call.streams.items()},
        initial=tuple(value.to(dtype) for value in call.initial),
        fresh=tuple(value.to(dtype) for value in call.fresh),
    )


def _run(call: Call, storage: Storage) -> tuple[Tensor, States]:
    program = program_of(call, storage)
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
