"""One run of a program over one layout: tensors in, the loop, tensors out; and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.compiler.ir import Var
from elman.kernels.carry import States
from elman.kernels.cpu.arrays import units
from elman.kernels.cpu.gradients import Columns, Gradients
from elman.kernels.cpu.kernel import Kernel
from elman.kernels.cpu.product import linear
from elman.kernels.cpu.program import OWED, Program, Training, read_sizes
from elman.kernels.cpu.room import POOL
from elman.kernels.layout import Layout
from elman.kernels.reference import Call, run_reference


@dataclass
class Outcome:
    """What a forward loop gives: the output `(N, O)`, final states `(B, S)`, and what it kept."""

    output: Tensor
    finals: States
    kept: dict[str, Tensor]


class Work:
    """One run of a program over one layout; tensors travel as a flat list with known places."""

    def __init__(
        self, program: Program, layout: Layout, reverse: bool, resets: Tensor | None
    ) -> None:
        self.program, self.layout, self.reverse = program, layout, reverse
        self.resets = None if resets is None else resets.contiguous()
        self.names: list[str] = []
        self.needs: Sequence[bool] = ()

    def wanted(self) -> frozenset[str]:
        """The loop's inputs and parameters whose gradients are needed."""
        needed = {name for name, needs in zip(self.names, self.needs, strict=True) if needs}
        found = {name.split(".", 1)[1] for name in needed if name.startswith(("in.", "parameter."))}
        for k, projection in enumerate(self.program.split.projections):
            if needed & {f"operand.{k}", f"weight.{k}", f"bias.{k}"}:
                found.update(read.name for read in projection.reads)
        return frozenset(found)

    def gather(self, call: Call, values: dict[Var, Tensor]) -> list[Tensor]:
        """Every tensor that the loop depends on; `names` says which is which."""
        program, split = self.program, self.program.split
        found: dict[str, Tensor] = {}
        for k, projection in enumerate(split.projections):
            weight, bias = program.stacked(projection, values)
            found[f"operand.{k}"] = values[projection.operand]
            found[f"weight.{k}"] = weight
            if bias is not None:
                found[f"bias.{k}"] = bias
        for name, var in split.inputs.items():
            found[f"in.{name}"] = values[var].expand(self.layout.total, units(var))
        for name, var in split.parameters.items():
            found[f"parameter.{name}"] = values[var]
        for state, value in zip(program.loop.states, call.initial, strict=True):
            found[f"initial.{state.name}"] = value
        if self.resets is not None:
            for state, value in zip(program.loop.states, call.fresh, strict=True):
                found[f"fresh.{state.name}"] = value
        self.names = list(found)
        return [rows_contiguous(value) for value in found.values()]

    def named(self, tensors: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """The tensors by name; what is None is left out."""
        pairs = zip(self.names, tensors, strict=True)
        return {name: tensor for name, tensor in pairs if tensor is not None}

    # -- forwards

    def forward(self, tensors: Sequence[Tensor], kernel: Kernel) -> Outcome:
        """Runs the loop."""
        given = self.named(tensors)
        layout, step = self.layout, kernel.step
        arrays = self._inputs(given, kernel)
        states = self._states(kernel, [given[f"initial.{s.name}"] for s in step.states])
        arrays.update(states)
        if self.resets is not None:
            for state in step.states:
                arrays[f"given.{state.name}"] = given[f"fresh.{state.name}"]
        output = kernel.stream(step.output)
        streams = {output.name: torch.empty(layout.total, output.size, dtype=kernel.dtype)}
        for result in step.results:
            array = kernel.stream(result.var)
            if array.name not in streams:
                streams[array.name] = POOL.take(layout.total, array.size, dtype=kernel.dtype)
        arrays.update(streams)
        kernel.run(arrays, layout, reverse=self.reverse, resets=self.resets)
        finals = self._finals(kernel, states, reverse=self.reverse)
        kept = {result.name: streams[kernel.stream(result.var).name] for result in step.results}
        kept.update({n: v for n, v in arrays.items() if n.startswith("in.read.")})
        return Outcome(streams[output.name], finals, kept)

    def _inputs(self, given: Mapping[str, Tensor], kernel: Kernel) -> dict[str, Tensor]:
        """Streams, vectors and packed weights of the forward loop."""
        program = self.program
        arrays = {name: value for name, value in given.items() if name.startswith("in.")}
        step = kernel.step
        parameters: dict[str, Tensor] = {
            name.removeprefix("parameter."): value
            for name, value in given.items()
            if name.startswith("parameter.")
        }
        for k, projection in enumerate(program.split.projections):
            weight, bias = given[f"weight.{k}"], given.get(f"bias.{k}")
            whole = linear(given[f"operand.{k}"], weight, bias, storage=kernel.storage)
            at = 0
            for read, size in read_sizes(projection, program.loop):
                arrays[f"in.{read.name}"] = whole[:, at : at + size]
                at += size
        return arrays | self._constants(kernel, step.parameters, parameters)

    def _constants(
        self, kernel: Kernel, declared: Sequence[Any], parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Vectors as they are and matrices packed."""
        arrays: dict[str, Tensor] = {}
        matrices: dict[Var, Tensor] = {}
        for parameter in declared:
            value = parameters[parameter.name]
            if len(parameter.var.shape) == 1:
                arrays[f"vector.{parameter.name}"] = value
            else:
                matrices[parameter.var] = value
        return arrays | kernel.pack(matrices)

    def _states(self, kernel: Kernel, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """Both halves of every state, filled: a row begins in either."""
        found: dict[str, Tensor] = {}
        for state, value in zip(kernel.step.states, values, strict=True):
            size = units(state.var)
            room = torch.empty(2, self.layout.batch, kernel.padded(size), dtype=kernel.dtype)
            room[:, :, :size] = value
            found[f"state.{state.name}"] = room
        return found

    def _finals(
        self, kernel: Kernel, states: Mapping[str, Tensor], *, reverse: bool
    ) -> tuple[Tensor, ...]:
        """Each row's state in the half that its last step wrote."""
        layout = self.layout
        found: list[Tensor] = []
        for state in kernel.step.states:
            room = states[f"state.{state.name}"][:, :, : units(state.var)]
            if reverse or layout.is_uniform:
                found.append(room[layout.steps % 2].contiguous())
                continue
            odd = torch.tensor([length % 2 for length in layout.lengths], dtype=torch.bool)
            found.append(torch.where(odd[:, None], room[1], room[0]))
        return tuple(found)

    # -- backwards

    def backward(
        self,
        training: Training,
        tensors: Sequence[Tensor],
        kept: Mapping[str, Tensor],
        owed: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """What the loss owes to every tensor, by name."""
        kernel, given = training.backward, self.named(tensors)
        step = kernel.step
        arrays: dict[str, Tensor] = {}
        for entry in step.inputs:
            name = f"in.{entry.name}"
            if entry.name == f"{OWED}output":
                arrays[name] = rows_contiguous(owed[0])
            elif entry.name in kept:
                arrays[name] = kept[entry.name]
            else:
                arrays[name] = kept[name] if name in kept else given[name]
        parameters = {p.name: given[f"parameter.{p.name}"] for p in step.parameters}
        arrays |= self._constants(kernel, step.parameters, parameters)
        states = self._states(kernel, owed[1:])
        arrays |= states
        gone: dict[str, Tensor] = {}
        if self.resets is not None:
            for state in step.states:
                room = torch.zeros(self.layout.batch, units(state.var), dtype=kernel.dtype)
                gone[state.name] = arrays[f"given.{state.name}"] = room
        columns = Columns(training, self.layout.total)
        arrays |= columns.arrays
        sums = kernel.run(arrays, self.layout, reverse=not self.reverse, resets=self.resets)
        needs = dict(zip(self.names, self.needs, strict=True))
        found = Gradients(training, given, kept, sums, columns, needs).found()
        finals = self._finals(kernel, states, reverse=not self.reverse)
        for state, value in zip(self.program.loop.states, finals, strict=True):
            found[f"initial.{state.name}"] = value
            if self.resets is not None:
                found[f"fresh.{state.name}"] = gone[f"{OWED}{state.name}"]
        return found

    def backward_through_reference(
        self, tensors: Sequence[Tensor], owed: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The same, differentiable again: through the reference loop."""
        program, given = self.program, self.named(tensors)
        streams = {n.removeprefix("in."): v for n, v in given.items() if n.startswith("in.")}
        for k, projection in enumerate(program.split.projections):
            bias = given.get(f"bias.{k}")
            whole = torch.nn.functional.linear(given[f"operand.{k}"], given[f"weight.{k}"], bias)
            sizes = [size for _, size in read_sizes(projection, program.loop)]
            pairs = zip(projection.reads, whole.split(sizes, dim=1), strict=True)
            streams.update({read.name: part for read, part in pairs})
        parameters = {p.name: given[f"parameter.{p.name}"] for p in program.loop.parameters}
        initial = tuple(given[f"initial.{s.name}"] for s in program.loop.states)
        fresh = tuple(given.get(f"fresh.{s.name}", initial[0]) for s in program.loop.states)
        call = Call(
            program.loop, {}, parameters, streams, initial, fresh, self.layout, self.reverse,
            self.resets,
        )  # fmt: skip
        output, finals = run_reference(call)
        results = [r for r in (output, *finals) if r.requires_grad]
        amounts = [a for r, a in zip((output, *finals), owed, strict=True) if r.requires_grad]
        wanted = [t for t, needs in zip(tensors, self.needs, strict=True) if needs]
        found = torch.autograd.grad(results, wanted, amounts, create_graph=True, allow_unused=True)
        made = iter(found)
        return [next(made) if needs else None for needs in self.needs]


def rows_contiguous(value: Tensor) -> Tensor:
    """The tensor with its last dimension contiguous and no dimension expanded."""
    if value.dim() and (value.stride(-1) != 1 or 0 in value.stride()) and value.shape[-1] != 0:
        return value.contiguous()
    return value
