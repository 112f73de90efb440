"""Reductions."""

from __future__ import annotations

from math import prod
from typing import Any

from backlit.core.dtypes import dtype, get_default_dtype, int64
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.size import wrap_dims
from backlit.core.tensor import Tensor
from backlit.core.value import Value


def reduced_shape(x: Value, dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing ``dims``."""
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(x.shape))
    return tuple(n for i, n in enumerate(x.shape) if i not in dims)


def _same(x: Value, dims: Any, keepdim: bool) -> Spec:
    return reduced_shape(x, dims, keepdim), x.dtype


sum_card = primitive(
    "sum",
    "x",
    shape=_same,
    numpy="np.sum({x}, axis={dims}, keepdims={keepdim}, dtype={out_dtype})",
    vjp=(lambda g, x_shape, dims, keepdim: spread(g, x_shape, dims, keepdim),),
    upcast=False,
    maths="Σ x",
    local="1",
)


def spread(g: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """``g``, the gradient of a reduction over ``dims``, repeated to ``shape``."""
    if not keepdim:
        g = g.reshape(tuple(1 if i in dims else n for i, n in enumerate(shape)))
    return g.expand(shape)


@op(out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """The sum over ``dim`` (all dimensions by default)."""
    dims = wrap_dims(dim, input.ndim, "sum") if input.ndim else ()
    x = input.to(dtype or (input.dtype if input.dtype.is_floating_point else int64))
    return sum_card(x, dims=dims, keepdim=keepdim)


@op(out=True)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """The mean over ``dim`` (all dimensions by default)."""
    dims = wrap_dims(dim, input.ndim, "mean") if input.ndim else ()
    x = input.to(dtype) if dtype is not None else input
    if not x.dtype.is_floating_point:
        from backlit.errors import DtypeError

        raise DtypeError(
            f"mean(): could not infer output dtype. Input dtype must be a floating point dtype. "
            f"Got: {input.dtype.name}; use x.float().mean(), for example in {get_default_dtype().name}."
        )
    n = prod(input.shape[d] for d in dims)
    return sum_card(x, dims=dims, keepdim=keepdim) / n
