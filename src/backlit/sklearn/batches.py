"""Samples, and the batches of tensors that an epoch's steps take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backlit.core.create import from_numpy
from backlit.core.tensor import Tensor
from backlit.sklearn.network import Array

GATHERED_BATCHES = 32


@dataclass
class Samples:
    """What is learnt from; `weight` may be None."""

    x: Array
    y: Array
    weight: Array | None = None

    def at(self, rows: Array) -> Samples:
        """Some of them, by indices, in that order."""
        return Samples(*(array.take(rows, 0) for array in self.arrays()))

    def arrays(self) -> list[Array]:
        """Inputs, targets and, if there are any, weights."""
        return [array for array in (self.x, self.y, self.weight) if array is not None]


class Batch(NamedTuple):
    """Consecutive samples as tensors: inputs, targets and, if there are any, weights."""

    tensors: tuple[Tensor, ...]
    size: int
    weight: Array | None  # the weights once more


class Batches:
    """Samples in batches of ``size``, the last of which may be smaller.

    Those that are shuffled are gathered into arrays which are filled again and again, so that a
    batch's tensors are made only once.
    """

    def __init__(self, samples: Samples, size: int, is_shuffled: bool) -> None:
        self.samples = samples
        self.size = size
        self._n = self._at_once = len(samples.x)
        self._arrays = samples.arrays()
        if is_shuffled:
            # Rows from all over the memory push what a step needs out of the caches: 100,000 x 20
            # takes 4 us more per step where each batch is gathered on its own.
            self._at_once = min(size * GATHERED_BATCHES, self._n)
            self._arrays = [np.empty_like(a[: self._at_once]) for a in self._arrays]
        self._cuts: dict[int, list[Batch]] = {}

    def epoch(self, order: Array | None) -> Iterator[Batch]:
        """All samples once; where they are shuffled, the next batch may overwrite the last."""
        for first in range(0, self._n, self._at_once):
            count = min(self._at_once, self._n - first)
            if order is not None:
                self._gather(order[first : first + count])
            if count not in self._cuts:
                self._cuts[count] = self._cut(count)
            yield from self._cuts[count]

    def _gather(self, rows: Array) -> None:
        """Fill the arrays with these rows."""
        for array, gathered in zip(self.samples.arrays(), self._arrays, strict=True):
            # `take` needs a fifth of the time of `array[rows]` where rows are short. Indices that
            # may be wrong would have it write elsewhere first.
            array.take(rows, 0, out=gathered[: len(rows)], mode="clip")

    def _cut(self, n: int) -> list[Batch]:
        """Batches of the first ``n`` rows of the arrays."""
        found = []
        for start in range(0, n, self.size):
            stop = min(start + self.size, n)
            parts = [array[start:stop] for array in self._arrays]
            weight = parts[2] if len(parts) > 2 else None
            found.append(Batch(tuple(map(from_numpy, parts)), stop - start, weight))
        return found
