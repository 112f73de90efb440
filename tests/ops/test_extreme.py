"""Where extremes are, and max and min in their three forms."""

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

ties = hnp.arrays(np.int64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.integers(-2, 2))


@given(ties)
def test_the_first_extreme_counts(x: Any) -> None:
    """argmax and argmin give the first of several, flattened or along each dimension."""
    t = backlit.tensor(x)
    assert t.argmax().item() == np.argmax(x)
    for d in range(-x.ndim, x.ndim):
        np.testing.assert_array_equal(t.argmin(d).numpy(), np.argmin(x, d))
        np.testing.assert_array_equal(
            t.argmax(d, keepdim=True).numpy(), np.argmax(x, d, keepdims=True)
        )


@given(ties)
def test_values_are_those_at_the_indices(x: Any) -> None:
    """Along a dimension, max and min give the extremes and where they are."""
    t = backlit.tensor(x)
    for d in range(x.ndim):
        for op, numpy in ((backlit.max, np.max), (backlit.min, np.min)):
            values, indices = op(t, d, keepdim=True)
            np.testing.assert_array_equal(values.numpy(), numpy(x, d, keepdims=True))
            np.testing.assert_array_equal(np.take_along_axis(x, indices.numpy(), d), values.numpy())


def test_gradient_goes_to_the_index() -> None:
    """Along a dimension only the element at the index gets the gradient; of all, ties share it."""
    x = backlit.tensor([[2.0, 2.0]], requires_grad=True)
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0]]
    x.grad = None
    x.max().backward()
    assert x.grad.tolist() == [[0.5, 0.5]]


def test_two_tensors_are_compared_elementwise() -> None:
    """max(a, b) and min(a, b) are maximum and minimum."""
    a, b = backlit.tensor([1, 5]), backlit.tensor([3, 4])
    assert backlit.max(a, b).tolist() == a.max(other=b).tolist() == [3, 5]
    assert backlit.min(a, b).tolist() == [1, 4]


def test_nan_is_an_extreme() -> None:
    """NaN wins against every number, and its first place is found."""
    x = backlit.tensor([1.0, float("nan"), 3.0])
    assert np.isnan(x.max().item())
    assert (x.argmin().item(), x.max(0).indices.item()) == (1, 1)


def test_results_are_named() -> None:
    """The result of max(dim) unpacks, has fields, and says what it is."""
    found = backlit.tensor([[1, 5], [3, 4]]).max(0)
    values, indices = found
    assert found.values is values
    assert found[1] is indices
    assert repr(found) == (
        "backlit.return_types.max(\nvalues=tensor([3, 5]),\nindices=tensor([1, 0]))"
    )


@pytest.mark.parametrize("x", [3.0, [[3.0]], [[1.0, 2.0], [0.0, 5.0]]])
def test_both_extremes_at_once(x: Any) -> None:
    """aminmax gives amin and amax, also of a 0-d tensor."""
    t = backlit.tensor(x)
    assert [v.tolist() for v in t.aminmax()] == [t.amin().tolist(), t.amax().tolist()]


def test_a_tensor_without_dimensions_has_one_element() -> None:
    """Dimension 0 of a 0-d tensor can be reduced; the result does not share its memory."""
    x = backlit.tensor(3.0)
    values, indices = x.max(0)
    values += 1
    assert (x.item(), indices.item(), x.argmax(0).item()) == (3.0, 0, 0)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: backlit.zeros(2, 0).max(),
            errors.ArgumentError,
            (
                "max(): Expected reduction dim to be specified for input.numel() == 0 (input "
                "(2, 0)). Specify the reduction dim with the 'dim' argument, and choose one "
                "of size at least 1."
            ),
        ),
        (
            lambda: backlit.zeros(2, 0).aminmax(),
            errors.ArgumentError,
            (
                "aminmax(): Expected reduction dim to be specified for input.numel() == 0 "
                "(input (2, 0)). Specify the reduction dim with the 'dim' argument, and "
                "choose one of size at least 1."
            ),
        ),
        (
            lambda: backlit.zeros(2, 0).min(1),
            errors.IndexOutOfRange,
            "min(): Expected reduction dim 1 to have non-zero size, but input is (2, 0).",
        ),
        (
            lambda: backlit.zeros(2, 0).argmax(),
            errors.ArgumentError,
            (
                "argmax(): Expected reduction dim to be specified for input.numel() == 0 "
                "(input (2, 0)). Specify the reduction dim with the 'dim' argument, and "
                "choose one of size at least 1."
            ),
        ),
        (
            lambda: backlit.tensor([True]).argmin(),
            errors.DtypeError,
            ('argmin(): "argmin" is not implemented for bool tensors; use x.int().argmin().'),
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
