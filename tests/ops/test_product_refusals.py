"""What products of vectors and matrices refuse, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit import linalg, ones
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError


def ints(*size: int) -> Tensor:
    return backlit.zeros(*size, dtype=backlit.int64)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ones(2, 3) @ ones(4, 3),
        ShapeError,
        (
            "matmul: cannot multiply x (2, 3) by y (4, 3): inner sizes 3 and 4 differ; y.T "
            "(3, 4) would fit."
        ),
    ),
    (
        lambda: backlit.matmul(ones(2, 3), [1.0]),
        TypeError,
        ("matmul(): argument 'other' must be Tensor, not list."),
    ),
    (
        lambda: ones(2, 3) @ ones(()),
        ShapeError,
        (
            "matmul: both arguments to matmul need to be at least 1D, but they are 2D and "
            "0D; use * to scale a tensor."
        ),
    ),
    (
        lambda: ones(5, 2, 3) @ ones(4),
        ShapeError,
        ("matmul: cannot multiply input (5, 2, 3) by other (4,): inner sizes 3 and 4 differ."),
    ),
    (
        lambda: ones(2, 3) @ ints(3),
        DtypeError,
        (
            "matmul: expected x and y to have the same dtype, but got: float32 != int64; "
            "convert one of them with .to(dtype)."
        ),
    ),
    (
        lambda: backlit.mm(ones(2), ones(2, 2)),
        ShapeError,
        (
            "mm: input must be 2-D (a matrix), but its shape is (2,); matmul takes any "
            "number of dimensions."
        ),
    ),
    (
        lambda: backlit.mm(ones(2, 2), 2.0),
        TypeError,
        ("mm(): argument 'mat2' must be Tensor, not float."),
    ),
    (
        lambda: backlit.bmm(ones(2, 3, 3), ones(3, 3, 3)),
        ShapeError,
        (
            "bmm: input (2, 3, 3) and mat2 (3, 3, 3) must hold equally many matrices; "
            "matmul broadcasts batches."
        ),
    ),
    (
        lambda: backlit.dot(ones(2), ones(3)),
        ShapeError,
        (
            "dot: inconsistent tensor size, expected tensor [2] and src [3] to have the "
            "same number of elements."
        ),
    ),
    (
        lambda: backlit.inner(ones(2), ones(3)),
        ShapeError,
        (
            "inner: the last dimension must match on both input tensors but got shapes "
            "(2,) and (3,)."
        ),
    ),
    (
        lambda: backlit.addmm(ones(3), ones(2, 2), ones(2, 2)),
        ShapeError,
        (
            "addmm: shapes (3,) and (2, 2) do not broadcast: the size of tensor a (3) must "
            "match the size of tensor b (2) at non-singleton dimension 1; sizes are "
            "compared from the right and must be equal or 1."
        ),
    ),
    (
        lambda: backlit.addr(ints(2), ints(2), ints(2), alpha=0.5),
        ArgumentError,
        (
            "addr: for integral input tensors, argument alpha must not be a floating point "
            "number, got 0.5."
        ),
    ),
    (
        lambda: backlit.addr(ones(3), ones(2), ones(2)),
        ShapeError,
        (
            "addr: shapes (3,) and (2, 2) do not broadcast: the size of tensor a (3) must "
            "match the size of tensor b (2) at non-singleton dimension 1; sizes are "
            "compared from the right and must be equal or 1."
        ),
    ),
    (
        lambda: backlit.baddbmm(ones(3), ones(2, 2, 2), ones(3, 2, 2)),
        ShapeError,
        ("baddbmm: batch1 (2, 2, 2) and batch2 (3, 2, 2) must hold equally many matrices."),
    ),
    (
        lambda: backlit.addbmm(ones(3), ones(2, 2, 2), ones(3, 2, 2)),
        ShapeError,
        (
            "addbmm: cannot multiply batch1 (2, 2, 2) by batch2 (3, 2, 2): their batch "
            "sizes and inner sizes must agree."
        ),
    ),
    (
        backlit.chain_matmul,
        ArgumentError,
        ("chain_matmul: expected at least one matrix."),
    ),
    (
        lambda: backlit.chain_matmul(ones(2, 3), ones(2, 3)),
        ShapeError,
        (
            "chain_matmul: cannot multiply matrices of shapes (2, 3), (2, 3): sizes 3 and "
            "2 of neighbours differ."
        ),
    ),
    (
        lambda: linalg.multi_dot([ones(2)]),
        ArgumentError,
        ("linalg.multi_dot: expected at least 2 tensors but got 1."),
    ),
    (
        lambda: linalg.multi_dot([ones(2, 2, 2), ones(2, 2)]),
        ShapeError,
        ("linalg.multi_dot: tensors[0] must be a vector or a matrix, but its shape is (2, 2, 2)."),
    ),
    (
        lambda: backlit.tensordot(ones(2, 3), ones(3, 2), 3),
        ArgumentError,
        ("tensordot: expects dims >= 0 and at most 2, but got dims=3."),
    ),
    (
        lambda: backlit.tensordot(ones(2, 3), ones(3, 2), ([0], [0, 1])),
        ArgumentError,
        ("tensordot: both dimension lists should have same length, got [0] and [0, 1]."),
    ),
    (
        lambda: backlit.tensordot(ones(2, 3), ones(3, 2), ([0], [0])),
        ShapeError,
        (
            "tensordot: contracted dimensions need to match, but first has size 2 in dim 0 "
            "of (2, 3) and second has size 3 in dim 0 of (3, 2)."
        ),
    ),
    (
        backlit.einsum,
        ArgumentError,
        ("einsum(): must specify the equation string and at least one operand."),
    ),
    (
        lambda: backlit.einsum("i"),
        ArgumentError,
        ("einsum(): must provide at least one operand."),
    ),
    (
        lambda: backlit.einsum(ones(2), [60]),
        ArgumentError,
        ("einsum(): expected a list of integers in [0, 52) as indices, but got 60."),
    ),
    (
        lambda: backlit.einsum("i;j", ones(2, 2)),
        ArgumentError,
        (
            "einsum(): invalid subscript given in operand 0 of the equation string: ';' in "
            "'i;j'; subscripts must be in [a-zA-Z]."
        ),
    ),
    (
        lambda: backlit.einsum("......", ones(2, 2)),
        ArgumentError,
        ("einsum(): found '.' in operand 0 '......' for which an ellipsis was already found."),
    ),
    (
        lambda: backlit.einsum("i,j", ones(2)),
        ArgumentError,
        ("einsum(): fewer operands were provided than specified in the equation 'i,j': 1 and 2."),
    ),
    (
        lambda: backlit.einsum("ij", ones(2)),
        ShapeError,
        (
            "einsum(): the number of subscripts in the equation (2) does not match the "
            "number of dimensions (1) for operand 0 and no ellipsis was given."
        ),
    ),
    (
        lambda: backlit.einsum("i->ii", ones(2)),
        ArgumentError,
        ("einsum(): output subscript i appears more than once in the output."),
    ),
    (
        lambda: backlit.einsum("i->j", ones(2)),
        ArgumentError,
        ("einsum(): output subscript j does not appear in the equation for any input operand."),
    ),
    (
        lambda: backlit.einsum("ii", ones(2, 3)),
        ShapeError,
        ("einsum(): subscript i is repeated for operand 0 but the sizes don't match, 3 != 2."),
    ),
    (
        lambda: backlit.einsum("i,i", ones(2), ones(3)),
        ShapeError,
        (
            "einsum(): operands do not broadcast with remapped shapes: subscript i has "
            "size 3 in one operand and 2 in another."
        ),
    ),
    (
        lambda: backlit.addmm(ones(5, 2, 2), ones(2, 4), ones(4, 2)),
        ShapeError,
        ("addmm: input (5, 2, 2) cannot be expanded to the product's shape (2, 2)."),
    ),
    (
        lambda: backlit.addr(ones(5, 2, 2), ones(2), ones(2)),
        ShapeError,
        ("addr: input (5, 2, 2) cannot be expanded to the product's shape (2, 2)."),
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
