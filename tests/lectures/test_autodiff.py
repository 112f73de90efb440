"""The decks' worked examples, quizzes and claims on automatic differentiation (rows G01 to G38)."""

from __future__ import annotations

import contextlib
import io
import random
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.autograd import sweep
from backlit.autograd.functional import jacobian
from backlit.core.registry import PUBLIC

F64 = backlit.float64


def leaf(x: Any) -> backlit.Tensor:
    return backlit.tensor(x, dtype=F64, requires_grad=True)


PRINTED = """
import torch

x = torch.tensor(-2.0, requires_grad=True)
y = torch.tensor(5.0, requires_grad=True)
z = torch.tensor(-4.0, requires_grad=True)
q = x + y
f = q * z
f.backward()
print(q.item(), f.item(), x.grad.item(), y.grad.item(), z.grad.item())
"""


def test_G01_first_example() -> None:
    """f = (x + y) z at (-2, 5, -4): q = 3, f = -12, gradients -4, -4, 3; as the printed program."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(PRINTED.replace("import torch", "import backlit as torch"), {})
    assert said.getvalue() == "3.0 -12.0 -4.0 -4.0 3.0\n"


def test_G02_sigmoid_neuron() -> None:
    """σ(w0 x0 + w1 x1 + w2): every value on the way, and every gradient on the way back."""
    w0, x0, w1, x1, w2 = (leaf(v) for v in (2.0, -1.0, -3.0, -2.0, -3.0))
    s = w0 * x0 + w1 * x1 + w2
    negative = -s
    power = negative.exp()
    sum_ = power + 1
    f = 1 / sum_
    for value, expected in zip((s, power, sum_, f), (1.0, 0.3679, 1.3679, 0.7311), strict=True):
        assert value.item() == pytest.approx(expected, abs=5e-5)
    edges = backlit.autograd.grad(f, [sum_, power, negative, s], retain_graph=True)
    for g, expected in zip(edges, (-0.5344, -0.5344, -0.1966, 0.1966), strict=True):
        assert g.item() == pytest.approx(expected, abs=5e-5)
    f.backward()
    for t, expected in zip(
        (w0, x0, w1, x1, w2), (-0.1966, 0.3932, -0.3932, -0.5898, 0.1966), strict=True
    ):
        assert t.grad.item() == pytest.approx(expected, abs=5e-5)
    out = backlit.sigmoid(leaf(1.0))
    assert ((1 - out) * out).item() == pytest.approx(0.1966, abs=5e-5)


def test_G03_local_times_upstream() -> None:
    """f = (x1 + x2) x3 - x4 at (5, 4, 3, 2): a = 9, b = 27, f = 25; x5 is not used."""
    x1, x2, x3, x4, x5 = (leaf(v) for v in (5.0, 4.0, 3.0, 2.0, 1.0))
    a = x1 + x2
    b = a * x3
    f = b - x4
    assert (a.item(), b.item(), f.item()) == (9.0, 27.0, 25.0)
    found = backlit.autograd.grad(f, [x4, b, x3, a, x2, x1, x5], allow_unused=True)
    products = [-1 * 1, 1 * 1, 9 * 1, 3 * 1, 1 * 3, 1 * 3]  # local times upstream
    assert [g.item() for g in found[:-1]] == products
    assert found[-1] is None


def test_G04_product_rule() -> None:
    """f(g, h) = g² h: ∂f/∂g = 2 g h and ∂f/∂h = g², each times the upstream gradient."""
    g, h = leaf(3.0), leaf(5.0)
    (g.square() * h).backward(backlit.tensor(2.0, dtype=F64))
    assert (g.grad.item(), h.grad.item()) == (2 * 2 * 3 * 5, 2 * 9)


def test_G05_bar_notation() -> None:
    """L̄ = 1, ȳ = L̄ (y - t), z̄ = ȳ σ'(z), w̄ = z̄ x, b̄ = z̄."""
    w, b, x, t = leaf(0.7), leaf(-0.3), 1.5, 0.2
    z = w * x + b
    y = backlit.sigmoid(z)
    loss = 0.5 * (y - t).square()
    y_bar, z_bar, w_bar, b_bar = (g.item() for g in backlit.autograd.grad(loss, [y, z, w, b]))
    assert y_bar == pytest.approx(y.item() - t)
    assert z_bar == pytest.approx(y_bar * y.item() * (1 - y.item()))
    assert (w_bar, b_bar) == pytest.approx((z_bar * x, z_bar))


def test_G07_gate_patterns() -> None:
    """add distributes, mul swaps, a copy adds, max routes."""
    upstream = backlit.tensor(2.0, dtype=F64)
    for gate, expected in (
        (lambda x, y: x + y, (2.0, 2.0)),
        (lambda x, y: x * y, (2.0 * 5, 2.0 * 3)),
        (backlit.maximum, (0.0, 2.0)),
    ):
        x, y = leaf(3.0), leaf(5.0)
        gate(x, y).backward(upstream)
        assert (x.grad.item(), y.grad.item()) == expected
    x = leaf(3.0)
    (x + x).backward(upstream)
    assert x.grad.item() == 4.0


class Multiply(backlit.autograd.Function):
    """The class as the decks print it."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, grad_z: Any) -> Any:
        x, y = ctx.saved_tensors
        return y * grad_z, x * grad_z


def test_G10_multiply_function() -> None:
    """`class Multiply(torch.autograd.Function)` multiplies, and swaps in its backward."""
    x, y = leaf(3.0), leaf(-4.0)
    z = Multiply.apply(x, y)
    z.backward()
    assert (z.item(), x.grad.item(), y.grad.item()) == (-12.0, -4.0, 3.0)


def test_G11_own_ops_are_checked_like_others() -> None:
    """A user's forward and backward pass gradcheck."""
    assert backlit.autograd.gradcheck(Multiply.apply, (leaf([1.0, 2.0]), leaf([3.0, 5.0])))


def test_G13_each_node_is_visited_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backward costs one visit per node, in reverse order of computation."""
    order: list[int] = []
    apply = sweep.Sweep.apply

    def noted(self: sweep.Sweep, node: Any, *args: Any) -> Any:
        order.append(node.outs[0].id)
        return apply(self, node, *args)

    monkeypatch.setattr(sweep.Sweep, "apply", noted)
    backlit.core.position.trie.clear()
    backlit.flush()
    x = leaf(1.1)
    y = x
    for _ in range(50):
        y = y * x + y
    y.backward()
    assert len(order) == len(set(order)) == 100
    assert order == sorted(order, reverse=True)


def test_G15_upstream_times_local_is_the_gradient() -> None:
    """At each node, downstream = local × upstream."""
    x = leaf(0.5)
    h = x.tanh()
    y = (h * h * h).sum()
    upstream, downstream = backlit.autograd.grad(y, [h, x])
    assert downstream.item() == pytest.approx((1 - h.item() ** 2) * upstream.item())


def test_G16_G17_layouts() -> None:
    """Numerator layout has output dims first, denominator layout input dims first; any rank."""
    x = backlit.tensor([1.0, 2.0, 3.0], dtype=F64)
    w = backlit.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=F64)
    assert jacobian(lambda x: w @ x.reshape((3, 1)), x).shape == (2, 1, 3)
    numerator = jacobian(lambda x: (w @ x.reshape((3, 1))).reshape((2,)), x)
    denominator = jacobian(lambda x: (w @ x.reshape((3, 1))).reshape((2,)), x, layout="denominator")
    assert numerator.tolist() == w.tolist()
    assert denominator.tolist() == np.array(w.tolist()).T.tolist()
    matrix = jacobian(lambda w: (w @ x.reshape((3, 1))).reshape((2,)), w)
    assert matrix.shape == (2, 2, 3)
    assert jacobian(lambda w: w @ x.reshape((3, 1)), w, layout="denominator").shape == (2, 3, 2, 1)
    assert jacobian(lambda x: x.sum(), x).shape == (3,)
    assert jacobian(lambda x: x * x, backlit.tensor(3.0)).item() == 6.0


def test_G18_special_cases_of_the_jacobian() -> None:
    """m = 1: the transposed gradient; m = n = 1: the derivative."""
    x = backlit.tensor([1.0, 2.0, 3.0], dtype=F64)
    row = jacobian(lambda x: x.square().sum().reshape((1,)), x)
    assert row.tolist() == [[2.0, 4.0, 6.0]]
    assert jacobian(lambda x: x.square(), backlit.tensor([3.0])).tolist() == [[6.0]]


@pytest.mark.parametrize(("x", "y"), [(1.0, 2.0), (-0.5, 3.0), (2.0, -1.5)])
def test_G19_partial_derivatives(x: float, y: float) -> None:
    """∂/∂y (y⁴ x⁵) = 4 y³ x⁵, and the gradient is (5 y⁴ x⁴, 4 y³ x⁵); dz/dy of 2 y² is 4 y."""
    a, b = leaf(x), leaf(y)
    (b**4 * a**5).backward()
    assert a.grad.item() == pytest.approx(5 * y**4 * x**4)
    assert b.grad.item() == pytest.approx(4 * y**3 * x**5)
    assert jacobian(lambda y: 2 * y * y, backlit.tensor(y)).item() == pytest.approx(4 * y)


def test_G20_G21_chain_rule() -> None:
    """J of f∘g is J_f(g(x)) J_g(x); for 1 → n → 1 all forms agree."""
    x = backlit.tensor([0.3, -0.7], dtype=F64)

    def g(x: Any) -> Any:
        return backlit.cat([x.sin(), x * x, x[:1] * x[1:]])

    def f(y: Any) -> Any:
        return backlit.stack([y.sum(), (y * y).sum(), y[0] * y[4]])

    whole = np.array(jacobian(lambda x: f(g(x)), x).tolist())
    parts = np.array(jacobian(f, g(x)).tolist()) @ np.array(jacobian(g, x).tolist())
    np.testing.assert_allclose(whole, parts)
    t = backlit.tensor([0.4], dtype=F64)
    path = np.array(jacobian(lambda t: t * x, t).tolist())
    slope = np.array(jacobian(lambda y: (y * y).sum(), t * x).tolist())
    direct = jacobian(lambda t: ((t * x) * (t * x)).sum(), t).tolist()
    np.testing.assert_allclose([slope @ path[:, 0], (slope * path[:, 0]).sum()], direct * 2)


def test_G22_matmul_shape_rule() -> None:
    """dX [N×D] = dY [N×M] Wᵀ [M×D]; dW [D×M] = Xᵀ [D×N] dY [N×M]."""
    rng = np.random.default_rng(0)
    x, w, dy = rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal((4, 2))
    tx, tw = leaf(x), leaf(w)
    (tx @ tw).backward(backlit.tensor(dy))
    np.testing.assert_allclose(tx.grad.tolist(), dy @ w.T)
    np.testing.assert_allclose(tw.grad.tolist(), x.T @ dy)


def test_G31_any_intermediate_has_a_gradient() -> None:
    """Parameters are not special: the gradient of any tensor can be asked for."""
    x = leaf(2.0)
    h = x * 3
    h.retain_grad()
    (h * h).backward()
    assert (h.grad.item(), x.grad.item()) == (12.0, 36.0)


def test_G32_gradient_checking() -> None:
    """gradcheck passes what is right and says where a gradient is wrong."""
    x = leaf([0.5, 1.5])
    assert backlit.autograd.gradcheck(lambda x: (x * x).sin(), (x,))
    assert backlit.autograd.gradgradcheck(lambda x: (x * x).sin(), (x,))
    with pytest.raises(
        RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"
    ):
        backlit.autograd.gradcheck(lambda x: x * x.detach(), (x,))


def test_G35_backpropagation_is_not_gradient_descent() -> None:
    """Backward computes gradients and changes no parameter."""
    x = leaf(2.0)
    (x * x).backward()
    assert x.item() == 2.0


def test_G36_hundreds_of_operations() -> None:
    """There are hundreds of public operations."""
    assert len(PUBLIC) >= 200


def test_G37_irregular_graphs() -> None:
    """Weight sharing, several uses, no layers: a random graph against a scalar reverse sweep."""
    rng = random.Random(3)
    x = leaf(0.4)
    tensors, values, edges = [x], [0.4], [()]
    for _ in range(60):
        i, j = rng.randrange(len(tensors)), rng.randrange(len(tensors))
        tensors.append(tensors[i] * tensors[j] * 0.9)
        values.append(values[i] * values[j] * 0.9)
        edges.append(((i, values[j] * 0.9), (j, values[i] * 0.9)))
    tensors[-1].backward()
    slopes = [0.0] * 60 + [1.0]
    for k in range(60, 0, -1):
        for i, local in edges[k]:
            slopes[i] += slopes[k] * local
    assert x.grad.item() == pytest.approx(slopes[0])


def test_G38_the_loss_is_a_node_like_others() -> None:
    """A loss can be computed with further, and differentiated with respect to."""
    x = leaf(3.0)
    loss = (x - 1).square()
    (g,) = backlit.autograd.grad(loss * 5, [loss])
    assert g.item() == 5.0
