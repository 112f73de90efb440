"""Which elements of one dimension each element of a resampled one is made of, and with what weight.

All maps are PyTorch's: pixels are squares whose centres lie at i + 1/2, unless corners are aligned.
Positions are computed in the precision of the image, as PyTorch does, so that ties fall alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Taps(NamedTuple):
    """Element i of the result is Σⱼ weights[i, j] · x[index[i, j]]; without weights, x[index[i]].

    Attributes:
        index: whole numbers, (m,) or (m, taps).
        weights: (m, taps); None where elements are only picked.
        used: where taps count, for results made of differing numbers of elements; None: everywhere.
    """

    index: Array
    weights: Array | None = None
    used: Array | None = None


def nearest(n: int, m: int, scale: float | None, exact: bool) -> Taps:
    """The element under the corner of each new pixel, or under its centre if ``exact``."""
    step = np.float32(1 / scale) if scale else np.float32(n) / np.float32(m)
    at = np.arange(m).astype(np.float32)
    at = (at + np.float32(0.5)) * step if exact else at * step
    return Taps(np.minimum(np.floor(at).astype(np.int64), n - 1))


def _step(n: int, m: int, scale: float | None, aligned: bool, d: Any) -> Any:
    """How far apart the centres of new pixels are, in old pixels."""
    if aligned:
        return d(n - 1) / d(m - 1) if m > 1 else d(0)
    return d(1 / scale) if scale else d(n) / d(m)


def _positions(n: int, m: int, scale: float | None, aligned: bool, d: Any) -> Array:
    step, i = _step(n, m, scale, aligned, d), np.arange(m).astype(d)
    return i * step if aligned else (i + d(0.5)) * step - d(0.5)


def linear(n: int, m: int, scale: float | None, aligned: bool, d: Any) -> Taps:
    """The two neighbours of each position, weighted by the distance to the other one."""
    if n == m:
        return Taps(np.arange(n))
    at = np.maximum(_positions(n, m, scale, aligned, d), 0)
    first = np.minimum(np.floor(at).astype(np.int64), n - 1)
    part = np.clip(at - first.astype(d), 0, 1)
    second = np.minimum(first + 1, n - 1)
    return Taps(np.stack([first, second], 1), np.stack([1 - part, part], 1))


def _cubic(x: Array, a: float) -> Array:
    """Keys' kernel (1981): 1 at 0, 0 at ±1 and beyond ±2, slope ``a`` at ±1."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def cubic(n: int, m: int, scale: float | None, aligned: bool, d: Any) -> Taps:
    """Two neighbours on each side; beyond the edges, the edge element."""
    at = _positions(n, m, scale, aligned, d)
    first = np.minimum(np.floor(at).astype(np.int64), n - 1)
    part = np.clip(at - first.astype(d), 0, 1)
    offsets = np.arange(-1, 3)
    index = np.clip(first[:, None] + offsets, 0, n - 1)
    return Taps(index, _cubic(part[:, None] - offsets, -0.75))


def _windows(low: Array, high: Array) -> tuple[Array, Array]:
    """The indices from ``low`` to ``high`` - 1 in rows of one length, and which of them count."""
    width = int((high - low).max(initial=1))
    index = low[:, None] + np.arange(width)
    used = index < high[:, None]
    return np.where(used, index, low[:, None]), used


def area(n: int, m: int) -> Taps:
    """The mean of all elements that each new pixel touches: adaptive average pooling."""
    i = np.arange(m)
    low, high = i * n // max(m, 1), -(-(i + 1) * n // max(m, 1))
    index, used = _windows(low, high)
    return Taps(index, used / np.maximum(used.sum(1, keepdims=True), 1), used)


_FILTERS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "bilinear": (1, lambda x: np.maximum(1 - np.abs(x), 0)),
    "bicubic": (2, lambda x: _cubic(x, -0.5)),
    "lanczos": (3, lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)),
}


def antialiased(n: int, m: int, scale: float | None, aligned: bool, d: Any, mode: str) -> Taps:
    """A filter as wide as the new pixels where they are larger than the old ones."""
    reach, kernel = _FILTERS[mode]
    step = float(_step(n, m, scale, aligned, d))
    stretch = max(step, 1.0)
    centre = step * (np.arange(m) + 0.5)
    support = reach * stretch
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    high = np.minimum((centre + support + 0.5).astype(np.int64), n)
    # At most so many taps: rounding must not add one
    high = np.minimum(high, low + math.ceil(support) * 2 + 1)
    index, used = _windows(low, high)
    weights = np.where(used, kernel((index - centre[:, None] + 0.5) / stretch), 0)
    total = weights.sum(1, keepdims=True)
    return Taps(index, weights / np.where(total == 0, 1, total), used)
