"""Elementwise mathematics: exponentials, logarithms, trigonometry, rounding, sizes of numbers."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.dtypes import bool_, int32
from backlit.core.op import op
from backlit.core.operators import binary, unary
from backlit.core.primitive import elementwise, primitive
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import DtypeError
from backlit.ops.arithmetic import sign_card
from backlit.ops.elementwise import alias, common, tensors, typed, within

# -- exponentials and logarithms ------------------------------------------------------------------

exp_card = elementwise(
    "exp",
    lambda m, x: m.exp(x),
    lambda m, out: out,
    kinds="f",
    maths="eˣ",
    local="eˣ",
    samples=within(-2, 2),
)
exp2_card = elementwise(
    "exp2",
    lambda m, x: m.exp2(x),
    lambda m, out: out * math.log(2),
    kinds="f",
    maths="2ˣ",
    local="2ˣ ln 2",
    samples=within(-2, 2),
)
expm1_card = elementwise(
    "expm1",
    lambda m, x: m.expm1(x),
    lambda m, out: out + 1,
    kinds="f",
    maths="eˣ - 1",
    local="eˣ",
    samples=within(-2, 2),
)
log_card = elementwise(
    "log",
    lambda m, x: m.log(x),
    lambda m, x: 1 / x,
    kinds="f",
    maths="ln x",
    local="1/x",
    samples=within(0.1, 3),
)
log2_card = elementwise(
    "log2",
    lambda m, x: m.log2(x),
    lambda m, x: 1 / (x * math.log(2)),
    kinds="f",
    maths="log₂ x",
    local="1/(x ln 2)",
    samples=within(0.1, 3),
)
log10_card = elementwise(
    "log10",
    lambda m, x: m.log10(x),
    lambda m, x: 1 / (x * math.log(10)),
    kinds="f",
    maths="log₁₀ x",
    local="1/(x ln 10)",
    samples=within(0.1, 3),
)
log1p_card = elementwise(
    "log1p",
    lambda m, x: m.log1p(x),
    lambda m, x: 1 / (x + 1),
    kinds="f",
    maths="ln(1 + x)",
    local="1/(1 + x)",
    samples=within(-0.9, 3),
)
sqrt_card = elementwise(
    "sqrt",
    lambda m, x: m.sqrt(x),
    lambda m, out: 0.5 / out,
    kinds="f",
    maths="√x",
    local="1/(2√x)",
    samples=within(0.1, 3),
)
rsqrt_card = elementwise(
    "rsqrt",
    lambda m, x: 1 / m.sqrt(x),
    lambda m, out: -0.5 * out * out * out,
    kinds="f",
    maths="1/√x",
    local="-1/(2x√x)",
    samples=within(0.1, 3),
)
logaddexp_card = elementwise(
    "logaddexp",
    lambda m, x, y: m.where(
        x == y, x + math.log(2), m.maximum(x, y) + m.log1p(m.exp(-m.abs(x - y)))
    ),
    (lambda m, x, y: m.sigmoid(x - y), lambda m, x, y: m.sigmoid(y - x)),
    kinds="f",
    maths="ln(eˣ + eʸ)",
    local=("eˣ/(eˣ + eʸ)", "eʸ/(eˣ + eʸ)"),
    samples=within(-3, 3, 2),
)

exp = unary(exp_card)
exp2 = unary(exp2_card)
expm1 = unary(expm1_card)
log = unary(log_card)
log2 = unary(log2_card)
log10 = unary(log10_card)
log1p = unary(log1p_card)
sqrt = unary(sqrt_card)
rsqrt = unary(rsqrt_card)


@op(out=True)
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """ln(eˣ + eʸ), without overflow.

    >>> import backlit
    >>> backlit.logaddexp(backlit.tensor([1000.0]), backlit.tensor([-1000.0])).item()
    1000.0
    """
    return logaddexp_card(*tensors("logaddexp", input, other))


alias(exp2, "special.exp2")
alias(expm1, "special.expm1")
alias(log1p, "special.log1p")


@op(out=True)
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log₂(2ˣ + 2ʸ), without overflow.

    >>> import backlit
    >>> backlit.logaddexp2(backlit.tensor([3.0]), backlit.tensor([3.0])).item()
    4.0
    """
    x, y = tensors("logaddexp2", input, other)
    return logaddexp_card(x * math.log(2), y * math.log(2)) / math.log(2)


# -- rounding -------------------------------------------------------------------------------------

floor_card = elementwise(
    "floor",
    lambda m, x: m.floor(x),
    lambda m: 0,
    kinds="f",
    maths="⌊x⌋",
    local="0",
    samples=within(-3, 3),
)
ceil_card = elementwise(
    "ceil",
    lambda m, x: m.ceil(x),
    lambda m: 0,
    kinds="f",
    maths="⌈x⌉",
    local="0",
    samples=within(-3, 3),
)
trunc_card = elementwise(
    "trunc",
    lambda m, x: m.trunc(x),
    lambda m: 0,
    kinds="f",
    maths="x rounded towards 0",
    local="0",
    samples=within(-3, 3),
)
round_card = elementwise(
    "round",
    lambda m, x: m.rint(x),
    lambda m: 0,
    kinds="f",
    maths="x rounded, halves to even",
    local="0",
    samples=within(-3, 3),
)


@op(out=True, inplace=True)
def floor(input: Tensor) -> Tensor:
    """The next whole number down."""
    return floor_card(input) if input.dtype.is_floating_point else _whole("floor", input)


@op(out=True, inplace=True)
def ceil(input: Tensor) -> Tensor:
    """The next whole number up."""
    return ceil_card(input) if input.dtype.is_floating_point else _whole("ceil", input)


@op(out=True, inplace=True)
def trunc(input: Tensor) -> Tensor:
    """The next whole number towards 0."""
    return trunc_card(input) if input.dtype.is_floating_point else _whole("trunc", input)


def _whole(name: str, x: Tensor) -> Tensor:
    """Rounding whole numbers: a copy."""
    if x.dtype is bool_:
        raise DtypeError(f'"{name}" not implemented for bool tensors; use .int() first.')
    return x.clone()


alias(trunc, "fix")


@op(out=True, inplace=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest number of ``decimals`` decimals; halves go to the even neighbour.

    >>> import backlit
    >>> backlit.round(backlit.tensor([0.5, 1.5, 2.5])).tolist()
    [0.0, 2.0, 2.0]
    """
    if not input.dtype.is_floating_point:
        return _whole("round", input)
    if decimals == 0:
        return round_card(input)
    power = 10 ** abs(decimals)
    return round_card(input * power) / power if decimals > 0 else round_card(input / power) * power


@op(out=True, inplace=True)
def frac(input: Tensor) -> Tensor:
    """The part after the decimal point, with the sign of x."""
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f'"frac" not implemented for {input.dtype.name} tensors; use .float() first.'
        )
    return input - trunc_card(input)


alias(round, "special.round")

# -- how numbers are stored -----------------------------------------------------------------------

copysign_card = elementwise(
    "copysign",
    lambda m, x, y: m.copysign(x, y),
    (lambda m, x, out: m.where(x == 0, 0, out / x), lambda m: 0),
    kinds="f",
    maths="|x| with the sign of y",
    local=("±1", "0"),
    samples=within(0.5, 2, 2),
)
nextafter_card = elementwise(
    "nextafter",
    lambda m, x, y: m.nextafter(x, y),
    (lambda m, x, y: x != y, lambda m: 0),
    kinds="f",
    maths="the next number after x towards y",
    local=("1 if x ≠ y", "0"),
    samples=within(-2, 2, 2),
)
frexp_card = primitive(
    "frexp",
    "x",
    shape=lambda x: [(tuple(x.shape), x.dtype), (tuple(x.shape), int32)],
    numpy="np.frexp({x})",
    vjp=(lambda g, out1: g / PUBLIC["exp2"](out1.to(g.dtype)),),
    upcast=True,
    maths="mantissa and exponent of x",
    local="2⁻ᵉ",
)

copysign = binary(copysign_card, numbers="second")


@op(out=True, inplace=True)
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next floating number after ``input`` in the direction of ``other``."""
    return nextafter_card(*tensors("nextafter", input, other))


@op(out=True)
def frexp(input: Tensor) -> Any:
    """Mantissa m (0.5 ≤ |m| < 1) and exponent e, with ``input = m · 2 ** e``.

    >>> import backlit
    >>> mantissa, exponent = backlit.frexp(backlit.tensor([8.0]))
    >>> mantissa.item(), exponent.item()
    (0.5, 4)
    """
    if not input.dtype.is_floating_point:
        raise DtypeError("frexp() only supports floating-point dtypes; use input.float().")
    return frexp_card(input)


# -- sizes of numbers -----------------------------------------------------------------------------


@op(out=True, inplace=True)
def nan_to_num(
    input: Tensor,
    nan: Number | None = None,
    posinf: Number | None = None,
    neginf: Number | None = None,
) -> Tensor:
    """NaN replaced by ``nan`` (0), ∞ by ``posinf`` (the largest number), -∞ by ``neginf``.

    >>> import backlit
    >>> backlit.nan_to_num(backlit.tensor([float("nan"), 1.0]), nan=5.0).tolist()
    [5.0, 1.0]
    """
    if not input.dtype.is_floating_point:
        return input.clone()
    from backlit.core.dtypes import finfo

    info = finfo(input.dtype)
    where = PUBLIC["where"]
    found = where(input != input, 0.0 if nan is None else nan, input)
    found = where(input == math.inf, info.max if posinf is None else posinf, found)
    result: Tensor = where(input == -math.inf, info.min if neginf is None else neginf, found)
    return result


@op
def angle(input: Tensor) -> Tensor:
    """The argument of real numbers: π where negative, else 0; NaN stays."""
    (x,) = common(input, floating=True)
    where = PUBLIC["where"]
    found: Tensor = where(x != x, x, where(x < 0, math.pi, sign_card(x) * 0))
    return found


@op
def real(input: Tensor) -> Tensor:
    """The tensor itself: it holds real numbers."""
    return input


@op
def conj(input: Tensor) -> Tensor:
    """The tensor itself: real numbers are their own conjugates."""
    return input


@op(out=True, inplace=True)
def conj_physical(input: Tensor) -> Tensor:
    """The tensor itself: real numbers are their own conjugates."""
    return input


@op
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: no conjugation is ever pending."""
    return input


@op
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: no negation is ever pending."""
    return input


@op(inplace=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``p``.

    >>> import backlit
    >>> backlit.mvlgamma(backlit.tensor([3.0]), 1).item()
    0.6931471824645996
    """
    if p < 1:
        from backlit.errors import ArgumentError

        raise ArgumentError(f"mvlgamma: p has to be greater than or equal to 1, got {p}.")
    (x,) = common(input, floating=True)
    total = PUBLIC["lgamma"](x)
    for j in range(1, p):
        total = total + PUBLIC["lgamma"](x - j / 2)
    found: Tensor = total + typed(p * (p - 1) / 4 * math.log(math.pi), x.dtype)
    return found


alias(mvlgamma, "special.multigammaln")
