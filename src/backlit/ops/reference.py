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


def diagonal_write(base: Array, new: Array, offset: int, dim1: int, dim2: int) -> Array:
    """``base`` with a diagonal replaced by ``new``."""
    out = np.array(base)
    view = np.moveaxis(out, (dim1, dim2), (-2, -1))
    n, m = view.shape[-2:]
    i = np.arange(min(n, m - offset) if offset >= 0 else min(n + offset, m))
    view[..., i + max(-offset, 0), i + max(offset, 0)] = new
    return out


def as_strided(x: Array, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Array:
    """The elements of contiguous ``x`` at ``offset + Σ iₖ strideₖ`` (counted in elements)."""
    flat = np.ascontiguousarray(x).reshape(-1)[offset:]
    steps = tuple(s * flat.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(flat, size, steps)


def as_strided_write(
    base: Array, new: Array, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Array:
    """``base`` with its strided part replaced by ``new``."""
    out = np.array(base, order="C")
    as_strided(out, size, stride, offset)[...] = new
    return out


def index_put(x: Array, values: Array, where: tuple[Any, ...], accumulate: bool) -> Array:
    """``x`` with ``values`` written (or added) at ``where``."""
    out = np.array(x)
    if accumulate:
        np.add.at(out, where, values)
    else:
        out[where] = values
    return out


def _along(index: Array, dim: int) -> tuple[Array, ...]:
    """Index arrays that address one element per element of ``index`` along ``dim``."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[dim] = index
    return tuple(grid)


def gather(x: Array, index: Array, dim: int) -> Array:
    """``out[i][j] = x[index[i][j]][j]`` (for dim 0)."""
    if index.ndim == 0:
        return x.reshape(-1)[index] if np.ndim(x) else x
    return x[_along(index, dim)]


_COMBINE = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter(x: Array, index: Array, src: Array, dim: int, reduce: str) -> Array:
    """``out[index[i][j]][j] = src[i][j]`` (for dim 0), combined by ``reduce`` where given."""
    out = np.array(x)
    if index.ndim == 0:
        index, flat = index.reshape(1), out.reshape(-1)
        part = np.reshape(src, (-1,))[:1]
        where: Any = (index,)
    else:
        flat = out
        part = src[tuple(slice(n) for n in index.shape)]
        where = _along(index, dim)
    if reduce == "set":
        flat[where] = part
    else:
        _COMBINE[reduce].at(flat, where, part)
    return out
