"""Spread, medians, quantiles, covariance."""

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

NAN = float("nan")
numbers = st.integers(-8, 8).map(lambda n: n / 4)
matrices = hnp.arrays(np.float64, st.tuples(st.integers(2, 4), st.integers(2, 5)), elements=numbers)


@given(matrices, st.sampled_from([0, 1, (0, 1)]), st.integers(0, 1), st.booleans())
def test_spread_is_numpys(x: Any, dim: Any, correction: int, keepdim: bool) -> None:
    """Variance and standard deviation with any correction, and the mean beside them."""
    t = backlit.tensor(x)
    kwargs = {"correction": correction, "keepdim": keepdim}
    var = np.var(x, axis=dim, ddof=correction, keepdims=keepdim)
    np.testing.assert_allclose(t.var(dim, **kwargs).numpy(), var, atol=1e-12)
    np.testing.assert_allclose(t.std(dim, **kwargs).numpy(), np.sqrt(var), atol=1e-12)
    both = backlit.std_mean(t, dim, **kwargs)
    np.testing.assert_allclose(both[0].numpy(), np.sqrt(var), atol=1e-12)
    np.testing.assert_allclose(both[1].numpy(), np.mean(x, axis=dim, keepdims=keepdim), atol=1e-12)


def test_the_second_argument_may_be_unbiased() -> None:
    """var(x, False) divides by n; var_mean takes the same forms."""
    x = backlit.tensor([1.0, 3.0])
    assert [x.var(False).item(), x.var(0, True).item()] == [1.0, 2.0]
    assert [v.item() for v in backlit.var_mean(x, False)] == [1.0, 2.0]


def test_no_degrees_of_freedom_give_nan() -> None:
    """One element has no variance about its own mean."""
    assert np.isnan(backlit.tensor([1.0]).var().item())


def test_gradient_of_no_spread_is_zero() -> None:
    """Where the standard deviation is 0 its gradient is 0, and so is the gradient's."""
    x = backlit.tensor([2.0, 2.0], requires_grad=True)
    (g,) = backlit.autograd.grad(x.std(), x, create_graph=True)
    (h,) = backlit.autograd.grad(g.sum(), x)
    assert (g.tolist(), h.tolist()) == ([0.0, 0.0], [0.0, 0.0])


@given(matrices)
def test_the_median_is_the_lower_middle(x: Any) -> None:
    """The element at (n - 1) // 2 of the sorted ones, of all or along a dimension."""
    t = backlit.tensor(x)
    flat = np.sort(x.reshape(-1))
    assert t.median().item() == t.nanmedian().item() == flat[(flat.size - 1) // 2]
    values, indices = t.median(1)
    np.testing.assert_array_equal(values.numpy(), np.sort(x, 1)[:, (x.shape[1] - 1) // 2])
    at = np.take_along_axis(x, indices.numpy()[:, None], 1)[:, 0]
    np.testing.assert_array_equal(at, values.numpy())


def test_equal_elements_share_the_gradient_of_a_median() -> None:
    """The gradient of the median of all elements is spread over those equal to it."""
    x = backlit.tensor([2.0, 1.0, 2.0, 3.0], requires_grad=True)
    x.median().backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5, 0.0]


def test_nan_and_medians() -> None:
    """NaN wins the median; nanmedian leaves it out, unless there is nothing else."""
    x = backlit.tensor([[3.0, NAN, 1.0], [NAN, NAN, NAN]])
    assert np.isnan(x.median(1).values.tolist()).all()
    assert x.median(1).indices.tolist() == [1, 0]
    assert x.nanmedian().item() == 1.0
    values = x.nanmedian(1).values.tolist()
    assert (values[0], np.isnan(values[1])) == (1.0, True)
    assert np.isnan(backlit.zeros(0).median().item())


@given(matrices, st.lists(st.sampled_from([0, 0.2, 0.5, 0.9, 1]), min_size=1, max_size=3))
def test_quantiles_are_numpys(x: Any, q: list[float]) -> None:
    """Every interpolation, one q or several, of all elements or along a dimension."""
    t = backlit.tensor(x)
    for how in ("linear", "lower", "higher", "midpoint", "nearest"):
        found = t.quantile(backlit.tensor(q, dtype=backlit.float64), 1, interpolation=how)
        expected = np.quantile(x, np.array(q), axis=1, method=how)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    found = t.quantile(q[0], keepdim=True)
    np.testing.assert_allclose(found.numpy(), np.quantile(x, q[0], keepdims=True), atol=1e-12)


def test_nan_and_quantiles() -> None:
    """A row with NaN has no quantiles; nanquantile leaves NaN out."""
    x = backlit.tensor([[1.0, NAN, 4.0], [1.0, 2.0, 3.0]])
    plain = x.quantile(0.5, 1).tolist()
    assert (np.isnan(plain[0]), plain[1]) == (True, 2.0)
    assert x.nanquantile(0.5, 1).tolist() == [2.5, 2.0]


def test_gradient_of_a_quantile_is_shared_by_its_neighbours() -> None:
    """The two elements between which a quantile lies get the interpolation's weights."""
    x = backlit.tensor([4.0, 0.0, 2.0], requires_grad=True)
    x.quantile(0.25).backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5]


def test_quantile_into_a_tensor() -> None:
    """out= receives the result."""
    out = backlit.zeros(())
    assert backlit.tensor([1.0, 2.0, 3.0]).quantile(0.5, out=out) is out
    backlit.tensor([1.0, 2.0, 9.0]).nanquantile(1.0, out=out)
    assert out.item() == 9.0


@given(matrices, st.integers(0, 1))
def test_covariance_is_numpys(x: Any, correction: int) -> None:
    """Covariance with frequencies, with weights, with both."""
    f = np.arange(1, x.shape[1] + 1)
    a = f / 4.0
    for fw, aw in ((None, None), (f, None), (None, a), (f, a)):
        found = backlit.tensor(x).cov(
            correction=correction,
            fweights=None if fw is None else backlit.tensor(fw),
            aweights=None if aw is None else backlit.tensor(aw),
        )
        expected = np.cov(x, ddof=correction, fweights=fw, aweights=aw)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_correlation_is_scaled_covariance() -> None:
    """Correlations are 1 on the diagonal and do not depend on units; one variable gives 1."""
    x = np.array([[0.0, 1.0, 3.0], [5.0, 4.0, 0.0]])
    found = backlit.tensor(x).corrcoef()
    np.testing.assert_allclose(found.numpy(), np.corrcoef(x), atol=1e-12)
    np.testing.assert_allclose(found.numpy(), (backlit.tensor(x) * 100).corrcoef().numpy())
    assert backlit.tensor([1.0, 2.0]).corrcoef().item() == 1.0


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.zeros(2).var(0, True, correction=1),
            errors.ArgumentError,
            "var(): give unbiased or correction, not both.",
        ),
        (
            lambda: backlit.tensor([1, 2]).std(),
            errors.DtypeError,
            (
                "std(): only floating point dtypes are supported, got int64; convert the "
                "input first, as in x.float().std()."
            ),
        ),
        (
            lambda: backlit.tensor([True]).median(),
            errors.DtypeError,
            ('median(): "median" is not implemented for bool tensors; use x.int().median().'),
        ),
        (
            lambda: backlit.zeros(2, 0).median(1),
            errors.IndexOutOfRange,
            ("median(): Expected reduction dim 1 to have non-zero size, but input is (2, 0)."),
        ),
        (
            lambda: backlit.zeros(2).quantile(0.5, interpolation="cubic"),
            errors.ArgumentError,
            (
                "quantile() interpolation must be one of linear, lower, higher, midpoint or "
                "nearest, but got cubic."
            ),
        ),
        (
            lambda: backlit.zeros(0).quantile(0.5),
            errors.ArgumentError,
            "quantile() input tensor must be non-empty, got (0,).",
        ),
        (
            lambda: backlit.tensor([1, 2]).nanquantile(0.5),
            errors.DtypeError,
            "nanquantile() input tensor must be either float or double dtype, got int64.",
        ),
        (
            lambda: backlit.zeros(2).quantile(backlit.zeros(1, 1)),
            errors.ShapeError,
            "quantile() q must be a scalar or 1D tensor, got (1, 1).",
        ),
        (
            lambda: backlit.zeros(2).quantile(backlit.zeros(1, dtype=backlit.float64)),
            errors.DtypeError,
            ("quantile() q tensor must be same dtype as the input tensor: float64 and float32."),
        ),
        (
            lambda: backlit.zeros(2).quantile(1.5),
            errors.ArgumentError,
            "quantile() q values must be in the range [0, 1], got 1.5.",
        ),
        (
            lambda: backlit.zeros(1, 1, 1).cov(),
            errors.ShapeError,
            "cov(): expected input to have two or fewer dimensions but got 3.",
        ),
        (
            lambda: backlit.tensor([True]).cov(),
            errors.DtypeError,
            "cov(): bool dtype is not supported for input; use x.float().cov().",
        ),
        (
            lambda: backlit.zeros(2).cov(fweights=backlit.tensor([1, -1])),
            errors.ArgumentError,
            "cov(): fweights cannot be negative.",
        ),
        (
            lambda: backlit.zeros(2).cov(fweights=backlit.tensor([[1, 1]])),
            errors.ShapeError,
            "cov(): expected fweights to have one or fewer dimensions but got 2.",
        ),
        (
            lambda: backlit.zeros(2).cov(fweights=backlit.tensor([1])),
            errors.ShapeError,
            (
                "cov(): expected fweights to have the same numel as there are observations in"
                " the input but got 1 != 2."
            ),
        ),
        (
            lambda: backlit.zeros(2).cov(fweights=backlit.zeros(2)),
            errors.DtypeError,
            "cov(): expected fweights to have integral dtype but got float32.",
        ),
        (
            lambda: backlit.zeros(2).cov(aweights=backlit.tensor([1, 1])),
            errors.DtypeError,
            "cov(): expected aweights to have floating point dtype but got int64.",
        ),
        (
            lambda: backlit.zeros(1, 1, 1).corrcoef(),
            errors.ShapeError,
            "corrcoef(): expected input to have two or fewer dimensions but got 3.",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
