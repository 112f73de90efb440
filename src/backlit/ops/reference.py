"""NumPy functions that programs call as ``ref.name`` where NumPy itself has none."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def bfloat16() -> Any:
    """NumPy's dtype for bfloat16 (from ml_dtypes)."""
    from backlit.core.dtypes import bfloat16 as d

    return d.numpy


def scalar(x: Any, d: Any) -> Any:
    """A Python number as a NumPy scalar of dtype ``d``; raises where an integer does not fit."""
    return d(x) if isinstance(d, type) else np.asarray(x, d)[()]


def cast(arrays: tuple[Array, ...], dtypes: tuple[Any, ...]) -> tuple[Array, ...]:
    """Each array in its dtype."""
    return tuple(np.asarray(a).astype(d) for a, d in zip(arrays, dtypes, strict=True))


def slice_write(base: Array, new: Array, where: tuple[slice, ...]) -> Array:
    """``base`` with the part ``where`` replaced by ``new``."""
    out = np.array(base)
    out[where] = new
    return out


def strided(
    x: Array, size: tuple[int, ...], offset: tuple[int, ...], steps: tuple[tuple[int, ...], ...]
) -> Array:
    """The view of ``x`` whose element i is ``x[offset + Σ iₖ stepsₖ]``."""
    if 0 in size:
        return np.empty(size, x.dtype)
    first = x[tuple(slice(o, None) for o in offset)]
    strides = tuple(sum(s * n for s, n in zip(x.strides, row, strict=True)) for row in steps)
    return np.lib.stride_tricks.as_strided(first, size, strides)


def strided_write(
    base: Array, new: Array, offset: Any, steps: tuple[tuple[int, ...], ...], accumulate: bool
) -> Array:
    """``base`` with ``new`` written (or added) where `strided` would read."""
    out = np.array(base, order="C")
    size = np.shape(new)
    if not accumulate:
        strided(out, size, offset, steps)[...] = new
    elif 0 not in size:
        places = strided(np.arange(out.size).reshape(out.shape), size, offset, steps)
        np.add.at(out.reshape(-1), places, new)
    return out


def _check_range(index: Array, n: int) -> None:
    if index.size:
        low, high = index.min(), index.max()
        if low < 0 or high >= n:
            bad = high if high >= n else low
            raise IndexError(f"index {bad} is out of bounds for dimension with size {n}")


def wrap_index(index: Array, n: int) -> Array:
    """``index`` with negative elements counted from the end; all must lie within ``n``."""
    found = np.asarray(index, np.int64)
    wrapped = np.where(found < 0, found + n, found)
    if found.size and (wrapped.min() < 0 or wrapped.max() >= n):
        bad = found[(wrapped < 0) | (wrapped >= n)].flat[0]
        raise IndexError(f"index {bad} is out of bounds for dimension with size {n}")
    return wrapped


def index(x: Array, where: Array, dim: int) -> Array:
    """``x[where]`` along ``dim``."""
    _check_range(where, x.shape[dim])
    return np.take(x, where, dim, mode="clip")  # "clip" is the fast mode; the range is checked


def index_write(base: Array, where: Array, new: Array, dim: int, accumulate: bool) -> Array:
    """``base`` with ``new`` written (or added) at ``[where]`` along ``dim``."""
    _check_range(where, base.shape[dim])
    out = np.array(base)
    if not accumulate:
        out[(slice(None),) * dim + (where,)] = new
        return out
    if not where.size:
        return out
    rows = np.moveaxis(out, dim, 0)
    lead = tuple(range(dim, dim + where.ndim))
    parts = np.moveaxis(new, lead, tuple(range(where.ndim))).reshape(where.size, *rows.shape[1:])
    if out.dtype.kind == "b":
        np.logical_or.at(rows, where.reshape(-1), parts)
        return out
    order = np.argsort(where, axis=None, kind="stable")
    places = where.reshape(-1)[order]
    starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    sums = np.add.reduceat(parts[order], starts, axis=0, dtype=out.dtype)
    rows[places[starts]] += sums
    return out


def _along(index: Array, dim: int) -> tuple[Array, ...]:
    """Index arrays that address one element per element of ``index`` along ``dim``."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[dim] = index
    return tuple(grid)


def gather(x: Array, index: Array, dim: int) -> Array:
    """``out[i][j] = x[index[i][j]][j]`` (for dim 0)."""
    _check_range(index, x.shape[dim])
    return x[_along(index, dim)]


_COMBINE = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter(x: Array, index: Array, src: Array, dim: int, reduce: str) -> Array:
    """``out[index[i][j]][j] = src[i][j]`` (for dim 0), combined by ``reduce`` where given."""
    _check_range(index, x.shape[dim])
    out = np.array(x)
    where = _along(index, dim)
    if reduce == "set":
        out[where] = src
    else:
        _COMBINE[reduce].at(out, where, src)
    return out


# Each family has a file of its own.
from backlit.ops.reference_linalg import *  # noqa: E402, F403
from backlit.ops.reference_random import *  # noqa: E402, F403
from backlit.ops.reference_reduce import *  # noqa: E402, F403
from backlit.ops.reference_special import *  # noqa: E402, F403
