"""The suggested architecture: inputs from the features, outputs from what the targets are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 12))


@pytest.mark.parametrize(
    "y, outputs, meaning",
    [
        (np.arange(200) % 5, 5, "5 classes"),
        (np.arange(200) % 2 == 0, 2, "2 classes"),
        (np.array(["cat", "dog"] * 100), 2, "2 classes"),
        (RNG.normal(size=200), 1, "one number"),
        (RNG.normal(size=(200, 1)), 1, "one number"),
        (RNG.normal(size=(200, 3)), 3, "3 numbers"),
        (np.eye(4)[np.arange(200) % 4], 4, "4 classes"),
        (RNG.integers(0, 2, (200, 4)), 4, "4 answers of yes or no"),
        (backlit.tensor([0, 1] * 100), 2, "2 classes"),
    ],
)
def test_outputs_follow_from_the_targets(y: Any, outputs: int, meaning: str) -> None:
    """Class numbers, names, one-hot rows, real numbers, and several yes-or-no answers."""
    found = nn.suggest_architecture(X, y)
    assert found.sizes == [12, 32, outputs]
    assert found.reason == (
        f"12 features, {meaning}, one hidden layer about twice as wide as the input"
    )
    assert tuple(found.build()(backlit.tensor(X).float()).shape) == (200, outputs)


@pytest.mark.parametrize(
    "features, rows, hidden, width",
    [
        (2, 200, 16, " of the usual least width"),
        (500, 200, 128, " of the usual largest width"),
        (12, 9, 9, " with a unit for each row"),
        (32, 200, 64, " about twice as wide as the input"),
    ],
)
def test_width_of_the_hidden_layer(features: int, rows: int, hidden: int, width: str) -> None:
    """Twice the features in powers of two, between 16 and 128, and no wider than rows."""
    found = nn.suggest_architecture(np.zeros((rows, features)), np.zeros(rows))
    assert found.sizes[1] == hidden
    assert found.reason.endswith("one hidden layer" + width)


def test_depth_classes_and_images_can_be_told() -> None:
    """Equal widths for more layers; no layer; classes that y does not show; images."""
    y = np.arange(200) % 3
    deep = nn.suggest_architecture(X, y, hidden_layers=2)
    assert (deep.sizes, deep.activations) == ([12, 32, 32, 3], ["relu", "relu"])
    linear = nn.suggest_architecture(X, y, hidden_layers=0)
    assert (linear.sizes, linear.reason) == ([12, 3], "12 features, 3 classes, no hidden layer")
    assert nn.suggest_architecture(X, y, classes=7).sizes[-1] == 7
    assert nn.suggest_architecture(X, y, classes=0).sizes[-1] == 1
    assert nn.suggest_architecture(np.zeros((50, 8, 8)), np.zeros(50)).sizes[0] == 64


def test_dropout_follows_each_hidden_layer() -> None:
    """As in a model file: sizes, activations, dropout."""
    made = nn.Architecture([4, 6, 5, 2], ["tanh", "gelu"], 0.25).build()
    kinds = ["Linear", "Tanh", "Dropout", "Linear", "GELU", "Dropout", "Linear"]
    assert [type(m).__name__ for m in made] == kinds
    assert made[2].p == 0.25


@pytest.mark.parametrize(
    "act, message",
    [
        (
            lambda: nn.suggest_architecture(X, np.zeros(7)),
            (
                "suggest_architecture: X must be (rows, features) and y (rows,) or (rows, "
                "outputs), with as many rows, at least one; got (200, 12) and (7,)."
            ),
        ),
        (
            lambda: nn.suggest_architecture(X, np.zeros(200), hidden_layers=-1),
            "suggest_architecture: hidden_layers must not be negative, got -1.",
        ),
    ],
)
def test_what_is_refused(act: Any, message: str) -> None:
    """Data that do not fit together."""
    with pytest.raises(ValueError) as error:
        act()
    assert str(error.value) == message
