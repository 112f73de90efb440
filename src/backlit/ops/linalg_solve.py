"""Inverses, linear systems, determinants, and functions of matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

from backlit.core.dtypes import finfo, int32, int64
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import ArgumentError, ShapeError
from backlit.ops.linalg import product, same_dtype
from backlit.ops.linalg_factor import (
    _square_samples,
    check_matrix,
    eigh_card,
    svd_card,
    triangular,
)
from backlit.ops.movement import zeros


class InverseEx(NamedTuple):
    """The inverse, and 0 or the place of a zero pivot."""

    inverse: Tensor
    info: Tensor


class SolveEx(NamedTuple):
    """The solution, and 0 or the place of a zero pivot."""

    result: Tensor
    info: Tensor


class SlogDet(NamedTuple):
    """Sign of the determinant, and logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


class LeastSquares(NamedTuple):
    """The solution, the squared residuals, the rank and the singular values of A."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class TriangularSolve(NamedTuple):
    """The solution, and a copy of the matrix."""

    solution: Tensor
    cloned_coefficient: Tensor


def _same(x: Value) -> Spec:
    return tuple(x.shape), x.dtype


# -- inverses --------------------------------------------------------------------------------------

inv_card = primitive(
    "inv",
    "x",
    shape=_same,
    numpy="ref.inv({x})",
    upcast=True,
    vjp=(lambda g, out: -product(product(out, g, True), out, False, True),),
    maths="x⁻¹",
    local="-x⁻ᵀ ḡ x⁻ᵀ",
    samples=_square_samples,
)
inv_ex_card = primitive(
    "inv_ex",
    "x",
    shape=lambda x: [_same(x), (tuple(x.shape[:-2]), int32)],
    numpy="ref.inv_ex({x})",
    upcast=True,
    vjp=(lambda g, out: -product(product(out, g, True), out, False, True),),
    maths="x⁻¹, and where it fails",
    samples=_square_samples,
)


@op(name="linalg.inv", out=True)
def inv(A: Tensor) -> Tensor:
    """The inverse of a matrix.

    Raises:
        LinAlgError: (when computed) if the matrix is singular.
    """
    check_matrix("linalg.inv", A, square=True)
    found: Tensor = inv_card(A)
    return found


@op(name="inverse", out=True)
def inverse(input: Tensor) -> Tensor:
    """The old name of `linalg.inv`."""
    check_matrix("inverse", input, square=True)
    found: Tensor = inv_card(input)
    return found


@op(name="linalg.inv_ex", out=True)
def inv_ex(A: Tensor, *, check_errors: bool = False) -> InverseEx:
    """`linalg.inv` with, instead of an error, the place of a zero pivot."""
    check_matrix("linalg.inv_ex", A, square=True)
    if check_errors:
        return InverseEx(inv_card(A), zeros(tuple(A.shape[:-2]), int32))
    return InverseEx(*inv_ex_card(A))


# -- linear systems --------------------------------------------------------------------------------


def _solve_shape(a: Value, b: Value) -> Spec:
    return (*broadcast("linalg.solve", a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype


def _back(g: Tensor, a: Tensor) -> Tensor:
    found: Tensor = solve_card(a.mT, g)
    return found


solve_card = primitive(
    "solve",
    "a b",
    shape=_solve_shape,
    numpy="ref.solve({a}, {b})",
    upcast=True,
    vjp=(
        lambda g, a, out: -product(_back(g, a), out, False, True),
        _back,
    ),
    maths="X in A X = B",
    local=("-A⁻ᵀ X̄ Xᵀ", "A⁻ᵀ X̄"),
    samples=lambda: [(m, m[..., :2]) for m in _square_samples()],
)
solve_ex_card = primitive(
    "solve_ex",
    "a b",
    shape=lambda a, b: [_solve_shape(a, b), (tuple(a.shape[:-2]), int32)],
    numpy="ref.solve_ex({a}, {b})",
    upcast=True,
    vjp=(
        lambda g, a, out: -product(_back(g, a), out, False, True),
        _back,
    ),
    maths="X in A X = B, and where it fails",
    samples=lambda: [(m, m[..., :2]) for m in _square_samples()],
)


def _is_vector(a: Tensor, b: Tensor) -> bool:
    return b.ndim == 1 or (b.ndim == a.ndim - 1 and tuple(b.shape) == tuple(a.shape[:-1]))


def _system(name: str, a: Tensor, b: Tensor, left: bool, card: Any) -> tuple[Tensor, Tensor | None]:
    check_matrix(name, a, square=True)
    same_dtype(name, a, b, "A", "B")
    vector = _is_vector(a, b)
    if vector and not left:
        raise ArgumentError(
            f"{name}: Vector broadcasting of the left hand side is not supported for left=False. "
            f"In this case {name} is equivalent to B / A.squeeze(-1)."
        )
    if not vector and (b.ndim < 2 or b.shape[-2 if left else -1] != a.shape[-1]):
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'}: "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
    right = b.unsqueeze(-1) if vector else b if left else b.mT
    found = card(a if left else a.mT, right)
    x, info = found if isinstance(found, tuple) else (found, None)
    return x.squeeze(-1) if vector else x if left else x.mT, info


@op(name="linalg.solve", out=True)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X in A X = B (or X A = B with ``left=False``).

    Raises:
        LinAlgError: (when computed) if A is singular.
    """
    return _system("linalg.solve", A, B, left, solve_card)[0]


@op(name="linalg.solve_ex", out=True)
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """`linalg.solve` with, instead of an error, the place of a zero pivot."""
    x, info = _system("linalg.solve_ex", A, B, left, solve_card if check_errors else solve_ex_card)
    return SolveEx(x, info if info is not None else zeros(tuple(A.shape[:-2]), int32))


@op(name="linalg.solve_triangular", out=True)
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X in A X = B (or X A = B) for triangular A; its other half is not read."""
    check_matrix("linalg.solve_triangular", A, square=True)
    check_matrix("linalg.solve_triangular", B)
    if left:
        return triangular(A, B, upper=upper, unitriangular=unitriangular)
    found: Tensor = triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    return found


@op(name="triangular_solve", out=True)
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> TriangularSolve:
    """The old form of `linalg.solve_triangular`."""
    check_matrix("triangular_solve", A, square=True)
    check_matrix("triangular_solve", input)
    a = A.mT if transpose else A
    x = triangular(a, input, upper=upper is not transpose, unitriangular=unitriangular)
    return TriangularSolve(x, A.clone())


@op(name="cholesky_solve", out=True)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X in (L Lᵀ) X = input, given the Cholesky factor L."""
    check_matrix("cholesky_solve", L, square=True)
    check_matrix("cholesky_solve", input)
    found: Tensor = solve_card(_gram(L, upper), input)
    return found


def _gram(factor: Tensor, upper: bool) -> Tensor:
    """L Lᵀ of the whole factor: its gradient, like PyTorch's, is not cut to the triangle."""
    return product(factor, factor, True) if upper else product(factor, factor, False, True)


@op(name="cholesky_inverse", out=True)
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """(L Lᵀ)⁻¹, given the Cholesky factor L."""
    check_matrix("cholesky_inverse", input, square=True)
    found: Tensor = inv_card(_gram(input, upper))
    return found


@op(name="linalg.lstsq")
def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> LeastSquares:
    """The X that minimises ‖A X - B‖₂, through the pseudoinverse."""
    check_matrix("linalg.lstsq", A)
    same_dtype("linalg.lstsq", A, B, "A", "B")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise ArgumentError(
            "linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), not "
            f"{driver}."
        )
    vector = B.ndim == A.ndim - 1
    b = B.unsqueeze(-1) if vector else B
    m, n = A.shape[-2:]
    if b.ndim < 2 or b.shape[-2] != m:
        raise ShapeError(
            f"linalg.lstsq: A {tuple(A.shape)} and B {tuple(B.shape)} must have equally many rows."
        )
    inverse = _pinv(A, 0.0, finfo(A.dtype).eps * max(m, n) if rcond is None else rcond, False)
    x = product(inverse, b)
    values = singular_values(A.detach())
    rank = _rank(values, 0.0, finfo(A.dtype).eps * max(m, n))
    if m > n and driver not in (None, "gelsy"):
        residuals = (product(A, x) - b).square().sum(-2)
    else:
        residuals = zeros((0,), A.dtype)
    if driver in (None, "gelsy", "gels"):
        values = zeros((0,), A.dtype)
    if driver == "gels":
        rank = zeros((0,), int64)
    return LeastSquares(x.squeeze(-1) if vector else x, residuals, rank, values)


# -- determinants ----------------------------------------------------------------------------------


def _cofactor_gradient(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """For C = det(A) A⁻ᵀ: Ā = ⟨g, A⁻ᵀ⟩ C - C gᵀ A⁻ᵀ."""
    root = inv_card(x).mT
    scale = (g * root).sum((-2, -1), keepdim=True)
    found: Tensor = scale * out - product(product(out, g, False, True), root)
    return found


cofactor_card = primitive(
    "cofactor",
    "x",
    shape=_same,
    numpy="ref.cofactor({x})",
    upcast=True,
    vjp=(_cofactor_gradient,),
    maths="det(x) x⁻ᵀ, also where x is singular",
    samples=_square_samples,
)


def _det_gradient(g: Tensor, x: Tensor) -> Tensor:
    each = g.unsqueeze(-1).unsqueeze(-1)
    return cofactor_card(x) * each if x.shape[-1] > 1 else each.expand(tuple(x.shape))


det_card = primitive(
    "det",
    "x",
    shape=lambda x: (tuple(x.shape[:-2]), x.dtype),
    numpy="np.linalg.det({x})",
    upcast=True,
    vjp=(_det_gradient,),
    maths="|x|",
    local="|x| x⁻ᵀ",
    samples=_square_samples,
)


def _slogdet_gradient(g: Tensor, x: Tensor, g1: Tensor) -> Tensor:
    """The logarithm's: x⁻ᵀ (the sign is constant)."""
    found: Tensor = inv_ex_card(x)[0].mT * g1.unsqueeze(-1).unsqueeze(-1)
    return found


slogdet_card = primitive(
    "slogdet",
    "x",
    shape=lambda x: [(tuple(x.shape[:-2]), x.dtype)] * 2,
    numpy="ref.slogdet({x})",
    upcast=True,
    vjp=(_slogdet_gradient,),
    maths="sign |x|, ln ‖x‖",
    local="x⁻ᵀ",
    samples=_square_samples,
)


@op(name="linalg.det", out=True)
def linalg_det(A: Tensor) -> Tensor:
    """The determinant of a square matrix."""
    check_matrix("linalg.det", A, square=True)
    found: Tensor = det_card(A)
    return found


@op(name="det")
def det(input: Tensor) -> Tensor:
    """The determinant of a square matrix."""
    check_matrix("det", input, square=True)
    found: Tensor = det_card(input)
    return found


@op(name="linalg.slogdet", out=True)
def linalg_slogdet(A: Tensor) -> SlogDet:
    """Sign of the determinant, and logarithm of its absolute value (which does not overflow)."""
    check_matrix("linalg.slogdet", A, square=True)
    return SlogDet(*slogdet_card(A))


@op(name="slogdet", out=True)
def slogdet(input: Tensor) -> SlogDet:
    """The top-level name of `linalg.slogdet`."""
    check_matrix("slogdet", input, square=True)
    return SlogDet(*slogdet_card(input))


@op(name="logdet")
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN where that is negative."""
    check_matrix("logdet", input, square=True)
    sign, logarithm = slogdet_card(input)
    found: Tensor = (sign.detach() * 0 + logarithm).where(sign >= 0, float("nan"))
    return found


# -- pseudoinverse and rank ------------------------------------------------------------------------


def _pinv_gradient(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """Golub and Pereyra (1973): -Pᵀ ḡ Pᵀ + (I - A P) ḡᵀ P Pᵀ + Pᵀ P ḡᵀ (I - P A)."""
    p, h = out, g.mT
    found = -product(product(p, g, True), p, False, True)
    left = product(product(h, p), p, False, True)
    right = product(p, product(p, h), True)
    found = found + left - product(x, product(p, left))
    result: Tensor = found + right - product(product(right, p), x)
    return result


pinv_card = primitive(
    "pinv",
    "x atol rtol",
    shape=lambda x, atol, rtol, hermitian: (
        (*x.shape[:-2], x.shape[-1], x.shape[-2]),
        x.dtype,
    ),
    numpy="ref.pinv({x}, {atol}, {rtol}, {hermitian})",
    upcast=True,
    vjp=(_pinv_gradient, None, None),
    maths="x⁺",
    samples=lambda: [
        ((m[..., :2], m[0, 0, 0] * 0, m[0, 0, 0] * 0), {"hermitian": False})
        for m in _square_samples()
    ],
)


def _number(x: Any, like: Tensor) -> Tensor:
    """A tolerance, number or tensor, as a tensor of a floating dtype."""
    if isinstance(x, Tensor):
        return x.detach().to(like.dtype)
    found: Tensor = local.era.constant(x, like.dtype)
    return found


def tolerances(x: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """What is given, and PyTorch's defaults for the rest: ε max(m, n), or 0 beside an atol > 0."""
    default = finfo(x.dtype).eps * max(x.shape[-2:])
    if rtol is None:
        if isinstance(atol, Tensor):
            rtol = (atol <= 0).to(x.dtype) * default
        else:
            rtol = 0.0 if atol is not None and atol > 0 else default
    return (0.0 if atol is None else atol), rtol


def _pinv(x: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Tensor:
    found: Tensor = pinv_card(x, _number(atol, x), _number(rtol, x), hermitian=hermitian)
    return found


@op(name="linalg.pinv", out=True)
def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """The Moore–Penrose pseudoinverse; singular values up to max(atol, rtol σ₁) count as zero."""
    check_matrix("linalg.pinv", A, square=hermitian)
    atol, rtol = tolerances(A, atol, rcond if rtol is None else rtol)
    return _pinv(A, atol, rtol, hermitian)


@op(name="pinverse")
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The old name of `linalg.pinv`."""
    check_matrix("pinverse", input)
    return _pinv(input, 0.0, rcond, False)


def singular_values(x: Tensor) -> Tensor:
    """Singular values, descending."""
    found: Tensor = svd_card(x, full_matrices=False)[1]
    return found


def _rank(values: Tensor, atol: Any, rtol: Any) -> Tensor:
    if not values.shape[-1]:
        return zeros(tuple(values.shape[:-1]), int64)
    largest = values.amax(-1)
    limit = (largest * rtol).maximum(_number(atol, values)).unsqueeze(-1)
    found: Tensor = (values > limit).sum(-1)
    return found


@op(name="linalg.matrix_rank", out=True)
def matrix_rank(
    A: Tensor,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """How many singular values exceed max(atol, rtol σ₁)."""
    check_matrix("linalg.matrix_rank", A, square=hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = tolerances(A, atol, rtol)
    values = eigh_card(A, uplo="L")[0].abs() if hermitian else singular_values(A)
    return _rank(values.detach(), atol, rtol)
