"""Every optimizer follows its published formula; groups, hooks, saving and messages."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import optim
from backlit.errors import ArgumentError, GradientError
from backlit.optim.lbfgs import cubic_minimum

Array = np.ndarray[Any, np.dtype[np.float64]]
START = np.array([[0.5, -1.0, 2.0], [1.5, -0.25, 0.75]])
CURVATURE = np.array([[1.0, 3.0, 0.5], [2.0, 0.1, 1.0]])
STEPS = range(1, 4)


def slope(x: Array) -> Array:
    """The gradient of Σ c x²/2."""
    return CURVATURE * x


def train(make: Callable[..., Any], start: Array = START, steps: int = len(STEPS)) -> Array:
    """Where ``steps`` steps on Σ c x²/2 lead."""
    x = backlit.tensor(start.copy(), requires_grad=True)
    curvature = backlit.tensor(CURVATURE[tuple(slice(n) for n in start.shape)])
    optimizer = make([x])
    for _ in range(steps):
        optimizer.zero_grad()
        (curvature * x * x / 2).sum().backward()
        optimizer.step()
    return np.array(x.detach().numpy())


# -- the formulas, in NumPy ----------------------------------------------------------------------


def sgd(x: Array) -> Array:
    buffer = None
    for _ in STEPS:
        g = slope(x) + 0.01 * x
        buffer = g if buffer is None else 0.9 * buffer + 0.5 * g
        x = x - 0.1 * buffer
    return x


def nesterov(x: Array) -> Array:
    buffer = np.zeros_like(x)
    for _ in STEPS:
        g = slope(x)
        buffer = 0.9 * buffer + g
        x = x - 0.1 * (g + 0.9 * buffer)
    return x


def averaging(x: Array) -> Array:
    mean = np.zeros_like(x)
    for _ in STEPS:
        mean = 0.9 * mean + 0.1 * slope(x)
        x = x - 0.1 * mean
    return x


def adam(x: Array) -> Array:
    m = v = np.zeros_like(x)
    for t in STEPS:
        g = slope(x)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    return x


def amsgrad(x: Array) -> Array:
    m = v = largest = np.zeros_like(x)
    for t in STEPS:
        g = slope(x) + 0.1 * x
        m, v = 0.9 * m + 0.1 * g, 0.2 * v + 0.8 * g**2
        largest = np.maximum(largest, v)
        x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(largest / (1 - 0.2**t)) + 1e-8)
    return x


def adamw(x: Array) -> Array:
    m = v = np.zeros_like(x)
    for t in STEPS:
        g = slope(x)
        x = x - 0.1 * 0.5 * x
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    return x


def rmsprop(x: Array) -> Array:
    s = buffer = np.zeros_like(x)
    for _ in STEPS:
        g = slope(x)
        s = 0.9 * s + 0.1 * g**2
        buffer = 0.5 * buffer + g / (np.sqrt(s) + 1e-8)
        x = x - 0.01 * buffer
    return x


def centered_rmsprop(x: Array) -> Array:
    s = mean = np.zeros_like(x)
    for _ in STEPS:
        g = slope(x)
        s, mean = 0.9 * s + 0.1 * g**2, 0.9 * mean + 0.1 * g
        x = x - 0.01 * g / (np.sqrt(s - mean**2) + 1e-8)
    return x


def adagrad(x: Array) -> Array:
    s = np.full_like(x, 0.25)
    for t in STEPS:
        g = slope(x)
        s = s + g**2
        x = x - 0.1 / (1 + (t - 1) * 0.5) * g / (np.sqrt(s) + 1e-10)
    return x


def adadelta(x: Array) -> Array:
    s = d = np.zeros_like(x)
    for _ in STEPS:
        g = slope(x)
        s = 0.9 * s + 0.1 * g**2
        delta = np.sqrt(d + 1e-6) / np.sqrt(s + 1e-6) * g
        d = 0.9 * d + 0.1 * delta**2
        x = x - delta
    return x


def adamax(x: Array) -> Array:
    m = u = np.zeros_like(x)
    for t in STEPS:
        g = slope(x)
        m, u = 0.9 * m + 0.1 * g, np.maximum(0.99 * u, np.abs(g) + 1e-8)
        x = x - 0.1 / (1 - 0.9**t) * m / u
    return x


def nadam(x: Array) -> Array:
    m = v = np.zeros_like(x)
    product = 1.0
    for t in STEPS:
        g = slope(x)
        now, following = (0.9 * (1 - 0.5 * 0.96 ** (n * 0.004)) for n in (t, t + 1))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        mean = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
        x = x - 0.1 * mean / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    return x


def radam(x: Array) -> Array:
    m = v = np.zeros_like(x)
    longest = 2 / (1 - 0.5) - 1
    for t in STEPS:
        g = slope(x)
        m, v = 0.9 * m + 0.1 * g, 0.5 * v + 0.5 * g**2
        mean = m / (1 - 0.9**t)
        length = longest - 2 * t * 0.5**t / (1 - 0.5**t)
        assert length <= 5  # the variance is not tractable yet: a plain step
        x = x - 0.1 * mean
    return x


def rprop(x: Array) -> Array:
    before, size = np.zeros_like(x), np.full_like(x, 0.3)
    for _ in STEPS:
        g = slope(x)
        agrees = np.sign(g * before)
        size = np.clip(size * np.where(agrees > 0, 1.2, np.where(agrees < 0, 0.5, 1.0)), 1e-6, 50)
        g = np.where(agrees < 0, 0.0, g)
        x = x - np.sign(g) * size
        before = g
    return x


def asgd(x: Array) -> Array:
    size = 0.1
    for t in STEPS:
        x = x * (1 - 0.01 * size) - size * slope(x)
        size = 0.1 / (1 + 0.01 * 0.1 * t) ** 0.75
    return x


def adafactor(x: Array) -> Array:
    row, col = np.zeros((2, 1)), np.zeros((1, 3))
    for t in STEPS:
        g = slope(x)
        new = t**-0.8
        row = (1 - new) * row + new * (g**2).mean(1, keepdims=True)
        col = (1 - new) * col + new * (g**2).mean(0, keepdims=True)
        u = g / np.sqrt(row @ col / row.mean())
        size = min(0.1, t**-0.5) * max(1e-3, np.sqrt((x**2).mean()))
        x = x * (1 - 0.1 * 0.2) - size * u / max(1.0, np.sqrt((u**2).mean()))
    return x


FORMULAS: list[tuple[Callable[[Array], Array], Callable[..., Any]]] = [
    (sgd, lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.01)),
    (nesterov, lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
    (averaging, lambda p: optim.EMAMomentum(p, lr=0.1, momentum=0.9)),
    (adam, lambda p: optim.Adam(p, lr=0.1, betas=(0.9, 0.99))),
    (amsgrad, lambda p: optim.Adam(p, 0.1, (0.9, 0.2), weight_decay=0.1, amsgrad=True)),
    (adamw, lambda p: optim.AdamW(p, lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)),
    (rmsprop, lambda p: optim.RMSprop(p, alpha=0.9, momentum=0.5)),
    (centered_rmsprop, lambda p: optim.RMSprop(p, alpha=0.9, centered=True)),
    (adagrad, lambda p: optim.Adagrad(p, 0.1, lr_decay=0.5, initial_accumulator_value=0.25)),
    (adadelta, optim.Adadelta),
    (adamax, lambda p: optim.Adamax(p, lr=0.1, betas=(0.9, 0.99))),
    (nadam, lambda p: optim.NAdam(p, lr=0.1, betas=(0.9, 0.99))),
    (radam, lambda p: optim.RAdam(p, lr=0.1, betas=(0.9, 0.5))),
    (rprop, lambda p: optim.Rprop(p, lr=0.3)),
    (asgd, lambda p: optim.ASGD(p, lr=0.1, lambd=0.01)),
    (adafactor, lambda p: optim.Adafactor(p, lr=0.1, weight_decay=0.2)),
]


@pytest.mark.parametrize(("formula", "make"), FORMULAS, ids=[f.__name__ for f, _ in FORMULAS])
def test_three_steps_follow_the_formula(
    formula: Callable[[Array], Array], make: Callable[..., Any]
) -> None:
    """Three steps lead where the published formula leads."""
    np.testing.assert_allclose(train(make), formula(START), rtol=1e-6)


def test_rectified_adam_once_the_variance_is_tractable() -> None:
    """From the sixth step (β₂ = 0.999) on, RAdam divides by √v̂ and scales by the rectification."""
    x, m, v = START, np.zeros_like(START), np.zeros_like(START)
    longest = 2 / (1 - 0.999) - 1
    for t in range(1, 8):
        g = slope(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        mean, factor = m / (1 - 0.9**t), np.ones_like(x)
        if length > 5:
            rectified = (length - 4) * (length - 2) * longest
            rectified /= (longest - 4) * (longest - 2) * length
            factor = np.sqrt(rectified) * np.sqrt(1 - 0.999**t) / (np.sqrt(v) + 1e-8)
        x = x - 0.1 * mean * factor
    found = train(lambda p: optim.RAdam(p, lr=0.1), steps=7)
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_adafactor_keeps_all_of_a_vector() -> None:
    """Second moments of a vector are not factored: the first update is the sign of g."""
    found = train(lambda p: optim.Adafactor(p, lr=0.1), START[0][None][0:1].reshape(1, 3), steps=1)
    assert found.shape == (1, 3)
    w = backlit.tensor([3.0, -4.0], dtype=backlit.float64, requires_grad=True)
    optimizer = optim.Adafactor([w], lr=0.1)
    (w * w).sum().backward()
    optimizer.step()
    size = 0.1 * np.sqrt(12.5)
    np.testing.assert_allclose(w.detach().numpy(), [3 - size, -4 + size])
    assert set(optimizer.state[w]) == {"step", "variance"}


def test_muon_steps_are_nearly_orthogonal() -> None:
    """Muon's first step is lr·UVᵀ, up to the spread of Newton-Schulz's singular values."""
    lr = 0.1
    step = (START - train(lambda p: optim.Muon(p, lr=lr, weight_decay=0.0), steps=1)) / lr
    u, _, vt = np.linalg.svd(slope(START), full_matrices=False)
    sizes = np.linalg.svd(step, compute_uv=False)
    assert ((sizes > 0.65) & (sizes < 1.25)).all()
    np.testing.assert_allclose(step, u @ np.diag(np.diag(u.T @ step @ vt.T)) @ vt, atol=0.02)


def test_lbfgs_solves_a_quadratic() -> None:
    """A quadratic of n unknowns is solved within one call, whether or not steps are searched."""
    for search in (None, "strong_wolfe"):
        x = backlit.tensor(START.copy(), requires_grad=True)
        curvature = backlit.tensor(CURVATURE)
        optimizer = optim.LBFGS([x], max_iter=60, line_search_fn=search)

        def closure(x: Any = x, optimizer: Any = optimizer, curvature: Any = curvature) -> Any:
            optimizer.zero_grad()
            loss = (curvature * (x - 1) ** 2).sum()
            loss.backward()
            return loss

        first = optimizer.step(closure)
        np.testing.assert_allclose(float(first), float((CURVATURE * (START - 1) ** 2).sum()))
        np.testing.assert_allclose(x.detach().numpy(), np.ones((2, 3)), atol=1e-4)
        assert optimizer.state[x]["func_evals"] <= 75


def test_cubic_minimum_stays_in_bounds() -> None:
    """The minimum is cut to the bounds; without one it is the middle, without width the end."""
    assert cubic_minimum(0.0, 1.0, -2.0, 2.0, 1.0, 2.0, (1.5, 3.0)) == 1.5
    assert cubic_minimum(2.0, 1.0, 2.0, 0.0, 1.0, -2.0) == 1.0
    assert cubic_minimum(0.0, 0.0, 1.0, 1.0, 1.0, 1.0) == 0.0
    assert cubic_minimum(0.0, 0.0, 1.0, 3.0, 2.0, 1.0) == 1.5
    assert cubic_minimum(1.0, 2.0, 0.0, 1.0, 2.0, 0.0) == 1.0


def test_averaging_momentum_is_sgd_with_a_smaller_rate() -> None:
    """EMAMomentum(λ, μ) = SGD(λ(1-μ), μ): the two textbook forms of momentum."""
    ours = train(lambda p: optim.EMAMomentum(p, lr=0.2, momentum=0.75), steps=20)
    theirs = train(lambda p: optim.SGD(p, lr=0.05, momentum=0.75), steps=20)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_maximize_is_minimising_the_negative() -> None:
    """With ``maximize``, steps climb: from x they go where minimising -f goes."""
    x, y = (backlit.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    up, down = optim.Adam([x], lr=0.1, maximize=True), optim.Adam([y], lr=0.1)
    (x * x).sum().backward()
    (-(y * y).sum()).backward()
    up.step()
    down.step()
    assert x.tolist() == y.tolist()
    assert x.tolist() > [1.0, 2.0]


# -- groups, hooks, saving -----------------------------------------------------------------------


def pair() -> tuple[Any, Any]:
    return (
        backlit.tensor([1.0, 2.0], requires_grad=True),
        backlit.tensor([3.0], requires_grad=True),
    )


def test_groups_have_options_of_their_own() -> None:
    """A group's options win over the defaults; parameters without gradient stay."""
    a, b = pair()
    still = backlit.tensor([5.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [a, still]}, {"params": b, "lr": 0.5}], lr=0.1)
    (a.sum() + b.sum()).backward()
    optimizer.step()
    np.testing.assert_allclose(a.tolist(), [0.9, 1.9], rtol=1e-6)
    assert b.tolist() == [2.5]
    assert still.tolist() == [5.0]
    optimizer.add_param_group({"params": [backlit.ones(1, requires_grad=True)], "lr": 2.0})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5, 2.0]


def test_rate_may_change_between_steps() -> None:
    """``param_groups[i]["lr"]`` is read at every step."""
    a, _ = pair()
    optimizer = optim.SGD([a], lr=0.5)
    for rate in (0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        a.sum().backward()
        optimizer.step()
    assert a.tolist() == [0.25, 1.25]


def test_zero_grad_forgets_or_clears() -> None:
    """Gradients become None, or zeros where ``set_to_none`` is False."""
    a, _ = pair()
    optimizer = optim.SGD([a], lr=0.5)
    a.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is not None
    assert a.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert a.grad is None


def test_closure_is_called_with_gradients_on() -> None:
    """``step(closure)`` computes the loss itself, and returns it."""
    a, _ = pair()
    optimizer = optim.SGD([a], lr=0.5)

    def closure() -> Any:
        assert backlit.is_grad_enabled()
        optimizer.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    with backlit.no_grad():
        assert float(optimizer.step(closure)) == 5.0
    assert a.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["SGD", "LBFGS"])
def test_step_hooks_run_around_the_step(kind: str) -> None:
    """Pre-hooks see the parameters before, post-hooks after; removed hooks do not run."""
    a, _ = pair()
    optimizer = getattr(optim, kind)([a], lr=0.5)
    seen: list[Any] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    before = optimizer.register_step_pre_hook(lambda o, args, kw: seen.append(a.tolist()))
    after = optimizer.register_step_post_hook(lambda o, args, kw: seen.append("after"))
    optimizer.step(closure)
    assert seen == [[1.0, 2.0], "after"]
    before.remove()
    after.remove()
    optimizer.step(closure)
    assert len(seen) == 2


def test_state_dict_hooks_see_and_change_what_is_saved() -> None:
    """Hooks run before and after saving and loading, in order; they may return another dict."""
    a, _ = pair()
    optimizer = optim.Adam([a])
    calls: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("pre"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: calls.append("second"))
    optimizer.register_load_state_dict_pre_hook(lambda o, d: calls.append("first"), prepend=True)
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    saved = optimizer.state_dict()
    assert saved["extra"] == 1
    optimizer.load_state_dict(saved)
    assert calls == ["pre", "first", "second", "loaded"]


MAKERS = {f.__name__: make for f, make in FORMULAS} | {
    "muon": lambda p: optim.Muon(p, lr=0.1),
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_state_dict_continues_the_run(name: str) -> None:
    """A fresh optimizer with a saved state goes on exactly as the first one would have."""
    ends = []
    for resume in (False, True):
        x = backlit.tensor(START.copy(), requires_grad=True)
        curvature = backlit.tensor(CURVATURE)
        optimizer = MAKERS[name]([x])
        for step in range(6):
            if resume and step == 3:
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = MAKERS[name]([x])
                optimizer.load_state_dict(saved)
            optimizer.zero_grad()
            (curvature * x * x / 2).sum().backward()
            optimizer.step()
        ends.append(np.array(x.detach().numpy()))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)


def test_named_parameters_are_saved_with_their_names() -> None:
    """(name, tensor) pairs are accepted; the names are kept in the group."""
    a, b = pair()
    optimizer = optim.SGD([("a", a), ("b", b)], lr=0.1)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    assert optimizer.param_groups[0]["params"] == [a, b]


def test_repr_lists_the_options_of_each_group() -> None:
    """The text is PyTorch's: class, group number, options in alphabetical order."""
    assert repr(optim.EMAMomentum([pair()[0]], lr=0.5)).splitlines()[:5] == [
        "EMAMomentum (",
        "Parameter Group 0",
        "    dampening: 0.9",
        "    differentiable: False",
        "    foreach: None",
    ]


# -- sparse gradients ----------------------------------------------------------------------------


def test_sparse_adam_changes_listed_rows_only() -> None:
    """Rows that no gradient lists keep value and moments; equal places are added up first."""
    w = backlit.ones(4, 2, dtype=backlit.float64, requires_grad=True)
    optimizer = optim.SparseAdam([w], lr=0.1)
    m = v = np.zeros((4, 2))
    x = np.ones((4, 2))
    for t, rows in enumerate(([2, 0, 2], [3, 2, 0]), start=1):
        values = np.arange(6.0).reshape(3, 2) + t
        w.grad = backlit.sparse_coo_tensor([rows], backlit.tensor(values), (4, 2))
        optimizer.step()
        dense, there = np.zeros((4, 2)), np.zeros((4, 1), bool)
        np.add.at(dense, rows, values)
        there[rows] = True
        m = np.where(there, 0.9 * m + 0.1 * dense, m)
        v = np.where(there, 0.999 * v + 0.001 * dense**2, v)
        step = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        x = np.where(there, x - step * m / (np.sqrt(v) + 1e-8), x)
        np.testing.assert_allclose(w.detach().numpy(), x, rtol=1e-12)


def test_sparse_adam_counts_steps_without_rows() -> None:
    """An empty gradient changes nothing but the number of steps."""
    w = backlit.ones(2, 1, requires_grad=True)
    optimizer = optim.SparseAdam([w])
    w.grad = backlit.sparse_coo_tensor(
        backlit.zeros(1, 0, dtype=backlit.int64), backlit.ones(0, 1), (2, 1)
    )
    optimizer.step()
    assert w.tolist() == [[1.0], [1.0]]
    assert optimizer.state[w]["step"] == 1


# -- messages ------------------------------------------------------------------------------------


def options(kind: str, **kwargs: Any) -> Callable[[], Any]:
    return lambda: getattr(optim, kind)([backlit.zeros(2, requires_grad=True)], **kwargs)


TENSOR = backlit.tensor(0.5)
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (options("SGD", lr=-1.0), "Invalid learning rate: -1.0 - should be >= 0."),
    (options("SGD", lr=backlit.ones(2)), "Tensor lr must be 1-element, got shape (2,)."),
    (options("SGD", momentum=-0.5), "Invalid momentum value: -0.5 - should be >= 0."),
    (options("EMAMomentum", momentum=1.0), "Invalid momentum value: 1.0 - should be in [0, 1)."),
    (
        options("SGD", nesterov=True),
        "Nesterov momentum requires a momentum and zero dampening.",
    ),
    (
        options("Adam", betas=(1.0, 0.9)),
        "Invalid beta parameter at index 0: 1.0 - should be in [0, 1).",
    ),
    (
        options("Adam", lr=TENSOR, foreach=True),
        "lr as a Tensor is not supported for capturable=False and foreach=True; give a float.",
    ),
    (
        options("Adam", betas=(TENSOR, 0.9)),
        "betas must be either both floats or both Tensors.",
    ),
    (
        options("Adam", betas=(TENSOR, TENSOR), foreach=True),
        "betas[0] as a Tensor is not supported for capturable=False and foreach=True.",
    ),
    (options("Adadelta", rho=1.5), "Invalid rho value: 1.5 - should be in [0, 1]."),
    (
        options("Rprop", etas=(1.5, 0.5)),
        "Invalid eta values: 1.5, 0.5 - should be 0 < η₁ < 1 < η₂.",
    ),
    (
        options("Adafactor", beta2_decay=0.8),
        "Invalid beta2_decay: 0.8 - beta2_decay should be <= 0.",
    ),
    (options("Adafactor", d=0.5), "Invalid d: 0.5 - Clipping threshold d should be >= 1."),
    (
        options("Adafactor", eps=(-1.0, 1e-3)),
        "Invalid eps: (-1.0, 0.001) - epsilon1 should be >= 0.",
    ),
    (
        options("SparseAdam", lr=backlit.ones(2)),
        "Tensor lr must be 1-element, got shape (2,).",
    ),
    (options("SparseAdam", lr=0.0), "Invalid learning rate: 0.0 - should be > 0."),
    (
        options("LBFGS", line_search_fn="armijo"),
        "LBFGS: only 'strong_wolfe' is supported, got 'armijo'.",
    ),
    (
        lambda: optim.LBFGS([{"params": [p]} for p in pair()]),
        "LBFGS doesn't support per-parameter options (parameter groups); give one list.",
    ),
    (
        lambda: optim.LBFGS([pair()[0]]).step(),
        "LBFGS.step() needs a closure that computes the loss and its gradients.",
    ),
    (
        options("Muon"),
        (
            "Muon only supports 2D parameters whereas we found a parameter with size: (2,); give "
            "the others to AdamW."
        ),
    ),
    (
        options("Muon", adjust_lr_fn="twice"),
        (
            "Adjust learning rate function twice is not supported; use 'original' or "
            "'match_rms_adamw'."
        ),
    ),
    (
        lambda: optim.SGD([]),
        "optimizer got an empty parameter list; pass model.parameters().",
    ),
    (
        lambda: optim.SGD([pair()[0] * 2]),
        "can't optimize a non-leaf Tensor; optimize the leaves it was computed from.",
    ),
    (
        lambda: optim.SGD([("a", pair()[0]), pair()[1]]),
        "all optimizer params should be with/without names. Some param names are missing.",
    ),
    (
        lambda: optim.SGD([pair()[0]]).add_param_group({"params": [("b", pair()[1])]}),
        (
            "all optimizer param groups should be with/without names. cannot add param group with "
            "names present to the optimizer."
        ),
    ),
    (
        lambda: optim.SGD([{"params": [TENSOR]}, {"params": [TENSOR]}]),
        "some parameters appear in more than one parameter group.",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_refused_options(call: Callable[[], Any], message: str) -> None:
    """What makes no sense is refused at once, with the option's name and value."""
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


WRONG_TYPES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: optim.SGD(pair()[0]),
        (
            "params argument given to the optimizer should be an iterable of Tensors or dicts, but "
            "got Tensor; pass [tensor] or model.parameters()."
        ),
    ),
    (
        lambda: optim.SGD([1.0]),
        "optimizer can only optimize Tensors, but one of the params is float.",
    ),
    (
        lambda: optim.SGD([{"params": set(pair())}]),
        (
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead."
        ),
    ),
    (
        lambda: optim.SGD([pair()[0]]).add_param_group([pair()[1]]),  # type: ignore[arg-type]
        "param_group must be a dict, but got list.",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG_TYPES, ids=[m[:40] for _, m in WRONG_TYPES])
def test_refused_types(call: Callable[[], Any], message: str) -> None:
    """What is no tensor, or in no order, is refused."""
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == message


def test_loading_another_models_state() -> None:
    """Groups must be as many, and as large, as those that were saved."""
    a, b = pair()
    one, two = optim.SGD([a, b]), optim.SGD([{"params": [a]}, {"params": [b]}])
    with pytest.raises(ArgumentError) as caught:
        one.load_state_dict(two.state_dict())
    assert str(caught.value) == (
        "loaded state dict has a different number of parameter groups (2) than the optimizer (1)."
    )
    with pytest.raises(ArgumentError) as caught:
        one.load_state_dict(optim.SGD([a]).state_dict())
    assert str(caught.value) == (
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
        "group: group 0 has 1 parameters, the optimizer's 2."
    )


def test_duplicate_parameters_warn() -> None:
    """The same parameter twice in a group is a mistake that PyTorch only warns of."""
    a, _ = pair()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([a, a])


def test_sparse_and_dense_gradients_are_not_mixed_up() -> None:
    """SparseAdam takes sparse gradients only, all others dense ones only."""
    a, _ = pair()
    a.grad = backlit.ones(2)
    with pytest.raises(GradientError) as caught:
        optim.SparseAdam([a]).step()
    assert str(caught.value) == (
        "SparseAdam does not support dense gradients, please consider Adam instead."
    )
    a.grad = backlit.sparse_coo_tensor([[0]], [1.0], (2,))
    with pytest.raises(GradientError) as caught:
        optim.Adam([a]).step()
    assert str(caught.value) == (
        "Adam does not support sparse gradients, please consider SparseAdam instead, or set "
        "p.grad = p.grad.to_dense()."
    )


def test_an_optimizer_without_a_rule_says_so() -> None:
    """A subclass defines either the rule or its own step."""

    class Nothing(optim.Optimizer):
        pass

    a, _ = pair()
    a.sum().backward()
    with pytest.raises(NotImplementedError) as caught:
        Nothing([a], {}).step()
    assert str(caught.value) == (
        "Nothing: an optimizer must define `numbers` and `rule`, or its own `step`."
    )
