"""Vectorised powers and exact remainders."""

from __future__ import annotations

import math

from backlit.native.kernels import coefficients as table
from backlit.native.kernels.vecexp import _mantissa_and_exponent, exp2, log2
from backlit.native.kernels.vector import Vec, poly


def _fast_two_sum(large: Vec, small: Vec) -> tuple[Vec, Vec]:
    """large + small as a rounded sum and its error; |large| ≥ |small|."""
    total = large + small
    return total, small - (total - large)


def _log2_pair(x: Vec) -> tuple[Vec, Vec]:
    """log₂ x as a sum of two doubles, good to about 2⁻⁶⁸, for positive finite x.

    ln m = 2 s (1 + s²/3 + s⁴/5 + …) with s = (m-1)/(m+1); s, s² and 1/3 carry their errors.
    """
    m, e = _mantissa_and_exponent(x)
    f, bottom = m - 1.0, m + 1.0
    bottom_low = m - (bottom - 1.0)
    s = f / bottom
    s_low = (s.fma(-bottom, f) - s * bottom_low) / bottom
    z = s * s
    z_low = s.fma(s, -z) + s * s_low * 2.0
    third = 1.0 / 3.0
    third_low = 2.0**-54 / 3.0  # 1/3 = third + third_low
    inner, inner_low = _fast_two_sum(
        x.lanes.const(third), z * poly(z, table.ATANH_TAIL["float64"]) + third_low
    )
    # w = z · inner, then s (1 + w) = s + s w
    w = z * inner
    w_low = z.fma(inner, -w) + z.fma(inner_low, z_low * inner)
    series = s * w
    series_low = s.fma(w, -series) + s.fma(w_low, s_low * w)
    head, head_low = _fast_two_sum(s, series)
    tail = head_low + (series_low + s_low)
    # times 2 log₂ e, plus e
    factor, factor_low = (2.0 * c for c in table.LOG2_E["float64"])
    product = head * factor
    product_low = head.fma(factor, -product) + head.fma(factor_low, tail * factor)
    total, total_low = _fast_two_sum(e, product)
    exact = (e == 0).select(product, total)
    return exact, (e == 0).select(0.0, total_low) + product_low


def _power(x: Vec, y: Vec) -> Vec:
    """xʸ for positive finite x and finite y, in float64: 2 to the power y log₂ x."""
    high, low = _log2_pair(x)
    product = y * high
    rest = y.fma(high, -product) + y * low
    bounded = product.at_most(2000.0).at_least(-2000.0)
    rest = (product == bounded).select(rest, 0.0)
    magic = x.lanes.format.round_magic
    shifted = bounded + magic
    whole = shifted - magic
    n = shifted.bits() - x.lanes.const(magic).bits()
    ln2, ln2_low = table.LN2["float64"]
    fraction = bounded - whole
    head = fraction * ln2
    head_low = fraction.fma(ln2, -head) + fraction.fma(ln2_low, rest * ln2)
    r, r_low = _fast_two_sum(head, head_low)
    tail = (r * r).fma(poly(r, table.EXP["float64"]), r_low)
    return ((tail + r) + 1.0).scale(n)


def pow(x: Vec, y: Vec) -> Vec:
    """xʸ with C's rules: 1 for y = 0 or x = 1, NaN for negative x unless y is an integer."""
    if x.lanes.dtype == "float32":
        return _pow(x.to_dtype("float64"), y.to_dtype("float64"), single=True).to_dtype("float32")
    return _pow(x, y, single=False)


def _pow(x: Vec, y: Vec, *, single: bool) -> Vec:
    a = x.abs()
    ordinary = (a > 0) & (a < math.inf)
    base = ordinary.select(a, 1.0)
    if single:  # one double holds log₂ of a float well enough
        result = exp2((y * log2(base)).at_most(2000.0).at_least(-2000.0))
    else:
        result = _power(base, y)
    grows = (a > 1.0) ^ (y < 0)  # |x|ʸ is beyond 1
    limit = grows.select(math.inf, x.lanes.const(0.0))
    limit = (a == 1.0).select(1.0, limit)
    extreme = ~ordinary | (y.abs() == math.inf)
    result = extreme.select(limit, result)
    whole = x.lanes.intrinsic("trunc", y)
    is_integer = whole == y
    half = y * 0.5
    is_odd = is_integer & (x.lanes.intrinsic("trunc", half) != half) & (y.abs() < math.inf)
    negative = x.bits() < 0
    result = (negative & is_odd).select(-result, result)
    invalid = (x < 0) & ~is_integer & (x > -math.inf)
    result = (invalid | x.is_nan() | y.is_nan()).select(math.nan, result)
    return ((y == 0) | (x == 1.0)).select(1.0, result)


def fmod(x: Vec, y: Vec) -> Vec:
    """x - y trunc(x / y), exact: what remains is reduced by up to 52 bits a round.

    With a quotient q below 2⁵² truncated, or a larger one as rounded, x - q y is representable, so
    one fused multiply-add yields it without error; it may be negative, which flips a sign.
    """
    if x.lanes.dtype == "float32":
        return fmod(x.to_dtype("float64"), y.to_dtype("float64")).to_dtype("float32")
    lanes, builder = x.lanes, x.lanes.builder
    a, d = x.abs(), y.abs()
    valid = (a < math.inf) & (d > 0)
    a, d = valid.select(a, 0.0), valid.select(d, 1.0)
    before = builder.block
    loop, done = builder.append_basic_block("fmod"), builder.append_basic_block("fmod_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    a_phi, flip_phi = builder.phi(a.ir.type), builder.phi(lanes.int_type)
    rest, flipped = _fmod_round(Vec(lanes, a_phi), d)
    flip = Vec(lanes, flip_phi) ^ flipped
    for phi, first, following in (
        (a_phi, a.ir, rest.ir),
        (flip_phi, lanes.int_const(0).ir, flip.ir),
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(following, loop)
    builder.cbranch((rest >= d).any(), loop, done)
    builder.position_at_end(done)
    rest = ((flip < 0) & (rest > 0)).select(d - rest, rest)
    rest = valid.select(rest, math.nan).copysign(x)
    return ((y.abs() == math.inf) & (x.abs() < math.inf)).select(x, rest)


def _fmod_round(a: Vec, d: Vec) -> tuple[Vec, Vec]:
    """One reduction of a ≥ 0 by multiples of d: (|rest|, sign bits of the rest)."""
    step = d
    for _ in range(2):  # a quotient that overflows is taken of a scaled divisor
        step = (a / step == math.inf).select(step * 2.0**1000, step)
    quotient = a / step
    quotient = (quotient < 2.0**52).select(a.lanes.intrinsic("trunc", quotient), quotient)
    rest = quotient.fma(-step, a)
    return rest.abs(), rest.bits() & a.lanes.format.sign_bit


def remainder(x: Vec, y: Vec) -> Vec:
    """Python's and NumPy's x % y: the result has the sign of y."""
    rest = fmod(x, y)
    differs = (rest != 0) & ((rest < 0) ^ (y < 0))
    shifted = differs.select(rest + y, rest)
    return (rest == 0).select(x.lanes.const(0.0).copysign(y), shifted)
