"""The network behind an estimator: layers, initial weights, outputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit import nn
from backlit.autograd import no_grad
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.nn.mlp import as_activation
from backlit.nn.parameter import Parameter

Array = np.ndarray[Any, np.dtype[Any]]


def initial_weights(
    sizes: Sequence[int], activations: Sequence[Any], rng: np.random.RandomState, dtype: Any
) -> tuple[list[Array], list[Array]]:
    """Weights (inputs, outputs) and biases, uniform within ±√(6 / (inputs + outputs)).

    Before sigmoid units within √(2 / …): Glorot and Bengio 2010, as scikit-learn has it.
    """
    coefs, intercepts = [], []
    for position, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        f = activations[position] if position < len(activations) else None
        factor = 2.0 if f == "logistic" else 6.0
        bound = np.sqrt(factor / (inputs + outputs))
        coefs.append(rng.uniform(-bound, bound, (inputs, outputs)).astype(dtype))
        intercepts.append(rng.uniform(-bound, bound, outputs).astype(dtype))
    return coefs, intercepts


def build(
    coefs: Sequence[Array],
    intercepts: Sequence[Array],
    activations: Sequence[Any],
    dropout: Sequence[float],
) -> nn.Sequential:
    """The network with these weights; the last layer has no activation."""
    layers: list[nn.Module] = []
    for position, (w, b) in enumerate(zip(coefs, intercepts, strict=True)):
        inputs, outputs = w.shape
        layer = nn.Linear(0, outputs)  # without inputs it draws no weights of its own
        layer.in_features = inputs
        layer.weight = Parameter(from_array(np.ascontiguousarray(w.T)))
        layer.bias = Parameter(from_array(b.copy()))
        layers.append(layer)
        if position < len(activations):
            layers.append(as_activation(activations[position]))
            if dropout[position]:
                layers.append(nn.Dropout(dropout[position]))
    return nn.Sequential(*layers)


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """The layers that have weights, in order."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def weights_of(network: nn.Module) -> tuple[list[Array], list[Array]]:
    """Copies of weights (inputs, outputs) and biases."""
    layers = linear_layers(network)
    coefs = [np.array(realize(layer.weight).T, order="C") for layer in layers]
    return coefs, [np.array(realize(layer.bias)) for layer in layers if layer.bias is not None]


def activations_of(network: nn.Module) -> list[nn.Module]:
    """What follows each hidden layer, in order."""
    return [part for part in network.children() if not isinstance(part, nn.Linear | nn.Dropout)]


def forward(
    x: Array, coefs: Sequence[Array], intercepts: Sequence[Array], activations: Sequence[nn.Module]
) -> Array:
    """The network's outputs before the last activation, in the precision of x."""
    with no_grad():
        h = from_array(np.ascontiguousarray(x))
        for position, (w, b) in enumerate(zip(coefs, intercepts, strict=True)):
            h = h @ from_array(w.astype(x.dtype)) + from_array(b.astype(x.dtype))
            if position < len(activations):
                f = activations[position]
                learned = next(f.parameters(), None)  # such as the slopes of PReLU
                own = h.dtype if learned is None else learned.dtype
                h = f(h.to(own)).to(h.dtype)
        return np.array(realize(h))
