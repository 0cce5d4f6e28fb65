"""Vectors of floats in LLVM code: constants, comparisons, choices, bits of the exponent.

Only operations that every target lowers in line are used, so that the same text compiles for
AVX-512, AVX2, SSE2 and NEON and needs no library of mathematical functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

Value = Any  # llvmlite has no stubs


@dataclass(frozen=True)
class Format:
    """The layout of an IEEE number: width, bits of the fraction, bias of the exponent."""

    bits: int
    fraction: int
    bias: int

    @property
    def one(self) -> int:
        """The bits of 1.0; for 2**n, n is added above the fraction."""
        return self.bias << self.fraction

    @property
    def smallest(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def rounder(self) -> float:
        """x + rounder has its unit at the last bit, so that the sum rounds x to an integer.

        The integer then stands in the low bits. Rounding instructions would do as well, but SSE2
        lacks them and would call a library.
        """
        return 1.5 * 2.0**self.fraction


SINGLE = Format(32, 23, 127)
DOUBLE = Format(64, 52, 1023)


class _Repeated(ir.Constant):
    """One scalar in every lane, written once: the text is a tenth as long."""

    def get_reference(self) -> str:
        """How an instruction names the constant."""
        return f"splat ({self.constant[0]})"


class Arithmetic:
    """Arithmetic on vectors of one width and type at the end of a function being built.

    Args:
        builder: where the instructions go.
        lanes: elements of a vector.
        double: float64 instead of float32.
    """

    def __init__(self, builder: Any, lanes: int, double: bool = False) -> None:
        self.builder: Any = builder
        self.lanes: int = lanes
        self.double: bool = double
        self.format: Format = DOUBLE if double else SINGLE
        self.scalar: Any = ir.DoubleType() if double else ir.FloatType()
        self.type: Any = ir.VectorType(self.scalar, lanes)
        self._integer: Any = ir.IntType(self.format.bits)
        self._integers: Any = ir.VectorType(self._integer, lanes)

    def constant(self, value: float | Sequence[float]) -> Value:
        """One number in every lane, or one number a lane."""
        if isinstance(value, Sequence):
            if len(value) != self.lanes:
                raise ValueError(f"{len(value)} numbers for {self.lanes} lanes")
            return ir.Constant(self.type, [ir.Constant(self.scalar, float(x)) for x in value])
        return _Repeated(self.type, [ir.Constant(self.scalar, float(value))] * self.lanes)

    def _integer_constant(self, value: int) -> Value:
        wrapped = value % (1 << self.format.bits)
        return _Repeated(self._integers, [ir.Constant(self._integer, wrapped)] * self.lanes)

    def splat(self, scalar: Value) -> Value:
        """A scalar in every lane."""
        index = ir.IntType(32)
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(index, 0))
        lanes = ir.Constant(ir.VectorType(index, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def intrinsic(self, name: str, *args: Value) -> Value:
        """A call of an intrinsic function of LLVM that maps vectors to a vector."""
        full = f"llvm.{name}.v{self.lanes}f{self.format.bits}"
        function = self.builder.module.globals.get(full)
        if function is None:
            signature = ir.FunctionType(self.type, [self.type] * len(args))
            function = ir.Function(self.builder.module, signature, full)
        return self.builder.call(function, args)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x * y + z: one instruction where the processor has it, otherwise two.

        That is `llvm.fmuladd`; `llvm.fma` would call a library for each lane on processors
        without the instruction.
        """
        return self.intrinsic("fmuladd", x, y, z)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """The polynomial with these coefficients, lowest power first (Horner's scheme)."""
        value = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = self.fma(value, x, self.constant(coefficient))
        return value

    def add(self, x: Value, y: Value) -> Value:
        """x + y."""
        return self.builder.fadd(x, y)

    def sub(self, x: Value, y: Value) -> Value:
        """x - y."""
        return self.builder.fsub(x, y)

    def mul(self, x: Value, y: Value) -> Value:
        """x * y."""
        return self.builder.fmul(x, y)

    def div(self, x: Value, y: Value) -> Value:
        """x / y."""
        return self.builder.fdiv(x, y)

    def neg(self, x: Value) -> Value:
        """-x."""
        return self.builder.fneg(x)

    def absolute(self, x: Value) -> Value:
        """|x|."""
        return self.intrinsic("fabs", x)

    def compare(self, relation: str, x: Value, y: Value) -> Value:
        """A mask of the lanes where the relation holds; with a NaN only `!=` does."""
        if relation == "!=":
            return self.builder.fcmp_unordered(relation, x, y)
        return self.builder.fcmp_ordered(relation, x, y)

    def unordered(self, x: Value, y: Value) -> Value:
        """A mask of the lanes where x or y is NaN."""
        return self.builder.fcmp_unordered("uno", x, y)

    def choose(self, mask: Value, x: Value, y: Value) -> Value:
        """x where the mask is set, y elsewhere."""
        return self.builder.select(mask, x, y)

    def at_least(self, x: Value, bound: float) -> Value:
        """The greater of x and a number; NaN stays NaN (one instruction on x86)."""
        low = self.constant(bound)
        return self.choose(self.compare(">", low, x), low, x)

    def at_most(self, x: Value, bound: float) -> Value:
        """The lesser of x and a number; NaN stays NaN."""
        high = self.constant(bound)
        return self.choose(self.compare("<", high, x), high, x)

    def bits(self, x: Value) -> Value:
        """The bits of floats as integers."""
        return self.builder.bitcast(x, self._integers)

    def floats(self, bits: Value) -> Value:
        """Integers taken as the bits of floats."""
        return self.builder.bitcast(bits, self.type)

    def offset(self, bits: Value, number: int) -> Value:
        """Integers plus a number, modulo the width."""
        return self.builder.add(bits, self._integer_constant(number))

    def masked(self, bits: Value, mask: int) -> Value:
        """Integers AND a number."""
        return self.builder.and_(bits, self._integer_constant(mask))

    def flagged(self, bits: Value, flags: int) -> Value:
        """Integers OR a number."""
        return self.builder.or_(bits, self._integer_constant(flags))

    def to_exponent(self, bits: Value) -> Value:
        """Integers moved from the low bits up to the exponent."""
        return self.builder.shl(bits, self._integer_constant(self.format.fraction))

    def from_exponent(self, bits: Value) -> Value:
        """Sign and exponent moved down to the low bits."""
        return self.builder.lshr(bits, self._integer_constant(self.format.fraction))

    def is_set(self, bits: Value, flag: int) -> Value:
        """A mask of the lanes whose integers have the flag."""
        zero = self._integer_constant(0)
        return self.builder.icmp_unsigned("!=", self.masked(bits, flag), zero)

    def infinity(self) -> Value:
        """Infinity in every lane."""
        return self.constant(math.inf)
