"""Philox4x64-10 in NumPy (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

_MASK = (1 << 64) - 1
_local = threading.local()


def random_words(seed: int, offset: int, n: int) -> Any:
    """``n`` 64-bit words of the stream of ``seed``, from block ``offset`` on (4 words a block)."""
    generator = getattr(_local, "philox", None)
    if generator is None:
        generator = _local.philox = np.random.Philox(0)
        _local.state = generator.state
    state = _local.state
    # NumPy counts a block before it makes it; beginning one before makes the first block number
    # `offset`.
    counter = (offset - 1) & ((1 << 256) - 1)
    inner = state["state"]
    inner["counter"][:] = [counter >> (64 * i) & _MASK for i in range(4)]
    inner["key"][:] = [seed & _MASK, seed >> 64 & _MASK]
    state["buffer_pos"] = 4
    state["has_uint32"] = 0
    generator.state = state
    return generator.random_raw(n)


def random_uniform(seed: int, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Uniform numbers in [0, 1): one word an element, its top 24 (float32) or 53 (float64) bits."""
    words = random_words(int(seed), int(offset), int(np.prod(shape, dtype=np.int64)))
    if dtype == np.float64:
        found = (words >> np.uint64(11)) * 2.0**-53
    else:
        found = (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        if dtype != np.float32:  # rounding to a narrower type must not reach 1
            found = np.minimum(
                found.astype(dtype), np.asarray(1 - float(np.finfo(np.float16).eps) * 4, dtype)
            )
    return found.reshape(shape)
