"""What elementwise ops refuse, and the words in which they do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import backlit
import backlit.nn.functional as F
from backlit import special
from backlit.core.registry import PUBLIC

X = [1.0, 2.0]


def floats() -> Any:
    return backlit.tensor(X)


def whole() -> Any:
    return backlit.tensor([1, 2])


def flags() -> Any:
    return backlit.tensor([True, False])


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "two numbers": (
        lambda: backlit.pow(2.0, 3.0),
        TypeError,
        "pow(): one of the operands must be a tensor; both are numbers.",
    ),
    "all numbers": (
        lambda: backlit.float_power(2.0, 3.0),
        TypeError,
        "one of the operands must be a tensor; all are numbers.",
    ),
    "number for a tensor": (
        lambda: backlit.maximum(floats(), 2.0),
        TypeError,
        "maximum(): the operands must be tensors, not float; wrap a number in backlit.tensor().",
    ),
    "text as an operand": (
        lambda: backlit.where(flags(), "a", 1.0),
        TypeError,
        "expected a tensor or a number, not str.",
    ),
    "number first in a comparison": (
        lambda: backlit.eq(2.0, floats()),
        TypeError,
        "eq(): argument 'input' must be Tensor, not float.",
    ),
    "number first in rsub": (
        lambda: backlit.rsub(2.0, floats()),
        TypeError,
        "rsub(): argument 'input' must be Tensor, not float.",
    ),
    "number first in clamp_min": (
        lambda: backlit.clamp_min(2.0, floats()),
        TypeError,
        "clamp(): argument 'input' must be Tensor, not a number.",
    ),
    "floating alpha": (
        lambda: backlit.add(whole(), whole(), alpha=0.5),
        TypeError,
        (
            "add: For integral input tensors, argument alpha must not be a floating point number; "
            "use a whole alpha, or .float()."
        ),
    ),
    "bool alpha": (
        lambda: backlit.sub(whole(), whole(), alpha=True),
        TypeError,
        "sub: Boolean alpha only supported for Boolean results.",
    ),
    "difference of flags": (
        lambda: flags() - 1,
        TypeError,
        (
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        ),
    ),
    "rounding mode": (
        lambda: backlit.div(floats(), 2, rounding_mode="up"),
        ValueError,
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found 'up'.",
    ),
    "positive flags": (
        lambda: +flags(),
        TypeError,
        "The `+` operator, on a bool tensor is not supported; use .int() first.",
    ),
    "negative power": (
        lambda: whole() ** -1,
        ValueError,
        "pow: Integers to negative integer powers are not allowed; use input.float() first.",
    ),
    "floating factor": (
        lambda: backlit.addcmul(whole(), whole(), whole(), value=0.5),
        TypeError,
        (
            "addcmul: For integral input tensors, argument value must not be a floating point "
            "number; use a whole value, or .float()."
        ),
    ),
    "whole addcdiv": (
        lambda: backlit.addcdiv(floats(), whole(), whole()),
        TypeError,
        "addcdiv: Integer division with addcdiv is no longer supported; convert with .float().",
    ),
    "lerp dtypes": (
        lambda: backlit.lerp(floats(), floats().double(), 0.5),
        TypeError,
        "lerp: expected dtype float32 for `end` but got dtype float64; convert it.",
    ),
    "isclose dtypes": (
        lambda: backlit.isclose(floats(), floats().double()),
        TypeError,
        "isclose: float32 did not match float64; convert one of them.",
    ),
    "negative tolerance": (
        lambda: backlit.isclose(floats(), floats(), rtol=-1.0),
        ValueError,
        "isclose: rtol must be greater than or equal to zero, got -1.0.",
    ),
    "negative tolerance of allclose": (
        lambda: backlit.allclose(floats(), floats(), atol=-1.0),
        ValueError,
        "isclose: atol must be greater than or equal to zero, got -1.0.",
    ),
    "equal": (
        lambda: backlit.equal(floats(), 1.0),
        TypeError,
        "equal(): argument 'other' must be Tensor, not float.",
    ),
    "condition": (
        lambda: backlit.where(True, floats(), floats()),
        TypeError,
        "where(): argument 'condition' must be Tensor, not bool.",
    ),
    "condition dtype": (
        lambda: backlit.where(floats(), floats(), floats()),
        TypeError,
        (
            "where: expected condition to be a boolean tensor, but got a tensor with dtype "
            "float32; compare it with something, as in x != 0."
        ),
    ),
    "heaviside dtypes": (
        lambda: backlit.heaviside(floats(), whole()),
        TypeError,
        (
            "heaviside is not yet implemented for tensors with different dtypes: float32 "
            "and int64; convert one of them."
        ),
    ),
    "no bounds": (
        lambda: backlit.clamp(floats()),
        ValueError,
        "clamp: At least one of 'min' or 'max' must not be None.",
    ),
    "clamped flags": (
        lambda: backlit.clamp(flags(), True),
        TypeError,
        '"clamp" not implemented for bool tensors; use .int() first.',
    ),
    "floor of flags": (
        lambda: backlit.floor(flags()),
        TypeError,
        '"floor" not implemented for bool tensors; use .int() first.',
    ),
    "frac of whole numbers": (
        lambda: backlit.frac(whole()),
        TypeError,
        '"frac" not implemented for int64 tensors; use .float() first.',
    ),
    "frexp of whole numbers": (
        lambda: backlit.frexp(whole()),
        TypeError,
        "frexp() only supports floating-point dtypes; use input.float().",
    ),
    "hypot of whole numbers": (
        lambda: backlit.hypot(whole(), whole()),
        TypeError,
        '"hypot" not implemented for int64 tensors; use .float() first.',
    ),
    "mvlgamma order": (
        lambda: backlit.mvlgamma(floats(), 0),
        ValueError,
        "mvlgamma: p has to be greater than or equal to 1, got 0.",
    ),
    "polygamma order": (
        lambda: backlit.polygamma(-1, floats()),
        ValueError,
        "polygamma(n, x) does not support negative n, got -1.",
    ),
    "activation of whole numbers": (
        lambda: F.gelu(whole()),
        TypeError,
        '"gelu" not implemented for int64 tensors; convert the input with .float().',
    ),
    "activation of a number": (
        lambda: F.gelu(1.0),
        TypeError,
        "gelu(): argument 'input' must be Tensor, not float.",
    ),
    "gelu approximation": (
        lambda: F.gelu(floats(), approximate="erf"),
        ValueError,
        "gelu: approximate argument must be either none or tanh, got 'erf'.",
    ),
    "hardtanh bounds": (
        lambda: F.hardtanh(floats(), 1.0, -1.0),
        ValueError,
        "hardtanh: min_val cannot be greater than max_val, got 1.0 and -1.0.",
    ),
    "hardtanh of flags": (
        lambda: F.hardtanh(flags()),
        TypeError,
        "Bool inputs not supported for hardtanh; use .float() first.",
    ),
    "threshold of flags": (
        lambda: F.threshold(flags(), 0, 0),
        TypeError,
        '"threshold" not implemented for bool tensors; use .float() first.',
    ),
    "prelu dtypes": (
        lambda: F.prelu(floats(), floats().double()),
        TypeError,
        "prelu: Type promoting not supported. Got float32 and float64; convert one of them.",
    ),
    "prelu weight": (
        lambda: F.prelu(floats(), backlit.ones(1, 1)),
        ValueError,
        "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = 2.",
    ),
    "prelu of a number": (
        lambda: F.prelu(backlit.tensor(1.0), backlit.ones(2)),
        ValueError,
        "prelu: Not allow zero-dim input tensor with more than one weight.",
    ),
    "prelu channels": (
        lambda: F.prelu(backlit.ones(2, 3), backlit.ones(2)),
        ValueError,
        (
            "prelu: Mismatch of parameter numbers and input channel size. Found parameter "
            "numbers = 2 and channel size = 3."
        ),
    ),
    "rrelu bounds": (
        lambda: F.rrelu(floats(), 0.5, 0.1),
        ValueError,
        "rrelu: Lower bound should be less than or equal to the upper bound, got 0.5 and 0.1.",
    ),
    "celu": (
        lambda: F.celu(floats(), 0),
        ValueError,
        "celu: ZeroDivisionError: alpha cannot be 0 for CELU.",
    ),
    "softshrink": (
        lambda: F.softshrink(floats(), -1),
        ValueError,
        "softshrink: lambda must be greater or equal to 0, but found to be -1.",
    ),
    "glu of a number": (
        lambda: F.glu(backlit.tensor(1.0)),
        ValueError,
        "glu does not support 0-dimensional tensors.",
    ),
    "glu of an odd size": (
        lambda: F.glu(backlit.ones(3)),
        ValueError,
        "glu: Halving dimension must be even, but dimension 0 is size 3.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_these_words(case: str) -> None:
    """The exception is one that PyTorch's users catch, and its whole text is as written here."""
    call, kind, message = REFUSED[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["floor_divide", "fmod", "remainder"])
def test_whole_numbers_are_not_divided_by_zero(name: str) -> None:
    """Divisors are data: the error comes when the value is computed, and says where."""
    with pytest.raises(RuntimeError) as caught:
        PUBLIC[name](whole(), backlit.tensor([1, 0])).tolist()
    assert str(caught.value).startswith(
        f"{name}: ZeroDivisionError: an integer divisor is 0; divide floats to get inf or nan."
    )


def test_polynomials_have_a_highest_degree() -> None:
    """The recurrence takes one step per degree."""
    with pytest.raises(ValueError, match="degrees up to 10000 are supported, got 20000"):
        special.legendre_polynomial_p(floats(), 20000.0).tolist()


def test_orders_have_no_derivative() -> None:
    """As in PyTorch, ζ and the incomplete gamma functions have no derivative in their order."""
    order = backlit.tensor([2.0], requires_grad=True)
    with pytest.raises(RuntimeError) as caught:
        special.zeta(order, floats())
    assert str(caught.value) == (
        "the derivative for 'input' of special.zeta is not implemented; detach() that argument."
    )


def test_scipy_is_asked_for_by_the_extra_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SciPy is missing, the error names the extra."""
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(ImportError) as caught:
        special.bessel_j1(backlit.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert str(caught.value) == (
        "special.bessel_j1 needs SciPy, which is not installed; "
        "install it with pip install 'backlit[special]'."
    )
