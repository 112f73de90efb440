"""Derivatives of functions: values, layouts, nesting, per-sample gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import func
from backlit.autograd import functional

X = [0.3, -1.2, 2.0]


def vector(*values: float) -> backlit.Tensor:
    return backlit.tensor(list(values or X), dtype=backlit.float64)


def cubes(x: backlit.Tensor) -> backlit.Tensor:
    return (x * x * x).sum()


def array(t: backlit.Tensor) -> np.ndarray:
    return np.array(t.detach().tolist())


# -- values ---------------------------------------------------


def test_vjp_and_jvp_are_adjoint() -> None:
    """⟨v, J t⟩ = ⟨vᵀ J, t⟩ for a function of two inputs with two outputs."""

    def f(x: Any, y: Any) -> Any:
        return (x * y).tanh(), (x.sin() * y.sum()).sum().reshape((1,))

    rng = np.random.default_rng(0)
    point = (vector(), vector(1.0, 2.0, 0.5))
    v = (backlit.tensor(rng.standard_normal(3)), backlit.tensor(rng.standard_normal(1)))
    t = (backlit.tensor(rng.standard_normal(3)), backlit.tensor(rng.standard_normal(3)))
    pulled = functional.vjp(f, point, v)[1]
    pushed = functional.jvp(f, point, t)[1]
    left = sum((array(a) * array(b)).sum() for a, b in zip(v, pushed, strict=True))
    right = sum((array(a) * array(b)).sum() for a, b in zip(pulled, t, strict=True))
    assert left == pytest.approx(right)


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_jacobian_of_several_inputs_and_outputs(strategy: str) -> None:
    """Blocks [output][input] of shape output + input; unused pairs are zero."""

    def f(x: Any, y: Any) -> Any:
        return x * y.sum(), y

    table = functional.jacobian(f, (vector(), vector(1.0, 2.0)), strategy=strategy)
    np.testing.assert_allclose(array(table[0][0]), np.eye(3) * 3)
    np.testing.assert_allclose(array(table[0][1]), np.outer(X, [1, 1]))
    np.testing.assert_allclose(array(table[1][0]), np.zeros((2, 3)))
    np.testing.assert_allclose(array(table[1][1]), np.eye(2))


def test_hessian_products() -> None:
    """H v, v H and the whole Hessian of Σ x³ agree: diag(6 x)."""
    v = vector(1.0, 2.0, 3.0)
    expected = np.diag(6 * np.array(X))
    np.testing.assert_allclose(array(functional.hessian(cubes, vector())), expected)
    np.testing.assert_allclose(array(functional.vhp(cubes, vector(), v)[1]), expected @ array(v))
    np.testing.assert_allclose(array(functional.hvp(cubes, vector(), v)[1]), expected @ array(v))


def test_create_graph_makes_results_differentiable() -> None:
    """The sum of a Jacobian can be differentiated; without create_graph nothing is tracked."""
    x = vector().requires_grad_()
    j = functional.jacobian(lambda x: x * x * x, x, create_graph=True)
    j.sum().backward()
    np.testing.assert_allclose(array(x.grad), 6 * np.array(X))
    assert not functional.jacobian(cubes, x).requires_grad


def test_nested_transforms() -> None:
    """grad of grad, grad through vmap of grad, vmap of hessian, jacrev = jacfwd."""
    x = vector()
    assert func.grad(func.grad(lambda x: x * x * x))(vector(2.0)[0]).item() == 12.0
    w = vector(2.0)[0]
    outer = func.grad(lambda w: func.vmap(func.grad(lambda x: w * x * x))(x).sum())
    assert outer(w).item() == pytest.approx(2 * sum(X))
    batch = backlit.stack([x, x * 2])
    assert func.vmap(func.hessian(cubes))(batch).shape == (2, 3, 3)
    f = lambda x: (x * x.sum()).tanh()  # noqa: E731 - short, and used twice
    np.testing.assert_allclose(array(func.jacrev(f)(x)), array(func.jacfwd(f)(x)))


def test_aux_and_pytrees() -> None:
    """has_aux passes other results through; inputs may be nested."""
    parameters = {"w": vector(), "b": [vector(1.0)]}

    def loss(p: Any) -> Any:
        return (p["w"] * p["b"][0]).sum(), "seen"

    slope, (value, aux) = func.grad_and_value(loss, has_aux=True)(parameters)
    assert (array(slope["w"]).tolist(), aux) == ([1.0, 1.0, 1.0], "seen")
    assert array(slope["b"][0]).tolist() == pytest.approx([sum(X)])
    assert value.item() == pytest.approx(sum(X))


def test_vmap_of_a_pull_back() -> None:
    """``vmap(vjp(f, x)[1])`` over unit vectors gives the rows of the Jacobian."""
    _, pull_back = func.vjp(lambda x: x * x, vector())
    (rows,) = func.vmap(pull_back)(backlit.tensor(np.eye(3)))
    np.testing.assert_allclose(array(rows), np.diag(2 * np.array(X)))


# -- per-sample gradients ---------------------------------------------------


def _network(p: dict[str, Any], x: Any, y: Any) -> Any:
    h = (x @ p["w1"] + p["b1"]).tanh()
    return ((h @ p["w2"]) - y).square().sum()


def test_per_sample_gradients() -> None:
    """vmap(grad(loss)) equals one backward per example, with each op run once for all."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (3, 5), "b1": (5,), "w2": (5, 2)}
    p = {k: backlit.tensor(rng.standard_normal(s)) for k, s in shapes.items()}
    x, y = (backlit.tensor(rng.standard_normal(s)) for s in ((8, 3), (8, 2)))
    found = func.vmap(func.grad(_network), in_dims=(None, 0, 0))(p, x, y)
    for i in range(8):
        single = func.grad(_network)(p, x[i], y[i])
        for k in p:
            np.testing.assert_allclose(array(found[k])[i], array(single[k]), rtol=1e-9)
    chunked = func.vmap(func.grad(_network), in_dims=(None, 0, 0), chunk_size=3)(p, x, y)
    np.testing.assert_allclose(array(chunked["w1"]), array(found["w1"]))
    assert _recorded(4) == _recorded(64)


def _recorded(n: int) -> int:
    """How many nodes the per-sample gradients of a batch of ``n`` take."""
    from backlit.core.era import local

    backlit.flush()
    p = {
        "w1": backlit.tensor(np.ones((3, 5))),
        "b1": backlit.tensor(np.ones(5)),
        "w2": backlit.tensor(np.ones((5, 2))),
    }
    held = func.vmap(func.grad(_network), in_dims=(None, 0, 0))(
        p, backlit.tensor(np.ones((n, 3))), backlit.tensor(np.ones((n, 2)))
    )
    nodes = len(local.era.here.all_nodes())
    assert held["w1"].shape == (n, 3, 5)
    return nodes


def test_vmap_dims() -> None:
    """in_dims and out_dims say where the examples are; None shares an argument."""
    x = backlit.tensor(np.arange(6.0).reshape(2, 3))
    y = vector()
    found = func.vmap(lambda a, b: a * b.sum(), in_dims=(1, None), out_dims=1)(x, y)
    np.testing.assert_allclose(array(found), array(x) * sum(X))
    pairs = func.vmap(lambda d: (d["a"], -d["a"]), in_dims=({"a": 0},))({"a": x})
    np.testing.assert_allclose(array(pairs[1]), -array(x))


def test_functional_call() -> None:
    """A module runs with other parameters, also inside transforms, and is unchanged afterwards."""
    net = backlit.nn.Sequential(backlit.nn.Linear(3, 4), backlit.nn.Tanh(), backlit.nn.Linear(4, 1))
    before = {k: v.detach().clone() for k, v in net.named_parameters()}
    other = {k: v * 2 for k, v in before.items()}
    x = backlit.randn(5, 3)
    found = func.functional_call(net, other, (x,))
    expected = (x @ other["0.weight"].T + other["0.bias"]).tanh() @ other["2.weight"].T + other[
        "2.bias"
    ]
    np.testing.assert_allclose(array(found), array(expected), rtol=1e-5, atol=1e-6)

    def loss(p: Any, x: Any) -> Any:
        return func.functional_call(net, p, (x.reshape((1, 3)),)).square().sum()

    rows = func.vmap(func.grad(loss), in_dims=(None, 0))(before, x)
    single = func.grad(loss)(before, x[2])
    np.testing.assert_allclose(array(rows["0.weight"])[2], array(single["0.weight"]), rtol=1e-4)
    for k, v in net.named_parameters():
        assert v.tolist() == before[k].tolist()
    with pytest.raises(
        KeyError, match=r"functional_call: unexpected names .'9.weight'., missing names"
    ):
        func.functional_call(net, {"9.weight": x}, (x,))
