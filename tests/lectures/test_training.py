"""Section 1.6 of the checklist: optimization and training practice, up to early stopping."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim, train
from backlit.data import iris, mcycle, toys
from backlit.optim import lr_scheduler

RNG = np.random.default_rng(0)
F64 = backlit.float64
X = backlit.tensor(RNG.normal(size=(32, 3)))
Y = X @ backlit.tensor([[1.0], [-2.0], [0.5]], dtype=F64) + 0.25
MSE = nn.MSELoss()


def values(t: Any) -> Any:
    return t.detach().numpy()


def linear(seed: int = 0) -> Any:
    backlit.manual_seed(seed)
    return nn.Linear(3, 1, dtype=F64)


def flat(model: nn.Module) -> Any:
    return np.concatenate([values(p).ravel().copy() for p in model.parameters()])


def gradient(model: nn.Module, x: Any, y: Any) -> Any:
    model.zero_grad()
    MSE(model(x), y).backward()
    return np.concatenate([values(p.grad).ravel().copy() for p in model.parameters()])


def closed_form(steps: int, lr: float) -> Any:
    """θ_t of gradient descent on the squared error, by the recursion in NumPy."""
    model = linear()
    theta = flat(model)
    design = np.concatenate([values(X), np.ones((len(X), 1))], axis=1)
    for _ in range(steps):
        residual = design @ theta - values(Y)[:, 0]
        theta = theta - lr * 2 / len(X) * design.T @ residual
    return theta


def test_O01_vanilla_gradient_descent_as_printed() -> None:
    """The decks' loops: `weights += −step·grad`, `θ = θ − α θ_grad`, `W ← W − α∇J`, until stop."""
    loops = []
    weights = linear()
    for _ in range(20):  # while True
        gradient(weights, X, Y)
        with backlit.no_grad():
            for p in weights.parameters():
                p += -0.1 * p.grad
    loops.append(flat(weights))
    theta_model = linear()
    for _ in range(20):
        gradient(theta_model, X, Y)
        for p in theta_model.parameters():
            p.data = p.data - 0.1 * p.grad
    loops.append(flat(theta_model))
    by_optimizer = linear()
    optimizer = optim.SGD(by_optimizer.parameters(), lr=0.1)
    for _ in range(20):
        gradient(by_optimizer, X, Y)
        optimizer.step()
    loops.append(flat(by_optimizer))
    until_stop = linear()
    optimizer = optim.SGD(until_stop.parameters(), lr=0.1)
    stop = train.max_steps(20)
    step = 0
    while not stop(train.Moment(step=step)):
        gradient(until_stop, X, Y)
        optimizer.step()
        step += 1
    loops.append(flat(until_stop))
    for found in loops:
        assert np.allclose(found, closed_form(20, 0.1))


def test_O02_per_example_and_batch_gradients_are_equal() -> None:
    """The loop over i = 1 … m adds up what one batch gives."""
    model = linear()
    whole = gradient(model, X, Y)
    model.zero_grad()
    for x, y in zip(X, Y, strict=True):
        (MSE(model(x), y) / len(X)).backward()
    summed = np.concatenate([values(p.grad).ravel() for p in model.parameters()])
    assert np.allclose(summed, whole)


def test_O03_sgd_draws_one_point_per_step() -> None:
    """As corrected: one draw for a step of all layers. The expected step is the batch step."""
    model = linear()
    each = np.array([gradient(model, X[i : i + 1], Y[i : i + 1]) for i in range(len(X))])
    assert np.allclose(each.mean(axis=0), gradient(model, X, Y))
    loader = backlit.data.DataLoader(backlit.data.TensorDataset(X, Y), batch_size=1, shuffle=True)
    optimizer = optim.SGD(model.parameters(), lr=0.02)
    train.fit(model, loader, MSE, optimizer, epochs=30, progress=False)
    assert MSE(model(X), Y).item() < 1e-3


def test_O03_sgd_as_printed_and_as_corrected() -> None:
    """The slide draws a point inside the loop over layers, so that each layer steps for another
    point; meant is one draw per step. Both descend; only the corrected one is SGD's step."""
    rng = np.random.default_rng(0)
    x = backlit.tensor(rng.normal(size=(64, 3)))
    y = (x @ backlit.tensor([[1.0], [-2.0], [0.5]], dtype=F64)).tanh()

    def fresh() -> Any:
        backlit.manual_seed(0)
        return nn.MLP([3, 5, 1], "tanh", dtype=F64)

    def descend(model: Any, layers: Any, point: int) -> None:
        model.zero_grad()
        MSE(model(x[point : point + 1]), y[point : point + 1]).backward()
        for p in itertools.chain(*(layer.parameters() for layer in layers)):
            p.data = p.data - 0.05 * p.grad

    printed, corrected = fresh(), fresh()
    start = MSE(printed(x), y).item()
    for step in range(400):
        for layer in printed.layers:
            descend(printed, [layer], int(rng.integers(64)))
        point = int(rng.integers(64))
        by_optimizer = fresh()
        by_optimizer.load_state_dict(corrected.state_dict())
        descend(corrected, corrected.layers, point)
        if step < 3:
            gradient(by_optimizer, x[point : point + 1], y[point : point + 1])
            optim.SGD(by_optimizer.parameters(), lr=0.05).step()
            assert np.allclose(flat(by_optimizer), flat(corrected))
    for model in (printed, corrected):
        assert MSE(model(x), y).item() < 0.3 * start


def test_O04_the_noise_of_minibatch_gradients_falls_as_one_over_root_k() -> None:
    """Standard deviation over draws, for K = 1, 4, 16, 64: halved each time."""
    model = linear()
    x = backlit.tensor(RNG.normal(size=(4096, 3)))
    y = x[:, :1] + backlit.tensor(RNG.normal(size=(4096, 1)))
    each = np.array([gradient(model, x[i : i + 1], y[i : i + 1])[0] for i in range(0, 4096, 8)])
    spread = [
        np.std([each[RNG.integers(0, len(each), k)].mean() for _ in range(3000)])
        for k in (1, 4, 16, 64)
    ]
    ratios = np.divide(spread[:-1], spread[1:])
    assert np.allclose(ratios, 2, rtol=0.1)


def test_O06_momentum_as_a_running_mean() -> None:
    """The slide's p = μg + (1−μ)p, θ −= λp weights the new gradient by μ, PyTorch the old buffer.

    Mapping: SGD(lr=λμ, momentum=1−μ), whose buffer is p/μ.
    """
    mu, rate, seen = 0.1, 0.5, []
    model = linear()
    theta, p = flat(model), 0.0
    optimizer = optim.SGD(model.parameters(), lr=rate * mu, momentum=1 - mu)
    for _ in range(10):
        g = gradient(model, X, Y)
        p = mu * g + (1 - mu) * p
        theta = theta - rate * p
        optimizer.step()
        seen.append(np.allclose(flat(model), theta))
    assert all(seen)


def test_O07_weight_decay_adds_to_the_gradient() -> None:
    """The gradient gets +αθ (the slide's −αθ is the step's sign)."""
    model = linear()
    before, g = flat(model), gradient(model, X, Y)
    optim.SGD(model.parameters(), lr=0.1, weight_decay=0.3).step()
    assert np.allclose(flat(model), before - 0.1 * (g + 0.3 * before))


def test_O08_rates_fall_from_large_to_small() -> None:
    """In steps, at milestones, exponentially, by a cosine, on a plateau; or warmed up before."""
    model = linear()

    def rates(make: Any, epochs: int = 4, lr: float = 1.0) -> list[float]:
        optimizer = optim.SGD(model.parameters(), lr=lr)
        history = train.fit(
            model, (X, Y * 0), lambda o, y: (o * 0).sum(), optimizer, epochs=epochs,
            scheduler=make(optimizer), progress=False,
        )  # fmt: skip
        return history["lr"]

    assert rates(lambda o: lr_scheduler.StepLR(o, 2, 0.1)) == pytest.approx([1, 1, 0.1, 0.1])
    milestones = rates(lambda o: lr_scheduler.MultiStepLR(o, [1, 3], 0.1))
    assert milestones == pytest.approx([1, 0.1, 0.1, 0.01])
    exponential = rates(lambda o: lr_scheduler.ExponentialLR(o, 0.5))
    assert exponential == pytest.approx([1, 0.5, 0.25, 0.125])
    cosine = rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 4))
    assert cosine == pytest.approx([0.5 + 0.5 * math.cos(math.pi * t / 4) for t in range(4)])
    plateau = rates(lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0))
    assert plateau == pytest.approx([1, 1, 0.1, 0.01])
    warm = rates(lambda o: lr_scheduler.LinearLR(o, 0.25, total_iters=3))
    assert warm == pytest.approx([0.25, 0.5, 0.75, 1])


def test_O09_too_small_is_slow_too_large_oscillates() -> None:
    """½x² from 1: θ_t = (1−α)^t. 0.01 crawls, 1 is there at once, 1.9 oscillates, 2.1 escapes."""

    def path(rate: float, steps: int = 30) -> Any:
        x = backlit.tensor(1.0, requires_grad=True)
        optimizer = optim.SGD([x], lr=rate)
        found = []
        for _ in range(steps):
            optimizer.zero_grad()
            (x * x / 2).backward()
            optimizer.step()
            found.append(x.item())
        return np.array(found)

    assert path(0.01)[-1] > 0.7
    assert path(1.0)[0] == 0
    swing = path(1.9)
    assert (np.diff(np.sign(swing)) != 0).all()
    assert abs(swing[-1]) < 0.1
    assert abs(path(2.1)[-1]) > 10
    for rate in (0.01, 1.9, 2.1):
        assert np.allclose(path(rate), (1 - rate) ** np.arange(1, 31), rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.Adam(p, lr=0.1),
        lambda p: optim.RMSprop(p, lr=0.05),
        lambda p: optim.Adagrad(p, lr=0.5),
        lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe"),
    ],
    ids=["adam", "rmsprop", "adagrad", "lbfgs"],
)
def test_O10_advanced_methods_instead_of_gradient_descent(make: Any) -> None:
    """All reach the minimum of the linear regression."""
    model = linear()
    train.fit(model, (X, Y), MSE, make(model.parameters()), epochs=200, progress=False)
    assert MSE(model(X), Y).item() < 1e-2


def hidden_layer(fill: Any) -> Any:
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
    for p in model.parameters():
        fill(p)
    table = toys.xor(100, seed=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss_of = nn.BCEWithLogitsLoss()
    for _ in range(100):
        optimizer.zero_grad()
        loss_of(model(table.x / 5)[:, 0], table.y.float()).backward()
        optimizer.step()
    return values(model[0].weight)


def test_O11_small_random_numbers_break_the_symmetry() -> None:
    """N(0, 0.1²) and U(−0.1, 0.1) starts: hidden units become different."""
    backlit.manual_seed(0)
    for fill in (lambda p: nn.init.normal_(p, 0, 0.1), lambda p: nn.init.uniform_(p, -0.1, 0.1)):
        assert len(np.unique(hidden_layer(fill), axis=0)) == 6


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_O12_equal_starts_stay_equal(constant: float) -> None:
    """After 100 steps from a constant, hidden units are identical, bit for bit."""
    rows = hidden_layer(lambda p: nn.init.constant_(p, constant))
    assert len(np.unique(rows, axis=0)) == 1


def test_O13_initialisers_have_their_moments() -> None:
    """normal_: N(0, 1); Xavier: variance 2/(in+out); Kaiming: 2/in."""
    backlit.manual_seed(0)
    w = backlit.empty(400, 600)
    for fill, std in (
        (nn.init.normal_, 1.0),
        (nn.init.xavier_normal_, math.sqrt(2 / 1000)),
        (nn.init.xavier_uniform_, math.sqrt(2 / 1000)),
        (nn.init.kaiming_normal_, math.sqrt(2 / 600)),
        (nn.init.kaiming_uniform_, math.sqrt(2 / 600)),
    ):
        array = values(fill(w))
        assert array.std() == pytest.approx(std, rel=0.01)
        assert abs(array.mean()) < 0.02 * std


def test_O14_gradient_size_alone_is_a_bad_sign() -> None:
    """On a plateau the gradient is small and the loss large; steps and improvement combine."""
    x = backlit.tensor([[6.0]])
    plateau = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Sigmoid())
    plateau[0].weight.data = backlit.tensor([[-2.0]])  # σ(−12): saturated, and wrong
    loss = MSE(plateau(x), backlit.tensor([[1.0]]))
    loss.backward()
    moment = train.Moment(step=1, row={"loss": loss.item()}, model=plateau)
    assert train.gradient_below(1e-3)(moment)
    assert loss.item() > 0.99
    careful = train.gradient_below(1e-3) & train.value_below(0.1)
    assert not careful(moment)
    model = linear()
    rule = train.max_steps(20) & train.improvement_below(1e-3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = train.fit(model, (X, Y), MSE, optimizer, epochs=500, callbacks=[rule], progress=False)
    assert history.stopped == "max_steps(20) and improvement_below(0.001)"
    assert 20 <= history.last["step"] < 500


def test_O15_choosing_on_the_test_set_fits_the_test_set() -> None:
    """The best of 200 coin tossers looks skilled on the set that chose it, and is not."""
    labels, fresh = RNG.integers(0, 2, 50), RNG.integers(0, 2, 5000)
    tosses = RNG.integers(0, 2, (200, 50))
    scores = (tosses == labels).mean(axis=1)
    assert scores.max() > 0.6
    assert abs((RNG.integers(0, 2, 5000) == fresh).mean() - 0.5) < 0.05
    study = train.Study(train.split(iris()), metrics="accuracy")
    model = nn.Linear(4, 3)
    study.test(model)
    with pytest.raises(train.TestSetReused, match="fits the test set"):
        study.test(model)


def test_O16_hyperparameter_search() -> None:
    """Grid and random search find the rate that trains best on validation data."""

    def objective(trial: train.Trial) -> float:
        model = linear()
        optimizer = optim.SGD(model.parameters(), lr=trial["lr"])
        history = train.fit(
            model, (X[:20], Y[:20]), MSE, optimizer, epochs=10, batch_size=20,
            val_data=(X[20:], Y[20:]), progress=False,
        )  # fmt: skip
        return history["val_loss"][-1]  # type: ignore[no-any-return]

    found = train.grid_search(objective, {"lr": [1e-4, 1e-3, 1e-2, 0.2]})
    assert found.best_params == {"lr": 0.2}
    space = {"lr": train.log_uniform(1e-4, 0.3)}
    drawn = train.random_search(objective, space, 8, seed=0)
    assert drawn.best.score == min(trial.score for trial in drawn.trials)
    assert drawn.best_params["lr"] > 0.01


def test_O17_early_stopping_returns_the_best_validation_weights() -> None:
    """A wide network on twelve noisy points: validated after every epoch, the best comes back."""
    table = mcycle()
    x, y = table.x / 30 - 1, table.y / 50
    backlit.manual_seed(0)
    model = nn.MLP([1, 60, 60, 1], "tanh")
    kept: list[Any] = []
    history = train.fit(
        model,
        (x[::11], y[::11]),
        MSE,
        optim.Adam(model.parameters(), lr=0.02),
        epochs=150,
        val_data=(x[5::11], y[5::11]),
        callbacks=[train.OnEpochEnd(lambda run, row: kept.append(flat(run.model)))],
        early_stopping=train.EarlyStopping(patience=150, restore_best=True),
        progress=False,
    )
    best = history.best("val_loss")
    assert len(history) == 150
    assert history.best_epoch == best["epoch"] < 150
    assert best["val_loss"] < history.last["val_loss"]
    assert np.array_equal(flat(model), kept[best["epoch"] - 1])
