"""The exponential and its relatives as vector code.

All of them split x = n ln 2 + r with an integer n and |r| <= ln(2) / 2, so that
exp(x) = 2**n exp(r), and take exp(r) = 1 + r + r**2 P(r). P is the polynomial whose expm1(r) has
the least largest relative error on that interval (Remez' exchange in 50 digits): 1.4e-8 with the
five coefficients of float32, 1.9e-17 with the ten of float64.

Each function clamps its argument only where its value no longer changes; comparisons are
written so that a NaN passes through them.
"""

from __future__ import annotations

from dataclasses import dataclass

from elman.kernels.cpu.arithmetic import Arithmetic, Value
from elman.kernels.cpu.logarithms import LN2, ln2_parts, log1p_unit

# Dividend and divisor of sigmoid and tanh are multiplied by this, which costs nothing. Where a
# quotient lies just under a power of 2, its unit is relatively small; without the factor the
# divisor would then often lie just over a power of 2 and be rounded relatively coarsely.
SCALE = 1.5


@dataclass(frozen=True)
class _Constants:
    """The last argument of exp before infinity; P, lowest power first."""

    highest: float
    series: tuple[float, ...]


_SINGLE = _Constants(
    88.72283172607422,
    (4.999999702e-01, 1.666654348e-01, 4.166721553e-02, 8.366630413e-03, 1.388126635e-03),
)
_DOUBLE = _Constants(
    709.782712893384,
    (
        0.5000000000000006,
        0.16666666666666585,
        0.041666666666575626,
        0.008333333333392378,
        0.0013888888931972694,
        0.00019841269712000197,
        2.4801504747043514e-05,
        2.7557414441097748e-06,
        2.7626259541911206e-07,
        2.5051424606444803e-08,
    ),
)


def _constants(v: Arithmetic) -> _Constants:
    return _DOUBLE if v.double else _SINGLE


def _reduced(v: Arithmetic, x: Value, bias: int) -> tuple[Value, Value]:
    """r, and integers whose low bits are n + bias."""
    high, low = ln2_parts(v)
    rounder = v.constant(v.format.rounder + bias)
    shifted = v.fma(x, v.constant(1.0 / LN2), rounder)
    n = v.sub(shifted, rounder)
    r = v.fma(n, v.constant(-high), x)
    return v.fma(n, v.constant(-low), r), v.bits(shifted)


def _power(v: Arithmetic, biased: Value) -> Value:
    """2**n from integers whose low bits are n + bias; bias + 1 gives infinity, -bias 0."""
    return v.floats(v.to_exponent(biased))


def _exp_reduced(v: Arithmetic, r: Value) -> Value:
    return v.polynomial(r, (1.0, 1.0, *_constants(v).series))


def _expm1_reduced(v: Arithmetic, r: Value) -> Value:
    return v.fma(v.mul(r, r), v.polynomial(r, _constants(v).series), r)


def exp(v: Arithmetic, x: Value) -> Value:
    """e to the x; results below the normal numbers are 0."""
    r, n = _reduced(v, x, 0)
    # Adding to the exponent reaches from the smallest normal number to the largest in one step,
    # which a product with 2**n does not: the largest numbers need n = bias + 1 and exp(r) < 1.
    scaled = v.floats(v.builder.add(v.bits(_exp_reduced(v, r)), v.to_exponent(n)))
    low = v.compare("<", x, v.constant((1 - v.format.bias) * LN2))
    scaled = v.choose(low, v.constant(0.0), scaled)
    inside = v.compare("<=", x, v.constant(_constants(v).highest))
    return v.choose(inside, scaled, v.add(x, v.infinity()))


def exp_negative(v: Arithmetic, x: Value) -> Value:
    """e to the x for x <= 0."""
    r, biased = _reduced(v, v.at_least(x, -v.format.bias * LN2), v.format.bias)
    return v.mul(_exp_reduced(v, r), _power(v, biased))


def expm1(v: Arithmetic, x: Value) -> Value:
    """e to the x, less 1."""
    # Half the value is (2**(n-1) expm1(r)) + (2**(n-1) - 1/2), which cannot overflow before it is
    # doubled. Below the lower bound the value is -1; the upper one lies just beyond overflow.
    bounded = v.at_least(x, -(v.format.fraction + 5) * LN2)
    bounded = v.at_most(bounded, (v.format.bias + 1.04) * LN2)
    r, biased = _reduced(v, bounded, v.format.bias - 1)
    power = _power(v, biased)
    half = v.fma(_expm1_reduced(v, r), power, v.sub(power, v.constant(0.5)))
    small = v.compare("<", v.absolute(x), v.constant(2.0 ** -(v.format.fraction + 2)))
    return v.choose(small, x, v.add(half, half))


def sigmoid(v: Arithmetic, x: Value) -> Value:
    """1 / (1 + exp(-x)), with a small relative error for negative x too."""
    bounded = v.at_most(v.at_least(x, -(v.format.bias + 1) * LN2), (v.format.bias - 1) * LN2)
    r, biased = _reduced(v, v.neg(bounded), v.format.bias)
    scaled = v.polynomial(r, [SCALE * c for c in (1.0, 1.0, *_constants(v).series)])
    unit = v.constant(SCALE)
    return v.div(unit, v.fma(scaled, _power(v, biased), unit))


def tanh(v: Arithmetic, x: Value) -> Value:
    """h / (h + 1) with h = expm1(2 |x|) / 2, and the sign of x."""
    # Beyond the bound 1 - tanh is less than half a unit.
    bound = (v.format.fraction + 3.25) * LN2 / 2
    bounded = v.at_most(v.absolute(x), bound)
    rounder = v.constant(v.format.rounder + v.format.bias)
    shifted = v.fma(bounded, v.constant(2.0 / LN2), rounder)
    # n is small here, and where it is not the value hardly depends on r: one part of ln 2 does.
    half_r = v.fma(v.sub(shifted, rounder), v.constant(-LN2 / 2), bounded)
    power = _power(v, v.bits(shifted))
    # expm1(2 u) / 2 = u + u**2 Q(u): the coefficients of P times powers of 2.
    series = [SCALE * c * 2.0 ** (k + 1) for k, c in enumerate(_constants(v).series)]
    half = v.mul(half_r, v.polynomial(half_r, [SCALE, *series]))
    value = v.fma(half, power, v.fma(power, v.constant(0.5 * SCALE), v.constant(-0.5 * SCALE)))
    return v.intrinsic("copysign", v.div(value, v.add(value, v.constant(SCALE))), x)


def silu(v: Arithmetic, x: Value) -> Value:
    """x sigmoid(x), also where x is not small and sigmoid(x) is below the normal numbers."""
    spare = 8
    low = v.format.bias + spare + 1
    bounded = v.at_most(v.at_least(x, -low * LN2), (v.format.bias - 1) * LN2)
    r, biased = _reduced(v, v.neg(bounded), v.format.bias)
    # (x / 2**spare) / (1 / 2**spare + exp(-x) / 2**spare), where nothing overflows too early.
    exponents = v.to_exponent(biased)
    lowered = v.offset(exponents, -spare << v.format.fraction)
    negative = v.compare("<", x, v.constant(-float(spare)))
    power = v.floats(v.choose(negative, lowered, exponents))
    unit = v.choose(negative, v.constant(2.0**-spare), v.constant(1.0))
    return v.div(v.mul(x, unit), v.fma(_exp_reduced(v, r), power, unit))


def softplus(v: Arithmetic, x: Value) -> Value:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    tail = log1p_unit(v, exp_negative(v, v.neg(v.absolute(x))))
    return v.add(v.at_least(x, 0.0), tail)


def logsigmoid(v: Arithmetic, x: Value) -> Value:
    """log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|))."""
    tail = log1p_unit(v, exp_negative(v, v.neg(v.absolute(x))))
    return v.sub(v.at_most(x, 0.0), tail)
