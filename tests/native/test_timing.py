"""Plans with the clock read between their entries compute what they compute without."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import config
from backlit.errors import IndexOutOfRange
from backlit.native import timing
from backlit.native.anatomy import parts
from backlit.native.machine import clock
from backlit.native.plan import Plan
from backlit.native.timing import Clockwork, Timed
from tests.native.programs import largest_plan


def chain(x: Any) -> Any:
    """Three parts: a kernel, NumPy source, a kernel."""
    return (backlit.linalg.inv(x * 2) + 1).sqrt()


def plan_of_chain() -> Plan:
    return largest_plan(lambda: chain(backlit.eye(5)))


def test_spans_follow_each_other() -> None:
    """Parts run one after the other, each for some time."""
    plan = plan_of_chain()
    timed = Timed(plan)
    before = clock.now()
    x = np.eye(5, dtype=np.float32)
    (result,), was_timed = timed(plan, [x], [2, 1])
    after = clock.now()
    assert was_timed
    np.testing.assert_allclose(result, np.sqrt(np.linalg.inv(2 * x) + 1), rtol=1e-5)
    times = timed.spans.reshape(-1).tolist()
    assert times == sorted(times)
    assert before <= times[0]
    assert times[-1] <= after
    assert [p.kind for p in timed.parts] == ["kernel", "source", "kernel"]


def test_plan_is_as_before() -> None:
    """Afterwards the plan runs its own loop, also when a run failed."""
    plan = plan_of_chain()
    timed = Timed(plan)
    native = plan.native
    timed(plan, [np.eye(5, dtype=np.float32)], [2, 1])
    assert plan.native is native
    assert "_run_piece" not in plan.__dict__
    with pytest.raises(ZeroDivisionError):
        timed(lambda inputs, scalars: 1 // 0, [], [])
    assert plan.native is native


def test_clock_of_python_serves_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems without clock_gettime ask Python from within the loop, with and without the GIL."""
    loop = Clockwork(None)
    monkeypatch.setattr(timing, "clockwork", lambda: loop)
    plan = plan_of_chain()
    for work in (0, 10**9):
        plan.work = work
        timed = Timed(plan)
        _, was_timed = timed(plan, [np.eye(5, dtype=np.float32)], [2, 1])
        times = timed.spans.reshape(-1).tolist()
        assert was_timed
        assert times == sorted(times)
        assert times[0] > 0


def test_without_the_gil() -> None:
    """Long programs let other threads run, also while they are timed."""
    plan = plan_of_chain()
    plan.work = 10**9
    timed = Timed(plan)
    _, was_timed = timed(plan, [np.eye(5, dtype=np.float32)], [2, 1])
    assert was_timed
    assert (timed.spans > 0).all()


def test_arrays_and_numbers_that_the_loop_cannot_use() -> None:
    """A transposed input and a number of NumPy's take the slow way, as without the clock."""
    plan = largest_plan(lambda: backlit.ones(3, 4) * 2.0 + 1)
    timed = Timed(plan)
    x = np.arange(12, dtype=np.float32).reshape(4, 3).T
    (result,), was_timed = timed(plan, [x], [np.float32(2.0), 1])
    assert was_timed
    np.testing.assert_array_equal(result, x * 2 + 1)


def test_failing_entry_is_named() -> None:
    """The error of an entry is that of the step it belongs to."""
    nll = backlit.nn.functional.nll_loss

    def loss() -> Any:
        return nll(backlit.ones(3, 4).log(), backlit.zeros(3, dtype=backlit.long))

    plan = largest_plan(loss)
    timed = Timed(plan)
    inputs = [np.ones((3, 4), np.float32), np.array([0, 7, 0])]
    with pytest.raises(IndexOutOfRange, match="pick: an index is out of bounds for 4 classes"):
        timed(plan, inputs, [])


def test_one_run_is_timed_at_a_time() -> None:
    """Another thread's run meanwhile is not, and says so."""
    plan = plan_of_chain()
    timed = Timed(plan)
    inputs = [np.eye(5, dtype=np.float32)]
    found: list[bool] = []

    def inside(inputs: Any, scalars: Any) -> Any:
        other = threading.Thread(target=lambda: found.append(timed(plan, inputs, scalars)[1]))
        other.start()
        other.join()
        return plan(inputs, scalars)

    assert timed(inside, inputs, [2, 1])[1]
    assert found == [False]


def test_completed_runs_are_counted() -> None:
    """An interrupted step learns from the table whether results were written: timed runs count."""
    with config.flags(tier="hot"):
        w = backlit.ones(4, requires_grad=True)
        optimizer = backlit.optim.SGD([w], lr=0.5)
        for _ in range(2):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
            with backlit.profile():
                optimizer.zero_grad()
                (w * w).sum().backward()
                optimizer.step()
        from tests.native.programs import plans

        donating = [p for p in plans() if p.last is not None]
        assert donating
        for plan in donating:
            assert plan.completed == int(plan.last.head[6])


def test_parts_cover_all_entries_once() -> None:
    """Each entry of each table belongs to one part, in order."""
    plan = largest_plan(lambda: backlit.cat([backlit.ones(2, 3), backlit.zeros(2, 3)]).exp())
    for place, segment in enumerate(plan.segments):
        ranges = [p.entries for p in parts(plan) if p.segment == place]
        covered = [k for first, last in ranges for k in range(first, last + 1)]
        assert covered == list(range(len(segment.steps)))  # type: ignore[union-attr]
