"""One step at a time: everything is prepared once, a step is one call of machine code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import torch
from torch import Tensor

from elman.compiler.hoist import split
from elman.compiler.ir import Step
from elman.compiler.lower import gather_sums, lower
from elman.kernels.cpu import team
from elman.kernels.cpu.arrays import PARTS, Storage, units
from elman.kernels.cpu.kernel import Frame, Kernel
from elman.kernels.cpu.program import outside
from elman.kernels.cpu.target import host
from elman.kernels.layout import Layout

_WORTH_SHARING = 1 << 16
"""Weights above which a step of a few rows is shared among threads."""


class Stepper:
    """Runs a step for a fixed number of rows, keeping the states in between.

    Args:
        step: its sizes are numbers.
        parameters: by the step's names; they are copied as they are now.
        batch: rows.
        streams: inputs beside the first, each `(B, size)`, the same in every step.
        storage: how weights are kept: "full", "bfloat16" or "int8" (with float32 states).

    Attributes:
        states: one `(B, S)` view a state, the value before the next step.
        error: the relative root mean square error that `storage` makes in the weights.
    """

    def __init__(
        self,
        step: Step,
        parameters: Mapping[str, Tensor],
        batch: int,
        *,
        streams: Mapping[str, Tensor] | None = None,
        storage: Storage = "full",
    ) -> None:
        values = {name: value.detach() for name, value in parameters.items()}
        self.dtype = next(iter(values.values())).dtype
        parts = split(gather_sums(lower(step, inputs=False)), inputs=False)
        loop, self.batch = parts.loop, batch
        self._kernel = kernel = Kernel(loop, host(), self.dtype, storage=storage)
        made = outside(parts, values, {}, self.dtype)
        given = {name: made[var] for name, var in parts.parameters.items()}
        matrices = {p.var: given[p.name] for p in loop.parameters if len(p.var.shape) > 1}
        arrays = kernel.pack(matrices)
        self.error = kernel.rounding(matrices, arrays)
        for p in loop.parameters:
            if len(p.var.shape) == 1:
                # A copy: the layer's own vector changes when training goes on.
                arrays[f"vector.{p.name}"] = given[p.name].clone(
                    memory_format=torch.contiguous_format
                )
        arrays |= {f"in.{name}": value.contiguous() for name, value in (streams or {}).items()}
        self._rooms = [
            torch.zeros(2, batch, kernel.padded(units(state.var)), dtype=self.dtype)
            for state in loop.states
        ]
        self._sizes = [units(state.var) for state in loop.states]
        self._names = [f"state.{state.name}" for state in loop.states]
        self._arrays = arrays
        self._prepare()
        entry = step.inputs[0]
        self._input = kernel.arrays.table.get(f"in.{entry.name}")
        self._output = kernel.stream(loop.output)
        self._half = 0

    def copy(self) -> Stepper:
        """Another on the same packed weights, which goes on from the same states."""
        other = copy(self)
        other._rooms = [room.clone() for room in self._rooms]
        other._prepare()
        return other

    def _prepare(self) -> None:
        """Two frames, one for each half of the states that a step may begin in."""
        kernel = self._kernel
        arrays = self._arrays | dict(zip(self._names, self._rooms, strict=True))
        layout = Layout.uniform(1, self.batch)
        self._threads, by_units = kernel.threads_for(layout, team.available())
        work = sum(t.numel() for name, t in arrays.items() if name.startswith("weights."))
        if work * self.batch < _WORTH_SHARING:
            self._threads, by_units = 1, False
        arrays |= kernel.own(team.available(), self.batch)
        self._frames: list[Frame] = []
        for half in (0, 1):
            frame = kernel.frame(arrays, layout, by_units=by_units)
            for array in kernel.arrays.table.values():
                if half and array.kind == "state":
                    # The step reads half 1 and writes half 0: begin there, and count backwards.
                    at, distance = kernel.place(array), PARTS.index("half")
                    frame.slots[at] += frame.slots[at + distance]
                    frame.slots[at + distance] = -frame.slots[at + distance]
            self._frames.append(frame)

    @property
    def states(self) -> list[Tensor]:
        """One `(B, S)` a state, before the next step: views, which the next step writes over."""
        pairs = zip(self._rooms, self._sizes, strict=True)
        return [room[self._half, :, :size] for room, size in pairs]

    def put(self, states: Sequence[Tensor], rows: Tensor | None = None) -> None:
        """Sets the states, of all rows or of those that `rows` marks."""
        for state, value in zip(self.states, states, strict=True):
            if rows is None:
                state.copy_(value)
            else:
                state[rows] = value.expand_as(state)[rows]

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, F)`, last dimension contiguous -> the output `(B, O)`; the states go one step on."""
        frame = self._frames[self._half]
        output = x.new_empty(self.batch, self._output.size)
        slots, kernel = frame.slots, self._kernel
        if self._input is not None:
            at = kernel.place(self._input)
            slots[at] = x.data_ptr()
            slots[at + 1] = x.stride(0) * kernel.bytes
        at = kernel.place(self._output)
        slots[at] = output.data_ptr()
        slots[at + 1] = self._output.size * kernel.bytes
        frame.run(self._threads)
        self._half = 1 - self._half
        return output
