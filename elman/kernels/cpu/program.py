"""A step made ready for the processor: what runs outside of the loop, and its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from elman.compiler.differentiate import OWED, Adjoint, differentiate
from elman.compiler.hoist import Projection, Read, Split, fused, ordered, split, sums_inputs
from elman.compiler.ir import Step, Var, dimensions
from elman.compiler.lower import Addend, gather_sums, lower, with_sizes
from elman.compiler.saving import LIMIT, Trained, with_saved
from elman.kernels.cpu.arrays import Storage
from elman.kernels.cpu.kernel import Kernel
from elman.kernels.cpu.target import Target
from elman.kernels.operations import OPERATIONS

Values = dict[Var, Tensor]

_FREE = 1000  # a pointwise loop waits for memory: what it computes costs nothing


class Program:
    """A step for one set of sizes, one dtype and one processor.

    Attributes:
        split: what is around the loop and what is inside.
        loop: what is inside.
        multiplies: whether states are multiplied by matrices.
        inside: whether the products of inputs, and sums over their features, are part of the
            loop, where each is used as it is made; with few rows they are all done before.
        storage: how the loops keep their weights.

    `stored` names parameters in the order in which a joined tensor holds them, if one does.
    """

    def __init__(
        self,
        step: Step,
        sizes: Mapping[str, int],
        dtype: torch.dtype,
        target: Target,
        *,
        few: bool = False,
        storage: Storage = "full",
        stored: Sequence[str] = (),
    ) -> None:
        self.dtype, self.target = dtype, target
        self.storage: Storage = storage
        sized = with_sizes(step, sizes)
        parts = split(gather_sums(lower(sized)))
        self.multiplies = any(equation.op == "matmul" for equation in parts.loop.equations)
        # Outside of the loop every operation between two sums reads and writes all steps.
        sums = sums_inputs(parts)
        self.inside = not few and (bool(parts.projections) or sums)
        if not self.inside:
            self.split: Split = ordered(parts, stored)
        elif sums:
            self.split = split(gather_sums(lower(sized, inputs=False)), inputs=False)
        else:
            self.split = fused(parts)
        self.loop = self.split.loop
        self._trained: dict[frozenset[str], Training] = {}

    @cached_property
    def inference(self) -> Kernel:
        """The loop without anything kept."""
        return Kernel(self.loop, self.target, self.dtype, storage=self.storage)

    def training(self, wanted: frozenset[str]) -> Training:
        """The loop and its adjoint, for the inputs and parameters whose gradients are wanted."""
        if wanted not in self._trained:
            self._trained[wanted] = Training(self, wanted)
        return self._trained[wanted]

    def outside(self, parameters: Mapping[str, Tensor], streams: Mapping[str, Tensor]) -> Values:
        """Values of levels P and X that the loop and its projections need, under autograd."""
        return outside(self.split, parameters, streams, self.dtype)

    def stacked(self, projection: Projection, values: Values) -> tuple[Tensor, Tensor | None]:
        """The weights of all reads of a projection, `(rows, K)`, and their biases `(rows,)`."""
        weights = [_signed_sum(read.matrices, values) for read in projection.reads]
        if not any(read.vectors for read in projection.reads):
            return _stacked(weights), None
        biases = [
            _signed_sum(read.vectors, values) if read.vectors else weight.new_zeros(len(weight))
            for read, weight in zip(projection.reads, weights, strict=True)
        ]
        return _stacked(weights), _stacked(biases)


def _stacked(parts: list[Tensor]) -> Tensor:
    """Tensors one above the other; a joined one of which they are the rows, as it is."""
    base = parts[0]._base
    if base is None or not base.is_contiguous() or base.dim() != parts[0].dim():
        return torch.cat(parts)
    at = base.data_ptr()
    for part in parts:
        if part._base is not base or part.data_ptr() != at or not part.is_contiguous():
            return torch.cat(parts)
        at += part.numel() * part.element_size()
    whole = sum(part.numel() for part in parts) == base.numel()
    return base if whole and parts[0].shape[1:] == base.shape[1:] else torch.cat(parts)


def outside(
    parts: Split,
    parameters: Mapping[str, Tensor],
    streams: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> Values:
    """What runs outside of a loop: the values of `parts.outer`, and what they are made from."""
    step = parts.step
    values: Values = {p.var: parameters[p.name] for p in step.parameters}
    values.update({item.var: streams[item.name] for item in step.inputs if item.name in streams})
    made = {equation.var: equation for equation in parts.outer}
    inputs = {item.var for item in step.inputs}

    def of_inputs(var: Var) -> bool:
        return var in inputs or (var in made and any(of_inputs(arg) for arg in made[var].args))

    for equation in parts.outer:
        if equation.op == "const":
            numbers = torch.tensor(equation.attribute("values"), dtype=torch.float64)
            value = numbers.reshape(dimensions(equation.var.shape, {})).to(dtype)
        else:
            options: dict[str, Any] = dict(equation.attributes)
            if equation.op == "matmul":
                options["level"] = "X" if of_inputs(equation.args[1]) else "P"
            operation: Callable[..., Tensor] = partial(OPERATIONS[equation.op], **options)
            value = operation(*(values[arg] for arg in equation.args))
        values[equation.var] = value
    return values


def _signed_sum(terms: tuple[Addend, ...], values: Values) -> Tensor:
    total: Tensor | None = None
    for term in terms:
        value = -values[term.var] if term.negative else values[term.var]
        total = value if total is None else total + value
    assert total is not None
    return total


class Training:
    """A loop that keeps what its adjoint needs, and the adjoint."""

    def __init__(self, program: Program, wanted: frozenset[str]) -> None:
        loop = program.loop
        self.projections = program.split.projections
        self.adjoint: Adjoint = differentiate(loop, wanted)
        kept = {entry.name for entry in loop.inputs}
        self.trained: Trained = with_saved(loop, self.adjoint, kept=kept, limit=limit_of(program))
        target, dtype = program.target, program.dtype
        self.forward = Kernel(self.trained.forward, target, dtype, storage=program.storage)
        adjoint = gather_sums(self.trained.adjoint)
        self.backward = Kernel(adjoint, target, dtype, collects=True, storage=program.storage)


def limit_of(program: Program) -> int:
    """The most operations an element that are spent on recomputing a value."""
    return LIMIT if program.multiplies else _FREE


def read_sizes(projection: Projection, loop: Step) -> list[tuple[Read, int]]:
    """The reads of a projection with their sizes, in the order of its stacked weights."""
    sizes = {entry.name: entry.var.shape[0] for entry in loop.inputs}
    found: list[tuple[Read, int]] = []
    for read in projection.reads:
        size = sizes[read.name]
        assert isinstance(size, int)
        found.append((read, size))
    return found


__all__ = ["OWED", "Program", "Training", "Values", "limit_of", "outside", "read_sizes"]
