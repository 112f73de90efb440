"""Sorting and selecting: order, the largest few, the k-th, distinct elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.dtypes import bool_, int64
from backlit.core.era import realize
from backlit.core.op import op, plain
from backlit.core.primitive import primitive
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.extreme import picked, taken
from backlit.ops.reduce import reduced_shape
from backlit.ops.returns import named

# -- order ----------------------------------------------------------------------------------------

argsort_card = primitive(
    "argsort",
    "x",
    shape=lambda x, dim, descending: (tuple(x.shape), int64),
    numpy="ref.argsort({x}, {dim}, {descending})",
    maths="indices that sort x",
)

_Sort = named("sort", "values indices")


@op(out=True)
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False
) -> Any:
    """The elements in order along ``dim``, and where they were; NaN counts as the largest.

    Equal elements keep their order whether or not ``stable`` is asked for.

    >>> backlit.tensor([3, 1, 2]).sort().indices
    tensor([1, 2, 0])
    """
    indices = argsort(input, dim, descending)
    d = wrap_dim(dim, input.ndim, "sort")
    return _Sort(picked(input, indices, d), indices)


@op
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that put the elements in order along ``dim``.

    >>> backlit.tensor([3, 1, 2]).argsort(descending=True)
    tensor([0, 2, 1])
    """
    found: Tensor = argsort_card(
        input, dim=wrap_dim(dim, input.ndim, "argsort"), descending=descending
    )
    return found


@op(out=True)
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first dimension.

    >>> backlit.tensor([3, 1, 2]).msort()
    tensor([1, 2, 3])
    """
    found: Tensor = sort(input, 0).values
    return found


# -- the largest few ------------------------------------------------------------------------------

argtopk_card = primitive(
    "argtopk",
    "x",
    shape=lambda x, k, dim, largest: (
        (*x.shape[:dim], k, *x.shape[dim + 1 :]) if x.shape else (),
        int64,
    ),
    numpy="ref.argtopk({x}, {k}, {dim}, {largest})",
    maths="indices of the k largest elements, largest first",
)

_TopK = named("topk", "values indices")


@op(out=True)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The ``k`` largest (or smallest) elements along ``dim``, best first, and where they are.

    >>> backlit.tensor([3, 1, 2]).topk(2).values
    tensor([3, 2])
    """
    d = wrap_dim(dim, input.ndim, "topk")
    n = input.shape[d] if input.ndim else 1
    if not 0 <= k <= n:
        raise ArgumentError(
            f"topk(): selected index k out of range: k = {k}, but dim {dim} of input "
            f"{tuple(input.shape)} has {n} elements."
        )
    if input.dtype is bool_:
        raise DtypeError('topk(): "topk" is not implemented for bool tensors; use x.int().topk(k).')
    indices = argtopk_card(input, k=k, dim=d, largest=largest)
    return _TopK(picked(input, indices, d), indices)


# -- the k-th, the middle, the most frequent ------------------------------------------------------

argkth_card = primitive(
    "argkth",
    "x",
    shape=lambda x, k, dim: (reduced_shape(x, (dim,), False), int64),
    numpy="ref.argkth({x}, {k}, {dim})",
    maths="first index of the k-th smallest element",
)
argmode_card = primitive(
    "argmode",
    "x",
    shape=lambda x, dim: (reduced_shape(x, (dim,), False), int64),
    numpy="ref.argmode({x}, {dim})",
    maths="last index of the most frequent element",
)

_KthValue = named("kthvalue", "values indices")
_Mode = named("mode", "values indices")


def kept(indices: Tensor, x: Tensor, dim: int) -> Tensor:
    """Indices of one element along ``dim``, with that dimension as a singleton."""
    found: Tensor = indices.unsqueeze(dim) if x.ndim else indices
    return found


def require_elements(op_name: str, x: Tensor, dim: int) -> int:
    """``dim`` counted from the front, where there is something to select from."""
    d = wrap_dim(dim, x.ndim, op_name)
    if x.ndim and x.shape[d] == 0:
        raise IndexOutOfRange(
            f"{op_name}(): Expected reduction dim {dim} to have non-zero size, but input is "
            f"{tuple(x.shape)}."
        )
    return d


@op(out=True)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The ``k``-th smallest element along ``dim`` (counted from 1), and where it is first.

    >>> backlit.tensor([3, 1, 2]).kthvalue(2).values
    tensor(2)
    """
    d = require_elements("kthvalue", input, dim)
    n = input.shape[d] if input.ndim else 1
    if not 1 <= k <= n:
        raise ArgumentError(
            f"kthvalue(): selected number k out of range for dimension {dim}: k = {k}, but there "
            f"are {n} elements, counted from 1."
        )
    indices = kept(argkth_card(input, k=k, dim=d), input, d)
    return _KthValue(*taken(input, indices, d, keepdim))


@op(out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along ``dim`` (the smallest of several), and where it is last.

    >>> backlit.tensor([3, 1, 3, 1, 2]).mode().values
    tensor(1)
    """
    d = require_elements("mode", input, dim)
    indices = kept(argmode_card(input, dim=d), input, d)
    return _Mode(*taken(input, indices, d, keepdim))


# -- distinct elements: the shape of the result depends on the data -------------------------------


@plain()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along ``dim``) in order; then, if asked, where and how many.

    >>> backlit.tensor([3, 1, 3]).unique(return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    x = realize(input)
    if dim is None:
        d, x = 0, x.reshape(-1)
    else:
        d = _unique_dim("unique", input, dim)
    unique_values: Any = np.unique  # its overloads want literal flags
    found = unique_values(
        x,
        return_inverse=return_inverse,
        return_counts=return_counts,
        axis=None if dim is None else d,
        equal_nan=False,
    )
    values, *more = found if isinstance(found, tuple) else (found,)
    inverse = more[0].reshape(input.shape if dim is None else -1) if return_inverse else None
    return _distinct(values, inverse, more[-1] if return_counts else None)


@plain()
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices along ``dim``) without immediate repetitions.

    >>> backlit.tensor([1, 1, 2, 1]).unique_consecutive()
    tensor([1, 2, 1])
    """
    x = realize(input)
    if dim is None:
        rows = x.reshape(-1)
    else:
        d = _unique_dim("unique_consecutive", input, dim)
        rows = np.moveaxis(x, d, 0)
    n = len(rows)
    changes = rows[1:] != rows[:-1]
    new = np.ones(n, bool)
    new[1:] = changes.any(tuple(range(1, changes.ndim)))
    starts = np.flatnonzero(new)
    values = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, d)
    inverse = (np.cumsum(new) - 1).reshape(input.shape if dim is None else -1)
    counts = np.diff(np.append(starts, n))
    return _distinct(values, inverse if return_inverse else None, counts if return_counts else None)


def _unique_dim(op_name: str, x: Tensor, dim: int) -> int:
    d = wrap_dim(dim, x.ndim, op_name)
    if x.shape[d] == 0:
        return d
    if 0 in x.shape:
        raise ShapeError(
            f"{op_name}(): There are 0 sized dimensions, and they aren't selected: dim {dim} of "
            f"input {tuple(x.shape)}."
        )
    return d


def _distinct(values: Any, inverse: Any, counts: Any) -> Any:
    found = [from_array(np.array(values))]
    found += [from_array(a.astype(np.int64)) for a in (inverse, counts) if a is not None]
    return found[0] if len(found) == 1 else tuple(found)
