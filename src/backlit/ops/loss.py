"""Losses on values and on probabilities.

Cross entropy is one `log_softmax` and one `pick`; its gradient is softmax minus one-hot.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from backlit.core.dtypes import int64, uint8
from backlit.core.op import op
from backlit.core.primitive import Primitive, Spec, elementwise, primitive
from backlit.core.registry import PUBLIC
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.functional import take_rows_card
from backlit.ops.softmax import log_softmax_card


def reduction_of(name: str, size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction, which `size_average` and `reduce` (from before 2018) override."""
    if size_average is not None or reduce is not None:
        averaged = size_average is None or size_average
        reduced = reduce is None or reduce
        return "none" if not reduced else "mean" if averaged else "sum"
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(
            f"{name}: {reduction} is not a valid value for reduction; use 'none', 'mean' or 'sum'."
        )
    return reduction


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The losses themselves, their mean, or their sum."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def _warn_broadcast(name: str, input: Tensor, target: Tensor) -> None:
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{name}: Using a target size ({tuple(target.shape)}) that is different to the input "
            "size "
            f"({tuple(input.shape)}). This will likely lead to incorrect results due to "
            "broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=2,
        )


def _weighted(name: str, loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Losses times weights; their mean divides by the sum of the weights."""
    if weight is None:
        return reduced(loss, reduction)
    if tuple(weight.shape) != tuple(loss.shape):
        raise ShapeError(
            f"{name}: Inputs and weights must have the same size, got {tuple(loss.shape)} and "
            f"{tuple(weight.shape)}."
        )
    found = loss * weight
    return found.sum() / weight.sum() if reduction == "mean" else reduced(found, reduction)


# -- distances from a target -----------------------------------------------------------------------


@op(name="nn.functional.mse_loss")
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared error (x - y)², averaged unless `reduction` says otherwise.

    >>> import backlit.nn.functional as F
    >>> F.mse_loss(backlit.tensor([1.0, 2.0]), backlit.tensor([1.0, 4.0])).item()
    2.0
    """
    reduction = reduction_of("mse_loss", size_average, reduce, reduction)
    _warn_broadcast("mse_loss", input, target)
    return _weighted("mse_loss", (input - target).square(), weight, reduction)


@op(name="nn.functional.l1_loss")
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute error |x - y|; its subgradient at 0 is 0."""
    reduction = reduction_of("l1_loss", size_average, reduce, reduction)
    _warn_broadcast("l1_loss", input, target)
    return _weighted("l1_loss", (input - target).abs(), weight, reduction)


@op(name="nn.functional.smooth_l1_loss")
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(x - y)²/2β where |x - y| < β, else |x - y| - β/2 (Girshick 2015)."""
    reduction = reduction_of("smooth_l1_loss", size_average, reduce, reduction)
    _warn_broadcast("smooth_l1_loss", input, target)
    if beta < 0:
        raise ArgumentError(
            f"smooth_l1_loss: does not support negative values for beta, got {beta}."
        )
    difference = input - target
    size = difference.abs()
    if beta == 0:
        return reduced(size, reduction)
    near = difference.square() * (0.5 / beta)
    return reduced(near.where(size < beta, size - 0.5 * beta), reduction)


@op(name="nn.functional.huber_loss")
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """(x - y)²/2 where |x - y| ≤ δ, else δ (|x - y| - δ/2) (Huber 1964)."""
    reduction = reduction_of("huber_loss", None, None, reduction)
    _warn_broadcast("huber_loss", input, target)
    if delta <= 0:
        raise ArgumentError(
            f"huber_loss: does not support non-positive values for delta, got {delta}."
        )
    difference = input - target
    size = difference.abs()
    near = difference.square() * 0.5
    far = (size - 0.5 * delta) * delta
    return _weighted("huber_loss", near.where(size <= delta, far), weight, reduction)


# -- classes ---------------------------------------------------------------------------------------


def _pick_shape(x: Value, index: Value, dim: int, ignore: int) -> Spec:
    return (*x.shape[:dim], *x.shape[dim + 1 :]), x.dtype


def _place_shape(g: Value, index: Value, n: int, dim: int, ignore: int) -> Spec:
    return (*g.shape[:dim], n, *g.shape[dim:]), g.dtype


pick_card = primitive(
    "pick",
    "x index",
    shape=_pick_shape,
    numpy="ref.pick({x}, {index}, {dim}, {ignore})",
    vjp=(
        lambda g, index, x_shape, dim, ignore: place_card(
            g, index, n=x_shape[dim], dim=dim, ignore=ignore
        ),
        None,
    ),
    maths="x[…, index[…], …]",
    local="ḡ at index",
    samples=lambda: [
        ((np.arange(6.0).reshape(2, 3), np.array([2, -100])), {"dim": 1, "ignore": -100})
    ],
)
place_card: Primitive = primitive(
    "place",
    "g index",
    shape=_place_shape,
    numpy="ref.place({g}, {index}, {n}, {dim}, {ignore})",
    vjp=(lambda g, index, dim, ignore: pick_card(g, index, dim=dim, ignore=ignore), None),
    maths="0 but for g at index",
    samples=lambda: [((np.arange(2.0), np.array([2, -100])), {"n": 3, "dim": 1, "ignore": -100})],
)


def _check_classes(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> int:
    """The dimension of the classes, once the shapes are known to fit."""
    if not input.ndim:
        raise ShapeError(
            f"{name}: input should have a dimension for the classes, got a 0-D tensor."
        )
    dim = 0 if input.ndim == 1 else 1
    expected = (*input.shape[:dim], *input.shape[dim + 1 :])
    if tuple(target.shape) != expected:
        raise ShapeError(
            f"{name}: Expected target size {list(expected)}, got {list(target.shape)}, for input "
            f"{tuple(input.shape)} with {input.shape[dim]} classes in dimension {dim}."
        )
    if target.dtype not in (int64, uint8):
        raise DtypeError(
            f"{name}: expected scalar type Long but found {target.dtype.name} for the class "
            "indices; "
            "convert the target with .long()."
        )
    if weight is not None and tuple(weight.shape) != (input.shape[dim],):
        raise ShapeError(
            f"{name}: weight tensor should be defined either for all {input.shape[dim]} classes or "
            "no "
            f"classes but got weight tensor of shape: {list(weight.shape)}."
        )
    return dim


def _class_weights(target: Tensor, weight: Tensor, ignore: int) -> Tensor:
    """The weight of each target's class; 0 where it is ignored."""
    valid = target != ignore
    found: Tensor = take_rows_card(weight, target.where(valid, 0))
    return found.where(valid, 0)


def _nll(
    scores: Tensor, target: Tensor, weight: Tensor | None, ignore: int, dim: int, reduction: str
) -> Tensor:
    """-w_y x_y for each target y; the mean divides by the sum of the weights."""
    loss = -pick_card(scores, target, dim=dim, ignore=ignore)
    if weight is None:
        if reduction != "mean":
            return reduced(loss, reduction)
        found: Tensor = loss.sum() / (target != ignore).sum().to(loss.dtype)
        return found
    weights = _class_weights(target, weight, ignore)
    loss = loss * weights
    return loss.sum() / weights.sum() if reduction == "mean" else reduced(loss, reduction)


@op(name="nn.functional.nll_loss")
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood -x_y of class y, given log-probabilities x.

    Shapes: x (C,), (N, C) or (N, C, …); y without the dimension of the classes.
    """
    reduction = reduction_of("nll_loss", size_average, reduce, reduction)
    dim = _check_classes("nll_loss", input, target, weight)
    return _nll(input, target, weight, int(ignore_index), dim, reduction)


@op(name="nn.functional.cross_entropy")
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-ln softmax(x)_y for class indices y; -Σ y ln softmax(x) for probabilities y.

    Args:
        weight: a weight for each class, (C,).
        ignore_index: a target that counts for nothing.
        label_smoothing: this much of each target is spread evenly over the classes.

    Shapes: x (C,), (N, C) or (N, C, …); y without the dimension of the classes, or as x.

    >>> import backlit.nn.functional as F
    >>> round(F.cross_entropy(backlit.zeros(1, 10), backlit.tensor([3])).item(), 4)
    2.3026
    """
    reduction = reduction_of("cross_entropy", size_average, reduce, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}."
        )
    if target.dtype.is_floating_point:
        if ignore_index >= 0:
            raise ArgumentError(
                "cross_entropy: ignore_index is not supported for floating point target, got "
                f"{ignore_index}; give class indices as integers."
            )
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    ignore = int(ignore_index)
    dim = _check_classes("cross_entropy", input, target, weight)
    scores = log_softmax_card(input, dim=dim)
    hard = _nll(scores, target, weight, ignore, dim, reduction)
    if not label_smoothing:
        return hard
    valid = target != ignore
    each = scores if weight is None else scores * _along(weight, scores, dim)
    even = (-each.sum(dim)).where(valid, 0)
    if reduction == "mean":
        total = valid.sum().to(input.dtype)
        if weight is not None:
            total = _class_weights(target, weight, ignore).sum()
        even = even.sum() / total
    elif reduction == "sum":
        even = even.sum()
    found: Tensor = hard * (1 - label_smoothing) + even * (label_smoothing / input.shape[dim])
    return found


def _along(weight: Tensor, x: Tensor, dim: int) -> Tensor:
    return weight.reshape(tuple(n if d == dim else 1 for d, n in enumerate(x.shape)))


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            "cross_entropy: Expected floating point type for target with class probabilities to "
            "be of "
            f"the input's shape {tuple(input.shape)}, got {tuple(target.shape)}; class indices "
            "must be "
            "integers."
        )
    dim = 0 if input.ndim == 1 else 1
    n = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / n
    scores = log_softmax_card(input, dim=dim)
    if weight is not None:
        scores = scores * _along(weight, scores, dim)
    loss = -(scores * target).sum(dim)
    if reduction == "mean":
        found: Tensor = (
            loss.sum() / max(math.prod(loss.shape), 1) if input.numel() else loss.sum() / 0
        )
        return found
    return reduced(loss, reduction)


# -- probabilities ---------------------------------------------------------------------------------

binary_cross_entropy_card = elementwise(
    "binary_cross_entropy",
    lambda m, x, y: (y - 1) * m.maximum(m.log1p(-x), -100) - y * m.maximum(m.log(x), -100),
    (
        lambda m, x, y: (x - y) / ((1 - x) * x).clamp(min=1e-12),
        lambda m, x: m.log1p(-x) - m.log(x),
    ),
    kinds="f",
    maths="-(y ln x + (1 - y) ln(1 - x)), logarithms cut off at -100",
    local=("(x - y)/(x (1 - x))", "ln(1 - x) - ln x"),
    samples=lambda: [(np.array([0.2, 0.5, 0.9]), np.array([0.0, 0.3, 1.0]))],
)


@op(name="nn.functional.binary_cross_entropy")
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(y ln p + (1 - y) ln(1 - p)) for probabilities p; logarithms are cut off at -100."""
    reduction = reduction_of("binary_cross_entropy", size_average, reduce, reduction)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            f"binary_cross_entropy: Using a target size ({tuple(target.shape)}) that is different "
            "to "
            f"the input size ({tuple(input.shape)}) is deprecated. Please ensure they have the "
            "same size."
        )
    if not target.dtype.is_floating_point:
        raise DtypeError(
            f"binary_cross_entropy: Found dtype {target.dtype.name} but expected "
            f"{input.dtype.name}; "
            "convert the target with .float()."
        )
    loss = binary_cross_entropy_card(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


@op(name="nn.functional.binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross entropy of σ(x), computed as (1 - y) x + ln(1 + e⁻ˣ), which does not overflow.

    Args:
        pos_weight: a factor for the positive examples' part, broadcast over x.
    """
    name = "binary_cross_entropy_with_logits"
    reduction = reduction_of(name, size_average, reduce, reduction)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            f"{name}: Target size ({tuple(target.shape)}) must be the same as input size "
            f"({tuple(input.shape)})."
        )
    soft = -PUBLIC["nn.functional.logsigmoid"](input)
    if pos_weight is not None:
        broadcast(name, tuple(pos_weight.shape), tuple(input.shape))
        soft = soft * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input + soft
    return reduced(loss if weight is None else loss * weight, reduction)


@op(name="nn.functional.kl_div")
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The Kullback–Leibler divergence y (ln y - x), where x are log-probabilities.

    Args:
        reduction: also "batchmean": the sum over the size of dimension 0, which is KL(y‖eˣ).
        log_target: whether y too is given as its logarithm.
    """
    by_batch = reduction == "batchmean"
    reduction = reduction_of("kl_div", size_average, reduce, "sum" if by_batch else reduction)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = PUBLIC["xlogy"](target, target) - target * input
    found = reduced(loss, reduction)
    return found / input.shape[0] if by_batch and input.ndim else found
