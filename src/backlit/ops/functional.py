"""The maps of layers that learn: linear, bilinear, embedding."""

from __future__ import annotations

import functools
from math import prod

import numpy as np

from backlit.core.era import local
from backlit.core.inplace import rebind
from backlit.core.op import PUBLIC, op, plain
from backlit.core.primitive import Primitive, Spec, primitive
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
    # The event's key, put together here: recording takes 1.5 µs instead of 2.3 (see `record`).
    era = local.era
    operands = (input, weight) if bias is None else (input, weight, bias)
    for x in operands:
        if not isinstance(x, Tensor):
            return _recorded(input, weight, bias)
        if x._era is not era:
            era.enter(x)
    key = (_EVENT, *[x._var for x in operands])
    child = era.here.children.get(key)
    if child is None:
        return _recorded(*operands)
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
