"""DataLoader: batches, order, resuming; the same with and without workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from backlit import data
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator

KINDS: dict[str, dict[str, Any]] = {
    "serial": {},
    "process": {"num_workers": 2},
    "thread": {"num_workers": 2, "worker_kind": "thread"},
    "persistent": {"num_workers": 2, "persistent_workers": True},
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


class Squares(data.Dataset[int]):
    """0, 1, 4, …"""

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __getitem__(self, index: int) -> int:
        return index**2

    def __len__(self) -> int:
        return self.size


class Stream(data.IterableDataset[int]):
    """0 … size-1, shared among the workers."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, self.size, step))

    def __len__(self) -> int:
        return self.size


def lists(batches: Any) -> list[Any]:
    """Batches of numbers as lists."""
    return [realize(batch).tolist() for batch in batches]


def seeded(seed: int) -> Generator:
    """A generator with a seed."""
    return Generator().manual_seed(seed)


@kinds
def test_batches_come_in_order(options: dict[str, Any]) -> None:
    """Without shuffling, batches follow the data set; the last may be short or dropped."""
    loader = data.DataLoader(Squares(), batch_size=4, **options)
    for _ in range(2):
        assert lists(loader) == [[0, 1, 4, 9], [16, 25, 36, 49], [64, 81]]
    assert len(loader) == 3
    short = data.DataLoader(Squares(), batch_size=4, drop_last=True, **options)
    assert lists(short) == [[0, 1, 4, 9], [16, 25, 36, 49]]
    assert len(short) == 2


@kinds
def test_single_samples(options: dict[str, Any]) -> None:
    """`batch_size=None` gives samples as they are."""
    loader = data.DataLoader(Squares(4), batch_size=None, **options)
    assert list(loader) == [0, 1, 4, 9]
    assert len(loader) == 4


@kinds
def test_shuffling_is_complete_and_follows_the_generator(options: dict[str, Any]) -> None:
    """Every sample once an epoch, another order each epoch, the same for equal seeds."""
    loader = data.DataLoader(Squares(50), 8, shuffle=True, generator=seeded(3), **options)
    first, second = lists(loader), lists(loader)
    for epoch in (first, second):
        assert sorted(x for batch in epoch for x in batch) == [i**2 for i in range(50)]
    assert first != second
    serial = data.DataLoader(Squares(50), 8, shuffle=True, generator=seeded(3))
    assert [lists(serial), lists(serial)] == [first, second]


@kinds
def test_own_sampler_batch_sampler_and_collate(options: dict[str, Any]) -> None:
    """A sampler decides the order, a batch sampler the batches, collate_fn their form."""
    assert lists(data.DataLoader(Squares(), 2, sampler=[3, 1, 2], **options)) == [[9, 1], [4]]
    by_hand = data.DataLoader(Squares(), batch_sampler=[[5], [1, 2, 3]], **options)
    assert lists(by_hand) == [[25], [1, 4, 9]]
    assert len(by_hand) == 2
    assert list(data.DataLoader(Squares(4), 2, collate_fn=sum, **options)) == [1, 13]


@kinds
def test_streams(options: dict[str, Any]) -> None:
    """Every sample of a stream once, whoever reads it; a short batch may be dropped."""
    loader = data.DataLoader(Stream(11), batch_size=2, **options)
    for _ in range(2):
        batches = lists(loader)
        assert sorted(x for batch in batches for x in batch) == list(range(11))
    assert len(loader) == 6
    assert all(
        len(batch) == 2
        for batch in lists(data.DataLoader(Stream(11), 2, drop_last=True, **options))
    )
    singles = data.DataLoader(Stream(5), batch_size=None, **options)
    assert sorted(singles) == [0, 1, 2, 3, 4]
    assert len(data.DataLoader(Stream(11), 2, drop_last=True)) == 5


def test_tensor_rows_are_gathered_as_collated() -> None:
    """The fast path gives what one sample after the other gives, and copies the data."""
    x = from_array(np.arange(20.0).reshape(10, 2))
    y = from_array(np.arange(10))
    whole = data.TensorDataset(x, y)
    fast = data.DataLoader(whole, 4, shuffle=True, generator=seeded(1))
    slow = data.DataLoader(
        whole, 4, shuffle=True, generator=seeded(1), collate_fn=data.default_collate
    )
    for quick, usual in zip(fast, slow, strict=True):
        assert type(quick) is type(usual) is list
        for a, b in zip(quick, usual, strict=True):
            assert realize(a).tolist() == realize(b).tolist()
            assert not np.shares_memory(realize(a), realize(x))


@kinds
@pytest.mark.parametrize("stop", [0, 1, 4, 7])
def test_resuming_in_mid_epoch_continues_the_order(options: dict[str, Any], stop: int) -> None:
    """From a saved state, through JSON, the rest of the epoch and the next ones are the same."""

    def make(seed: int) -> data.DataLoader[Any]:
        return data.DataLoader(Squares(50), 8, shuffle=True, generator=seeded(seed), **options)

    straight = make(3)
    expected = [lists(straight) for _ in range(3)]
    broken = make(3)
    lists(broken)
    for number, _ in enumerate(broken, 1):
        if number == stop:
            break
    state = json.loads(json.dumps(broken.state_dict() if stop else straight_state(make(3))))
    resumed = make(99)
    resumed.load_state_dict(state)
    assert resumed.state_dict()["batches_done"] == state["batches_done"]
    rest = lists(resumed)
    assert rest == expected[1][stop % 7 :] if stop < 7 else rest == []
    assert lists(resumed) == expected[2]


def straight_state(loader: data.DataLoader[Any]) -> dict[str, Any]:
    """The state between the first and the second epoch."""
    lists(loader)
    return loader.state_dict()


def test_resuming_a_stream_skips_what_was_given() -> None:
    """A stream is read up to where it was."""
    loader = data.DataLoader(Stream(10), 3)
    next(iter(loader))
    resumed = data.DataLoader(Stream(10), 3)
    resumed.load_state_dict(loader.state_dict())
    assert lists(resumed) == [[3, 4, 5], [6, 7, 8], [9]]
    assert lists(resumed)[0] == [0, 1, 2]


def test_failing_sample_is_named() -> None:
    """Without workers the exception is the data set's own, with the index in a note."""

    class Broken(Squares):
        def __getitem__(self, index: int) -> int:
            return 1 // (index - 3)

    with pytest.raises(ZeroDivisionError) as caught:
        list(data.DataLoader(Broken(), 2))
    assert caught.value.__notes__ == ["While loading sample 3 of Broken."]


def test_epoch_has_a_length() -> None:
    """The iterator knows how many batches the epoch has, for progress bars."""
    epoch = iter(data.DataLoader(Squares(), 4))
    assert len(epoch) == 3  # type: ignore[arg-type]
    assert iter(epoch) is epoch


ERRORS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: data.DataLoader(Squares(), num_workers=-1),
        "DataLoader: num_workers must be 0 or a positive integer, got -1.",
    ),
    (
        lambda: data.DataLoader(Squares(), timeout=-2),
        "DataLoader: timeout must not be negative, got -2.",
    ),
    (
        lambda: data.DataLoader(Squares(), worker_kind="fibre"),
        "DataLoader: worker_kind must be 'process' or 'thread', got 'fibre'.",
    ),
    (
        lambda: data.DataLoader(Squares(), prefetch_factor=2),
        "DataLoader: prefetch_factor needs workers to load ahead; set num_workers above 0.",
    ),
    (
        lambda: data.DataLoader(Squares(), num_workers=1, prefetch_factor=0),
        "DataLoader: prefetch_factor must be a positive integer, got 0.",
    ),
    (
        lambda: data.DataLoader(Squares(), persistent_workers=True),
        "DataLoader: persistent_workers needs workers; set num_workers above 0.",
    ),
    (
        lambda: data.DataLoader(Stream(3), shuffle=True),
        "DataLoader: an IterableDataset decides its own order; shuffle cannot be used.",
    ),
    (
        lambda: data.DataLoader(Squares(), shuffle=True, sampler=[1]),
        "DataLoader: give either sampler or shuffle=True, not both.",
    ),
    (
        lambda: data.DataLoader(Squares(), 4, batch_sampler=[[1]]),
        (
            "DataLoader: batch_sampler decides the batches; leave out batch_size, shuffle, sampler "
            "and drop_last."
        ),
    ),
    (
        lambda: data.DataLoader(Squares(), None, drop_last=True),
        "DataLoader: batch_size=None makes no batches; leave out drop_last.",
    ),
    (
        lambda: data.DataLoader(Squares(), 0),
        "DataLoader: batch_size must be a positive integer, got 0.",
    ),
    (
        lambda: data.DataLoader(Squares()).load_state_dict({"generator": None}),
        (
            "DataLoader.load_state_dict: the state lacks batches_done, epoch_seed; pass what "
            "DataLoader.state_dict() gave."
        ),
    ),
    (
        lambda: data.DataLoader(Squares()).load_state_dict(
            data.DataLoader(Squares(), generator=seeded(1)).state_dict()
        ),
        (
            "DataLoader.load_state_dict: the saved loader had one of its own generators, this one "
            "has none; build it as it was saved."
        ),
    ),
]


@pytest.mark.parametrize("act, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], message: str) -> None:
    """Options that contradict each other are refused, with what to do."""
    with pytest.raises(ArgumentError) as caught:
        act()
    assert str(caught.value) == message
