"""Trigonometry, circular and hyperbolic."""

from __future__ import annotations

import math

from backlit.core.op import op
from backlit.core.operators import unary
from backlit.core.primitive import elementwise
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import DtypeError
from backlit.ops.elementwise import alias, tensors, within

# -- trigonometry ---------------------------------------------------------------------------------

sin_card = elementwise(
    "sin",
    lambda m, x: m.sin(x),
    lambda m, x: m.cos(x),
    kinds="f",
    maths="sin x",
    local="cos x",
    samples=within(-3, 3),
)
cos_card = elementwise(
    "cos",
    lambda m, x: m.cos(x),
    lambda m, x: -m.sin(x),
    kinds="f",
    maths="cos x",
    local="-sin x",
    samples=within(-3, 3),
)
tan_card = elementwise(
    "tan",
    lambda m, x: m.tan(x),
    lambda m, out: 1 + out * out,
    kinds="f",
    maths="tan x",
    local="1 + tan² x",
    samples=within(-1, 1),
)
asin_card = elementwise(
    "asin",
    lambda m, x: m.asin(x),
    lambda m, x: m.rsqrt(1 - x * x),
    kinds="f",
    maths="arcsin x",
    local="1/√(1 - x²)",
    samples=within(-0.9, 0.9),
)
acos_card = elementwise(
    "acos",
    lambda m, x: m.acos(x),
    lambda m, x: -m.rsqrt(1 - x * x),
    kinds="f",
    maths="arccos x",
    local="-1/√(1 - x²)",
    samples=within(-0.9, 0.9),
)
atan_card = elementwise(
    "atan",
    lambda m, x: m.atan(x),
    lambda m, x: 1 / (x * x + 1),
    kinds="f",
    maths="arctan x",
    local="1/(1 + x²)",
    samples=within(-3, 3),
)
atan2_card = elementwise(
    "atan2",
    lambda m, y, x: m.atan2(y, x),
    (
        lambda m, y, x: x * _inverse_square_radius(x, y),
        lambda m, y, x: -y * _inverse_square_radius(x, y),
    ),
    kinds="f",
    maths="the angle of the point (x, y)",
    local=("x/(x² + y²)", "-y/(x² + y²)"),
    samples=within(0.5, 2, 2),
)


def _inverse_square_radius(x: Tensor, y: Tensor) -> Tensor:
    """1/(x² + y²), and 0 at the origin."""
    square = x * x + y * y
    at_origin = square == 0
    where = PUBLIC["where"]
    found: Tensor = where(at_origin, 0, 1 / where(at_origin, 1, square))
    return found


sinh_card = elementwise(
    "sinh",
    lambda m, x: m.sinh(x),
    lambda m, x: m.cosh(x),
    kinds="f",
    maths="sinh x",
    local="cosh x",
    samples=within(-2, 2),
)
cosh_card = elementwise(
    "cosh",
    lambda m, x: m.cosh(x),
    lambda m, x: m.sinh(x),
    kinds="f",
    maths="cosh x",
    local="sinh x",
    samples=within(-2, 2),
)
tanh_card = elementwise(
    "tanh",
    lambda m, x: m.tanh(x),
    lambda m, out: 1 - out * out,
    kinds="f",
    maths="tanh x",
    local="1 - tanh² x",
    samples=within(-2, 2),
)
asinh_card = elementwise(
    "asinh",
    lambda m, x: m.asinh(x),
    lambda m, x: m.rsqrt(x * x + 1),
    kinds="f",
    maths="arsinh x",
    local="1/√(x² + 1)",
    samples=within(-3, 3),
)
acosh_card = elementwise(
    "acosh",
    lambda m, x: m.acosh(x),
    lambda m, x: m.rsqrt((x - 1) * (x + 1)),
    kinds="f",
    maths="arcosh x",
    local="1/√(x² - 1)",
    samples=within(1.1, 3),
)
atanh_card = elementwise(
    "atanh",
    lambda m, x: m.atanh(x),
    lambda m, x: 1 / (1 - x * x),
    kinds="f",
    maths="artanh x",
    local="1/(1 - x²)",
    samples=within(-0.9, 0.9),
)
sinc_card = elementwise(
    "sinc",
    lambda m, x: m.sinc(x),
    lambda m, x, out: m.where(x == 0, 0, (m.cos(math.pi * x) - out) / m.where(x == 0, 1, x)),
    kinds="f",
    maths="sin(πx)/(πx)",
    local="(cos(πx) - sinc x)/x",
    samples=within(0.1, 3),
)
hypot_card = elementwise(
    "hypot",
    lambda m, x, y: m.hypot(x, y),
    (lambda m, x, out: x / out, lambda m, y, out: y / out),
    kinds="f",
    maths="√(x² + y²)",
    local=("x/√(x² + y²)", "y/√(x² + y²)"),
    samples=within(0.5, 2, 2),
)

sin = unary(sin_card)
cos = unary(cos_card)
tan = unary(tan_card)
asin = unary(asin_card)
acos = unary(acos_card)
atan = unary(atan_card)
sinh = unary(sinh_card)
cosh = unary(cosh_card)
tanh = unary(tanh_card)
asinh = unary(asinh_card)
acosh = unary(acosh_card)
atanh = unary(atanh_card)
sinc = unary(sinc_card)


@op(out=True, inplace=True)
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle, from -π to π, of the point with ordinate ``input`` and abscissa ``other``.

    >>> import backlit
    >>> backlit.atan2(backlit.tensor([0.0]), backlit.tensor([1.0])).item()
    0.0
    """
    return atan2_card(*tensors("atan2", input, other))


@op(out=True, inplace=True)
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """√(x² + y²), without overflow.

    >>> import backlit
    >>> backlit.hypot(backlit.tensor([3.0]), backlit.tensor([4.0])).item()
    5.0
    """
    x, y = tensors("hypot", input, other)
    if not x.dtype.is_floating_point:
        raise DtypeError(f'"hypot" not implemented for {x.dtype.name} tensors; use .float() first.')
    return hypot_card(x, y)


for _name in ("sin", "cos", "tan", "sinh", "cosh", "tanh"):
    alias(PUBLIC["a" + _name], "arc" + _name)
alias(atan2, "arctan2")
alias(sinc, "special.sinc")


@op(out=True, inplace=True)
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians.

    >>> import backlit
    >>> backlit.deg2rad(backlit.tensor([180.0])).item()
    3.1415927410125732
    """
    return input * (math.pi / 180)


@op(out=True, inplace=True)
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees.

    >>> import backlit
    >>> backlit.rad2deg(backlit.tensor([3.141592653589793], dtype=backlit.float64)).item()
    180.0
    """
    return input * (180 / math.pi)
