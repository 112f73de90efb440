"""The maps of layers that learn: linear, bilinear, embedding."""

from __future__ import annotations

import functools
from math import inf, prod
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import local, realize
from backlit.core.inplace import rebind
from backlit.core.op import op, plain
from backlit.core.primitive import Primitive, Spec, primitive
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor, handle
from backlit.core.value import Value
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.linalg import product, same_dtype
from backlit.ops.movement import zeros


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The affine map x Wᵀ + b.

    Shapes: x (*, in), W (out, in) or (in,), b (out,) → (*, out).

    >>> import backlit.nn.functional as F
    >>> F.linear(backlit.ones(2, 3), backlit.ones(5, 3), backlit.ones(5)).shape
    Size([2, 5])
    """
    for name, x in (("input", input), ("weight", weight)):
        if not isinstance(x, Tensor):
            raise TypeError(f"linear(): argument '{name}' must be Tensor, not {type(x).__name__}.")
    same_dtype("linear", input, weight, "input", "weight")
    if weight.ndim not in (1, 2) or not input.ndim:
        raise ShapeError(
            f"linear: weight must be (out, in) or (in,) and input have a dimension, but weight is "
            f"{tuple(weight.shape)} and input {tuple(input.shape)}."
        )
    n = input.shape[-1]
    if n != weight.shape[-1]:
        raise ShapeError(
            f"linear: input {tuple(input.shape)} has {n} features in its last dimension, but "
            "weight "
            f"{tuple(weight.shape)} takes {weight.shape[-1]}: mat1 and mat2 shapes cannot be "
            "multiplied."
        )
    if (
        bias is not None
        and weight.ndim == 2
        and tuple(bias.shape) not in ((), (1,), (weight.shape[0],))
    ):
        raise ShapeError(
            f"linear: bias {tuple(bias.shape)} must have one element for each of the "
            f"{weight.shape[0]} outputs of weight {tuple(weight.shape)}."
        )
    x = input if input.ndim == 2 else input.reshape(prod(input.shape[:-1]), n)
    out = product(x, weight if weight.ndim == 2 else weight.reshape(1, n), False, True)
    if bias is not None:
        same_dtype("linear", input, bias, "input", "bias")
        out = out + bias
    shape = (*input.shape[:-1], *weight.shape[:-1])
    return out if tuple(out.shape) == shape else out.reshape(shape)


_recorded = op(name="nn.functional.linear")(_linear)


@functools.wraps(_linear)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # The event's key, put together here: half the time of the general way (see `record`).
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor) and isinstance(bias, Tensor)):
        return _recorded(input, weight) if bias is None else _recorded(input, weight, bias)
    era = local.era
    if input._era is not era:
        era.enter(input)
    if weight._era is not era:
        era.enter(weight)
    if bias._era is not era:
        era.enter(bias)
    child = era.here.children.get((_EVENT, input._var, weight._var, bias._var))
    if child is None:
        return _recorded(input, weight, bias)
    era.here = child
    out = handle(era, child.out)
    era.pending.append(out)
    return out


_EVENT = _recorded.op  # type: ignore[attr-defined]
linear.op = _EVENT  # type: ignore[attr-defined]
PUBLIC[_EVENT.name] = linear


@op(name="nn.functional.bilinear")
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x₁ᵀ Wₖ x₂ + bₖ for each output k.

    Shapes: x₁ (*, n), x₂ (*, m), W (k, n, m), b (k,) → (*, k).
    """
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise ShapeError(
            f"bilinear: input batch dimensions do not match: input1 {tuple(input1.shape)}, input2 "
            f"{tuple(input2.shape)}."
        )
    if weight.ndim != 3 or (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise ShapeError(
            f"bilinear: weight must be (out, {input1.shape[-1]}, {input2.shape[-1]}) for these "
            "inputs, "
            f"but it is {tuple(weight.shape)}."
        )
    k, n, m = weight.shape
    rows = prod(input1.shape[:-1])
    x, y = input1.reshape(rows, n), input2.reshape(rows, m)
    # (rows, n) (n, k m) → (rows, k, m), then the product with y summed over m
    left = product(x, weight.permute(1, 0, 2).reshape(n, k * m)).reshape(rows, k, m)
    out = product(left, y.reshape(rows, m, 1)).reshape(rows, k)
    if bias is not None:
        out = out + bias
    return out.reshape(*input1.shape[:-1], k)


# -- tables ----------------------------------------------------------------------------------------


def _take_shape(x: Value, index: Value) -> Spec:
    return (*index.shape, *x.shape[1:]), x.dtype


def _sum_rows_shape(g: Value, index: Value, n: int) -> Spec:
    return (n, *g.shape[index.ndim :]), g.dtype


take_rows_card = primitive(
    "take_rows",
    "x index",
    shape=_take_shape,
    numpy="ref.take_rows({x}, {index})",
    vjp=(lambda g, index, x_shape: sum_rows_card(g, index, n=x_shape[0]), None),
    maths="x[index]",
    local="ḡ summed by index",
    samples=lambda: [(np.arange(6.0).reshape(3, 2), np.array([[2, 0], [2, 1]]))],
)


def _rows_of(g: Tensor, index: Tensor) -> Tensor:
    found: Tensor = take_rows_card(g, index)
    return found


sum_rows_card: Primitive = primitive(
    "sum_rows",
    "g index",
    shape=_sum_rows_shape,
    numpy="ref.sum_rows({g}, {index}, {n})",
    vjp=(_rows_of, None),
    maths="the rows of g summed by index",
    samples=lambda: [((np.arange(8.0).reshape(2, 2, 2), np.array([[2, 0], [2, 1]])), {"n": 3})],
)


scale_gradient_card = primitive(
    "scale_gradient",
    "x factor",
    shape=lambda x, factor: (tuple(x.shape), x.dtype),
    numpy="{x}",
    vjp=(lambda g, factor: g * factor, None),
    maths="x, with a gradient multiplied by a factor",
    local="factor",
)


@op(name="nn.functional.embedding")
def _lookup(
    input: Tensor, weight: Tensor, padding_idx: int | None, scale_grad_by_freq: bool
) -> Tensor:
    if input.dtype.is_floating_point or input.dtype.rank == 0:
        raise DtypeError(
            "embedding: Expected tensor for argument #1 'indices' to have one of the following "
            "scalar "
            f"types: Long, Int; but got {input.dtype.name} instead."
        )
    if weight.ndim != 2:
        raise ShapeError(
            f"embedding: 'weight' must be 2-D, but its shape is {tuple(weight.shape)}."
        )
    out: Tensor = take_rows_card(weight, input)
    if padding_idx is None and not scale_grad_by_freq:
        return out
    factor = local.era.constant(1.0, weight.dtype)
    if padding_idx is not None:
        factor = factor * (input != padding_idx).to(weight.dtype)
    if scale_grad_by_freq:
        ones = zeros(tuple(input.shape), weight.dtype) + 1
        counts = sum_rows_card(ones, input, n=weight.shape[0])
        factor = factor / take_rows_card(counts, input)
    found: Tensor = scale_gradient_card(out, factor.unsqueeze(-1).expand(tuple(out.shape)))
    return found


@op(name="nn.functional.embedding")
def _renormed(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """``weight`` with the rows in ``input`` scaled down to ``max_norm``."""
    from backlit.ops.linalg_norm import vector_norm_card

    ones = zeros(tuple(input.shape), weight.dtype) + 1
    used = sum_rows_card(ones, input, n=weight.shape[0]) > 0
    norms = vector_norm_card(weight, p=norm_type, dims=(1,), keepdim=False)
    scale = (max_norm / (norms + 1e-7)).where(used & (norms > max_norm), 1.0)
    found: Tensor = weight * scale.unsqueeze(-1)
    return found


@plain("nn.functional.embedding", method=False)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` at the indices ``input``.

    Args:
        padding_idx: a row that collects no gradient.
        max_norm: rows looked up are first rescaled in place to at most this norm.
        norm_type: which norm.
        scale_grad_by_freq: divide a row's gradient by how often it occurs in ``input``.
        sparse: accepted; gradients are dense.

    >>> import backlit.nn.functional as F
    >>> F.embedding(backlit.tensor([1, 1]), backlit.tensor([[0.0], [5.0]])).tolist()
    [[5.0], [5.0]]
    """
    if padding_idx is not None:
        n = weight.shape[0]
        if not -n <= padding_idx < n:
            raise ArgumentError(
                f"embedding: Padding_idx must be within num_embeddings, got {padding_idx} for {n} "
                "rows."
            )
        padding_idx %= n
    if max_norm is not None:
        from backlit.autograd import no_grad

        with no_grad():
            rebind(weight, _renormed(input, weight, float(max_norm), float(norm_type)), "embedding")
    found: Tensor = _lookup(input, weight, padding_idx, scale_grad_by_freq)
    return found


@plain("nn.functional.embedding_bag", method=False)
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of ``weight`` that each bag of indices names.

    Args:
        input: (bags, n), or all bags one after the other, beginning at ``offsets``.
        mode: "sum", "mean" or "max"; an empty bag gives 0.
        per_sample_weights: a factor for each index, for sums.
        include_last_offset: the last of ``offsets`` is where the last bag ends.
        padding_idx: indices that count for nothing.

    >>> import backlit.nn.functional as F
    >>> table = backlit.tensor([[1.0], [2.0], [4.0]])
    >>> F.embedding_bag(backlit.tensor([2, 0, 1]), table, backlit.tensor([0, 2]), mode="sum")
    tensor([[5.],
            [2.]])
    """
    _check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    places, there = _places_of_bags(input, offsets, include_last_offset)
    flat = input.reshape(-1)
    rows = embedding(flat, weight, None, max_norm, float(norm_type), scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    kept: Any = from_array(there)
    if padding_idx is not None:
        kept = kept & (flat != padding_idx % weight.shape[0])[from_array(places)]
    kept = kept.unsqueeze(-1)
    bags = rows[from_array(places)]  # (bags, longest, columns)
    found: Tensor
    if mode == "max":
        if not places.shape[1]:
            return bags.sum(1)
        found = bags.where(kept, -inf).max(1)[0]
        return found.where(kept.any(1), 0)
    found = bags.where(kept, 0).sum(1)
    return found / kept.sum(1).clamp(min=1) if mode == "mean" else found


def _check_bags(
    input: Tensor,
    offsets: Tensor | None,
    mode: str,
    per_sample_weights: Tensor | None,
    scale_grad_by_freq: bool,
) -> None:
    """The combinations of arguments that make no bags."""
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ShapeError(
            f"embedding_bag: If per_sample_weights ({tuple(per_sample_weights.shape)}) is not "
            f"None, then it must have the same shape as the input ({tuple(input.shape)})."
        )
    if input.ndim not in (1, 2):
        raise ShapeError(f"embedding_bag: input has to be 1D or 2D Tensor, but got {input.ndim}D.")
    if input.ndim == 2 and offsets is not None:
        raise ArgumentError(
            "embedding_bag: if input is 2D, then offsets has to be None, as input is treated as a "
            "mini-batch of fixed length sequences."
        )
    if input.ndim == 1 and (offsets is None or offsets.ndim != 1):
        raise ArgumentError("embedding_bag: offsets has to be a 1D Tensor if input is 1D.")
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode has to be one of sum, mean or max, got {mode!r}.")
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentError(
            "embedding_bag: max mode does not support scaling the gradient by the frequency."
        )
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode={mode!r})."
        )


def _places_of_bags(
    input: Tensor, offsets: Tensor | None, include_last_offset: bool
) -> tuple[Any, Any]:
    """For each bag the positions of its indices, filled up to the longest; which of them count."""
    total = input.numel()
    if offsets is None:
        places = np.arange(total).reshape(tuple(input.shape))
        return places, np.ones(places.shape, bool)
    starts = realize(offsets).astype(np.int64)
    ends = starts[1:] if include_last_offset else np.append(starts[1:], total)
    starts = starts[: len(ends)]
    if len(starts) and (starts[0] != 0 or (starts > ends).any() or ends[-1] > total):
        raise ArgumentError(
            f"embedding_bag: offsets must begin with 0, not decrease, and end by the input's "
            f"length {total}, got {offsets.tolist()}."
        )
    columns = np.arange((ends - starts).max(initial=0))
    places = starts[:, None] + columns
    there = places < ends[:, None]
    return np.where(there, places, 0), there
