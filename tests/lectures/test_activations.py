"""Section 1.3 of the checklist: activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim, train
from backlit.data import toys
from backlit.insight import doctor
from backlit.nn import functional as F

F64 = backlit.float64
Z = np.array([-1000.0, -20.0, -3.0, -0.7, 0.0, 0.3, 2.0, 20.0, 1000.0])


def values(t: Any) -> Any:
    return t.detach().numpy()


def value_and_slope(f: Any, z: Any) -> tuple[Any, Any]:
    """f(z) and f'(z), elementwise."""
    x = backlit.tensor(np.asarray(z, np.float64), requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert x.grad is not None
    return values(y), x.grad.numpy()


def test_T01_logistic() -> None:
    """σ = 1/(1 + e^{-z}) squashes to [0, 1]; σ' = σ(1 - σ); nothing overflows at ±1000."""
    y, slope = value_and_slope(backlit.sigmoid, Z)
    expected = np.where(Z >= 0, 1 / (1 + np.exp(-np.abs(Z))), 1 - 1 / (1 + np.exp(-np.abs(Z))))
    assert np.allclose(y, expected, atol=1e-6)
    assert np.allclose(slope, expected * (1 - expected), atol=1e-6)
    assert y[0] == 0
    assert y[-1] == 1
    assert ((y >= 0) & (y <= 1)).all()
    assert nn.Sigmoid()(backlit.tensor(0.0)).item() == 0.5


def test_T02_tanh_in_both_printed_forms() -> None:
    """(1 - e^{-2z})/(1 + e^{-2z}) = (e^z - e^{-z})/(e^z + e^{-z}); the slope is 1 - tanh²."""
    z = np.linspace(-10, 10, 101)
    x = backlit.tensor(z)
    first = (1 - (-2 * x).exp()) / (1 + (-2 * x).exp())
    second = (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
    y, slope = value_and_slope(backlit.tanh, z)
    assert np.allclose(y, values(first))
    assert np.allclose(y, values(second))
    assert np.allclose(slope, 1 - y**2)
    far, flat = value_and_slope(backlit.tanh, [-1000.0, 1000.0])
    assert far.tolist() == [-1, 1]  # the printed forms give NaN here
    assert flat.tolist() == [0, 0]
    huge = backlit.tensor(1000.0).exp()
    assert np.isnan(values(huge / huge))


def test_T03_gaussian() -> None:
    """exp(-z²/2) with slope -z exp(-z²/2): a function, a module and a name for `MLP`."""
    expected = np.exp(-(Z**2) / 2)
    y, slope = value_and_slope(F.gaussian, Z)
    assert np.allclose(y, expected)
    assert np.allclose(slope, -Z * expected)
    assert np.allclose(values(nn.Gaussian()(backlit.tensor(Z))), expected)
    assert isinstance(nn.MLP([1, 2, 1], "gaussian").activations[0], nn.Gaussian)


def test_T04_relu() -> None:
    """max(0, z); the slope is 1 for z > 0, and 0 at z = 0 as in PyTorch."""
    y, slope = value_and_slope(F.relu, Z)
    assert y.tolist() == np.maximum(0, Z).tolist()
    assert slope.tolist() == (Z > 0).astype(float).tolist()
    assert slope[Z == 0] == 0


def test_T05_identity() -> None:
    """The linear unit: y = z with slope 1."""
    y, slope = value_and_slope(nn.Identity(), Z)
    assert y.tolist() == Z.tolist()
    assert (slope == 1).all()


@pytest.mark.parametrize("slope", [0.1, 0.01])
def test_T06_leaky_relu(slope: float) -> None:
    """max(0.1x, x) of one slide and max(0.01x, x) of the other, which is the default."""
    y, found = value_and_slope(nn.LeakyReLU(slope), Z)
    assert np.allclose(y, np.maximum(slope * Z, Z))
    assert np.allclose(found, np.where(Z > 0, 1, slope))
    if slope == 0.01:
        assert values(nn.LeakyReLU()(backlit.tensor(Z))).tolist() == y.tolist()
        assert values(F.leaky_relu(backlit.tensor(Z))).tolist() == y.tolist()


def test_T07_prelu_learns_its_slope() -> None:
    """max(αx, x): ∂/∂α is x where x < 0; descent on it changes α."""
    layer = nn.PReLU(dtype=F64)
    x = backlit.tensor([-2.0, -1.0, 3.0], dtype=F64)
    assert values(layer(x)).tolist() == [-0.5, -0.25, 3.0]
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [-3.0]
    optim.SGD(layer.parameters(), lr=0.1).step()
    assert layer.weight.tolist() == pytest.approx([0.25 + 0.3])


def test_T08_elu() -> None:
    """α(e^x - 1) for x < 0: for α = 1 the slope is 1 on both sides of 0, for α = 2 it is not."""
    y, slope = value_and_slope(nn.ELU(), Z)
    assert np.allclose(y, np.where(Z > 0, Z, np.expm1(np.minimum(Z, 0))))
    assert np.allclose(slope, np.where(Z > 0, 1, np.exp(np.minimum(Z, 0))))
    around = [-1e-9, 1e-9]
    assert np.allclose(value_and_slope(nn.ELU(1.0), around)[1], [1, 1])
    assert np.allclose(value_and_slope(nn.ELU(2.0), around)[1], [2, 1])


def test_T09_maxout_doubles_the_parameters() -> None:
    """max(w₁ᵀx + b₁, w₂ᵀx + b₂); ReLU and leaky ReLU are special cases."""
    layer, linear = nn.Maxout(5, 7, k=2), nn.Linear(5, 7)

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(layer) == 2 * count(linear)
    one = nn.Maxout(1, 1, k=2)
    first, second = values(one.pieces.weight), values(one.pieces.bias)
    x = np.linspace(-3, 3, 13, dtype=np.float32)[:, None]
    expected = (x @ first.T + second).max(axis=1)
    assert np.allclose(values(one(backlit.tensor(x)))[:, 0], expected, atol=1e-6)
    one.pieces.weight.data = backlit.tensor([[1.0], [0.1]])
    one.pieces.bias.data = backlit.zeros(2)
    leaky = F.leaky_relu(backlit.tensor(x), 0.1)
    assert np.allclose(values(one(backlit.tensor(x))), values(leaky))


def test_T10_softmax() -> None:
    """Rows add up to 1; adding a constant changes nothing; scores of 10⁴ do not overflow."""
    s = backlit.tensor(np.random.default_rng(0).normal(size=(6, 4)))
    p = values(s.softmax(1))
    assert np.allclose(p, np.exp(values(s)) / np.exp(values(s)).sum(1, keepdims=True))
    assert np.allclose(p.sum(1), 1)
    assert np.allclose(values((s + 123.0).softmax(1)), p)
    extreme = backlit.tensor([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]]).softmax(1)
    assert values(extreme).tolist() == [[1, 0, 0], [0.5, 0.5, 0]]


def test_T11_sign_and_threshold() -> None:
    """Outputs ±1 and 0 or 1, changing at 0; the slope is 0 (the units of P07 to P09 use them)."""
    z = [-2.0, -1e-9, 0.0, 1e-9, 2.0]
    for module, low in ((nn.Sign(), -1.0), (nn.Step(), 0.0)):
        y, slope = value_and_slope(module, z)
        assert y.tolist() == [low, low, 1, 1, 1]
        assert not slope.any()


def deep_sigmoid(scale: float) -> Any:
    backlit.manual_seed(0)
    model = nn.MLP([2, 8, 2], "sigmoid")
    model.layers[0].weight.data = model.layers[0].weight.data * scale
    return model


def test_T12_sigmoid_saturates_beyond_5() -> None:
    """σ'(5) = 0.00665: next to no gradient; the doctor points at the layer."""
    _, slope = value_and_slope(backlit.sigmoid, [-5.0, 5.0])
    assert np.allclose(slope, 0.00665, atol=5e-6)
    beyond = np.concatenate([np.linspace(-100, -5, 50), np.linspace(5, 100, 50)])
    assert (value_and_slope(backlit.sigmoid, beyond)[1] < 0.0067).all()
    assert value_and_slope(backlit.sigmoid, [0.0])[1] == 0.25
    data = toys.gauss(100, seed=0)
    (finding,) = doctor.check(deep_sigmoid(100.0), data).of("saturated units")
    assert finding.where == "activations.0"
    assert "|z| > 5" in finding.what
    assert doctor.check(deep_sigmoid(1.0), data).of("saturated units") == []


def steps_to(activation: Any, seed: int, loss_below: float, x: Any, y: Any) -> int:
    """Full-batch descent steps of one network until its loss is below a bound (at most 600)."""
    backlit.manual_seed(seed)
    model = nn.MLP([2, 16, 16, 2], activation)
    for layer in model.layers:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    loss_of, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.3)
    for step in range(600):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        if loss.item() < loss_below:
            return step
        loss.backward()
        optimizer.step()
    return 600


@pytest.fixture(scope="module")
def race() -> dict[str, list[int]]:
    """Steps of each activation on the Playground's circle, from the same starts."""
    table = toys.circle(200, seed=0)
    x = table.x / 5
    names = ("relu", "tanh", "sigmoid")
    return {name: [steps_to(name, seed, 0.3, x, table.y) for seed in range(3)] for name in names}


def test_T13_tanh_saturates_beyond_3_and_is_centred(race: dict[str, list[int]]) -> None:
    """1 - tanh²3 = 0.00987; centred at 0, it needs fewer steps than σ on the same network."""
    _, slope = value_and_slope(backlit.tanh, [-3.0, 3.0])
    assert np.allclose(slope, 0.00987, atol=5e-6)
    z = np.linspace(-4, 4, 81)
    assert abs(values(backlit.tensor(z).tanh()).mean()) < 1e-12
    assert values(backlit.tensor(z).sigmoid()).mean() == pytest.approx(0.5)
    assert max(race["tanh"]) < min(race["sigmoid"])


def test_T14_relu_converges_faster_and_can_die(race: dict[str, list[int]]) -> None:
    """No saturation for z > 0; fewer steps than σ; the counter finds units that died."""
    _, slope = value_and_slope(F.relu, [0.1, 10.0, 1e6])
    assert (slope == 1).all()
    assert max(race["relu"]) < min(race["sigmoid"])
    assert dead_share(nn.ReLU()) > 0.5


def dead_share(activation: nn.Module) -> float:
    """The share of hidden units that are 0 for all data, after two long steps off the centre."""
    backlit.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), activation, nn.Linear(32, 2))
    table = toys.circle(200, seed=0)
    x = table.x + 10.0
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(x), table.y).backward()
        optimizer.step()
    if isinstance(activation, nn.ReLU):
        (share,) = doctor.dead_units(model, x).values()
        (finding,) = doctor.check(model, (x, table.y)).of("dead ReLUs")
        assert f"{round(32 * share)} of 32 units put out 0" in finding.what
        return share
    hidden = values(model[:2](x))
    return float((hidden == 0).all(axis=0).mean())


def test_T15_leaky_relu_does_not_die() -> None:
    """Where ReLU loses units, its leaky variant keeps all of them."""
    assert dead_share(nn.LeakyReLU()) == 0


def test_T16_relu_is_the_default_then_try_others() -> None:
    """`MLP` starts with ReLU; a sweep over activations is a grid search."""
    assert all(isinstance(f, nn.ReLU) for f in nn.MLP([2, 3, 3, 1]).activations[:-1])
    table = toys.circle(120, seed=0)
    data = (table.x / 5, table.y)

    def objective(trial: train.Trial) -> float:
        backlit.manual_seed(0)
        model = nn.MLP([2, 8, 2], trial["activation"])
        adam = optim.Adam(model.parameters(), lr=0.02)
        fitted = train.fit(model, data, nn.CrossEntropyLoss(), adam, epochs=20, progress=False)
        return fitted["loss"][-1]  # type: ignore[no-any-return]

    found = train.grid_search(objective, {"activation": ["relu", "tanh", "leaky_relu", "identity"]})
    scores = {trial["activation"]: trial.score for trial in found.trials}
    assert len(scores) == 4
    assert found.best_params["activation"] != "identity"
    assert scores["relu"] < scores["identity"]


def test_T17_positive_inputs_give_gradients_of_one_sign() -> None:
    """∂L/∂w_i = upstream · x_i: with all x_i > 0 every weight's gradient has upstream's sign."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        upstream = float(rng.normal())
        for x, is_alike in ((rng.uniform(0.1, 2, 6), True), (rng.normal(size=6), False)):
            layer = nn.Linear(6, 1, dtype=F64)
            (upstream * layer(backlit.tensor(x))).sum().backward()
            assert layer.weight.grad is not None
            signs = np.sign(layer.weight.grad.numpy())[0]
            assert (signs == np.sign(upstream * x)).all()
            if is_alike:
                assert set(signs) == {np.sign(upstream)}
    table = toys.gauss(100, seed=0)
    model = nn.MLP([2, 4, 2])
    (finding,) = doctor.check(model, (table.x.abs(), table.y)).of("inputs all positive")
    assert finding.where == "layers.0"
    assert doctor.check(model, table).of("inputs all positive") == []


def test_T18_tanh_needs_no_clamp() -> None:
    """GLSL's tanh(clamp(x, -15, 15)) guards an overflow; ours agrees with it to float32."""
    x = backlit.tensor([-1e30, -90.0, -15.0, 0.5, 15.0, 90.0, 1e30])
    assert np.allclose(values(x.tanh()), values(x.clamp(-15, 15).tanh()), atol=1e-7)
    assert np.isfinite(values(x.tanh())).all()
    assert "tanh(clamp(x, -15, 15))" in (nn.Tanh.__doc__ or "")
