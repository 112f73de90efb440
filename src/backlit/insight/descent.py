"""Descent as numbers: where an optimizer goes on a function of one, two or more variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.autograd import enable_grad
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim import SGD, Optimizer

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Descent:
    """A path downhill.

    Attributes:
        points: (steps + 1, n), the start first.
        values: (steps + 1,), the function there.
        gradients: (steps + 1, n), its slope there; gradient descent steps against it.
    """

    points: Array
    values: Array
    gradients: Array

    @property
    def turns(self) -> int:
        """How often the value rose: steps that were too long."""
        return int((np.diff(self.values) > 0).sum())

    def __str__(self) -> str:
        first, last = self.values[0], self.values[-1]
        start, end = (" ".join(f"{c:.4g}" for c in p) for p in self.points[[0, -1]])
        return (
            f"Descent of {len(self.values) - 1} steps from ({start}) to ({end}): "
            f"{first:.4g} → {last:.4g}, rising {self.turns} times"
        )

    __repr__ = __str__


def descent(
    function: Callable[[Tensor], Tensor],
    start: Sequence[float] | Any,
    optimizer: Callable[[list[Tensor]], Optimizer] | float = 0.1,
    steps: int = 50,
) -> Descent:
    """Walk downhill: θ ← θ − α ∇f(θ), or as an optimizer has it.

    The walker is blindfolded: all it knows is the slope under its feet. The negative gradient is
    the direction of steepest descent, by f(θ + ε) ≈ f(θ) + ε·∇f(θ).

    Args:
        function: of a float64 tensor of shape (n,), giving one number.
        start: n numbers.
        optimizer: a function of the list of parameters that makes one, or the learning rate α of
            plain gradient descent.
        steps: how many.

    Raises:
        ArgumentError: the function does not give one number.

    >>> path = descent(lambda x: (x * x).sum() / 2, [1.0], 0.5, steps=3)
    >>> path.points[:, 0].tolist(), path.values.tolist()
    ([1.0, 0.5, 0.25, 0.125], [0.5, 0.125, 0.03125, 0.0078125])
    """
    theta = from_array(np.array(start, np.float64, ndmin=1)).requires_grad_()
    chosen = (
        SGD([theta], lr=optimizer) if isinstance(optimizer, int | float) else optimizer([theta])
    )
    points, values, gradients = [], [], []

    def look() -> Tensor:
        chosen.zero_grad()
        value = function(theta)
        if value.numel() != 1:
            raise ArgumentError(
                f"descent: the function gave a tensor of shape {tuple(value.shape)}; it must give "
                "one number."
            )
        value.backward()
        return value

    with enable_grad():
        for step in range(steps + 1):
            value = look()
            points.append(np.array(realize(theta)))
            values.append(float(realize(value).reshape(())))
            gradients.append(np.array(realize(theta.grad)))  # type: ignore[arg-type]
            if step < steps:
                chosen.step(look)
    return Descent(np.array(points), np.array(values), np.array(gradients))


__all__ = ["Descent", "descent"]
