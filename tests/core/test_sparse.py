"""Sparse gradients: places, values, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit.core.sparse import SparseTensor
from backlit.errors import ArgumentError, GradientError, IndexOutOfRange


def test_coalesce_sorts_places_and_adds_equal_ones() -> None:
    """After `coalesce` each place is there once, in order, with the sum of its values."""
    s = backlit.sparse_coo_tensor([[1, 0, 1], [2, 0, 2]], [1.0, 2.0, 3.0], (2, 3))
    assert not s.is_coalesced()
    dense = [[2.0, 0.0, 0.0], [0.0, 0.0, 4.0]]
    assert s.to_dense().tolist() == dense
    c = s.coalesce()
    assert c.indices().tolist() == [[0, 1], [0, 2]]
    assert c.values().tolist() == [2.0, 4.0]
    assert c.to_dense().tolist() == dense
    assert c.coalesce() is c


def test_size_is_inferred_and_rows_are_whole() -> None:
    """Dimensions that places do not name are whole in the values; the smallest size fits."""
    s = backlit.sparse_coo_tensor([[3]], [[1.0, 2.0]], dtype=backlit.float64)
    assert s.size() == (4, 2)
    assert s.dtype is backlit.float64
    assert s.is_sparse
    assert repr(s) == (
        "tensor(indices=tensor([[3]]),\n"
        "       values=tensor([[1., 2.]], dtype=torch.float64),\n"
        "       size=(4, 2), layout=sparse_coo)"
    ).replace("torch.", repr(backlit.float64).split(".")[0] + ".")


def test_a_gradient_may_be_sparse() -> None:
    """``.grad`` takes a sparse gradient of the tensor's shape."""
    w = backlit.zeros(3, requires_grad=True)
    w.grad = backlit.sparse_coo_tensor([[1]], [2.0], (3,))
    assert isinstance(w.grad, SparseTensor)
    assert w.grad.to_dense().tolist() == [0.0, 2.0, 0.0]


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: backlit.sparse_coo_tensor([[0, 1]], [1.0], (3,)),
        ArgumentError,
        (
            "sparse_coo_tensor(): indices must have shape (dimensions, places) and values shape "
            "(places, ...), got (1, 2) and (1,)."
        ),
    ),
    (
        lambda: backlit.sparse_coo_tensor([[0]], [1.0], (3, 2)),
        ArgumentError,
        (
            "sparse_coo_tensor(): 1 rows of indices and values of shape (1,) make a tensor of 1 "
            "dimensions that ends in (), not (3, 2)."
        ),
    ),
    (
        lambda: backlit.sparse_coo_tensor([[3]], [1.0], (3,)),
        IndexOutOfRange,
        (
            "sparse_coo_tensor(): found an index outside of size (3,): the largest are (3,), the "
            "smallest allowed 0."
        ),
    ),
    (
        lambda: backlit.sparse_coo_tensor([[0]], [1.0]).values(),
        GradientError,
        "Cannot get values on an uncoalesced tensor, please call .coalesce() first.",
    ),
    (
        lambda: backlit.sparse_coo_tensor([[0]], [1.0]).indices(),
        GradientError,
        "Cannot get indices on an uncoalesced tensor, please call .coalesce() first.",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """Shapes must fit, places lie inside; an unsorted gradient has no definite values."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
