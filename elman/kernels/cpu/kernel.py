"""A scheduled step as a function on tensors: compiled once, run for any batch."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman.compiler.ir import Step, Var, signature
from elman.compiler.schedule import Region, schedule
from elman.kernels.cpu import cache, team
from elman.kernels.cpu.arrays import HEADER, PARTS, Array, Arrays, Group, units
from elman.kernels.cpu.barrier import BARRIER_BYTES
from elman.kernels.cpu.target import Target
from elman.kernels.cpu.timeloop import NAME, ROWS, shapes_of, write_kernel
from elman.kernels.layout import Layout

_ALIGN = 64  # bytes; also how rows are padded, so that every vector of a row is whole


class Kernel:
    """The machine code of one step over time.

    Args:
        step: with sizes as numbers, what leaves the loop taken out.
        target: the processor.
        dtype: float32 or float64.
        collects: an adjoint: it has no output of its own, and a reset gives what is owed to the
            state to the value that was put in its place.
    """

    def __init__(
        self, step: Step, target: Target, dtype: torch.dtype, *, collects: bool = False
    ) -> None:
        self.step, self.dtype = step, dtype
        double = dtype == torch.float64
        self.bytes = 8 if double else 4
        self.schedule = schedule(step)
        self.arrays = Arrays(self.schedule, collects=collects)
        self.shapes = shapes_of(self.arrays, target, double=double)
        key = f"time loop {dtype} {collects}\n{signature(step)}"
        self._library = cache.load(
            key, lambda: write_kernel(self.arrays, target, double=double), target
        )
        self._address = self._library.address(NAME)
        self._constants = {e.var: e for e in step.equations if e.op == "const"}
        self._places = {
            name: len(HEADER) + 3 * place for place, name in enumerate(self.arrays.table)
        }

    # -- room

    def padded(self, size: int) -> int:
        """Units of a row in memory of the kernel's own."""
        unit = max(_ALIGN // self.bytes, 1)
        return -(-size // unit) * unit

    def room(self, array: Array, rows: int) -> Tensor:
        """Memory for so many rows of an array, `(rows, padded size)`, not filled."""
        return torch.empty(rows, self.padded(array.size), dtype=self.dtype)

    def stream(self, var: Var) -> Array:
        """The stream that a result is written to."""
        return self.arrays.stream_of(var)

    # -- weights

    def pack(self, matrices: Mapping[Var, Tensor]) -> dict[str, Tensor]:
        """The packed weights of every group, from the step's matrices `(rows, columns)`."""
        packed: dict[str, Tensor] = {}
        for number, groups in self.arrays.groups.items():
            for group in groups:
                packed[group.array.name] = self._packed(number, group, matrices)
        return packed

    def _packed(self, number: int, group: Group, matrices: Mapping[Var, Tensor]) -> Tensor:
        """`(panels, operand size, products, panel width)`, zero where a panel is not full."""
        shape = self.shapes[number]
        region = self.schedule.parts[number]
        assert isinstance(region, Region)
        size, operand = region.size, units(group.operand)
        panels, width = shape.panels(size), shape.width
        room = torch.empty(panels, operand, len(group.products), width, dtype=self.dtype)
        whole = size // width
        for place, (_, product) in enumerate(group.products):
            matrix = self._matrix(product.matrix, matrices)
            matrix = matrix.t() if product.transposed else matrix
            view = room[:, :, place, :]
            blocks = matrix[: whole * width].reshape(whole, width, operand)
            view[:whole].copy_(blocks.transpose(1, 2))
            if whole < panels:
                rest = size - whole * width
                view[whole, :, :rest].copy_(matrix[whole * width :].t())
                view[whole, :, rest:].zero_()
            if product.negative:
                view.neg_()
        return room

    def _matrix(self, var: Var, matrices: Mapping[Var, Tensor]) -> Tensor:
        equation = self._constants.get(var)
        if equation is None:
            return matrices[var]
        values: Any = equation.attribute("values")
        shape: Any = equation.var.shape
        return torch.tensor(values, dtype=self.dtype).reshape(shape)

    # -- running

    def run(
        self,
        arrays: Mapping[str, Tensor],
        layout: Layout,
        *,
        reverse: bool,
        resets: Tensor | None,
        threads: int,
        by_units: bool,
    ) -> None:
        """Runs the time loop.

        Args:
            arrays: by name; streams `(N, size)`, states and passed values `(2, B, padded)`, given
                `(B, padded)`, vectors `(size,)`, sums `(threads, padded)`, weights as packed. The
                last dimension is contiguous.
            layout: where the steps lie.
            reverse: from the last step to the first.
            resets: `(N,)` bool: rows marked before a step (after it, for an adjoint).
            threads: at most so many.
            by_units: deal units, not rows.
        """
        frame = (ctypes.c_int64 * self.arrays.slots)()
        offsets = (ctypes.c_int64 * (layout.steps + 1))(*layout.offsets)
        rows = (ctypes.c_int64 * max(1, layout.steps))(*layout.rows)
        barrier = torch.zeros(BARRIER_BYTES // 8 + 16, dtype=torch.int64)
        header = {
            "steps": layout.steps,
            "batch": layout.batch,
            "offsets": ctypes.addressof(offsets),
            "rows": ctypes.addressof(rows),
            "reverse": int(reverse),
            "units": int(by_units),
            "resets": 0 if resets is None else resets.data_ptr(),
            "barrier": -(-barrier.data_ptr() // 128) * 128,
        }
        for place, name in enumerate(HEADER):
            frame[place] = header[name]
        constants = self._vectors(arrays)
        for name, place in self._places.items():
            value = arrays.get(name, constants.get(name))
            if value is not None:
                self._enter(frame, place, value)
        team.run(self._address, ctypes.addressof(frame), threads)
        del constants

    def _vectors(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Constant vectors that are given by nobody."""
        found: dict[str, Tensor] = {}
        for var, equation in self._constants.items():
            name = f"constant.{var.index}"
            if name in self.arrays.table and name not in arrays:
                values: Any = equation.attribute("values")
                found[name] = torch.tensor(values, dtype=self.dtype)
        return found

    def _enter(self, frame: Any, place: int, value: Tensor) -> None:
        assert value.stride(-1) == 1 or value.shape[-1] == 1
        frame[place] = value.data_ptr()
        if value.dim() > 1:
            frame[place + PARTS.index("stride")] = value.stride(-2) * self.bytes
        if value.dim() > 2:
            frame[place + PARTS.index("half")] = value.stride(0) * self.bytes

    def threads_for(self, layout: Layout, available: int) -> tuple[int, bool]:
        """How many threads, and whether units are dealt to them instead of rows.

        Rows are dealt while every thread gets two blocks of them at the first step; units where
        that cannot be and no sum over features stands in the way.
        """
        if available <= 1 or layout.total == 0:
            return 1, False
        if layout.batch >= 2 * ROWS * available:
            return available, False
        regions = self.schedule.regions
        if len(regions) == len(self.schedule.parts):
            widest = max(shape.width for shape in self.shapes.values())
            if max(-(-region.size // widest) for region in regions) >= available:
                return available, True
        blocks = -(-layout.batch // ROWS)
        return max(1, min(available, blocks)), False
