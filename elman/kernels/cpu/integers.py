"""Products of 8-bit weights in integers: two of them at once in every lane.

What the weights multiply is rounded to 16 bits with one scale a row, fine enough that the weights'
own rounding is all that shows; a pair of its numbers meets the pairs of a panel in one instruction
and the sums stay exact until they are scaled. On processors without that instruction 8-bit weights
are made floats one by one (`memory.load_weights`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu.arrays import Arrays, Group, units
from elman.kernels.cpu.memory import I8, I64, POINTER, Addresses, Place, loop, masked_load
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.target import Target
from elman.kernels.cpu.vectors import Vectors

if TYPE_CHECKING:
    from elman.kernels.cpu.tile import Tile

ir: Any = _llvm_ir

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_LARGEST = 32767
_STEPS = 127
_UNROLL = 2
_NAMES = {
    16: "llvm.x86.avx512.pmaddw.d.512",
    8: "llvm.x86.avx2.pmadd.wd",
    4: "llvm.x86.sse2.pmadd.wd",
}


def multiplies_pairs(target: Target) -> bool:
    """Whether the processor has the instruction."""
    return target.architecture == "x86_64"


def steps_of(size: int) -> int:
    """How many steps a row of `size` numbers may be rounded to without a sum that overflows."""
    return min(_LARGEST, (2**31 - 1) // (_STEPS * size))


def write_rounding(module: Any, arrays: Arrays, number: int, place: int, shape: Shape) -> Any:
    """`void (frame, first, row, rows, unit, parity, thread)`: rounds rows of a group's operand."""
    group = arrays.groups[number][place]
    kind = ir.FunctionType(ir.VoidType(), [POINTER, *[I64] * 6])
    function = ir.Function(module, kind, f"rounding_{number}_{place}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    frame, first, row, rows, _unit, parity, thread = function.args
    source, written = arrays.source(group.operand)
    rounded, factor = arrays.rounded[number, place]
    addresses = Addresses(arrays, builder, frame)
    for array in (source, rounded, factor):
        addresses.prepare(array)
    vectors = Vectors(builder, shape.lanes, shape.double)
    size, lanes = units(group.operand), shape.lanes

    def part(start: Any, unit: int) -> Any:
        pointer = builder.inttoptr(builder.add(start, I64(unit * shape.bytes)), POINTER)
        bits = [ir.IntType(1)(int(unit + k < size)) for k in range(lanes)]
        mask = ir.Constant(ir.VectorType(ir.IntType(1), lanes), bits)
        return masked_load(module, builder, pointer, mask, vectors)

    def one_row(index: Any) -> None:
        at = Place(first, index, I64(0), parity, thread)
        start = addresses.row(builder, source, at, 0, written=written)
        largest = vectors.constant(0.0)
        for unit in range(0, size, lanes):
            largest = vectors.emit("maximum", [largest, vectors.absolute(part(start, unit))])
        top = _largest_lane(builder, largest, lanes)
        steps = float(steps_of(size))
        tiny = ir.Constant(vectors.scalar, 1e-30)
        top = builder.select(builder.fcmp_ordered(">", top, tiny), top, tiny)
        inverse = vectors.splat(builder.fdiv(ir.Constant(vectors.scalar, steps), top))
        to = addresses.row(builder, rounded, at, 0, written=False)
        for unit in range(0, size, lanes):
            scaled = vectors.mul(part(start, unit), inverse)
            rounder = vectors.constant(vectors.format.rounder)
            whole = vectors.sub(vectors.add(scaled, rounder), rounder)
            numbers = builder.fptosi(whole, ir.VectorType(_I32, lanes))
            short = builder.trunc(numbers, ir.VectorType(_I16, lanes))
            pointer = builder.inttoptr(builder.add(to, I64(unit * 2)), POINTER)
            builder.store(short, pointer, align=2)
        value = builder.fdiv(top, ir.Constant(vectors.scalar, steps))
        place_of = addresses.row(builder, factor, at, 0, written=False)
        builder.store(value, builder.inttoptr(place_of, POINTER), align=shape.bytes)

    loop(builder, row, builder.add(row, rows), I64(1), one_row)
    builder.ret_void()
    return function


def _largest_lane(builder: Any, vector: Any, lanes: int) -> Any:
    while lanes > 1:
        half = lanes // 2
        index = ir.VectorType(_I32, half)
        low, high = (
            builder.shuffle_vector(
                vector, vector, ir.Constant(index, [_I32(k + at) for k in range(half)])
            )
            for at in (0, half)
        )
        vector = builder.select(builder.fcmp_ordered(">", low, high), low, high)
        lanes = half
    return builder.extract_element(vector, _I32(0))


class PairProducts:
    """The products of one group in one tile.

    Args:
        tile: where they are.
        group: what is multiplied.
        place: the group's number in its region.
        panel: the address of the panel's weights, `(pairs, products, width, 2)`.
    """

    def __init__(self, tile: Tile, group: Group, place: int, panel: Any) -> None:
        self.tile, self.group, self.panel = tile, group, panel
        self.builder, self.shape = tile.builder, tile.shape
        self.keys = [
            (k, row, vector)
            for k in range(len(group.products))
            for row in range(tile.height)
            for vector in range(tile.count)
        ]
        self.rounded, self.factor = tile.arrays.rounded[tile.code.number, place]
        self.wide = ir.VectorType(_I32, self.shape.lanes)
        self.pairs = ir.VectorType(_I16, 2 * self.shape.lanes)

    def add(self, totals: list[list[list[Any]]]) -> None:
        """Adds the products to the accumulators."""
        tile, builder = self.tile, self.builder
        rows = [
            tile.addresses.row(builder, self.rounded, tile.place, row, written=False)
            for row in range(tile.height)
        ]
        sums = self._sums(rows)
        vectors = tile.vectors
        for row in range(tile.height):
            at = tile.addresses.row(builder, self.factor, tile.place, row, written=False)
            pointer = builder.inttoptr(at, POINTER)
            value = builder.load(pointer, typ=vectors.scalar, align=self.shape.bytes)
            factor = vectors.splat(value)
            for k, (accumulator, _) in enumerate(self.group.products):
                for vector in range(tile.count):
                    scale = tile.load_vector(tile.code.scales[accumulator], row, vector)
                    total = builder.sitofp(sums[k, row, vector], vectors.type)
                    before = totals[accumulator][row][vector]
                    totals[accumulator][row][vector] = vectors.fma(
                        total, vectors.mul(scale, factor), before
                    )

    def _sums(self, rows: list[Any]) -> dict[tuple[int, int, int], Any]:
        builder = self.builder
        count = -(-units(self.group.operand) // 2)
        rounds = count // _UNROLL
        before = builder.block
        inside, after = builder.append_basic_block("pairs"), builder.append_basic_block("summed")
        zero = ir.Constant(self.wide, [_I32(0)] * self.shape.lanes)
        final: dict[tuple[int, int, int], Any] = dict.fromkeys(self.keys, zero)
        if rounds:
            builder.branch(inside)
            builder.position_at_end(inside)
            pair = builder.phi(I64)
            pair.add_incoming(I64(0), before)
            phis = {key: builder.phi(self.wide) for key in self.keys}
            current: dict[tuple[int, int, int], Any] = dict(phis)
            for turn in range(_UNROLL):
                self._pair(rows, builder.add(pair, I64(turn)), current)
            following = builder.add(pair, I64(_UNROLL))
            pair.add_incoming(following, inside)
            for key, phi in phis.items():
                phi.add_incoming(zero, before)
                phi.add_incoming(current[key], inside)
            more = builder.icmp_signed("<", following, I64(rounds * _UNROLL))
            builder.cbranch(more, inside, after)
            final = current
        else:
            builder.branch(after)
        builder.position_at_end(after)
        for number in range(rounds * _UNROLL, count):
            self._pair(rows, I64(number), final)
        return final

    def _pair(self, rows: list[Any], pair: Any, current: dict[tuple[int, int, int], Any]) -> None:
        builder, tile, lanes = self.builder, self.tile, self.shape.lanes
        line = len(self.group.products) * self.shape.width * 2
        start = builder.add(self.panel, builder.mul(pair, I64(line)))
        for k in range(len(self.group.products)):
            for vector in range(tile.count):
                offset = (k * self.shape.vectors + vector) * lanes * 2
                pointer = builder.inttoptr(builder.add(start, I64(offset)), POINTER)
                small = builder.load(pointer, typ=ir.VectorType(I8, 2 * lanes), align=1)
                weights = builder.sext(small, self.pairs)
                for row in range(tile.height):
                    key = (k, row, vector)
                    numbers = self._broadcast(rows[row], pair)
                    product = self._multiply(numbers, weights)
                    current[key] = builder.add(current[key], product)

    def _broadcast(self, row: Any, pair: Any) -> Any:
        """A pair of a row's numbers in every lane."""
        builder = self.builder
        address = builder.add(row, builder.mul(pair, I64(4)))
        both = builder.load(builder.inttoptr(address, POINTER), typ=_I32, align=4)
        one = builder.insert_element(ir.Constant(self.wide, ir.Undefined), both, _I32(0))
        zeros = ir.Constant(self.wide, None)
        return builder.bitcast(builder.shuffle_vector(one, one, zeros), self.pairs)

    def _multiply(self, left: Any, right: Any) -> Any:
        name = _NAMES[self.shape.lanes]
        module = self.tile.code.module
        kind = ir.FunctionType(self.wide, [self.pairs, self.pairs])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        return self.builder.call(function, [left, right])
