"""Logarithms as vector code.

With s = f / (2 + f), log(1 + f) = f - s (f - R) = f - (f**2 / 2 - s (f**2 / 2 + R)), where
R = (log((1 + s) / (1 - s)) - 2 s) / s = s**2 Q(s**2). Q is the polynomial with the least largest
error of R (Remez' exchange in 50 digits), on |s| <= 0.1717 for numbers split at sqrt(2) and on
0 <= s <= 1/3 for 0 <= f <= 1.
"""

from __future__ import annotations

import math

from elman.kernels.cpu.arithmetic import Arithmetic, Value

LN2 = math.log(2.0)

# Errors of R / 2: 8.2e-10 and 1.3e-18.
_SPLIT_SINGLE = (6.666677594e-01, 3.997749686e-01, 2.987307310e-01)
_SPLIT_DOUBLE = (
    0.6666666666666735,
    0.39999999999411084,
    0.28571428743264565,
    0.22222198475797783,
    0.181835697489383,
    0.15313903031848405,
    0.14797509684210144,
)
# Errors of R / 2: 4.6e-9 and 1.4e-18.
_UNIT_SINGLE = (6.666641235e-01, 4.002169967e-01, 2.799914181e-01, 2.802446187e-01)
_UNIT_DOUBLE = (
    0.6666666666666631,
    0.4000000000015725,
    0.2857142854785334,
    0.2222222396976126,
    0.1818174392401037,
    0.15386559939515718,
    0.13300973407469327,
    0.12106087400652464,
    0.08340097529764394,
    0.17018581015390857,
)


def ln2_parts(v: Arithmetic) -> tuple[float, float]:
    """ln 2 in two parts, the first so short that a whole exponent times it is exact."""
    if v.double:
        return 0.693147180559663, 2.8235290563031577e-13
    return 0.693145751953125, 1.4286068203094173e-06


def log1p_unit(v: Arithmetic, f: Value) -> Value:
    """log(1 + f) for 0 <= f <= 1."""
    s = v.div(f, v.add(f, v.constant(2.0)))
    square = v.mul(s, s)
    series = v.polynomial(square, _UNIT_DOUBLE if v.double else _UNIT_SINGLE)
    return v.sub(f, v.mul(s, v.sub(f, v.mul(square, series))))


def log(v: Arithmetic, x: Value) -> Value:
    """The natural logarithm."""
    # Numbers below the normal ones are scaled up first (where the processor flushes them, they
    # are 0, and so is their product).
    shift = v.format.fraction + 1
    tiny = v.compare("<", x, v.constant(v.format.smallest))
    scaled = v.choose(tiny, v.mul(x, v.constant(2.0**shift)), x)
    more = v.choose(tiny, v.constant(-float(shift)), v.constant(0.0))
    return _ends(v, x, _finite(v, scaled, more, None), x)


def log1p(v: Arithmetic, x: Value) -> Value:
    """log(1 + x), with a small relative error for small x."""
    one = v.constant(1.0)
    total = v.add(x, one)
    # What the rounding of 1 + x lost (Knuth's sum) enters by the derivative 1 / (1 + x).
    back = v.sub(total, one)
    lost = v.add(v.sub(one, v.sub(total, back)), v.sub(x, back))
    value = _finite(v, total, v.constant(0.0), v.div(lost, total))
    small = v.compare("<", v.absolute(x), v.constant(2.0 ** -(v.format.fraction + 2)))
    return v.choose(small, x, _ends(v, total, value, x))


def _finite(v: Arithmetic, x: Value, more: Value, lost: Value | None) -> Value:
    """log(x) + more ln(2) + lost, for normal positive x and a small correction `lost`."""
    form = v.format
    # Split x = 2**n (1 + f) with 1 + f from sqrt(1/2) to sqrt(2): the exponent field of
    # x / sqrt(1/2) is n + bias.
    root = _bits_of_root(v)
    moved = v.offset(v.bits(x), form.one - root)
    fraction = v.masked(moved, (1 << form.fraction) - 1)
    f = v.sub(v.floats(v.offset(fraction, root)), v.constant(1.0))
    # An integer below the fraction's size, put into the fraction of 2**fraction, is a float.
    based = v.flagged(v.from_exponent(moved), (form.bias + form.fraction) << form.fraction)
    n = v.sub(v.floats(based), v.constant(2.0**form.fraction + form.bias))
    n = v.add(n, more)
    s = v.div(f, v.add(f, v.constant(2.0)))
    square = v.mul(s, s)
    rest = v.mul(square, v.polynomial(square, _SPLIT_DOUBLE if v.double else _SPLIT_SINGLE))
    half = v.mul(v.mul(f, v.constant(0.5)), f)
    high, low = ln2_parts(v)
    small = v.mul(n, v.constant(low))
    if lost is not None:
        small = v.add(small, lost)
    inner = v.fma(s, v.add(half, rest), small)
    return v.fma(n, v.constant(high), v.sub(f, v.sub(half, inner)))


def _ends(v: Arithmetic, x: Value, value: Value, argument: Value) -> Value:
    """The value where 0 < x < infinity, and the limits, or NaN, elsewhere."""
    value = v.choose(v.compare("<", x, v.infinity()), value, argument)
    nothing = v.constant(0.0)
    at_zero = v.choose(v.compare("==", x, nothing), v.constant(-math.inf), v.constant(math.nan))
    return v.choose(v.compare("<=", x, nothing), at_zero, value)


def _bits_of_root(v: Arithmetic) -> int:
    """The bits of sqrt(1/2)."""
    fraction = round((math.sqrt(2.0) - 1.0) * 2.0**v.format.fraction)
    return ((v.format.bias - 1) << v.format.fraction) + fraction
