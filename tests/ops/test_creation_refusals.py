"""What creation functions refuse, with the full text of each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.errors import ArgumentError, DtypeError, GradientError, ShapeError

v = backlit.zeros(3)
s = backlit.tensor(1.0)

# What is called with a fresh 2 × 3 tensor, the class of the error, and its text.
REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (
        lambda _: backlit.tensor("a"),
        DtypeError,
        ("tensor(): invalid data type 'str'; expected numbers, lists or arrays."),
    ),
    (
        lambda _: backlit.tensor([[1, 2], [3]]),
        ShapeError,
        ("tensor(): expected sequence of length 2 at dim 1 (got 1); pad or truncate the lists."),
    ),
    (
        lambda _: backlit.asarray([1], copy=False),
        ArgumentError,
        ("asarray(): can't alias a list as a tensor of this dtype; leave copy=None."),
    ),
    (
        lambda _: backlit.Tensor(1, "a"),
        TypeError,
        ("Tensor(): expected sizes, or one sequence of data; use backlit.tensor(data) for data."),
    ),
    (
        lambda x: backlit.FloatTensor(x.double()),
        TypeError,
        ("Tensor(): expected a float32 tensor, got float64; use .to(dtype)."),
    ),
    (
        lambda _: backlit.Tensor(1, colour=2),
        TypeError,
        ("Tensor(): unexpected keyword arguments ['colour']; use backlit.tensor(data)."),
    ),
    (
        lambda _: backlit.from_numpy([1]),
        TypeError,
        ("from_numpy(): expected np.ndarray (got list)."),
    ),
    (
        lambda _: backlit.from_numpy(np.arange(3)[::-1]),
        ArgumentError,
        (
            "from_numpy(): at least one stride in the given numpy array is negative, and tensors "
            "with negative strides are not currently supported; make a copy with array.copy()."
        ),
    ),
    (
        lambda x: (x.requires_grad_() * 2).requires_grad_(False),
        GradientError,
        (
            "you can only change requires_grad flags of leaf variables; use var_no_grad = "
            "var.detach() to get a tensor without history."
        ),
    ),
    (
        lambda _: backlit.tensor([1], requires_grad=True),
        DtypeError,
        (
            "only Tensors of floating point dtype can require gradients, got int64; use .float() "
            "first."
        ),
    ),
    (
        lambda _: backlit.device(1),
        TypeError,
        ("device(): argument 'type' must be str, not int; backlit runs on the CPU: use 'cpu'."),
    ),
    (
        lambda _: backlit.device("nowhere"),
        ArgumentError,
        ("device 'nowhere' is not available: backlit runs on the CPU; use device='cpu'."),
    ),
    (
        lambda x: x.type("text"),
        ArgumentError,
        ("type(): invalid type: 'text'; expected one such as 'torch.FloatTensor'."),
    ),
    (
        lambda x: x.requires_grad_().resize_(3),
        GradientError,
        ("cannot resize variables that require grad; use .detach() first."),
    ),
    (
        lambda _: v.view(backlit.float64),
        ShapeError,
        (
            "view: to view float32 as float64 (different element sizes) the last dimension must "
            "be contiguous and its bytes divisible by 8, but the tensor has shape [3]."
        ),
    ),
    (
        lambda x: x.requires_grad_().view(backlit.int32),
        GradientError,
        ("view(dtype): gradients do not flow through reinterpreted bits; use .detach() first."),
    ),
    (
        lambda _: backlit.zeros(1, 1.5),
        TypeError,
        ("zeros(): argument 'size' must be tuple of ints, but found int, float."),
    ),
    (
        lambda _: backlit.zeros("a"),
        TypeError,
        ("zeros(): argument 'size' must be tuple of ints, not str."),
    ),
    (
        lambda _: backlit.zeros(-1),
        ShapeError,
        ("zeros: Trying to create tensor with negative dimension: [-1]."),
    ),
    (
        lambda _: backlit.full((1,), None),
        TypeError,
        ("full(): argument 'fill_value' (position 2) must be Number, not NoneType."),
    ),
    (
        lambda _: backlit.zeros_like(1),
        TypeError,
        ("zeros_like(): argument 'input' must be Tensor, not int."),
    ),
    (
        lambda _: backlit.empty_permuted((1, 2), (0, 0)),
        ArgumentError,
        (
            "empty_permuted: Number of dimensions in size does not match the length of the "
            "physical_layout, or a dim is missing or repeated: [1, 2] and [0, 0]."
        ),
    ),
    (
        lambda _: backlit.arange(0, 1, 0),
        ArgumentError,
        ("arange: step must be nonzero."),
    ),
    (
        lambda _: backlit.arange(0, float("inf")),
        ArgumentError,
        ("arange: unsupported range: 0 -> inf; both must be finite."),
    ),
    (
        lambda _: backlit.arange(0, 5, -1),
        ArgumentError,
        ("arange: upper bound and lower bound inconsistent with step sign: 0 to 5 by -1."),
    ),
    (
        lambda _: backlit.linspace(0, 1, -1),
        ArgumentError,
        ("linspace: number of steps must be non-negative, got -1."),
    ),
    (
        lambda _: backlit.linspace(v, 1, 2),
        ArgumentError,
        ("linspace only supports 0-dimensional start and end tensors, but got 1 dims."),
    ),
    (
        lambda _: backlit.eye(-1),
        ArgumentError,
        ("eye: n must be greater or equal to 0, got -1."),
    ),
    (
        lambda _: backlit.complex(v, v),
        DtypeError,
        (
            "complex: complex dtypes are not supported by backlit; keep real and imaginary parts "
            "apart."
        ),
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_message_in_full(call: Callable[[Any], Any], kind: type[Exception], text: str) -> None:
    """The error says what, why and the next step, in these words."""
    with pytest.raises(kind) as error:
        call(backlit.zeros(2, 3))
    assert str(error.value) == text
