"""Threshold units, the perceptron rule, and the proof of separability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
from backlit import nn
from backlit.errors import ArgumentError, ShapeError
from backlit.nn.threshold import nearest_point


def test_sign_and_step_have_gradient_zero() -> None:
    """They are defined at 0, and let nothing below them learn."""
    x = backlit.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    for unit, values in ((nn.Sign(), [-1.0, 1.0, 1.0]), (nn.Step(), [0.0, 1.0, 1.0])):
        x.grad = None
        y = unit(x)
        assert y.tolist() == values
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_mp_unit_text() -> None:
    """It shows its threshold and what silences it."""
    assert repr(nn.MPUnit(2, inhibitory=[0])) == "MPUnit(threshold=2, inhibitory=(0,))"


def test_boundary_of_a_perceptron() -> None:
    """A point in 1-D; otherwise the unit normal and the distance of the plane from 0."""
    unit = nn.Perceptron(1)
    unit.load_state_dict({"weight": backlit.tensor([2.0]), "bias": backlit.tensor(-3.0)})
    assert unit.boundary() == 1.5
    plane = nn.Perceptron(2)
    plane.load_state_dict({"weight": backlit.tensor([3.0, 4.0]), "bias": backlit.tensor(-10.0)})
    normal, distance = plane.boundary()
    assert np.allclose(normal, [0.6, 0.8])
    assert distance == pytest.approx(2.0)
    with pytest.raises(ArgumentError) as error:
        nn.Perceptron(2).boundary()
    assert str(error.value) == (
        "Perceptron.boundary: all weights are zero, so the output is the same everywhere."
    )
    assert repr(nn.Perceptron(2, bias=False)) == "Perceptron(in_features=2, bias=False)"


@given(st.integers(0, 2**32 - 1))
def test_separability_is_right_on_random_sets(seed: int) -> None:
    """Sets split by a plane are separable, and the plane that is returned separates them; sets
    whose classes contain a common point are not."""
    rng = np.random.default_rng(seed)
    n, dims = int(rng.integers(3, 30)), int(rng.integers(1, 5))
    x = rng.normal(size=(n, dims))
    w, b = rng.normal(size=dims), 0.1 * rng.normal()
    labels = (x @ w + b > 0).astype(int)
    labels[:2] = 0, 1
    x[0] -= w * ((x[0] @ w + b) / (w @ w) + 0.1)
    x[1] -= w * ((x[1] @ w + b) / (w @ w) - 0.1)
    found = nn.separability(backlit.tensor(x), backlit.tensor(labels))
    assert found.separable
    assert ((x @ found.weight + found.bias > 0) == (labels == 1)).all()
    inside = (x[labels == 0].mean(0) if (labels == 0).sum() > 1 else x[0])[None]
    x = np.concatenate([x, inside])
    labels = np.append(labels, 1)
    assert not nn.separability(backlit.tensor(x), backlit.tensor(labels)).separable


def test_nearest_point_of_a_hull() -> None:
    """Of a segment that passes 0 at distance 1, and of a triangle around 0."""
    point, shares = nearest_point(np.array([[1.0, -2.0], [1.0, 2.0], [9.0, 9.0]]))
    assert np.allclose(point, [1, 0])
    assert np.allclose(shares, [0.5, 0.5, 0])
    point, shares = nearest_point(np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]]))
    assert np.allclose(point, 0, atol=1e-9)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "x, y, kind, message",
    [
        (
            backlit.zeros(3),
            backlit.zeros(3),
            ShapeError,
            "separability: expected inputs (N, n) and targets (N,), got (3,) and (3,).",
        ),
        (
            backlit.zeros(3, 1),
            backlit.zeros(3),
            ArgumentError,
            "separability: expected two classes, got 1.",
        ),
    ],
)
def test_what_separability_refuses(x: Any, y: Any, kind: type[Exception], message: str) -> None:
    """Other shapes, other numbers of classes."""
    with pytest.raises(kind) as error:
        nn.separability(x, y)
    assert str(error.value) == message
