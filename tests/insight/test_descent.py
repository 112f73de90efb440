"""Paths of descent: against closed forms, for several optimizers."""

from __future__ import annotations

import numpy as np
import pytest

from backlit import optim
from backlit.insight import descent


def test_gradient_descent_on_a_bowl_has_a_closed_form() -> None:
    """½(x² + 10y²): θ_t = (1 - α)^t and (1 - 10α)^t; each step is against the gradient."""
    path = descent(lambda t: (t[0] ** 2 + 10 * t[1] ** 2) / 2, [4.0, 1.0], 0.15, steps=20)
    t = np.arange(21)
    assert np.allclose(path.points, np.stack([4 * 0.85**t, (-0.5) ** t], axis=1))
    assert np.allclose(path.gradients, path.points * [1, 10])
    assert np.allclose(np.diff(path.points, axis=0), -0.15 * path.gradients[:-1])
    assert np.allclose(path.values, (path.points**2 @ [1, 10]) / 2)
    assert path.turns == 0
    assert str(path).startswith("Descent of 20 steps from (4 1) to (0.155 ")


def test_too_long_steps_climb() -> None:
    """Beyond 2 / curvature the value rises with every step."""
    assert descent(lambda t: t[0] ** 2 / 2, [1.0], 2.5, steps=7).turns == 7


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.02, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.3),
        lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe"),
    ],
    ids=["momentum", "adam", "lbfgs"],
)
def test_any_optimizer_can_walk(make: object) -> None:
    """All reach the minimum of the narrow valley ½(x² + 10y²)."""
    path = descent(
        lambda t: (t[0] ** 2 + 10 * t[1] ** 2) / 2,
        [4.0, 1.0],
        make,  # type: ignore[arg-type]
        steps=150,
    )
    assert path.values[-1] < 1e-3


def test_a_function_of_several_numbers_is_refused() -> None:
    """There is no downhill for a vector."""
    with pytest.raises(ValueError) as error:
        descent(lambda t: t * 2, [1.0, 2.0])
    assert str(error.value) == (
        "descent: the function gave a tensor of shape (2,); it must give one number."
    )
