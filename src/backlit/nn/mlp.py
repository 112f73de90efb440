"""Fully connected networks from a list of sizes, with every layer's output in sight."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from backlit.core.create import from_array
from backlit.core.dtypes import dtype
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.nn import activation as activations
from backlit.nn.container import ModuleList, Sequential
from backlit.nn.linear import Identity, Linear
from backlit.nn.module import Module
from backlit.nn.parameter import Parameter
from backlit.nn.shortcut import repeatable


class Trace(NamedTuple):
    """What a forward pass computes: z before and h after activations; h[0] is the input."""

    z: list[Tensor]
    h: list[Tensor]


@repeatable
class MLP(Module):
    """A multilayer perceptron: h_l = f_l(W_l h_{l-1} + b_l).

    Args:
        sizes: the architecture d = [inputs, hidden …, outputs].
        activation: of the hidden layers: a name ("relu"), a module class or object, or a list with
            one per hidden layer, or one per layer.
        output_activation: of the last layer; none if None.
        bias: whether layers have biases.

    >>> from backlit import nn
    >>> model = nn.MLP([2, 10, 3], activation="sigmoid")
    >>> model.architecture, sum(p.numel() for p in model.parameters())
    ([2, 10, 3], 63)
    >>> [tuple(h.shape) for h in model.trace(backlit.zeros(5, 2)).h]
    [(5, 2), (5, 10), (5, 3)]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "relu",
        output_activation: Any = None,
        bias: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = [int(n) for n in sizes]
        if len(sizes) < 2 or min(sizes) < 1:
            raise ArgumentError(
                f"MLP: the architecture {sizes} must list at least the numbers of inputs and of "
                "outputs, all positive."
            )
        n_hidden = len(sizes) - 2
        chosen = list(activation) if isinstance(activation, (list, tuple)) else None
        if chosen is None:
            chosen = [activation] * n_hidden
        if len(chosen) == n_hidden:
            chosen.append(output_activation)
        if len(chosen) != n_hidden + 1:
            raise ArgumentError(
                f"MLP: {len(chosen)} activations for {n_hidden} hidden layers; give one each, and "
                "optionally one more for the output."
            )
        pairs = itertools.pairwise(sizes)
        self.layers = ModuleList(Linear(m, n, bias, device, dtype) for m, n in pairs)
        self.activations = ModuleList(as_activation(a) for a in chosen)

    @property
    def architecture(self) -> list[int]:
        """The sizes it was made with."""
        layers = list(self.layers)
        return [layers[0].in_features, *(layer.out_features for layer in layers)]

    def forward(self, input: Tensor) -> Tensor:
        for layer, f in zip(self.layers, self.activations, strict=True):
            input = f(layer(input))
        return input

    def trace(self, input: Tensor) -> Trace:
        """Run forward, keeping the output of every layer."""
        z: list[Tensor] = []
        h = [input]
        for layer, f in zip(self.layers, self.activations, strict=True):
            z.append(layer(h[-1]))
            h.append(f(z[-1]))
        return Trace(z, h)

    def augmented(self) -> list[Tensor]:
        """The weights as W^(l), (d_{l-1} + 1) × d_l, whose first row holds the biases."""
        found: list[Tensor] = []
        for layer in self.layers:
            w = realize(layer.weight)
            b = np.zeros(len(w), w.dtype) if layer.bias is None else realize(layer.bias)
            found.append(from_array(np.concatenate([b[None], w.T])))
        return found


_NAMES = {name.lower(): getattr(activations, name) for name in activations.__all__} | {
    "identity": Identity,
    "linear": Identity,
    "logistic": activations.Sigmoid,
}


def as_activation(chosen: Any) -> Module:
    """A module for an activation given by name, class or object; `Identity` for None."""
    if chosen is None:
        return Identity()
    if isinstance(chosen, Module):
        return chosen
    if inspect.isclass(chosen) and issubclass(chosen, Module):
        return chosen()
    key = str(chosen).lower().replace("_", "")
    if key not in _NAMES:
        raise ArgumentError(
            f"activation {chosen!r} is not known; give a module, or one of "
            f"{', '.join(sorted(_NAMES))}."
        )
    made: Module = _NAMES[key]()
    return made


def collapse_linear(model: Module) -> Linear:
    """The one linear layer that equals a stack of linear layers: W₂(W₁x + b₁) + b₂ = W₃x + b₃.

    Args:
        model: a `Linear`, or a `Sequential` or `MLP` of linear layers without activations.

    >>> from backlit import nn
    >>> nn.collapse_linear(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2)))
    Linear(in_features=3, out_features=2, bias=True)
    """
    layers = [m for m in _steps(model) if not isinstance(m, Identity)]
    odd = next((m for m in layers if not isinstance(m, Linear)), None)
    if odd is not None or not layers:
        raise ArgumentError(
            f"collapse_linear: {odd if odd is not None else 'an empty model'} is not linear, so "
            "the stack is not one linear map."
        )
    first = layers[0]
    d = first.weight.dtype
    weight = np.eye(first.in_features)
    bias = np.zeros(first.in_features)
    for layer in layers:
        w = realize(layer.weight).astype(np.float64)
        weight, bias = w @ weight, w @ bias
        if layer.bias is not None:
            bias = bias + realize(layer.bias).astype(np.float64)
    has_bias = any(layer.bias is not None for layer in layers)
    made = Linear(first.in_features, layers[-1].out_features, has_bias, dtype=d)
    made.weight = Parameter(from_array(weight.astype(d.numpy)))
    if has_bias:
        made.bias = Parameter(from_array(bias.astype(d.numpy)))
    return made


def _steps(model: Module) -> list[Any]:
    """The modules that a stack applies, in order."""
    if isinstance(model, Sequential):
        return [step for part in model for step in _steps(part)]
    if isinstance(model, MLP):
        pairs = zip(model.layers, model.activations, strict=True)
        return [step for pair in pairs for step in pair]
    return [model]


__all__ = ["MLP", "Trace", "as_activation", "collapse_linear"]
