"""Vectorised trigonometric functions and their inverses.

sin, cos, tan: x = n π/2 + r by subtracting n times three parts of π/2 (Cody and Waite 1980); the
fused products make the first step exact. Lanes beyond 2¹⁸ take a scalar detour through the digits
of 2/π (Payne and Hanek, "Radian reduction for trigonometric functions", 1983) in integers.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from backlit.native.kernels import coefficients as table
from backlit.native.kernels.vector import Vec, poly

_HUGE = 2.0**18  # |n| π/2 stays exact in both types, and so does the integer in the magic sum


def _reduce(x: Vec) -> tuple[Vec, Vec]:
    """(n, r): x = n π/2 + r mod 2π with |r| ≤ π/4; n an integer vector (its two low bits count)."""
    magic = x.lanes.format.round_magic
    high, middle, low = table.PI_2[x.lanes.dtype]
    shifted = x.fma(2.0 / math.pi, magic)
    whole = shifted - magic
    r = whole.fma(-low, whole.fma(-middle, whole.fma(-high, x)))
    return _reduce_huge_lanes(x, shifted.bits(), r)


def _reduce_huge_lanes(x: Vec, n: Vec, r: Vec) -> tuple[Vec, Vec]:
    """Replace n and r in the lanes where |x| is huge; a branch that is almost never taken."""
    lanes, builder = x.lanes, x.lanes.builder
    huge = x.abs() > _HUGE
    before = builder.block
    with builder.if_then(huge.any(), likely=False):
        function = _payne_hanek(builder.module)
        index_type = ir.IntType(32)
        wide = lanes.float_type.element
        loop, done = builder.append_basic_block("huge"), builder.append_basic_block("huge_done")
        entry = builder.block
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(index_type)
        n_phi, r_phi = builder.phi(n.ir.type), builder.phi(r.ir.type)
        lane = builder.extract_element(x.ir, i)
        argument = lane if lanes.dtype == "float64" else builder.fpext(lane, ir.DoubleType())
        pair = builder.call(function, [argument])
        quadrant, rest = builder.extract_value(pair, 0), builder.extract_value(pair, 1)
        if lanes.dtype == "float32":
            quadrant, rest = builder.trunc(quadrant, ir.IntType(32)), builder.fptrunc(rest, wide)
        is_huge = builder.extract_element(huge.ir, i)
        n_next = builder.select(is_huge, builder.insert_element(n_phi, quadrant, i), n_phi)
        r_next = builder.select(is_huge, builder.insert_element(r_phi, rest, i), r_phi)
        following = builder.add(i, index_type(1))
        for phi, first, next_value in (
            (i, index_type(0), following),
            (n_phi, n.ir, n_next),
            (r_phi, r.ir, r_next),
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(next_value, loop)
        again = builder.icmp_unsigned("<", following, index_type(lanes.width))
        builder.cbranch(again, loop, done)
        builder.position_at_end(done)
    n_out, r_out = builder.phi(n.ir.type), builder.phi(r.ir.type)
    for phi, plain, fixed in ((n_out, n.ir, n_next), (r_out, r.ir, r_next)):
        phi.add_incoming(plain, before)
        phi.add_incoming(fixed, done)
    return Vec(lanes, n_out), Vec(lanes, r_out)


def _payne_hanek(module: Any) -> Any:
    """`{i64 n, double r} (double x)` for finite |x| ≥ 1, exact to the last bits of r.

    x = M 2ᴱ with a 53-bit integer M. Of 2/π, digits before position E - 1 contribute multiples of
    four to M 2ᴱ 2/π; the 192 digits from there on, times M, modulo 2¹⁹², are n (two bits) and the
    fraction (190 bits, of which at most 64 cancel).
    """
    name = "backlit.payne_hanek"
    if name in module.globals:
        return module.globals[name]
    i64, i192, i256, f64 = ir.IntType(64), ir.IntType(192), ir.IntType(256), ir.DoubleType()
    words = ir.GlobalVariable(module, ir.ArrayType(i64, len(table.TWO_OVER_PI)), name + ".digits")
    words.initializer = ir.Constant(words.value_type, [i64(w) for w in table.TWO_OVER_PI])
    words.global_constant, words.linkage = True, "internal"
    pair_type = ir.LiteralStructType([i64, f64])
    function = ir.Function(module, ir.FunctionType(pair_type, [f64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block())
    x = function.args[0]
    bits = b.bitcast(x, i64)
    biased = b.and_(b.lshr(bits, i64(52)), i64(0x7FF))
    mantissa = b.or_(b.and_(bits, i64((1 << 52) - 1)), i64(1 << 52))
    # Digit E - 1 of 2/π (counted from 1) has index E - 2 after 64 leading zeros: E + 62,
    # with E = biased - 1075. Ordinary lanes pass through too; they stay inside the table.
    clamped = b.select(b.icmp_unsigned(">", biased, i64(2046)), i64(2046), biased)
    clamped = b.select(b.icmp_unsigned("<", biased, i64(1023)), i64(1023), clamped)
    offset = b.sub(clamped, i64(1013))
    first = b.lshr(offset, i64(6))
    window = i256(0)
    for k in range(4):
        word = b.load(b.gep(words, [i64(0), b.add(first, i64(k))]))
        window = b.or_(b.shl(window, i256(64)), b.zext(word, i256))
    window = b.shl(window, b.zext(b.and_(offset, i64(63)), i256))
    digits = b.trunc(b.lshr(window, i256(64)), i192)
    product = b.mul(digits, b.zext(mantissa, i192))
    fraction = b.shl(product, i192(2))  # signed, in units of 2⁻¹⁹²: rounds n to nearest
    below = b.icmp_signed("<", fraction, i192(0))
    n = b.add(b.trunc(b.lshr(product, i192(190)), i64), b.zext(below, i64))
    size = b.select(below, b.neg(fraction), fraction)
    zeros = b.ctlz(size, ir.IntType(1)(0))
    top = b.trunc(b.lshr(b.shl(size, zeros), i192(128)), i64)
    scale_bits = b.shl(b.sub(i64(1023 - 64), b.trunc(zeros, i64)), i64(52))
    r = b.fmul(b.uitofp(top, f64), b.bitcast(scale_bits, f64))
    r = b.fmul(r, f64(math.pi / 2))
    negative = b.icmp_signed("<", bits, i64(0))
    r = b.select(b.xor(negative, below), b.fneg(r), r)
    n = b.select(negative, b.neg(n), n)
    r = b.select(b.icmp_unsigned(">", biased, i64(2046)), f64(math.nan), r)
    pair = b.insert_value(ir.Constant(pair_type, ir.Undefined), n, 0)
    b.ret(b.insert_value(pair, r, 1))
    return function


def _sin_cos_reduced(r: Vec) -> tuple[Vec, Vec]:
    """(sin r, cos r) for |r| ≤ π/4."""
    z = r * r
    sine = (r * z).fma(poly(z, table.SIN[r.lanes.dtype]), r)
    cosine = z * z.fma(poly(z, table.COS[r.lanes.dtype]), -0.5) + 1.0
    return sine, cosine


def _quadrant(n: Vec, sine: Vec, cosine: Vec) -> Vec:
    """sin of n π/2 + r, from r's sine and cosine."""
    value = ((n & 1) == 0).select(sine, cosine)
    sign = (n & 2) << (n.lanes.format.bits - 2)
    return (value.bits() ^ sign).as_float()


def sin(x: Vec) -> Vec:
    n, r = _reduce(x)
    result = _quadrant(n, *_sin_cos_reduced(r))
    return (x == 0).select(x, result)  # keeps -0


def cos(x: Vec) -> Vec:
    n, r = _reduce(x)
    return _quadrant(n + 1, *_sin_cos_reduced(r))


def tan(x: Vec) -> Vec:
    if x.lanes.dtype == "float32":
        return tan(x.to_dtype("float64")).to_dtype("float32")
    n, r = _reduce(x)
    sine, cosine = _sin_cos_reduced(r)
    odd = (n & 1) != 0
    result = odd.select(-cosine, sine) / odd.select(sine, cosine)
    return (x == 0).select(x, result)


def _atan_ratio(low: Vec, high: Vec) -> Vec:
    """atan(low / high) for 0 ≤ low ≤ high, high > 0: the ratio folds at tan(π/8) about π/4."""
    lanes = low.lanes
    fold = low > high * (math.sqrt(2.0) - 1.0)
    # Only lanes with low > 0.41 high fold, so halving large ones loses nothing to underflow.
    shrink = (high > 1.0).select(0.5, 1.0)
    sum_, difference = low * shrink + high * shrink, low * shrink - high * shrink
    t = fold.select(difference, low) / fold.select(sum_, high)
    z = t * t
    offset_high, offset_low = table.PI_4[lanes.dtype]
    tail = (t * z).fma(poly(z, table.ATAN[lanes.dtype]), fold.select(offset_low, lanes.const(0.0)))
    return fold.select(offset_high + (t + tail), t + tail)


def atan(x: Vec) -> Vec:
    return atan2(x, x.lanes.const(1.0))


def atan2(y: Vec, x: Vec) -> Vec:
    """The angle of the point (x, y), with C's rules for zeros and infinities."""
    if x.lanes.dtype == "float32":
        return atan2(y.to_dtype("float64"), x.to_dtype("float64")).to_dtype("float32")
    ay, ax = y.abs(), x.abs()
    steep = ay > ax
    low, high = steep.select(ax, ay), steep.select(ay, ax)
    # 0/0 and ∞/∞ stand for the ratios 0 and 1.
    high = (high == 0).select(1.0, high)
    both_infinite = low == math.inf
    low, high = both_infinite.select(1.0, low), both_infinite.select(1.0, high)
    angle = _atan_ratio(low, high)
    quarter, quarter_low, _ = table.PI_2[x.lanes.dtype]
    angle = steep.select(quarter - (angle - quarter_low), angle)
    left = x.bits() < 0
    angle = left.select(2.0 * quarter - (angle - 2.0 * quarter_low), angle)
    nan = (x.is_nan()) | (y.is_nan())
    return nan.select(math.nan, angle).copysign(y)


def _asin_parts(x: Vec) -> tuple[Vec, Vec, Vec]:
    """(large, s, tail): s + tail is asin |x| or, where |x| > 1/2, asin √((1 - |x|) / 2)."""
    a = x.abs()
    large = a > 0.5
    z = large.select((1.0 - a) * 0.5, a * a)
    s = large.select(z.sqrt(), a)
    return large, s, s * z * poly(z, table.ASIN[x.lanes.dtype])


def asin(x: Vec) -> Vec:
    """Beyond 1/2: π/2 - 2 asin √((1 - |x|) / 2), the difference with π/2 taken before the tail."""
    large, s, tail = _asin_parts(x)
    quarter, quarter_low, _ = table.PI_2[x.lanes.dtype]
    outer = (quarter - s * 2.0) - (tail * 2.0 - quarter_low)
    return large.select(outer, s + tail).copysign(x)


def acos(x: Vec) -> Vec:
    """π/2 - asin x near zero; 2 asin √((1 - x) / 2) near 1 and π minus that near -1."""
    large, s, tail = _asin_parts(x)
    quarter, quarter_low, _ = table.PI_2[x.lanes.dtype]
    inner = quarter - ((s + tail).copysign(x) - quarter_low)
    angle = (s + tail) * 2.0
    outer = (x < 0).select(2.0 * quarter - (angle - 2.0 * quarter_low), angle)
    return large.select(outer, inner)
