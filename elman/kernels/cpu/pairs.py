"""Products of pairs: two numbers of 16 bits a lane meet two weights in one instruction.

What the weights multiply is rounded to 16 bits once a step, and stands in memory in pairs; so do
the weights of a panel. `brain` multiplies bfloat16, `integers` 8-bit weights with 16-bit numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu.arrays import Arrays, Group, units
from elman.kernels.cpu.memory import I64, POINTER, Addresses, Place, load_part, loop
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.vectors import Vectors

if TYPE_CHECKING:
    from elman.kernels.cpu.tile import Key, Tile

ir: Any = _llvm_ir

I16, I32 = ir.IntType(16), ir.IntType(32)
_UNROLL = 2


class Rounding:
    """Writes `void (frame, first, row, rows, unit, parity, thread)`: rounds a group's operand."""

    def __init__(self, module: Any, arrays: Arrays, number: int, place: int, shape: Shape) -> None:
        self.module, self.shape = module, shape
        self.size = units(arrays.groups[number][place].operand)
        self.source, self.written = arrays.source(arrays.groups[number][place].operand)
        self.rounded, self.factor = arrays.rounded[number, place]
        kind = ir.FunctionType(ir.VoidType(), [POINTER, *[I64] * 6])
        self.function = ir.Function(module, kind, f"rounding_{number}_{place}")
        self.function.linkage = "internal"
        self.builder = builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        frame, first, row, rows, _unit, parity, thread = self.function.args
        self.addresses = Addresses(arrays, builder, frame)
        for array in (self.source, self.rounded, *([self.factor] if self.factor else [])):
            self.addresses.prepare(array)
        self.vectors = Vectors(builder, shape.lanes, shape.double)

        def one_row(index: Any) -> None:
            self.row(Place(first, index, I64(0), parity, thread))

        loop(builder, row, builder.add(row, rows), I64(1), one_row)
        builder.ret_void()

    def row(self, at: Place) -> None:
        """Rounds one row."""
        raise NotImplementedError

    def part(self, at: Place, unit: int) -> Any:
        """A vector of the row, 0 beyond its end."""
        start = self.addresses.row(self.builder, self.source, at, 0, written=self.written)
        return load_part(self.module, self.builder, start, unit, self.size, self.vectors)

    def store(self, at: Place, unit: int, short: Any) -> None:
        """Puts a vector of 16-bit numbers into the row."""
        to = self.addresses.row(self.builder, self.rounded, at, 0, written=False)
        address = self.builder.add(to, I64(unit * 2))
        self.builder.store(short, self.builder.inttoptr(address, POINTER), align=2)


class Pairs:
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
        self.keys: list[Key] = [
            (k, row, vector)
            for k in range(len(group.products))
            for row in range(tile.height)
            for vector in range(tile.count)
        ]
        self.rounded, self.factor = tile.arrays.rounded[tile.code.number, place]

    @property
    def kind(self) -> Any:
        """Of a vector of sums."""
        raise NotImplementedError

    def add(self, totals: list[list[list[Any]]]) -> None:
        """Adds the products to the accumulators."""
        raise NotImplementedError

    def weights(self, pair: Any, k: int, vector: int) -> Any:
        """A vector of a panel's pairs of weights."""
        raise NotImplementedError

    def term(self, total: Any, numbers: Any, weights: Any) -> Any:
        """`total` with the products of two vectors of pairs added."""
        raise NotImplementedError

    def summed(self, start: dict[Key, Any]) -> dict[Key, Any]:
        """`start` with all pairs of the operand added."""
        tile, builder = self.tile, self.builder
        rows = [
            tile.addresses.row(builder, self.rounded, tile.place, row, written=False)
            for row in range(tile.height)
        ]
        count = -(-units(self.group.operand) // 2)
        rounds = count // _UNROLL
        final = dict(start)
        if rounds:
            before = builder.block
            inside, after = (builder.append_basic_block(name) for name in ("pairs", "summed"))
            builder.branch(inside)
            builder.position_at_end(inside)
            pair = builder.phi(I64)
            pair.add_incoming(I64(0), before)
            phis = {key: builder.phi(self.kind) for key in self.keys}
            final = dict(phis)
            for turn in range(_UNROLL):
                self._pair(rows, builder.add(pair, I64(turn)), final)
            following = builder.add(pair, I64(_UNROLL))
            pair.add_incoming(following, inside)
            for key, phi in phis.items():
                phi.add_incoming(start[key], before)
                phi.add_incoming(final[key], inside)
            more = builder.icmp_signed("<", following, I64(rounds * _UNROLL))
            builder.cbranch(more, inside, after)
            builder.position_at_end(after)
        for number in range(rounds * _UNROLL, count):
            self._pair(rows, I64(number), final)
        return final

    def _pair(self, rows: list[Any], pair: Any, current: dict[Key, Any]) -> None:
        weights = {
            (k, vector): self.weights(pair, k, vector)
            for k in range(len(self.group.products))
            for vector in range(self.tile.count)
        }
        for row in range(self.tile.height):
            numbers = self._broadcast(rows[row], pair)
            for k, vector in weights:
                key = (k, row, vector)
                current[key] = self.term(current[key], numbers, weights[k, vector])

    def place_of(self, pair: Any, k: int, vector: int, size: int) -> Any:
        """Where a vector of pairs of weights lies; `size` of a weight in bytes."""
        line = len(self.group.products) * self.shape.width * 2 * size
        start = self.builder.add(self.panel, self.builder.mul(pair, I64(line)))
        offset = (k * self.shape.vectors + vector) * self.shape.lanes * 2 * size
        return self.builder.inttoptr(self.builder.add(start, I64(offset)), POINTER)

    def _broadcast(self, row: Any, pair: Any) -> Any:
        """A pair of a row's numbers in every lane."""
        address = self.builder.add(row, self.builder.mul(pair, I64(4)))
        return broadcast(self.builder, address, self.shape.lanes)


def broadcast(builder: Any, address: Any, lanes: int) -> Any:
    """The 32 bits at an address in every lane."""
    wide = ir.VectorType(I32, lanes)
    both = builder.load(builder.inttoptr(address, POINTER), typ=I32, align=4)
    one = builder.insert_element(ir.Constant(wide, ir.Undefined), both, I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(wide, None))
