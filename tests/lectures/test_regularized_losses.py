"""Section 1.4 of the checklist, from L10 on: regularized losses, and training with them."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim, train
from backlit.insight import doctor
from backlit.nn import functional as F

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
CLASSES = RNG.integers(0, 4, 60)
LAMBDA = 0.3
F64 = backlit.float64


def values(t: Any) -> Any:
    return t.detach().numpy()


def minimise(model: nn.Module, loss_of: Any) -> None:
    """To the minimum, by L-BFGS on all data."""
    optimizer = optim.LBFGS(
        model.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10,
        tolerance_change=1e-15,
    )  # fmt: skip

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    optimizer.step(closure)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def test_L10_regularized_logistic_regression() -> None:
    """J(θ) = −1/m Σ[y log p + (1−y) log(1−p)] + λ/2m Σ_{j≥1} θ_j²: scikit-learn's to 1e-4."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    y = (X @ [1.0, -2.0, 0.5] + RNG.normal(size=60) > 0).astype(float)
    x, target, m = backlit.tensor(X), backlit.tensor(y), len(y)
    model = nn.Linear(3, 1, dtype=F64)
    bce = nn.BCEWithLogitsLoss()

    def objective() -> Any:
        return bce(model(x)[:, 0], target) + LAMBDA / (2 * m) * train.l2(model)

    minimise(model, objective)
    theirs = linear_model.LogisticRegression(C=1 / LAMBDA, tol=1e-10, max_iter=10_000).fit(X, y)
    assert np.allclose(values(model.weight), theirs.coef_, atol=1e-4)
    assert np.allclose(values(model.bias), theirs.intercept_, atol=1e-4)


def two_layers(outputs: int) -> Any:
    backlit.manual_seed(0)
    return nn.MLP([3, 5, outputs], "sigmoid", dtype=F64)


def by_hand(model: Any, f: Any) -> tuple[Any, float]:
    """The network's outputs, and ΣΣΣ w² without biases, in NumPy."""
    first, second = model.layers
    hidden = sigmoid(X @ values(first.weight).T + values(first.bias))
    output = f(hidden @ values(second.weight).T + values(second.bias))
    return output, float((values(first.weight) ** 2).sum() + (values(second.weight) ** 2).sum())


def test_L11_single_output_cross_entropy_with_weight_decay() -> None:
    """−1/m Σ[y log h + (1−y) log(1−h)] + λ/2m ΣΣΣ w²: biases do not count."""
    model, m = two_layers(1), len(X)
    y = (CLASSES > 1).astype(float)[:, None]
    h, squares = by_hand(model, sigmoid)
    expected = -(y * np.log(h) + (1 - y) * np.log(1 - h)).mean() + LAMBDA / (2 * m) * squares
    loss = nn.BCEWithLogitsLoss()(model(backlit.tensor(X)), backlit.tensor(y))
    assert (loss + LAMBDA / (2 * m) * train.l2(model)).item() == pytest.approx(expected)


def test_L12_multi_output_softmax_cross_entropy_with_weight_decay() -> None:
    """−1/m Σ_i Σ_k 1{y_i = k} log softmax_k + λ/2m R."""
    model, m = two_layers(4), len(X)
    h, squares = by_hand(model, lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True))
    expected = -np.log(h[np.arange(m), CLASSES]).mean() + LAMBDA / (2 * m) * squares
    loss = nn.CrossEntropyLoss()(model(backlit.tensor(X)), backlit.tensor(CLASSES))
    assert (loss + LAMBDA / (2 * m) * train.l2(model)).item() == pytest.approx(expected)


def test_L13_independent_sigmoid_outputs() -> None:
    """−1/m Σ_i Σ_k [y log h + (1−y) log(1−h)] + λ/2m R: K times the mean BCE."""
    model, m, k = two_layers(4), len(X), 4
    y = np.eye(4)[CLASSES]
    h, squares = by_hand(model, sigmoid)
    double_sum = -(y * np.log(h) + (1 - y) * np.log(1 - h)).sum() / m
    mean = nn.BCEWithLogitsLoss()(model(backlit.tensor(X)), backlit.tensor(y))
    total = k * mean + LAMBDA / (2 * m) * train.l2(model)
    assert total.item() == pytest.approx(double_sum + LAMBDA / (2 * m) * squares)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MultiMarginLoss(), nn.NLLLoss()])
@pytest.mark.parametrize("regularizer", [train.l1, train.l2])
def test_L14_any_loss_and_any_regularizer(loss: Any, regularizer: Any) -> None:
    """J = 1/m ΣL + λ/2m R(W): its gradient is the sum of both gradients."""
    model, m = two_layers(4), len(X)

    def gradients(*terms: Any) -> Any:
        model.zero_grad()
        sum(terms[1:], terms[0]).backward()
        grads = [p.grad for p in model.parameters()]
        known = [0 * p if g is None else g for p, g in zip(model.parameters(), grads, strict=True)]
        return np.concatenate([values(g).ravel() for g in known])

    data = loss(model(backlit.tensor(X)), backlit.tensor(CLASSES))
    both = gradients(data, LAMBDA / (2 * m) * regularizer(model))
    one = gradients(loss(model(backlit.tensor(X)), backlit.tensor(CLASSES)))
    other = gradients(LAMBDA / (2 * m) * regularizer(model))
    assert np.allclose(both, one + other)
    assert np.abs(other).max() > 0


def test_L15_the_report_takes_the_total_loss_apart() -> None:
    """L = 1/N ΣL_i + λR(W1) + λR(W2): the history has the total and both parts."""
    model = two_layers(4)
    history = train.fit(
        model,
        (X, CLASSES),
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=0.0),
        epochs=1,
        penalty=lambda m: LAMBDA * train.l2(m),
        progress=False,
    )
    first, second = model.layers
    penalty = LAMBDA * ((values(first.weight) ** 2).sum() + (values(second.weight) ** 2).sum())
    row = history.last
    assert row["penalty"] == pytest.approx(penalty)
    assert row["loss"] == pytest.approx(row["data_loss"] + penalty)


def test_L16_l2_prefers_spread_weights() -> None:
    """x = 1⁴, w1 = [1,0,0,0], w2 = [.25]⁴: equal scores, R = 1 against 0.25."""
    x = backlit.ones(4)
    w1, w2 = nn.Linear(4, 1, bias=False), nn.Linear(4, 1, bias=False)
    w1.weight.data = backlit.tensor([[1.0, 0, 0, 0]])
    w2.weight.data = backlit.tensor([[0.25] * 4])
    assert w1(x).item() == w2(x).item() == 1.0
    assert (train.l2(w1).item(), train.l2(w2).item()) == (1.0, 0.25)


def test_L17_a_penalty_prefers_the_simpler_model() -> None:
    """Degree 12 through twelve noisy points of a line: with λ the weights are small, the curve is
    smoother, and new points are met better."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 12)
    between = (x[1:] + x[:-1]) / 2
    features = nn.polynomial_features(backlit.tensor(x), 12)
    y = backlit.tensor(x + rng.normal(0, 0.3, 12))[:, None]

    def fitted(strength: float) -> Any:
        model = nn.Linear(12, 1, dtype=F64)
        mse = nn.MSELoss()
        minimise(model, lambda: mse(model(features), y) + strength * train.l2(model))
        return model

    plain, held_back = fitted(0.0), fitted(0.01)
    inside = nn.polynomial_features(backlit.tensor(between), 12)
    errors = [((values(m(inside))[:, 0] - between) ** 2).mean() for m in (plain, held_back)]
    assert errors[0] > 2 * errors[1]
    assert train.l2(plain).item() > 100 * train.l2(held_back).item()
    bends = [np.abs(np.diff(values(m(inside))[:, 0], 2)).sum() for m in (plain, held_back)]
    assert bends[0] > 2 * bends[1]


def test_L18_the_gradient_at_probability_zero_is_flagged() -> None:
    """At p = 0 the slope of −log p is −∞, not NaN; the doctor names the op, and what to use."""
    y = backlit.tensor([0.0, 1.0], dtype=F64, requires_grad=True)
    F.nll_loss(y.log()[None], backlit.tensor([0])).backward()
    assert y.grad is not None
    assert y.grad[0].item() == -math.inf

    class Probabilities(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(backlit.tensor([0.0, 1.0]))

        def forward(self, x: Any) -> Any:
            return (self.p + 0 * x).log()

    data = (backlit.zeros(3, 2), backlit.tensor([0, 0, 0]))
    (finding,) = doctor.check(Probabilities(), data, nn.NLLLoss()).of("NaN or infinity")
    assert finding.what.startswith("log makes infinity of finite inputs (0 … 1)")
    assert "log-probabilities" in finding.what_to_do
    assert F.binary_cross_entropy(backlit.tensor([0.0]), backlit.tensor([1.0])).item() == 100


def test_L18_cross_entropy_at_the_ends() -> None:
    """Gold [1, 0] and ŷ = [p, 1−p]: −log p; 0 at p = 1, +∞ at p = 0, never negative, never NaN."""
    for p in (0.9, 0.5, 1e-30, 1.0, 0.0):
        y = backlit.tensor([p, 1 - p], dtype=F64)
        loss = F.nll_loss(y.log()[None], backlit.tensor([0])).item()
        expected = -math.log(p) if p else math.inf
        assert loss == pytest.approx(expected)
        assert loss >= 0


def test_L19_next_word_loss_is_minus_log_of_the_gold_words_probability() -> None:
    """Per token −log p(gold); their mean is the cross-entropy, its exponential the perplexity."""
    scores = backlit.tensor(RNG.normal(size=(6, 9)))
    gold = backlit.tensor(RNG.integers(0, 9, 6))
    p = values(scores.softmax(1))[np.arange(6), gold.numpy()]
    each = values(F.cross_entropy(scores, gold, reduction="none"))
    assert np.allclose(each, -np.log(p))
    perplexity = math.exp(F.cross_entropy(scores, gold).item())
    assert perplexity == pytest.approx(float(np.prod(p) ** (-1 / 6)))


def test_L19_a_model_of_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """The example prints -ln p of each word and the perplexity; what always follows is certain."""
    runpy.run_path(str(EXAMPLES / "next_word.py"), run_name="__main__")
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["word", "p", "-ln", "p"]
    said = " ".join(row.split()[0] for row in rows)
    assert said == "cat sat on the mat and the dog sat on the cat ."
    p = [float(row.split()[1]) for row in rows]
    losses = [float(row.split()[2]) for row in rows]
    assert np.allclose(np.exp(-np.array(losses)), p, atol=1e-3)
    assert min(p[2], p[3]) > 0.95  # "sat" is always followed by "on", "on" by "the"
    assert p[0] == pytest.approx(0.5, abs=0.05)  # "the" twice by "cat", once by two others
    assert float(last.split()[3].strip(",")) == pytest.approx(np.mean(losses), abs=1e-4)
    perplexity = float(last.split()[-1])
    assert perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-3)


def test_L20_empirical_risk_is_reported_for_training_and_validation() -> None:
    """J(θ) = 1/n Σℓ over each set."""
    model = two_layers(4)
    loss_of = nn.CrossEntropyLoss()
    x, y = backlit.tensor(X), backlit.tensor(CLASSES)
    row = train.fit(
        model,
        (x[:40], y[:40]),
        loss_of,
        optim.SGD(model.parameters(), lr=0.0),
        epochs=1,
        val_data=(x[40:], y[40:]),
        progress=False,
    ).last
    assert row["loss"] == pytest.approx(loss_of(model(x[:40]), y[:40]).item())
    assert row["val_loss"] == pytest.approx(loss_of(model(x[40:]), y[40:]).item())


def test_L21_gradient_descent_finds_the_least_squares_solution() -> None:
    """f = θ·x with squared error: the normal equations' answer to 1e-4."""
    y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=60)
    model = nn.Linear(3, 1, bias=False, dtype=F64)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = train.fit(
        model, (X, y[:, None]), nn.MSELoss(), optimizer, epochs=300, batch_size=60, progress=False
    )
    theta = np.linalg.lstsq(X, y, rcond=None)[0]
    assert np.allclose(values(model.weight)[0], theta, atol=1e-4)
    assert history["loss"][-1] == pytest.approx(((X @ theta - y) ** 2).mean(), abs=1e-6)


def test_L22_weight_decay_is_l2_for_sgd_not_for_adam() -> None:
    """SGD(weight_decay=a) equals loss + ½a‖θ‖² step for step; AdamW differs from both."""
    x, y = backlit.tensor(X), backlit.tensor(CLASSES)
    loss_of, a = nn.CrossEntropyLoss(), 0.1

    def trajectory(make: Any, penalty: float) -> Any:
        model = two_layers(4)
        optimizer = make(model.parameters())
        steps = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            if penalty:
                loss = loss + penalty / 2 * train.l2(model, bias=True)
            loss.backward()
            optimizer.step()
            steps.append(np.concatenate([values(p).ravel().copy() for p in model.parameters()]))
        return np.array(steps)

    decayed = trajectory(lambda p: optim.SGD(p, lr=0.5, momentum=0.9, weight_decay=a), 0)
    assert np.allclose(decayed, trajectory(lambda p: optim.SGD(p, lr=0.5, momentum=0.9), a))
    adam = trajectory(lambda p: optim.Adam(p, lr=0.5, weight_decay=a), 0)
    assert np.allclose(adam, trajectory(lambda p: optim.Adam(p, lr=0.5), a))
    assert not np.allclose(adam, trajectory(lambda p: optim.AdamW(p, lr=0.5, weight_decay=a), 0))


@pytest.mark.parametrize(
    "loss_of",
    [
        nn.CrossEntropyLoss(),
        lambda s, y: ((s - F.one_hot(y, 4)) ** 2).mean(),
        nn.MultiMarginLoss(),
    ],
    ids=["softmax", "l2", "hinge"],
)
def test_L23_another_loss_is_one_line(loss_of: Any) -> None:
    """ "Use L2 instead of softmax?": gradients still agree with central differences."""
    model = two_layers(4)
    x, y = backlit.tensor(X[:5]), backlit.tensor(CLASSES[:5])
    loss_of(model(x), y).backward()
    w = model.layers[0].weight
    h, numeric = 1e-6, np.zeros(tuple(w.shape))
    start = values(w).copy()
    for i in np.ndindex(*w.shape):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * h
            w.data = backlit.tensor(moved)
            ends.append(loss_of(model(x), y).item())
        numeric[i] = (ends[0] - ends[1]) / (2 * h)
    assert np.allclose(values(w.grad), numeric, atol=1e-7)


def test_L24_top_5_error() -> None:
    """The gold class among the five best is a hit."""
    scores = np.tile(np.arange(10.0), (3, 1))
    assert train.topk_error(scores, np.array([9, 5, 4]), k=5) == pytest.approx(1 / 3)
    assert train.topk_error(scores, np.array([9, 5, 4]), k=1) == pytest.approx(2 / 3)
