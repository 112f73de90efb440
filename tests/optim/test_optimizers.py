"""Every optimizer follows its published formula, also when it continues a saved run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import optim
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


MAKERS = {f.__name__: make for f, make in FORMULAS} | {
    "muon": lambda p: optim.Muon(p, lr=0.1),
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_parameters_of_several_dtypes_share_a_group(name: str) -> None:
    """Each is rewritten in its own dtype, as if it had an optimizer of its own."""

    def trained(together: bool) -> list[backlit.Tensor]:
        backlit.manual_seed(0)
        dtypes = (backlit.float32, backlit.float64)
        params = [backlit.tensor(START, dtype=d, requires_grad=True) for d in dtypes]
        optimizers = [MAKERS[name](p) for p in ([params] if together else [[p] for p in params])]
        for _ in STEPS:
            for p in params:
                (p * p).sum().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        return params

    for one, other in zip(trained(True), trained(False), strict=True):
        assert one.dtype is other.dtype
        assert one.tolist() == other.tolist()


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
