"""Products of bfloat16, two at once in every lane, summed in float32.

The processor's own instruction does what half of a float32's bits are enough for: a layer in
bfloat16, or one under autocast. Numbers are rounded to the nearest, ties to even; sums, and all
that is done unit by unit, stay in float32.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu.memory import Place
from elman.kernels.cpu.pairs import I16, I32, Pairs, Rounding
from elman.kernels.cpu.target import Target
from elman.kernels.cpu.vectors import Vectors

ir: Any = _llvm_ir

_LANES = 16
_NAN = 0x7FC00000
_NAME = "llvm.x86.avx512bf16.dpbf16ps.512"


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_PAIRS = ir.VectorType(_BFloat(), 2 * _LANES)


def multiplies_brain(target: Target) -> bool:
    """Whether the processor has the instruction."""
    return target.bits == 32 * _LANES and target.has("avx512bf16")


def upper_half(builder: Any, vectors: Vectors, values: Any) -> Any:
    """Floats as 32-bit integers whose upper 16 bits are the nearest bfloat16; no NaN is lost."""
    wide = ir.VectorType(I32, vectors.lanes)

    def every(number: int) -> Any:
        return ir.Constant(wide, [I32(number)] * vectors.lanes)

    bits = builder.bitcast(values, wide)
    odd = builder.and_(builder.lshr(bits, every(16)), every(1))
    nearest = builder.add(bits, builder.add(odd, every(0x7FFF)))
    return builder.select(builder.fcmp_unordered("uno", values, values), every(_NAN), nearest)


def interleaved(builder: Any, vectors: Vectors, first: Any, second: Any) -> Any:
    """A pair of bfloat16 in every lane, as 32-bit integers: the first number is the lower half."""
    wide = ir.VectorType(I32, vectors.lanes)
    shift = ir.Constant(wide, [I32(16)] * vectors.lanes)
    mask = ir.Constant(wide, [I32(0xFFFF0000)] * vectors.lanes)
    low = builder.lshr(upper_half(builder, vectors, first), shift)
    return builder.or_(low, builder.and_(upper_half(builder, vectors, second), mask))


def multiply_pairs(module: Any, builder: Any, total: Any, left: Any, right: Any) -> Any:
    """`total` with both products of each lane's pairs added; pairs as 32-bit integers."""
    kind = ir.FunctionType(total.type, [total.type, _PAIRS, _PAIRS])
    function = module.globals.get(_NAME) or ir.Function(module, kind, _NAME)
    pairs = (builder.bitcast(value, _PAIRS) for value in (left, right))
    return builder.call(function, [total, *pairs])


class BrainRounding(Rounding):
    """Rounds an operand to bfloat16."""

    def row(self, at: Place) -> None:
        """Rounds one row."""
        builder, lanes = self.builder, self.shape.lanes
        shift = ir.Constant(ir.VectorType(I32, lanes), [I32(16)] * lanes)
        for unit in range(0, self.size, lanes):
            bits = builder.lshr(upper_half(builder, self.vectors, self.part(at, unit)), shift)
            self.store(at, unit, builder.trunc(bits, ir.VectorType(I16, lanes)))


class BrainProducts(Pairs):
    """The products of one group in one tile, straight into the accumulators."""

    @property
    def kind(self) -> Any:
        """Of a vector of sums."""
        return self.tile.vectors.type

    def add(self, totals: list[list[list[Any]]]) -> None:
        """Adds the products to the accumulators."""
        places = {
            (k, row, vector): (accumulator, row, vector)
            for k, (accumulator, _) in enumerate(self.group.products)
            for row in range(self.tile.height)
            for vector in range(self.tile.count)
        }
        start = {key: totals[a][row][vector] for key, (a, row, vector) in places.items()}
        for key, value in self.summed(start).items():
            a, row, vector = places[key]
            totals[a][row][vector] = value

    def weights(self, pair: Any, k: int, vector: int) -> Any:
        """A vector of a panel's pairs of weights."""
        pointer = self.place_of(pair, k, vector, 2)
        return self.builder.load(pointer, typ=ir.VectorType(I32, self.shape.lanes), align=4)

    def term(self, total: Any, numbers: Any, weights: Any) -> Any:
        """`total` with the products of two vectors of pairs added."""
        return multiply_pairs(self.tile.code.module, self.builder, total, numbers, weights)
