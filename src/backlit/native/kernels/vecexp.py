"""Vectorised exponentials and logarithms, and what is made of them.

exp: x = n ln 2 + r with |r| ≤ ln 2 / 2, eˣ = 2ⁿ eʳ (Cody and Waite, "Software Manual for the
Elementary Functions", 1980, with fused multiply-adds in place of their exact products).
log: x = 2ᵉ m with √½ ≤ m ≤ √2 and a polynomial in m - 1 (float32) or in (m-1)/(m+1) (float64).
Errors are bounded by the tests in `tests/native/test_vecmath.py`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from backlit.native.kernels import coefficients as table
from backlit.native.kernels.vector import Vec, poly

# Where 2ⁿ over- and underflows, widened by one so that the clamped argument still does.
_EXP_RANGE = {"float32": (-105.0, 90.0), "float64": (-747.0, 711.0)}
_EXP2_RANGE = {"float32": (-151.0, 129.0), "float64": (-1076.0, 1025.0)}
# Just beyond the largest argument with a finite result.
_EXPM1_HIGH = {"float32": 88.73, "float64": 709.79}
# Arguments between which sigmoid changes, and by how many binades a tiny result is scaled.
_SIGMOID_RANGE = {"float32": (-105.0, 80.0, 64), "float64": (-747.0, 700.0, 512)}
# tanh rounds to ±1 beyond this.
_TANH_RANGE = {"float32": 9.25, "float64": 19.25}
# Up to where erf is a polynomial.
_ERF_SPLIT = {"float32": 0.98, "float64": 0.9}


class _Reduced(NamedTuple):
    """x = n ln 2 + r: n as an integer and as a float, r rounded, and r as an exact sum of two."""

    n: Vec
    whole: Vec
    r: Vec
    high: Vec
    low: Vec


def _reduce(x: Vec) -> _Reduced:
    """Split x, |r| ≤ ln 2 / 2; |x| must be far below 2^mantissa."""
    magic = x.lanes.format.round_magic
    ln2, ln2_low = table.LN2[x.lanes.dtype]
    shifted = x.fma(table.LOG2_E[x.lanes.dtype][0], magic)
    whole = shifted - magic
    n = shifted.bits() - x.lanes.const(magic).bits()
    high = whole.fma(-ln2, x)
    return _Reduced(n, whole, whole.fma(-ln2_low, high), high, whole * -ln2_low)


def _expm1_reduced(part: _Reduced) -> Vec:
    """eʳ - 1 for |r| ≤ ln 2 / 2, to relative precision."""
    r = part.r
    return (r * r).fma(poly(r, table.EXP[r.lanes.dtype]), part.low) + part.high


def exp_scaled(x: Vec, exponent: int = 0) -> Vec:
    """2^exponent eˣ, without overflow in between."""
    low, high = _EXP_RANGE[x.lanes.dtype]
    part = _reduce(x.at_most(high - exponent).at_least(low))
    n, whole = part.n, part.whole
    if exponent:
        n, whole = n + exponent, whole + exponent
    return poly(part.r, (1.0, 1.0, *table.EXP[x.lanes.dtype])).scale(n, whole)


def exp(x: Vec) -> Vec:
    return exp_scaled(x)


def exp2(x: Vec) -> Vec:
    low, high = _EXP2_RANGE[x.lanes.dtype]
    clamped = x.at_most(high).at_least(low)
    shifted = clamped + x.lanes.format.round_magic
    whole = shifted - x.lanes.format.round_magic
    n = shifted.bits() - x.lanes.const(x.lanes.format.round_magic).bits()
    ln2, ln2_low = table.LN2[x.lanes.dtype]
    fraction = clamped - whole
    r = fraction * ln2
    # The two rounding errors of r, so that the result is as good as exp's.
    low_part = fraction.fma(ln2_low, fraction.fma(ln2, -r))
    y = (r * r).fma(poly(r, table.EXP[x.lanes.dtype]), low_part) + r
    return (y + 1.0).scale(n)


def expm1(x: Vec) -> Vec:
    """2ⁿ p + (2ⁿ - 1) with p = eʳ - 1, in halves: 2ⁿ may overflow while the result does not."""
    part = _reduce(x.at_most(_EXPM1_HIGH[x.lanes.dtype]).at_least(-40.0))  # -1 below -38
    half_power = x.lanes.pow2(part.n - 1)
    result = half_power.fma(_expm1_reduced(part), half_power - 0.5) * 2.0
    small = (x * x).fma(poly(x, table.EXP[x.lanes.dtype]), x)
    # For n = 0, halving and doubling would cost a denormal its last bit.
    return (x.abs() < 0.25).select(small, result).copysign(x)


def sigmoid(x: Vec) -> Vec:
    """1 / (1 + E) with E = e⁻ˣ = 2ⁿ(1 + p) in parts.

    Where E would overflow, both sides of the fraction are multiplied by a power of two.
    """
    low, high, shift = _SIGMOID_RANGE[x.lanes.dtype]
    part = _reduce(-x.at_most(high).at_least(low))
    deep = x < low / 2.0
    unit = deep.select(2.0**-shift, x.lanes.const(1.0))
    n = deep.select(part.n - shift, part.n)
    power = x.lanes.pow2(n)
    # The larger of 2ⁿ and 1 is added last: only that sum is rounded at the size of the result.
    grows = power > unit
    smaller, larger = grows.select(unit, power), grows.select(power, unit)
    return unit / (power.fma(_expm1_reduced(part), smaller) + larger)


def tanh(x: Vec) -> Vec:
    """x + x³ P(x²) to |x| = 0.625, beyond it 1 - 2 / (E + 1) with E = e²ˣ = 2ⁿ(1 + p) in parts."""
    a, z = x.abs(), x * x
    small = (x * z).fma(poly(z, table.TANH[x.lanes.dtype]), x)
    part = _reduce(a.at_most(_TANH_RANGE[x.lanes.dtype]) * 2.0)
    power = x.lanes.pow2(part.n)
    large = 1.0 - 2.0 / (power.fma(_expm1_reduced(part), 1.0) + power)
    return (a < 0.625).select(small, large).copysign(x)


def cosh(x: Vec) -> Vec:
    """h + 1 / (4h) with h = e^|x| / 2, which overflows only where cosh does."""
    half = exp_scaled(x.abs(), -1)
    return half + 0.25 / half


def sinh(x: Vec) -> Vec:
    half = exp_scaled(x.abs(), -1)
    z = x * x
    small = (x * z).fma(poly(z, table.SINH[x.lanes.dtype]), x)
    return (x.abs() < 1.0).select(small, (half - 0.25 / half).copysign(x))


def _mantissa_and_exponent(x: Vec) -> tuple[Vec, Vec]:
    """(m, e) with x = 2ᵉ m and √½ ≤ m ≤ √2, for positive finite x; e is a float vector."""
    form = x.lanes.format
    denormal = x < form.tiny
    scaled = denormal.select(x * 2.0**form.mantissa, x)
    bits = scaled.bits()
    e = (bits - x.lanes.const(math.sqrt(0.5)).bits()) >> form.mantissa
    m = (bits - (e << form.mantissa)).as_float()
    e_float = e.to_float()
    return m, denormal.select(e_float - float(form.mantissa), e_float)


def _log_tail(f: Vec) -> Vec:
    """ln(1 + f) - f for √½ ≤ 1 + f ≤ √2."""
    if f.lanes.dtype == "float32":
        z = f * f
        return z * (f * poly(f, table.LOG_F["float32"]) - 0.5)
    half_square = f * f * 0.5
    s = f / (f + 2.0)
    z = s * s
    r = z * poly(z, table.LOG_S["float64"])
    return s * (half_square + r) - half_square


def _log_special(x: Vec, result: Vec) -> Vec:
    """The result for zero, negative, infinite and NaN arguments of a logarithm."""
    result = (x < math.inf).select(result, x)
    result = (x == 0).select(-math.inf, result)
    return (x < 0).select(math.nan, result)


def log(x: Vec) -> Vec:
    m, e = _mantissa_and_exponent(x)
    f = m - 1.0
    high, low = table.LN2[x.lanes.dtype]
    return _log_special(x, e.fma(high, f + e.fma(low, _log_tail(f))))


def _log_base(x: Vec, base_e: tuple[float, ...], base_2: tuple[float, ...]) -> Vec:
    """e log_b 2 + ln(m) log_b e; the leading product is kept with its rounding error."""
    m, e = _mantissa_and_exponent(x)
    f = m - 1.0
    tail = _log_tail(f)
    product = f * base_e[0]
    rest = f.fma(base_e[0], -product) + f * base_e[1]
    rest = tail.fma(base_e[0], rest)
    rest = e.fma(base_2[1], rest) if base_2[1] else rest
    # Two-sum of e log_b 2 and the product: for e ≠ 0 they may partly cancel.
    whole = e * base_2[0]
    total = whole + product
    error = (whole - total) + product if base_2[1] == 0 else e.fma(base_2[0], -total) + product
    return _log_special(x, total + (error + rest))


def log2(x: Vec) -> Vec:
    return _log_base(x, table.LOG2_E[x.lanes.dtype], (1.0, 0.0))


def log10(x: Vec) -> Vec:
    return _log_base(x, table.LOG10_E[x.lanes.dtype], table.LOG10_2[x.lanes.dtype])


def log1p(x: Vec) -> Vec:
    """ln(1 + x); the rounding error c of 1 + x enters as c / (1 + x)."""
    u = x + 1.0
    near = (x > -0.29) & (x < 0.41)
    m, e = _mantissa_and_exponent(u)
    # c is wanted to its leading bits only: away from `near` it is below half an ulp of the result.
    larger = x > 1.0
    c = larger.select(1.0 - (u - x), x - (u - 1.0))
    f = near.select(x, m - 1.0)
    correction = near.select(0.0, c / u)
    exponent = near.select(0.0, e)
    high, low = table.LN2[x.lanes.dtype]
    tail = _log_tail(f) + exponent.fma(low, correction)
    result = _log_special(u, exponent.fma(high, f + tail))
    return (x == 0).select(x, result)


def asinh(x: Vec) -> Vec:
    """ln(a + √(a² + 1)) of a = |x|, as log1p(a + a² / (1 + √(a² + 1)))."""
    if x.lanes.dtype == "float32":
        return asinh(x.to_dtype("float64")).to_dtype("float32")
    a = x.abs()
    square = a * a
    inner = a + square / ((square + 1.0).sqrt() + 1.0)
    return _log1p_or_log(a, inner).copysign(x)


def acosh(x: Vec) -> Vec:
    """ln(x + √(x² - 1)), as log1p(t + √(2t + t²)) with t = x - 1."""
    if x.lanes.dtype == "float32":
        return acosh(x.to_dtype("float64")).to_dtype("float32")
    t = x - 1.0
    inner = t + t.fma(t, t * 2.0).sqrt()
    return (x < 1.0).select(math.nan, _log1p_or_log(x, inner))


def _log1p_or_log(a: Vec, inner: Vec) -> Vec:
    """log1p(inner), or ln a + ln 2 where a² might overflow."""
    large = a > 2.0**60
    result = log1p(large.select(a, inner))
    return large.select(result + math.log(2.0), result)


def atanh(x: Vec) -> Vec:
    """½ log1p(2a / (1 - a)) of a = |x|."""
    if x.lanes.dtype == "float32":
        return atanh(x.to_dtype("float64")).to_dtype("float32")
    a = x.abs()
    result = log1p(a * 2.0 / (1.0 - a)) * 0.5
    result = (a < 2.0**-300).select(a, result)  # 2a of a denormal, halved: keep its last bit
    return (a > 1.0).select(math.nan, result).copysign(x)


def erf(x: Vec) -> Vec:
    """x (1 + P(x²)) near zero, beyond it 1 - erfc(|x|).

    In float32 erfc is the fourth power of a polynomial there: it is a sixth of the result at most.
    """
    a, z = x.abs(), x * x
    small = x.fma(poly(z, table.ERF[x.lanes.dtype]), x)
    if x.lanes.dtype == "float32":
        root = poly(a.at_most(3.96), table.ERFC_ROOT["float32"])
        tail = (root * root) * (root * root)
    else:
        tail = _erfc_positive(a)
    return (a < _ERF_SPLIT[x.lanes.dtype]).select(small, (1.0 - tail).copysign(x))


def erfc(x: Vec) -> Vec:
    if x.lanes.dtype == "float32":
        return erfc(x.to_dtype("float64")).to_dtype("float32")
    tail = _erfc_positive(x.abs())
    z = x * x
    small = (0.5 - x.fma(poly(z, table.ERF["float64"]), x)) + 0.5
    result = (x < 0).select(2.0 - tail, tail)
    return (x.abs() < 0.25).select(small, result)


def _erfc_positive(a: Vec) -> Vec:
    """erfc a = exp(-a²) G(t) / (1 + 2a), t = (a - 4) / (a + 4), for a ≥ 0 in float64.

    The form of Shepherd and Laframboise, "Chebyshev approximation of (1+2x)exp(x²)erfc x", 1981.
    """
    a = a.at_most(28.0)
    g = poly((a - 4.0) / (a + 4.0), table.ERFC["float64"])
    square = a * a
    error = a.fma(a, -square)
    # exp(-a²) = exp(-square) (1 - error)
    factor = g / (a * 2.0 + 1.0)
    return exp(-square) * factor.fma(-error, factor)
