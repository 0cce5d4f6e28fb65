"""Sine and cosine as vector code.

x = n pi/2 + r with |r| <= pi/4, always reduced in float64 with pi/2 in four parts; then sin(r) =
r + r**3 S(r**2) and cos(r) = 1 - r**2 / 2 + r**4 C(r**2), whose coefficients have the least
largest relative errors (Remez' exchange in 50 digits: below 4e-9 and 4e-18). For |x| up to 1e6 the
error is a few units in the last place; from there on it grows, and the value stays within 1.
"""

from __future__ import annotations

import math

from llvmlite import ir

from elman.kernels.cpu.arithmetic import DOUBLE, Arithmetic, Value

# Parts of 33 bits: n times them is exact for n < 2**20.
_HALF_PI = (
    1.5707963267341256,
    6.077100506303966e-11,
    2.0222662487111665e-21,
    8.4784276603689e-32,
)
_SINE_SINGLE = (-1.666665524e-01, 8.332158439e-03, -1.951495797e-04)
_SINE_DOUBLE = (
    -0.1666666666666663,
    0.008333333333322063,
    -0.00019841269829542384,
    2.755731360445716e-06,
    -2.5050745028200108e-08,
    1.589606701317501e-10,
)
_COSINE_SINGLE = (4.166664556e-02, -1.388731296e-03, 2.443278572e-05)
_COSINE_DOUBLE = (
    0.041666666666666595,
    -0.0013888888888872975,
    2.4801587288800075e-05,
    -2.7557314163989447e-07,
    2.087569871017427e-09,
    -1.1358423597005132e-11,
)


def sin(v: Arithmetic, x: Value) -> Value:
    """The sine."""
    r, quadrant = _reduced(v, x)
    return _turned(v, r, quadrant)


def cos(v: Arithmetic, x: Value) -> Value:
    """The cosine."""
    r, quadrant = _reduced(v, x)
    return _turned(v, r, v.offset(quadrant, 1))


def _reduced(v: Arithmetic, x: Value) -> tuple[Value, Value]:
    """r, and integers whose low bits are n."""
    wide = Arithmetic(v.builder, v.lanes, double=True)
    if not v.double:
        x = v.builder.fpext(x, wide.type)
    rounder = wide.constant(DOUBLE.rounder)
    shifted = wide.fma(x, wide.constant(2.0 / math.pi), rounder)
    n = wide.sub(shifted, rounder)
    r = x
    for part in _HALF_PI:
        r = wide.fma(n, wide.constant(-part), r)
    # For huge x nothing is left of r: the bounds keep the value a cosine of something.
    r = wide.at_most(wide.at_least(r, -0.79), 0.79)
    quadrant = wide.bits(shifted)
    if v.double:
        return r, quadrant
    narrow = ir.VectorType(ir.IntType(32), v.lanes)
    return v.builder.fptrunc(r, v.type), v.builder.trunc(quadrant, narrow)


def _turned(v: Arithmetic, r: Value, quadrant: Value) -> Value:
    """sin(r + quadrant pi/2)."""
    square = v.mul(r, r)
    sine = v.polynomial(square, _SINE_DOUBLE if v.double else _SINE_SINGLE)
    sine = v.fma(v.mul(r, square), sine, r)
    cosine = v.polynomial(square, _COSINE_DOUBLE if v.double else _COSINE_SINGLE)
    cosine = v.fma(v.mul(square, square), cosine, v.fma(square, v.constant(-0.5), v.constant(1.0)))
    value = v.choose(v.is_set(quadrant, 1), cosine, sine)
    return v.choose(v.is_set(quadrant, 2), v.neg(value), value)
