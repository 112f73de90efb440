"""The scalar functions that kernels may call, by name, as emitters of vector code.

>>> sorted(n for n, f in FUNCTIONS.items() if f.arity == 2)[:4]
['add', 'and', 'atan2', 'copysign']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backlit.native.kernels import vecexp, vecpow, vectrig
from backlit.native.kernels.vector import Vec


@dataclass(frozen=True)
class Function:
    """One function: how many operands, how to emit it, its rough cost in vector instructions."""

    arity: int
    emit: Callable[..., Vec]
    cost: int = 1


def _intrinsic(name: str) -> Callable[[Vec], Vec]:
    return lambda x: x.lanes.intrinsic(name, x)


def maximum(x: Vec, y: Vec) -> Vec:
    """The larger; NaN if either is NaN, as numpy.maximum."""
    return x.is_nan().select(x, (x > y).select(x, y))


def minimum(x: Vec, y: Vec) -> Vec:
    """The smaller; NaN if either is NaN, as numpy.minimum."""
    return x.is_nan().select(x, (x < y).select(x, y))


def sign(x: Vec) -> Vec:
    """-1, 0 or 1; NaN stays."""
    nonzero = x.lanes.const(1.0).copysign(x)
    return ((x < 0) | (x > 0)).select(nonzero, x + 0.0)


def relu(x: Vec) -> Vec:
    """max(x, 0); NaN stays."""
    return x.at_least(0.0)


class Divisor:
    """A vector that many are divided by: each then costs six instructions, not 10 to 16 cycles.

    x / y is q = x r with r = 1 / y, corrected by the exact remainder of q (Markstein, "Computation
    of elementary functions on the IBM RISC System/6000 processor", 1990). It is the rounded
    quotient, but where x or the quotient is next to the denormals it may be off by one unit. Very
    large and small y are scaled to the middle of the range. Where q is zero, infinite or NaN, the
    correction says nothing else, or is NaN.

    Args:
        y: the divisor.
    """

    def __init__(self, y: Vec) -> None:
        bits = y.lanes.format.bits
        large, small = 2.0 ** (bits * 3), 2.0 ** (-bits * 3)
        half = 2.0 ** (bits * 2)
        size = y.abs()
        self.scale = (size > large).select(1 / half, (size < small).select(half, y.lanes.const(1)))
        self.y = y * self.scale
        self.inverse = 1.0 / self.y

    def divide(self, x: Vec) -> Vec:
        """x / y."""
        quotient = x * self.inverse
        corrected = (-quotient).fma(self.y, x).fma(self.inverse, quotient)
        return corrected.differs_from(quotient).select(corrected, quotient) * self.scale


FUNCTIONS: dict[str, Function] = {
    "add": Function(2, lambda x, y: x + y),
    "sub": Function(2, lambda x, y: x - y),
    "mul": Function(2, lambda x, y: x * y),
    "div": Function(2, lambda x, y: x / y, 4),
    "neg": Function(1, lambda x: -x),
    "abs": Function(1, Vec.abs),
    "fma": Function(3, Vec.fma),
    "sqrt": Function(1, Vec.sqrt, 4),
    "rsqrt": Function(1, lambda x: 1.0 / x.sqrt(), 8),
    "reciprocal": Function(1, lambda x: 1.0 / x, 4),
    "square": Function(1, lambda x: x * x),
    "relu": Function(1, relu),
    "sign": Function(1, sign, 3),
    "copysign": Function(2, Vec.copysign),
    "maximum": Function(2, maximum, 3),
    "minimum": Function(2, minimum, 3),
    "floor": Function(1, _intrinsic("floor")),
    "ceil": Function(1, _intrinsic("ceil")),
    "trunc": Function(1, _intrinsic("trunc")),
    "round": Function(1, _intrinsic("roundeven")),
    "lt": Function(2, lambda x, y: x < y),
    "le": Function(2, lambda x, y: x <= y),
    "gt": Function(2, lambda x, y: x > y),
    "ge": Function(2, lambda x, y: x >= y),
    "eq": Function(2, lambda x, y: x == y),
    "ne": Function(2, lambda x, y: x != y),
    "isnan": Function(1, Vec.is_nan),
    "and": Function(2, lambda x, y: x & y),
    "or": Function(2, lambda x, y: x | y),
    "not": Function(1, lambda x: ~x),
    "where": Function(3, lambda mask, yes, no: mask.select(yes, no)),
    "exp": Function(1, vecexp.exp, 16),
    "exp2": Function(1, vecexp.exp2, 18),
    "expm1": Function(1, vecexp.expm1, 24),
    "log": Function(1, vecexp.log, 24),
    "log2": Function(1, vecexp.log2, 28),
    "log10": Function(1, vecexp.log10, 28),
    "log1p": Function(1, vecexp.log1p, 36),
    "sigmoid": Function(1, vecexp.sigmoid, 24),
    "tanh": Function(1, vecexp.tanh, 24),
    "sinh": Function(1, vecexp.sinh, 30),
    "cosh": Function(1, vecexp.cosh, 24),
    "asinh": Function(1, vecexp.asinh, 60),
    "acosh": Function(1, vecexp.acosh, 60),
    "atanh": Function(1, vecexp.atanh, 60),
    "erf": Function(1, vecexp.erf, 24),
    "erfc": Function(1, vecexp.erfc, 80),
    "sin": Function(1, vectrig.sin, 40),
    "cos": Function(1, vectrig.cos, 40),
    "tan": Function(1, vectrig.tan, 40),
    "asin": Function(1, vectrig.asin, 30),
    "acos": Function(1, vectrig.acos, 30),
    "atan": Function(1, vectrig.atan, 30),
    "atan2": Function(2, vectrig.atan2, 40),
    "pow": Function(2, vecpow.pow, 80),
    "fmod": Function(2, vecpow.fmod, 40),
    "remainder": Function(2, vecpow.remainder, 44),
}
