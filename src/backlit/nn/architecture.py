"""Which network for which data: the usual starting point, with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.nn.container import Sequential
from backlit.nn.dropout import Dropout
from backlit.nn.linear import Linear
from backlit.nn.mlp import as_activation
from backlit.nn.module import Module

WIDEST, NARROWEST = 128, 16


@dataclass
class Architecture:
    """A fully connected network.

    Attributes:
        sizes: inputs, hidden layers, outputs.
        activations: one per hidden layer.
        dropout: the share of hidden values that training drops.
        reason: why it is this one.
    """

    sizes: list[int]
    activations: list[str]
    dropout: float = 0.0
    reason: str = ""

    def plain(self) -> dict[str, Any]:
        """The values that a model file holds."""
        return {"sizes": self.sizes, "activations": self.activations, "dropout": self.dropout}

    def build(self) -> Sequential:
        """The network with fresh weights.

        >>> from backlit import nn
        >>> nn.Architecture([2, 3, 1], ["tanh"]).build()
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): Tanh()
          (2): Linear(in_features=3, out_features=1, bias=True)
        )
        """
        layers: list[Module] = []
        inner = zip(self.sizes, self.sizes[1:], self.activations, strict=False)
        for inputs, outputs, name in inner:
            layers += [Linear(inputs, outputs), as_activation(name)]
            if self.dropout:
                layers.append(Dropout(self.dropout))
        layers.append(Linear(self.sizes[-2], self.sizes[-1]))
        return Sequential(*layers)

    def __str__(self) -> str:
        """Such as "4 → 16 relu → 3"."""
        inner = zip(self.sizes[1:-1], self.activations, strict=True)
        layers = [str(self.sizes[0]), *(f"{n} {f}" for n, f in inner), str(self.sizes[-1])]
        return " → ".join(layers)


def suggest_architecture(
    X: Any, y: Any, *, hidden_layers: int = 1, classes: int | None = None
) -> Architecture:
    """The usual starting point for data: as many inputs as features, as many outputs as classes.

    One hidden layer unless more are asked for, and then all equally wide: the power of two about
    twice the number of features, between 16 and 128, and no more units than rows.

    Args:
        X: the features, (rows, features); further dims count as features.
        y: the targets, one per row: class numbers, names or yes and no; numbers to predict,
            (rows,) or (rows, outputs); or rows of 0 and 1, a yes or no for each output.
        hidden_layers: how many.
        classes: how many there are, if y may not hold them all; 0 if y holds numbers to predict.

    Returns:
        the architecture with its reason; `build()` makes the network.

    Raises:
        ArgumentError: X and y do not fit together, or there are no rows.

    Source: the advice of A. Ng, "Machine Learning" (2011), lecture 9.

    >>> from backlit import nn
    >>> iris = backlit.data.iris()
    >>> found = nn.suggest_architecture(iris.x, iris.y)
    >>> print(found)
    4 → 16 relu → 3
    >>> print(found.reason)
    4 features, 3 classes, one hidden layer of the usual least width
    """
    x, target = as_numpy(X), as_numpy(y)
    if x.ndim < 2 or target.ndim not in (1, 2) or len(x) != len(target) or not len(x):
        raise ArgumentError(
            "suggest_architecture: X must be (rows, features) and y (rows,) or (rows, outputs), "
            f"with as many rows, at least one; got {x.shape} and {target.shape}."
        )
    if hidden_layers < 0:
        raise ArgumentError(
            f"suggest_architecture: hidden_layers must not be negative, got {hidden_layers}."
        )
    features = int(np.prod(x.shape[1:]))
    outputs, meaning = outputs_for(target, classes)
    wide = 1 << math.ceil(math.log2(2 * max(1, features)))
    hidden = max(2, min(max(wide, NARROWEST), WIDEST, len(x)))
    depth = {0: "no hidden layer", 1: "one hidden layer"}.get(
        hidden_layers, f"{hidden_layers} equally wide hidden layers"
    )
    width = " about twice as wide as the input"
    if hidden == len(x):
        width = " with a unit for each row"
    elif hidden != wide:
        width = f" of the usual {'least' if hidden > wide else 'largest'} width"
    reason = f"{features} features, {meaning}, {depth}{width if hidden_layers else ''}"
    sizes = [features, *[hidden] * hidden_layers, outputs]
    return Architecture(sizes, ["relu"] * hidden_layers, 0.0, reason)


def outputs_for(target: Any, classes: int | None) -> tuple[int, str]:
    """How many outputs these targets need, and what they mean.

    >>> outputs_for(np.array(["cat", "dog", "cat"]), None), outputs_for(np.ones((5, 1)), None)
    ((2, '2 classes'), (1, 'one number'))
    """
    if classes:
        return classes, f"{classes} classes"
    if target.ndim == 2 and target.shape[1] > 1:
        n = target.shape[1]
        if target.dtype.kind not in "biuf" or not np.isin(target, (0, 1)).all():
            return n, f"{n} numbers"
        if classes is None and (target.sum(axis=1) == 1).all():
            return n, f"{n} classes"
        return n, f"{n} answers of yes or no"
    if classes is None and target.dtype.kind != "f":
        n = len(np.unique(target))
        return n, f"{n} classes"
    return 1, "one number"


def as_numpy(values: Any) -> Any:
    """Tensors and lists as arrays."""
    return realize(values) if isinstance(values, Tensor) else np.asarray(values)


__all__ = ["Architecture", "suggest_architecture"]
