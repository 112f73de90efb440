"""``x[i]`` and ``x[i:j]`` are made at once, and are the views that would otherwise be recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit.core.views import rows
from backlit.errors import IndexOutOfRange
from backlit.ops.index_parse import Parsed

SHAPES = [(5,), (4, 3), (1, 2), (3, 2, 2), (2, 0)]
KEYS = [0, 2, -1, -5, slice(1, 3), slice(None, 2), slice(-2, None), slice(0, 1), slice(-9, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_same_as_recorded(shape: tuple[int, ...], key: Any) -> None:
    """Values, kind, and the way back to the base."""
    x = backlit.tensor(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    found = rows(x, key)
    if found is None:
        assert not isinstance(key, slice) or len(range(shape[0])[key]) in (0, shape[0])
        return
    expected = Parsed(shape, key).view(x)
    assert found._var is expected._var
    assert found.tolist() == expected.tolist() == x.numpy()[key].tolist()
    assert found._x is not None
    assert expected._x is not None
    assert found._x.view is not None
    assert expected._x.view is not None
    assert found._x.view.moves == expected._x.view.moves
    assert found._x.view.base is x


def test_they_follow_their_base_and_it_them() -> None:
    """A change of one is seen in the other."""
    x = backlit.zeros(3, 2)
    row, part = x[1], x[1:]
    x.add_(1)
    assert (row.tolist(), part.tolist()) == ([1, 1], [[1, 1], [1, 1]])
    row.mul_(5)
    assert x.tolist() == [[1, 1], [5, 5], [1, 1]]
    assert part.tolist() == [[5, 5], [1, 1]]
    part[1] = 7
    assert x[2].tolist() == [7, 7]


def test_what_is_not_made_at_once() -> None:
    """Tensors that are pending or need gradients, steps, whole and empty slices, and errors."""
    x = backlit.zeros(3, 2)
    for key in (3, -4, slice(None), slice(2, 1), slice(0, 2, 1), slice(backlit.tensor(0), 2)):
        assert rows(x, key) is None
    with pytest.raises(IndexOutOfRange):
        x[3]
    assert rows(x + 1, 0) is None
    assert rows(backlit.zeros(3, requires_grad=True), 0) is None
    assert rows(backlit.tensor(1.0), 0) is None
    with backlit.eager():
        assert rows(x, 0) is None


def test_gradients_arrive_at_a_leaf_that_is_a_row() -> None:
    """A row may become a leaf of its own."""
    x = backlit.tensor([[1.0, 2.0], [3.0, 4.0]])
    row = x[1].requires_grad_()
    (row * row).sum().backward()
    assert row.grad is not None
    assert row.grad.tolist() == [6, 8]
