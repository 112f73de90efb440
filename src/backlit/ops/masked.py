"""``backlit.masked``: reductions and normalisations of the elements that a mask selects.

Elements where the mask is False are replaced by the value that does not change the result (0 for
sums, 1 for products, -∞ for maxima); what is left over nothing is that value, or NaN for a mean.
"""

from __future__ import annotations

import math
from typing import Any

from backlit.core.dtypes import bool_, dtype, get_default_dtype, iinfo
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.comparison import where_card
from backlit.ops.extreme import argmax_card, argmin_card
from backlit.ops.linalg_norm import vector_norm_card
from backlit.ops.reduce import Dims, amax_card, amin_card, prod_card, reduced_dims, sum_card
from backlit.ops.statistics import root_card

INF = float("inf")


def _with_dtype(x: Tensor, d: dtype | None) -> Tensor:
    found: Tensor = x if d is None else x.to(d)
    return found


def _filled(name: str, x: Tensor, mask: Tensor | None, value: float) -> Tensor:
    """``x`` with ``value`` (or the integer nearest to it) where the mask is False."""
    if mask is None:
        return x
    if mask.ndim > x.ndim:
        raise ShapeError(
            f"masked.{name}: expected mask.ndim <= input.ndim, got mask {tuple(mask.shape)} for "
            f"input {tuple(x.shape)}."
        )
    if math.isinf(value) and not x.dtype.is_floating_point:
        limits = iinfo(x.dtype)
        value = limits.max if value > 0 else limits.min
    found: Tensor = where_card(mask.to(bool_), x, value)
    return found


def _count(x: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    """How many elements the mask selects, with the reduced dimensions kept."""
    chosen = mask.to(bool_) if mask is not None else local.era.constant(True, bool_)
    found: Tensor = sum_card(chosen.expand(x.shape), dims=dims, keepdim=True)
    return found


def _squeezed(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    shape = tuple(n for i, n in enumerate(x.shape) if i not in dims)
    found: Tensor = x if keepdim else x.reshape(shape)
    return found


# -- reductions -----------------------------------------------------------------------------------


def _reduction(name: str, card: Any, fill: float, doc: str) -> Any:
    def body(
        input: Tensor,
        dim: Dims = None,
        *,
        keepdim: bool = False,
        dtype: dtype | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = _filled(name, _with_dtype(input, dtype), mask, fill)
        dims = reduced_dims(f"masked.{name}", x, dim)
        return _with_dtype(card(x, dims=dims, keepdim=keepdim), dtype)

    body.__name__ = name
    body.__doc__ = f"{doc} over ``dim`` of the elements that ``mask`` selects."
    return op(name=f"masked.{name}")(body)


sum = _reduction("sum", sum_card, 0, "The sum")
prod = _reduction("prod", prod_card, 1, "The product")
amax = _reduction("amax", amax_card, -INF, "The largest")
amin = _reduction("amin", amin_card, INF, "The smallest")


def _place(name: str, card: Any, fill: float, doc: str) -> Any:
    def body(
        input: Tensor,
        dim: int | None = None,
        *,
        keepdim: bool = False,
        dtype: dtype | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = _filled(name, _with_dtype(input, dtype), mask, fill)
        found = PUBLIC[card.name](x, dim, keepdim)
        return found.to(x.dtype)  # as PyTorch's masked family does

    body.__name__ = name
    body.__doc__ = f"The index of the {doc} element along ``dim`` that ``mask`` selects."
    return op(name=f"masked.{name}")(body)


argmax = _place("argmax", argmax_card, -INF, "largest")
argmin = _place("argmin", argmin_card, INF, "smallest")


@op(name="masked.mean")
def mean(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean over ``dim`` of the elements that ``mask`` selects.

    >>> x, mask = backlit.tensor([1.0, 2.0, 6.0]), backlit.tensor([True, True, False])
    >>> from backlit import masked
    >>> masked.mean(x, mask=mask)
    tensor(1.5000)
    """
    x = _with_dtype(input, dtype)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            "masked.mean(): Could not infer output dtype. Input dtype must be a floating point "
            f"dtype. Got: {x.dtype.name}; give dtype=."
        )
    dims = reduced_dims("masked.mean", x, dim)
    total = sum_card(_filled("mean", x, mask, 0), dims=dims, keepdim=True)
    return _squeezed(total / _count(x, mask, dims), dims, keepdim)


@op(name="masked.logsumexp")
def logsumexp(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``ln Σ exp(x)`` over ``dim`` of the elements that ``mask`` selects."""
    x = _filled("logsumexp", _with_dtype(input, dtype), mask, -INF)
    dims = reduced_dims("masked.logsumexp", x, dim)
    found: Tensor = PUBLIC["logsumexp"](x, dims, keepdim)
    return found


@op(name="masked.median")
def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The middle element along ``dim`` of those that ``mask`` selects; NaN if there are none."""
    x = _with_dtype(input, dtype)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            f"masked.median: expected a floating point input, got {x.dtype.name}; give dtype=."
        )
    found: Tensor = PUBLIC["nanmedian"](_filled("median", x, mask, math.nan), dim, keepdim)[0]
    return found


@op(name="masked.norm")
def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The norm of order ``ord`` over ``dim`` of the elements that ``mask`` selects."""
    p = 2.0 if ord is None else float(ord)
    x = _filled("norm", _with_dtype(input, dtype), mask, 0 if p >= 0 else INF)
    dims = reduced_dims("masked.norm", x, dim)
    found: Tensor = vector_norm_card(x, p=p, dims=dims, keepdim=keepdim)
    return found


# -- spread ---------------------------------------------------------------------------------------


def _variance(
    name: str,
    input: Tensor,
    dim: Dims,
    unbiased: bool | None,
    correction: float | None,
    keepdim: bool,
    d: dtype | None,
    mask: Tensor | None,
) -> Tensor:
    if unbiased is not None and correction is not None:
        raise ArgumentError(f"masked.{name}: give unbiased or correction, not both.")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    x = _with_dtype(input, d)
    if not x.dtype.is_floating_point:
        x = x.to(get_default_dtype())
    dims = reduced_dims(f"masked.{name}", x, dim)
    count = _count(x, mask, dims)
    average = sum_card(_filled(name, x, mask, 0), dims=dims, keepdim=True) / count
    away = _filled(name, x - average, mask, 0)
    total = sum_card(away * away, dims=dims, keepdim=True)
    return _squeezed(total / (count - correction).clamp(min=0), dims, keepdim)


@op(name="masked.var")
def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance over ``dim`` of the elements that ``mask`` selects."""
    return _variance("var", input, dim, unbiased, correction, keepdim, dtype, mask)


@op(name="masked.std")
def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation over ``dim`` of the elements that ``mask`` selects."""
    found: Tensor = root_card(
        _variance("std", input, dim, unbiased, correction, keepdim, dtype, mask)
    )
    return found


# -- along a dimension ----------------------------------------------------------------------------


def _along(name: str, fill: float, doc: str) -> Any:
    def body(
        input: Tensor, dim: int, *, dtype: dtype | None = None, mask: Tensor | None = None
    ) -> Tensor:
        x = _filled(name, _with_dtype(input, dtype), mask, fill)
        if name == "softmin":
            return PUBLIC["softmax"](-x, dim)
        return PUBLIC[name](x, dim)

    body.__name__ = name
    body.__doc__ = f"{doc} along ``dim`` of the elements that ``mask`` selects."
    return op(name=f"masked.{name}")(body)


cumsum = _along("cumsum", 0, "Running sums")
cumprod = _along("cumprod", 1, "Running products")
softmax = _along("softmax", -INF, "``softmax``")
log_softmax = _along("log_softmax", -INF, "``log_softmax``")
softmin = _along("softmin", INF, "``softmax(-x)``")


@op(name="masked.normalize")
def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The selected elements divided by their norm along ``dim``; the others are 0."""
    x = _with_dtype(input, dtype)
    size = norm(x, ord, dim, keepdim=True, mask=mask).clamp(min=eps)
    return _filled("normalize", x, mask, 0) / size


@op(name="masked.logaddexp")
def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: dtype | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """``ln (eˣ + eʸ)`` where what the masks do not select counts as -∞."""
    x = _filled("logaddexp", _with_dtype(input, dtype), input_mask, -INF)
    y = _filled("logaddexp", _with_dtype(other, dtype), other_mask, -INF)
    found: Tensor = PUBLIC["logaddexp"](x, y)
    return found
