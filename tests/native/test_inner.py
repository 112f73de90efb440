"""Functions over many tensors: machine code does what Python does."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
from backlit.core import inner as python
from backlit.core.era import Era, local
from backlit.core.inner import Inner, inner
from backlit.core.rewriting import Rewriting
from backlit.core.sparse import SparseTensor
from backlit.core.tensor import Tensor, extra
from backlit.core.value import outside
from backlit.native.inner import install


@pytest.fixture(params=["python", "native"])
def fast(request: pytest.FixtureRequest) -> Inner:
    """The functions in Python, and those in machine code."""
    if request.param == "python":
        return Inner()
    install()
    return inner


def tensors(n: int) -> list[Tensor]:
    made = [backlit.tensor(np.full(2, float(i))) for i in range(n)]
    backlit.flush()
    return made


def references(make: Callable[[], Any], what: list[Any]) -> list[int]:
    """How many more references to each of ``what`` exist after ``make()`` than before."""
    before = [sys.getrefcount(x) for x in what]
    made = make()
    after = [sys.getrefcount(x) for x in what]
    del made
    return [a - b for a, b in zip(after, before, strict=True)]


def test_machine_code_takes_the_place_of_python() -> None:
    """Once it is there; until then, and without it, Python does everything."""
    install()
    assert not {getattr(inner, name) for name in Inner.__slots__} & {
        getattr(python, name) for name in Inner.__slots__
    }


def test_values_of_a_recording(fast: Inner) -> None:
    """In order; tensors of other recordings and sparse gradients are left out."""
    era = Era(True)
    a, b, c = tensors(3)
    era.enter_all([a, c])
    sparse = SparseTensor(a, b, (2,))
    given: list[Any] = [c, b, sparse, a]
    assert fast.values_in(era, given) == [c._var, a._var]
    assert references(lambda: fast.values_in(era, given), [a, b, a._var]) == [0, 0, 1]


def test_pending_tensors_that_nobody_holds_are_dropped(fast: Inner) -> None:
    """The others come out, the last first, unless they are of another recording by now."""
    era, value = Era(True), outside(backlit.zeros(2)._var.meta)
    a, b, c = (fast.pend(era, era.pending, value) for _ in range(3))
    fast.pend(era, era.pending, value)
    b._era = None
    live: list[Tensor] = []
    values: list[Any] = []
    before = sys.getrefcount(a)
    fast.take_held(era.pending, era, live, values)
    assert era.pending == []
    assert [id(t) for t in live] == [id(c), id(a)]
    assert values == [value, value]
    assert sys.getrefcount(a) == before  # in ``live`` instead of in ``pending``


def test_what_a_dropped_tensor_held_is_dropped(fast: Inner) -> None:
    """Newer tensors go first, so that a base is let go by its views."""
    era, value = Era(True), outside(backlit.zeros(2)._var.meta)
    base = fast.pend(era, era.pending, value)
    view: Any = fast.pend(era, era.pending, value)
    view.base_that_it_holds = base
    del base, view
    live: list[Tensor] = []
    fast.take_held(era.pending, era, live, [])
    assert live == []


def test_new_tensors_are_like_any_other(fast: Inner) -> None:
    """They take attributes and weak references, can be copied and pickled, and are freed."""
    era = local.era
    value = (backlit.ones(2) + 1)._var
    t: Any = fast.pend(era, era.pending, value)
    assert type(t) is Tensor
    assert t._era is era
    assert t._data is None
    assert t._x is None
    assert era.pending[-1] is t
    t.note = "x"
    assert t.note == "x"
    assert copy.copy(t).tolist() == pickle.loads(pickle.dumps(t)).tolist() == [2.0, 2.0]
    assert t.tolist() == [2.0, 2.0]
    seen = weakref.ref(t)
    del t
    gc.collect()
    assert seen() is None
    kept: list[Tensor] = []
    assert references(lambda: fast.pend(era, kept, value), [value, era]) == [1, 1]


def test_tensors_are_bound_to_arrays(fast: Inner) -> None:
    """Arrays from a certain number on, lists and tuples alike; what was held before is let go."""
    era = Era(True)
    ts = tensors(2)
    old = [t._data for t in ts]
    arrays = [np.zeros(2) for _ in range(4)]
    values = [outside(t._var.meta) for t in ts]
    for given in (arrays, tuple(arrays)):
        assert references(lambda: fast.bind(ts, given, 1, era, values), [*arrays, era]) in (  # noqa: B023
            [0, 1, 1, 0, 2],
            [0, 0, 0, 0, 0],  # they were bound already
        )
        assert [t._data is a for t, a in zip(ts, arrays[1:], strict=False)] == [True, True]
        assert [(t._era, t._var) for t in ts] == [(era, value) for value in values]
    assert [sys.getrefcount(a) for a in old] == [sys.getrefcount(arrays[0])] * 2


def test_too_few_arrays(fast: Inner) -> None:
    """Raises, as indexing does."""
    with pytest.raises(IndexError):
        fast.bind(tensors(2), [np.zeros(2)], 0, Era(True), [])


def test_rewritten_tensors_hold_nothing(fast: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one version on, without history, and their views are stale."""
    monkeypatch.setattr("backlit.core.rewriting.inner", fast)
    plain, _, viewed, shared, historic = ts = tensors(5)
    for t in (plain, viewed, shared, historic):
        extra(t).version = 1000
    view = viewed[:1]
    backlit.flush()
    extra(shared).exported = True
    extra(historic).edge = (local.era, historic._var)
    arrays = [t._data for t in ts]
    (held,) = {sys.getrefcount(a) for a in arrays if a is not viewed._data}
    for order, enters in ((ts, False), (ts[:1], True)):
        rewriting = Rewriting(order, [])
        rewriting.let_go()
        assert rewriting.enters is enters
        assert all(t._data is None and t._era is None for t in order)
    assert [extra(t).version for t in ts] == [1002, 1, 1001, 1001, 1001]
    assert extra(historic).edge is None
    assert view._data is None
    assert [sys.getrefcount(a) for a in arrays] == [held - 1] * 5


def test_only_plain_tensors_are_rewritten_natively() -> None:
    """It stops where views, history, an array outside or a first version need Python."""
    install()
    marks: list[Callable[[Any], Any]] = [
        lambda x: setattr(x, "views", [1]),
        lambda x: setattr(x, "edge", (1, 2)),
        lambda x: setattr(x, "exported", True),
    ]
    for mark in marks:
        ts = tensors(3)
        for t in ts:
            extra(t)
        mark(extra(ts[1]))
        assert inner.rewrite_plain(ts) == 1
        assert [extra(t).version for t in ts] == [1, 0, 0]
    ts = tensors(2)
    extra(ts[0])
    assert inner.rewrite_plain(ts) == 1
    assert inner.rewrite_plain([]) == 0


def test_counts_of_none_stay(fast: Inner) -> None:
    """No reference to None, or to an era, is lost or kept."""
    era, value = Era(True), outside(backlit.zeros(2)._var.meta)
    ts = tensors(2)
    for t in ts:
        extra(t)
    array = np.zeros(2)
    before = sys.getrefcount(None), sys.getrefcount(era), sys.getrefcount(array)
    for _ in range(1000):
        fast.bind(ts, [array, array], 0, era, [value, value])
        fast.pend(era, era.pending, value)
        fast.take_held(era.pending, era, [], [])
        fast.rewrite_plain(ts)
    after = sys.getrefcount(None), sys.getrefcount(era), sys.getrefcount(array)
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True))
