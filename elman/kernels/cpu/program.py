"""A step made ready for the processor: what runs outside of the loop, and its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from elman.compiler.differentiate import OWED, Adjoint, differentiate
from elman.compiler.hoist import Projection, Read, Split, fused, split
from elman.compiler.ir import Equation, Step, Var, dimensions
from elman.compiler.lower import Addend, gather_sums, lower, with_sizes
from elman.compiler.saving import Trained, with_saved
from elman.kernels.cpu.kernel import Kernel
from elman.kernels.cpu.target import Target
from elman.kernels.operations import OPERATIONS

Values = dict[Var, Tensor]


class Program:
    """A step for one set of sizes, one dtype and one processor.

    Attributes:
        split: what is around the loop and what is inside.
        fuses: whether the products of inputs are part of the loop. They are when states are
            multiplied too, since then the loop does nothing but multiply; where the loop is
            pointwise one large product does them all before, and the adjoint reads them again.
    """

    def __init__(
        self, step: Step, sizes: Mapping[str, int], dtype: torch.dtype, target: Target
    ) -> None:
        self.dtype, self.target = dtype, target
        self.whole = gather_sums(lower(with_sizes(step, sizes)))
        self.split: Split = split(self.whole)
        self.loop = self.split.loop
        self.fuses = any(equation.op == "matmul" for equation in self.loop.equations)
        self._trained: dict[frozenset[str], Training] = {}

    @cached_property
    def inference(self) -> Kernel:
        """The loop without anything kept."""
        return Kernel(self.with_projections(self.loop), self.target, self.dtype)

    def training(self, wanted: frozenset[str]) -> Training:
        """The loop and its adjoint, for the inputs and parameters whose gradients are wanted."""
        if wanted not in self._trained:
            self._trained[wanted] = Training(self, wanted)
        return self._trained[wanted]

    def with_projections(self, loop: Step) -> Step:
        """A loop that reads what this program's loops read: inputs, or their products."""
        return fused(loop, self.split.projections) if self.fuses else loop

    # -- outside of the loop

    def outside(self, parameters: Mapping[str, Tensor], streams: Mapping[str, Tensor]) -> Values:
        """Values of levels P and X that the loop and its projections need, under autograd."""
        values: Values = {p.var: parameters[p.name] for p in self.whole.parameters}
        values.update({entry.var: streams[entry.name] for entry in self.whole.inputs})
        like = next(iter(streams.values()))
        for equation in self.split.outer:
            values[equation.var] = self._value(equation, values, like)
        return values

    def _value(self, equation: Equation, values: Values, like: Tensor) -> Tensor:
        if equation.op == "const":
            numbers = torch.tensor(equation.attribute("values"), dtype=torch.float64)
            return numbers.reshape(dimensions(equation.var.shape, {})).to(like.dtype)
        options: dict[str, Any] = dict(equation.attributes)
        if equation.op == "matmul":
            inputs = {entry.var for entry in self.whole.inputs}
            options["level"] = "X" if self._depends(equation.args[1], inputs) else "P"
        operation: Callable[..., Tensor] = partial(OPERATIONS[equation.op], **options)
        return operation(*(values[arg] for arg in equation.args))

    def _depends(self, var: Var, inputs: set[Var]) -> bool:
        made = {equation.var: equation for equation in self.split.outer}
        if var in inputs:
            return True
        return var in made and any(self._depends(arg, inputs) for arg in made[var].args)

    def stacked(self, projection: Projection, values: Values) -> tuple[Tensor, Tensor | None]:
        """The weights of all reads of a projection, `(rows, K)`, and their biases `(rows,)`."""
        weights = [_signed_sum(read.matrices, values) for read in projection.reads]
        if not any(read.vectors for read in projection.reads):
            return torch.cat(weights), None
        biases = [
            _signed_sum(read.vectors, values) if read.vectors else weight.new_zeros(len(weight))
            for read, weight in zip(projection.reads, weights, strict=True)
        ]
        return torch.cat(weights), torch.cat(biases)


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
        reads = {read.name for p in program.split.projections for read in p.reads}
        kept = {entry.name for entry in loop.inputs}
        if program.fuses:
            kept -= reads
        limit = 12 if program.fuses else 1000
        self.trained: Trained = with_saved(loop, self.adjoint, kept=kept, limit=limit)
        self.forward = Kernel(
            program.with_projections(self.trained.forward),
            program.target,
            program.dtype,
        )
        self.backward = Kernel(
            gather_sums(self.trained.adjoint), program.target, program.dtype, collects=True
        )


def read_sizes(projection: Projection, loop: Step) -> list[tuple[Read, int]]:
    """The reads of a projection with their sizes, in the order of its stacked weights."""
    sizes = {entry.name: entry.var.shape[0] for entry in loop.inputs}
    found: list[tuple[Read, int]] = []
    for read in projection.reads:
        size = sizes[read.name]
        assert isinstance(size, int)
        found.append((read, size))
    return found


__all__ = ["OWED", "Program", "Training", "Values", "read_sizes"]
