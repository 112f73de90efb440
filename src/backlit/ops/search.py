"""Searching and counting: places in sorted sequences, membership, histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.dtypes import bool_, dtype, int32, int64
from backlit.core.era import local, realize
from backlit.core.op import op, plain
from backlit.core.primitive import primitive
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.elementwise import common
from backlit.ops.index_cards import gather_card
from backlit.ops.returns import named
from backlit.ops.shape_join import cat

# -- places in sorted sequences -------------------------------------------------------------------

searchsorted_card = primitive(
    "searchsorted",
    "boundaries x",
    shape=lambda boundaries, x, right: (tuple(x.shape), int64),
    numpy="ref.searchsorted({boundaries}, {x}, {right})",
    upcast=True,
    maths="number of boundaries below x",
)


def _place(
    name: str, boundaries: Tensor, x: Tensor, right: bool, side: str | None, out_int32: bool
) -> Tensor:
    if side not in (None, "left", "right"):
        raise ArgumentError(f"{name}(): side can only be 'left' or 'right' but got {side!r}.")
    if side == "left" and right:
        raise ArgumentError(
            f"{name}(): side and right can't be set to opposites, got side of left while right was "
            "True."
        )
    found: Tensor = searchsorted_card(boundaries, x, right=right or side == "right")
    return found.to(int32) if out_int32 else found


@op(out=True, method=False)
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | Number,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each element goes in the rows of ``sorted_sequence`` so that they stay sorted.

    >>> backlit.searchsorted(backlit.tensor([1, 3, 5]), backlit.tensor([3, 6]))
    tensor([1, 3])
    """
    rows, x = common(sorted_sequence, input)
    if not rows.ndim:
        raise ShapeError(
            "searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension."
        )
    if rows.ndim > 1 and rows.shape[:-1] != x.shape[:-1]:
        raise ShapeError(
            "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions "
            "of boundaries tensor and input value tensor must match, but got boundaries "
            f"{tuple(rows.shape)} and input {tuple(x.shape)}."
        )
    if sorter is not None:
        if sorter.shape != rows.shape:
            raise ShapeError(
                "searchsorted(): boundary and sorter must have the same size, but got "
                f"{tuple(rows.shape)} and {tuple(sorter.shape)}."
            )
        if sorter.dtype is not int64:
            raise DtypeError(
                "searchsorted(): sorter must be a tensor of long dtype but got "
                f"{sorter.dtype.name}."
            )
        rows = rows.gather(-1, sorter)
    return _place("searchsorted", rows, x, right, side, out_int32)


@op(out=True, method=False)
def bucketize(
    input: Tensor | Number, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket, between sorted ``boundaries``, that each element falls into.

    >>> backlit.bucketize(backlit.tensor([3, 6]), backlit.tensor([1, 3, 5]))
    tensor([1, 3])
    """
    if boundaries.ndim != 1:
        raise ShapeError(
            "bucketize(): boundaries tensor must be 1 dimension, but got "
            f"{boundaries.ndim} dimensions."
        )
    edges, x = common(boundaries, input)
    return _place("bucketize", edges, x, right, None, out_int32)


@op(method=False)
def isin(
    elements: Tensor | Number,
    test_elements: Tensor | Number,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Tensor:
    """Which elements occur among ``test_elements``.

    >>> backlit.isin(backlit.tensor([1, 2, 3]), backlit.tensor([2, 5]))
    tensor([False,  True, False])
    """
    x, tests = common(elements, test_elements)
    tests = tests.reshape(-1)
    if not tests.shape[0]:
        found = _constant(False, bool_).expand(x.shape)
    else:
        tests = tests.msort()
        place = searchsorted_card(tests, x, right=False).clamp(max=tests.shape[0] - 1)
        found = gather_card(tests, place.reshape(-1), dim=0).reshape(x.shape) == x
    return found.logical_not() if invert else found.clone()


# -- counting -------------------------------------------------------------------------------------


@plain()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2 … occurs, or the sum of the weights that belong to it.

    >>> backlit.tensor([1, 3, 1]).bincount()
    tensor([0, 2, 0, 1])
    """
    if minlength < 0:
        raise ArgumentError(f"bincount(): minlength should be >= 0, got {minlength}.")
    if input.dtype.is_floating_point or input.dtype is bool_ or input.ndim != 1:
        raise ArgumentError(
            "bincount only supports 1-d non-negative integral inputs, got a "
            f"{input.dtype.name} tensor of shape {tuple(input.shape)}."
        )
    x = realize(input)
    if x.size and x.min() < 0:
        raise ArgumentError(
            "bincount only supports 1-d non-negative integral inputs, but the smallest is "
            f"{x.min()}."
        )
    if weights is None:
        return from_array(np.bincount(x, minlength=minlength).astype(np.int64))
    if weights.shape != input.shape:
        raise ShapeError(
            "bincount(): weights should be 1-d and have the same length as input: "
            f"{tuple(weights.shape)} and {tuple(input.shape)}."
        )
    w = realize(weights.detach())
    total = np.bincount(x, w.astype(np.float64), minlength)
    return from_array(total.astype(np.float32 if weights.dtype.name == "float32" else np.float64))


histc_card = primitive(
    "histc",
    "x",
    shape=lambda x, bins, low, high: ((bins,), x.dtype),
    numpy="ref.histc({x}, {bins}, {low}, {high}).astype({out_dtype})",
    maths="number of elements in each of the bins",
)


@op(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts of the elements in equal bins from ``min`` to ``max`` (of the data, if equal).

    >>> backlit.tensor([1.0, 2.0, 1.0]).histc(bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if bins <= 0:
        raise ArgumentError(f"histc(): bins must be > 0, got {bins}.")
    if min > max:
        raise ArgumentError(f"histc(): max must be larger than min, got min {min} and max {max}.")
    found: Tensor = histc_card(input, bins=bins, low=float(min), high=float(max))
    return found


histogram_card = primitive(
    "histogram",
    "x edges weight*",
    shape=lambda x, edges, *weight: ((edges.shape[0] - 1,), x.dtype),
    numpy=lambda node, fields: (
        f"ref.histogram({fields['x']}.reshape(-1), "
        f"{fields['rest'][0] + '.reshape(-1)' if fields['rest'] else None}, {fields['edges']})"
    ),
    maths="weight of the elements between each two edges",
    samples=lambda: [
        ((np.array([0.5, 1.5, 2.0, 5.0]), np.array([0.0, 1.0, 2.0])), {}),
        ((np.array([0.5, 1.5]), np.array([0.0, 1.0, 2.0]), np.array([2.0, 0.5])), {}),
    ],
)

_Histogram = named("histogram", "hist bin_edges")


@op(out=True)
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """Counts (or total weights, or densities) between edges: ``bins`` equal ones, or a tensor.

    >>> backlit.tensor([1.0, 2.0, 1.0]).histogram(bins=4, range=(0, 3)).hist
    tensor([0., 2., 1., 0.])
    """
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f"histogram(): input tensor must be floating, got {input.dtype.name}; use x.float()."
        )
    if isinstance(bins, Tensor):
        _check_edges(input, bins)
        edges = bins.clone()
    else:
        edges = _equal_edges(input, bins, range)
    if weight is not None and weight.shape != input.shape:
        raise ShapeError(
            "histogram(): if weight tensor is provided it should have the same shape as the input "
            f"tensor: {tuple(weight.shape)} and {tuple(input.shape)}."
        )
    hist = histogram_card(input, edges, *(() if weight is None else (weight,)))
    if density:
        n = edges.shape[0]
        hist = hist / hist.sum() / (edges.narrow(0, 1, n - 1) - edges.narrow(0, 0, n - 1))
    return _Histogram(hist, edges)


def _check_edges(x: Tensor, edges: Tensor) -> None:
    if edges.ndim != 1 or not edges.shape[0]:
        raise ShapeError(
            "histogram(): bins tensor should have one dimension and at least one element, but got "
            f"{tuple(edges.shape)}."
        )
    if edges.dtype is not x.dtype:
        raise DtypeError(
            "histogram(): input tensor and bins tensors should have the same dtype, but got "
            f"{x.dtype.name} and {edges.dtype.name}."
        )


def _equal_edges(x: Tensor, bins: int, limits: tuple[float, float] | None) -> Tensor:
    if bins <= 0:
        raise ArgumentError(f"histogram(): bins must be > 0, but got {bins}.")
    if limits is not None:
        low, high = (float(v) for v in limits)
        if low > high:
            raise ArgumentError(
                f"histogram(): min should not exceed max, but got {low} and {high}."
            )
        if low == high:
            low, high = low - 0.5, high + 0.5
        return _constant(np.linspace(low, high, bins + 1), x.dtype)
    if not x.numel():
        return _constant(np.linspace(0, 1, bins + 1), x.dtype)
    flat = x.detach().reshape(-1)
    low_, high_ = flat.amin(), flat.amax()
    # Where all elements are equal, the bins reach half a unit to either side.
    pad = (low_ == high_).to(x.dtype) * 0.5
    low_, high_ = low_ - pad, high_ + pad
    step = (high_ - low_) / bins
    # Counted from both ends, so that the last edge is the largest element exactly.
    half = (bins + 1) // 2
    left = low_ + step * _constant(np.arange(half), x.dtype)
    right = high_ - step * _constant(np.arange(bins - half, -1, -1), x.dtype)
    return cat([left, right])


def _constant(x: Any, d: dtype) -> Tensor:
    """A constant inside a body."""
    found: Tensor = local.era.constant(x, d)
    return found
