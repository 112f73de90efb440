"""What a network does to the plane, as arrays: decisions, hidden units, weights as images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.errors import ArgumentError
from backlit.nn import Linear, Module
from backlit.train.evaluation import evaluating
from backlit.train.metrics import as_tensor

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Plane:
    """A grid over a rectangle, and what the network makes of it.

    Attributes:
        x1, x2: (n,), the grid's coordinates.
        outputs: (n, n, K), the network's outputs; [j, i] belongs to (x1[i], x2[j]), as pictures
            have it.
        hidden: name of a module → (n, n, units), the outputs of that module, if asked for.
    """

    x1: Array
    x2: Array
    outputs: Array
    hidden: dict[str, Array]

    @property
    def classes(self) -> Array:
        """(n, n) class numbers: of the largest output; of one output, whether it is positive."""
        if self.outputs.shape[-1] == 1:
            return np.asarray(self.outputs[..., 0] > 0, np.int64)
        return self.outputs.argmax(axis=-1)


def plane(
    model: Module, x: Any, *, points: int = 50, margin: float = 0.1, hidden: bool = False
) -> Plane:
    """The network's outputs on a grid around two-dimensional data: its decision regions.

    With `hidden`, the outputs of all modules inside it too: each hidden unit as a picture over the
    plane, and at the same time the plane's grid folded into the space of hidden units.

    Args:
        x: data (rows, 2), whose rectangle is covered.
        points: n, along each side.
        margin: how far the grid goes beyond the data, as a share of their range.
        hidden: whether to keep what is inside.

    Raises:
        ArgumentError: the data do not have two features.

    >>> from backlit import nn
    >>> found = plane(nn.MLP([2, 4, 3]), np.array([[0.0, 0.0], [1.0, 2.0]]), points=5, hidden=True)
    >>> found.outputs.shape, found.hidden["activations.0"].shape, found.x2.tolist()[-1]
    ((5, 5, 3), (5, 5, 4), 2.2)
    """
    data = np.asarray(realize(as_tensor(x)))
    if data.ndim != 2 or data.shape[1] != 2:
        raise ArgumentError(
            f"plane: the data must have two features, (rows, 2); got shape {data.shape}."
        )
    low, high = data.min(axis=0).astype(np.float64), data.max(axis=0).astype(np.float64)
    room = margin * (high - low)
    x1, x2 = (np.linspace(low[i] - room[i], high[i] + room[i], points) for i in (0, 1))
    first, second = np.meshgrid(x1, x2)
    grid = from_array(np.stack([first.ravel(), second.ravel()], axis=1)).float()
    dtype = next((p.dtype for p in model.parameters()), None)
    grid = grid if dtype is None else grid.to(dtype)
    inside: dict[str, Any] = {}

    def keep(path: str) -> Any:
        return lambda module, args, out: inside.__setitem__(path, out)

    hooks = [m.register_forward_hook(keep(path)) for path, m in model.named_modules() if path]
    try:
        with evaluating(model):
            outputs = model(grid)
    finally:
        for handle in hooks:
            handle.remove()
    found = {path: np.array(realize(out)) for path, out in inside.items()} if hidden else {}
    square = (points, points, -1)
    return Plane(
        x1,
        x2,
        np.array(realize(outputs)).reshape(square),
        {path: a.reshape(square) for path, a in found.items()},
    )


def templates(model: Module, shape: tuple[int, ...]) -> Array:
    """The rows of the first linear layer as images: what each unit looks for.

    A unit's sum w·x is largest for the input (of a given length) that looks like w.

    Args:
        shape: of one image, such as (28, 28) or (32, 32, 3).

    Returns:
        (units, *shape).

    Raises:
        ArgumentError: there is no linear layer, or its rows do not have as many numbers.

    >>> from backlit import nn
    >>> templates(nn.MLP([64, 10]), (8, 8)).shape
    (10, 8, 8)
    """
    layer = next((m for m in model.modules() if isinstance(m, Linear)), None)
    if layer is None or layer.in_features != int(np.prod(shape)):
        width = "there is no linear layer" if layer is None else f"it has {layer.in_features}"
        raise ArgumentError(
            f"templates: the first linear layer must have {int(np.prod(shape))} inputs for images "
            f"of shape {tuple(shape)}; {width}."
        )
    return np.array(realize(layer.weight)).reshape(-1, *shape)


__all__ = ["Plane", "plane", "templates"]
