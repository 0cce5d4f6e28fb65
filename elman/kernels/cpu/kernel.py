"""A scheduled step as a function on tensors: compiled once, run for any batch."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman.compiler.ir import Step, Var, signature
from elman.compiler.schedule import Schedule, schedule
from elman.compiler.verify_schedule import verify_schedule
from elman.kernels.cpu import cache, team
from elman.kernels.cpu.arrays import HEADER, PARTS, Array, Arrays, Storage
from elman.kernels.cpu.barrier import BARRIER_BYTES
from elman.kernels.cpu.integers import multiplies_pairs
from elman.kernels.cpu.packing import Packing
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.target import Target
from elman.kernels.cpu.timeloop import NAME, ROWS, shapes_of, write_kernel
from elman.kernels.layout import Layout

_ALIGN = 64  # bytes; also how rows are padded, so that every vector of a row is whole


class Frame:
    """A call of a kernel that is ready to run, as often as wanted.

    Attributes:
        slots: what the machine code reads (see `arrays`).
    """

    def __init__(self, kernel: int, slots: Any, held: tuple[Any, ...]) -> None:
        self.slots, self._kernel, self._held = slots, kernel, held
        self._address = ctypes.addressof(slots)

    def run(self, threads: int) -> None:
        """Runs the kernel on at most so many threads."""
        team.run(self._kernel, self._address, threads)


class Kernel:
    """The machine code of one step over time.

    Args:
        step: with sizes as numbers, what leaves the loop taken out.
        target: the processor.
        dtype: float32 or float64.
        collects: an adjoint: it has no output of its own, and a reset gives what is owed to the
            state to the value that was put in its place.
        storage: how weights are kept; other than "full" in float32 only.
    """

    def __init__(
        self,
        step: Step,
        target: Target,
        dtype: torch.dtype,
        *,
        collects: bool = False,
        storage: Storage = "full",
    ) -> None:
        self.step, self.dtype = step, dtype
        self.storage: Storage = storage
        double = dtype == torch.float64
        self.bytes = 8 if double else 4
        self.schedule = verify_schedule(schedule(step))
        self.arrays = Arrays(
            self.schedule, collects=collects, storage=storage, pairs=multiplies_pairs(target)
        )
        self.shapes = shapes_of(self.arrays, target, double=double)
        key = f"time loop {dtype} {collects} {storage}\n{signature(step)}"
        self._library = cache.load(
            key, lambda: write_kernel(self.arrays, target, double=double), target
        )
        self._address = self._library.address(NAME)
        self._packing = Packing(self.arrays, self.shapes, dtype, target)
        self._constants = {e.var: e for e in step.equations if e.op == "const"}
        self._places = {
            name: len(HEADER) + 3 * place for place, name in enumerate(self.arrays.table)
        }

    # -- room

    def padded(self, size: int) -> int:
        """Units of a row in memory of the kernel's own."""
        unit = max(_ALIGN // self.bytes, 1)
        return -(-size // unit) * unit

    def own(self, threads: int, rows: int) -> dict[str, Tensor]:
        """Memory for what the kernel writes for itself: passed values, scratch and sums."""
        found: dict[str, Tensor] = {}
        for name, array in self.arrays.table.items():
            size = self.padded(array.size)
            if array.kind == "passed":
                found[name] = torch.empty(2, rows, size, dtype=self.dtype)
            elif array.kind == "scratch":
                kind = torch.int16 if name.startswith("rounded") else self.dtype
                found[name] = torch.zeros(threads, rows, size + 64, dtype=kind)
            elif array.kind == "sum":
                found[name] = torch.zeros(threads, size, dtype=self.dtype)
        return found

    def stream(self, var: Var) -> Array:
        """The stream that a result is written to."""
        return self.arrays.stream_of(var)

    def pack(self, matrices: Mapping[Var, Tensor]) -> dict[str, Tensor]:
        """The packed weights of every group, from the step's matrices `(rows, columns)`."""
        return self._packing.pack(matrices)

    def rounding(self, matrices: Mapping[Var, Tensor], packed: Mapping[str, Tensor]) -> float:
        """The relative root mean square error of packed weights."""
        return self._packing.rounding(matrices, packed)

    # -- running

    def run(
        self,
        arrays: Mapping[str, Tensor],
        layout: Layout,
        *,
        reverse: bool = False,
        resets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Runs the time loop on as many threads as torch has and the layout is worth.

        Args:
            arrays: by name; streams `(N, size)`, states `(2, B, padded)`, given `(B, padded)`,
                vectors `(size,)`, weights as packed. The last dimension is contiguous.
            layout: where the steps lie.
            reverse: from the last step to the first.
            resets: `(N,)` bool: rows marked before a step (after it, for an adjoint).

        Returns:
            The kernel's own arrays by name, sums `(threads, padded)` among them.
        """
        threads, by_units = self.threads_for(layout, team.available())
        own = self.own(threads, layout.batch)
        frame = self.frame(
            {**arrays, **own}, layout, reverse=reverse, resets=resets, by_units=by_units
        )
        frame.run(threads)
        return own

    def frame(
        self,
        arrays: Mapping[str, Tensor],
        layout: Layout,
        *,
        reverse: bool = False,
        resets: Tensor | None = None,
        by_units: bool = False,
    ) -> Frame:
        """All that a run needs to know, in the form that the machine code reads; as `run`.

        `arrays` holds the kernel's own too; `by_units`: units are dealt to threads, not rows.
        """
        slots = (ctypes.c_int64 * self.arrays.slots)()
        offsets, rows = layout.tables
        barrier = torch.zeros(BARRIER_BYTES // 8 + 16, dtype=torch.int64)
        header = {
            "steps": layout.steps,
            "batch": layout.batch,
            "offsets": offsets.buffer_info()[0],
            "rows": rows.buffer_info()[0],
            "reverse": int(reverse),
            "units": int(by_units),
            "resets": 0 if resets is None else resets.data_ptr(),
            "barrier": -(-barrier.data_ptr() // 128) * 128,
        }
        for place, name in enumerate(HEADER):
            slots[place] = header[name]
        given = {**self._vectors(arrays), **arrays}
        for name, place in self._places.items():
            if name in given:
                self._enter(slots, place, given[name])
        return Frame(self._address, slots, (offsets, rows, barrier, given, resets))

    def place(self, array: Array) -> int:
        """The slot of an array's address in a frame; its distances follow (`arrays.PARTS`)."""
        return self._places[array.name]

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
        size = value.element_size()
        frame[place] = value.data_ptr()
        if value.dim() > 1:
            frame[place + PARTS.index("stride")] = value.stride(-2) * size
        if value.dim() > 2:
            frame[place + PARTS.index("half")] = value.stride(0) * size

    def threads_for(self, layout: Layout, available: int) -> tuple[int, bool]:
        """How many threads, and whether units are dealt to them instead of rows: `deal`."""
        return deal(self.schedule, self.shapes, layout, available)


def deal(
    plan: Schedule, shapes: Mapping[int, Shape], layout: Layout, available: int
) -> tuple[int, bool]:
    """How many threads, and whether units are dealt to them instead of rows.

    Rows are dealt while every thread gets two blocks of them at the first step; units where that
    cannot be and no sum over features stands in the way.
    """
    if available <= 1 or layout.total == 0:
        return 1, False
    if layout.batch >= 2 * ROWS * available:
        return available, False
    regions = plan.regions
    if len(regions) == len(plan.parts):
        widest = max(shape.width for shape in shapes.values())
        if max(-(-region.size // widest) for region in regions) >= available:
            return available, True
    blocks = -(-layout.batch // ROWS)
    return max(1, min(available, blocks)), False
