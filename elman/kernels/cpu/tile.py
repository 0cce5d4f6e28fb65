"""Machine code of one tile: sums of products in registers, then pointwise work on them.

The accumulators of a few rows by a few vectors of units stay in registers while the operand's units
are broadcast one by one against a panel of packed weights (the outer-product form of Goto and van
de Geijn 2008); the equations then run on the accumulators, and only their results touch memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llvmlite import ir as _llvm_ir

from elman.compiler.ir import Equation, Var
from elman.compiler.schedule import Region
from elman.kernels.cpu.arrays import Array, Arrays, Group, units
from elman.kernels.cpu.brain import BrainProducts
from elman.kernels.cpu.integers import IntegerProducts
from elman.kernels.cpu.memory import (
    I64,
    POINTER,
    Addresses,
    Place,
    load_weights,
    masked_load,
    masked_store,
    weight_bytes,
)
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.vectors import Vectors

ir: Any = _llvm_ir
_UNROLL = 4

Key = tuple[int, int, int]
"""Accumulator, row, vector."""


@dataclass(frozen=True)
class Code:
    """What every tile of a region is written from."""

    module: Any
    arrays: Arrays
    number: int
    region: Region
    groups: tuple[Group, ...]
    constants: Mapping[Var, Equation]
    shape: Shape

    @property
    def scales(self) -> list[Array]:
        """What the sums of 8-bit weights are multiplied with, one for each accumulator."""
        return [self.arrays.scales[self.number, k] for k in range(len(self.region.accumulators))]


class Tile:
    """One tile: rows from `place.row` on, a panel of units from `place.unit` on."""

    def __init__(
        self,
        code: Code,
        builder: Any,
        addresses: Addresses,
        place: Place,
        height: int,
        tail: bool,
    ) -> None:
        self.code, self.builder, self.addresses = code, builder, addresses
        self.place, self.height = place, height
        shape, region = code.shape, code.region
        self.shape, self.region, self.arrays = shape, region, code.arrays
        self.vectors = Vectors(builder, shape.lanes, shape.double)
        self.count, self.last = shape.vectors, shape.lanes
        if tail:
            rest = region.size - (shape.panels(region.size) - 1) * shape.width
            self.count = -(-rest // shape.lanes)
            self.last = rest - (self.count - 1) * shape.lanes

    def write(self) -> None:
        """Accumulates, computes and stores."""
        totals = self._starts()
        for place, group in enumerate(self.code.groups):
            if self.arrays.pairs:
                kind = BrainProducts if self.arrays.storage == "brain" else IntegerProducts
                kind(self, group, place, self._panel(group)).add(totals)
            else:
                self._multiply(group, totals)
        if self._scales_later:
            self._scale(totals)
        for vector in range(self.count):
            sums: dict[Var, Any] = {}
            for row in range(self.height):
                given = {
                    accumulator.var: totals[k][row][vector]
                    for k, accumulator in enumerate(self.region.accumulators)
                }
                self._pointwise(row, vector, given, sums)
            for var, total in sums.items():
                self._add_up(var, vector, total)

    # -- memory

    def _address(
        self, array: Array, row: int, vector: int, *, written: bool = False, whole: bool = False
    ) -> Any:
        address = self.addresses.row(self.builder, array, self.place, row, written=written)
        if not whole:
            unit = self.builder.add(self.place.unit, I64(vector * self.shape.lanes))
            address = self.builder.add(address, self.builder.mul(unit, I64(self.shape.bytes)))
        return self.builder.inttoptr(address, POINTER)

    def _masked(self, array: Array, vector: int) -> bool:
        partial = vector == self.count - 1 and self.last < self.shape.lanes
        return partial and array.kind in ("stream", "vector", "given")

    def _mask(self) -> Any:
        lanes = self.shape.lanes
        kind = ir.VectorType(ir.IntType(1), lanes)
        return ir.Constant(kind, [ir.IntType(1)(int(k < self.last)) for k in range(lanes)])

    def _load(self, var: Var, row: int, vector: int) -> Any:
        builder = self.builder
        equation = self.code.constants.get(var)
        if equation is not None and units(var) == 1:
            values = equation.attribute("values")
            assert isinstance(values, tuple)
            return self.vectors.constant(float(values[0]))
        array, written = self.arrays.source(var)
        if array.size == 1 and self.region.size > 1:
            pointer = self._address(array, row, vector, written=written, whole=True)
            element = ir.DoubleType() if self.shape.double else ir.FloatType()
            return self.vectors.splat(builder.load(pointer, typ=element, align=self.shape.bytes))
        return self.load_vector(array, row, vector, written=written)

    def load_vector(self, array: Array, row: int, vector: int, *, written: bool = False) -> Any:
        """A vector of an array's row; lanes beyond its size are 0."""
        builder = self.builder
        pointer = self._address(array, row, vector, written=written)
        if self._masked(array, vector):
            return masked_load(self.code.module, builder, pointer, self._mask(), self.vectors)
        return builder.load(pointer, typ=self.vectors.type, align=self.shape.bytes)

    def _store(self, value: Any, array: Array, row: int, vector: int) -> None:
        written = array.kind == "state"
        pointer = self._address(array, row, vector, written=written)
        if self._masked(array, vector):
            masked_store(self.code.module, self.builder, value, pointer, self._mask(), self.vectors)
        else:
            self.builder.store(value, pointer, align=self.shape.bytes)

    # -- products

    def _starts(self) -> list[list[list[Any]]]:
        zero = self.vectors.constant(0.0)
        later = self._scales_later
        return [
            [
                [
                    zero if later or a.start is None else self._load(a.start, row, vector)
                    for vector in range(self.count)
                ]
                for row in range(self.height)
            ]
            for a in self.region.accumulators
        ]

    @property
    def _scales_later(self) -> bool:
        return self.arrays.storage == "int8" and not self.arrays.pairs

    def _scale(self, totals: list[list[list[Any]]]) -> None:
        """Sums of 8-bit weights in the units that they stand for, and what they start from."""
        for k, accumulator in enumerate(self.region.accumulators):
            scale = self.code.scales[k]
            for row in range(self.height):
                for vector in range(self.count):
                    factor = self.load_vector(scale, row, vector)
                    start = (
                        self.vectors.constant(0.0)
                        if accumulator.start is None
                        else self._load(accumulator.start, row, vector)
                    )
                    total = totals[k][row][vector]
                    totals[k][row][vector] = self.vectors.fma(factor, total, start)

    def _multiply(self, group: Group, totals: list[list[list[Any]]]) -> None:
        """Adds every product of a group: for each unit of the operand, an outer product."""
        size = units(group.operand)
        array, written = self.arrays.source(group.operand)
        rows = [
            self.addresses.row(self.builder, array, self.place, row, written=written)
            for row in range(self.height)
        ]
        panel = self._panel(group)
        keys = [
            (k, row, vector)
            for k, _ in group.products
            for row in range(self.height)
            for vector in range(self.count)
        ]
        rounds = size // _UNROLL if size > 2 * _UNROLL else 0
        done = rounds * _UNROLL
        if rounds:
            start = [totals[k][row][vector] for k, row, vector in keys]
            final = self._rounds(group, rows, panel, rounds, keys, start)
            for (k, row, vector), value in zip(keys, final, strict=True):
                totals[k][row][vector] = value
        current = {key: totals[key[0]][key[1]][key[2]] for key in keys}
        for unit in range(done, size):
            self._outer(group, rows, panel, I64(unit), 0, current)
        for (k, row, vector), value in current.items():
            totals[k][row][vector] = value

    def _panel(self, group: Group) -> Any:
        """The address of this panel's weights."""
        builder, shape = self.builder, self.shape
        size = weight_bytes(self.arrays.storage, shape)
        length = units(group.operand)
        length += length % 2 if self.arrays.pairs else 0
        per_unit = length * len(group.products) * size
        start = builder.mul(self.place.unit, I64(per_unit))
        return builder.add(self.addresses.entry(group.array, "base"), start)

    def _rounds(
        self,
        group: Group,
        rows: list[Any],
        panel: Any,
        rounds: int,
        keys: list[tuple[int, int, int]],
        start: list[Any],
    ) -> list[Any]:
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        unit = builder.phi(I64)
        unit.add_incoming(I64(0), before)
        phis = [builder.phi(self.vectors.type) for _ in keys]
        for phi, value in zip(phis, start, strict=True):
            phi.add_incoming(value, before)
        current = dict(zip(keys, phis, strict=True))
        for turn in range(_UNROLL):
            self._outer(group, rows, panel, unit, turn, current)
        following = builder.add(unit, I64(_UNROLL))
        unit.add_incoming(following, builder.block)
        for phi, key in zip(phis, keys, strict=True):
            phi.add_incoming(current[key], builder.block)
        more = builder.icmp_signed("<", following, I64(rounds * _UNROLL))
        builder.cbranch(more, inside, after)
        builder.position_at_end(after)
        return [current[key] for key in keys]

    def _outer(
        self,
        group: Group,
        rows: list[Any],
        panel: Any,
        unit: Any,
        turn: int,
        current: dict[tuple[int, int, int], Any],
    ) -> None:
        """Unit `unit + turn` of the operand against its line of the panel."""
        builder, shape = self.builder, self.shape
        size = weight_bytes(self.arrays.storage, shape)
        line = len(group.products) * shape.width * size
        offset = builder.mul(unit, I64(line))
        weights: list[list[Any]] = []
        for place in range(len(group.products)):
            found: list[Any] = []
            for vector in range(self.count):
                extra = turn * line + (place * shape.vectors + vector) * shape.lanes * size
                address = builder.add(builder.add(panel, offset), I64(extra))
                found.append(
                    load_weights(
                        builder,
                        builder.inttoptr(address, POINTER),
                        self.vectors,
                        self.arrays.storage,
                    )
                )
            weights.append(found)
        element = ir.DoubleType() if shape.double else ir.FloatType()
        bytes_in = builder.mul(unit, I64(shape.bytes))
        for row in range(self.height):
            address = builder.add(builder.add(rows[row], bytes_in), I64(turn * shape.bytes))
            scalar = builder.load(
                builder.inttoptr(address, POINTER), typ=element, align=shape.bytes
            )
            broadcast = self.vectors.splat(scalar)
            for place, (k, _) in enumerate(group.products):
                for vector in range(self.count):
                    key = (k, row, vector)
                    total = current[key]
                    current[key] = self.vectors.fma(broadcast, weights[place][vector], total)

    # -- pointwise work

    def _pointwise(
        self, row: int, vector: int, given: dict[Var, Any], sums: dict[Var, Any]
    ) -> None:
        values = dict(given)

        def value(var: Var) -> Any:
            if var not in values:
                values[var] = self._load(var, row, vector)
            return values[var]

        for equation in self.region.equations:
            args = [value(arg) for arg in equation.args]
            values[equation.var] = self._emit(equation, args)
        for var in self.region.stores:
            made = value(var)
            for array in self.arrays.targets(var):
                self._store(made, array, row, vector)
            if self.arrays.sum_of(var) is not None:
                sums[var] = made if var not in sums else self.vectors.emit("add", [sums[var], made])

    def _emit(self, equation: Equation, args: list[Any]) -> Any:
        attributes: Mapping[str, Any] = dict(equation.attributes)
        return self.vectors.emit(equation.op, args, attributes)

    def _add_up(self, var: Var, vector: int, total: Any) -> None:
        array = self.arrays.sum_of(var)
        assert array is not None
        pointer = self._address(array, 0, vector)
        align = self.shape.bytes
        before = self.builder.load(pointer, typ=self.vectors.type, align=align)
        self.builder.store(self.vectors.emit("add", [before, total]), pointer, align=align)
