"""Planes and templates: what they show is what the model computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.insight import plane, templates


def test_a_plane_shows_the_models_outputs() -> None:
    """outputs[j, i] is the model at (x1[i], x2[j]); classes are the largest, or the sign."""
    backlit.manual_seed(0)
    x = np.array([[0.0, -1.0], [4.0, 1.0]], np.float32)
    model = nn.MLP([2, 3, 3])
    found = plane(model, x, points=7, margin=0.25)
    assert (found.x1[[0, -1]].tolist(), found.x2[[0, -1]].tolist()) == ([-1, 5], [-1.5, 1.5])
    point = backlit.tensor([[found.x1[2], found.x2[5]]], dtype=backlit.float32)
    assert np.allclose(found.outputs[5, 2], model(point).detach().numpy()[0], atol=1e-6)
    assert found.classes.tolist() == found.outputs.argmax(-1).tolist()
    assert found.hidden == {}
    single = plane(nn.Linear(2, 1), x, points=4)
    assert single.classes.tolist() == (single.outputs[..., 0] > 0).astype(int).tolist()
    assert not model.layers[0]._forward_hooks


@pytest.mark.parametrize(
    "act, message",
    [
        (
            lambda: plane(nn.Linear(3, 1), np.zeros((5, 3), np.float32)),
            "plane: the data must have two features, (rows, 2); got shape (5, 3).",
        ),
        (
            lambda: templates(nn.MLP([64, 10]), (28, 28)),
            (
                "templates: the first linear layer must have 784 inputs for images of shape "
                "(28, 28); it has 64."
            ),
        ),
        (
            lambda: templates(nn.ReLU(), (8, 8)),
            (
                "templates: the first linear layer must have 64 inputs for images of shape (8, 8); "
                "there is no linear layer."
            ),
        ),
    ],
)
def test_what_is_refused(act: Any, message: str) -> None:
    """Data without two features, images of another size, models without weights."""
    with pytest.raises(ValueError) as error:
        act()
    assert str(error.value) == message
