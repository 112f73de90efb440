"""Sums, products, extremes, truth and counts: NumPy's values, PyTorch's dtypes and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import backlit
from backlit import errors

numbers = st.integers(-8, 8).map(lambda n: n / 4)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)
arrays = hnp.arrays(np.float64, shapes, elements=numbers)


@st.composite
def reductions(draw: st.DrawFn) -> tuple[Any, tuple[int, ...] | None, bool]:
    """An array, some of its dimensions (counted from either end) or None, and keepdim."""
    x = draw(arrays)
    some = st.lists(st.integers(0, max(x.ndim - 1, 0)), unique=True, min_size=1, max_size=x.ndim)
    dims = draw(some) if x.ndim else []
    signed = tuple(d - x.ndim if draw(st.booleans()) else d for d in dims)
    return x, signed or None, draw(st.booleans())


NUMPY = {"sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min}


@pytest.mark.parametrize("name, numpy", NUMPY.items())
@given(reductions())
def test_reduction_over_any_dims(name: str, numpy: Any, drawn: tuple[Any, Any, bool]) -> None:
    """A reduction over any dimensions, kept or not, has NumPy's value."""
    x, dims, keepdim = drawn
    found = getattr(backlit, name)(backlit.tensor(x), dims or (), keepdim)
    np.testing.assert_allclose(found.numpy(), numpy(x, axis=dims, keepdims=keepdim), atol=1e-12)


@given(arrays)
def test_truth_is_that_of_the_elements(x: Any) -> None:
    """any, all and count_nonzero agree with each other and with NumPy."""
    t = backlit.tensor(x)
    assert t.any().item() == (t.count_nonzero().item() > 0) == bool(np.any(x))
    assert t.all().item() == (t.count_nonzero().item() == x.size)


@given(arrays)
def test_prod_gradient_needs_no_division(x: Any) -> None:
    """The gradient of a product is the product of the other elements, zeros or not."""
    t = backlit.tensor(x, requires_grad=True)
    t.prod().backward()
    flat = x.reshape(-1)
    others = [np.prod(np.delete(flat, i)) for i in range(flat.size)]
    np.testing.assert_allclose(t.grad.numpy(), np.reshape(others, x.shape), atol=1e-9)


@given(reductions(), st.sampled_from(["amax", "amin"]))
def test_ties_share_the_gradient_of_an_extreme(drawn: tuple[Any, Any, bool], name: str) -> None:
    """The gradient of an extreme adds up to 1 and is equal at all places of it."""
    x, dims, keepdim = drawn
    t = backlit.tensor(x, requires_grad=True)
    getattr(t, name)(dims or (), keepdim).sum().backward()
    reached = x == (np.max if name == "amax" else np.min)(x, axis=dims, keepdims=True)
    expected = reached / reached.sum(axis=dims, keepdims=True)
    np.testing.assert_allclose(t.grad.numpy(), expected)


def test_integers_and_truth_values_add_up_in_int64() -> None:
    """Sums and products of small integers and of truth values do not overflow."""
    small = backlit.tensor([100, 100], dtype=backlit.int8)
    assert small.sum().dtype is backlit.int64
    assert (small.sum().item(), small.prod().item()) == (200, 10_000)
    assert backlit.tensor([True, True]).sum().item() == 2
    assert small.sum(dtype=backlit.float32).dtype is backlit.float32


@pytest.mark.parametrize("dtype", [backlit.float16, backlit.bfloat16])
def test_half_precision_is_added_in_single(dtype: Any) -> None:
    """A long sum in half precision is rounded once, at the end."""
    total = backlit.ones(4096).to(dtype).sum()
    assert (total.dtype, total.item()) == (dtype, 4096.0)


def test_empty_dims_mean_all() -> None:
    """dim=() reduces everything, as in PyTorch."""
    assert backlit.ones(2, 3).sum(dim=()).item() == 6
    assert backlit.ones(2, 3).amax(()).shape == ()


def test_empty_reductions_have_their_identities() -> None:
    """Over no elements a sum is 0, a product 1, a mean NaN, logsumexp -∞."""
    x = backlit.zeros(0, 2)
    assert x.sum(0).tolist() == [0, 0]
    assert x.prod(0).tolist() == [1, 1]
    assert np.isnan(x.mean(0).tolist()).all()
    assert x.logsumexp(0).tolist() == [-np.inf, -np.inf]
    assert (x.all().item(), x.any().item()) == (True, False)


def test_numpy_names_of_arguments() -> None:
    """axis and keepdims are understood, as PyTorch understands them."""
    assert backlit.ones(2, 3).sum(axis=1, keepdims=True).tolist() == [[3.0], [3.0]]


def test_nan_is_left_out_on_request() -> None:
    """nansum and nanmean skip NaN, in value and in gradient."""
    x = backlit.tensor([1.0, float("nan"), 4.0], requires_grad=True)
    assert x.nansum().item() == 5
    x.nanmean().backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


@given(hnp.arrays(np.float64, 5, elements=st.floats(-1000, 1000)))
def test_logsumexp_does_not_overflow(x: Any) -> None:
    """logsumexp is between the maximum and the maximum plus ln n; its gradient adds up to 1."""
    t = backlit.tensor(x, requires_grad=True)
    out = t.logsumexp(0)
    assert x.max() <= out.item() <= x.max() + np.log(5) + 1e-9
    out.backward()
    assert t.grad.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.tensor([1, 2]).mean(),
            errors.DtypeError,
            (
                "mean(): could not infer output dtype. Input dtype must be a floating point "
                "dtype. Got: int64; convert the input first, as in x.float().mean()."
            ),
        ),
        (
            lambda: backlit.tensor([1, 2]).nanmean(),
            errors.DtypeError,
            (
                "nanmean(): expected input to have floating point dtype but got int64; "
                "convert the input first, as in x.float().nanmean()."
            ),
        ),
        (
            lambda: backlit.zeros(2, 0).amax(),
            errors.ArgumentError,
            (
                "amax(): Expected reduction dim to be specified for input.numel() == 0 (input"
                " (2, 0)). Specify the reduction dim with the 'dim' argument, and choose one "
                "of size at least 1."
            ),
        ),
        (
            lambda: backlit.zeros(2, 0).amin(1),
            errors.IndexOutOfRange,
            "amin(): Expected reduction dim 1 to have non-zero size, but input is (2, 0).",
        ),
        (
            lambda: backlit.zeros(2).trace(),
            errors.ShapeError,
            "trace: expected a matrix, but got tensor with dim 1.",
        ),
        (
            lambda: backlit.zeros(2, 2).sum((0, 0)),
            errors.ShapeError,
            "sum: dim 0 appears multiple times in the list of dims (0, 0).",
        ),
        (
            lambda: backlit.zeros(2, 2).sum(2),
            errors.IndexOutOfRange,
            "sum: Dimension out of range (expected to be in range of [-2, 1], but got 2).",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
