"""What the command line's options make of the suggested architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backlit import nn
from backlit.cli.errors import CommandError
from backlit.nn import Architecture

# Activations that need no arguments.
ACTIVATIONS = (
    "celu", "elu", "gelu", "hardswish", "hardtanh", "identity", "leaky_relu", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
)  # fmt: skip


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
    """The network with fresh weights, from the values of a model file."""
    return Architecture(**architecture).build()


def parameter_count(network: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
