"""A plan has one arena: whoever else wants to run it waits, and gets the same bits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
from backlit.native.plan import Plan
from tests.native.programs import largest_plan


def refuse(*_: Any) -> Any:
    raise AssertionError("NumPy source ran.")


def doubling() -> Plan:
    """The plan of x → 2 x."""
    return largest_plan(lambda x: x * 2.0, backlit.ones(3))


def doubled(plan: Plan, x: float) -> list[float]:
    (found,) = plan([np.full(3, x, np.float32)], [2.0])
    return list(found.tolist())


def around(plan: Plan, before: Callable[[], None]) -> SimpleNamespace:
    """A runtime that does something before each run."""
    run = plan.native.run

    def later(*operands: Any) -> Any:
        before()
        return run(*operands)

    return SimpleNamespace(run=later, run_without_gil=later)


def test_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads in one plan: each gets its own results, and none of them NumPy's."""
    plan = doubling()
    monkeypatch.setattr(plan, "native", around(plan, lambda: time.sleep(0.001)))
    monkeypatch.setattr(plan, "cold", refuse)
    found: dict[int, list[list[float]]] = {}

    def work(k: int) -> None:
        found[k] = [doubled(plan, k + i / 8) for i in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [[2 * (k + i / 8)] * 3 for i in range(20)] for k in range(4)}


def test_a_run_within_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's handler or a finalizer that needs the plan while it runs does not wait for it."""
    plan, inner = doubling(), []

    def again() -> None:
        inner.append(doubled(plan, 5.0))

    monkeypatch.setattr(plan, "native", around(plan, again))
    assert doubled(plan, 1.0) == [2.0] * 3
    assert inner == [[10.0] * 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_need_not_wait() -> None:
    """A process forked while a thread runs the plan can run it, too."""
    plan = doubling()
    with plan.lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(0 if doubled(plan, 1.0) == [2.0] * 3 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
