"""The native loop: what it relies on, what it refuses, and how its errors read."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
import backlit.nn.functional as F
from backlit import config
from backlit.errors import IndexOutOfRange
from backlit.native import runtime
from backlit.native.machine import layout
from backlit.native.products import batches
from backlit.native.ready import columns, copies, indexed, integers, library, lookups, philox
from tests.native.programs import hot


def test_layout_of_objects_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """This interpreter's objects are laid out as the loop expects; other offsets are noticed."""
    check = layout.is_supported.__wrapped__
    assert check()
    for name in (
        "ARRAY_BASE",
        "ARRAY_FLAGS",
        "FLOAT_VALUE",
        "REFERENCES",
        "OBJECT_TYPE",
        "INT_DIGITS",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(layout, name, getattr(layout, name) + 8)
            assert not check()


def test_other_interpreters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where objects are laid out differently there is no native code, and the reason is told."""
    monkeypatch.setattr(layout, "is_supported", lambda: False)
    with pytest.raises(NotImplementedError) as caught:
        runtime.runtime.__wrapped__()
    assert str(caught.value) == (
        "native code needs CPython with its global lock on a 64-bit machine; programs run as "
        "NumPy source here."
    )


def test_every_entry_has_an_address() -> None:
    """The names by which plans ask for entries are all there."""
    modules = (batches, columns, copies, indexed, integers, lookups, philox)
    names = ["fused", "sgemm", "dgemm", *(name for module in modules for name in module.names())]
    addresses = [library.address(name) for name in names]
    assert len(set(addresses)) == len(names)
    assert all(addresses)


def table(patches: list[tuple[int, int, int, int]], numbers: list[tuple[int, int, int]]) -> Any:
    """A table without entries, that only fetches addresses and numbers."""
    flat = [w for row in (*patches, *numbers) for w in row]
    words = np.zeros(len(flat) + runtime.COMPLETED + 1, np.int64)
    words[: len(flat)] = flat
    base = words.ctypes.data
    words[len(flat) : len(flat) + runtime.COMPLETED] = (
        base, len(patches), base + 32 * len(patches), len(numbers), base, 0,
    )  # fmt: skip
    return words[len(flat) :]


def run(inputs: list[Any], outputs: list[Any], scalars: list[Any], head: Any) -> int:
    found: int = runtime.runtime().run(inputs, outputs, scalars, head)
    return found


def test_addresses_and_numbers_are_fetched() -> None:
    """The loop stores the arrays' addresses and the numbers, in the precision asked for."""
    cells = np.zeros(4, np.int64)
    at = cells.ctypes.data
    head = table([(0, 1, at, 0), (1, 0, at + 8, 16)], [(0, at + 16, 1), (1, at + 24, 0)])
    inputs, outputs = [np.zeros(1), np.zeros(2)], [np.zeros(3)]
    assert run(inputs, outputs, [1.5, 2.5], head) == 0
    assert cells[0] == inputs[1].ctypes.data
    assert cells[1] == outputs[0].ctypes.data + 16
    assert ctypes.c_double.from_address(at + 16).value == 1.5
    assert ctypes.c_float.from_address(at + 24).value == 2.5
    assert head[-1] == 1


@pytest.mark.parametrize(
    "number", [0, 1, -1, True, False, 2**30 - 1, 2**30, -(2**30), 2**60 + 3, 2**63 - 1, -(2**63)]
)
def test_whole_numbers_are_fetched(number: int) -> None:
    """Ints and bools of up to 64 bits are stored as floats, whole numbers, or 128 bits."""
    cells = np.zeros(8, np.int64)
    at = cells.ctypes.data
    kinds = (runtime.SINGLE, runtime.DOUBLE, runtime.WHOLE, runtime.LONG)
    head = table([], [(0, at + 16 * k, kind) for k, kind in enumerate(kinds)])
    assert run([], [], [number], head) == 0
    assert cells[:2].view(np.float32)[0] == np.float32(number)
    assert cells[2:4].view(np.float64)[0] == float(number)
    assert cells[4] == number
    assert (int(cells[6]) & 2**64 - 1) | (int(cells[7]) << 64) == number


def test_numbers_of_128_bits() -> None:
    """Seeds have 128 bits; where a number may not be whole, or is longer, it is refused."""
    cells = np.zeros(2, np.int64)
    head = table([], [(0, cells.ctypes.data, runtime.LONG)])
    for number in (2**128 - 1, 2**127 + 12345):
        assert run([], [], [number], head) == 0
        assert int.from_bytes(cells.tobytes(), "little") == number
    assert run([], [], [2**150], head) == -1
    assert run([], [], [1.5], head) == -1


def read_only() -> Any:
    array = np.zeros(2)
    array.flags.writeable = False
    return array


def test_what_is_refused() -> None:
    """Strided inputs, outputs that cannot be written, and what are no Python numbers: by place."""
    cell = np.zeros(1, np.int64)
    at = cell.ctypes.data
    head = table([(0, 0, at, 0), (1, 0, at, 0)], [(0, at, runtime.DOUBLE)])
    good = np.zeros(2)
    assert run([good[::-1]], [good], [1.0], head) == 1
    assert run([good], [good[::-1]], [1.0], head) == 2
    assert run([read_only()], [good], [1.0], head) == 0
    assert run([good], [read_only()], [1.0], head) == 2
    for number in (2**63, -(2**63) - 1, 2**200, np.float64(1.0), "1", None):
        assert run([good], [good], [number], head) == -1
    assert head[-1] == 1  # only complete runs count


@pytest.mark.parametrize("first", [1, True, np.float64(0.5), 0.5])
@pytest.mark.parametrize("then", [2, False, np.float32(0.25), 1e300])
def test_numbers_of_other_types(first: Any, then: Any) -> None:
    """Whatever type of number a program met first, it takes every other one later."""
    x = backlit.tensor([1.0, 2.0], dtype=backlit.float64)
    backlit.flush()
    with config.flags(tier="hot"):
        for number in (first, then, first):
            y = x * 2.0 + number
            assert y.tolist() == [2.0 + float(number), 4.0 + float(number)]


def test_whole_numbers_beyond_64_bits() -> None:
    """They are floats in arithmetic with floats; with whole numbers, NumPy refuses them."""
    x, i = backlit.tensor([1.0], dtype=backlit.float64), backlit.tensor([1])
    with config.flags(tier="hot"):
        for number in (1, 2**70, 3):
            assert (x * 1.0 + number).tolist() == [1.0 + number]
        for number in (1, 2**70, 3):
            if number < 2**63:
                assert (i * 1 + number).tolist() == [1 + number]
                continue
            with pytest.raises(OverflowError):
                (i * 1 + number).tolist()


def test_index_out_of_range_names_the_line() -> None:
    """A target outside the classes raises IndexError with the line that asked for it."""
    x = backlit.zeros(3, 4)
    target = backlit.tensor([0, 9, 1])
    backlit.flush()

    def loss() -> Any:
        return F.nll_loss(x * 1.0, target + 0)  # this line

    with pytest.raises(IndexError) as caught:
        hot(loss)
    line = loss.__code__.co_firstlineno + 1
    assert isinstance(caught.value, IndexOutOfRange)
    assert str(caught.value) == (
        "pick: an index is out of bounds for 4 classes (0 to 3) "
        f"[recorded at test_runtime.py:{line} nn.functional.nll_loss]"
    )


def test_failed_results_can_be_asked_for_again() -> None:
    """After an error the same question gives the same error, and others their answers."""
    x = backlit.ones(2, 3, requires_grad=True)
    target = backlit.tensor([0, 7])
    backlit.flush()
    with config.flags(tier="hot"):
        good = x * 2.0
        bad = F.nll_loss(good, target + 0)
        for _ in range(2):
            with pytest.raises(IndexError):
                bad.item()
        assert good.tolist() == [[2.0] * 3] * 2


def test_large_programs_let_other_threads_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with much work gives up the interpreter's lock while it runs, a small one not."""
    used = []
    native = runtime.runtime()
    for name in ("run", "run_without_gil"):
        function = getattr(native, name)

        def noted(*operands: Any, name: str = name, function: Any = function) -> int:
            used.append(name)
            found: int = function(*operands)
            return found

        monkeypatch.setattr(native, name, noted)
    for size in (400, 4):
        x = backlit.ones(size, size)
        assert hot(lambda x=x: (x @ x) * 0.5).tolist()[0][0] == size / 2
    assert used == ["run_without_gil", "run"]
