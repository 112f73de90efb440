"""All parameters of a model as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other; gradients flow through it.

    >>> from backlit import nn
    >>> nn.utils.parameters_to_vector(nn.Linear(2, 3).parameters()).shape
    Size([9])
    """
    found: Tensor = PUBLIC["cat"]([p.reshape(-1) for p in parameters])
    return found


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give parameters the elements of ``vec``, in the order of `parameters_to_vector`."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        n = p.numel()
        p.data = vec[start : start + n].reshape(tuple(p.shape)).detach()
        start += n


__all__ = ["parameters_to_vector", "vector_to_parameters"]
