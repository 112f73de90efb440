"""Orders: complete, random, weighted, in batches; and a function of their seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backlit import data
from backlit.data.sampler import SeededSampler, arrays_of, indices_of, is_seeded
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator


def seeded(seed: int) -> Generator:
    """A generator with a seed."""
    return Generator().manual_seed(seed)


def test_sequential_order() -> None:
    """All indices in order."""
    sampler = data.SequentialSampler("abc")
    assert list(sampler) == [0, 1, 2]
    assert len(sampler) == 3


def test_random_order_is_complete_and_follows_its_generator() -> None:
    """Every index once; equal seeds give equal orders; every pass another one."""
    first, same, other = (
        list(data.RandomSampler(range(50), generator=seeded(seed))) for seed in (1, 1, 2)
    )
    assert sorted(first) == list(range(50))
    assert first == same != other
    sampler = data.RandomSampler(range(50))
    assert list(sampler) != list(sampler)


def test_random_order_of_another_length() -> None:
    """Fewer samples than there are, more (whole passes first), or with replacement."""
    fewer = list(data.RandomSampler(range(10), num_samples=4))
    assert len(set(fewer)) == 4
    more = list(data.RandomSampler(range(3), num_samples=8))
    assert sorted(more[:3]) == sorted(more[3:6]) == [0, 1, 2]
    assert len(more) == 8
    drawn = list(data.RandomSampler(range(5), replacement=True, num_samples=2000))
    assert np.bincount(drawn).min() > 300
    assert list(data.RandomSampler([])) == []


def test_subset_in_random_order() -> None:
    """The given indices, each once."""
    assert sorted(data.SubsetRandomSampler([7, 3, 5])) == [3, 5, 7]


def test_weights_decide_how_often() -> None:
    """Frequencies are in proportion to the weights; weight 0 is never drawn."""
    counts = np.bincount(list(data.WeightedRandomSampler([0, 1, 3, 0], 8000)), minlength=4)
    assert counts[0] == counts[3] == 0
    assert 0.70 < counts[2] / 8000 < 0.80


def test_weighted_without_replacement() -> None:
    """No index twice; heavy ones tend to come first."""
    weights = [1.0] * 9 + [50.0]
    firsts = 0
    for seed in range(200):
        drawn = list(
            data.WeightedRandomSampler(weights, 5, replacement=False, generator=seeded(seed))
        )
        assert len(set(drawn)) == 5
        firsts += drawn[0] == 9
    assert 150 < firsts < 190  # expected 200 · 50/59 ≈ 169


def test_batches() -> None:
    """Indices in groups; a short last group is kept or dropped."""
    kept = data.BatchSampler(range(5), 2, drop_last=False)
    assert list(kept) == [[0, 1], [2, 3], [4]]
    assert len(kept) == 3
    dropped = data.BatchSampler(range(5), 2, drop_last=True)
    assert list(dropped) == [[0, 1], [2, 3]]
    assert len(dropped) == 2


@pytest.mark.parametrize(
    "sampler",
    [
        data.RandomSampler(range(20)),
        data.SubsetRandomSampler(range(20)),
        data.WeightedRandomSampler(range(1, 21), 20),
        data.BatchSampler(data.RandomSampler(range(20)), 3, False),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_seed_decides_the_order(sampler: Any) -> None:
    """A seeded sampler's order is a function of the seed alone."""
    assert is_seeded(sampler)
    assert list(indices_of(sampler, 5)) == list(indices_of(sampler, 5))
    assert list(indices_of(sampler, 5)) != list(indices_of(sampler, 6))


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("size", [1, 4, 5, 20, 21])
@pytest.mark.parametrize(
    "sampler", [data.RandomSampler(range(20)), data.SequentialSampler(range(20))]
)
def test_batches_as_arrays(sampler: Any, size: int, drop_last: bool) -> None:
    """A known order in arrays is the same batches; other orders have no arrays."""
    batches = data.BatchSampler(sampler, size, drop_last)
    arrays = arrays_of(batches, 5)
    assert arrays is not None
    assert [part.tolist() for part in arrays] == list(indices_of(batches, 5))
    assert arrays_of(sampler, 5) is None
    assert arrays_of(data.BatchSampler([4, 2], size, drop_last), 5) is None

    class Own(data.BatchSampler):
        def __iter__(self) -> Any:
            return iter([[1], [2]])

    assert arrays_of(Own(sampler, size, drop_last), 5) is None


def test_own_iteration_is_respected() -> None:
    """A subclass with its own `__iter__`, or any iterable, is iterated over as it is."""

    class Backwards(data.RandomSampler):
        def __iter__(self) -> Any:
            return iter(range(len(self) - 1, -1, -1))

    assert not is_seeded(Backwards("abc"))
    assert list(indices_of(Backwards("abc"), 5)) == [2, 1, 0]
    assert list(indices_of([4, 2], 5)) == [4, 2]


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: iter(data.Sampler()),
        NotImplementedError,
        "Sampler: a Sampler must define __iter__().",
    ),
    (
        lambda: SeededSampler().order(0),
        NotImplementedError,
        "SeededSampler: a SeededSampler must define order().",
    ),
    (
        lambda: data.RandomSampler("ab", num_samples=0),
        ArgumentError,
        "RandomSampler: num_samples must be a positive integer, got 0.",
    ),
    (
        lambda: data.RandomSampler("ab", replacement=1),  # type: ignore[arg-type]
        ArgumentError,
        "RandomSampler: replacement must be True or False, got 1.",
    ),
    (
        lambda: list(data.RandomSampler([], num_samples=3)),
        ArgumentError,
        "RandomSampler: cannot draw 3 samples from an empty data set.",
    ),
    (
        lambda: data.WeightedRandomSampler([[1.0]], 1),  # type: ignore[list-item]
        ArgumentError,
        "WeightedRandomSampler: weights must have one dimension, got shape (1, 1).",
    ),
    (
        lambda: data.WeightedRandomSampler([1.0, -2.0], 1),
        ArgumentError,
        "WeightedRandomSampler: weight 1 is -2.0; weights must be finite and not negative.",
    ),
    (
        lambda: data.WeightedRandomSampler([0.0, 0.0], 1),
        ArgumentError,
        (
            "WeightedRandomSampler: 0 samples have a weight above 0, too few to draw 1 with "
            "replacement."
        ),
    ),
    (
        lambda: data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False),
        ArgumentError,
        (
            "WeightedRandomSampler: 1 samples have a weight above 0, too few to draw 2 without "
            "replacement."
        ),
    ),
    (
        lambda: data.BatchSampler(range(3), 2.5, False),  # type: ignore[arg-type]
        ArgumentError,
        "BatchSampler: batch_size must be a positive integer, got 2.5.",
    ),
]


@pytest.mark.parametrize("act, kind, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error says what is wrong and what to do."""
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value) == message
