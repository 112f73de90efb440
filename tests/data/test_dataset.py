"""Data sets and ways to join and split them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from backlit import data
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator


class Countdown(data.IterableDataset[int]):
    """A stream of `n`, …, 1."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n, 0, -1))

    def __len__(self) -> int:
        return self.n


class Batched(data.Dataset[int]):
    """Takes several indices at once; notes how it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.asked.append(indices)
        return [index * 10 for index in indices]

    def __len__(self) -> int:
        return 5


def rows(*columns: Any) -> data.TensorDataset:
    """A TensorDataset of arrays."""
    return data.TensorDataset(*(from_array(np.asarray(column)) for column in columns))


def test_tensor_dataset_gives_rows() -> None:
    """A sample holds one row of every tensor."""
    dataset = rows([[1.0, 2.0], [3.0, 4.0]], [5, 6])
    assert len(dataset) == 2
    assert [realize(part).tolist() for part in dataset[1]] == [[3.0, 4.0], 6]


def test_concatenation_goes_through_the_parts() -> None:
    """Indices run through all parts, negative ones from the end; `+` concatenates."""
    joined = data.ConcatDataset(["abc", "", "de"])
    assert [joined[i] for i in range(len(joined))] == list("abcde")
    assert joined[-1] == "e"
    assert joined.cumulative_sizes == [3, 3, 5]
    assert len(rows([1.0]) + rows([2.0, 3.0])) == 3


def test_chain_goes_through_the_streams() -> None:
    """Streams follow each other; `+` chains them."""
    chain = Countdown(2) + Countdown(1)
    assert list(chain) == [2, 1, 1]
    assert len(chain) == 3


def test_stack_gives_tuples_or_dicts() -> None:
    """Data sets side by side give tuples, or dicts where they have names; also several at once."""
    assert data.StackDataset("ab", [1, 2])[1] == ("b", 2)
    named = data.StackDataset(letter="ab", number=[1, 2])
    assert named[0] == {"letter": "a", "number": 1}
    assert len(named) == 2
    assert named.__getitems__([1, 0]) == [
        {"letter": "b", "number": 2},
        {"letter": "a", "number": 1},
    ]
    assert data.StackDataset("ab", [1, 2]).__getitems__([1]) == [("b", 2)]


def test_subset_asks_for_several_samples_at_once() -> None:
    """A data set with `__getitems__` is asked once, also through subsets of subsets."""
    dataset = Batched()
    inner: data.Subset[int] = data.Subset(dataset, [4, 2, 0])
    outer: data.Subset[int] = data.Subset(inner, [1, 2])
    assert outer.__getitems__([0, 1]) == [20, 0]
    assert dataset.asked == [[2, 0]]
    assert data.Subset("abc", [2, 0])[1] == "a"
    assert data.Subset(np.arange(5) * 10, [4, 2, 0])[[0, 1]].tolist() == [40, 20]


@pytest.mark.parametrize(
    "lengths, sizes",
    [([3, 7], [3, 7]), ([0.5, 0.5], [5, 5]), ([0.75, 0.25], [8, 2]), ([1 / 3] * 3, [4, 3, 3])],
)
def test_split_parts_have_their_sizes_and_do_not_overlap(
    lengths: list[float], sizes: list[int]
) -> None:
    """Every sample is in exactly one part; the rest of rounding goes to the first parts."""
    parts = data.random_split(range(10), lengths)
    assert [len(part) for part in parts] == sizes
    assert sorted(sample for part in parts for sample in part) == list(range(10))


def test_split_follows_its_generator() -> None:
    """Equal seeds split equally, others do not."""
    splits = [
        list(data.random_split(range(100), [50, 50], Generator().manual_seed(seed))[0])
        for seed in (1, 1, 2)
    ]
    assert splits[0] == splits[1] != splits[2]


def test_empty_part_warns() -> None:
    """A part without samples is allowed, with a warning."""
    with pytest.warns(UserWarning, match=r"random_split: part 1 is empty\."):
        parts = data.random_split(range(3), [3, 0])
    assert len(parts[1]) == 0


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: data.Dataset()[0],
        NotImplementedError,
        "Dataset: a Dataset must define __getitem__(index).",
    ),
    (
        lambda: iter(data.IterableDataset()),
        NotImplementedError,
        "IterableDataset: an IterableDataset must define __iter__().",
    ),
    (
        data.TensorDataset,
        ArgumentError,
        "TensorDataset: expected at least one tensor, got none.",
    ),
    (
        lambda: rows([1, 2], [1, 2, 3]),
        ArgumentError,
        "TensorDataset: the tensors have 2, 3 rows; all must have one row per sample.",
    ),
    (
        lambda: data.StackDataset("ab", named="ab"),
        ArgumentError,
        (
            "StackDataset: give data sets either all by position (samples become tuples) or all by "
            "name (samples become dicts)."
        ),
    ),
    (
        lambda: data.StackDataset("ab", "abc"),
        ArgumentError,
        "StackDataset: the data sets have 2, 3 samples; all must have the same number.",
    ),
    (
        lambda: data.ConcatDataset([]),
        ArgumentError,
        "ConcatDataset: expected at least one data set, got none.",
    ),
    (
        lambda: data.ConcatDataset(["ab", Countdown(2)]),
        ArgumentError,
        "ConcatDataset: data set 1, a Countdown, has no index; use ChainDataset for streams.",
    ),
    (
        lambda: data.ConcatDataset(["ab"])[2],
        IndexError,
        "ConcatDataset: index 2 is outside its 2 samples; it takes -2 to 1.",
    ),
    (
        lambda: data.ChainDataset([rows([1])]),
        ArgumentError,
        (
            "ChainDataset: data set 0, a TensorDataset, is not an IterableDataset; use "
            "ConcatDataset for data sets with an index."
        ),
    ),
    (
        lambda: data.random_split(range(5), [2, 2]),
        ArgumentError,
        (
            "random_split: the lengths [2, 2] add up to 4, but the data set has 5 samples; use "
            "sizes that add up to it, or shares that add up to 1."
        ),
    ),
    (
        lambda: data.random_split(range(5), [1.5, -0.5]),
        ArgumentError,
        "random_split: share 0 is 1.5; shares lie between 0 and 1 and add up to 1.",
    ),
    (
        lambda: data.random_split(range(5), [0.5, 0.4]),
        ArgumentError,
        "random_split: the shares [0.5, 0.4] add up to 0.9, not to 1.",
    ),
]


@pytest.mark.parametrize("act, kind, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error says what is wrong and what to do."""
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value) == message


def test_wrong_number_of_samples_is_noticed() -> None:
    """`__getitems__` must give one sample per index."""

    class Short(Batched):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [0]

    with pytest.raises(ArgumentError) as caught:
        data.Subset(Short(), [0, 1]).__getitems__([0, 1])
    assert str(caught.value) == (
        "Short.__getitems__ returned 1 samples for 2 indices; it must return one for each."
    )
