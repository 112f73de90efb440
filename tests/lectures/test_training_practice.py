"""Section 1.6 of the checklist, from dropout on; and the networks that have to train well."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import insight, lab, nn, optim, train
from backlit.data import Standardize, digits, iris, mcycle, toys

RNG = np.random.default_rng(0)
F64 = backlit.float64


def values(t: Any) -> Any:
    return t.detach().numpy()


def test_O19_dropout_zeroes_units_at_random() -> None:
    """Masks differ from call to call, half the units go, the mean stays."""
    backlit.manual_seed(0)
    drop = nn.Dropout(0.5)
    x = backlit.ones(1000)
    first, second = values(drop(x)), values(drop(x))
    assert not np.array_equal(first, second)
    assert set(np.unique(first)) == {0.0, 2.0}
    assert np.mean([values(drop(x)).mean() for _ in range(50)]) == pytest.approx(1, abs=0.02)


def test_O20_more_masks_than_atoms() -> None:
    """2^4096 ≈ 10^1233; the universe has about 10^82 atoms."""
    digits10 = 4096 * math.log10(2)
    assert digits10 == pytest.approx(1233.02, abs=0.005)
    assert len(str(2**4096)) == 1234
    assert digits10 > 82


def test_O21_training_and_test_outputs_agree_on_average() -> None:
    """All four masks: E[a] = ½(w₁x₁ + w₂x₂); scale at test, or up at training."""
    w, x = np.array([0.7, -1.3]), np.array([2.0, 3.0])
    masks = list(itertools.product([0, 1], repeat=2))
    mean = np.mean([(np.array(mask) * x) @ w for mask in masks])
    assert mean == pytest.approx(0.5 * (w @ x))
    inputs = backlit.tensor(x)
    weights = backlit.tensor(w)
    assert (nn.ScaledDropout(0.5).eval()(inputs) @ weights).item() == pytest.approx(mean)
    assert (nn.Dropout(0.5).eval()(inputs) @ weights).item() == pytest.approx(w @ x)
    backlit.manual_seed(0)
    drop = nn.Dropout(0.5)
    outputs = {round((drop(inputs) @ weights).item(), 6) for _ in range(60)}
    assert outputs == {round(float((2 * np.array(mask) * x) @ w), 6) for mask in masks}


def test_O22_the_printed_code_runs() -> None:
    """nn.Dropout(p=0.2), model.train(), model.eval()."""
    model = nn.Sequential(nn.Linear(3, 50), nn.Dropout(p=0.2))
    x = backlit.randn(4, 3)
    model.train()
    assert (values(model(x)) == 0).any()
    model.eval()
    assert not (values(model(x)) == 0).any()
    assert model(x).tolist() == model(x).tolist()


def chain_gradient(scale: float, depth: int, residual: bool = False) -> float:
    """The gradient of the input behind `depth` layers y = scale · x."""
    x = backlit.tensor([1.0], dtype=F64, requires_grad=True)
    h = x
    for _ in range(depth):
        h = h + scale * h if residual else scale * h
    h.sum().backward()
    assert x.grad is not None
    return float(x.grad.item())


def test_O24_products_of_jacobians_explode_or_vanish() -> None:
    """0.9^100 = 2.7e-5, 1.1^100 = 1.4e4; for matrices the largest eigenvalue decides."""
    assert chain_gradient(0.9, 100) == pytest.approx(2.7e-5, rel=0.02)
    assert chain_gradient(1.1, 100) == pytest.approx(1.4e4, rel=0.02)
    for radius in (0.9, 1.1):
        matrix = RNG.normal(size=(8, 8))
        matrix = matrix + matrix.T
        matrix *= radius / np.abs(np.linalg.eigvalsh(matrix)).max()
        w = backlit.tensor(matrix)
        x = backlit.tensor(RNG.normal(size=8), requires_grad=True)
        h = x
        for _ in range(200):
            h = w @ h
        h.sum().backward()
        assert x.grad is not None
        growth = math.log(float(x.grad.norm().item())) / 200
        assert growth == pytest.approx(math.log(radius), abs=0.02)


def deep(residual: bool) -> nn.Module:
    backlit.manual_seed(0)
    blocks: list[nn.Module] = []
    for _ in range(50):
        block = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        blocks.append(nn.Residual(block) if residual else block)
    return nn.Sequential(nn.Linear(2, 8), *blocks, nn.Linear(8, 2))


def test_O25_fifty_layers_train_with_residual_connections_only() -> None:
    """Without them the gradient of the first layer is nothing, and so is the training."""
    table = toys.gauss(80, seed=0)
    norms, accuracies = [], []
    for residual in (True, False):
        model = deep(residual)
        first = next(model.parameters())
        nn.CrossEntropyLoss()(model(table.x), table.y).backward()
        assert first.grad is not None
        norms.append(first.grad.norm().item())
        optimizer = optim.SGD(model.parameters(), lr=0.002)
        history = train.fit(
            model, table, nn.CrossEntropyLoss(), optimizer, epochs=8, metrics="accuracy",
            clip_grad=5.0, progress=False,
        )  # fmt: skip
        accuracies.append(history["accuracy"][-1])
    assert norms[0] > 1e3 * norms[1]
    assert accuracies[0] > 0.95
    assert accuracies[1] < 0.8


def test_O27_large_inputs_overflow_standardized_ones_train() -> None:
    """float16 and float32 overflow to infinity; z = (x − μ)/σ is centred at 0."""
    assert backlit.tensor(300.0).half().square().item() == math.inf
    assert backlit.tensor(1e20).square().item() == math.inf
    rng = np.random.default_rng(0)
    x = (1e15 * rng.normal(size=(100, 2)) + 3e15).astype(np.float32)
    y = (x[:, :1] - 3e15) / 1e15

    def loss_after_training(features: Any) -> float:
        backlit.manual_seed(0)
        model = nn.Linear(2, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for _ in range(50):
            optimizer.zero_grad()
            loss = nn.MSELoss()(model(backlit.tensor(features)), backlit.tensor(y))
            loss.backward()
            optimizer.step()
        return loss.item()  # type: ignore[no-any-return]

    assert not math.isfinite(loss_after_training(x))
    z = Standardize().fit_transform(x)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-5)
    assert loss_after_training(z) < 1e-3


@pytest.mark.parametrize("kind", ["layer", "batch"])
def test_O28_normalization_layers(kind: str) -> None:
    """y = (x − E)/√(Var + ε)·γ + β, over features or over the batch; running means in batches."""
    x = RNG.normal(3, 5, size=(64, 6))
    axis = 1 if kind == "layer" else 0
    layer: Any = nn.LayerNorm(6, dtype=F64) if kind == "layer" else nn.BatchNorm1d(6, dtype=F64)
    layer.weight.data = backlit.full((6,), 2.0, dtype=F64)
    layer.bias.data = backlit.full((6,), -1.0, dtype=F64)
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * 2 - 1
    assert np.allclose(values(layer(backlit.tensor(x))), expected)
    if kind == "batch":
        assert np.allclose(values(layer.running_mean), 0.1 * mean[0])
        unbiased = x.var(0, ddof=1)
        assert np.allclose(values(layer.running_var), 0.9 + 0.1 * unbiased)


def test_O29_a_batch_computes_what_a_loop_does() -> None:
    """Row by row or at once: the same numbers."""
    model = nn.MLP([5, 7, 2])
    x = backlit.randn(20, 5)
    looped = np.stack([values(model(row)) for row in x])
    assert np.allclose(values(model(x)), looped, atol=1e-6)
    found = lab.batch_times(model, x, repeats=2)
    assert all(0 < s < math.inf for s in found.seconds)
    assert np.allclose(*found.results, atol=1e-6)
    assert str(found).splitlines()[-1].startswith("row by row / batch: ")


def test_O30_three_loops_and_one_product() -> None:
    """As printed, with the result's shape mended: zeros of (rows of A, columns of B)."""
    a, b = backlit.randn(4, 6, dtype=F64), backlit.randn(6, 3, dtype=F64)
    c = np.zeros((4, 3))  # the slide's zeros_like(A) is wrong unless A is square
    for i in range(4):
        for j in range(3):
            for k in range(6):
                c[i, j] += a[i, k].item() * b[k, j].item()
    assert np.allclose(values(backlit.matmul(a, b)), c)
    found = lab.product_times(a, b, repeats=2)  # both run, equal; the ratio is printed
    assert all(0 < s < math.inf for s in found.seconds)
    assert np.allclose(found.results[1], c)
    assert np.allclose(found.results[0], c)
    assert str(found).splitlines()[-1].startswith("three loops / matmul: ")


def basin(seed: int) -> tuple[float, Any]:
    """A 2-2-1 network on XOR from one random start: the final loss and weights."""
    x = backlit.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = backlit.tensor([[0.0], [1], [1], [0]])
    backlit.manual_seed(seed)
    model = nn.MLP([2, 2, 1], "tanh")
    loss_of = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.3)
    for _ in range(400):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
    weights = np.concatenate([values(p).ravel().copy() for p in model.parameters()])
    return loss.item(), weights


def test_O31_O33_where_it_ends_depends_on_where_it_starts() -> None:
    """Many seeds, several basins: some runs solve XOR, others end in a local minimum."""
    ends = [basin(seed) for seed in range(12)]
    losses = np.array([loss for loss, _ in ends])
    assert (losses < 0.01).any()
    assert (losses > 0.05).any()
    solved = [weights for loss, weights in ends if loss < 0.01]
    assert not np.allclose(solved[0], solved[1], atol=0.1)


def test_O31_O33_basin_map_of_two_weights() -> None:
    """Descent from a grid of starts on sin 3a + sin 3b + (a² + b²)/4: each start ends in one of
    several minima, and few starts find the lowest. No gradient says which: only starting from
    almost everywhere would."""

    def hills(t: Any) -> Any:
        return (3 * t).sin().sum() + (t * t).sum() / 4

    axis = np.linspace(-3, 3, 5)
    runs = [insight.descent(hills, (a, b), 0.05, 80) for a in axis for b in axis]
    assert all(np.abs(run.gradients[-1]).max() < 1e-2 for run in runs)
    ends = {tuple(np.round(run.points[-1], 1) + 0.0) for run in runs}
    assert len(ends) >= 4
    lowest = min(run.values[-1] for run in runs)
    share = np.mean([run.values[-1] < lowest + 1e-3 for run in runs])
    assert 0 < share < 0.5


def test_O32_an_ensemble_votes() -> None:
    """Several random starts: together at least as good as the mean member."""
    table = toys.xor(200, noise=0.2, seed=0)
    ensemble = train.Ensemble(lambda: nn.MLP([2, 4, 2], "tanh"))
    ensemble.fit(
        5,
        table,
        nn.CrossEntropyLoss(),
        lambda parameters: optim.Adam(parameters, lr=0.05),
        epochs=15,
        progress=False,
    )
    truth = values(table.y)
    members = (ensemble.outputs(table.x).argmax(axis=2) == truth).mean(axis=1)
    together = (values(ensemble.predict(table.x)) == truth).mean()
    assert len(set(members)) > 1
    assert together >= members.mean()


def test_O36_how_to_do_machine_learning() -> None:
    """Splits, a loss, a hypothesis class, minimise, choose on validation, test once."""
    table = iris()
    splits = train.split(table, seed=0)
    study = train.Study(splits, loss=nn.CrossEntropyLoss(), metrics=["accuracy"])

    def trained(hidden: int) -> Any:
        backlit.manual_seed(0)
        model = nn.MLP([4, hidden, 3], "tanh")
        adam = optim.Adam(model.parameters(), lr=0.02)
        train.fit(
            model, splits.train, study.loss, adam, epochs=40, val_data=splits.validation,
            early_stopping=10, progress=False,
        )  # fmt: skip
        return model

    models = [trained(hidden) for hidden in (1, 8)]
    best = min(models, key=lambda model: study.validate(model)["loss"])
    assert study.test(best)["accuracy"] > 0.85
    assert splits.test_uses == 1


def test_O38_momentum_and_weight_decay_at_the_current_rate() -> None:
    """The full loop, three steps, against its closed form: g + αθ, p = μp + g, θ −= λ_t p."""
    theta = np.array([1.0, -2.0])
    scale = np.array([1.0, 3.0])
    parameter = backlit.tensor(theta, requires_grad=True)
    optimizer = optim.SGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.01)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    buffer, rate = np.zeros(2), 0.1
    for _ in range(3):
        optimizer.zero_grad()
        (backlit.tensor(scale) * parameter**2 / 2).sum().backward()
        optimizer.step()
        schedule.step()
        buffer = 0.9 * buffer + (scale * theta + 0.01 * theta)
        theta = theta - rate * buffer
        rate *= 0.5
        assert np.allclose(values(parameter), theta)


def test_O39_the_last_layer_is_just_a_linear_unit() -> None:
    """Frozen random features, one convex problem: gradient descent finds least squares."""
    x = np.linspace(-1, 1, 40)[:, None]
    y = np.sin(3 * x)
    backlit.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 12, dtype=F64), nn.Tanh(), nn.Linear(12, 1, dtype=F64))
    model[0].requires_grad_(False)
    before = model[0].weight.tolist()
    last = optim.LBFGS(model[2].parameters(), max_iter=300, line_search_fn="strong_wolfe")
    train.fit(model, (x, y), nn.MSELoss(), last, epochs=2, batch_size=40, progress=False)
    features = np.concatenate([values(model[:2](backlit.tensor(x))), np.ones((40, 1))], axis=1)
    best = np.linalg.lstsq(features, y, rcond=None)[0]
    lowest = ((features @ best - y) ** 2).mean()
    found = nn.MSELoss()(model(backlit.tensor(x)), backlit.tensor(y)).item()
    assert found == pytest.approx(lowest, abs=1e-4)
    assert model[0].weight.tolist() == before


def accuracy_of(model: nn.Module, x: Any, y: Any) -> float:
    return float(train.evaluate(model, (x, y), metrics="accuracy")["accuracy"])


def test_quality_iris() -> None:
    """Two petal features, 2-10-3 with sigmoids: at least 95 % of the training set."""
    table = iris()
    x = Standardize().fit_transform(table.x[:, 2:])
    backlit.manual_seed(0)
    model = nn.MLP([2, 10, 3], "sigmoid")
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    train.fit(
        model, (x, table.y), nn.CrossEntropyLoss(), optimizer, epochs=100, batch_size=150,
        progress=False,
    )  # fmt: skip
    assert accuracy_of(model, x, table.y) >= 0.95


def test_quality_mcycle() -> None:
    """1-10-1 beats the best cubic polynomial."""
    table = mcycle()
    x = Standardize().fit_transform(table.x)
    y = Standardize().fit_transform(table.y)
    powers = values(x) ** np.arange(4)
    cubic = powers @ np.linalg.lstsq(powers, values(y), rcond=None)[0]
    backlit.manual_seed(0)
    model = nn.MLP([1, 10, 1], "tanh")
    adam = optim.Adam(model.parameters(), lr=0.05)
    train.fit(model, (x, y), nn.MSELoss(), adam, epochs=400, batch_size=133, progress=False)
    error = nn.MSELoss()(model(x), y).item()
    assert error < 0.7 * float(((cubic - values(y)) ** 2).mean())


def test_quality_spirals() -> None:
    """Two intertwined spirals: at least 95 %."""
    table = toys.spiral(300, seed=0)
    backlit.manual_seed(0)
    model = nn.MLP([2, 32, 32, 2], "tanh")
    adam = optim.Adam(model.parameters(), lr=0.01)
    data = (table.x / 2.5, table.y)
    train.fit(model, data, nn.CrossEntropyLoss(), adam, epochs=120, batch_size=50, progress=False)
    assert accuracy_of(model, *data) >= 0.95


def test_quality_xor() -> None:
    """All four points, exactly."""
    x = backlit.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = backlit.tensor([0.0, 1, 1, 0])[:, None]
    backlit.manual_seed(0)
    model = nn.MLP([2, 4, 1], "tanh")
    adam = optim.Adam(model.parameters(), lr=0.1)
    train.fit(model, (x, y), nn.BCEWithLogitsLoss(), adam, epochs=200, progress=False)
    assert accuracy_of(model, x, y) == 1.0
    assert (values(model(x).sigmoid()).round() == values(y)).all()


def test_quality_digits() -> None:
    """At least 97 % of digits that were not trained on."""
    table = digits()
    splits = train.split((table.x / 16, table.y), shares=(0.7, 0.1, 0.2), seed=0)
    backlit.manual_seed(0)
    model = nn.MLP([64, 64, 10])
    adam = optim.Adam(model.parameters(), lr=3e-3)
    train.fit(
        model, splits.train, nn.CrossEntropyLoss(), adam, epochs=40, val_data=splits.validation,
        early_stopping=10, seed=0, progress=False,
    )  # fmt: skip
    study = train.Study(splits, metrics="accuracy")
    assert study.test(model)["accuracy"] >= 0.97
