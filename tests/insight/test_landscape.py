"""Landscapes: the plane goes through the weights, in directions as long as the filters."""

from __future__ import annotations

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.data import Standardize, iris
from backlit.insight import loss_landscape

TABLE = iris()
DATA = (Standardize().fit_transform(TABLE.x), TABLE.y)


def test_the_centre_is_the_loss_and_every_point_its_own() -> None:
    """L(θ + aδ + bη) at a corner, computed by hand; the model is as it was."""
    backlit.manual_seed(0)
    model = nn.MLP([4, 6, 3], "tanh")
    before = {name: t.tolist() for name, t in model.state_dict().items()}
    found = loss_landscape(model, DATA, points=5, span=0.5, seed=3)
    assert {name: t.tolist() for name, t in model.state_dict().items()} == before
    assert all(p.grad is None for p in model.parameters())
    loss_of = nn.CrossEntropyLoss()
    assert found.centre == pytest.approx(loss_of(model(DATA[0]), DATA[1]).item(), rel=1e-5)
    first, second = found.directions
    for name, p in model.named_parameters():
        p.data = p.data + backlit.tensor(0.5 * first[name] - 0.25 * second[name]).float()
    at = found.losses[4, 1]
    assert (found.a[4], found.b[1]) == (0.5, -0.25)
    assert at == pytest.approx(loss_of(model(DATA[0]), DATA[1]).item(), rel=1e-4)


def test_directions_have_the_filters_lengths() -> None:
    """‖δ_i‖ = ‖θ_i‖ for each row; biases stay. So equal networks of other scales look alike."""
    backlit.manual_seed(0)
    model = nn.MLP([4, 6, 3])
    found = loss_landscape(model, DATA, points=3)
    for direction in found.directions:
        for name, p in model.named_parameters():
            w = p.detach().numpy()
            if w.ndim == 2:
                lengths = np.linalg.norm(direction[name], axis=1)
                assert np.allclose(lengths, np.linalg.norm(w, axis=1))
            else:
                assert not direction[name].any()
    scaled = nn.MLP([4, 6, 3], bias=False)
    plain = loss_landscape(scaled, DATA, points=5).losses
    first, second = scaled.layers
    first.weight.data = first.weight.data * 7
    second.weight.data = second.weight.data / 7  # ReLU: the same function
    assert np.allclose(loss_landscape(scaled, DATA, points=5).losses, plain, rtol=1e-4)


@pytest.mark.parametrize("points", [1, 4])
def test_an_even_number_of_points_is_refused(points: int) -> None:
    """The weights themselves must be on the grid."""
    with pytest.raises(ValueError) as error:
        loss_landscape(nn.Linear(4, 3), DATA, points=points)
    assert str(error.value) == (
        "loss_landscape: points must be odd and at least 3, so that the weights themselves are in "
        f"the middle; got {points}."
    )
