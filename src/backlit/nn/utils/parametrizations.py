"""Ready-made parametrizations."""

from __future__ import annotations

from backlit.core.tensor import Tensor
from backlit.nn.module import Module
from backlit.nn.utils.parametrize import register_parametrization


class _WeightNorm(Module):
    """w = g v / ‖v‖, the norm over all dimensions but ``dim``."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def norm(self, v: Tensor) -> Tensor:
        """‖v‖ for each index of ``dim``, with the other dimensions of size 1."""
        if self.dim is None or self.dim == -1:
            return v.square().sum().sqrt()
        others = [d for d in range(v.ndim) if d != self.dim % v.ndim]
        return (v.square().sum(others, keepdim=True) if others else v.square()).sqrt()

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / self.norm(weight_v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """g and v of a given w: its length, and itself."""
        return self.norm(weight), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn length and direction of weights separately (Salimans and Kingma, 2016).

    >>> from backlit import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> [(name, tuple(p.shape)) for name, p in layer.named_parameters()][1:]
    [('parametrizations.weight.original0', (2, 1)), ('parametrizations.weight.original1', (2, 3))]
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


__all__ = ["weight_norm"]
