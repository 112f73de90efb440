"""Where the randomness of data loading comes from: seeds drawn from Backlit's generators.

Orders and worker streams are pure functions of such a seed, by NumPy's Philox.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from backlit.ops.generator import Generator, default_generator, manual_seed


def draw_seed(generator: Generator | None) -> int:
    """The next seed of a generator; of the default one if None."""
    return mix(*(generator or default_generator).take(1))


def rng_of(*seed: int) -> np.random.Generator:
    """NumPy's generator for a seed of one or more numbers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))


def permutation(size: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of 0 … size-1 that belongs to a seed."""
    return rng_of(seed).permutation(size)


def mix(*seed: int) -> int:
    """One seed out of several numbers: different numbers give unrelated seeds."""
    low, high = np.random.SeedSequence(seed).generate_state(2)
    return int(high) << 31 ^ int(low)


def seed_process(seed: int) -> None:
    """Seed the generators that a data set may draw from: random's, NumPy's and Backlit's."""
    random.seed(seed)
    # The legacy generator is the one that existing data sets draw from.
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))  # noqa: NPY002
    manual_seed(seed)
