"""Distances and similarities between vectors, as modules."""

from __future__ import annotations

from backlit.core.tensor import Tensor
from backlit.nn import functional as F
from backlit.nn.module import Module


class PairwiseDistance(Module):
    """‖x₁ - x₂ + ε‖_p along the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """x₁ᵀx₂ / (‖x₁‖ ‖x₂‖) along ``dim``.

    >>> from backlit import nn
    >>> nn.CosineSimilarity(dim=0)(backlit.tensor([1.0, 0.0]), backlit.tensor([0.0, 1.0])).item()
    0.0
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


__all__ = ["CosineSimilarity", "PairwiseDistance"]
