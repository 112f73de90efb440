"""Which arrays results are written into: never one that anybody holds."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from backlit.native.reuse import Reuse

VECTOR = ((3,), np.dtype("float32"))
LARGE = ((3, 1000), np.dtype("float64"))


def held_by_a_variable() -> int:
    """The reference count of what one variable holds."""
    array = np.zeros(1)
    return sys.getrefcount(array)


def test_a_small_result_has_the_same_array_again() -> None:
    """Once nobody holds it; results that are held stay as they are."""
    reuse = Reuse([VECTOR], [])
    first = reuse.own_arrays()[0]
    address = first.ctypes.data
    second = reuse.own_arrays()[0]
    assert second.ctypes.data != address
    assert (first.shape, first.dtype) == (second.shape, second.dtype) == VECTOR
    last = second.ctypes.data
    del first, second
    assert reuse.own_arrays()[0].ctypes.data == last


def test_results_that_are_held_for_one_run_have_two_arrays_in_turn() -> None:
    """So does a parameter whose new value is computed from its old one, not in its place."""
    reuse = Reuse([VECTOR, VECTOR], [])
    held: list[Any] = []
    runs: list[list[weakref.ref[Any]]] = []
    for k in range(6):
        held = reuse.own_arrays()  # the run before is let go only now
        runs.append([weakref.ref(a) for a in held])
        assert k < 2 or all(a is ref() for a, ref in zip(held, runs[k - 2], strict=True))
    assert all(a is not ref() for a, ref in zip(held, runs[-2], strict=True))


def test_views_hold_their_array() -> None:
    """A view, a memoryview, or an array over the same memory is somebody who holds it."""
    makers: list[Any] = [lambda a: a[1:], memoryview, lambda a: np.frombuffer(a, np.float32)]
    for make in makers:
        reuse = Reuse([VECTOR], [])
        held = make(reuse.own_arrays()[0])
        other = reuse.own_arrays()[0]
        assert not np.shares_memory(np.asarray(held), other)


def test_large_results_are_not_kept() -> None:
    """They would take up memory between steps."""
    reuse = Reuse([LARGE], [])
    array = reuse.own_arrays()[0]
    assert sys.getrefcount(array) == held_by_a_variable()
    assert (array.shape, array.dtype) == LARGE


def test_donors_give_what_nobody_else_holds() -> None:
    """An input's array becomes the result's if only the list of inputs holds it and it owns its
    memory."""
    reuse = Reuse([VECTOR, VECTOR, VECTOR, None], [(0, 1), (1, 0), (2, 2)])
    held = np.zeros(3, np.float32)
    inputs = [held, np.zeros(3, np.float32), np.zeros(6, np.float32)[:3]]
    outputs = reuse.own_arrays()
    assert outputs == [None] * 4
    reuse.donate(inputs, outputs)
    assert outputs[0] is inputs[1]
    assert outputs[1] is not held
    assert outputs[2] is not inputs[2]
    assert outputs[3] is None
    assert [a.shape for a in outputs[:3]] == [(3,)] * 3


def test_reference_counts_are_right_afterwards() -> None:
    """Everything that was handed out is freed, and None is as it was."""
    reuse = Reuse([VECTOR, VECTOR, LARGE], [(1, 0)])
    for hold in (False, True) * 50:
        inputs = [np.zeros(3, np.float32)]
        kept = inputs[0] if hold else None
        outputs = reuse.own_arrays()
        reuse.donate(inputs, outputs)
        given = outputs[1]
        del outputs, inputs
        assert sys.getrefcount(given) == held_by_a_variable()
        assert kept is None or sys.getrefcount(kept) == held_by_a_variable()
        del kept, given
    first, second = reuse.own_arrays(), reuse.own_arrays()
    third = reuse.own_arrays()  # while both arrays of a result are held, it has a third
    results = [first.pop(0), second.pop(0), third.pop(0)]
    assert len({a.ctypes.data for a in results}) == 3
    del first, second, third
    for _ in range(4):
        reuse.own_arrays()
    oldest = results.pop(0)
    assert sys.getrefcount(oldest) == held_by_a_variable()
    before = sys.getrefcount(None)
    for _ in range(1000):
        held = reuse.own_arrays()
        reuse.own_arrays()
        reuse.donate([np.zeros(3, np.float32)], held)
        del held
    assert abs(sys.getrefcount(None) - before) < 100


def test_donated_arrays_begin_at_a_cache_line() -> None:
    """One that does not is replaced by one that does, which is then taken again and again."""
    wide = ((100,), np.dtype("float32"))
    reuse = Reuse([wide, VECTOR], [(0, 0), (1, 1)])
    several = [np.zeros(100, np.float32) for _ in range(9)]
    inputs = [next(a for a in several if a.ctypes.data % 64), np.zeros(3, np.float32)]
    del several
    outputs: list[Any] = [None, None]
    reuse.donate(inputs, outputs)
    assert outputs[0] is not inputs[0]
    assert outputs[1] is inputs[1]
    assert outputs[0].ctypes.data % 64 == 0
    inputs, outputs = outputs, [None, None]
    reuse.donate(inputs, outputs)
    assert outputs[0] is inputs[0]
