"""Which network for which table: the usual starting point, and what options make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backlit import nn
from backlit.cli.errors import CommandError
from backlit.nn.mlp import as_activation

# Activations that need no arguments.
ACTIVATIONS = (
    "celu", "elu", "gelu", "hardswish", "hardtanh", "identity", "leaky_relu", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
)  # fmt: skip
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

    def __str__(self) -> str:
        """Such as "4 → 16 relu → 3"."""
        inner = zip(self.sizes[1:-1], self.activations, strict=True)
        layers = [str(self.sizes[0]), *(f"{n} {f}" for n, f in inner), str(self.sizes[-1])]
        return " → ".join(layers)


def suggest_architecture(features: int, classes: int = 0, rows: int | None = None) -> Architecture:
    """The usual starting point: one input per feature, one output per class, one hidden layer.

    The hidden layer is a power of two about twice as wide as the input, between 16 and 128; with
    few rows at most one unit for every row.

    Args:
        features: of each sample.
        classes: to tell apart; 0 for a regression, which has one output.
        rows: samples to learn from, if known.

    >>> suggest_architecture(4, 3)
    Architecture(sizes=[4, 16, 3], activations=['relu'], dropout=0.0,
        reason='4 features, 3 classes, one hidden layer about twice as wide as the input')
    """
    wide = 1 << math.ceil(math.log2(2 * max(1, features)))
    hidden = min(max(wide, NARROWEST), WIDEST)
    if rows is not None:
        hidden = max(2, min(hidden, rows))
    outputs = f"{classes} classes" if classes else "one number"
    reason = f"{features} features, {outputs}, one hidden layer about twice as wide as the input"
    return Architecture([features, hidden, classes or 1], ["relu"], 0.0, reason)


def chosen_architecture(
    suggested: Architecture,
    hidden: Sequence[int] | None,
    activations: Sequence[str],
    dropout: float,
) -> Architecture:
    """The suggestion with the user's choices in it.

    Raises:
        CommandError: an unknown activation, or another number of them than hidden layers.
    """
    sizes = [suggested.sizes[0], *(hidden or ()), suggested.sizes[-1]]
    reason = "as asked for"
    if hidden is None:
        sizes, reason = suggested.sizes, suggested.reason
    n_hidden = len(sizes) - 2
    for name in activations:
        if name not in ACTIVATIONS:
            raise CommandError(
                f"activation {name!r} is not known; there are {', '.join(ACTIVATIONS)}."
            )
    named = list(activations) or ["relu"]
    if len(named) == 1:
        named = named * n_hidden
    if len(named) != n_hidden:
        raise CommandError(
            f"{len(named)} activations for {n_hidden} hidden layers; give one for all, or one each."
        )
    return Architecture(sizes, named, dropout, reason)


def build(architecture: dict[str, Any]) -> nn.Sequential:
    """The network with fresh weights.

    >>> build({"sizes": [2, 3, 1], "activations": ["tanh"], "dropout": 0.0})
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
      (2): Linear(in_features=3, out_features=1, bias=True)
    )
    """
    sizes, dropout = architecture["sizes"], architecture["dropout"]
    layers: list[nn.Module] = []
    for inputs, outputs, name in zip(sizes, sizes[1:], architecture["activations"], strict=False):
        layers += [nn.Linear(inputs, outputs), as_activation(name)]
        if dropout:
            layers.append(nn.Dropout(dropout))
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


def parameter_count(network: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
