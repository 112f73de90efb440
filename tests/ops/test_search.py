"""Places in sorted sequences, membership, histograms."""

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

vectors = hnp.arrays(np.float64, st.integers(1, 8), elements=st.integers(-4, 4).map(float))


@given(vectors, vectors, st.booleans())
def test_places_are_numpys(boundaries: Any, x: Any, right: bool) -> None:
    """searchsorted and bucketize find NumPy's places, with a sorter or without."""
    b = np.sort(boundaries)
    expected = np.searchsorted(b, x, "right" if right else "left").tolist()
    edges, t = backlit.tensor(b), backlit.tensor(x)
    assert backlit.searchsorted(edges, t, right=right).tolist() == expected
    assert backlit.bucketize(t, edges, right=right).tolist() == expected
    order = backlit.tensor(boundaries).argsort()
    mixed = backlit.searchsorted(backlit.tensor(boundaries), t, right=right, sorter=order)
    assert mixed.tolist() == expected


def test_rows_are_searched_one_by_one() -> None:
    """Several rows of boundaries each take the row of values in the same place."""
    rows = backlit.tensor([[1, 3], [2, 4]])
    found = backlit.searchsorted(rows, backlit.tensor([[2], [2]]), out_int32=True)
    assert (found.tolist(), found.dtype) == ([[1], [0]], backlit.int32)


def test_a_number_can_be_searched() -> None:
    """A Python number gives a 0-d result; another number needs no new recording."""
    edges = backlit.tensor([1.0, 3.0, 5.0])
    assert [backlit.bucketize(v, edges).item() for v in (0, 2, 4.0, 9)] == [0, 1, 2, 3]
    assert backlit.searchsorted(edges, 3, side="right").item() == 2


@given(vectors, vectors, st.booleans())
def test_membership_is_numpys(x: Any, tests: Any, invert: bool) -> None:
    """isin says which elements are among the others, or which are not."""
    found = backlit.isin(backlit.tensor(x), backlit.tensor(tests), invert=invert)
    assert found.tolist() == np.isin(x, tests, invert=invert).tolist()


def test_membership_of_and_in_a_number() -> None:
    """Either side may be a number; nothing is in nothing, and NaN is in nothing."""
    x = backlit.tensor([1.0, float("nan")])
    assert backlit.isin(x, 1).tolist() == [True, False]
    assert backlit.isin(1.0, x).item()
    assert backlit.isin(x, x).tolist() == [True, False]
    assert backlit.isin(x, backlit.zeros(0)).tolist() == [False, False]


@given(hnp.arrays(np.int64, st.integers(0, 8), elements=st.integers(0, 5)), st.integers(0, 9))
def test_bincount_is_numpys(x: Any, minlength: int) -> None:
    """Counts, or sums of weights, of each whole number."""
    weights = np.arange(len(x)) / 2
    t = backlit.tensor(x)
    assert t.bincount(minlength=minlength).tolist() == np.bincount(x, None, minlength).tolist()
    weighed = t.bincount(backlit.tensor(weights), minlength)
    assert weighed.tolist() == np.bincount(x, weights, minlength).tolist()


@given(vectors, st.integers(1, 5))
def test_histograms_are_numpys(x: Any, bins: int) -> None:
    """Counts in equal bins over a range, over that of the data, and between given edges."""
    t = backlit.tensor(x)
    ranged, _ = np.histogram(x, bins, (-3.0, 3.0))
    assert t.histc(bins, -3, 3).tolist() == ranged.tolist()
    found, edges = t.histogram(bins)
    counts, expected = np.histogram(x, bins)
    np.testing.assert_allclose(edges.numpy(), expected, atol=1e-12)
    assert found.sum().item() == counts.sum() == len(x)
    given_edges = np.array([-2.5, 0.5, 3.0])
    between = t.histogram(backlit.tensor(given_edges)).hist
    assert between.tolist() == np.histogram(x, given_edges)[0].tolist()


def test_the_range_of_the_data_must_be_finite() -> None:
    """histc over the range of data with an infinity is refused when it is computed."""
    with pytest.raises(errors.ArgumentError) as caught:
        backlit.tensor([1.0, float("inf")]).histc(3).tolist()
    assert str(caught.value).startswith(
        "histc(): range of [1, inf] is not finite; give finite min and max."
    )


def test_densities_integrate_to_one() -> None:
    """With density, bars times widths add up to 1, weights or not."""
    x, w = backlit.tensor([0.0, 1.0, 3.0]), backlit.tensor([1.0, 2.0, 5.0])
    for weight in (None, w):
        hist, edges = x.histogram(3, range=(0.0, 6.0), weight=weight, density=True)
        assert (hist * edges.diff()).sum().item() == pytest.approx(1)
    assert x.histogram(3, weight=w).hist.tolist() == [1.0, 2.0, 5.0]


def test_equal_elements_get_a_bin_around_them() -> None:
    """Where the data has no width, the bins reach half a unit (histc: one) to either side."""
    x = backlit.tensor([2.0, 2.0])
    assert x.histogram(2).bin_edges.tolist() == [1.5, 2.0, 2.5]
    assert x.histogram(1, range=(2.0, 2.0)).bin_edges.tolist() == [1.5, 2.5]
    assert x.histc(2).tolist() == [0.0, 2.0]
    assert backlit.zeros(0).histogram(2).bin_edges.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.searchsorted(backlit.zeros(2), 1.0, side="middle"),
            errors.ArgumentError,
            "searchsorted(): side can only be 'left' or 'right' but got 'middle'.",
        ),
        (
            lambda: backlit.searchsorted(backlit.zeros(2), 1.0, side="left", right=True),
            errors.ArgumentError,
            (
                "searchsorted(): side and right can't be set to opposites, got side of left "
                "while right was True."
            ),
        ),
        (
            lambda: backlit.searchsorted(backlit.tensor(1.0), backlit.zeros(2)),
            errors.ShapeError,
            (
                "searchsorted(): boundaries tensor should have positive dimension, but got 0 "
                "dimension."
            ),
        ),
        (
            lambda: backlit.searchsorted(backlit.zeros(2, 3), backlit.zeros(3, 3)),
            errors.ShapeError,
            (
                "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                "dimensions of boundaries tensor and input value tensor must match, but got "
                "boundaries (2, 3) and input (3, 3)."
            ),
        ),
        (
            lambda: backlit.searchsorted(
                backlit.zeros(2), backlit.zeros(2), sorter=backlit.tensor([0])
            ),
            errors.ShapeError,
            ("searchsorted(): boundary and sorter must have the same size, but got (2,) and (1,)."),
        ),
        (
            lambda: backlit.searchsorted(
                backlit.zeros(1), backlit.zeros(2), sorter=backlit.zeros(1)
            ),
            errors.DtypeError,
            "searchsorted(): sorter must be a tensor of long dtype but got float32.",
        ),
        (
            lambda: backlit.bucketize(backlit.zeros(2), backlit.zeros(2, 2)),
            errors.ShapeError,
            "bucketize(): boundaries tensor must be 1 dimension, but got 2 dimensions.",
        ),
        (
            lambda: backlit.tensor([1]).bincount(minlength=-1),
            errors.ArgumentError,
            "bincount(): minlength should be >= 0, got -1.",
        ),
        (
            lambda: backlit.tensor([1.0]).bincount(),
            errors.ArgumentError,
            (
                "bincount only supports 1-d non-negative integral inputs, got a float32 "
                "tensor of shape (1,)."
            ),
        ),
        (
            lambda: backlit.tensor([1, -2]).bincount(),
            errors.ArgumentError,
            ("bincount only supports 1-d non-negative integral inputs, but the smallest is -2."),
        ),
        (
            lambda: backlit.tensor([1]).bincount(backlit.zeros(2)),
            errors.ShapeError,
            ("bincount(): weights should be 1-d and have the same length as input: (2,) and (1,)."),
        ),
        (
            lambda: backlit.zeros(2).histc(0),
            errors.ArgumentError,
            "histc(): bins must be > 0, got 0.",
        ),
        (
            lambda: backlit.zeros(2).histc(3, 2, 1),
            errors.ArgumentError,
            "histc(): max must be larger than min, got min 2 and max 1.",
        ),
        (
            lambda: backlit.tensor([1]).histogram(2),
            errors.DtypeError,
            "histogram(): input tensor must be floating, got int64; use x.float().",
        ),
        (
            lambda: backlit.zeros(2).histogram(0),
            errors.ArgumentError,
            "histogram(): bins must be > 0, but got 0.",
        ),
        (
            lambda: backlit.zeros(2).histogram(2, range=(1.0, 0.0)),
            errors.ArgumentError,
            "histogram(): min should not exceed max, but got 1.0 and 0.0.",
        ),
        (
            lambda: backlit.zeros(2).histogram(2, weight=backlit.zeros(3)),
            errors.ShapeError,
            (
                "histogram(): if weight tensor is provided it should have the same shape as "
                "the input tensor: (3,) and (2,)."
            ),
        ),
        (
            lambda: backlit.zeros(2).histogram(backlit.zeros(2, 2)),
            errors.ShapeError,
            (
                "histogram(): bins tensor should have one dimension and at least one element,"
                " but got (2, 2)."
            ),
        ),
        (
            lambda: backlit.zeros(2).histogram(backlit.zeros(2, dtype=backlit.float64)),
            errors.DtypeError,
            (
                "histogram(): input tensor and bins tensors should have the same dtype, but "
                "got float32 and float64."
            ),
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
