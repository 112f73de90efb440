"""The LU factorisation with row exchanges, and what is solved with it."""

from __future__ import annotations

import numpy as np

from backlit.core.dtypes import int32
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.linalg import product, same_dtype
from backlit.ops.linalg_factor import (
    LU,
    LUFactor,
    LUFactorEx,
    _cat,
    _square_samples,
    check_matrix,
    eye,
    triangular,
)  # fmt: skip
from backlit.ops.movement import zeros


def _lu_shape(x: Value, pivot: bool) -> list[Spec]:
    m, n = x.shape[-2:]
    return [(tuple(x.shape), x.dtype), ((*x.shape[:-2], min(m, n)), int32)]


def _lu_gradient(g: Tensor, out: Tensor, out1: Tensor) -> Tensor:
    """For A = P L U: Ā = P L⁻ᵀ (stril(Lᵀ L̄) + triu(Ū Uᵀ)) U⁻ᵀ.

    The columns beyond the square part of a wide A are P L U₂, the rows beyond that of a tall one
    L₂ U: what reaches U₂ or L₂ goes on to L or U.
    """
    m, n = out.shape[-2:]
    k = min(m, n)
    square = out[..., :k, :k]
    gl, gu = g[..., :k, :k].tril(-1), g[..., :k, :k].triu()
    if n > k:  # L⁻ᵀ Ū₂
        beyond = triangular(square.mT, g[..., k:], upper=True, unitriangular=True)
        gl = gl - product(beyond, out[..., k:], False, True)
    elif m > k:  # L̄₂ U⁻ᵀ
        beyond = _right_transposed(g[..., k:, :], square)
        gu = gu - product(out[..., k:, :], beyond, True)
    lower = square.tril(-1) + eye(k, g)
    inner = product(lower, gl, True).tril(-1) + product(gu, square.triu(), False, True).triu()
    left = triangular(square.mT, inner, upper=True, unitriangular=True)
    found = _right_transposed(left, square)
    if m != n:
        found = _cat((found, beyond), -1 if n > k else -2)
    return product(permutation_card(out1, m=m, dtype=g.dtype), found)


def _right_transposed(x: Tensor, u: Tensor) -> Tensor:
    """x U⁻ᵀ for upper triangular U (the upper half of ``u``)."""
    found: Tensor = triangular(u, x.mT, upper=True).mT
    return found


lu_card = primitive(
    "lu_factor",
    "x",
    shape=_lu_shape,
    numpy="ref.lu_factor({x}, {pivot})",
    upcast=True,
    vjp=(_lu_gradient,),
    maths="L, U in x = P L U",
    samples=lambda: [((m,), {"pivot": True}) for m in _square_samples()],
)
permutation_card = primitive(
    "permutation",
    "pivots",
    shape=lambda pivots, m, dtype: ((*pivots.shape[:-1], m, m), dtype),
    numpy="ref.permutation({pivots}, {m}, {dtype})",
    maths="P in x = P L U",
)


def _unpack(lu: Tensor, pivots: Tensor) -> LU:
    m, n = lu.shape[-2:]
    k = min(m, n)
    one: Tensor = local.era.constant(np.eye(m, k), lu.dtype)
    lower = lu[..., :k].tril(-1) + one
    return LU(permutation_card(pivots, m=m, dtype=lu.dtype), lower, lu[..., :k, :].triu())


@op(name="linalg.lu_factor", out=True)
def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """L (below a diagonal of 1) and U of A = P L U in one matrix, and the row exchanges."""
    check_matrix("linalg.lu_factor", A)
    _check_pivot("linalg.lu_factor", pivot)
    return LUFactor(*lu_card(A, pivot=pivot))


def _check_pivot(name: str, pivot: bool) -> None:
    if not pivot:
        raise ArgumentError(
            f"{name}: LU without pivoting is not implemented on the CPU; use pivot=True."
        )


@op(name="linalg.lu_factor_ex", out=True)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """`linalg.lu_factor` with 0, or the place of a zero pivot."""
    check_matrix("linalg.lu_factor_ex", A)
    _check_pivot("linalg.lu_factor_ex", pivot)
    lu, pivots = lu_card(A, pivot=pivot)
    return LUFactorEx(lu, pivots, zero_pivot_card(lu))


zero_pivot_card = primitive(
    "zero_pivot",
    "lu",
    shape=lambda lu: (tuple(lu.shape[:-2]), int32),
    numpy="ref.first_zero_pivot({lu})",
    upcast=True,
    maths="the place of the first zero on the diagonal, from 1, or 0",
)


@op(name="linalg.lu", out=True)
def lu(A: Tensor, *, pivot: bool = True) -> LU:
    """P, L and U in A = P L U."""
    check_matrix("linalg.lu", A)
    _check_pivot("linalg.lu", pivot)
    return _unpack(*lu_card(A, pivot=pivot))


@op(name="lu")
def old_lu(input: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """The old form of `linalg.lu_factor`; with ``get_infos`` also the place of a zero pivot."""
    check_matrix("lu", input)
    _check_pivot("lu", pivot)
    factors, pivots = lu_card(input, pivot=pivot)
    return (factors, pivots, zero_pivot_card(factors)) if get_infos else (factors, pivots)


@op(name="lu_unpack", method=False, out=True)
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> LU:
    """P, L and U from what `lu` and `linalg.lu_factor` give."""
    if LU_pivots.dtype is not int32:
        raise DtypeError(
            "lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype, got "
            f"{LU_pivots.dtype.name}; pass the pivots that lu_factor returned."
        )
    p, lower, upper = _unpack(LU_data, LU_pivots)
    empty = zeros((0,), LU_data.dtype)
    return LU(
        p if unpack_pivots else empty,
        lower if unpack_data else empty,
        upper if unpack_data else empty,
    )


def _lu_solve(
    name: str, lu: Tensor, pivots: Tensor, b: Tensor, left: bool, adjoint: bool
) -> Tensor:
    check_matrix(name, lu, square=True)
    check_matrix(name, b)
    same_dtype(name, lu, b, "LU", "B")
    if pivots.dtype is not int32:
        raise DtypeError(
            f"{name}: pivots should be a Tensor of scalar type torch.int32, got "
            f"{pivots.dtype.name}."
        )
    if tuple(pivots.shape) != tuple(lu.shape[:-1]):
        raise ShapeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix: LU "
            "is "
            f"{tuple(lu.shape)}, pivots {tuple(pivots.shape)}."
        )
    if b.shape[-2 if left else -1] != lu.shape[-1]:
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'}: "
            f"{tuple(lu.shape)} and {tuple(b.shape)}."
        )
    p = permutation_card(pivots, m=lu.shape[-1], dtype=lu.dtype)
    if not left:  # X A = B is Aᵀ Xᵀ = Bᵀ
        b, adjoint = b.mT, not adjoint
    if adjoint:  # Uᵀ Lᵀ Pᵀ X = B
        y = triangular(lu.mT, b, upper=False)
        z = triangular(lu.mT, y, upper=True, unitriangular=True)
        x = product(p, z)
    else:
        y = triangular(lu, product(p, b, True), upper=False, unitriangular=True)
        x = triangular(lu, y, upper=True)
    return x if left else x.mT


@op(name="linalg.lu_solve", out=True)
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X in A X = B, given what `linalg.lu_factor` made of A."""
    return _lu_solve("linalg.lu_solve", LU, pivots, B, left, adjoint)


@op(name="lu_solve", out=True)
def old_lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """The old form of `linalg.lu_solve`: B comes first."""
    return _lu_solve("lu_solve", LU_data, LU_pivots, input, True, False)
