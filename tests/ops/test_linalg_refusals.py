"""What linear algebra refuses, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit import linalg, ones
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, GradientError, ShapeError


def ints(*size: int) -> Tensor:
    return backlit.zeros(*size, dtype=backlit.int64)


def doubles(*size: int) -> Tensor:
    return backlit.zeros(*size, dtype=backlit.float64)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: linalg.inv(2.0),
        TypeError,
        ("linalg.inv(): argument 'input' must be Tensor, not float."),
    ),
    (
        lambda: linalg.inv(ones(2)),
        ShapeError,
        ("linalg.inv: The input tensor A must have at least 2 dimensions, but its shape is (2,)."),
    ),
    (
        lambda: linalg.inv(ones(2, 3)),
        ShapeError,
        ("linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices."),
    ),
    (
        lambda: linalg.inv(ints(2, 2)),
        DtypeError,
        (
            "linalg.inv: Expected a floating point tensor of 32 or 64 bits as input. Got "
            "int64; convert it with .float()."
        ),
    ),
    (
        lambda: linalg.solve_triangular(ones(2, 2), doubles(2, 2), upper=True),
        DtypeError,
        (
            "linalg.solve_triangular: expected A and B to have the same dtype, but got: "
            "float32 != float64; convert one of them with .to(dtype)."
        ),
    ),
    (
        lambda: linalg.solve_triangular(ones(2, 2), ones(3, 2), upper=True),
        ShapeError,
        (
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = "
            "B: (2, 2) and (3, 2)."
        ),
    ),
    (
        lambda: linalg.qr(ones(3, 2).requires_grad_(), "complete").Q.sum().backward(),
        GradientError,
        (
            "linalg.qr: The QR decomposition is not differentiable when mode='complete' "
            "and nrows > ncols, as here for A (3, 2); use mode='reduced'."
        ),
    ),
    (
        lambda: linalg.qr(ones(2, 2), "full"),
        ArgumentError,
        (
            "linalg.qr: qr received unrecognized mode 'full' but expected one of 'reduced' "
            "(default), 'r', or 'complete'."
        ),
    ),
    (
        lambda: linalg.qr(ones(2, 2).requires_grad_(), "r"),
        GradientError,
        (
            "linalg.qr: The derivative of linalg.qr depends on Q, which is not computed "
            "when mode='r'; use mode='reduced'."
        ),
    ),
    (
        lambda: linalg.eigh(ones(2, 2), "X"),
        ArgumentError,
        ("linalg.eigh: Expected UPLO argument to be 'L' or 'U', but got X."),
    ),
    (
        lambda: linalg.lu(ones(2, 2), pivot=False),
        ArgumentError,
        ("linalg.lu: LU without pivoting is not implemented on the CPU; use pivot=True."),
    ),
    (
        lambda: backlit.lu_unpack(ones(2, 2), ints(2)),
        DtypeError,
        (
            "lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 "
            "dtype, got int64; pass the pivots that lu_factor returned."
        ),
    ),
    (
        lambda: backlit.lu_solve(ones(2, 1), ones(2, 2), ints(2)),
        DtypeError,
        ("lu_solve: pivots should be a Tensor of scalar type torch.int32, got int64."),
    ),
    (
        lambda: linalg.lu_solve(ones(2, 2), ints(3).int(), ones(2, 1)),
        ShapeError,
        (
            "linalg.lu_solve: Number of pivots per batch should be same as the dimension "
            "of the matrix: LU is (2, 2), pivots (3,)."
        ),
    ),
    (
        lambda: linalg.lu_solve(ones(2, 2), ints(2).int(), ones(3, 1)),
        ShapeError,
        (
            "linalg.lu_solve: Incompatible shapes of A and B for the equation AX = B: (2, "
            "2) and (3, 1)."
        ),
    ),
    (
        lambda: linalg.solve(ones(2, 2), ones(2), left=False),
        ArgumentError,
        (
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)."
        ),
    ),
    (
        lambda: linalg.solve(ones(2, 2), ones(3, 1)),
        ShapeError,
        (
            "linalg.solve: Incompatible shapes of A and B for the equation AX = B: (2, 2) "
            "and (3, 1)."
        ),
    ),
    (
        lambda: linalg.lstsq(ones(2, 2), ones(2, 2), driver="qr"),
        ArgumentError,
        ("linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), not qr."),
    ),
    (
        lambda: linalg.lstsq(ones(2, 2), ones(3, 2)),
        ShapeError,
        ("linalg.lstsq: A (2, 2) and B (3, 2) must have equally many rows."),
    ),
    (
        lambda: linalg.matrix_power(ones(2, 3), 2),
        ShapeError,
        ("linalg.matrix_power: A must be batches of square matrices, but its shape is (2, 3)."),
    ),
    (
        lambda: linalg.tensorinv(ones(2, 3), ind=0),
        ArgumentError,
        ("linalg.tensorinv: Expected a strictly positive integer for 'ind', got 0."),
    ),
    (
        lambda: linalg.tensorinv(ones(2, 3), ind=1),
        ShapeError,
        (
            "linalg.tensorinv: Expected self to satisfy the requirement "
            "prod(self.shape[ind:]) == prod(self.shape[:ind]), but got 3 != 2."
        ),
    ),
    (
        lambda: linalg.tensorsolve(ones(2, 3), ones(2)),
        ShapeError,
        (
            "linalg.tensorsolve: Expected self to satisfy the requirement "
            "prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but A is (2, "
            "3) and B (2,)."
        ),
    ),
    (
        lambda: linalg.eig(ones(2, 2)),
        DtypeError,
        (
            "linalg.eig: the eigenvalues of a general matrix are complex, and backlit has "
            "no complex numbers; linalg.eigh and linalg.eigvalsh serve symmetric matrices."
        ),
    ),
    (
        lambda: linalg.vector_norm(2.0),
        TypeError,
        ("linalg.vector_norm(): argument 'input' must be Tensor, not float."),
    ),
    (
        lambda: linalg.vector_norm(ints(2)),
        DtypeError,
        (
            "linalg.vector_norm: Expected a floating point tensor as input. Got int64; "
            "convert it with .float()."
        ),
    ),
    (
        lambda: linalg.vector_norm(ones(2), dtype=backlit.int64),
        DtypeError,
        ("linalg.vector_norm: dtype should be floating point. Got int64."),
    ),
    (
        lambda: linalg.vector_norm(doubles(2), dtype=backlit.float32),
        DtypeError,
        (
            "linalg.vector_norm: the dtype of the input (float64) should be convertible "
            "without narrowing to the specified dtype (float32); convert the result "
            "instead."
        ),
    ),
    (
        lambda: linalg.vector_norm(ones(2), "fro"),
        ArgumentError,
        ("linalg.vector_norm: the order must be a number for vectors, got 'fro'."),
    ),
    (
        lambda: linalg.vector_norm(ones(0), float("inf")),
        ShapeError,
        (
            "linalg.vector_norm: cannot compute the inf norm on the empty dimensions (0,) "
            "of (0,) because the operation does not have an identity."
        ),
    ),
    (
        lambda: linalg.matrix_norm(ones(2)),
        ShapeError,
        (
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions, but "
            "its shape is (2,)."
        ),
    ),
    (
        lambda: linalg.matrix_norm(ones(2, 2), dim=0),
        ArgumentError,
        ("linalg.matrix_norm: dim must be a 2-tuple. Got 0."),
    ),
    (
        lambda: linalg.matrix_norm(ones(2, 2), dim=(0, -2)),
        ArgumentError,
        ("linalg.matrix_norm: dims must be different. Got (0, -2)."),
    ),
    (
        lambda: linalg.matrix_norm(ones(2, 2), 3),
        ArgumentError,
        ("linalg.matrix_norm: Order 3 not supported; use 'fro', 'nuc', ±1, ±2 or ±inf."),
    ),
    (
        lambda: linalg.norm(ones(2, 2, 2), 2, dim=(0, 1, 2)),
        ArgumentError,
        ("linalg.norm: If dim is specified, it must be of length 1 or 2. Got [0, 1, 2]."),
    ),
    (
        lambda: linalg.norm(ones(2, 2, 2), 2),
        ShapeError,
        ("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got 3D."),
    ),
    (
        lambda: backlit.norm(ones(2), "max"),
        ArgumentError,
        ("norm: unknown order 'max'; use 'fro', 'nuc' or a number."),
    ),
    (
        lambda: linalg.cross(ones(3), ones(2, 3)),
        ShapeError,
        ("linalg.cross: inputs must have the same number of dimensions, got 1 and 2."),
    ),
    (
        lambda: linalg.cross(ones(4), ones(4)),
        ShapeError,
        ("linalg.cross: inputs dimension 0 must have length 3. Got 4 and 4."),
    ),
    (
        lambda: backlit.cross(ones(4), ones(4)),
        ShapeError,
        ("cross: no dimension of size 3 in input (4,)."),
    ),
    (
        lambda: linalg.vecdot(ints(2), ints(2)),
        DtypeError,
        ("linalg.vecdot: Expected a floating point tensor as input. Got int64 and int64."),
    ),
    (
        lambda: linalg.vander(ones(2), N=1),
        ArgumentError,
        ("linalg.vander: N must be greater than 1, got 1."),
    ),
    (
        lambda: backlit.vander(ones(2, 2)),
        ShapeError,
        ("vander: x must be a one-dimensional tensor, got (2, 2)."),
    ),
    (
        lambda: backlit.vander(ones(2), N=-1),
        ArgumentError,
        ("vander: N must be non-negative, got -1."),
    ),
    (
        lambda: linalg.householder_product(ones(2, 3), ones(3)),
        ShapeError,
        (
            "linalg.householder_product: input (2, 3) must have at least as many rows as "
            "columns, and tau (3,) at most as many elements as it has columns, in the same "
            "batches."
        ),
    ),
    (
        lambda: linalg.householder_product(ones(3, 2), doubles(2)),
        DtypeError,
        ("linalg.householder_product: tau dtype float64 does not match input dtype float32."),
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
