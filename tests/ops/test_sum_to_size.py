"""Sums that undo broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit.errors import ShapeError


@pytest.mark.parametrize("size", [(2, 3, 4), (3, 4), (1, 4), (4,), (2, 1, 1), (1,), ()])
def test_it_is_the_transpose_of_expand(size: tuple[int, ...]) -> None:
    """⟨sum_to_size(x), y⟩ = ⟨x, expand(y)⟩, and the gradient is the expansion."""
    rng = np.random.default_rng(0)
    x = backlit.tensor(rng.standard_normal((2, 3, 4)), requires_grad=True)
    y = backlit.tensor(rng.standard_normal(size))
    product = (x.sum_to_size(size) * y).sum()
    assert product.item() == pytest.approx((x * y).sum().item())
    product.backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(y.numpy(), (2, 3, 4)))


def test_sizes_one_by_one_and_dtypes() -> None:
    """Sizes may come one by one; sums of integers are int64, what is not summed stays."""
    x = backlit.ones(2, 3, dtype=backlit.int32)
    assert x.sum_to_size(2, 1).tolist() == [[3], [3]]
    assert x.sum_to_size([1, 3]).dtype is backlit.int64
    assert x.sum_to_size(2, 3).dtype is backlit.int32
    assert backlit.ones(0, 3).sum_to_size(1, 3).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("size", [(2,), (4, 2, 3), (3, 3)])
def test_refused_sizes(size: tuple[int, ...]) -> None:
    """A size that does not broadcast to the input's."""
    with pytest.raises(ShapeError) as caught:
        backlit.ones(2, 3).sum_to_size(size)
    assert str(caught.value) == (
        f"sum_to_size: size {list(size)} is not expandable to size [2, 3]; each size must be 1 or "
        "that of the input, counted from the last dimension."
    )


def test_refused_arguments() -> None:
    """A size is needed, of whole numbers."""
    x: Any = backlit.ones(3)
    with pytest.raises(TypeError) as caught:
        x.sum_to_size()
    assert str(caught.value) == "sum_to_size() missing 1 required positional argument: 'size'."
    with pytest.raises(TypeError):
        x.sum_to_size(2.5)
