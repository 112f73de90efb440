"""A table that runs on the same arrays while facts hold."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
from backlit.core.steady import Counted, Slot
from backlit.core.tensor import Extra, Tensor
from backlit.native.machine.layout import slot_offset
from backlit.native.plan import StandingTable
from backlit.native.steady import Steady
from tests.native.programs import largest_plan


class Holder:
    """An object with a slot, and one more that comes first."""

    __slots__ = ("before", "held")

    def __init__(self, held: Any) -> None:
        self.before = None
        self.held = held


def doubling() -> tuple[StandingTable, list[Any], list[Any]]:
    """The table of x → 2 x, and its arrays."""
    table = largest_plan(lambda x: x * 2.0, backlit.ones(3)).table()
    assert table is not None
    return table, [np.arange(3, dtype=np.float32)], [np.zeros(3, np.float32)]


def test_runs_while_facts_hold() -> None:
    """The table runs and the counters count; when a slot holds another object, nothing happens."""
    table, inputs, outputs = doubling()
    holder, counter = Holder(table), Holder(1 << 40)
    steady = table.steady([Slot(holder, "held", table)], [(counter, "held")])
    assert steady.holds()
    assert steady.run(inputs, outputs, [2.0])
    assert steady.run(inputs, outputs, [2.0])
    assert outputs[0].tolist() == [0, 2, 4]
    assert counter.held == (1 << 40) + 2
    holder.held = inputs
    inputs[0][:] = 7
    assert not steady.holds()
    assert not steady.run(inputs, outputs, [2.0])
    assert outputs[0].tolist() == [0, 2, 4]
    assert counter.held == (1 << 40) + 2


def test_references_are_counted() -> None:
    """A new reference to an object that is counted ends it, and its end makes it hold again."""
    table, inputs, outputs = doubling()
    array = inputs[0]
    count = ctypes.c_uint32.from_address(id(array)).value
    steady = table.steady([Counted(array, count)], [])
    assert steady.run(inputs, outputs, [2.0])
    held = [array]
    assert not steady.holds()
    held.clear()
    assert steady.holds()


def test_what_the_loop_refuses_is_not_run() -> None:
    """An array that does not lie row by row: the counters stay as they are."""
    table, _, outputs = doubling()
    counter = Holder(0)
    steady = table.steady([], [(counter, "held")])
    assert not steady.run([np.arange(6, dtype=np.float32)[::2]], outputs, [2.0])
    assert counter.held == 0


def test_counters_keep_no_references() -> None:
    """Numbers that counters have left behind are freed."""
    table, inputs, outputs = doubling()
    number = 1 << 70 >> 10
    counter = Holder(number)
    steady = table.steady([], [(counter, "held")])
    before = sys.getrefcount(number)
    assert steady.run(inputs, outputs, [2.0])
    assert sys.getrefcount(number) == before - 1


def test_runs_are_not_counted_as_completed() -> None:
    """Who counts the runs that began asks the table how many were completed; these it never saw."""
    plan = largest_plan(lambda x: x * 2.0, backlit.ones(3))
    table = plan.table()
    assert table is not None
    before = int(table.head[-1])
    steady = table.steady([], [])
    assert steady.run([np.ones(3, np.float32)], [np.ones(3, np.float32)], [2.0])
    assert int(table.head[-1]) == before
    plan([np.ones(3, np.float32)], [2.0])
    assert int(table.head[-1]) == before + 1


@pytest.mark.parametrize(
    ("kind", "name"), [(Tensor, "_data"), (backlit.nn.Parameter, "_x"), (Extra, "grad")]
)
def test_slots_are_found(kind: type, name: str) -> None:
    """An object's slot is as far from its start in every object of its class."""
    made, mark = object.__new__(kind), object()
    object.__setattr__(made, name, mark)
    steady = Steady(np.zeros(1, np.int64), [Slot(made, name, mark)], [])
    assert steady.holds()
    object.__setattr__(made, name, None)
    assert not steady.holds()
    assert 0 < slot_offset(kind, name) < kind.__basicsize__
