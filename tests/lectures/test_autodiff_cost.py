"""The decks' recursions for gradients, and what they cost (rows G12, G23 to G29, G33, G34)."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import lab, nn
from backlit.lab import scalar_engine

F64 = backlit.float64
DEPTHS = (4, 8, 16, 32)


def leaf(x: Any) -> backlit.Tensor:
    return backlit.tensor(x, dtype=F64, requires_grad=True)


def test_G12_teaching_engine() -> None:
    """The class as printed: value, grad, _prev, _op, label, _backward; fewer than 100 lines.

    tests/lab/test_scalar_engine.py compares it with the real engine on random graphs.
    """
    Tensor = scalar_engine.Tensor
    a, b, c = Tensor(2.0, label="a"), Tensor(-3.0, label="b"), Tensor(10.0, label="c")
    e = a * b
    d = e + c
    d.label = "d"
    f = d * d
    f.backward()
    assert (f.value, d.grad, e.grad, c.grad, a.grad, b.grad) == (16, 8, 8, 8, -24, 16)
    assert (d._prev, d._op, d.label) == ((e, c), "+", "d")
    assert callable(d._backward)
    assert [t.value for t in f.topological_order()] == [2, -3, -6, 10, 4, 16]
    assert scalar_engine.__file__ is not None
    assert len(Path(scalar_engine.__file__).read_text(encoding="utf-8").splitlines()) < 100


def test_G23_chain_of_layers() -> None:
    """g(z_n) = 1, g(z_{i-1}) = g(z_i) ∂z_i/∂z_{i-1}, g(w_i) = g(z_i) ∂z_i/∂w_i: the engine's."""
    numbers = [0.5, -1.5, 2.0, 0.7]
    weights, z = [leaf(v) for v in numbers], [leaf(0.8)]
    for w in weights:
        z.append((w * z[-1]).tanh())
    gz, gw = lab.sequence_gradients(0.8, numbers, math.tanh, lambda u: 1 - math.tanh(u) ** 2)
    assert gz[-1] == 1.0
    found = backlit.autograd.grad(z[-1], [*z, *weights])
    assert [g.item() for g in found] == pytest.approx([*gz, *gw])


def network(sizes: list[int], seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Random weights with a bias row, inputs and targets."""
    rng = np.random.default_rng(seed)
    layers = [rng.standard_normal((n + 1, m)) * 0.5 for n, m in pairwise(sizes)]
    return layers, rng.standard_normal((6, sizes[0])), rng.standard_normal((6, sizes[-1]))


def tanh_network(layers: list[Any], x: np.ndarray) -> list[backlit.Tensor]:
    """What each layer of a tanh network with biases computes, before and after tanh."""
    states, ones = [backlit.tensor(x)], backlit.ones(len(x), 1, dtype=F64)
    for w in layers:
        states.append(backlit.cat([ones, states[-1]], dim=1) @ w)
        states.append(states[-1].tanh())
    return states


def test_G24_beta_recursion() -> None:
    """β^L = L'·σ'(z^L), β^l = (β^{l+1} W^{l+1}) * σ'(z^l), ∇ = (β^l)ᵀ h^{l-1}: the engine's."""
    rng = np.random.default_rng(3)
    weights = [rng.standard_normal(s) for s in ((4, 3), (5, 4), (2, 5))]
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    gradients, betas = lab.beta_recursion(
        weights, x, lambda h: 2 * (h - y), sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))
    )
    leaves, h, z = [leaf(w) for w in weights], backlit.tensor(x), []
    for w in leaves:
        z.append(h @ w.T)
        h = z[-1].sigmoid()
    found = backlit.autograd.grad((h - backlit.tensor(y)).square().sum(), [*leaves, *z])
    for g, expected in zip(found, [*gradients, *betas], strict=True):
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-9)


def test_G25_delta_recursion() -> None:
    """δ^(L) = 2(x - y)(1 - x²), δ^(l) = W^(l+1) δ^(l+1) ⊗ (1 - x ⊗ x), ∇ = x^(l-1) δᵀ; all δ."""
    layers, x, y = network([3, 4, 5, 2], seed=1)
    leaves = [leaf(w) for w in layers]
    states = tanh_network(leaves, x[:1])
    loss = (states[-1] - backlit.tensor(y[:1])).square().sum()
    found = backlit.autograd.grad(loss, [*leaves, *states[1::2]])
    gradients, deltas, out = lab.delta_recursion(layers, x[0], y[0])
    np.testing.assert_allclose(states[-1].detach().numpy()[0], out)
    for g, expected in zip(found, [*gradients, *(d[None] for d in deltas)], strict=True):
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-9)
    assert [g.shape for g in gradients] == [(4, 4), (5, 5), (6, 2)]  # a bias row each


def test_G26_full_batch_is_the_sum_over_examples() -> None:
    """E_in and G^(l) accumulated one example at a time equal one batched backward, to 1e-6."""
    layers, x, y = network([3, 4, 2], seed=2)
    leaves = [leaf(w) for w in layers]
    loss = (tanh_network(leaves, x)[-1] - backlit.tensor(y)).square().sum() / len(x)
    loss.backward()
    error, gradients = lab.full_batch_gradient(layers, x, y)
    assert error == pytest.approx(loss.item(), rel=1e-6)
    for w, g in zip(leaves, gradients, strict=True):
        np.testing.assert_allclose(w.grad.numpy(), g, rtol=1e-6)


def test_G27_direct_is_quadratic_and_cached_is_linear() -> None:
    """Each gradient by itself takes O(L²) products, with δ cached O(L): answers (B), then (A)."""
    direct = [lab.cost_report(n, memoize=False).matmuls for n in DEPTHS]
    cached = [lab.cost_report(n, memoize=True).matmuls for n in DEPTHS]
    assert (direct[1], cached[1]) == (44, 16)
    assert (direct[3], cached[3]) == (560, 64)
    np.testing.assert_allclose(np.polyfit(DEPTHS, direct, 3), [0, 0.5, 1.5, 0], atol=1e-9)
    np.testing.assert_allclose(np.polyfit(DEPTHS, cached, 2), [0, 2, 0], atol=1e-9)
    with_cache, without = (lab.cost_report(8, memoize=m).gradients for m in (True, False))
    for a, b in zip(with_cache, without, strict=True):
        np.testing.assert_allclose(a, b)
    for n in DEPTHS:  # the engine caches
        assert products(n)["backward"] == 2 * n


def products(depth: int, rows: int = 2, width: int = 2) -> dict[str, int]:
    """Multiplications of matrices in the recorded forward and backward pass of a chain."""
    return {k: len(v) for k, v in recorded(depth, rows, width).items()}


def recorded(depth: int, rows: int, width: int) -> dict[str, list[int]]:
    """The multiply-adds of each matrix product, by phase."""
    from backlit.core.era import local

    backlit.flush()
    h = leaf(np.ones((rows, width)))
    for _ in range(depth):
        h = h @ leaf(np.eye(width))
    h.sum().backward()
    found: dict[str, list[int]] = {"forward": [], "backward": []}
    for node in local.era.here.all_nodes():
        if node.primitive.name == "matmul":
            n, d = node.args[0].shape
            found[node.where.phase].append(n * d * node.args[1].shape[1])
    return found


def test_G28_backward_costs_the_order_of_forward() -> None:
    """Backward is 2 × forward, flat in L; a pass is linear in L, in n and in the weights."""

    def work(depth: int, rows: int = 3, width: int = 4) -> tuple[int, int]:
        found = recorded(depth, rows, width)
        return sum(found["forward"]), sum(found["backward"])

    for depth in DEPTHS:
        forward, backward = work(depth)
        assert backward == 2 * forward
        assert forward == depth * 3 * 4 * 4  # layers × examples × weights of one layer
    assert work(4, rows=30)[1] == 10 * work(4, rows=3)[1]
    assert work(4, width=8)[1] == 4 * work(4, width=4)[1]  # four times the weights


def test_G28_measured_times_of_both_passes() -> None:
    """Both passes take finite times; what was timed is the right output and the right gradients."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    x = backlit.randn(5, 6)
    parameters = list(model.parameters())
    found = lab.pass_times(model, x, parameters, repeats=3)
    assert found.names == ("forward", "backward")
    assert all(0 < s < math.inf for s in found.seconds)
    assert 0 < found.ratio < math.inf
    out, gradients = found.results
    model(x).square().sum().backward()
    assert np.allclose(out.detach().numpy(), model(x).detach().numpy())
    for g, p in zip(gradients, parameters, strict=True):
        assert np.allclose(g.numpy(), p.grad.numpy())
    assert str(found).splitlines()[-1].startswith("backward / forward: ")


def test_G29_memoization() -> None:
    """With a cache every gradient is computed once; without, once per path."""
    w = [leaf(v) for v in (0.5, -1.0, 2.0)]
    h1 = w[0].tanh()
    h2 = (w[1] * h1).tanh()
    h3 = (w[2] * h2).tanh()
    found = lab.memoization(h3)
    assert set(found.cached.values()) == {1}
    assert [found.direct[k] for k in ("h1", "h2", "h3")] == [1, 2, 3]
    assert found.totals == (8, 3 + 3 * 2 + 2 * 2 + 1)
    x = leaf(1.01)
    y = x
    for _ in range(30):
        y = y + y
    assert lab.memoization(y).totals == (31, 2**31 - 1)
    for memoize, total in zip((True, False), found.totals, strict=True):
        order = list(lab.visits(h3, memoize=memoize))  # what an animation plays
        assert (len(order), order[0]) == (total, "h3")


def test_G33_derivative_as_a_limit() -> None:
    """(J(θ + h) - J(θ)) / h approaches J'(θ) like h, until round-off takes over."""
    found = lab.difference_errors(lambda x: x.exp(), 1.0)
    forward = {round(math.log10(h)): error for h, error, _ in found}
    central = {round(math.log10(h)): error for h, _, error in found}
    for k in (-1, -2, -3, -4, -5):
        assert forward[k] / forward[k - 1] == pytest.approx(10, rel=0.1)
    assert central[-1] / central[-2] == pytest.approx(100, rel=0.1)
    assert min(forward, key=lambda k: forward[k]) in (-7, -8, -9)
    assert min(central, key=lambda k: central[k]) in (-5, -6)
    assert forward[-15] > 1e4 * forward[-8]  # the round-off floor


def test_G34_autograd_is_neither_differences_nor_symbols() -> None:
    """Differences have an error, symbols a size that explodes; autograd has neither."""

    def logistic(rounds: int) -> lab.Comparison:
        def f(x: Any) -> Any:
            for _ in range(rounds):
                x = 4 * x * (1 - x)
            return x

        return lab.compare_derivatives(f, 0.2)

    sizes = {
        name: [logistic(n)[name].size for n in (2, 4, 6)] for name in ("symbolic", "automatic")
    }
    assert [b / a > 4 for a, b in pairwise(sizes["symbolic"])] == [True, True]
    first, second, third = sizes["automatic"]
    assert third - second == second - first  # linear in the length of f
    found = logistic(6)
    assert found["numerical"].error > 1e-7
    assert found["automatic"].error < 1e-11
    assert found["automatic"].operations < 5 * 6 * 3
    assert found["symbolic"].operations > 1000
