"""What reading tensors, and giving them values and gradients, refuses."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit import ones, tensor
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, GradientError


def leaf(*size: int) -> Tensor:
    return ones(*size).requires_grad_()


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ones(2).item(),
        ArgumentError,
        (
            "a Tensor with 2 elements cannot be converted to Scalar; index one element "
            "first, or use .tolist()."
        ),
    ),
    (
        lambda: float(ones(0)),
        ArgumentError,
        (
            "a Tensor with 0 elements cannot be converted to Scalar; index one element "
            "first, or use .tolist()."
        ),
    ),
    (
        lambda: leaf(2).numpy(),
        GradientError,
        "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
    ),
    (
        lambda: bool(ones(2)),
        ArgumentError,
        "Boolean value of Tensor with more than one value is ambiguous; use .any() or .all().",
    ),
    (
        lambda: bool(ones(0)),
        ArgumentError,
        "Boolean value of Tensor with no values is ambiguous; use .any() or .all().",
    ),
    (
        lambda: operator.index(ones(1)),
        TypeError,
        "only integer tensors of a single element can be converted to an index",
    ),
    (
        lambda: operator.index(tensor([1, 2])),
        TypeError,
        "only integer tensors of a single element can be converted to an index",
    ),
    (lambda: iter(ones(())), TypeError, "iteration over a 0-d tensor"),
    (lambda: len(ones(())), TypeError, "len() of a 0-d tensor"),
    (
        lambda: ones(2).to(dtype=backlit.float64, order="C"),
        TypeError,
        "to() got unexpected keyword arguments ['order'].",
    ),
    (
        lambda: copy.deepcopy(leaf(2) * 2),
        GradientError,
        (
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment; use .detach().clone()."
        ),
    ),
    (
        lambda: pickle.dumps(leaf(2) * 2),
        GradientError,
        "Only leaf tensors can be pickled; use .detach() first.",
    ),
    (lambda: setattr(ones(2), "data", [1.0, 2.0]), TypeError, "data must be a Tensor, not list."),
    (
        lambda: setattr(leaf(2), "data", tensor([1, 2])),
        DtypeError,
        "data of a tensor that requires grad must be floating, not int64.",
    ),
    (
        lambda: setattr(leaf(2), "grad", 1.0),
        TypeError,
        "assigned grad expected to be a Tensor or None but got float.",
    ),
    (
        lambda: setattr(leaf(2), "grad", ones(3)),
        ArgumentError,
        "assigned grad has data of a different size: the tensor is (2,), the grad (3,).",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
