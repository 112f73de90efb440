"""NumPy functions behind the cards for reducing, scanning, sorting and searching."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.errors import ArgumentError

Array = Any


def arg_extreme(x: Array, dim: int, largest: bool) -> Array:
    """Index of the first largest (or smallest) element along ``dim``; NaN counts as either."""
    if np.ndim(x) == 0:
        return np.int64(0)
    return np.argmax(x, dim) if largest else np.argmin(x, dim)


def running_extreme(x: Array, dim: int, largest: bool) -> tuple[Array, Array]:
    """Largest (or smallest) element so far along ``dim``, and the last index where it was."""
    if np.ndim(x) == 0:
        return x, np.zeros((), np.int64)
    values = (np.maximum if largest else np.minimum).accumulate(x, dim)
    shape = [1] * x.ndim
    shape[dim] = x.shape[dim]
    counted = np.arange(x.shape[dim]).reshape(shape)
    found = np.where((x == values) | (x != x), counted, 0)
    return values, np.maximum.accumulate(found, dim)


def linear_scan(a: Array, b: Array, dim: int) -> Array:
    """``s[t] = a[t] * s[t - 1] + b[t]`` along ``dim``, with ``s[-1] = 0``."""
    out = np.array(b)
    if out.ndim == 0:
        return out
    steps = np.moveaxis(out, dim, 0)
    factors = np.moveaxis(a, dim, 0)
    for t in range(1, len(steps)):
        steps[t] += factors[t] * steps[t - 1]
    return out


def argsort(x: Array, dim: int, descending: bool) -> Array:
    """Indices that sort ``x`` along ``dim``; equal elements stay in order, NaN is the largest."""
    if np.ndim(x) == 0:
        return np.int64(0)
    if not descending:
        return np.argsort(x, dim, kind="stable")
    # Reversing before and after keeps equal elements in their order.
    back = np.argsort(np.flip(x, dim), dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(back, dim)


def argtopk(x: Array, k: int, dim: int, largest: bool) -> Array:
    """Indices of the ``k`` largest (or smallest) elements along ``dim``, best first.

    Of equal elements the first ones win. Partitioning is used where no tie crosses its boundary:
    there the choice of elements does not depend on how NumPy partitions.
    """
    if np.ndim(x) == 0:
        return np.int64(0)
    n = x.shape[dim]
    if 0 < k < n // 4 and n >= 64:
        rows = np.moveaxis(x, dim, -1)
        part = np.argpartition(rows, n - k if largest else k - 1, -1)
        chosen = np.sort(part[..., n - k :] if largest else part[..., :k], -1)
        picked = np.take_along_axis(rows, chosen, -1)
        bound = (np.min if largest else np.max)(picked, -1, keepdims=True)
        reach = rows >= bound if largest else rows <= bound
        if np.all(np.count_nonzero(reach, -1) == k):  # also false where NaN is involved
            order = argsort(picked, picked.ndim - 1, largest)
            return np.moveaxis(np.take_along_axis(chosen, order, -1), -1, dim)
    return np.take(argsort(x, dim, largest), np.arange(k), dim)


def argkth(x: Array, k: int, dim: int) -> Array:
    """First index of the ``k``-th smallest element (counted from 1) along ``dim``."""
    if np.ndim(x) == 0:
        return np.int64(0)
    kth = np.take(np.partition(x, k - 1, dim), [k - 1], dim)
    return np.argmax((x == kth) | ((x != x) & (kth != kth)), dim)


def argmode(x: Array, dim: int) -> Array:
    """Last index of the most frequent element along ``dim``; of equally frequent, the smallest."""
    if np.ndim(x) == 0:
        return np.int64(0)
    rows = np.moveaxis(x, dim, -1)
    order = np.argsort(rows, -1, kind="stable")
    ordered = np.take_along_axis(rows, order, -1)
    n = rows.shape[-1]
    starts = np.zeros(rows.shape, np.int64)
    starts[..., 1:] = np.where(ordered[..., 1:] != ordered[..., :-1], np.arange(1, n), 0)
    lengths = np.arange(n) - np.maximum.accumulate(starts, -1)
    # The first place where a run is longest is the end of the longest run of the smallest value.
    end = np.argmax(lengths, -1)
    return np.take_along_axis(order, end[..., None], -1)[..., 0]


def searchsorted(boundaries: Array, x: Array, right: bool) -> Array:
    """Where each element of ``x`` goes in the rows of ``boundaries`` so that they stay sorted."""
    side: Any = "right" if right else "left"
    if np.ndim(boundaries) == 1:
        return np.searchsorted(boundaries, x, side)
    out = np.empty(np.shape(x), np.int64)
    for i in np.ndindex(boundaries.shape[:-1]):
        out[i] = np.searchsorted(boundaries[i], x[i], side)
    return out


def histogram(x: Array, weight: Array | None, edges: Array) -> Array:
    """Total weight of the elements of ``x`` between each two edges; the last bin is closed."""
    n = len(edges) - 1
    found = np.searchsorted(edges, x, "right") - 1
    where: Array = np.where(x == edges[-1], n - 1, found)
    inside = (x >= edges[0]) & (x <= edges[-1])
    weights = None if weight is None else weight[inside]
    return np.bincount(where[inside], weights, n).astype(edges.dtype)


def histc(x: Array, bins: int, low: float, high: float) -> Array:
    """Counts of elements in ``bins`` equal bins; equal bounds stand for those of the data."""
    x = np.ravel(x)
    if low == high and x.size:
        low, high = x.min(), x.max()
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ArgumentError(
            f"histc(): range of [{low:g}, {high:g}] is not finite; give finite min and max."
        )
    x = x[(x >= low) & (x <= high)]
    where = ((x - low) * bins / (high - low)).astype(np.int64)
    return np.bincount(np.minimum(where, bins - 1), minlength=bins)
