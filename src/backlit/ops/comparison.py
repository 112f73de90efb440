"""Comparisons, logic, choices by a condition, and bounds."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.dtypes import bool_
from backlit.core.era import realize
from backlit.core.op import op, plain, record
from backlit.core.operators import binary
from backlit.core.primitive import elementwise
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, DtypeError
from backlit.ops.bitwise import (
    bitwise_and_card,
    bitwise_not_card,
    bitwise_or_card,
    bitwise_xor_card,
)
from backlit.ops.elementwise import (
    alias,
    common,
    common_dtype,
    is_number,
    public,
    tensors,
    typed,
    within,
)

# -- comparisons ----------------------------------------------------------------------------------


def _comparison(name: str, fn: Any, symbol: str) -> Any:
    return elementwise(
        name, fn, result=bool_, maths=f"whether x {symbol} y", samples=within(-2, 2, 2)
    )


eq_card = _comparison("eq", lambda m, x, y: x == y, "=")
ne_card = _comparison("ne", lambda m, x, y: x != y, "≠")
lt_card = _comparison("lt", lambda m, x, y: x < y, "<")
le_card = _comparison("le", lambda m, x, y: x <= y, "≤")
gt_card = _comparison("gt", lambda m, x, y: x > y, ">")
ge_card = _comparison("ge", lambda m, x, y: x >= y, "≥")
signbit_card = elementwise(
    "signbit",
    lambda m, x: m.signbit(x),
    result=bool_,
    kinds="f",
    maths="whether the sign bit of x is set",
    samples=within(-2, 2),
)

eq = binary(eq_card, numbers="second")
ne = binary(ne_card, numbers="second")
lt = binary(lt_card, numbers="second")
le = binary(le_card, numbers="second")
gt = binary(gt_card, numbers="second")
ge = binary(ge_card, numbers="second")
alias(ne, "not_equal")
alias(lt, "less")
alias(le, "less_equal")
alias(gt, "greater")
alias(ge, "greater_equal")


@op(out=True)
def signbit(input: Tensor) -> Tensor:
    """Whether the sign bit is set (also that of -0.0)."""
    return signbit_card(input) if input.dtype.is_floating_point else input < 0


@op
def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN."""
    return ne_card(input, input)


@op
def isinf(input: Tensor) -> Tensor:
    """Whether each element is ∞ or -∞."""
    if not input.dtype.is_floating_point:
        return ne_card(input, input)
    return input.abs() == math.inf


@op
def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    if not input.dtype.is_floating_point:
        return eq_card(input, input)
    return input.abs() < math.inf


@op(out=True)
def isposinf(input: Tensor) -> Tensor:
    """Whether each element is ∞."""
    return input == math.inf if input.dtype.is_floating_point else ne_card(input, input)


@op(out=True)
def isneginf(input: Tensor) -> Tensor:
    """Whether each element is -∞."""
    return input == -math.inf if input.dtype.is_floating_point else ne_card(input, input)


@op
def isreal(input: Tensor) -> Tensor:
    """Whether each element is a real number: always."""
    return bitwise_or_card(eq_card(input, input), ne_card(input, input))


@op
def isclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Whether |input - other| ≤ atol + rtol |other|, element by element.

    >>> import backlit
    >>> backlit.isclose(backlit.tensor([1.0, 2.0]), backlit.tensor([1.000001, 2.1])).tolist()
    [True, False]
    """
    if input.dtype is not other.dtype:
        raise DtypeError(
            f"isclose: {input.dtype.name} did not match {other.dtype.name}; convert one of them."
        )
    for role, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise ArgumentError(
                f"isclose: {role} must be greater than or equal to zero, got {bound}."
            )
    same = input == other
    if equal_nan and input.dtype.is_floating_point:
        same = same | ((input != input) & (other != other))
    x, y = common(input, other, floating=True)
    allowed = (y * rtol).abs() + atol
    return same | (((x - y).abs() <= allowed) & (allowed < math.inf) & ((x - y).abs() < math.inf))


@plain()
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, as by `isclose`.

    >>> import backlit
    >>> backlit.allclose(backlit.ones(2), backlit.tensor([1.0, 1.0 + 1e-7]))
    True
    """
    for role, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise ArgumentError(
                f"isclose: {role} must be greater than or equal to zero, got {bound}."
            )
    return bool(realize(isclose(input, other, rtol, atol, equal_nan)).all())


@plain()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements.

    >>> import backlit
    >>> backlit.equal(backlit.ones(2), backlit.ones(2))
    True
    """
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' must be Tensor, not {type(other).__name__}.")
    return input.shape == other.shape and bool(realize(eq(input, other)).all())


# -- logic ----------------------------------------------------------------------------------------


def _truths(name: str, *operands: Any) -> tuple[Tensor, ...]:
    """Whether each element is not 0."""
    tensors(name, *operands)
    return tuple(x if x.dtype is bool_ else ne_card(x, 0) for x in operands)


@op(out=True, inplace=True)
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both are true (not 0)."""
    return bitwise_and_card(*_truths("logical_and", input, other))


@op(out=True, inplace=True)
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether at least one is true (not 0)."""
    return bitwise_or_card(*_truths("logical_or", input, other))


@op(out=True, inplace=True)
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one is true (not 0)."""
    return bitwise_xor_card(*_truths("logical_xor", input, other))


@op(out=True, inplace=True)
def logical_not(input: Tensor) -> Tensor:
    """Whether each element is 0."""
    return bitwise_not_card(input) if input.dtype is bool_ else eq_card(input, 0)


# -- choices --------------------------------------------------------------------------------------

where_card = elementwise(
    "where",
    lambda m, condition, x, y: m.where(condition, x, y),
    (None, lambda m, condition: condition, lambda m, condition: ~condition),
    maths="x where condition else y",
    local=("", "condition", "not condition"),
    samples=lambda: [
        ([[True], [False]], [1.0, -2.0], [[3.0, 4.0], [5.0, 6.0]]),
    ],
)


def _where_body(condition: Tensor, input: Number | Tensor, other: Number | Tensor) -> Tensor:
    d = common_dtype(input, other)
    return where_card(_condition(condition), typed(input, d), typed(other, d))


def _condition(x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"where(): argument 'condition' must be Tensor, not {type(x).__name__}.")
    if x.dtype is bool_:
        return x
    if x.dtype.name == "uint8":
        return ne_card(x, 0)
    raise DtypeError(
        "where: expected condition to be a boolean tensor, but got a tensor with dtype "
        f"{x.dtype.name}; compare it with something, as in x != 0."
    )


_where = op(name="where")(_where_body)


def where(
    condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None
) -> Any:
    """``input`` where ``condition`` is true, else ``other``; alone, the indices of what is true.

    >>> import backlit
    >>> x = backlit.tensor([-1.0, 2.0])
    >>> backlit.where(x > 0, x, 0.0).tolist()
    [0.0, 2.0]
    """
    if input is None and other is None:
        return PUBLIC["nonzero"](condition, as_tuple=True)
    found = record(_where.op, (condition, input, other), {})  # type: ignore[attr-defined]
    if out is None:
        return found
    from backlit.core.inplace import write_out

    return write_out("where", out, found)


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor where ``condition`` is true, else ``other``."""
    found: Tensor = where(condition, self, other)
    return found


public("where", where, _where)
METHODS["where"] = _where_method


@op(out=True, inplace=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 where negative, 1 where positive, ``values`` where 0.

    >>> import backlit
    >>> backlit.heaviside(backlit.tensor([-1.0, 0.0, 2.0]), backlit.tensor(0.5)).tolist()
    [0.0, 0.5, 1.0]
    """
    if input.dtype is not values.dtype:
        raise DtypeError(
            "heaviside is not yet implemented for tensors with different dtypes: "
            f"{input.dtype.name} and {values.dtype.name}; convert one of them."
        )
    step = typed(input > 0, input.dtype)
    return where_card(input == 0, values, step)


# -- the larger and the smaller -------------------------------------------------------------------

maximum_card = elementwise(
    "maximum",
    lambda m, x, y: m.maximum(x, y),
    (
        lambda m, x, y: m.where(x == y, 0.5, m.where(x < y, 0.0, 1.0)),
        lambda m, x, y: m.where(x == y, 0.5, m.where(y < x, 0.0, 1.0)),
    ),
    maths="the larger of x and y",
    local=("1 if x > y", "1 if y > x"),
    samples=within(-2, 2, 2),
)
minimum_card = elementwise(
    "minimum",
    lambda m, x, y: m.minimum(x, y),
    (
        lambda m, x, y: m.where(x == y, 0.5, m.where(x > y, 0.0, 1.0)),
        lambda m, x, y: m.where(x == y, 0.5, m.where(y > x, 0.0, 1.0)),
    ),
    maths="the smaller of x and y",
    local=("1 if x < y", "1 if y < x"),
    samples=within(-2, 2, 2),
)


@op(out=True)
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two numbers; NaN if either is. Equal ones share the gradient.

    >>> import backlit
    >>> backlit.maximum(backlit.tensor([1.0, 5.0]), backlit.tensor([3.0, 4.0])).tolist()
    [3.0, 5.0]
    """
    return maximum_card(*tensors("maximum", input, other))


@op(out=True)
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two numbers; NaN if either is. Equal ones share the gradient.

    >>> import backlit
    >>> backlit.minimum(backlit.tensor([1.0, 5.0]), backlit.tensor([3.0, 4.0])).tolist()
    [1.0, 4.0]
    """
    return minimum_card(*tensors("minimum", input, other))


@op(out=True)
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two numbers; NaN only if both are."""
    x, y = tensors("fmax", input, other)
    return where_card((x >= y) | (y != y), x, y)


@op(out=True)
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two numbers; NaN only if both are."""
    x, y = tensors("fmin", input, other)
    return where_card((x <= y) | (y != y), x, y)


@op(out=True, inplace=True)
def clamp(
    input: Tensor, min: Number | Tensor | None = None, max: Number | Tensor | None = None
) -> Tensor:
    """``input`` with what is below ``min`` or above ``max`` replaced by that bound.

    Raises:
        ArgumentError: if both bounds are None.

    >>> import backlit
    >>> backlit.clamp(backlit.tensor([-2.0, 0.5, 2.0]), -1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    bounds = [b for b in (min, max) if b is not None]
    if not bounds:
        raise ArgumentError("clamp: At least one of 'min' or 'max' must not be None.")
    d = common_dtype(input, *bounds)
    if d is bool_ and any(is_number(b) for b in bounds):
        raise DtypeError('"clamp" not implemented for bool tensors; use .int() first.')
    x = typed(input, d)
    if min is not None:
        low = typed(min, d)
        x = where_card((x < low) | _is_nan(low), low, x)
    if max is not None:
        high = typed(max, d)
        x = where_card((x > high) | _is_nan(high), high, x)
    return x


def _is_nan(bound: Tensor) -> Tensor:
    return ne_card(bound, bound)


@op(out=True, inplace=True)
def clamp_min(input: Tensor, min: Number | Tensor) -> Tensor:
    """``input`` with what is below ``min`` replaced by it."""
    return _one_sided(input, min, lower=True)


@op(out=True, inplace=True)
def clamp_max(input: Tensor, max: Number | Tensor) -> Tensor:
    """``input`` with what is above ``max`` replaced by it."""
    return _one_sided(input, max, lower=False)


def _one_sided(input: Tensor, bound: Any, *, lower: bool) -> Tensor:
    """`clamp` with one bound; two bool tensors combine as 0 and 1."""
    if is_number(input):
        raise TypeError("clamp(): argument 'input' must be Tensor, not a number.")
    if is_number(bound):
        return clamp(input, min=bound) if lower else clamp(input, max=bound)
    x, y = common(input, bound)
    if x.dtype is bool_:
        return bitwise_or_card(x, y) if lower else bitwise_and_card(x, y)
    return clamp(x, min=y) if lower else clamp(x, max=y)


alias(clamp, "clip")
