"""Tensors put together: concatenated, stacked, side by side, combined into grids."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from backlit.core.era import local
from backlit.core.op import op, plain
from backlit.core.size import broadcast, wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.trace import result_dtype
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.index_cards import index_card
from backlit.ops.movement import cat_card, expand_card, reshape_card, slice_write_card, zeros
from backlit.ops.shape import reshape, unsqueeze


def check_tensors(op_name: str, tensors: Any) -> tuple[Tensor, ...]:
    """``tensors`` as a tuple, or the error that says what is not a tensor."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{op_name}(): argument 'tensors' must be tuple of Tensors, not "
            f"{type(tensors).__name__}."
        )
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{op_name}(): expected Tensor as element {i} in argument 0, but got "
                f"{type(x).__name__}."
            )
    if not tensors:
        raise ArgumentError(f"{op_name}(): expected a non-empty list of Tensors.")
    return tuple(tensors)


def _lengths_fit(tensors: tuple[Tensor, ...], dim: int) -> None:
    first = tensors[0].shape
    for i, x in enumerate(tensors):
        if x.ndim != len(first):
            raise ShapeError(
                f"cat: Tensors must have same number of dimensions: got {len(first)} and {x.ndim} "
                f"(tensor number {i})."
            )
        for d, (n, m) in enumerate(zip(first, x.shape, strict=True)):
            if d != dim and n != m:
                raise ShapeError(
                    f"cat: Sizes of tensors must match except in dimension {dim}. Expected size "
                    f"{n} but got size {m} for tensor number {i} in the list."
                )


@op(out=True, method=False)
def cat(tensors: Any, dim: int = 0) -> Tensor:
    """The tensors one after the other along ``dim``.

    >>> import backlit
    >>> backlit.cat([backlit.tensor([1, 2]), backlit.tensor([3])])
    tensor([1, 2, 3])
    """
    given = check_tensors("cat", tensors)
    for x in given:
        if not x.ndim:
            raise ShapeError(
                "cat: zero-dimensional tensor (at position 0) cannot be concatenated; use stack."
            )
    d = result_dtype([x._var for x in given])
    kept = tuple([x for x in given if tuple(x.shape) != (0,)])  # PyTorch skips such tensors
    if not kept:
        kept = given[:1]
    at = wrap_dim(dim, kept[0].ndim, "cat")
    _lengths_fit(kept, at)
    joined: Tensor = cat_card(*(x.to(d) for x in kept), dim=at)
    return joined


@op(out=True, method=False)
def concat(tensors: Any, dim: int = 0) -> Tensor:
    """Another name for `cat`."""
    return cat(tensors, dim)


@op(out=True, method=False)
def concatenate(tensors: Any, dim: int = 0) -> Tensor:
    """NumPy's name for `cat`."""
    return cat(tensors, dim)


@op(out=True, method=False)
def stack(tensors: Any, dim: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new dimension.

    >>> import backlit
    >>> backlit.stack([backlit.tensor([1, 2]), backlit.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    given = check_tensors("stack", tensors)
    at = wrap_dim(dim, given[0].ndim + 1, "stack")
    for i, x in enumerate(given):
        if x.shape != given[0].shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(given[0].shape)} at "
                f"entry 0 and {list(x.shape)} at entry {i}."
            )
    d = result_dtype([x._var for x in given])
    joined: Tensor = cat_card(*(unsqueeze(x.to(d), at) for x in given), dim=at)
    return joined


@plain(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """Views with at least one dimension."""
    return _each("atleast_1d", tensors, lambda x: x if x.ndim else reshape(x, 1))


@plain(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Views with at least two dimensions, new ones in front."""
    return _each("atleast_2d", tensors, lambda x: x if x.ndim > 1 else reshape(x, 1, x._var.numel))


@plain(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Views with at least three dimensions: (1, n, 1) and (n, m, 1)."""

    def deep(x: Tensor) -> Tensor:
        if x.ndim > 2:
            return x
        return unsqueeze(x, 2) if x.ndim == 2 else reshape(x, 1, x._var.numel, 1)

    return _each("atleast_3d", tensors, deep)


def _each(name: str, tensors: tuple[Any, ...], change: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return change(tensors[0])
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    return tuple([change(x) for x in check_tensors(name, tuple(given))])


@op(out=True, method=False)
def hstack(tensors: Any) -> Tensor:
    """Side by side: `cat` along dimension 1 (0 for vectors)."""
    given = atleast_1d(*check_tensors("hstack", tensors))
    given = given if isinstance(given, tuple) else (given,)
    return cat(given, 0 if given[0].ndim == 1 else 1)


@op(out=True, method=False)
def vstack(tensors: Any) -> Tensor:
    """On top of each other: vectors count as rows."""
    return cat(tuple([atleast_2d(x) for x in check_tensors("vstack", tensors)]), 0)


@op(out=True, method=False)
def row_stack(tensors: Any) -> Tensor:
    """Another name for `vstack`."""
    return vstack(tensors)


@op(out=True, method=False)
def dstack(tensors: Any) -> Tensor:
    """Behind each other: `cat` along dimension 2."""
    return cat(tuple([atleast_3d(x) for x in check_tensors("dstack", tensors)]), 2)


@op(out=True, method=False)
def column_stack(tensors: Any) -> Tensor:
    """Side by side; vectors count as columns."""
    given = check_tensors("column_stack", tensors)
    return hstack(tuple([x if x.ndim > 1 else reshape(x, x.numel(), 1) for x in given]))


@op(method=False)
def block_diag(*tensors: Any) -> Tensor:
    """The matrices along the diagonal of a matrix that is zero elsewhere.

    >>> import backlit
    >>> backlit.block_diag(backlit.tensor([[1]]), backlit.tensor([[2, 3]]))
    tensor([[1, 0, 0],
            [0, 2, 3]])
    """
    given = check_tensors("block_diag", tensors) if tensors else ()
    for i, x in enumerate(given):
        if x.ndim > 2:
            raise ShapeError(
                "block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{i} has {x.ndim} dimensions."
            )
    blocks = [atleast_2d(x) for x in given] or [local.era.constant(np.zeros((1, 0), np.float32))]
    d = result_dtype([x._var for x in blocks])
    made = zeros((sum(x.shape[0] for x in blocks), sum(x.shape[1] for x in blocks)), d)
    row = column = 0
    for x in blocks:
        n, m = x.shape
        made = slice_write_card(
            made, x.to(d), row, column, dims=(0, 1), lengths=(n, m), steps=(1, 1)
        )
        row, column = row + n, column + m
    return made


@plain(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Grids of coordinates from vectors of coordinates.

    >>> import backlit
    >>> x, y = backlit.meshgrid(backlit.tensor([1, 2]), backlit.tensor([3, 4, 5]), indexing="ij")
    >>> y
    tensor([[3, 4, 5],
            [3, 4, 5]])
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    given = check_tensors("meshgrid", tuple(given))
    if indexing not in (None, "ij", "xy"):
        raise ArgumentError(
            f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing!r}.'
        )
    for x in given:
        if x.ndim > 1:
            raise ShapeError(
                f"meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x.ndim}D tensor."
            )
        if x.dtype is not given[0].dtype:
            raise DtypeError("meshgrid expects all tensors to have the same dtype.")
    swap = indexing == "xy" and len(given) > 1
    order = [1, 0, *range(2, len(given))] if swap else list(range(len(given)))
    sizes = tuple([given[k]._var.numel for k in order])
    grids: list[Tensor] = []
    for k, x in enumerate(given):
        at = order.index(k)
        shape = [1] * len(given)
        shape[at] = sizes[at]
        grids.append(reshape(x, tuple(shape)).expand(sizes))
    return tuple(grids)


@op(method=False)
def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of one element of each vector, one per row.

    >>> import backlit
    >>> backlit.cartesian_prod(backlit.tensor([1, 2]), backlit.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    given = check_tensors("cartesian_prod", tensors)
    for x in given:
        if x.ndim != 1:
            raise ShapeError(
                f"cartesian_prod: Expect a 1D vector, but got shape {list(x.shape)}; use .ravel()."
            )
    if len(given) == 1:
        return given[0]
    return stack(tuple([reshape(g, -1) for g in meshgrid(*given, indexing="ij")]), 1)


@op
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to take ``r`` elements of a vector, one per row.

    >>> import backlit
    >>> backlit.combinations(backlit.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if input.ndim != 1:
        raise ShapeError(f"combinations: Expect a 1D vector, but got shape {list(input.shape)}.")
    if r < 0:
        raise ArgumentError(f"combinations: Expect a non-negative number, but got {r}.")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    if r == 0:
        return zeros((0,), input.dtype)
    where = np.array(rows, dtype=np.int64).reshape(len(rows), r)
    made: Tensor = index_card(input, local.era.constant(where), dim=0)
    return made


def expanded(x: Tensor, *shapes: tuple[int, ...]) -> Tensor:
    """``x`` broadcast against ``shapes``, inside a composite."""
    shape = broadcast("broadcast", tuple(x.shape), *shapes)
    return x if tuple(x.shape) == shape else expand_card(x, shape=shape)


def merged(x: Tensor, first: int, count: int) -> Tensor:
    """``count`` dimensions from ``first`` on as one, inside a composite."""
    shape = tuple(x.shape)
    size = int(np.prod(shape[first : first + count], dtype=np.int64))
    return reshape_card(x, shape=(*shape[:first], size, *shape[first + count :]))
