"""Products, factorisations and solutions obey the equations that define them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F
from backlit import linalg
from backlit.autograd import gradcheck
from backlit.core.tensor import Tensor

RANDOM = np.random.default_rng(7)


def draw(*shape: int) -> Tensor:
    return backlit.tensor(RANDOM.normal(size=shape))


def positive(*batch: int, n: int = 4) -> Tensor:
    a = RANDOM.normal(size=(*batch, n, n))
    return backlit.tensor(a @ a.swapaxes(-1, -2) + n * np.eye(n))


def close(x: Tensor, y: Any) -> None:
    np.testing.assert_allclose(x.detach().numpy(), np.asarray(y), rtol=1e-9, atol=1e-9)


# -- products --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((6, 1, 2, 3), (5, 3, 4)),
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
    ],
)
@pytest.mark.parametrize("d", [backlit.float64, backlit.int64], ids=["float64", "int64"])
def test_matmul_is_numpys(a: tuple[int, ...], b: tuple[int, ...], d: Any) -> None:
    """Vectors, matrices and broadcast batches multiply as in NumPy, for floats and integers."""
    x, y = (3 * draw(*a)).to(d), (3 * draw(*b)).to(d)
    found = x @ y
    assert found.dtype is d
    close(found, x.numpy() @ y.numpy())


@pytest.mark.parametrize("layout", ["plain", "transposed"])
def test_gradient_of_a_weight_lies_in_memory_as_the_weight(layout: str) -> None:
    """Whether y = x Wᵀ is written with linear or with .T, W's gradient is contiguous like W."""
    x, w = draw(5, 3), draw(2, 3).requires_grad_()
    out = F.linear(x, w) if layout == "plain" else x @ w.T
    out.sum().backward()
    assert w.grad.numpy().flags.c_contiguous
    close(w.grad, np.ones((5, 2)).T @ x.numpy())


def test_linear_is_one_product_per_gradient() -> None:
    """The program of linear and its gradients has three products and no copy of a transpose."""
    x, w = draw(5, 3).requires_grad_(), draw(2, 3).requires_grad_()
    F.linear(x, w).square().sum().backward()
    text = backlit.compiler.source(x.grad, w.grad)
    assert text.count(" @ ") == 3
    assert "copy" not in text


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda a, b, c: backlit.addmm(a, b, c, beta=2, alpha=3),
            lambda a, b, c: 2 * a + 3 * b @ c,
        ),
        (
            lambda a, b, c: backlit.addmm(a * float("nan"), b, c, beta=0),
            lambda a, b, c: b @ c,
        ),
        (lambda a, b, c: backlit.kron(a, b.T), lambda a, b, c: np.kron(a, b.T)),
        (lambda a, b, c: backlit.inner(a, c), lambda a, b, c: np.inner(a, c)),
        (lambda a, b, c: backlit.outer(a[0], b[0]), lambda a, b, c: np.outer(a[0], b[0])),
        (lambda a, b, c: backlit.tensordot(a, b, ([0], [1])), lambda a, b, c: a.T @ b.T),
        (backlit.chain_matmul, lambda a, b, c: a @ b @ c),
        (lambda a, b, c: linalg.multi_dot([a[0], b, c[0]]), lambda a, b, c: a[0] @ b @ c[0]),
        (lambda a, b, c: backlit.mv(a, b[0]), lambda a, b, c: a @ b[0]),
        (lambda a, b, c: linalg.vecdot(a, b), lambda a, b, c: (a * b).sum(-1)),
        (lambda a, b, c: linalg.matrix_power(a, 5), lambda a, b, c: np.linalg.matrix_power(a, 5)),
        (lambda a, b, c: linalg.matrix_power(a, -2), lambda a, b, c: np.linalg.matrix_power(a, -2)),
        (lambda a, b, c: linalg.vander(a[0]), lambda a, b, c: np.vander(a[0], increasing=True)),
        (
            lambda a, b, c: linalg.cross(a[:, :3], b[:, :3]),
            lambda a, b, c: np.cross(a[:, :3], b[:, :3]),
        ),
    ],
)
def test_products_are_their_definitions(
    call: Callable[..., Tensor], expected: Callable[..., Any]
) -> None:
    """Each product equals the same expression over NumPy arrays."""
    a, b, c = draw(4, 4), draw(4, 4), draw(4, 4)
    close(call(a, b, c), expected(a.numpy(), b.numpy(), c.numpy()))


def test_integer_products_cut_fractions_of_their_factors_off() -> None:
    """For integers, α = 1.6 and β = 1.6 count as 1, as in PyTorch."""
    ones = backlit.ones(2, 2, dtype=backlit.int64)
    assert backlit.addmm(ones, ones, ones, beta=1.6, alpha=1.6).tolist() == [[3, 3], [3, 3]]


def test_chains_are_multiplied_in_the_cheapest_order() -> None:
    """A chain whose last factor is a column is multiplied from the right."""
    from backlit.ops.linalg import cheapest_order

    split = cheapest_order([100, 100, 100, 1])
    assert split[0, 2] == 0
    assert cheapest_order([1, 100, 100, 100])[0, 2] == 1


# -- factorisations --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 3, 4), (0, 3)])
def test_factors_multiply_to_the_matrix(shape: tuple[int, ...]) -> None:
    """Q R, U S Vᵀ and P L U give the matrix back; Q is orthonormal, L and R triangular."""
    a = draw(*shape)
    q, r = linalg.qr(a)
    close(q @ r, a)
    close(q.mT @ q, np.broadcast_to(np.eye(q.shape[-1]), (q.mT @ q).shape))
    close(r, np.triu(r.numpy()))
    u, s, vh = linalg.svd(a, full_matrices=False)
    close((u * s.unsqueeze(-2)) @ vh, a)
    p, lower, upper = linalg.lu(a)
    close(p @ lower @ upper, a)
    close(lower, np.tril(lower.numpy()))


def test_symmetric_factors_multiply_to_the_matrix() -> None:
    """L Lᵀ and V diag(λ) Vᵀ give a symmetric positive-definite matrix back."""
    a = positive(2)
    lower = linalg.cholesky(a)
    close(lower @ lower.mT, a)
    close(linalg.cholesky(a, upper=True), lower.mT)
    values, vectors = linalg.eigh(a)
    close((vectors * values.unsqueeze(-2)) @ vectors.mT, a)
    close(linalg.eigvalsh(a), values)


def test_solutions_solve() -> None:
    """A X = B holds for what the solvers return, from either side and for vectors."""
    a, b, v = positive(2), draw(2, 4, 3), draw(4)
    close(a @ linalg.solve(a, b), b)
    close(linalg.solve(a, b.mT, left=False) @ a, b.mT)
    close(a[0] @ linalg.solve(a[0], v), v)
    close(a @ linalg.inv(a), np.broadcast_to(np.eye(4), (2, 4, 4)))
    close(a.triu() @ linalg.solve_triangular(a, b, upper=True), b)
    close(a @ linalg.lu_solve(*linalg.lu_factor(a), b), b)
    close(a @ backlit.cholesky_solve(b, linalg.cholesky(a)), b)
    close(a @ backlit.cholesky_inverse(linalg.cholesky(a)), np.broadcast_to(np.eye(4), (2, 4, 4)))


def test_least_squares_residual_is_orthogonal() -> None:
    """The residual of lstsq is orthogonal to A's columns (the normal equations)."""
    a, b = draw(6, 3), draw(6, 2)
    x = linalg.lstsq(a, b).solution
    close(a.mT @ (a @ x - b), np.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_pseudoinverse_satisfies_penrose(shape: tuple[int, ...]) -> None:
    """The four Penrose equations hold for the pseudoinverse."""
    a = draw(*shape)
    p = linalg.pinv(a)
    close(a @ p @ a, a)
    close(p @ a @ p, p)
    close((a @ p).mT, a @ p)
    close((p @ a).mT, p @ a)


def test_determinants_agree() -> None:
    """det = sign · exp(logabsdet), and multiplies over products."""
    a, b = draw(3, 3), draw(3, 3)
    sign, logarithm = linalg.slogdet(a)
    close(sign * logarithm.exp(), linalg.det(a))
    close(linalg.det(a @ b), linalg.det(a) * linalg.det(b))
    assert backlit.logdet(backlit.tensor([[-1.0]])).isnan().item()


def test_determinant_of_a_singular_matrix_has_a_gradient() -> None:
    """The derivative of det is the matrix of cofactors, also where there is no inverse."""
    a = backlit.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    linalg.det(a).backward()
    np.testing.assert_allclose(a.grad.numpy(), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-5)


def test_exponential_of_a_rotation() -> None:
    """exp of t times the generator of rotations is the rotation by t; also for large t."""
    for t in (0.1, 2.0, 30.0):
        found = backlit.matrix_exp(backlit.tensor([[0.0, -t], [t, 0.0]], dtype=backlit.float64))
        close(found, [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])


def test_rank_and_condition() -> None:
    """Rank counts the singular values that matter; the condition number is their extreme ratio."""
    a = backlit.tensor(np.diag([4.0, 2.0, 1e-20]))
    assert linalg.matrix_rank(a).item() == 2
    assert linalg.matrix_rank(a, atol=3.0, rtol=0.0).item() == 1
    close(linalg.cond(backlit.tensor(np.diag([4.0, 2.0]))), 2.0)


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 3, float("inf"), -float("inf"), -1])
def test_norms_are_numpys(p: float) -> None:
    """Vector norms equal NumPy's for every order."""
    x = draw(2, 5)
    close(linalg.vector_norm(x, p, dim=1), np.linalg.norm(x.numpy(), p, axis=1))


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf")])
def test_matrix_norms_are_numpys(order: Any) -> None:
    """Matrix norms equal NumPy's for every order."""
    x = draw(3, 4)
    close(linalg.matrix_norm(x, order), np.linalg.norm(x.numpy(), order))
    assert linalg.matrix_norm(x, order, keepdim=True).shape == (1, 1)


def test_gradient_of_a_norm_at_zero_is_zero() -> None:
    """At its kink the norm has the subgradient 0, not NaN."""
    x = backlit.zeros(3, requires_grad=True)
    x.norm().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda a: linalg.qr(a[:, :3]),
        lambda a: linalg.qr(a[:3]),
        lambda a: linalg.svd(a[:, :3], full_matrices=False)[1],
        lambda a: linalg.lu(a)[1:],
        lambda a: linalg.lu(a[:, :3])[1:],
        lambda a: linalg.lu(a[:3])[1:],
        lambda a: linalg.cholesky(a @ a.mT),
        linalg.inv,
        lambda a: linalg.solve(a, a[:, :2]),
        lambda a: linalg.pinv(a[:, :2]),
        lambda a: linalg.slogdet(a)[1],
        linalg.matrix_exp,
        lambda a: linalg.householder_product(a[:, :3], a[0, :3]),
        lambda a: linalg.norm(a, 3.0, dim=1),
        lambda a: linalg.cond(a, "fro"),
        lambda a: linalg.tensorinv(a.reshape(2, 2, 4), ind=2),
    ],
)
def test_gradients_are_derivatives(call: Callable[[Tensor], Any]) -> None:
    """Gradients through factors and solutions equal central differences."""
    assert gradcheck(call, (draw(4, 4).requires_grad_(),))


# -- what has no answer ----------------------------------------------------------------------------


def test_singular_matrices_are_reported_by_name() -> None:
    """An inverse or a solution that does not exist is an error that says what to use instead."""
    singular = backlit.zeros(2, 2)
    with pytest.raises(linalg.LinAlgError, match="is singular and has no inverse; "):
        linalg.inv(singular).tolist()
    with pytest.raises(linalg.LinAlgError, match="so A X = B has no unique solution"):
        linalg.solve(singular, singular).tolist()
    with pytest.raises(linalg.LinAlgError, match="is not positive-definite, so the factorization"):
        linalg.cholesky(singular - 1).tolist()
    bad = backlit.full((2, 2), float("nan"))
    with pytest.raises(linalg.LinAlgError, match="algorithm failed to converge for a matrix"):
        linalg.svd(bad)[1].tolist()


def test_ex_variants_report_instead() -> None:
    """The _ex functions return the place of the trouble, and good answers for good matrices."""
    both = backlit.tensor([[[2.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
    inverse, info = linalg.inv_ex(both)
    assert info.tolist() == [0, 2]
    assert inverse[0].tolist() == [[0.5, 0.0], [0.0, 0.5]]
    result, info = linalg.solve_ex(both, both)
    assert info.tolist() == [0, 2]
    assert result[0].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert linalg.cholesky_ex(backlit.tensor([[1.0, 2.0], [2.0, 1.0]])).info.item() == 2
    assert linalg.lu_factor_ex(both).info.tolist() == [0, 2]
