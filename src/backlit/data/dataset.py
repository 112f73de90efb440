"""Data sets: with an index, or only to iterate over; and ways to join and to split them."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import accumulate
from typing import Any, Generic, TypeVar, cast

from backlit.core.tensor import Tensor
from backlit.data.seeds import draw_seed, permutation
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """A data set with an index: subclasses define `__getitem__` and, almost always, `__len__`.

    >>> class Squares(backlit.data.Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> (Squares() + Squares())[7]
    4
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(
            f"{type(self).__name__}: a Dataset must define __getitem__(index)."
        )

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """A data set that is only iterated over: a stream. Subclasses define `__iter__`.

    With several workers each has its own copy and would repeat all samples: use
    `get_worker_info()` in `__iter__` to give each its share.

    >>> class Countdown(backlit.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter([3, 2, 1])
    >>> list(Countdown() + Countdown())
    [3, 2, 1, 3, 2, 1]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(
            f"{type(self).__name__}: an IterableDataset must define __iter__()."
        )

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]  # as PyTorch: streams chain
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Rows of one or more tensors of equal length.

    Raises:
        ArgumentError: no tensors, or tensors of different lengths.

    >>> x, y = backlit.tensor([[1.0], [2.0]]), backlit.tensor([0, 1])
    >>> backlit.data.TensorDataset(x, y)[1]
    (tensor([2.]), tensor(1))
    """

    def __init__(self, *tensors: Tensor) -> None:
        lengths = [len(tensor) for tensor in tensors]
        if not lengths:
            raise ArgumentError("TensorDataset: expected at least one tensor, got none.")
        if len(set(lengths)) > 1:
            raise ArgumentError(
                f"TensorDataset: the tensors have {', '.join(map(str, lengths))} rows; "
                "all must have one row per sample."
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset[Any]):
    """Several data sets side by side: samples are tuples, or dicts if given by name.

    Raises:
        ArgumentError: none given, positional and named ones mixed, or different lengths.

    >>> stacked = backlit.data.StackDataset(image=[10, 20], label=["a", "b"])
    >>> stacked[1]
    {'image': 20, 'label': 'b'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError(
                "StackDataset: give data sets either all by position (samples become tuples) "
                "or all by name (samples become dicts)."
            )
        self.datasets: tuple[Any, ...] | dict[str, Any] = args or kwargs
        lengths = [len(part) for part in args or kwargs.values()]
        if len(set(lengths)) > 1:
            raise ArgumentError(
                f"StackDataset: the data sets have {', '.join(map(str, lengths))} samples; "
                "all must have the same number."
            )
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: part[index] for name, part in self.datasets.items()}
        return tuple(part[index] for part in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples at `indices`, in one call to each part that takes several at once."""
        if isinstance(self.datasets, dict):
            columns = [samples_at(part, indices) for part in self.datasets.values()]
            rows = zip(*columns, strict=True)
            return [dict(zip(self.datasets, row, strict=True)) for row in rows]
        return list(zip(*(samples_at(part, indices) for part in self.datasets), strict=True))

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """One data set after the other.

    Raises:
        ArgumentError: none given, or an IterableDataset among them.

    >>> backlit.data.ConcatDataset(["abc", "de"])[3]
    'd'
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: expected at least one data set, got none.")
        for position, part in enumerate(self.datasets):
            if isinstance(part, IterableDataset):
                raise ArgumentError(
                    f"ConcatDataset: data set {position}, a {type(part).__name__}, has no index; "
                    "use ChainDataset for streams."
                )
        self.cumulative_sizes = list(accumulate(len(part) for part in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(
                f"ConcatDataset: index {index} is outside its {size} samples; "
                f"it takes {-size} to {size - 1}."
            )
        index %= size
        part = bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[part - 1] if part else 0
        sample: T_co = self.datasets[part][index - before]
        return sample


class ChainDataset(IterableDataset[Any]):
    """One stream after the other.

    Raises:
        ArgumentError: a part is not an IterableDataset.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        for position, part in enumerate(self.datasets):
            if not isinstance(part, IterableDataset):
                raise ArgumentError(
                    f"ChainDataset: data set {position}, a {type(part).__name__}, is not an "
                    "IterableDataset; use ConcatDataset for data sets with an index."
                )

    def __iter__(self) -> Iterator[Any]:
        for part in self.datasets:
            yield from part  # type: ignore[misc]  # checked in __init__

    def __len__(self) -> int:
        return sum(len(cast("Sized", part)) for part in self.datasets)


class Subset(Dataset[T_co]):
    """Some samples of a data set, by their indices.

    >>> backlit.data.Subset("abcde", [4, 0])[0]
    'e'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]  # the user's
        return self.dataset[self.indices[index]]  # the user's

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        """The samples at `indices`, in one call where the data set allows it."""
        return samples_at(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def samples_at(dataset: Any, indices: Sequence[int]) -> list[Any]:
    """The samples at `indices`; a failing one is named in a note on its exception."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples = dataset.__getitems__(list(indices))
        if len(samples) != len(indices):
            raise ArgumentError(
                f"{type(dataset).__name__}.__getitems__ returned {len(samples)} samples for "
                f"{len(indices)} indices; it must return one for each."
            )
        return list(samples)
    samples = []
    for index in indices:
        try:
            samples.append(dataset[index])
        except Exception as error:
            error.add_note(f"While loading sample {index!r} of {type(dataset).__name__}.")
            raise
    return samples


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[Any]]:
    """Split a data set at random into parts that do not overlap.

    Args:
        lengths: the sizes of the parts; or their shares, which add up to 1. What rounding down
            leaves over goes to the parts in turn, from the first.
        generator: source of randomness; the default one if None.

    Raises:
        ArgumentError: the sizes do not add up to the data set's, or a share is outside [0, 1].

    >>> train, test = backlit.data.random_split(range(10), [0.75, 0.25])
    >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
    (8, 2, True)
    """
    total = len(dataset)
    sizes = list(lengths)
    if any(isinstance(length, float) for length in lengths):
        sizes = sizes_of_shares(lengths, total)
    if sum(sizes) != total:
        raise ArgumentError(
            f"random_split: the lengths {list(lengths)} add up to {sum(sizes)}, but the data set "
            f"has {total} samples; use sizes that add up to it, or shares that add up to 1."
        )
    for position, size in enumerate(sizes):
        if size == 0:
            warnings.warn(f"random_split: part {position} is empty.", UserWarning, stacklevel=2)
    order = permutation(total, draw_seed(generator)).tolist()
    ends = list(accumulate(int(size) for size in sizes))
    return [
        Subset(dataset, order[end - int(size) : end]) for end, size in zip(ends, sizes, strict=True)
    ]


def sizes_of_shares(shares: Sequence[float], total: int) -> list[int | float]:
    """Whole sizes for shares of `total`."""
    for position, share in enumerate(shares):
        if not 0 <= share <= 1:
            raise ArgumentError(
                f"random_split: share {position} is {share}; shares lie between 0 and 1 "
                "and add up to 1."
            )
    if not math.isclose(sum(shares), 1):
        raise ArgumentError(
            f"random_split: the shares {list(shares)} add up to {sum(shares):g}, not to 1."
        )
    sizes: list[int | float] = [math.floor(total * share) for share in shares]
    for extra in range(total - int(sum(sizes))):
        sizes[extra % len(sizes)] += 1
    return sizes
