"""What a network must beat to be worth having: the best constant, and a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit import nn, optim
from backlit.cli.targets import Array
from backlit.core.create import from_array
from backlit.core.tensor import Tensor
from backlit.train.regularize import l2

MOST_ROWS = 50_000  # a linear model does not get better with more
STEPS = 60
WEIGHT_DECAY = 1e-4


def constant_prediction(task: str, y: Array, classes: int, rows: int) -> Array:
    """The majority class as probabilities, or the mean, for every row."""
    if task == "classification":
        shares = np.bincount(y, minlength=classes) / len(y)
        return np.broadcast_to(shares, (rows, classes))
    return np.full(rows, y.mean())


def linear_model(x: Array, y: Array, outputs: int, seed: int) -> nn.Linear:
    """A linear map fitted by L-BFGS: softmax regression, or least squares on a scaled target."""
    if len(x) > MOST_ROWS:
        rows = np.random.default_rng(seed).choice(len(x), MOST_ROWS, replace=False)
        x, y = x[rows], y[rows]
    inputs, target = from_array(x), from_array(y)
    model = nn.Linear(x.shape[1], outputs)
    loss_of: Any = nn.CrossEntropyLoss() if y.dtype.kind == "i" else nn.MSELoss()
    optimizer = optim.LBFGS(model.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = loss_of(model(inputs), target) + WEIGHT_DECAY * l2(model)
        loss.backward()
        return loss

    optimizer.step(closure)
    return model
