"""Section 1.2 of the checklist, from F21 on: capacity, depth and width, what hidden units see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import insight, nn, optim, train
from backlit.data import digits, iris, mcycle, toys

F64 = backlit.float64


def values(t: Any) -> Any:
    return t.detach().numpy()


def trained(
    sizes: list[int],
    data: Any,
    epochs: int,
    activation: str = "tanh",
    lr: float = 0.02,
    batch_size: int = 50,
    **more: Any,
) -> Any:
    backlit.manual_seed(0)
    model = nn.MLP(sizes, activation)
    adam = optim.Adam(model.parameters(), lr=lr)
    loss_of = nn.CrossEntropyLoss()
    train.fit(
        model, data, loss_of, adam, epochs=epochs, batch_size=batch_size, progress=False, **more
    )
    return model


def accuracy(model: Any, data: Any) -> float:
    return float(train.evaluate(model, data, metrics="accuracy")["accuracy"])


def losses(model: Any, *sets: Any) -> list[float]:
    return [train.evaluate(model, data, nn.CrossEntropyLoss())["loss"] for data in sets]


def test_F21_more_neurons_more_capacity_and_regularization_for_smoothness() -> None:
    """On the noisy circle the training loss falls with the width. Of forty units, those held back
    by λ do better on new data: the remedy is a larger λ, not a smaller network."""
    known, new = (toys.circle(n, noise=0.3, seed=s) for n, s in ((80, 0), (400, 1)))
    data, fresh = ((table.x / 5, table.y) for table in (known, new))

    def fitted(width: int, strength: float = 0.0) -> Any:
        return trained(
            [2, width, 2], data, 400, "relu", 0.05, 80, penalty=lambda m: strength * train.l2(m)
        )

    widths = [losses(fitted(width), data)[0] for width in (1, 3, 40)]
    assert widths[0] > widths[1] > widths[2]
    sweep = [fitted(40, strength) for strength in (0.0, 0.0003, 0.003)]
    known_losses, new_losses = zip(*(losses(m, data, fresh) for m in sweep), strict=True)
    assert known_losses[0] < known_losses[1] < known_losses[2]
    assert new_losses[0] > new_losses[1] > new_losses[2]
    sizes = [train.l2(model).item() for model in sweep]
    assert sizes[0] > sizes[1] > sizes[2]
    panels = [insight.plane(model, data[0], points=20).classes for model in sweep]
    assert [panel.shape for panel in panels] == [(20, 20)] * 3
    assert not np.array_equal(panels[0], panels[2])


def sawtooth(levels: int) -> Any:
    """2^(levels - 1) teeth between 0 and 1, by a tent 2ReLU(x) - 4ReLU(x - ½) of each tent."""
    model = nn.MLP([1, *[2] * levels, 1], "relu", dtype=F64)
    for i, layer in enumerate(model.layers):
        tent = [[2.0, -4.0]]
        weight = [[1.0], [1.0]] if i == 0 else tent * 2 if i < levels else tent
        layer.weight.data = backlit.tensor(weight, dtype=F64)
        layer.bias.data = backlit.tensor([0.0, -0.5] if i < levels else [0.0], dtype=F64)
    return model


def test_F22_depth_against_width_with_as_many_parameters() -> None:
    """Five layers of two units draw 16 teeth with 31 parameters; one layer of as many cannot, and
    neither can a chain of single units, however long: depth and width are both needed.

    (M. Telgarsky, "Benefits of depth in neural networks", 2016.)
    """
    x = np.linspace(0, 1, 257)[:, None]
    teeth = np.abs((x * 32 + 1) % 2 - 1)
    deep = sawtooth(5)
    sizes = {"deep": deep.architecture, "wide": [1, 10, 1], "narrow": [1, *[1] * 15, 1]}
    models = {name: nn.MLP(d, dtype=F64) for name, d in sizes.items()}
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in models.items()}
    assert counts == {"deep": 31, "wide": 31, "narrow": 32}
    assert np.allclose(values(deep(backlit.tensor(x))), teeth, atol=1e-12)
    for name in ("wide", "narrow"):
        model = models[name]
        adam = optim.Adam(model.parameters(), lr=0.02)
        train.fit(model, (x, teeth), nn.MSELoss(), adam, epochs=60, batch_size=257, progress=False)
        # At most 11 straight pieces, or a monotone curve: no way through 32 flanks.
        assert np.abs(values(model(backlit.tensor(x))) - teeth).max() > 0.4


def test_F23_quiz_expressive_by_activation_depth_and_width() -> None:
    """All the above: without any one of them the network gives less than with all three."""
    table = toys.circle(150, seed=0)
    data = (table.x / 5, table.y)

    def score(sizes: list[int], activation: Any = "tanh") -> float:
        return accuracy(trained(sizes, data, 60, activation), data)

    full = score([2, 8, 2])
    assert full > 0.98
    assert score([2, 8, 2], None) < full - 0.2  # no activation
    assert score([2, 2]) < full - 0.2  # no hidden layer
    assert score([2, 1, 2]) < full - 0.1  # one unit wide


def test_F24_rows_of_the_first_weight_are_templates() -> None:
    """The linear model's ten templates look like the classes' means; 100 are shared by all."""
    table = digits()
    x, y = table.x / 16, table.y
    backlit.manual_seed(0)
    linear = nn.Linear(64, 10)
    adam = optim.Adam(linear.parameters(), lr=0.01)
    train.fit(linear, (x, y), nn.CrossEntropyLoss(), adam, epochs=5, progress=False)
    images = insight.templates(linear, (8, 8))
    assert images.shape == (10, 8, 8)
    assert images[3].ravel().tolist() == values(linear.weight)[3].tolist()
    means = np.stack([values(x)[values(y) == c].mean(axis=0) for c in range(10)])
    centred = means - means.mean(axis=0)
    likeness = np.corrcoef(np.concatenate([images.reshape(10, 64), centred]))[:10, 10:]
    assert (likeness.argmax(axis=1) == np.arange(10)).all()
    assert insight.templates(nn.MLP([64, 100, 10]), (8, 8)).shape == (100, 8, 8)


def test_F25_the_usual_architecture_with_its_reason() -> None:
    """Inputs = features, outputs = classes, one hidden layer; more are equally wide."""
    table = iris()
    found = nn.suggest_architecture(table.x, table.y)
    assert (found.sizes[0], found.sizes[-1], len(found.sizes)) == (4, 3, 3)
    assert found.reason.startswith("4 features, 3 classes, one hidden layer")
    assert tuple(found.build()(table.x).shape) == (150, 3)
    deep = nn.suggest_architecture(table.x, table.y, hidden_layers=3)
    assert deep.sizes[1] == deep.sizes[2] == deep.sizes[3]
    assert "3 equally wide hidden layers" in deep.reason
    curve = mcycle()
    assert nn.suggest_architecture(curve.x, curve.y).sizes[-1] == 1


def test_F29_hidden_units_fold_the_plane() -> None:
    """XOR is not separable in the plane, and is in the space of the hidden units, where the grid
    is folded: points that were far apart lie together."""
    table = toys.xor(150, seed=0)
    data = (table.x / 5, table.y)
    model = trained([2, 8, 2], data, epochs=150)
    folded = insight.plane(model, data[0], points=21, hidden=True)
    hidden = folded.hidden["activations.0"]
    assert hidden.shape == (21, 21, 8)
    assert folded.outputs.shape == (21, 21, 2)
    at = values(model.trace(backlit.tensor([[folded.x1[3], folded.x2[17]]]).float()).h[1])
    assert np.allclose(hidden[17, 3], at[0], atol=1e-5)
    assert not nn.separability(data[0], data[1]).separable
    assert nn.separability(model.trace(data[0]).h[1], data[1]).separable
    corners = hidden[[0, 20, 0, 20], [0, 20, 20, 0]]  # (−, −), (+, +), (−, +), (+, −)
    same = np.linalg.norm(corners[0] - corners[1])
    other = min(np.linalg.norm(corners[0] - corners[2]), np.linalg.norm(corners[0] - corners[3]))
    assert same != pytest.approx(other)
