"""Factorisations of matrices: Cholesky, QR, eigenvectors, singular vectors, LU.

The gradient rules are the published ones: Murray, "Differentiation of the Cholesky decomposition"
(2016); Walter and Lehmann, "Algorithmic differentiation of linear algebra functions" (2010, QR);
Giles, "An extended collection of matrix derivative results" (2008, eigenvectors); Townsend,
"Differentiating the singular value decomposition" (2016).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from backlit.core.dtypes import float16, int32
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.core.value import Constant, Result, Value
from backlit.errors import ArgumentError, DtypeError, GradientError, ShapeError
from backlit.ops.linalg import product
from backlit.ops.movement import slice_write_card


class Eigh(NamedTuple):
    """Eigenvalues (ascending) and eigenvectors (columns)."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QR(NamedTuple):
    """Orthonormal and upper triangular factor."""

    Q: Tensor
    R: Tensor


class SVD(NamedTuple):
    """Left singular vectors, singular values (descending), right singular vectors transposed."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class OldSVD(NamedTuple):
    """Left singular vectors, singular values (descending), right singular vectors."""

    U: Tensor
    S: Tensor
    V: Tensor


class CholeskyEx(NamedTuple):
    """The factor, and 0 or the order of the leading minor that is not positive."""

    L: Tensor
    info: Tensor


class LUFactor(NamedTuple):
    """L and U in one matrix, and the row exchanges (counted from 1)."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """L and U in one matrix, the row exchanges, and 0 or the place of a zero pivot."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class LU(NamedTuple):
    """Permutation, unit lower triangular and upper triangular factor."""

    P: Tensor
    L: Tensor
    U: Tensor


def check_matrix(name: str, x: Any, *, square: bool = False) -> None:
    """The operand must be a floating matrix, or a batch of them (square if asked)."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}.")
    if x.ndim < 2:
        raise ShapeError(
            f"{name}: The input tensor A must have at least 2 dimensions, but its shape is "
            f"{tuple(x.shape)}."
        )
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but they are {x.shape[-2]} by "
            f"{x.shape[-1]} matrices."
        )
    if not x.dtype.is_floating_point or x.dtype.itemsize <= float16.itemsize:
        raise DtypeError(
            f"{name}: Expected a floating point tensor of 32 or 64 bits as input. Got "
            f"{x.dtype.name}; "
            "convert it with .float()."
        )


def is_zero(g: Tensor) -> bool:
    """Whether a gradient is the zeros that stand for an output nothing depends on."""
    value = g._var
    if not isinstance(value, Result) or value.node.primitive.name != "full":
        return False
    filled = value.node.args[0]
    return isinstance(filled, Constant) and not filled.array.any()


def eye(n: int, like: Tensor) -> Tensor:
    """The identity inside a rule or a composite."""
    found: Tensor = local.era.constant(np.eye(n), like.dtype)
    return found


def eye_over(x: Tensor) -> Tensor:
    """The identity written over ``x``, which stays in the graph with gradient 0."""
    m, n = x.shape[-2:]
    one: Tensor = local.era.constant(np.eye(m, n), x.dtype)
    found: Tensor = slice_write_card(x, one.expand(tuple(x.shape)), dims=(), lengths=(), steps=())
    return found


def off_diagonal(n: int, like: Tensor) -> Tensor:
    """1 off the diagonal and 0 on it."""
    found: Tensor = local.era.constant(1 - np.eye(n), like.dtype)
    return found


def half_lower(n: int, like: Tensor) -> Tensor:
    """1 below the diagonal, ½ on it, 0 above: multiplying by it is Murray's Φ."""
    found: Tensor = local.era.constant(np.tril(np.ones((n, n))) - np.eye(n) / 2, like.dtype)
    return found


def _batch(x: Value) -> tuple[int, ...]:
    return tuple(x.shape[:-2])


def _square_samples() -> list[Any]:
    r = np.random.default_rng(1)
    matrix = r.normal(size=(2, 3, 3))
    return [matrix @ matrix.swapaxes(-1, -2) + 3 * np.eye(3)]


# -- Cholesky --------------------------------------------------------------------------------------


def _cholesky_gradient(g: Tensor, out: Tensor, upper: bool) -> Tensor:
    """Ā = sym(L⁻ᵀ Φ(Lᵀ L̄) L⁻¹)."""
    factor, g = (out.mT, g.mT) if upper else (out, g)
    inner = product(factor, g.tril(), True) * half_lower(out.shape[-1], g)
    left = triangular(factor.mT, inner, upper=True)
    found = triangular(factor.mT, left.mT, upper=True)
    result: Tensor = (found + found.mT) * 0.5
    return result


cholesky_card = primitive(
    "cholesky",
    "x",
    shape=lambda x, upper, check: [(tuple(x.shape), x.dtype), (_batch(x), int32)],
    numpy="ref.cholesky({x}, {upper}, {check})",
    upcast=True,
    vjp=(_cholesky_gradient,),
    maths="L in x = L Lᵀ",
    local="sym(L⁻ᵀ Φ(Lᵀ L̄) L⁻¹)",
    samples=lambda: [((m,), {"upper": False, "check": True}) for m in _square_samples()],
)


@op(name="linalg.cholesky", out=True)
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The lower (or upper) triangular L in A = L Lᵀ, for symmetric positive-definite A.

    Raises:
        LinAlgError: (when computed) if A is not positive-definite.
    """
    check_matrix("linalg.cholesky", input, square=True)
    factor: Tensor = cholesky_card(input, upper=upper, check=True)[0]
    return factor


@op(name="linalg.cholesky_ex", out=True)
def cholesky_ex(input: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """`linalg.cholesky` with, instead of an error, the order of the minor that is not positive."""
    check_matrix("linalg.cholesky_ex", input, square=True)
    return CholeskyEx(*cholesky_card(input, upper=upper, check=check_errors))


@op(name="cholesky", out=True)
def old_cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The old name of `linalg.cholesky`."""
    check_matrix("cholesky", input, square=True)
    factor: Tensor = cholesky_card(input, upper=upper, check=True)[0]
    return factor


# -- triangular systems ----------------------------------------------------------------------------


def triangular(a: Tensor, b: Tensor, *, upper: bool, unitriangular: bool = False) -> Tensor:
    """X in A X = B for triangular A."""
    found: Tensor = solve_triangular_card(a, b, upper=upper, unitriangular=unitriangular)
    return found


def _triangular_shape(a: Value, b: Value, upper: bool, unitriangular: bool) -> Spec:
    from backlit.core.size import broadcast

    if a.dtype is not b.dtype:
        raise DtypeError(
            f"linalg.solve_triangular: expected A and B to have the same dtype, but got: "
            f"{a.dtype.name} != {b.dtype.name}; convert one of them with .to(dtype)."
        )
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B: "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
    lead = broadcast("linalg.solve_triangular", _batch(a), _batch(b))
    return (*lead, *b.shape[-2:]), b.dtype


def _triangular_a(g: Tensor, a: Tensor, out: Tensor, upper: bool, unitriangular: bool) -> Tensor:
    """Ā = -tri(A⁻ᵀ X̄ Xᵀ)."""
    back = triangular(a.mT, g, upper=not upper, unitriangular=unitriangular)
    found = -product(back, out, False, True)
    offset = int(unitriangular)
    result: Tensor = found.triu(offset) if upper else found.tril(-offset)
    return result


solve_triangular_card = primitive(
    "solve_triangular",
    "a b",
    shape=_triangular_shape,
    numpy="ref.solve_triangular({a}, {b}, {upper}, {unitriangular})",
    upcast=True,
    vjp=(
        _triangular_a,
        lambda g, a, upper, unitriangular: triangular(
            a.mT, g, upper=not upper, unitriangular=unitriangular
        ),
    ),
    maths="X in A X = B, A triangular",
    local=("-tri(A⁻ᵀ X̄ Xᵀ)", "A⁻ᵀ X̄"),
    samples=lambda: [
        ((np.tril(m), np.ones((2, 3, 2))), {"upper": False, "unitriangular": False})
        for m in _square_samples()
    ],
)


# -- QR --------------------------------------------------------------------------------------------


def _qr_shape(x: Value, mode: str) -> list[Spec]:
    m, n = x.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    return [((*_batch(x), m, k), x.dtype), ((*_batch(x), k, n), x.dtype)]


def _qr_gradient(
    g: Tensor, out: Tensor, out1: Tensor, g1: Tensor, x_shape: Any, mode: str
) -> Tensor:
    """Ā = (Q̄ + Q sym-fill(R R̄ᵀ - Q̄ᵀ Q)) R⁻ᵀ; for wide A of its first square block, and the rest."""
    m, n = x_shape[-2:]
    if mode == "complete" and m > n:
        raise GradientError(
            "linalg.qr: The QR decomposition is not differentiable when mode='complete' and "
            f"nrows > ncols, as here for A {tuple(x_shape)}; use mode='reduced'."
        )
    gq, gr, q, r = g, g1, out, out1
    if m >= n:
        return _qr_square(gq, gr, q, r)
    # A = [X Y], Q R = [Q U, Q V] with Y = Q V: the rest V acts on Q only.
    u, gu, gv = r[..., :m], gr[..., :m], gr[..., m:]
    y = product(q, r[..., m:])
    gx = _qr_square(gq + product(y, gv, False, True), gu, q, u)
    return _cat((gx, product(q, gv)))


def _qr_square(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor) -> Tensor:
    inner = product(r, gr, False, True) - product(gq, q, True)
    inner = inner * half_lower(r.shape[-1], r)
    right = gq + product(q, inner + inner.mT)
    found: Tensor = triangular(r, right.mT, upper=True).mT
    return found


def _cat(parts: tuple[Tensor, ...], dim: int = -1) -> Tensor:
    found: Tensor = PUBLIC["cat"](parts, dim)
    return found


qr_card = primitive(
    "qr",
    "x",
    shape=_qr_shape,
    numpy="ref.qr({x}, {mode})",
    upcast=True,
    vjp=(_qr_gradient,),
    maths="Q, R in x = Q R",
    samples=lambda: [((m,), {"mode": "reduced"}) for m in _square_samples()],
)


@op(name="linalg.qr", out=True)
def qr(A: Tensor, mode: str = "reduced") -> QR:
    """Orthonormal Q and upper triangular R in A = Q R.

    Args:
        mode: "reduced" (Q as wide as needed), "complete" (square Q), or "r" (R only, Q empty).
    """
    check_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"linalg.qr: qr received unrecognized mode '{mode}' but expected one of 'reduced' "
            "(default), "
            "'r', or 'complete'."
        )
    q, r = qr_card(A, mode="reduced" if mode == "r" else mode)
    if mode == "r":
        if A.requires_grad:
            raise GradientError(
                "linalg.qr: The derivative of linalg.qr depends on Q, which is not computed when "
                "mode='r'; use mode='reduced'."
            )
        q = q.detach().reshape(-1)[:0]
    return QR(q, r)


@op(name="qr", out=True)
def old_qr(input: Tensor, some: bool = True) -> QR:
    """The old name of `linalg.qr`."""
    check_matrix("qr", input)
    return QR(*qr_card(input, mode="reduced" if some else "complete"))


# -- eigenvectors of symmetric matrices ------------------------------------------------------------


def _eigh_gradient(g: Tensor, out: Tensor, out1: Tensor, g1: Tensor) -> Tensor:
    """Ā = sym(V (diag λ̄ + Vᵀ V̄ / (λⱼ - λᵢ)) Vᵀ)."""
    v = out1
    if is_zero(g1):
        return product(v * g.unsqueeze(-2), v, False, True)
    n = out.shape[-1]
    gap = out.unsqueeze(-2) - out.unsqueeze(-1) + eye(n, out)
    inner = product(v, g1, True) * off_diagonal(n, v) / gap
    if not is_zero(g):
        inner = inner + eye(n, g) * g.unsqueeze(-1)
    return product(product(v, (inner + inner.mT) * 0.5), v, False, True)


eigh_card = primitive(
    "eigh",
    "x",
    shape=lambda x, uplo: [(tuple(x.shape[:-1]), x.dtype), (tuple(x.shape), x.dtype)],
    numpy="ref.eigh({x}, {uplo})",
    upcast=True,
    vjp=(_eigh_gradient,),
    maths="λ, V in x = V diag(λ) Vᵀ",
    samples=lambda: [((m,), {"uplo": "L"}) for m in _square_samples()],
)


def _uplo(name: str, uplo: str) -> str:
    if uplo.upper() not in ("L", "U"):
        raise ArgumentError(f"{name}: Expected UPLO argument to be 'L' or 'U', but got {uplo}.")
    return uplo.upper()


@op(name="linalg.eigh", out=True)
def eigh(A: Tensor, UPLO: str = "L") -> Eigh:
    """Eigenvalues (ascending) and orthonormal eigenvectors of a symmetric matrix."""
    check_matrix("linalg.eigh", A, square=True)
    return Eigh(*eigh_card(A, uplo=_uplo("linalg.eigh", UPLO)))


@op(name="linalg.eigvalsh", out=True)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues (ascending) of a symmetric matrix."""
    check_matrix("linalg.eigvalsh", A, square=True)
    values: Tensor = eigh_card(A, uplo=_uplo("linalg.eigvalsh", UPLO))[0]
    return values


# -- singular values -------------------------------------------------------------------------------


def _svd_shape(x: Value, full_matrices: bool) -> list[Spec]:
    m, n = x.shape[-2:]
    k = min(m, n)
    lead, d = _batch(x), x.dtype
    return [
        ((*lead, m, m if full_matrices else k), d),
        ((*lead, k), d),
        ((*lead, n if full_matrices else k, n), d),
    ]


def _svd_gradient(g: Tensor, out: Tensor, out1: Tensor, out2: Tensor, g1: Tensor, g2: Tensor,
                  x_shape: Any) -> Tensor:  # fmt: skip
    """Ā = U (S̄ + (skew(Uᵀ Ū) / E) S + S (skew(Vᵀ V̄) / E)) Vᵀ + parts outside of U and V."""
    m, n = x_shape[-2:]
    k = min(m, n)
    u, s, vh = out[..., :k], out1, out2[..., :k, :]  # of full matrices, what S belongs to
    no_u, no_v = is_zero(g), is_zero(g2)
    if no_u and no_v:
        return product(u * g1.unsqueeze(-2), vh)
    g, g2 = g[..., :k], g2[..., :k, :]
    # Eᵢⱼ = sⱼ² - sᵢ², with 1 on the diagonal so that it can be divided by
    column, row = s.unsqueeze(-1), s.unsqueeze(-2)
    gap = (row - column) * (row + column) + eye(k, s)
    inner = eye(k, s) * g1.unsqueeze(-1)
    if not no_u:
        inner = inner + _skew(product(u, g, True)) * off_diagonal(k, s) / gap * row
    if not no_v:
        inner = inner + _skew(product(vh, g2, False, True)) * off_diagonal(k, s) / gap * column
    found = product(product(u, inner), vh)
    if not no_u and m > k:
        outside = g / row
        found = found + product(outside - product(u, product(u, outside, True)), vh)
    if not no_v and n > k:
        outside = g2 / column
        beyond = outside - product(product(outside, vh, False, True), vh)
        found = found + product(u, beyond)
    return found


def _skew(x: Tensor) -> Tensor:
    found: Tensor = x - x.mT
    return found


svd_card = primitive(
    "svd",
    "x",
    shape=_svd_shape,
    numpy="ref.svd({x}, {full_matrices})",
    upcast=True,
    vjp=(_svd_gradient,),
    maths="U, S, Vᵀ in x = U diag(S) Vᵀ",
    samples=lambda: [((m,), {"full_matrices": False}) for m in _square_samples()],
)


@op(name="linalg.svd", out=True)
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """U, S (descending) and Vᵀ in A = U diag(S) Vᵀ; only one driver exists here."""
    check_matrix("linalg.svd", A)
    return SVD(*svd_card(A, full_matrices=full_matrices))


@op(name="linalg.svdvals", out=True)
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values (descending)."""
    check_matrix("linalg.svdvals", A)
    values: Tensor = svd_card(A, full_matrices=False)[1]
    return values


@op(name="svd", out=True)
def old_svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> OldSVD:
    """The old form of `linalg.svd`: gives V instead of Vᵀ."""
    check_matrix("svd", input)
    m, n = input.shape[-2:]
    if not compute_uv:
        from backlit.ops.movement import zeros

        values = svd_card(input, full_matrices=False)[1]
        lead = tuple(input.shape[:-2])
        return OldSVD(zeros((*lead, m, m), input.dtype), values, zeros((*lead, n, n), input.dtype))
    u, s, vh = svd_card(input, full_matrices=not some)
    return OldSVD(u, s, vh.mT)
