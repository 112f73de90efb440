"""Cross entropy of a linear map, in one call."""

from __future__ import annotations

from typing import Any

from backlit.core.op import op
from backlit.core.tensor import Tensor
from backlit.ops.functional import linear
from backlit.ops.loss import cross_entropy


@op(name="nn.functional.linear_cross_entropy")
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """`cross_entropy` of the scores x Wᵀ + b; ``options``, about memory, change nothing here.

    Shapes: x (*, in), W (C, in) or (C, …, in), b (C,); the scores are (*, C, …).

    >>> import backlit
    >>> x, w = backlit.zeros(1, 3), backlit.ones(10, 3)
    >>> round(linear_cross_entropy(x, w, backlit.tensor([3])).item(), 4)
    2.3026
    """
    sizes = tuple(linear_weight.shape[:-1])  # the classes, and what has a class each
    rows = linear_weight.reshape(-1, linear_weight.shape[-1])
    bias = None
    if linear_bias is not None:
        lead = tuple(linear_bias.shape) + (1,) * (len(sizes) - linear_bias.ndim)
        bias = linear_bias.reshape(lead).expand(sizes).reshape(-1)
    scores = linear(input, rows, bias)
    return cross_entropy(
        scores.reshape(*input.shape[:-1], *sizes),
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
