"""Norms of vectors and matrices, condition numbers, and small products of vectors."""

from __future__ import annotations

from math import inf, isinf, prod
from typing import Any

import numpy as np

from backlit.core.dtypes import dtype as Dtype
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.registry import PUBLIC
from backlit.core.size import broadcast, wrap_dim, wrap_dims
from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.linalg import product
from backlit.ops.linalg_factor import check_matrix, eye_over, svd_card
from backlit.ops.linalg_solve import inv_ex_card
from backlit.ops.movement import zeros
from backlit.ops.reduce import reduced_shape


def _norm_shape(x: Value, p: float, dims: tuple[int, ...], keepdim: bool) -> Spec:
    return reduced_shape(x, dims, keepdim), x.dtype


def _norm_gradient(
    g: Tensor, x: Tensor, out: Tensor, p: float, dims: tuple[int, ...], keepdim: bool
) -> Tensor:
    """x̄ = ḡ (|x|/‖x‖)ᵖ⁻¹ sign x; where the norm has a kink, the subgradient 0."""
    if not keepdim:
        shape = tuple(1 if i in dims else n for i, n in enumerate(x.shape))
        g, out = g.reshape(shape), out.reshape(shape)
    if p == 0:
        return zeros(tuple(x.shape), x.dtype)
    if p == 1:
        return x.sign() * g
    if p == 2:
        return x * (g / out).where(out != 0, 0)
    if isinf(p):
        attained = (x.abs() == out).to(x.dtype)
        return x.sign() * attained * (g / attained.sum(dims, keepdim=True))
    size = x.abs()
    scale = (g * out ** (1 - p)).where(out != 0, 0)
    if p < 2:
        return (x.sign() * size ** (p - 1)).where(size != 0, 0) * scale
    return x * size ** (p - 2) * scale


vector_norm_card = primitive(
    "vector_norm",
    "x",
    shape=_norm_shape,
    numpy="ref.vector_norm({x}, {p}, {dims}, {keepdim})",
    vjp=(_norm_gradient,),
    upcast=True,
    maths="(Σ |x|ᵖ)^(1/p)",
    local="sign x (|x|/‖x‖)ᵖ⁻¹",
    samples=lambda: [
        ((np.arange(-3.0, 3.0).reshape(2, 3) + 0.5,), {"p": p, "dims": (1,), "keepdim": False})
        for p in (1.0, 2.0, 3.5)
    ],
)


def _floating(name: str, x: Any, d: Dtype | None) -> Tensor:
    """``x``, converted if asked, which must be floating."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}.")
    if not x.dtype.is_floating_point:
        raise DtypeError(
            f"{name}: Expected a floating point tensor as input. Got {x.dtype.name}; convert it "
            "with "
            ".float()."
        )
    if d is None or d is x.dtype:
        return x
    if not d.is_floating_point:
        raise DtypeError(f"{name}: dtype should be floating point. Got {d.name}.")
    if d.itemsize < x.dtype.itemsize:
        raise DtypeError(
            f"{name}: the dtype of the input ({x.dtype.name}) should be convertible without "
            "narrowing "
            f"to the specified dtype ({d.name}); convert the result instead."
        )
    return x.to(d)


def vector(name: str, x: Tensor, p: float, dim: Any, keepdim: bool) -> Tensor:
    """The p-norm over ``dim`` (all dimensions for None)."""
    if not isinstance(p, (int, float)):
        raise ArgumentError(f"{name}: the order must be a number for vectors, got {p!r}.")
    dims = wrap_dims(dim, x.ndim, name) if x.ndim else ()
    if (p < 0 or p == inf) and not prod(x.shape[d] for d in dims):
        raise ShapeError(
            f"{name}: cannot compute the {p} norm on the empty dimensions {dims} of "
            f"{tuple(x.shape)} "
            "because the operation does not have an identity."
        )
    found: Tensor = vector_norm_card(x, p=float(p), dims=dims, keepdim=keepdim)
    return found


@op(name="linalg.vector_norm", out=True)
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Dtype | None = None
) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over ``dim``; ±inf take the largest or smallest, 0 counts nonzeros."""
    name = "linalg.vector_norm"
    return vector(name, _floating(name, x, dtype), ord, dim, keepdim)


def matrix(name: str, x: Tensor, order: Any, dim: Any, keepdim: bool) -> Tensor:
    """A norm of the matrices that lie in the two dimensions ``dim``."""
    if x.ndim < 2:
        raise ShapeError(
            f"{name}: The input tensor A must have at least 2 dimensions, but its shape is "
            f"{tuple(x.shape)}."
        )
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise ArgumentError(f"{name}: dim must be a 2-tuple. Got {dim!r}.")
    rows, columns = (wrap_dim(d, x.ndim, name) for d in dim)
    if rows == columns:
        raise ArgumentError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]}).")
    if order == "fro":
        frobenius: Tensor = vector_norm_card(x, p=2.0, dims=(rows, columns), keepdim=keepdim)
        return frobenius
    if order == "nuc" or order in (2, -2):
        rest = [d for d in range(x.ndim) if d not in (rows, columns)]
        values = svd_card(x.permute(*rest, rows, columns), full_matrices=False)[1]
        found: Tensor
        if order == "nuc":
            found = values.sum(-1)
        else:
            found = values.amax(-1) if order == 2 else values.amin(-1)
        return found.reshape(reduced_shape(x._var, (rows, columns), True)) if keepdim else found
    if order not in (1, -1, inf, -inf):
        raise ArgumentError(
            f"{name}: Order {order} not supported; use 'fro', 'nuc', ±1, ±2 or ±inf."
        )
    if order in (inf, -inf):
        rows, columns = columns, rows
    sums = vector_norm_card(x, p=1.0, dims=(rows,), keepdim=True)
    found = sums.amax(columns, True) if order > 0 else sums.amin(columns, True)
    return found if keepdim else found.reshape(reduced_shape(x._var, (rows, columns), False))


@op(name="linalg.matrix_norm", out=True)
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Dtype | None = None,
) -> Tensor:
    """A norm of matrices: "fro", "nuc", ±1 (columns), ±2 (singular values) or ±inf (rows)."""
    name = "linalg.matrix_norm"
    return matrix(name, _floating(name, A, dtype), ord, dim, keepdim)


@op(name="linalg.norm", out=True)
def linalg_norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Dtype | None = None,
) -> Tensor:
    """`linalg.vector_norm` or `linalg.matrix_norm`, by the number of dimensions and ``ord``."""
    name = "linalg.norm"
    x = _floating(name, A, dtype)
    if ord is None:
        return vector(name, x, 2, dim, keepdim)
    if dim is not None:
        pair = isinstance(dim, (tuple, list)) and len(dim) == 2
        if isinstance(dim, (tuple, list)) and len(dim) > 2:
            raise ArgumentError(
                f"{name}: If dim is specified, it must be of length 1 or 2. Got {list(dim)}."
            )
        return matrix(name, x, ord, dim, keepdim) if pair else vector(name, x, ord, dim, keepdim)
    if x.ndim not in (1, 2):
        raise ShapeError(
            f"{name}: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{x.ndim}D."
        )
    return (
        matrix(name, x, ord, (0, 1), keepdim)
        if x.ndim == 2
        else vector(name, x, ord, None, keepdim)
    )


@op(out=True)
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    dtype: Dtype | None = None,
) -> Tensor:
    """The p-norm over ``dim``; "fro" is the 2-norm, "nuc" the sum of singular values.

    >>> import backlit
    >>> backlit.tensor([3.0, -4.0]).norm().item()
    5.0
    """
    if p is None:
        p = "fro"
    if p == "nuc":
        x = _floating("norm", input, dtype)
        return matrix("norm", x, "nuc", (0, 1) if dim is None else dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise ArgumentError(f"norm: unknown order {p!r}; use 'fro', 'nuc' or a number.")
    if not input.dtype.is_floating_point and dtype is not None:
        input = input.to(dtype)
    return vector("norm", _floating("norm", input, dtype), 2 if p == "fro" else p, dim, keepdim)


@op(name="linalg.cond", out=True)
def cond(A: Tensor, p: Any = None) -> Tensor:
    """‖A‖ ‖A⁻¹‖: how much relative errors may grow when a system with A is solved."""
    check_matrix("linalg.cond", A, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        values = svd_card(A, full_matrices=False)[1]
        if not values.shape[-1]:
            return zeros(tuple(A.shape[:-2]), A.dtype)
        ratio = values.amax(-1) / values.amin(-1)
        found: Tensor = 1 / ratio if p == -2 else ratio
        return found
    if not A.shape[-1]:
        return zeros(tuple(A.shape[:-2]), A.dtype)
    here = matrix("linalg.cond", A, p, (-2, -1), False)
    there = matrix("linalg.cond", inv_ex_card(A)[0], p, (-2, -1), False)
    return here * there


# -- products of vectors ---------------------------------------------------------------------------


def _cross(name: str, x: Tensor, y: Tensor, dim: int) -> Tensor:
    shape = broadcast(name, tuple(x.shape), tuple(y.shape))
    if x.ndim != y.ndim:
        raise ShapeError(
            f"{name}: inputs must have the same number of dimensions, got {x.ndim} and {y.ndim}."
        )
    dim = wrap_dim(dim, x.ndim, name)
    if x.shape[dim] != 3 or y.shape[dim] != 3:
        raise ShapeError(
            f"{name}: inputs dimension {dim} must have length 3. Got {x.shape[dim]} and "
            f"{y.shape[dim]}."
        )
    x, y = x.expand(shape), y.expand(shape)
    return x.roll(-1, dim) * y.roll(1, dim) - x.roll(1, dim) * y.roll(-1, dim)


@op(name="linalg.cross", out=True)
def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product x × y of vectors of three elements along ``dim``."""
    return _cross("linalg.cross", input, other, dim)


@op(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product; ``dim=None`` takes the first dimension of size 3."""
    if dim is None:
        shape = broadcast("cross", tuple(input.shape), tuple(other.shape))
        if 3 not in shape:
            raise ShapeError(f"cross: no dimension of size 3 in input {tuple(input.shape)}.")
        dim = shape.index(3)
    return _cross("cross", input, other, dim)


@op(name="linalg.vecdot", out=True)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Σ x y along ``dim``."""
    if not x.dtype.is_floating_point or not y.dtype.is_floating_point:
        raise DtypeError(
            f"linalg.vecdot: Expected a floating point tensor as input. Got {x.dtype.name} and "
            f"{y.dtype.name}."
        )
    return (x * y).sum(dim)


def _powers(x: Tensor, n: int) -> list[Tensor]:
    found = [x * 0 + 1]
    for _ in range(n - 1):
        found.append(x if len(found) == 1 else found[-1] * x)
    return found[:n]


@op(name="linalg.vander")
def linalg_vander(x: Tensor, N: int | None = None) -> Tensor:
    """The matrix of powers x⁰ … xᴺ⁻¹ in its columns."""
    if not x.ndim:
        x = x.reshape(1)
    n = x.shape[-1] if N is None else N
    if N is not None and n <= 1:
        raise ArgumentError(f"linalg.vander: N must be greater than 1, got {n}.")
    found: Tensor = PUBLIC["stack"](_powers(x, n), -1)
    return found


@op(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of powers of a vector, the highest first unless ``increasing``."""
    if x.ndim != 1:
        raise ShapeError(f"vander: x must be a one-dimensional tensor, got {tuple(x.shape)}.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise ArgumentError(f"vander: N must be non-negative, got {n}.")
    if n == 0:
        return zeros((x.shape[0], 0), x.dtype)
    powers = _powers(x, n)
    found: Tensor = PUBLIC["stack"](powers if increasing else powers[::-1], -1)
    return found


def _reflect(name: str, A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of H₁ H₂ …, where Hᵢ = I - τᵢ vᵢ vᵢᵀ and vᵢ lies below A's diagonal."""
    check_matrix(name, A)
    m, n = A.shape[-2:]
    k = tau.shape[-1] if tau.ndim else -1
    if n > m or k > n or k < 0 or tuple(tau.shape[:-1]) != tuple(A.shape[:-2]):
        raise ShapeError(
            f"{name}: input {tuple(A.shape)} must have at least as many rows as columns, and tau "
            f"{tuple(tau.shape)} at most as many elements as it has columns, in the same batches."
        )
    if tau.dtype is not A.dtype:
        raise DtypeError(
            f"{name}: tau dtype {tau.dtype.name} does not match input dtype {A.dtype.name}."
        )
    one: Tensor = local.era.constant(np.eye(m, n), A.dtype)
    out = eye_over(A)
    vectors = A.tril(-1) + one
    for i in reversed(range(k)):
        v = vectors[..., i : i + 1]
        out = out - product(v * tau[..., i : i + 1].unsqueeze(-1), product(v, out, True))
    return out


@op(name="linalg.householder_product", out=True)
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of a product of Householder reflections."""
    return _reflect("linalg.householder_product", A, tau)


@op(out=True)
def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """The old name of `linalg.householder_product`."""
    return _reflect("orgqr", input, tau)


@op(name="linalg.diagonal", view=True)
def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as a view."""
    return A.diagonal(offset, dim1, dim2)
