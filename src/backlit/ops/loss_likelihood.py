"""Negative log-likelihoods of counts and of normal variables."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.op import op
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError
from backlit.ops.loss import reduced, reduction_of


@op(name="nn.functional.poisson_nll_loss")
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """eˣ - y x (or x - y ln x): the negative log-likelihood of counts y at the rate eˣ (or x).

    Args:
        full: add Stirling's y ln y - y + ln(2πy)/2 for targets above 1.
    """
    reduction = reduction_of("poisson_nll_loss", size_average, reduce, reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        large = target > 1
        safe = target.where(large, 1)
        stirling = safe * safe.log() - safe + (safe * (2 * math.pi)).log() * 0.5
        loss = loss + stirling.where(large, 0)
    return reduced(loss, reduction)


def _shared_along_one(shape: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """Whether ``own`` is ``shape`` but for one dimension of size 1."""
    differing = [m for n, m in zip(shape, own, strict=False) if n != m]
    return len(shape) == len(own) and differing == [1]


@op(name="nn.functional.gaussian_nll_loss")
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln v + (x - y)²/v)/2: the negative log-likelihood of y under the normal N(x, v).

    Args:
        var: the variance v: a number, or a tensor as x but perhaps without its last dimension,
            or with one dimension of size 1.
        full: add the constant ln(2π)/2.
        eps: v counts as at least this much (its gradient does not notice).
    """
    reduction = reduction_of("gaussian_nll_loss", None, None, reduction)
    if not isinstance(var, Tensor):
        if var < 0:
            raise ArgumentError(f"gaussian_nll_loss: var has negative entry/entries: {var}.")
        v = input * 0 + float(var)
    else:
        v = var
        if tuple(v.shape) != tuple(input.shape):
            if tuple(input.shape[:-1]) == tuple(v.shape):
                v = v.unsqueeze(-1)
            elif not _shared_along_one(tuple(input.shape), tuple(v.shape)):
                raise ShapeError(
                    f"gaussian_nll_loss: var is of incorrect size {tuple(v.shape)} for input "
                    f"{tuple(input.shape)}."
                )
    v = v + (v.clamp(min=eps) - v).detach()
    loss = (v.log() + (input - target).square() / v) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
