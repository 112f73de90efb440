"""Losses that ask scores or distances to keep a margin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.dtypes import int64
from backlit.core.era import local
from backlit.core.op import op, plain
from backlit.core.registry import PUBLIC
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.functional import take_rows_card
from backlit.ops.loss import _check_classes, pick_card, reduced, reduction_of


@op(name="nn.functional.hinge_embedding_loss")
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where y = 1, max(0, margin - x) where y = -1."""
    reduction = reduction_of("hinge_embedding_loss", size_average, reduce, reduction)
    far = (margin - input).clamp(min=0).where(target != 1, 0)
    near = input.where(target != -1, 0)
    return reduced(far + near, reduction)


@op(name="nn.functional.margin_ranking_loss")
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -y (x₁ - x₂) + margin): x₁ should rank above x₂ where y = 1, below where y = -1."""
    reduction = reduction_of("margin_ranking_loss", size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            "margin_ranking_loss: All input tensors should have same dimension but got sizes: "
            "input1: "
            f"{tuple(input1.shape)}, input2: {tuple(input2.shape)}, target: {tuple(target.shape)}."
        )
    return reduced((margin - target * (input1 - input2)).clamp(min=0), reduction)


@op(name="nn.functional.soft_margin_loss")
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """ln(1 + exp(-y x)) for targets y = ±1."""
    reduction = reduction_of("soft_margin_loss", size_average, reduce, reduction)
    broadcast("soft_margin_loss", tuple(input.shape), tuple(target.shape))
    return reduced(-PUBLIC["nn.functional.logsigmoid"](target * input), reduction)


@op(name="nn.functional.multi_margin_loss")
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ_{j≠y} max(0, margin - x_y + x_j)ᵖ / C for class y (Crammer and Singer 2001)."""
    name = "multi_margin_loss"
    reduction = reduction_of(name, size_average, reduce, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"{name}: only p == 1 and p == 2 supported, got {p}.")
    if input.ndim > 2 or (input.ndim and not input.shape[-1]):
        raise ShapeError(
            f"{name}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}."
        )
    x = input if input.ndim == 2 else input.reshape(1, -1)
    y = target if input.ndim == 2 else target.reshape(-1)
    _check_classes(name, x, y, weight)
    chosen = pick_card(x, y, dim=1, ignore=-1).unsqueeze(1)
    z = (margin - chosen + x).clamp(min=0)
    if p == 2:
        z = z.square()
    if weight is not None:
        z = z * take_rows_card(weight, y).unsqueeze(1)
    classes: Tensor = local.era.constant(np.arange(x.shape[1]), int64)
    loss = z.where(classes != y.unsqueeze(1), 0).sum(1) / x.shape[1]
    if reduction == "none":
        found: Tensor = loss.reshape(tuple(target.shape))
        return found
    return reduced(loss, reduction)


@op(name="nn.functional.multilabel_margin_loss")
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ max(0, 1 - (x_i - x_j)) / C over target classes i and the other classes j.

    Each row of ``target`` lists class indices; the first negative one ends the list.
    """
    name = "multilabel_margin_loss"
    reduction = reduction_of(name, size_average, reduce, reduction)
    if input.ndim > 2 or tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            f"{name}: inconsistent target size: {list(target.shape)} for input of size: "
            f"{list(input.shape)}; both must be (C,) or (N, C)."
        )
    if target.dtype is not int64:
        raise DtypeError(f"{name}: expected scalar type Long but found {target.dtype.name}.")
    c = input.shape[-1] if input.ndim else 1
    x, y = input.reshape(-1, c), target.reshape(-1, c)
    listed = (y >= 0).to(int64).cumprod(1)  # 1 before the list's end
    index = y * listed
    classes: Tensor = local.era.constant(np.arange(c), int64)
    hits = (index.unsqueeze(2) == classes) & (listed.unsqueeze(2) == 1)  # (N, place, class)
    others = (~hits.any(1)).to(x.dtype).unsqueeze(1)
    chosen = x.gather(1, index).unsqueeze(2)
    z = (1 - chosen + x.unsqueeze(1)).clamp(min=0)
    loss = (z * listed.to(x.dtype).unsqueeze(2) * others).sum((1, 2)) / c
    if reduction == "none":
        found: Tensor = loss.reshape(tuple(input.shape[:-1]))
        return found
    return reduced(loss, reduction)


@op(name="nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of σ(x) with targets 0 or 1, averaged over the classes."""
    reduction = reduction_of("multilabel_soft_margin_loss", size_average, reduce, reduction)
    broadcast("multilabel_soft_margin_loss", tuple(input.shape), tuple(target.shape))
    logsigmoid = PUBLIC["nn.functional.logsigmoid"]
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.mean(-1), reduction)


# -- embeddings ------------------------------------------------------------------------------------


@op(name="nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x₁, x₂) where y = 1, max(0, cos(x₁, x₂) - margin) where y = -1."""
    name = "cosine_embedding_loss"
    reduction = reduction_of(name, size_average, reduce, reduction)
    if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != input1.ndim:
        raise ShapeError(
            f"{name}: expects inputs (N, D) with a target (N,), or (D,) with (), got input1 "
            f"{tuple(input1.shape)}, input2 {tuple(input2.shape)} and target {tuple(target.shape)}."
        )
    eps = 1e-12
    along = (input1 * input2).sum(-1)
    lengths = (input1.square().sum(-1) + eps) * (input2.square().sum(-1) + eps)
    cosine = along / lengths.sqrt()
    near = (1 - cosine).where(target == 1, 0)
    far = (cosine - margin).clamp(min=0).where(target == -1, 0)
    return reduced(near + far, reduction)


def _triplet(
    name: str, a: Tensor, p: Tensor, n: Tensor, distance: Any, margin: float, swap: bool
) -> Tensor:
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = PUBLIC["minimum"](far, distance(p, n))
    found: Tensor = (near - far + margin).clamp(min=0)
    return found


@op(name="nn.functional.triplet_margin_loss")
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, ‖a - p‖ - ‖a - n‖ + margin); ``swap`` uses ‖p - n‖ where that is smaller."""
    name = "triplet_margin_loss"
    reduction = reduction_of(name, size_average, reduce, reduction)
    if margin <= 0:
        raise ArgumentError(f"{name}: margin must be greater than 0, got {margin}.")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            f"{name}: The anchor, positive, and negative tensors are expected to have the same "
            "number "
            f"of dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and "
            "negative "
            f"{negative.ndim}D inputs."
        )

    def distance(x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = PUBLIC["nn.functional.pairwise_distance"](x, y, p, eps)
        return found

    return reduced(_triplet(name, anchor, positive, negative, distance, margin, swap), reduction)


@plain("nn.functional.triplet_margin_with_distance_loss", method=False)
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with the caller's own distance between rows."""
    name = "triplet_margin_with_distance_loss"
    reduction = reduction_of(name, None, None, reduction)
    if margin <= 0:
        raise ArgumentError(f"{name}: margin must be greater than 0, got {margin}.")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            f"{name}: The anchor, positive, and negative tensors are expected to have the same "
            "number "
            f"of dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and "
            "negative "
            f"{negative.ndim}D inputs."
        )
    distance = distance_function or PUBLIC["nn.functional.pairwise_distance"]
    return reduced(_triplet(name, anchor, positive, negative, distance, margin, swap), reduction)
