"""The remainder with the divisor's sign, exact as torch's."""

from __future__ import annotations

from llvmlite import ir

from elman.kernels.cpu.arithmetic import Arithmetic, Value


def remainder(v: Arithmetic, x: Value, y: Value) -> Value:
    """x - floor(x / y) y, without the rounding of the quotient and the product.

    For quotients that fit into a fraction, x - round(x / y) y is exact in one fused step. Other
    lanes (and infinities and NaN) go the slow way through the library, in a block of their own.
    """
    builder = v.builder
    quotient = v.div(x, y)
    rounder = v.constant(v.format.rounder)
    whole = v.sub(v.add(quotient, rounder), rounder)
    # Here the single rounding is what makes the result exact, so it is worth a library call on
    # processors without the instruction.
    quick = v.intrinsic("fma", v.neg(whole), y, x)
    limit = v.constant(2.0 ** (v.format.fraction - 2))
    usual = builder.and_(
        v.compare("<", v.absolute(quotient), limit),
        builder.fcmp_ordered("ord", quick, quick),
    )
    quick = _signed(v, quick, y)
    before = builder.block
    with builder.if_then(builder.not_(_all(v, usual)), likely=False):
        slow = _signed(v, builder.frem(x, y), y)
        slow_block = builder.block
    value = builder.phi(v.type)
    value.add_incoming(quick, before)
    value.add_incoming(slow, slow_block)
    return value


def _signed(v: Arithmetic, rest: Value, y: Value) -> Value:
    """A remainder moved to the side of zero where the divisor is."""
    nothing = v.constant(0.0)
    below = v.compare("<", rest, nothing)
    opposite = v.builder.xor(below, v.compare("<", y, nothing))
    wrong = v.builder.and_(v.compare("!=", rest, nothing), opposite)
    return v.choose(wrong, v.add(rest, y), rest)


def _all(v: Arithmetic, mask: Value) -> Value:
    """True when every lane of a mask is set."""
    name = f"llvm.vector.reduce.and.v{v.lanes}i1"
    function = v.builder.module.globals.get(name)
    if function is None:
        function = ir.Function(v.builder.module, ir.FunctionType(ir.IntType(1), [mask.type]), name)
    return v.builder.call(function, [mask])
