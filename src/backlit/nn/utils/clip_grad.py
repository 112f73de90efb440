"""Limiting gradients, so that one bad batch cannot throw the weights away."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from backlit.autograd import no_grad
from backlit.core.create import tensor
from backlit.core.op import op
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError


def _gradients(parameters: Any) -> list[Tensor]:
    listed: Iterable[Any] = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in listed if p.grad is not None]


@op(name="_total_norm", method=False)
def _total_norm(tensors: list[Tensor], norm_type: float) -> Tensor:
    if math.isinf(norm_type):
        largest = [t.abs().amax() for t in tensors]
        total = largest[0]
        for x in largest[1:]:
            total = total.maximum(x)
        return total
    if norm_type == 2:
        sums = [(t * t).sum() for t in tensors]
    else:
        sums = [(t.abs() ** norm_type).sum() for t in tensors]
    total = sums[0]
    for x in sums[1:]:
        total = total + x
    return total.sqrt() if norm_type == 2 else total ** (1 / norm_type)


def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """(Σ abs(x)ᵖ)^{1/p} over all elements of all tensors; p = ∞ gives the largest.

    Raises:
        ArgumentError: if it is NaN or infinite and ``error_if_nonfinite``.
    """
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not listed:
        return tensor(0.0)
    total: Tensor = _total_norm([t.detach() for t in listed], float(norm_type))
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise ArgumentError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is "
            "non-finite, so it cannot be clipped. To disable this error and scale the gradients by "
            "the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by max_norm / total_norm, if that makes them smaller."""
    with no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for g in _gradients(parameters):
            g.mul_(factor)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients so that all of them together are no longer than ``max_norm``.

    Returns:
        the length before (a tensor, computed when it is looked at).

    >>> from backlit import nn
    >>> p = nn.Parameter(backlit.zeros(2)); p.grad = backlit.tensor([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_([p], 1.0).item(), round(p.grad.square().sum().item(), 4)
    (5.0, 1.0)
    """
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    limit = float(clip_value)
    with no_grad():
        for g in _gradients(parameters):
            g.clamp_(-limit, limit)


__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]
