"""What movement ops refuse, with the full text of each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit.errors import ArgumentError, GradientError, IndexOutOfRange, ShapeError

v = backlit.zeros(3)
s = backlit.tensor(1.0)

# What is called with a fresh 2 × 3 tensor, the class of the error, and its text.
REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (
        lambda x: x.reshape(-1, -1),
        ShapeError,
        ("reshape: only one dimension can be inferred (-1), got [-1, -1]."),
    ),
    (
        lambda x: x.reshape(5),
        ShapeError,
        ("reshape: shape '[5]' is invalid for input of size 6; the sizes must multiply to it."),
    ),
    (
        lambda _: backlit.zeros(0).reshape(-1, 0),
        ShapeError,
        (
            "reshape: cannot reshape tensor of 0 elements into shape [-1, 0] because the "
            "unspecified dimension size -1 can be any value and is ambiguous; give every size."
        ),
    ),
    (
        lambda x: x.flatten(1, 0),
        ShapeError,
        (
            "flatten() has invalid args: start_dim cannot come after end_dim, got start_dim=1 and"
            " end_dim=0."
        ),
    ),
    (
        lambda x: x.unflatten(1, ()),
        ShapeError,
        ("unflatten: sizes must be non-empty; give the sizes to split into."),
    ),
    (
        lambda x: x.unflatten(1, (2, 2)),
        ShapeError,
        (
            "unflatten: Provided sizes [2, 2] don't multiply up to the size of dim 1 (3) in the "
            "input tensor."
        ),
    ),
    (
        lambda x: x.permute(0, 0),
        ShapeError,
        ("permute(): duplicate dims are not allowed, got [0, 0]."),
    ),
    (
        lambda x: x.permute(0),
        ShapeError,
        (
            "permute: number of dimensions in the tensor input does not match the length of the "
            "desired ordering of dimensions i.e. input.dim() = 2 is not equal to len(dims) = 1."
        ),
    ),
    (
        lambda _: backlit.zeros(1, 2, 3).t(),
        ShapeError,
        ("t() expects a tensor with <= 2 dimensions, but self is 3D; use .mT or permute."),
    ),
    (
        lambda _: v.adjoint(),
        ShapeError,
        (
            "adjoint: tensor.adjoint() is only supported on matrices or batches of matrices. Got "
            "1-D tensor."
        ),
    ),
    (
        lambda x: x.movedim((0, 1), (0,)),
        ShapeError,
        (
            "movedim: Invalid source or destination dims: source ([0, 1] dims) should contain the"
            " same number of dims as destination ([0] dims)."
        ),
    ),
    (
        lambda x: x.movedim((0, 0), (0, 1)),
        ShapeError,
        ("movedim: repeated dim in `source` ([0, 0])."),
    ),
    (
        lambda x: x.squeeze((0, 0)),
        ShapeError,
        ("squeeze: dims [0, 0] name a dimension twice."),
    ),
    (
        lambda x: x.expand(3),
        ShapeError,
        (
            "expand: the number of sizes provided (1) must be greater or equal to the number of "
            "dimensions in the tensor (2)."
        ),
    ),
    (
        lambda x: x.expand(-1, 2, 3),
        ShapeError,
        (
            "expand: The expanded size of the tensor (-1) isn't allowed in a leading, non-"
            "existing dimension 0; give its size."
        ),
    ),
    (
        lambda x: x.expand(2, 4),
        ShapeError,
        (
            "expand: The expanded size of the tensor (4) must match the existing size (3) at non-"
            "singleton dimension 1. Target sizes: [2, 4]. Tensor sizes: [2, 3]."
        ),
    ),
    (
        lambda _: backlit.broadcast_shapes((-1,)),
        ShapeError,
        ("broadcast_shapes: Trying to create tensor with negative dimension: [-1]."),
    ),
    (
        lambda _: backlit.broadcast_tensors(1),
        TypeError,
        ("broadcast_tensors(): expected Tensors, got int."),
    ),
    (
        lambda _: v.fliplr(),
        ArgumentError,
        ("fliplr: input tensor must have at least 2 dimensions, got 1."),
    ),
    (
        lambda _: v.mT,
        ShapeError,
        ("tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor."),
    ),
    (
        lambda _: v.H,
        ShapeError,
        ("tensor.H is only supported on matrices (2-D tensors). Got 1-D tensor."),
    ),
    (
        lambda _: s.select(0, 0),
        IndexOutOfRange,
        ("select() cannot be applied to a 0-dim tensor."),
    ),
    (
        lambda x: x.select(0, 5),
        IndexOutOfRange,
        ("select(): index 5 out of range for tensor of size [2, 3] at dimension 0."),
    ),
    (
        lambda _: s.narrow(0, 0, 1),
        ArgumentError,
        ("narrow() cannot be applied to a 0-dim tensor."),
    ),
    (
        lambda x: x.narrow(0, 0, -1),
        ArgumentError,
        ("narrow(): length must be non-negative, got -1."),
    ),
    (
        lambda x: x.narrow(0, backlit.tensor(0.5), 1),
        ArgumentError,
        ("narrow(): start must be a 0-dim integral Tensor."),
    ),
    (
        lambda x: x.narrow(0, 5, 1),
        IndexOutOfRange,
        ("narrow(): start out of range (expected to be in range of [-2, 2], but got 5)."),
    ),
    (
        lambda x: x.narrow(0, 1, 2),
        ArgumentError,
        ("narrow(): start (1) + length (2) exceeds dimension size (2)."),
    ),
    (
        lambda x: x[::-1],
        ArgumentError,
        ("slice step must be positive, got -1; use .flip() to reverse."),
    ),
    (
        lambda _: s.split(1),
        ShapeError,
        ("split expects at least a 1-dimensional tensor."),
    ),
    (
        lambda x: x.split(-1),
        ArgumentError,
        ("split expects split_size be non-negative, but got split_size=-1."),
    ),
    (
        lambda x: x.split(0),
        ArgumentError,
        ("split_size can only be 0 if dimension size is 0, but got dimension size of 2."),
    ),
    (
        lambda _: s.split_with_sizes([1]),
        ShapeError,
        ("split_with_sizes expects at least a 1-dimensional tensor."),
    ),
    (
        lambda x: x.split([1, 2]),
        ShapeError,
        (
            "split_with_sizes expects split_sizes to sum exactly to 2 (input tensor's size at "
            "dimension 0) and to be non-negative, but got split_sizes=[1, 2]."
        ),
    ),
    (
        lambda _: s.chunk(1),
        ShapeError,
        ("chunk expects at least a 1-dimensional tensor."),
    ),
    (
        lambda x: x.chunk(0),
        ArgumentError,
        ("chunk expects `chunks` to be greater than 0, got: 0."),
    ),
    (
        lambda _: s.tensor_split(1),
        ShapeError,
        ("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims."),
    ),
    (
        lambda x: x.tensor_split(backlit.tensor([0.5])),
        ArgumentError,
        (
            "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-"
            "dimensional int64 tensor, but got float32 with 1 dims."
        ),
    ),
    (
        lambda x: x.tensor_split(0),
        ArgumentError,
        ("number of sections must be larger than 0, got 0."),
    ),
    (
        lambda _: v.vsplit(1),
        ShapeError,
        (
            "torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with 1 "
            "dimensions!"
        ),
    ),
    (
        lambda x: x.hsplit(2),
        ShapeError,
        (
            "torch.hsplit attempted to split along dimension 1, but the size of the dimension 3 "
            "is not divisible by the split_size 2!"
        ),
    ),
    (
        lambda _: s.unbind(),
        IndexOutOfRange,
        ("Dimension specified as 0 but tensor has no dimensions."),
    ),
    (
        lambda x: x.unfold(0, 3, 1),
        ArgumentError,
        ("unfold: maximum size for tensor at dimension 0 is 2 but size is 3."),
    ),
    (
        lambda x: x.unfold(0, 1, 0),
        ArgumentError,
        ("unfold: step is 0 but must be > 0."),
    ),
    (
        lambda x: x.diagonal(0, 1, 1),
        ArgumentError,
        ("diagonal dimensions cannot be identical 1, 1; give two different ones."),
    ),
    (
        lambda x: x.as_strided((2,), (1, 1)),
        ShapeError,
        ("as_strided: mismatch in length of strides and shape: 2 and 1."),
    ),
    (
        lambda x: x.as_strided((2,), (-1,)),
        ArgumentError,
        (
            "as_strided: Negative strides are not supported at the moment, got strides: [-1] and "
            "offset 0."
        ),
    ),
    (
        lambda x: x.as_strided((7,), (1,)),
        ShapeError,
        (
            "as_strided: setStorage: sizes [7], strides [1], storage offset 0 need 7 elements, "
            "which are out of bounds for storage of 6 elements."
        ),
    ),
    (
        lambda x: x.select_scatter(v, 0, 0).select_scatter(s, 0, 0),
        ShapeError,
        (
            "select_scatter: expected src to have a size equal to the slice of self. src size = "
            "[], slice size = [3]."
        ),
    ),
    (
        lambda x: x.unfold(1, 2, 1).mul_(2),
        GradientError,
        (
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        ),
    ),
    (
        lambda x: x.requires_grad_().t_(),
        GradientError,
        (
            "t_: a leaf Variable that requires grad is being used in an in-place operation; wrap "
            "the change in `with backlit.no_grad():`."
        ),
    ),
    (
        lambda x: x.requires_grad_().as_strided_((1,), (1,)),
        GradientError,
        (
            "as_strided_: a leaf Variable that requires grad is being used in an in-place "
            "operation; make a view of it with as_strided instead."
        ),
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_message_in_full(call: Callable[[Any], Any], kind: type[Exception], text: str) -> None:
    """The error says what, why and the next step, in these words."""
    with pytest.raises(kind) as error:
        call(backlit.zeros(2, 3))
    assert str(error.value) == text
