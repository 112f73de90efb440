"""Regularizers: penalties on weights, to be added to any loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backlit.core.create import from_array
from backlit.core.tensor import Tensor
from backlit.nn import Module


def l2(model: Module, bias: bool = False) -> Tensor:
    """R(W) = Σ W², over all weights of a model, and over its biases too if `bias`.

    The total loss is data loss + λ R: `loss + 1e-4 * l2(model)`, or `fit(penalty=lambda model:
    1e-4 * l2(model))`, which reports both parts. λ/2m with m samples is the convention of logistic
    regression. SGD's weight_decay=a equals a penalty of a/2 · l2(model, bias=True).

    >>> from backlit import nn
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = backlit.tensor([[3.0, 4.0]])
    >>> l2(layer).item()
    25.0
    """
    return total([w.square().sum() for w in weights(model, bias)])


def l1(model: Module, bias: bool = False) -> Tensor:
    """R(W) = Σ |W|, over all weights of a model, and over its biases too if `bias`.

    >>> from backlit import nn
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = backlit.tensor([[3.0, -4.0]])
    >>> l1(layer).item()
    7.0
    """
    return total([w.abs().sum() for w in weights(model, bias)])


def weights(model: Module, bias: bool) -> Iterator[Tensor]:
    """The learned parameters; without `bias` not those named bias."""
    for name, p in model.named_parameters():
        if p.requires_grad and (bias or not name.rpartition(".")[2].startswith("bias")):
            yield p


def total(terms: list[Tensor]) -> Tensor:
    """The sum of the terms; zero if there are none."""
    if not terms:
        return from_array(np.zeros((), np.float32))
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result
