"""New arrays for results are like NumPy's own, but for where their memory begins."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
from backlit import config
from backlit.native.machine import arrays, layout
from backlit.native.machine.arrays import LINE, is_alignable, maker

DTYPES = [np.dtype(d) for d in ("float32", "float64", "int64", "bool", ml_dtypes.bfloat16)]
SHAPES: list[tuple[int, ...]] = [(), (1,), (0,), (3, 0), (5,), (3, 4), (2, 3, 4), (100, 784)]


def made(shape: tuple[int, ...], dtype: Any) -> Any:
    """One new array."""
    found: list[Any] = [None]
    maker([(0, shape, np.dtype(dtype))], [0])(found)
    return found[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_they_are_numpys_arrays(shape: tuple[int, ...], dtype: Any) -> None:
    """Shape, strides, flags and what frees the memory are those of `np.empty`."""
    array, expected = made(shape, dtype), np.empty(shape, dtype)
    assert type(array) is np.ndarray
    assert array.base is None
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert array.strides == expected.strides
    assert str(array.flags) == str(expected.flags)
    assert layout.handler_of(array) == layout.handler_of(expected)
    array[...] = 1
    assert array.tobytes() == np.ones(shape, dtype).tobytes()


@pytest.mark.skipif(sys.platform == "win32", reason="NumPy's memory is taken there")
def test_they_begin_at_a_cache_line() -> None:
    """Unless they fit into one, or are so large that huge pages are worth more."""
    several = [made((n, 7), "float32") for n in range(3, 200)]
    assert all(a.ctypes.data % LINE == 0 for a in several)
    assert is_alignable(several[-1].nbytes)
    for other in (made((16,), "float32"), made((1 << 20, 2), "float32")):
        assert not is_alignable(other.nbytes)
        other.fill(1)
        assert other.flags.owndata


def test_they_take_the_place_of_what_was_in_the_list() -> None:
    """Each at its own index, and what was there is let go."""
    before = object()
    count = sys.getrefcount(before)
    found: list[Any] = [before, before, before]
    maker([(2, (3,), np.dtype("float32")), (0, (2, 2), np.dtype("int64"))])(found)
    assert found[1] is before
    assert [found[0].dtype, found[2].dtype] == [np.int64, np.float32]
    assert sys.getrefcount(before) == count + 1


def test_nothing_leaks() -> None:
    """Dtypes and what frees the memory are counted as NumPy counts them."""
    dtype = np.dtype("float32", metadata={})  # an object of its own: NumPy's may be immortal
    before = sys.getrefcount(dtype)
    held = [made((3, 5), dtype) for _ in range(100)]
    assert sys.getrefcount(dtype) == before + 100
    del held
    assert sys.getrefcount(dtype) == before


def test_memory_can_be_given_back_and_made_larger() -> None:
    """NumPy resizes and frees the arrays as its own."""
    for n in (3, 300, 30_000):
        array = made((n,), "float64")
        array[:] = np.arange(n)
        array.resize(2 * n, refcheck=False)
        np.testing.assert_array_equal(array[:n], np.arange(n))


def test_too_much_is_a_memory_error() -> None:
    """The list stays as it was."""
    found = [None]
    with pytest.raises(MemoryError):
        maker([(0, (1 << 58,), np.dtype("float32"))])(found)
    assert found == [None]


def test_numpys_memory_is_taken_where_it_is_not_freed_by_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Windows, and where somebody has set how NumPy's arrays get their memory."""
    allocation = arrays._allocation.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(layout, "handler_of", lambda array: 1)
    assert allocation() == (0, 0)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "win32")
    assert allocation() == (0, 0)
    monkeypatch.setattr(arrays, "_allocation", lambda: (0, 0))
    array = made((3, 4), "float32")
    array.fill(2)
    assert array.flags.owndata
    assert not is_alignable(array.nbytes)


@pytest.mark.skipif(sys.platform == "win32", reason="NumPy's memory is taken there")
def test_parameters_and_gradients_begin_at_cache_lines() -> None:
    """From the first step on, wherever NumPy has put the parameters."""

    def crosses(array: Any) -> bool:
        found: bool = array.ctypes.data % LINE != 0
        return found

    w = backlit.zeros(20, 30, requires_grad=True)
    w._data = next(a for a in [np.zeros((20, 30), np.float32) for _ in range(9)] if crosses(a))
    optimizer = backlit.optim.SGD([w], lr=0.1)
    with config.flags(tier="hot"):
        for _ in range(3):
            optimizer.zero_grad()
            (backlit.ones(10, 20) @ w).sum().backward()
            optimizer.step()
            assert w.grad is not None
            assert [crosses(t._data) for t in (w, w.grad)] == [False, False]
