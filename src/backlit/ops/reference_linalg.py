"""Linear algebra that NumPy itself lacks, or that it does for a single matrix only."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import numpy as np

from backlit.errors import LinAlgError

Array = Any

_EXP_NORM = 5.4  # the degree-13 approximant is accurate to double precision below this 1-norm
_EXP_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0,
    960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip


def inv(x: Array) -> Array:
    """The inverse of each matrix; raises where there is none."""
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.inv: a matrix of the input {x.shape} is singular and has no inverse; "
            "linalg.pinv gives a pseudoinverse."
        ) from None


def inv_ex(x: Array) -> tuple[Array, Array]:
    """The inverse of each matrix, and 0, or the (1-based) place of a zero pivot."""
    info = np.zeros(x.shape[:-2], np.int32)
    try:
        return np.linalg.inv(x), info
    except np.linalg.LinAlgError:
        info = first_zero_pivot(lu_factor(x)[0])
        good = info == 0
        out = np.full_like(x, np.inf)
        out[good] = np.linalg.inv(x[good])
        return out, info


def solve(a: Array, b: Array) -> Array:
    """X in A X = B for each matrix A; raises where A is singular."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.solve: a matrix of A {a.shape} is singular, so A X = B has no unique "
            "solution; "
            "linalg.lstsq finds the best one."
        ) from None


def solve_ex(a: Array, b: Array) -> tuple[Array, Array]:
    """X in A X = B, and 0, or the (1-based) place of a zero pivot of A."""
    try:
        return np.linalg.solve(a, b), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        inverse, info = inv_ex(a)
        with np.errstate(all="ignore"):
            return inverse @ b, info


def solve_triangular(a: Array, b: Array, upper: bool, unitriangular: bool) -> Array:
    """X in A X = B by substitution, row by row, for all matrices of a batch at once."""
    n = a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = np.array(np.broadcast_to(b, batch + b.shape[-2:]))
    for i in range(n - 1, -1, -1) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        out[..., i : i + 1, :] -= a[..., i : i + 1, known] @ out[..., known, :]
        if not unitriangular:
            out[..., i, :] /= a[..., i, i, None]
    return out


def cholesky(x: Array, upper: bool, check: bool) -> tuple[Array, Array]:
    """The triangular factor of each matrix, and 0 or the order of the bad minor."""
    info = np.zeros(x.shape[:-2], np.int32)
    try:
        factor = np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        if check:
            raise LinAlgError(
                f"linalg.cholesky: a matrix of the input {x.shape} is not positive-definite, so "
                "the "
                "factorization could not be completed; adding a small multiple of the identity may "
                "help."
            ) from None
        factor = np.zeros_like(x)
        for i in np.ndindex(x.shape[:-2]):
            factor[i], info[i] = _cholesky_part(x[i])
    return (factor.swapaxes(-1, -2) if upper else factor), info


def _cholesky_part(x: Array) -> tuple[Array, int]:
    """As much of one factor as exists, and the order of the first minor that is not positive."""
    out = np.tril(x)
    n = len(x)
    for j in range(n):
        pivot = out[j, j] - out[j, :j] @ out[j, :j]
        if not pivot > 0:
            return out, j + 1
        out[j, j] = np.sqrt(pivot)
        out[j + 1 :, j] = (out[j + 1 :, j] - out[j + 1 :, :j] @ out[j, :j]) / out[j, j]
    return out, 0


def eigh(x: Array, uplo: Literal["L", "U"]) -> tuple[Array, Array]:
    """Ascending eigenvalues and eigenvectors of each symmetric matrix."""
    try:
        values, vectors = np.linalg.eigh(x, uplo)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.eigh: the algorithm failed to converge for a matrix of the input {x.shape}; "
            "it may hold NaN or have too many repeated eigenvalues."
        ) from None
    return values, vectors


def svd(x: Array, full_matrices: bool) -> tuple[Array, Array, Array]:
    """Singular vectors and descending singular values of each matrix."""
    try:
        u, s, vh = np.linalg.svd(x, full_matrices=full_matrices)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.svd: the algorithm failed to converge for a matrix of the input {x.shape}; "
            "it may hold NaN or infinities."
        ) from None
    return u, s, vh


def qr(x: Array, mode: Literal["reduced", "complete"]) -> tuple[Array, Array]:
    """Orthonormal and upper triangular factors of each matrix."""
    q, r = np.linalg.qr(x, mode)
    return q, r


def lu_factor(x: Array, pivot: bool = True) -> tuple[Array, Array]:
    """L and U in one matrix by Gaussian elimination, and the rows exchanged (from 1)."""
    out = np.array(x)
    m, n = out.shape[-2:]
    batch = out.shape[:-2]
    k = min(m, n)
    pivots = np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), (*batch, k)).copy()
    flat = out.reshape(prod(batch), m, n)
    chosen = pivots.reshape(prod(batch), k)
    every = np.arange(len(flat))
    for j in range(k):
        if pivot:
            row = j + np.abs(flat[:, j:, j]).argmax(axis=1)
            chosen[:, j] = row + 1
            held = flat[every, row].copy()
            flat[every, row] = flat[:, j]
            flat[:, j] = held
        diagonal = flat[:, j, j]
        scale = np.where(diagonal == 0, 1, diagonal)
        flat[:, j + 1 :, j] /= scale[:, None]
        flat[:, j + 1 :, j + 1 :] -= flat[:, j + 1 :, j, None] * flat[:, j, None, j + 1 :]
    return out, pivots


def first_zero_pivot(lu: Array) -> Array:
    """0, or the (1-based) place of the first zero on the diagonal of U."""
    zero = np.diagonal(lu, axis1=-2, axis2=-1) == 0
    if zero.shape[-1] == 0:
        return np.zeros(zero.shape[:-1], np.int32)
    return np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)


def permutation(pivots: Array, m: int, dtype: Any) -> Array:
    """The permutation matrix P in A = P L U from the rows that were exchanged."""
    flat = pivots.reshape(prod(pivots.shape[:-1]), pivots.shape[-1])
    order = np.broadcast_to(np.arange(m), (len(flat), m)).copy()
    every = np.arange(len(flat))
    for j in range(flat.shape[1]):
        other = flat[:, j] - 1
        order[every, j], order[every, other] = order[every, other], order[every, j].copy()
    out = np.zeros((len(flat), m, m), dtype)
    out[every[:, None], order, np.arange(m)] = 1
    return out.reshape(*pivots.shape[:-1], m, m)


def slogdet(x: Array) -> tuple[Array, Array]:
    """Sign and logarithm of the absolute value of each determinant."""
    sign, logarithm = np.linalg.slogdet(x)
    return np.asarray(sign, x.dtype), np.asarray(logarithm, x.dtype)


def cofactor(x: Array) -> Array:
    """The derivative of each determinant, also where the matrix is singular.

    For A = U S Vᵀ it is det(U) det(V) U diag(Π_{j≠i} s_j) Vᵀ.
    """
    if x.shape[-1] == 0:
        return np.array(x)
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(-1)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return ((u * others[..., None, :]) @ vh * sign[..., None, None]).astype(x.dtype)


def pinv(x: Array, atol: Array, rtol: Array, hermitian: bool) -> Array:
    """The pseudoinverse of each matrix, without singular values below max(atol, rtol · largest)."""
    if x.size == 0:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    if hermitian:
        s, u = np.linalg.eigh(x)
        vh = u.swapaxes(-1, -2)
    else:
        u, s, vh = np.linalg.svd(x, full_matrices=False)
    size = np.abs(s)
    limit = np.maximum(atol, rtol * size.max(-1, initial=0))[..., None]
    inverse = np.where(size > limit, 1 / np.where(s == 0, 1, s), 0)
    out: Array = vh.swapaxes(-1, -2) @ (inverse[..., None] * u.swapaxes(-1, -2))
    return out.astype(x.dtype)


def matrix_exp(x: Array) -> Array:
    """The exponential of each matrix by scaling, a Padé approximant, and squaring (Higham 2005)."""
    if x.size == 0:
        return np.array(x)
    a = x.astype(np.float64)
    norm = np.abs(a).sum(-2).max()
    squarings = (
        max(0, int(np.ceil(np.log2(norm / _EXP_NORM)))) if norm > 0 and np.isfinite(norm) else 0
    )
    a = a / 2.0**squarings
    b = _EXP_PADE
    one = np.eye(a.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = (
        a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one
    )
    even = (
        a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    )
    u = a @ odd
    out = np.linalg.solve(even - u, even + u)
    for _ in range(squarings):
        out = out @ out
    return out.astype(x.dtype)


def vector_norm(x: Array, p: float, dims: tuple[int, ...], keepdim: bool) -> Array:
    """(Σ |x|ᵖ)^(1/p) over ``dims``; the limits for p = ±∞, the count of nonzeros for p = 0."""
    if p == 2:
        return np.sqrt(np.sum(x * x, axis=dims, keepdims=keepdim))
    if p == 0:
        return np.sum(x != 0, axis=dims, keepdims=keepdim, dtype=x.dtype)
    size = np.abs(x)
    if p == 1:
        return np.sum(size, axis=dims, keepdims=keepdim)
    if p == np.inf:
        return np.max(size, axis=dims, keepdims=keepdim, initial=0)
    if p == -np.inf:
        return np.min(size, axis=dims, keepdims=keepdim)
    return np.sum(size**p, axis=dims, keepdims=keepdim) ** (1 / p)


def softmax(x: Array, dim: int) -> Array:
    """exp(x) / Σ exp(x) along ``dim``, shifted by the maximum so that nothing overflows."""
    if x.size == 0:
        return np.array(x)
    out = np.exp(x - x.max(axis=dim, keepdims=True))
    out /= out.sum(axis=dim, keepdims=True)
    return out


def log_softmax(x: Array, dim: int) -> Array:
    """x - ln Σ exp(x) along ``dim``, shifted by the maximum so that nothing overflows."""
    if x.size == 0:
        return np.array(x)
    out = x - x.max(axis=dim, keepdims=True)
    out -= np.log(np.exp(out).sum(axis=dim, keepdims=True))
    return out


def standardize(x: Array, dims: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    """(x - mean) / √(variance + eps) over ``dims``, the mean and the (biased) variance."""
    if x.size == 0:
        kept = tuple(1 if i in dims else n for i, n in enumerate(x.shape))
        return np.array(x), np.full(kept, np.nan, x.dtype), np.full(kept, np.nan, x.dtype)
    mean = x.mean(axis=dims, keepdims=True)
    out = x - mean
    variance = (out * out).mean(axis=dims, keepdims=True)
    out /= np.sqrt(variance + eps)
    return out, mean, variance


def pick(x: Array, index: Array, dim: int, ignore: int) -> Array:
    """``x[…, index[…], …]`` along ``dim``; 0 where the index is ``ignore``."""
    mask = None
    if index.size and (ignore >= 0 or index.min() < 0):
        mask = index == ignore
        index = np.where(mask, 0, index)
        if index.min() < 0:
            raise IndexError(f"Target {index.min()} is out of bounds.")
    if x.ndim == 2 and dim == 1:
        out = x[np.arange(len(x)), index]
    else:
        out = np.take_along_axis(x, np.expand_dims(index, dim), dim).squeeze(dim)
    if mask is not None and mask.any():
        out = np.where(mask, x.dtype.type(0), out)
    return out


def place(g: Array, index: Array, n: int, dim: int, ignore: int) -> Array:
    """Zeros of size ``n`` along ``dim``, with ``g`` at ``index``: the transpose of `pick`."""
    out = np.zeros((*index.shape[:dim], n, *index.shape[dim:]), g.dtype)
    if index.size and (ignore >= 0 or index.min() < 0):
        mask = index == ignore
        index, g = np.where(mask, 0, index), np.where(mask, g.dtype.type(0), g)
    if out.ndim == 2 and dim == 1:
        out[np.arange(len(out)), index] = g
    else:
        np.put_along_axis(out, np.expand_dims(index, dim), np.expand_dims(g, dim), dim)
    return out


def take_rows(x: Array, index: Array) -> Array:
    """``x[index]``: one row of ``x`` per index; an index outside of x raises."""
    if index.size and index.min() < 0:
        raise IndexError(f"index {index.min()} is out of range for a table of {len(x)} rows")
    return x[index]


def sum_rows(g: Array, index: Array, n: int) -> Array:
    """``out[i]``: the sum of the rows of ``g`` whose index is i, always in one order."""
    shape = g.shape[index.ndim :]
    out = np.zeros((n, *shape), g.dtype)
    flat = index.reshape(-1)
    if not g.size:
        return out
    order = np.argsort(flat, kind="stable")
    found = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
    out[found[starts]] = np.add.reduceat(g.reshape(-1, *shape)[order], starts, axis=0)
    return out
