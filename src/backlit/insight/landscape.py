"""The loss around the weights of a network, on a plane through them (Li et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.autograd import no_grad
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.data.seeds import rng_of
from backlit.errors import ArgumentError
from backlit.insight.doctor.checkup import default_loss
from backlit.insight.doctor.examination import first_batch, undone
from backlit.nn import Module

Array = np.ndarray[Any, np.dtype[Any]]
ROWS = 1024  # of the data


@dataclass(frozen=True)
class Landscape:
    """Losses on a plane through the weights.

    Attributes:
        a, b: (points,), the coordinates along the two directions; 0 is where the weights are.
        losses: (points, points), the loss at weights θ + a[i] δ + b[j] η.
        directions: δ and η, name of a parameter → array.
    """

    a: Array
    b: Array
    losses: Array
    directions: tuple[dict[str, Array], dict[str, Array]]

    @property
    def centre(self) -> float:
        """The loss at the weights themselves."""
        return float(self.losses[len(self.a) // 2, len(self.b) // 2])

    @property
    def roughness(self) -> float:
        """How far the surface is from convex: the share of places where it bends downwards along
        a or b."""
        bends = [np.diff(self.losses, n=2, axis=axis) < 0 for axis in (0, 1)]
        return float(np.concatenate([bend.ravel() for bend in bends]).mean())


def loss_landscape(
    model: Module,
    data: Any,
    loss: Any = None,
    *,
    span: float = 1.0,
    points: int = 21,
    seed: int = 0,
) -> Landscape:
    """The loss on a plane through the weights, along two filter-normalised random directions.

    f(a, b) = L(θ + a δ + b η). Each filter (row) of a direction is scaled to the length of that
    filter of the weights, δ_i ← δ_i ‖θ_i‖ / ‖δ_i‖, so that a step of 1 means the same for all
    networks, whatever the scale of their weights; biases and the scales of normalization layers
    stay where they are. The model is left as it was.

    Args:
        data: the first batch of up to 1024 rows counts.
        loss: a function of (output, target); by default cross-entropy or squared error.
        span: how far to go: a and b run from −span to span.
        points: along each direction; odd, so that the weights themselves are among them.
        seed: of the directions.

    Raises:
        ArgumentError: `points` is even or less than 3.

    Source: H. Li, Z. Xu, G. Taylor, C. Studer and T. Goldstein, "Visualizing the loss landscape of
    neural nets" (2018).

    >>> from backlit import nn
    >>> found = loss_landscape(nn.MLP([4, 8, 3]), backlit.data.iris(), points=5)
    >>> found.losses.shape, found.a.tolist()
    ((5, 5), [-1.0, -0.5, 0.0, 0.5, 1.0])
    """
    if points < 3 or points % 2 == 0:
        raise ArgumentError(
            f"loss_landscape: points must be odd and at least 3, so that the weights themselves "
            f"are in the middle; got {points}."
        )
    inputs, target = first_batch(data, ROWS)
    loss_of = loss or default_loss(target)
    rng = rng_of(seed)
    start = {name: np.array(realize(p)) for name, p in model.named_parameters()}
    directions = tuple(
        {name: filter_normalised(rng.normal(size=w.shape), w) for name, w in start.items()}
        for _ in range(2)
    )
    axis = np.linspace(-span, span, points)
    losses = np.empty((points, points))
    with undone(model), no_grad():
        model.eval()
        for i, a in enumerate(axis):
            for j, b in enumerate(axis):
                for name, p in model.named_parameters():
                    moved = start[name] + a * directions[0][name] + b * directions[1][name]
                    p.data = from_array(moved.astype(start[name].dtype))
                losses[i, j] = float(realize(loss_of(model(*inputs), target)))
    return Landscape(axis, axis, losses, (directions[0], directions[1]))


def filter_normalised(direction: Array, weight: Array) -> Array:
    """The direction with each filter as long as the weight's; nothing for biases and scales.

    >>> filter_normalised(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]])).tolist()
    [[1.2, 1.6]]
    """
    if weight.ndim < 2:
        return np.zeros_like(direction)
    axes = tuple(range(1, weight.ndim))
    length = np.sqrt((direction**2).sum(axis=axes, keepdims=True))
    wanted = np.sqrt((weight.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
    normalised: Array = direction * wanted / np.maximum(length, 1e-12)
    return normalised


__all__ = ["Landscape", "filter_normalised", "loss_landscape"]
