"""Order, the largest few, the k-th, the most frequent, distinct elements."""

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

ties = hnp.arrays(np.int64, hnp.array_shapes(max_dims=3, max_side=6), elements=st.integers(-3, 3))


@given(ties, st.booleans())
def test_sorting_is_stable(x: Any, descending: bool) -> None:
    """Elements come in order, and equal ones as they were."""
    for d in range(-x.ndim, x.ndim):
        values, indices = backlit.tensor(x).sort(d, descending)
        expected = np.argsort(-x if descending else x, d, kind="stable")
        np.testing.assert_array_equal(indices.numpy(), expected)
        np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, expected, d))


def test_nan_is_the_largest() -> None:
    """NaN comes last in ascending, first in descending order, and among the largest."""
    x = backlit.tensor([2.0, float("nan"), 1.0])
    assert x.argsort().tolist() == [2, 0, 1]
    assert x.argsort(descending=True).tolist() == [1, 0, 2]
    assert x.topk(1).indices.tolist() == [1]


@given(ties, st.data())
def test_topk_is_the_head_of_the_order(x: Any, data: st.DataObject) -> None:
    """The k largest or smallest are the first k of the sorted elements, ties included."""
    d = data.draw(st.integers(0, x.ndim - 1))
    k = data.draw(st.integers(0, x.shape[d]))
    largest = data.draw(st.booleans())
    t = backlit.tensor(x)
    values, indices = t.topk(k, d, largest)
    order = t.argsort(d, descending=largest).narrow(d, 0, k)
    np.testing.assert_array_equal(indices.numpy(), order.numpy())
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, order.numpy(), d))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("high", [20, 10**6])
def test_topk_of_many_equals_sorting(largest: bool, high: int) -> None:
    """Partitioning, used for few of many elements, changes nothing: with many ties or with none."""
    x = np.random.default_rng(0).integers(0, high, (4, 500))
    t = backlit.tensor(x)
    found = t.topk(7, 1, largest).indices
    assert found.tolist() == t.argsort(1, descending=largest)[:, :7].tolist()


@given(ties, st.data())
def test_kthvalue_is_in_the_sorted_place(x: Any, data: st.DataObject) -> None:
    """The k-th smallest element is at k - 1 of the sorted ones; its first place is given."""
    d = data.draw(st.integers(0, x.ndim - 1))
    k = data.draw(st.integers(1, x.shape[d]))
    values, indices = backlit.tensor(x).kthvalue(k, d, keepdim=True)
    np.testing.assert_array_equal(values.numpy(), np.take(np.sort(x, d), [k - 1], d))
    first = np.argmax(x == values.numpy(), d, keepdims=True)
    np.testing.assert_array_equal(indices.numpy(), first)


@given(hnp.arrays(np.int64, st.integers(1, 8), elements=st.integers(-2, 2)))
def test_mode_is_the_smallest_of_the_most_frequent(x: Any) -> None:
    """The most frequent element; of several the smallest; and the last place where it is."""
    values, indices = backlit.tensor(x).mode()
    distinct, counts = np.unique(x, return_counts=True)
    assert values.item() == distinct[np.argmax(counts)]
    assert indices.item() == np.flatnonzero(x == values.item())[-1]


@given(ties)
def test_unique_describes_its_input(x: Any) -> None:
    """The distinct elements at the inverse indices are the input; the counts are right."""
    t = backlit.tensor(x)
    values, inverse, counts = t.unique(return_inverse=True, return_counts=True)
    assert values[inverse].tolist() == x.tolist()
    assert counts.tolist() == [int((x == v).sum()) for v in values.tolist()]
    for d in range(x.ndim):
        rows, back = t.unique(return_inverse=True, dim=d)
        assert rows.index_select(d, back).tolist() == x.tolist()


@given(ties)
def test_unique_consecutive_describes_its_input(x: Any) -> None:
    """Repeating each run as often as it was long gives the input; neighbours differ."""
    t = backlit.tensor(x)
    values, inverse, counts = t.unique_consecutive(return_inverse=True, return_counts=True)
    assert np.repeat(values.numpy(), counts.numpy()).tolist() == x.reshape(-1).tolist()
    assert values[inverse].tolist() == x.tolist()
    assert not (values[1:] == values[:-1]).any().item()
    for d in range(x.ndim):
        rows, back = t.unique_consecutive(return_inverse=True, dim=d)
        assert rows.index_select(d, back).tolist() == x.tolist()


def test_gradients_go_back_to_where_elements_were() -> None:
    """Sorting and selecting pass gradients on to the elements they moved."""
    x = backlit.tensor([3.0, 1.0, 2.0], requires_grad=True)
    (x.sort().values * backlit.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [3.0, 1.0, 2.0]
    x.grad = None
    (x.topk(2).values.sum() + x.kthvalue(1).values + x.msort()[0]).backward()
    assert x.grad.tolist() == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.zeros(3).topk(4),
            errors.ArgumentError,
            (
                "topk(): selected index k out of range: k = 4, but dim -1 of input (3,) has 3"
                " elements."
            ),
        ),
        (
            lambda: backlit.tensor([True]).topk(1),
            errors.DtypeError,
            'topk(): "topk" is not implemented for bool tensors; use x.int().topk(k).',
        ),
        (
            lambda: backlit.zeros(2, 0).mode(),
            errors.IndexOutOfRange,
            ("mode(): Expected reduction dim -1 to have non-zero size, but input is (2, 0)."),
        ),
        (
            lambda: backlit.zeros(3).kthvalue(0),
            errors.ArgumentError,
            (
                "kthvalue(): selected number k out of range for dimension -1: k = 0, but "
                "there are 3 elements, counted from 1."
            ),
        ),
        (
            lambda: backlit.zeros(2, 0).unique(dim=0),
            errors.ShapeError,
            (
                "unique(): There are 0 sized dimensions, and they aren't selected: dim 0 of "
                "input (2, 0)."
            ),
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
