"""Section 1.10 of the checklist, its dense rows: data sets and worked training examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import insight, nn, optim, train
from backlit.data import Standardize, iris, mcycle, toys


def values(t: Any) -> Any:
    return t.detach().numpy()


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_E01_mcycle_regression() -> None:
    """133 points, 1-10-1 with sigmoids and a linear output, 31 parameters: the curve is fitted."""
    table = mcycle()
    assert tuple(table.x.shape) == (133, 1)
    scale = Standardize()
    x, y = Standardize().fit_transform(table.x), scale.fit_transform(table.y)
    backlit.manual_seed(0)
    model = nn.MLP([1, 10, 1], "sigmoid")
    assert count(model) == 31
    assert isinstance(model.activations[-1], nn.Identity)
    adam = optim.Adam(model.parameters(), lr=0.05)
    train.fit(model, (x, y), nn.MSELoss(), adam, epochs=600, batch_size=133, progress=False)
    error = nn.MSELoss()(model(x), y).item()
    assert error < 0.25  # of the variance; a straight line leaves 0.91, a cubic 0.67
    curve = values(model(backlit.linspace(float(x.min()), float(x.max()), 100).unsqueeze(1)))
    assert curve.min() < -1.8  # the dip after the crash
    assert curve.argmin() < 50 < curve.argmax()


def test_E02_iris_classification() -> None:
    """Two petal features, 2-10-3 with sigmoids, 63 parameters: ≥ 95 %, and decision regions."""
    table = iris()
    x = Standardize().fit_transform(table.x[:, 2:])
    backlit.manual_seed(0)
    model = nn.MLP([2, 10, 3], "sigmoid")
    assert count(model) == 63
    sgd = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()
    train.fit(model, (x, table.y), loss_of, sgd, epochs=100, batch_size=150, progress=False)
    found = train.evaluate(model, (x, table.y), metrics="accuracy")["accuracy"]
    assert found >= 0.95
    regions = insight.plane(model, x, points=40).classes
    assert set(np.unique(regions)) == {0, 1, 2}
    assert regions[0, 0] == 0  # short and narrow petals: setosa
    assert regions[-1, -1] == 2  # long and wide ones: virginica


def test_E03_two_layer_net_on_a_random_batch() -> None:
    """The deck's TwoLayerNet(100, 50, 10): 5 560 parameters, and the five printed lines."""

    class TwoLayerNet(nn.Module):
        def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
            super(TwoLayerNet, self).__init__()  # noqa: UP008 - as printed
            self.linear1 = nn.Linear(n_in, n_hidden)
            self.linear2 = nn.Linear(n_hidden, n_out)

        def forward(self, x: Any) -> Any:
            return self.linear2(nn.functional.relu(self.linear1(x)))

    backlit.manual_seed(0)
    model = TwoLayerNet(100, 50, 10)
    assert count(model) == 5560
    x, y = backlit.randn(64, 100), backlit.arange(64) % 10
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)


def playground(name: str, p: Any) -> Any:
    """What the Playground's source says about a point without noise."""
    x, y = p[:, 0], p[:, 1]
    if name == "circle":
        return np.hypot(x, y) < 2.5
    if name == "xor":
        return x * y >= 0
    return (x + y) / 10


@pytest.mark.parametrize("name", ["circle", "xor", "gauss", "spiral", "plane", "bumps"])
def test_E04_the_playgrounds_sets(name: str) -> None:
    """Four sets of classes, two of values: of the same shapes, by seed, with noise."""
    make = getattr(toys, name)
    table = make(200, seed=5)
    again, other = make(200, seed=5), make(200, seed=6)
    points = values(table.x)
    assert points.tolist() == values(again.x).tolist() != values(other.x).tolist()
    assert points.shape == (200, 2)
    assert np.abs(points).max() < 7
    noisy = make(200, noise=0.5, seed=5)
    assert values(noisy.x).tolist() != points.tolist() or (
        values(noisy.y).tolist() != values(table.y).tolist()
    )
    if name in ("circle", "xor", "plane"):
        expected = playground(name, points.astype(np.float64))
        assert np.allclose(values(table.y).ravel(), expected, atol=1e-6)
    elif name == "gauss":
        centres = [points[values(table.y) == c].mean(axis=0) for c in (0, 1)]
        assert np.allclose(centres, [[-2, -2], [2, 2]], atol=0.3)
    elif name == "spiral":
        radius = np.hypot(*points.T)
        angle = 1.75 * 2 * np.pi * radius / 5 + np.where(values(table.y) == 1, 0, np.pi)
        on_arm = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
        assert np.allclose(points, on_arm, atol=1e-4)
    else:
        assert np.abs(values(table.y)).max() <= 1


@pytest.mark.parametrize("name", ["circle", "spiral", "xor"])
def test_E05_red_and_blue_points_that_no_line_separates(name: str) -> None:
    """The tool says so, and a network with hidden units separates them all the same."""
    table = getattr(toys, name)(120, seed=0)
    assert not nn.separability(table.x, table.y).separable
    backlit.manual_seed(0)
    model = nn.MLP([2, 32, 32, 2])
    adam = optim.Adam(model.parameters(), lr=0.01)
    data = (table.x / 2.5, table.y)
    train.fit(model, data, nn.CrossEntropyLoss(), adam, epochs=120, progress=False)
    assert train.evaluate(model, data, metrics="accuracy")["accuracy"] > 0.97
