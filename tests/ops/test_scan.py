"""Running sums, products and extremes, differences, integrals, slopes."""

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

numbers = st.integers(-6, 6).map(lambda n: n / 2)
arrays = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=numbers)


@given(arrays)
def test_scans_are_numpys(x: Any) -> None:
    """cumsum, cumprod, cummax and cummin have NumPy's values along every dimension."""
    t = backlit.tensor(x)
    for d in range(-x.ndim, x.ndim):
        np.testing.assert_allclose(t.cumsum(d).numpy(), np.cumsum(x, d))
        np.testing.assert_allclose(t.cumprod(d).numpy(), np.cumprod(x, d))
        for op, ufunc in ((t.cummax, np.maximum), (t.cummin, np.minimum)):
            values, indices = op(d)
            np.testing.assert_array_equal(values.numpy(), ufunc.accumulate(x, d))
            found = np.take_along_axis(x, indices.numpy(), d)
            np.testing.assert_array_equal(found, values.numpy())


@given(hnp.arrays(np.float64, st.integers(1, 6), elements=numbers))
def test_cumprod_gradient_needs_no_division(x: Any) -> None:
    """The gradient of every running product is the product of its other factors, zeros or not."""
    t = backlit.tensor(x, requires_grad=True)
    t.cumprod(0).sum().backward()
    n = len(x)
    expected = [sum(np.prod(np.delete(x[: k + 1], i)) for k in range(i, n)) for i in range(n)]
    np.testing.assert_allclose(t.grad.numpy(), expected, atol=1e-9)


def test_cumprod_has_second_derivatives_at_zero() -> None:
    """d²(xyz)/dx dy = z, at x = y = 0, too."""
    x = backlit.tensor([0.0, 0.0, 5.0], requires_grad=True)
    (g,) = backlit.autograd.grad(x.cumprod(0)[2], x, create_graph=True)
    (h,) = backlit.autograd.grad(g[0], x)
    assert h.tolist() == [0.0, 5.0, 0.0]


@given(hnp.arrays(np.float64, st.integers(1, 5), elements=st.floats(-900, 900)))
def test_logcumsumexp_is_exact_at_any_size(x: Any) -> None:
    """Running log-sum-exp equals logsumexp of each prefix; its gradients are weights in [0, 1]."""
    t = backlit.tensor(x, requires_grad=True)
    out = t.logcumsumexp(0)
    prefixes = [backlit.tensor(x[: k + 1]).logsumexp(0).item() for k in range(len(x))]
    np.testing.assert_allclose(out.tolist(), prefixes, rtol=1e-9, atol=1e-9)
    out[-1].backward()
    np.testing.assert_allclose(t.grad.numpy(), np.exp(x - prefixes[-1]), atol=1e-12)


def test_running_extremes_keep_the_last_of_equals() -> None:
    """Of equal elements the last counts; after a NaN everything is NaN."""
    x = backlit.tensor([1.0, 1.0, float("nan"), 5.0])
    assert x.cummax(0).indices.tolist() == [0, 1, 2, 2]
    assert np.isnan(x.cummin(0).values.tolist()[2:]).all()


@given(arrays, st.integers(0, 3))
def test_diff_is_numpys(x: Any, n: int) -> None:
    """Differences of any order, along every dimension."""
    for d in range(x.ndim):
        np.testing.assert_allclose(backlit.tensor(x).diff(n, d).numpy(), np.diff(x, n, d))


def test_diff_with_more_at_the_ends() -> None:
    """prepend and append take part; truth values differ or not."""
    x = backlit.tensor([1, 4])
    assert x.diff(prepend=backlit.tensor([0]), append=backlit.tensor([9])).tolist() == [1, 3, 5]
    assert backlit.tensor([True, True, False]).diff().tolist() == [False, True]


@given(hnp.arrays(np.float64, (3, 4), elements=numbers))
def test_integrals_are_numpys(y: Any) -> None:
    """The trapezoidal rule, at unit distance or at sample points."""
    x = np.array([0.0, 0.5, 2.0, 3.0])
    t = backlit.tensor(y)
    np.testing.assert_allclose(backlit.trapezoid(t).numpy(), np.trapezoid(y))
    np.testing.assert_allclose(backlit.trapz(t, backlit.tensor(x)).numpy(), np.trapezoid(y, x))
    np.testing.assert_allclose(
        backlit.trapezoid(t, dx=0.5, dim=0).numpy(), np.trapezoid(y, dx=0.5, axis=0)
    )
    running = backlit.cumulative_trapezoid(t, backlit.tensor(x))
    np.testing.assert_allclose(running[:, -1].numpy(), np.trapezoid(y, x))


@given(hnp.arrays(np.float64, (4, 3), elements=numbers), st.sampled_from([1, 2]))
def test_slopes_are_numpys(x: Any, edge_order: int) -> None:
    """gradient equals numpy.gradient: even or uneven spacing, either order at the ends."""
    at = np.array([0.0, 0.5, 2.0, 3.0])
    t = backlit.tensor(x)
    for found, expected in zip(
        backlit.gradient(t, edge_order=edge_order),
        np.gradient(x, edge_order=edge_order),
        strict=True,
    ):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    (uneven,) = backlit.gradient(t, spacing=(backlit.tensor(at),), dim=0, edge_order=edge_order)
    np.testing.assert_allclose(
        uneven.numpy(), np.gradient(x, at, axis=0, edge_order=edge_order), atol=1e-12
    )


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"])
def test_a_tensor_without_dimensions_is_scanned(name: str) -> None:
    """A scan of a single number is that number, with gradient 1."""
    x = backlit.tensor(3.0, requires_grad=True)
    found = getattr(x, name)(0)
    value = found[0] if isinstance(found, tuple) else found
    value.backward()
    assert (value.item(), x.grad.item()) == (3.0, 1.0)


def test_scans_in_place() -> None:
    """cumsum_ and cumprod_ change their tensor."""
    x = backlit.tensor([1.0, 2.0, 3.0])
    assert x.cumsum_(0) is x
    assert x.cumprod_(0).tolist() == [1.0, 3.0, 18.0]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.tensor([1]).logcumsumexp(0),
            errors.DtypeError,
            (
                'logcumsumexp(): "logcumsumexp" is not implemented for int64 tensors; convert'
                " the input first, as in x.float().logcumsumexp(0)."
            ),
        ),
        (
            lambda: backlit.tensor(1.0).diff(),
            errors.ShapeError,
            "diff expects input to be at least one-dimensional; got a 0-d tensor.",
        ),
        (
            lambda: backlit.zeros(3).diff(-1),
            errors.ArgumentError,
            "diff(): order must be non-negative but got -1.",
        ),
        (
            lambda: backlit.zeros(3).diff(prepend=backlit.zeros(1, 3)),
            errors.ShapeError,
            ("diff expects prepend or append to be the same dimension as input: (1, 3) and (3,)."),
        ),
        (
            lambda: backlit.trapezoid(backlit.tensor([True])),
            errors.DtypeError,
            "trapezoid: received a bool input for `x` or `y`, but bool is not supported.",
        ),
        (
            lambda: backlit.trapezoid(backlit.zeros(3), backlit.zeros(3), dx=1.0),
            errors.ArgumentError,
            "trapezoid: give the sample points x or their distance dx, not both.",
        ),
        (
            lambda: backlit.trapz(backlit.zeros(2, 3), backlit.zeros(2)),
            errors.ShapeError,
            (
                "trapz: There must be one `x` value for each sample point: x has 2, and y (2,"
                " 3) has 3 along dim -1."
            ),
        ),
        (
            lambda: backlit.gradient(backlit.zeros(3), edge_order=3),
            errors.ArgumentError,
            ("gradient(): edge_order must be 1 or 2 (the order of accuracy at both ends), got 3."),
        ),
        (
            lambda: backlit.gradient(backlit.zeros(3, 3), spacing=[1.0], dim=(0, 1)),
            errors.ArgumentError,
            (
                "gradient(): expected spacing to be unspecified, a scalar, or a list with one"
                " entry for each of the 2 dims; got 1."
            ),
        ),
        (
            lambda: backlit.gradient(backlit.zeros(3, 3), dim=(0, 0)),
            errors.ArgumentError,
            "gradient(): dim (0, 0) appears multiple times in the list of dims.",
        ),
        (
            lambda: backlit.gradient(backlit.zeros(1)),
            errors.ArgumentError,
            (
                "gradient(): expected each dimension size to be at least edge_order+1 = 2; "
                "dim 0 of input (1,) has 1."
            ),
        ),
        (
            lambda: backlit.gradient(backlit.zeros(3), spacing=[backlit.zeros(2)]),
            errors.ArgumentError,
            (
                "gradient(): expected the coordinates along dim 0 to be a vector of 3 "
                "elements, got (2,)."
            ),
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
