"""Dropout: elements, channels and features zeroed at random."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.dtypes import float32, float64
from backlit.core.inplace import rebind
from backlit.core.op import op, plain
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator, default_generator
from backlit.ops.random import uniform_card


@op(name="_dropout", method=False)
def _dropout(
    input: Tensor, seed: Number, offset: Number, p: float, mask_shape: Any, scale: bool
) -> Tensor:
    wide = float64 if input.dtype is float64 else float32
    keep = uniform_card(seed, offset, shape=tuple(mask_shape), dtype=wide) >= p
    factor = 1 / (1 - p) if scale and p < 1 else 1.0
    return PUBLIC["where"](keep, input * factor, 0.0) if p < 1 else input * 0.0


def _check_probability(p: float, name: str) -> None:
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name}: dropout probability has to be between 0 and 1, but got {p}.")


def drop(
    input: Tensor, p: float, mask_shape: tuple[int, ...], generator: Generator | None = None
) -> Tensor:
    """Zero the elements of ``input`` with probability ``p``, and scale the rest by 1/(1 - p)."""
    seed, offset = (generator or default_generator).take(math.prod(mask_shape))
    return _dropout(input, seed, offset, float(p), tuple(mask_shape), True)


@plain("nn.functional.dropout", method=False)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements zeroed with probability ``p`` and the others scaled by 1/(1 - p) (Srivastava et
    al., 2014).

    >>> import backlit
    >>> backlit.nn.functional.dropout(backlit.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    _check_probability(p, "dropout")
    made = drop(input, p, tuple(input.shape)) if training and p else input
    return rebind(input, made, "dropout_") if inplace and made is not input else made


def _channels(name: str, spatial: int) -> Any:
    def call(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        _check_probability(p, name)
        if not training or not p:
            return input
        batched = input.ndim == spatial + 2
        lead = tuple(input.shape[: 2 if batched else 1])
        made = drop(input, p, lead + (1,) * (input.ndim - len(lead)))
        return rebind(input, made, name + "_") if inplace else made

    call.__name__ = name
    call.__doc__ = (
        f"`dropout` of whole channels of {spatial}-dimensional maps (Tompson et al., 2015)."
    )
    return plain("nn.functional." + name, method=False)(call)


dropout1d = _channels("dropout1d", 1)
dropout2d = _channels("dropout2d", 2)
dropout3d = _channels("dropout3d", 3)


@op(name="_alpha_dropout", method=False)
def _alpha_dropout(
    input: Tensor, seed: Number, offset: Number, p: float, mask_shape: Any
) -> Tensor:
    alpha = -1.7580993408473766  # -λα of SELU (Klambauer et al., 2017)
    wide = float64 if input.dtype is float64 else float32
    keep = uniform_card(seed, offset, shape=tuple(mask_shape), dtype=wide) >= p
    a = 1 / math.sqrt((alpha * alpha * p + 1) * (1 - p)) if p < 1 else 0.0
    return PUBLIC["where"](keep, input, alpha) * a + (-a * alpha * p)


def _alpha(name: str, feature: bool) -> Any:
    def call(
        input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
    ) -> Tensor:
        _check_probability(p, name)
        if not training or not p:
            return input
        shape = tuple(input.shape[:2]) + (1,) * (input.ndim - 2) if feature else tuple(input.shape)
        seed, offset = default_generator.take(math.prod(shape))
        made = _alpha_dropout(input, seed, offset, float(p), shape)
        return rebind(input, made, name + "_") if inplace else made

    call.__name__ = name
    call.__doc__ = "Dropout that keeps mean and variance of SELU networks (Klambauer et al., 2017)."
    return plain("nn.functional." + name, method=False)(call)


alpha_dropout = _alpha("alpha_dropout", False)
feature_alpha_dropout = _alpha("feature_alpha_dropout", True)
