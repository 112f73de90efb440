"""Kernels with much to do run in chunks over the pool: same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
from backlit.native.machine import threads
from backlit.native.machine.parallel import parallel_address
from tests.native.programs import hot, largest_plan

rng = np.random.default_rng(0)


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = threads.pool().num_threads
    yield
    threads.pool().set_num_threads(before)


def given(*shape: int) -> Any:
    t = backlit.tensor(rng.standard_normal(shape)).float()
    backlit.flush()
    return t


def mixture() -> Any:
    """Elementwise, row and column work large enough to be cut, with sizes that do not divide."""
    x, y, row = given(611, 1501), given(611, 1501), given(1501)

    def compute() -> Any:
        z = (x * y + row).tanh()
        return z, z.softmax(1), z - z.amax(1, keepdim=True), z.sum(1), z.sum(0)

    return compute


def calls_of(plan: Any) -> list[int]:
    """The functions that the entries of a plan call."""
    import ctypes

    found = []
    for segment in plan.segments:
        _, _, _, _, entries, count = (int(word) for word in segment.head[:6])
        words = (ctypes.c_int64 * (2 * count)).from_address(entries)
        found += list(words[::2])
    return found


def test_large_kernels_are_cut() -> None:
    """A program over a million elements runs on the pool, one over a thousand does not."""
    large, small = given(1000, 1000), given(30, 30)
    address = parallel_address()
    assert address is not None
    assert address in calls_of(largest_plan(lambda: large.exp() * 2.0))
    assert address not in calls_of(largest_plan(lambda: small.exp() * 2.0))


@pytest.mark.usefixtures("restored_threads")
def test_bits_do_not_depend_on_threads() -> None:
    """One thread, two and three give the same bits."""
    compute = mixture()
    found = []
    for count in (1, 2, 3):
        threads.pool().set_num_threads(count)
        found.append([t.numpy().tobytes() for t in hot(compute)])
    assert found[0] == found[1] == found[2]
