"""Distances between vectors, and their similarity."""

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
pairs = hnp.arrays(np.float64, (3, 4), elements=numbers)
ORDERS = [0.0, 1.0, 1.5, 2.0, 3.0, np.inf]


@given(pairs, pairs, st.sampled_from(ORDERS))
def test_every_row_meets_every_row(x: Any, y: Any, p: float) -> None:
    """cdist[i, j] is the norm of xᵢ - yⱼ; pdist is its upper triangle; dist is one such norm."""
    a, b = backlit.tensor(x), backlit.tensor(y)
    expected = [[np.linalg.norm(r - s, p) for s in y] for r in x]
    np.testing.assert_allclose(backlit.cdist(a, b, p).numpy(), expected, atol=1e-9)
    rows = [np.linalg.norm(x[i] - x[j], p) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(backlit.pdist(a, p).numpy(), rows, atol=1e-9)
    assert backlit.dist(a[0], b[0], p).item() == pytest.approx(expected[0][0], abs=1e-9)


def test_many_distances_by_a_product_equal_the_direct_ones() -> None:
    """From 26 rows on, Euclidean distances come from one matrix product; the values stay."""
    rng = np.random.default_rng(0)
    a, b = (backlit.tensor(rng.normal(size=(n, 5))) for n in (30, 7))
    fast = backlit.cdist(a, b)
    direct = backlit.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    np.testing.assert_allclose(fast.numpy(), direct.numpy(), atol=1e-10)


def test_gradient_of_no_distance_is_zero() -> None:
    """Where two vectors coincide the gradient of their distance is 0, not NaN."""
    x = backlit.tensor([[1.0, 2.0]], requires_grad=True)
    for mode in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
        x.grad = None
        backlit.cdist(x, x.detach(), compute_mode=mode).sum().backward()
        assert x.grad.tolist() == [[0.0, 0.0]]


@given(pairs, pairs)
def test_similarity_is_the_cosine(x: Any, y: Any) -> None:
    """The cosine is that of the unit vectors; against a zero vector it is 0."""
    found = backlit.cosine_similarity(backlit.tensor(x), backlit.tensor(y))
    sizes = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    expected = np.where(sizes == 0, 0, (x * y).sum(1) / np.where(sizes == 0, 1, sizes))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_paired_rows() -> None:
    """pairwise_distance compares rows of the same number, a little apart by eps."""
    x, y = backlit.tensor([[3.0, 0.0]]), backlit.tensor([[0.0, 4.0]])
    assert backlit.pairwise_distance(x, y, eps=0.0, keepdim=True).tolist() == [[5.0]]
    assert backlit.pairwise_distance(x, x, eps=1.0).item() == pytest.approx(2**0.5)


def test_rows_are_scaled_down_to_a_norm() -> None:
    """renorm leaves short slices alone and scales long ones, in place if asked."""
    x = backlit.tensor([[3.0, 4.0], [0.3, 0.4]])
    np.testing.assert_allclose(x.renorm(2, 0, 1.0).numpy(), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    assert x.renorm_(1, 0, 7.0) is x
    assert x[0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.zeros(2, 2).renorm(0, 0, 1.0),
            errors.ArgumentError,
            "renorm: non-positive-norm not supported, got p = 0.",
        ),
        (
            lambda: backlit.zeros(2).renorm(2, 0, 1.0),
            errors.ShapeError,
            ("renorm: input needs at least 2 dimensions, got 1 dimensions; unsqueeze it first."),
        ),
        (
            lambda: backlit.zeros(2, 2).renorm(2, 0, -1.0),
            errors.ArgumentError,
            "renorm: expected maxnorm to be >= 0 but got -1.0.",
        ),
        (
            lambda: backlit.cdist(backlit.zeros(2), backlit.zeros(2, 2)),
            errors.ShapeError,
            (
                "cdist only supports at least 2D tensors: X1 and X2 have 1 and 2 dimensions; "
                "a single vector is x.unsqueeze(0)."
            ),
        ),
        (
            lambda: backlit.cdist(backlit.zeros(2, 2), backlit.zeros(2, 3)),
            errors.ShapeError,
            "cdist: X1 and X2 must have the same number of columns. X1: 2 X2: 3.",
        ),
        (
            lambda: backlit.cdist(backlit.tensor([[1]]), backlit.tensor([[1]])),
            errors.DtypeError,
            "cdist only supports floating-point dtypes, got int64.",
        ),
        (
            lambda: backlit.cdist(backlit.zeros(2, 2), backlit.zeros(2, 2), p=-1.0),
            errors.ArgumentError,
            "cdist only supports non-negative p values, got -1.0.",
        ),
        (
            lambda: backlit.cdist(backlit.zeros(2, 2, 2), backlit.zeros(3, 2, 2)),
            errors.ShapeError,
            (
                "cdist: shapes (2,) and (3,) do not broadcast: the size of tensor a (2) must "
                "match the size of tensor b (3) at non-singleton dimension 0; sizes are "
                "compared from the right and must be equal or 1."
            ),
        ),
        (
            lambda: backlit.pdist(backlit.zeros(2)),
            errors.ShapeError,
            "pdist only supports 2D tensors, got: 1D.",
        ),
        (
            lambda: backlit.pdist(backlit.zeros(2, 2), p=-1.0),
            errors.ArgumentError,
            "pdist only supports non-negative p values, got -1.0.",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
