"""Products of 8-bit weights in integers: two of them at once in every lane.

What the weights multiply is rounded to 16 bits with one scale a row, fine enough that the weights'
own rounding is all that shows; a pair of its numbers meets the pairs of a panel in one instruction
and the sums stay exact until they are scaled. On processors without that instruction 8-bit weights
are made floats one by one (`memory.load_weights`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu.memory import I8, POINTER, Place
from elman.kernels.cpu.pairs import I16, I32, Pairs, Rounding
from elman.kernels.cpu.target import Target

ir: Any = _llvm_ir

_LARGEST = 32767
_STEPS = 127
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


class IntegerRounding(Rounding):
    """Rounds an operand to integers, with the value of one step for each row."""

    def row(self, at: Place) -> None:
        """Rounds one row."""
        builder, vectors, lanes = self.builder, self.vectors, self.shape.lanes
        assert self.factor is not None
        largest = vectors.constant(0.0)
        for unit in range(0, self.size, lanes):
            largest = vectors.emit("maximum", [largest, vectors.absolute(self.part(at, unit))])
        top = _largest_lane(builder, largest, lanes)
        steps = float(steps_of(self.size))
        tiny = ir.Constant(vectors.scalar, 1e-30)
        top = builder.select(builder.fcmp_ordered(">", top, tiny), top, tiny)
        inverse = vectors.splat(builder.fdiv(ir.Constant(vectors.scalar, steps), top))
        for unit in range(0, self.size, lanes):
            scaled = vectors.mul(self.part(at, unit), inverse)
            rounder = vectors.constant(vectors.format.rounder)
            whole = vectors.sub(vectors.add(scaled, rounder), rounder)
            numbers = builder.fptosi(whole, ir.VectorType(I32, lanes))
            self.store(at, unit, builder.trunc(numbers, ir.VectorType(I16, lanes)))
        value = builder.fdiv(top, ir.Constant(vectors.scalar, steps))
        address = self.addresses.row(builder, self.factor, at, 0, written=False)
        builder.store(value, builder.inttoptr(address, POINTER), align=self.shape.bytes)


def _largest_lane(builder: Any, vector: Any, lanes: int) -> Any:
    while lanes > 1:
        half = lanes // 2
        index = ir.VectorType(I32, half)
        low, high = (
            builder.shuffle_vector(
                vector, vector, ir.Constant(index, [I32(k + at) for k in range(half)])
            )
            for at in (0, half)
        )
        vector = builder.select(builder.fcmp_ordered(">", low, high), low, high)
        lanes = half
    return builder.extract_element(vector, I32(0))


class IntegerProducts(Pairs):
    """The products of one group in one tile: exact sums, which are then scaled."""

    @property
    def kind(self) -> Any:
        """Of a vector of sums."""
        return ir.VectorType(I32, self.shape.lanes)

    def add(self, totals: list[list[list[Any]]]) -> None:
        """Adds the products to the accumulators."""
        tile, builder, vectors = self.tile, self.builder, self.tile.vectors
        assert self.factor is not None
        zero = ir.Constant(self.kind, None)
        sums = self.summed(dict.fromkeys(self.keys, zero))
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

    def weights(self, pair: Any, k: int, vector: int) -> Any:
        """A vector of a panel's pairs of weights."""
        lanes, pointer = self.shape.lanes, self.place_of(pair, k, vector, 1)
        small = self.builder.load(pointer, typ=ir.VectorType(I8, 2 * lanes), align=1)
        return self.builder.sext(small, ir.VectorType(I16, 2 * lanes))

    def term(self, total: Any, numbers: Any, weights: Any) -> Any:
        """`total` with the products of two vectors of pairs added."""
        name, module = _NAMES[self.shape.lanes], self.tile.code.module
        kind = ir.FunctionType(self.kind, [weights.type, weights.type])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        pairs = self.builder.bitcast(numbers, weights.type)
        return self.builder.add(total, self.builder.call(function, [pairs, weights]))
