"""Distances between vectors, and their similarity."""

from __future__ import annotations

import numpy as np

from backlit.core.dtypes import int64
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.registry import PUBLIC
from backlit.core.size import broadcast, wrap_dim
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.comparison import where_card
from backlit.ops.linalg_norm import vector_norm_card
from backlit.ops.reduce import sum_card
from backlit.ops.statistics import root_card

_MATMUL_FROM = 25  # more vectors than this on a side: Euclidean distances by one matrix product


def p_norm(x: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """``(Σ |x|ᵖ)^(1/p)`` over ``dims``; its gradient is 0 where the norm has none."""
    found: Tensor = vector_norm_card(x, p=float(p), dims=dims, keepdim=keepdim)
    return found


@op
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The ``p``-norm of the difference.

    >>> backlit.dist(backlit.tensor([1.0, 2.0]), backlit.tensor([4.0, 6.0]))
    tensor(5.)
    """
    away = input - other
    return p_norm(away, float(p), tuple(range(away.ndim)), False)


@op(inplace=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The slices along ``dim``, those of a ``p``-norm above ``maxnorm`` scaled down to it.

    >>> backlit.tensor([[3.0, 4.0], [0.3, 0.4]]).renorm(2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    if p <= 0:
        raise ArgumentError(f"renorm: non-positive-norm not supported, got p = {p}.")
    if input.ndim < 2:
        raise ShapeError(
            f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions; unsqueeze it "
            "first."
        )
    if maxnorm < 0:
        raise ArgumentError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}.")
    d = wrap_dim(dim, input.ndim, "renorm")
    sizes = p_norm(input, float(p), tuple(i for i in range(input.ndim) if i != d), True)
    factors: Tensor = where_card(sizes > maxnorm, maxnorm / (sizes + 1e-7), 1.0)
    return input * factors


# -- distances between sets of vectors ------------------------------------------------------------


@op(method=False)
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The ``p``-distance of every row of ``x1`` to every row of ``x2``.

    Shapes: x1 (*, N, D), x2 (*, M, D) → (*, N, M).

    >>> backlit.cdist(backlit.tensor([[0.0, 0.0]]), backlit.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    _check_cdist(x1, x2, p)
    many = x1.shape[-2] > _MATMUL_FROM or x2.shape[-2] > _MATMUL_FROM
    product = compute_mode == "use_mm_for_euclid_dist" or (
        many and compute_mode in (None, "use_mm_for_euclid_dist_if_necessary")
    )
    if p == 2 and product and x1.shape[-1]:
        squares = (x1 * x1).sum(-1, True) + (x2 * x2).sum(-1, True).transpose(-2, -1)
        products = x1 @ x2.transpose(-2, -1)
        found: Tensor = root_card((squares - 2 * products).clamp(min=0))
        return found
    away = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    return p_norm(away, float(p), (away.ndim - 1,), False)


def _check_cdist(x1: Tensor, x2: Tensor, p: float) -> None:
    if x1.ndim < 2 or x2.ndim < 2:
        raise ShapeError(
            "cdist only supports at least 2D tensors: X1 and X2 have "
            f"{x1.ndim} and {x2.ndim} dimensions; a single vector is x.unsqueeze(0)."
        )
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            "cdist: X1 and X2 must have the same number of columns. "
            f"X1: {x1.shape[-1]} X2: {x2.shape[-1]}."
        )
    for x in (x1, x2):
        if not x.dtype.is_floating_point:
            raise DtypeError(f"cdist only supports floating-point dtypes, got {x.dtype.name}.")
    if p < 0:
        raise ArgumentError(f"cdist only supports non-negative p values, got {p}.")
    broadcast("cdist", tuple(x1.shape[:-2]), tuple(x2.shape[:-2]))


@op(name="nn.functional.pdist")
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The ``p``-distance of every pair of rows, in the order (0, 1), (0, 2) … (1, 2) …

    >>> backlit.pdist(backlit.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    if input.ndim != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {input.ndim}D.")
    if p < 0:
        raise ArgumentError(f"pdist only supports non-negative p values, got {p}.")
    first, second = np.triu_indices(input.shape[0], 1)
    i, j = (local.era.constant(k, int64) for k in (first, second))
    return p_norm(input.index_select(0, i) - input.index_select(0, j), float(p), (1,), False)


PUBLIC["pdist"] = pdist


# -- similarity -----------------------------------------------------------------------------------


@op(name="nn.functional.cosine_similarity")
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x₁·x₂ / (max(‖x₁‖, ε) max(‖x₂‖, ε))`` along ``dim``.

    >>> backlit.cosine_similarity(backlit.tensor([[1.0, 1.0]]), backlit.tensor([[2.0, 0.0]]))
    tensor([0.7071])
    """
    shape = broadcast("cosine_similarity", tuple(x1.shape), tuple(x2.shape))
    d = wrap_dim(dim, len(shape), "cosine_similarity")
    dims = (d,) if shape else ()
    a, b = (
        x.expand(shape) / p_norm(x.expand(shape), 2, dims, True).clamp(min=eps) for x in (x1, x2)
    )
    found: Tensor = sum_card(a * b, dims=dims, keepdim=False)
    return found


PUBLIC["cosine_similarity"] = cosine_similarity


@op(name="nn.functional.pairwise_distance")
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The ``p``-norm of ``x₁ - x₂ + ε`` along the last dimension.

    >>> x, y = backlit.tensor([3.0, 0.0]), backlit.tensor([0.0, 4.0])
    >>> backlit.pairwise_distance(x, y)
    tensor(5.)
    """
    away = x1 - x2 + eps
    dims = (away.ndim - 1,) if away.ndim else ()
    return p_norm(away, float(p), dims, keepdim)


PUBLIC["pairwise_distance"] = pairwise_distance
