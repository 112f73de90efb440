"""Functions of square matrices (exponential, powers) and linear maps between tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from backlit.core.op import op
from backlit.core.primitive import primitive
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.linalg import product
from backlit.ops.linalg_factor import _cat, _square_samples, check_matrix, eye_over
from backlit.ops.linalg_solve import inv_card, solve_card
from backlit.ops.movement import zeros


def _exp_gradient(g: Tensor, x: Tensor) -> Tensor:
    """The upper right block of exp([[xᵀ, ḡ], [0, xᵀ]]) (Mathias 1996)."""
    n = x.shape[-1]
    top = _cat((x.mT, g), -1)
    bottom = _cat((zeros(tuple(x.shape), x.dtype), x.mT), -1)
    found: Tensor = matrix_exp_card(_cat((top, bottom), -2))[..., :n, n:]
    return found


matrix_exp_card = primitive(
    "matrix_exp",
    "x",
    shape=lambda x: (tuple(x.shape), x.dtype),
    numpy="ref.matrix_exp({x})",
    upcast=True,
    vjp=(_exp_gradient,),
    maths="Σ xᵏ/k!",
    samples=_square_samples,
)


@op(name="linalg.matrix_exp")
def linalg_matrix_exp(A: Tensor) -> Tensor:
    """The exponential Σ Aᵏ/k! of a square matrix."""
    check_matrix("linalg.matrix_exp", A, square=True)
    found: Tensor = matrix_exp_card(A)
    return found


@op(name="matrix_exp")
def matrix_exp(input: Tensor) -> Tensor:
    """The exponential Σ Aᵏ/k! of a square matrix."""
    check_matrix("matrix_exp", input, square=True)
    found: Tensor = matrix_exp_card(input)
    return found


def _power(name: str, x: Tensor, n: int) -> Tensor:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but its shape is {tuple(x.shape)}."
        )
    if n == 0:
        return eye_over(x)
    if n < 0:
        check_matrix(name, x, square=True)
        x, n = inv_card(x), -n
    if n == 1:
        return x.clone()
    out: Tensor | None = None
    while n:
        if n & 1:
            out = x if out is None else product(out, x)
        n >>= 1
        if n:
            x = product(x, x)
    assert out is not None
    return out


@op(name="linalg.matrix_power", out=True)
def linalg_matrix_power(A: Tensor, n: int) -> Tensor:
    """Aⁿ by repeated squaring; of the inverse for negative n."""
    return _power("linalg.matrix_power", A, n)


@op(name="matrix_power", out=True)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The top-level name of `linalg.matrix_power`."""
    return _power("matrix_power", input, n)


@op(name="linalg.tensorinv", out=True)
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of the linear map that sums over all but the first ``ind`` dimensions."""
    if ind <= 0:
        raise ArgumentError(
            f"linalg.tensorinv: Expected a strictly positive integer for 'ind', got {ind}."
        )
    rows, columns = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if prod(rows) != prod(columns):
        raise ShapeError(
            f"linalg.tensorinv: Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {prod(columns)} != {prod(rows)}."
        )
    found: Tensor = inv_card(A.reshape(prod(rows), prod(columns))).reshape((*columns, *rows))
    return found


@op(name="linalg.tensorsolve", out=True)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X in tensordot(A, X, X.ndim) = B."""
    if dims is not None:
        moved = [int(d) % A.ndim for d in dims]
        A = A.permute(*(d for d in range(A.ndim) if d not in moved), *moved)
    shape = tuple(A.shape[B.ndim :])
    n = prod(shape)
    if prod(A.shape[: B.ndim]) != n or n != prod(B.shape):
        raise ShapeError(
            "linalg.tensorsolve: Expected self to satisfy the requirement "
            "prod(self.shape[other.ndim:]) "
            f"== prod(self.shape[:other.ndim]), but A is {tuple(A.shape)} and B {tuple(B.shape)}."
        )
    found: Tensor = solve_card(A.reshape(n, n), B.reshape(n, 1)).reshape(shape)
    return found


def _complex(name: str) -> Any:
    def body(A: Tensor) -> Tensor:
        """Not available: eigenvalues of a general matrix are complex numbers."""
        raise DtypeError(
            f"{name}: the eigenvalues of a general matrix are complex, and backlit has no complex "
            "numbers; linalg.eigh and linalg.eigvalsh serve symmetric matrices."
        )

    return op(name=name)(body)


eig = _complex("linalg.eig")
eigvals = _complex("linalg.eigvals")
