"""Arithmetic: the operators of Python, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.core.dtypes import bool_, float64
from backlit.core.inplace import write_out
from backlit.core.op import op
from backlit.core.operators import binary, reflected, unary
from backlit.core.primitive import elementwise
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, DtypeError
from backlit.ops.elementwise import (
    alias,
    common,
    common_dtype,
    public,
    tensors,
    typed,
    value_of,
    whole,
    within,
)

# -- primitives -----------------------------------------------------------------------------------

add_card = elementwise(
    "add",
    lambda m, x, y: x + y,
    (lambda m: 1, lambda m: 1),
    maths="x + y",
    local=("1", "1"),
    samples=within(-2, 2, 2),
)
sub_card = elementwise(
    "sub",
    lambda m, x, y: x - y,
    (lambda m: 1, lambda m: -1),
    kinds="if",
    maths="x - y",
    local=("1", "-1"),
    samples=within(-2, 2, 2),
)
mul_card = elementwise(
    "mul",
    lambda m, x, y: x * y,
    (lambda m, y: y, lambda m, x: x),
    maths="x y",
    local=("y", "x"),
    samples=within(-2, 2, 2),
)
div_card = elementwise(
    "div",
    lambda m, x, y: x / y,
    (lambda m, y: 1 / y, lambda m, x, y: -x / (y * y)),
    kinds="f",
    maths="x / y",
    local=("1/y", "-x/y²"),
    samples=within(0.5, 2, 2),
)
neg_card = elementwise(
    "neg",
    lambda m, x: -x,
    lambda m: -1,
    kinds="if",
    maths="-x",
    local="-1",
    samples=within(-2, 2),
)
abs_card = elementwise(
    "abs",
    lambda m, x: m.abs(x),
    lambda m, x: m.sign(x),
    kinds="if",
    maths="|x|",
    local="sign x",
    samples=within(-2, 2),
)
sign_card = elementwise(
    "sign",
    lambda m, x: m.where(x == x, m.sign(x), 0),
    lambda m: 0,
    kinds="if",
    maths="-1, 0 or 1 by the sign of x; 0 for NaN",
    local="0",
    samples=within(-2, 2),
)
square_card = elementwise(
    "square",
    lambda m, x: x * x,
    lambda m, x: 2 * x,
    maths="x²",
    local="2x",
    samples=within(-2, 2),
)
pow_card = elementwise(
    "pow",
    lambda m, x, y: m.power(x, y),
    (
        lambda m, x, y: m.where(y == 0, 0, y * m.pow(x, y - 1)),
        lambda m, x, y, out: m.where((x == 0) & (y >= 0), 0, out * m.log(x)),
    ),
    kinds="if",
    maths="xʸ",
    local=("y xʸ⁻¹", "xʸ ln x"),
    samples=within(0.5, 2, 2),
)
floor_divide_card = elementwise(
    "floor_divide",
    lambda m, x, y: m.floor_divide(x, y),
    (lambda m: 0, lambda m: 0),
    kinds="if",
    maths="⌊x / y⌋",
    local=("0", "0"),
    samples=within(1, 9, 2),
)
fmod_card = elementwise(
    "fmod",
    lambda m, x, y: m.fmod(x, y),
    (lambda m: 1, lambda m, x, y: -m.trunc(x / y)),
    kinds="if",
    maths="x - y trunc(x / y)",
    local=("1", "-trunc(x / y)"),
    samples=within(1, 9, 2),
)
remainder_card = elementwise(
    "remainder",
    lambda m, x, y: m.remainder(x, y),
    (lambda m: 1, lambda m, x, y: -m.floor(x / y)),
    kinds="if",
    maths="x - y ⌊x / y⌋",
    local=("1", "-⌊x / y⌋"),
    samples=within(1, 9, 2),
)
gcd_card = elementwise(
    "gcd",
    lambda m, x, y: m.gcd(x, y),
    kinds="i",
    maths="greatest common divisor",
    samples=whole(-9, 9),
)

neg = unary(neg_card)
absolute = unary(abs_card)
_square = unary(square_card)
floor_divide = binary(floor_divide_card, numbers="both")
fmod = binary(fmod_card, numbers="second")
gcd = binary(gcd_card)
alias(neg, "negative")
alias(absolute, "absolute")


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """x²."""
    if isinstance(input, Tensor) and input.dtype is bool_:
        return pow(input, 2, out=out)
    return _square(input, out=out)


public("square", square, _square)


@op(out=True, inplace=True)
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of x."""
    return input.clone() if input.dtype is bool_ else sign_card(input)


alias(sign, "sgn")


# -- sums and differences -------------------------------------------------------------------------


def _scaled(name: str, other: Tensor, alpha: Tensor) -> Tensor:
    """``alpha`` times the operand ``other``, which is already in the dtype of the result."""
    if alpha.dtype.is_floating_point and not other.dtype.is_floating_point:
        raise DtypeError(
            f"{name}: For integral input tensors, argument alpha must not be a floating point "
            "number; use a whole alpha, or .float()."
        )
    if alpha.dtype is bool_ and other.dtype is not bool_:
        raise DtypeError(f"{name}: Boolean alpha only supported for Boolean results.")
    return other * alpha


def _with_alpha(name: str, combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The event of a sum or difference with a factor."""

    def body(input: Number | Tensor, other: Number | Tensor, alpha: Number) -> Tensor:
        x, y = common(input, other)
        return combine(x, _scaled(name, y, alpha))  # type: ignore[arg-type]

    return op(name=name)(body)


_add_scaled = _with_alpha("add", lambda x, y: x + y)
_add = binary(add_card, numbers="both")
_sub_scaled = _with_alpha("sub", lambda x, y: x - y)
_sub = binary(sub_card, numbers="both")


def _difference(input: Tensor, other: Tensor) -> Tensor:
    """The body of `sub`: truth values are not subtracted, not even from numbers."""
    if any(value_of(x).dtype is bool_ for x in (input, other)):
        raise DtypeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return sub_card(input, other)


_sub.op.body = _difference  # type: ignore[attr-defined]


def add(
    input: Tensor, other: Tensor | Number, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """The sum of ``input`` and ``alpha`` times ``other``.

    >>> import backlit
    >>> backlit.add(backlit.tensor([1.0, 2.0]), 3, alpha=2).tolist()
    [7.0, 8.0]
    """
    if alpha == 1 and alpha is not True:
        return _add(input, other, out=out)
    found = _add_scaled(input, other, alpha)
    return found if out is None else write_out("add", out, found)


def sub(
    input: Tensor, other: Tensor | Number, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """``input`` minus ``alpha`` times ``other``.

    >>> import backlit
    >>> backlit.sub(backlit.tensor([1.0, 2.0]), 3, alpha=2).tolist()
    [-5.0, -4.0]
    """
    if alpha == 1 and alpha is not True:
        return _sub(input, other, out=out)
    found = _sub_scaled(input, other, alpha)
    return found if out is None else write_out("sub", out, found)


@op
def rsub(input: Tensor, other: Number | Tensor, *, alpha: Number = 1) -> Tensor:
    """``other`` minus ``alpha`` times ``input``.

    >>> import backlit
    >>> backlit.rsub(backlit.tensor([1.0, 2.0]), 3).tolist()
    [2.0, 1.0]
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"rsub(): argument 'input' must be Tensor, not {type(input).__name__}.")
    x, y = common(input, other)
    return y - (x if is_one(alpha) else _scaled("rsub", x, alpha))  # type: ignore[arg-type]


def is_one(x: Any) -> bool:
    """Whether a number argument was left at its default of 1."""
    return not isinstance(x, Tensor) and x == 1


public("add", add, _add)
public("sub", sub, _sub)
alias(sub, "subtract")

# -- products and quotients -----------------------------------------------------------------------

mul = binary(mul_card, numbers="both")
alias(mul, "multiply")


def _div_rounded(
    input: Number | Tensor, other: Number | Tensor, rounding_mode: str | None
) -> Tensor:
    if rounding_mode not in ("trunc", "floor"):
        raise ArgumentError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' "
            f"but found {rounding_mode!r}."
        )
    d = common_dtype(input, other)
    x, y = typed(input, d), typed(other, d)
    if rounding_mode == "floor":
        return floor_divide_card(x, y)
    if x.dtype.is_floating_point:
        return PUBLIC["trunc"](x / y)
    return floor_divide_card(x - fmod_card(x, y), y)


_div_rounded = op(name="div")(_div_rounded)
_div = binary(div_card, numbers="both")


def div(
    input: Tensor,
    other: Tensor | Number,
    *,
    rounding_mode: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The quotient; ``rounding_mode`` "trunc" rounds it towards 0, "floor" down.

    Raises:
        ArgumentError: for any other rounding mode.

    >>> import backlit
    >>> backlit.div(backlit.tensor([-7, 7]), 2, rounding_mode="floor").tolist()
    [-4, 3]
    """
    if rounding_mode is None:
        return _div(input, other, out=out)
    found = _div_rounded(input, other, rounding_mode)
    return found if out is None else write_out("div", out, found)


public("div", div, _div)
alias(div, "divide")
METHODS["__rdiv__"] = reflected(_div.op)  # type: ignore[attr-defined]


@op(out=True, inplace=True)
def true_divide(input: Number | Tensor, other: Number | Tensor) -> Tensor:
    """The quotient, as a floating number."""
    return div_card(input, other)


remainder = binary(remainder_card)


@op(out=True, inplace=True)
def reciprocal(input: Tensor) -> Tensor:
    """1 / x."""
    return div_card(1, input)


@op(method=True)
def positive(input: Tensor) -> Tensor:
    """The tensor itself.

    Raises:
        DtypeError: for a bool tensor.
    """
    if input.dtype is bool_:
        raise DtypeError("The `+` operator, on a bool tensor is not supported; use .int() first.")
    return input


@op(out=True, inplace=True)
def lcm(input: Number | Tensor, other: Number | Tensor) -> Tensor:
    """The least common multiple.

    >>> import backlit
    >>> backlit.lcm(backlit.tensor([4, 6, 0]), 6).tolist()
    [12, 6, 0]
    """
    x, y = common(input, other)
    divisor = gcd_card(x, y)
    return (x // PUBLIC["where"](divisor == 0, 1, divisor) * y).abs()


# -- powers ---------------------------------------------------------------------------------------

_pow = binary(pow_card)
_FLOAT_POWERS = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}


def pow(input: Tensor | Number, exponent: Tensor | Number, *, out: Tensor | None = None) -> Tensor:
    """``input`` to the power of ``exponent``.

    Raises:
        ArgumentError: for whole numbers to a negative whole power.

    >>> import backlit
    >>> backlit.pow(backlit.tensor([1.0, 2.0, 3.0]), 2).tolist()
    [1.0, 4.0, 9.0]
    """
    found = _power(input, exponent)
    if found is NotImplemented:
        found = _pow(input, exponent)
    return found if out is None else write_out("pow", out, found)


def _power(input: Any, exponent: Any) -> Any:
    """Common fixed powers by what computes them best; NotImplemented for all others."""
    kind = type(exponent)
    if (kind is not int and kind is not float) or not isinstance(input, Tensor):
        return NotImplemented
    is_float = input._var.dtype.is_floating_point
    if kind is int and exponent < 0 and not is_float:
        raise ArgumentError(
            "pow: Integers to negative integer powers are not allowed; use input.float() first."
        )
    if not is_float:
        return NotImplemented
    if exponent == 2:
        return square(input)
    if exponent == 3:
        return cube(input)
    if exponent in _FLOAT_POWERS:
        return PUBLIC[_FLOAT_POWERS[exponent]](input)
    return NotImplemented


def cube_body(input: Tensor) -> Tensor:
    return input * square_card(input)


cube = op(name="pow")(cube_body)


def _pow_operator(self: Tensor, other: Any) -> Any:
    found = _power(self, other)
    return _pow.method(self, other) if found is NotImplemented else found  # type: ignore[attr-defined]


pow.method = _pow_operator  # type: ignore[attr-defined]
public("pow", pow, _pow)


@op(out=True, inplace=True)
def float_power(input: Number | Tensor, exponent: Number | Tensor) -> Tensor:
    """``input`` to the power of ``exponent``, computed in float64.

    >>> import backlit
    >>> backlit.float_power(backlit.tensor([2, 3]), -1).dtype
    backlit.float64
    """
    x, y = common(input, exponent)
    return pow_card(typed(x, float64), typed(y, float64))


@op(out=True, inplace=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input`` times 2 to the power of ``other``.

    >>> import backlit
    >>> backlit.ldexp(backlit.tensor([1.0]), backlit.tensor([3])).item()
    8.0
    """
    tensors("ldexp", input, other)
    return input * pow_card(2.0, other)
