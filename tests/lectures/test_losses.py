"""Section 1.4 of the checklist, up to L09: entropy, cross-entropy, squared and absolute error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim
from backlit.insight import doctor
from backlit.nn import functional as F

F64 = backlit.float64
RNG = np.random.default_rng(0)


def distributions(n: int, k: int) -> Any:
    p = RNG.uniform(size=(n, k))
    return p / p.sum(axis=1, keepdims=True)


def entropy(p: Any) -> Any:
    """H(P) = -Σ p log p of each row, in nats."""
    return backlit.special.entr(backlit.tensor(p)).sum(-1).numpy()


def divergence(p: Any, q: Any) -> Any:
    """KL(P‖Q) of each row."""
    terms = F.kl_div(backlit.tensor(q).log(), backlit.tensor(p), reduction="none")
    return terms.sum(-1).numpy()


def cross_entropy(p: Any, q: Any) -> Any:
    """H(P, Q) = -Σ p log q of each row."""
    return F.cross_entropy(backlit.tensor(q).log(), backlit.tensor(p), reduction="none").numpy()


def test_L01_entropy() -> None:
    """H(P) = -Σ p log p: 0 for a one-hot row, log k for k equal chances, and most then."""
    p = distributions(20, 5)
    assert np.allclose(entropy(p), -(p * np.log(p)).sum(1))
    assert entropy(np.eye(4)).tolist() == [0, 0, 0, 0]
    assert entropy(np.full((1, 8), 1 / 8))[0] == pytest.approx(math.log(8))
    assert (entropy(p) <= math.log(5)).all()


def test_L02_divergence() -> None:
    """KL(P‖Q) = Σ p log(p/q) ≥ 0, and 0 only where they are equal; it is not symmetric."""
    p, q = distributions(20, 5), distributions(20, 5)
    assert np.allclose(divergence(p, q), (p * np.log(p / q)).sum(1))
    assert (divergence(p, q) > 1e-6).all()
    assert np.allclose(divergence(p, p), 0, atol=1e-15)
    assert not np.allclose(divergence(p, q), divergence(q, p))
    module = nn.KLDivLoss(reduction="batchmean")(backlit.tensor(q).log(), backlit.tensor(p))
    assert module.item() == pytest.approx(divergence(p, q).mean())


def test_L03_cross_entropy_is_entropy_and_divergence() -> None:
    """H(P, Q) = H(P) + KL(P‖Q), one-hot rows included."""
    p, q = np.concatenate([distributions(50, 7), np.eye(7)]), distributions(57, 7)
    assert np.allclose(cross_entropy(p, q), entropy(p) + divergence(p, q), rtol=0, atol=1e-6)


def test_L04_one_hot_target_leaves_one_term() -> None:
    """L_i = -log softmax(s)_{y_i}, stable at scores of ±10⁴."""
    s = RNG.normal(size=(6, 4))
    y = RNG.integers(0, 4, 6)
    softmax = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    expected = -np.log(softmax[np.arange(6), y])
    each = nn.CrossEntropyLoss(reduction="none")(backlit.tensor(s), backlit.tensor(y))
    assert np.allclose(each.numpy(), expected)
    one_hot = nn.CrossEntropyLoss()(backlit.tensor(s), backlit.tensor(np.eye(4)[y]))
    assert one_hot.item() == pytest.approx(expected.mean())
    extreme = backlit.tensor([[1e4, -1e4], [1e4, -1e4]], requires_grad=True)
    losses = nn.CrossEntropyLoss(reduction="none")(extreme, backlit.tensor([0, 1]))
    assert losses.tolist() == [0, 2e4]
    losses.sum().backward()
    assert extreme.grad is not None
    assert extreme.grad.tolist() == [[0, 0], [1, -1]]


@pytest.mark.parametrize("classes", [3, 10])
def test_L05_the_loss_at_the_start_is_log_c(classes: int) -> None:
    """-log(e^{s_y}/Σe^{s_j}) ≈ log C before training; the doctor notes where it is not."""
    assert F.cross_entropy(backlit.zeros(5, classes), backlit.zeros(5).long()).item() == (
        pytest.approx(math.log(classes))
    )
    backlit.manual_seed(0)
    x, y = backlit.randn(200, 20), backlit.tensor(RNG.integers(0, classes, 200))
    model = nn.MLP([20, 64, classes])
    report = doctor.check(model, (x, y))
    assert report.loss == pytest.approx(math.log(classes), rel=0.1)
    assert report.of("loss at start") == []
    model.layers[-1].weight.data = model.layers[-1].weight.data * 100
    (finding,) = doctor.check(model, (x, y)).of("loss at start")
    assert f"log {classes} = {math.log(classes):.4g}" in finding.what
    assert finding.where == "loss"


def test_L06_mean_squared_error() -> None:
    """1/n Σ(h - y)²; with ½(y - t)² the slope is y - t."""
    h, y = RNG.normal(size=12), RNG.normal(size=12)
    assert nn.MSELoss()(backlit.tensor(h), backlit.tensor(y)).item() == pytest.approx(
        ((h - y) ** 2).mean()
    )
    out = backlit.tensor(0.8, dtype=F64, requires_grad=True)
    (0.5 * nn.MSELoss()(out, backlit.tensor(0.3, dtype=F64))).backward()
    assert out.grad is not None
    assert out.grad.item() == pytest.approx(0.8 - 0.3)


def test_L07_mean_absolute_error() -> None:
    """|y - ŷ|, with the subgradient 0 at the kink."""
    h, y = RNG.normal(size=12), RNG.normal(size=12)
    assert nn.L1Loss()(backlit.tensor(h), backlit.tensor(y)).item() == pytest.approx(
        np.abs(h - y).mean()
    )
    out = backlit.tensor([-2.0, 1.0, 5.0], requires_grad=True)
    nn.L1Loss(reduction="sum")(out, backlit.tensor([1.0, 1.0, 1.0])).backward()
    assert out.grad is not None
    assert out.grad.tolist() == [-1, 0, 1]


def fitted_constant(loss_of: Any, y: Any) -> float:
    """The number that has the least loss on the data, by descent at a falling rate."""
    c = backlit.tensor(0.0, dtype=F64, requires_grad=True)
    target = backlit.tensor(y)
    optimizer = optim.Adam([c], lr=0.1)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(800):
        optimizer.zero_grad()
        loss_of(c.expand(len(y)), target).backward()
        optimizer.step()
        schedule.step()
    return c.item()  # type: ignore[no-any-return]


def test_L08_quiz_squared_and_absolute_error() -> None:
    """MSE is the parabola, MAE the V with the kink. One outlier moves the mean, not the median."""
    error = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    zeros = backlit.zeros(7, dtype=F64)
    squared = nn.MSELoss(reduction="none")(backlit.tensor(error), zeros).numpy()
    absolute = nn.L1Loss(reduction="none")(backlit.tensor(error), zeros).numpy()
    assert squared.tolist() == (error**2).tolist()
    assert absolute.tolist() == np.abs(error).tolist()
    assert (squared < absolute)[np.abs(error) == 0.5].all()
    assert (squared > absolute)[np.abs(error) == 2].all()
    y = np.array([1.0, 1.1, 0.9, 1.0, 1.05])
    outlier = np.append(y, 7.0)
    assert fitted_constant(nn.MSELoss(), y) == pytest.approx(y.mean(), abs=1e-3)
    assert fitted_constant(nn.MSELoss(), outlier) == pytest.approx(outlier.mean(), abs=1e-3)
    assert fitted_constant(nn.L1Loss(), outlier) == pytest.approx(1.0, abs=0.06)
    # The kink: the slope jumps from -1 to 1, while that of the squared error passes through 0.
    near = backlit.tensor([-1e-6, 1e-6], dtype=F64, requires_grad=True)
    nn.L1Loss(reduction="sum")(near, backlit.zeros(2, dtype=F64)).backward()
    assert near.grad is not None
    assert near.grad.tolist() == [-1, 1]
    near.grad = None
    nn.MSELoss(reduction="sum")(near, backlit.zeros(2, dtype=F64)).backward()
    assert np.allclose(near.grad.numpy(), [-2e-6, 2e-6])


@pytest.mark.parametrize(
    "loss_of", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.SmoothL1Loss()], ids=repr
)
def test_L09_quiz_a_loss_grows_with_the_distance(loss_of: Any) -> None:
    """Answer 1: the farther the prediction from the target, the larger the loss, on both sides."""
    target = backlit.tensor([1.5])
    for sign in (1, -1):
        away = [loss_of(target + sign * d, target).item() for d in (0.0, 0.1, 0.5, 1.0, 3.0, 10.0)]
        assert away[0] == 0
        assert away == sorted(set(away))
