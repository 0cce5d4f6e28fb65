"""Machine code of the parts of a step: regions, tile by tile, and reductions.

Each is a function `void (frame, first, row, rows, unit, parity, thread)` that does a block of
`rows` rows for one panel of units.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir as _llvm_ir

from elman.compiler.schedule import Reduction, Region
from elman.kernels.cpu.arrays import Array, Arrays, units
from elman.kernels.cpu.memory import (
    I64,
    POINTER,
    Addresses,
    Place,
    load_part,
    loop,
)
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.tile import Code, Tile
from elman.kernels.cpu.vectors import Vectors

ir: Any = _llvm_ir


class RegionWriter:
    """Writes the function of a region: `void (frame, first, row, rows, unit, parity, thread)`.

    The function does a block of `rows` rows for one panel of units; `tail` is the version for the
    last panel when the size is no multiple of the panel's width.
    """

    def __init__(
        self, module: Any, arrays: Arrays, number: int, region: Region, shape: Shape
    ) -> None:
        constants = {e.var: e for e in arrays.step.equations if e.op == "const"}
        self.number = number
        self.code = Code(module, arrays, number, region, arrays.groups[number], constants, shape)

    def write(self, *, tail: bool) -> Any:
        """The function."""
        kind = ir.FunctionType(ir.VoidType(), [POINTER, *[I64] * 6])
        name = f"region_{self.number}" + ("_tail" if tail else "")
        function = ir.Function(self.code.module, kind, name)
        function.linkage = "internal"
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        frame, first, row, rows, unit, parity, thread = function.args
        addresses = Addresses(self.code.arrays, builder, frame)
        for array in self._used():
            addresses.prepare(array)
        stop = builder.add(row, rows)
        at = builder.alloca(I64)
        builder.store(row, at)
        for height in self.code.shape.heights:
            self._tiles(builder, addresses, height, at, stop, (first, unit, parity, thread), tail)
        builder.ret_void()
        return function

    def _tiles(
        self,
        builder: Any,
        addresses: Addresses,
        height: int,
        at: Any,
        stop: Any,
        rest: tuple[Any, ...],
        tail: bool,
    ) -> None:
        """Tiles of one height while there are rows enough, from the row kept at `at`."""
        first, unit, parity, thread = rest
        start = builder.load(at, typ=I64)
        last = builder.sub(stop, I64(height - 1))

        def body(row: Any) -> None:
            place = Place(first, row, unit, parity, thread)
            Tile(self.code, builder, addresses, place, height, tail).write()
            builder.store(builder.add(row, I64(height)), at)

        loop(builder, start, last, I64(height), body)

    def _used(self) -> list[Array]:
        found: dict[str, Array] = {}
        region = self.code.region
        given = {a.var for a in region.accumulators} | {e.var for e in region.equations}
        loads = {arg for e in region.equations for arg in e.args} | set(region.stores)
        loads |= {a.start for a in region.accumulators if a.start is not None}
        loads |= {group.operand for group in self.code.groups}
        for var in sorted(loads - given, key=lambda var: var.index):
            if var not in self.code.constants or units(var) > 1:
                array, _ = self.code.arrays.source(var)
                found[array.name] = array
        for group in self.code.groups:
            found[group.array.name] = group.array
        if self.code.arrays.storage == "int8":
            found.update({array.name: array for array in self.code.scales})
        for place in range(len(self.code.groups) if self.code.arrays.pairs else 0):
            pair = self.code.arrays.rounded[self.number, place]
            found.update({array.name: array for array in pair if array is not None})
        for var in region.stores:
            for array in (*self.code.arrays.targets(var), self.code.arrays.sum_of(var)):
                if array is not None:
                    found[array.name] = array
        return list(found.values())


def write_reduction(
    module: Any, arrays: Arrays, number: int, reduction: Reduction, shape: Shape
) -> Any:
    """`void (frame, first, row, rows, unit, parity, thread)`: sums of rows over their units."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER, *[I64] * 6])
    function = ir.Function(module, kind, f"reduction_{number}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    frame, first, row, rows, _unit, parity, thread = function.args
    source, written = arrays.source(reduction.operand)
    targets, added = arrays.targets(reduction.var), arrays.sum_of(reduction.var)
    addresses = Addresses(arrays, builder, frame)
    for array in (source, *targets, *((added,) if added else ())):
        addresses.prepare(array)
    vectors = Vectors(builder, shape.lanes, shape.double)
    zero = vectors.constant(0.0)
    size, lanes = source.size, shape.lanes

    def one_row(number: Any) -> None:
        place = Place(first, number, I64(0), parity, thread)
        start = addresses.row(builder, source, place, 0, written=written)
        total = zero
        for unit in range(0, size, lanes):
            part = load_part(module, builder, start, unit, size, vectors)
            total = vectors.emit("add", [total, part])
        value = _across(builder, total, shape)
        for target in targets:
            address = addresses.row(builder, target, place, 0, written=target.kind == "state")
            builder.store(value, builder.inttoptr(address, POINTER), align=shape.bytes)
        if added is not None:
            address = addresses.row(builder, added, place, 0, written=False)
            pointer = builder.inttoptr(address, POINTER)
            before = builder.load(pointer, typ=value.type, align=shape.bytes)
            builder.store(builder.fadd(before, value), pointer, align=shape.bytes)

    loop(builder, row, builder.add(row, rows), I64(1), one_row)
    builder.ret_void()
    return function


def _across(builder: Any, vector: Any, shape: Shape) -> Any:
    """The sum of a vector's lanes, by halves."""
    lanes = shape.lanes
    while lanes > 1:
        half = lanes // 2
        index = ir.VectorType(ir.IntType(32), half)
        parts = [
            builder.shuffle_vector(
                vector, vector, ir.Constant(index, [ir.IntType(32)(k + at) for k in range(half)])
            )
            for at in (0, half)
        ]
        vector = builder.fadd(*parts)
        lanes = half
    return builder.extract_element(vector, ir.IntType(32)(0))
