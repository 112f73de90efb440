"""Samplers: in which order, and in which groups, a DataLoader visits the samples.

A random sampler draws one seed from its generator whenever an order is begun; the order itself is
a pure function of that seed. So a loader that remembers the seed can resume in mid-epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from backlit.data.seeds import draw_seed, permutation, rng_of
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator

T_co = TypeVar("T_co", covariant=True)
Order = np.ndarray[Any, np.dtype[np.int64]]


class Sampler(Generic[T_co]):
    """Base of samplers: an iterable over indices, or over lists of indices."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: a Sampler must define __iter__().")


class SequentialSampler(Sampler[int]):
    """All samples in order.

    >>> list(backlit.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class SeededSampler(Sampler[int]):
    """Base of the random samplers: `order` says the order that belongs to a seed."""

    generator: Generator | None

    def order(self, seed: int) -> Order:
        """The indices of one pass, for a seed."""
        raise NotImplementedError(f"{type(self).__name__}: a SeededSampler must define order().")

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(draw_seed(self.generator)).tolist())


class RandomSampler(SeededSampler):
    """All samples in random order, or random samples with replacement.

    Args:
        replacement: draw every sample from all of them.
        num_samples: how many to draw; by default as many as there are. Without replacement, more
            than there are takes several whole passes.
        generator: source of randomness; the default one if None.

    Raises:
        ArgumentError: `num_samples` is not a positive integer, or the data set is empty.

    >>> sorted(backlit.data.RandomSampler("abcd"))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        check_flag("RandomSampler", "replacement", replacement)
        if num_samples is not None:
            check_count("RandomSampler", "num_samples", num_samples)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many samples one pass draws; follows a data set that changes its length."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self, seed: int) -> Order:
        """The indices of one pass, for a seed."""
        size = len(self.data_source)
        if not size and self.num_samples:
            raise ArgumentError(
                f"RandomSampler: cannot draw {self.num_samples} samples from an empty data set."
            )
        if self.replacement:
            drawn: Order = rng_of(seed).integers(0, size, self.num_samples)
            return drawn
        if self.num_samples <= size:
            return permutation(size, seed)[: self.num_samples]
        rng = rng_of(seed)
        passes = [rng.permutation(size) for _ in range(-(-self.num_samples // size))]
        order: Order = np.concatenate(passes)[: self.num_samples]
        return order

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(SeededSampler):
    """The given indices in random order.

    >>> sorted(backlit.data.SubsetRandomSampler([5, 2, 9]))
    [2, 5, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def order(self, seed: int) -> Order:
        """The indices of one pass, for a seed."""
        chosen: Order = np.asarray(self.indices, dtype=np.int64)
        shuffled: Order = chosen[permutation(len(chosen), seed)]
        return shuffled

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(SeededSampler):
    """Samples drawn with probabilities in proportion to `weights`.

    Args:
        weights: one number ≥ 0 per sample; they need not add up to 1.
        num_samples: how many to draw.
        replacement: if False, no sample is drawn twice.

    Raises:
        ArgumentError: a weight is negative, infinite or NaN, all are zero, or more samples are
            asked for without replacement than have a weight above 0.

    >>> list(backlit.data.WeightedRandomSampler([0.0, 1.0], num_samples=3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        check_count("WeightedRandomSampler", "num_samples", num_samples)
        check_flag("WeightedRandomSampler", "replacement", replacement)
        self.weights = np.asarray(weights, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ArgumentError(
                "WeightedRandomSampler: weights must have one dimension, "
                f"got shape {self.weights.shape}."
            )
        bad = np.flatnonzero(~(np.isfinite(self.weights) & (self.weights >= 0)))
        if bad.size:
            raise ArgumentError(
                f"WeightedRandomSampler: weight {bad[0]} is {self.weights[bad[0]]}; "
                "weights must be finite and not negative."
            )
        positive = int((self.weights > 0).sum())
        if positive < (1 if replacement else num_samples):
            raise ArgumentError(
                f"WeightedRandomSampler: {positive} samples have a weight above 0, too few to "
                f"draw {num_samples} {'with' if replacement else 'without'} replacement."
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def order(self, seed: int) -> Order:
        """The indices of one pass, for a seed."""
        rng = rng_of(seed)
        if self.replacement:
            possible = np.flatnonzero(self.weights)
            bounds = np.cumsum(self.weights[possible])
            drawn = np.searchsorted(bounds[:-1], rng.random(self.num_samples) * bounds[-1], "right")
            chosen: Order = possible[drawn]
            return chosen
        # Efraimidis and Spirakis 2006: the largest u^(1/w) are a weighted draw, in order.
        with np.errstate(divide="ignore"):
            keys = np.log(rng.random(len(self.weights))) / self.weights
        return np.argsort(-keys, kind="stable")[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups another sampler's indices into lists.

    Raises:
        ArgumentError: `batch_size` is not a positive integer, or `drop_last` not a bool.

    >>> list(backlit.data.BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_count("BatchSampler", "batch_size", batch_size)
        check_flag("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        """`indices` in lists of `batch_size`."""
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def parts(self, order: Order) -> Iterator[Order]:
        """`order` in arrays of `batch_size`."""
        size = self.batch_size
        end = len(order) // size * size if self.drop_last else len(order)
        return (order[start : start + size] for start in range(0, end, size))

    def __iter__(self) -> Iterator[list[int]]:
        return self.batches(iter(self.sampler))

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]  # if it has one
        return whole + bool(rest and not self.drop_last)


def is_seeded(sampler: Any) -> bool:
    """Whether the sampler's order depends on nothing but a seed."""
    begin = getattr(type(sampler), "__iter__", None)
    if begin is BatchSampler.__iter__:
        return is_seeded(sampler.sampler)
    return begin is SeededSampler.__iter__


def generator_of(sampler: Any) -> Generator | None:
    """The generator a random sampler draws from, if it has its own."""
    if isinstance(sampler, BatchSampler):
        return generator_of(sampler.sampler)
    return sampler.generator if isinstance(sampler, SeededSampler) else None


def indices_of(sampler: Any, seed: int) -> Iterator[Any]:
    """One pass over the sampler; `seed` decides the order if the sampler is seeded."""
    if not is_seeded(sampler):
        return iter(sampler)
    if isinstance(sampler, BatchSampler):
        return sampler.batches(indices_of(sampler.sampler, seed))
    return iter(sampler.order(seed).tolist())


def arrays_of(sampler: Any, seed: int) -> Iterator[Order] | None:
    """The batches of `indices_of` as arrays, if a BatchSampler knows the order beforehand.

    >>> [part.tolist() for part in arrays_of(BatchSampler(SequentialSampler("abc"), 2, False), 0)]
    [[0, 1], [2]]
    """
    if type(sampler) is not BatchSampler:
        return None
    begin = getattr(type(sampler.sampler), "__iter__", None)
    if begin is SeededSampler.__iter__:
        return sampler.parts(sampler.sampler.order(seed))  # type: ignore[attr-defined]
    if begin is SequentialSampler.__iter__:
        return sampler.parts(np.arange(len(sampler.sampler)))  # type: ignore[arg-type]
    return None


def check_count(owner: str, name: str, value: Any) -> None:
    """Raise unless `value` is a positive integer."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value <= 0:
        raise ArgumentError(f"{owner}: {name} must be a positive integer, got {value!r}.")


def check_flag(owner: str, name: str, value: Any) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{owner}: {name} must be True or False, got {value!r}.")
