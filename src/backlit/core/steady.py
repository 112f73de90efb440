"""Steady replays: calls that find everything where the call before left it.

A replay that rewrites tensors in their own arrays ends as it began: the same tensors hold the same
arrays, and nobody else holds them. Then the next call need not hand all of them over again. The
facts that this rests on are noted once; native code checks them, runs the program, and counts the
changes, in one call. Where a fact no longer holds, nothing has been done yet, and the replay goes
its longer way.

Replays for other kinds of arguments (the last batch, which is smaller) rewrite the same arrays, and
do so only if nobody else holds them. While they have their turn, this one rests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backlit.core.era import realize
from backlit.core.observer import changes
from backlit.core.repeated import Gradient, Repeated
from backlit.core.tensor import Tensor, extra

_LASTING = 16  # runs after which a steady replay was worth its making
_MOST_PATIENT = 1024  # other runs, at most, before it is tried again


class Slot(NamedTuple):
    """The fact that attribute ``name`` of ``owner``, which is a slot, holds ``held``."""

    owner: Any
    name: str
    held: Any


class Counted(NamedTuple):
    """The fact that ``references`` to ``what`` exist, so many."""

    what: Any
    references: int


class _Facts:
    """What has to hold before each run, and what counts the runs."""

    def __init__(self, first: list[Slot]) -> None:
        self.slots_and_counts: list[Slot | Counted] = [*first]
        self.counters: list[tuple[Any, str]] = []

    def slot(self, owner: Any, name: str, held: Any) -> None:
        self.slots_and_counts.append(Slot(owner, name, held))

    def references(self, what: Any, count: int) -> None:
        self.slots_and_counts.append(Counted(what, count))

    def others(self) -> list[Any]:
        """What slots hold and nobody counts: while it is held, nothing else has its address."""
        counted = {id(fact.what) for fact in self.slots_and_counts if isinstance(fact, Counted)}
        slots = (fact for fact in self.slots_and_counts if isinstance(fact, Slot))
        return [slot.held for slot in slots if id(slot.held) not in counted]


class _Unsteady(Exception):
    """Something moves from call to call."""


class Patience:
    """When a replay is tried as a steady one: after a few other runs, after more if that failed."""

    __slots__ = ("_left", "_patience")

    def __init__(self) -> None:
        self._left = self._patience = 2

    def is_over(self) -> bool:
        """Count a run; whether it is time to try."""
        self._left -= 1
        return self._left < 0

    def failed(self, runs: int) -> None:
        """It was not steady, or no longer is after so many runs."""
        lasted = runs >= _LASTING
        self._patience = 2 if lasted else min(2 * self._patience, _MOST_PATIENT)
        self._left = self._patience


class Steady:
    """One program, run on the arrays that the tensors of a replay hold.

    Args:
        repeated: how the replay runs its only program, whose tensors and gradients are as it
            expects them.
    """

    def __init__(self, repeated: Repeated) -> None:
        table = repeated.program.runner.table()
        if table is None:
            raise _Unsteady
        self.runs = 0
        self._turn = threading.Lock()  # the lists are one call's at a time
        self._arguments = repeated.arguments
        self._moved = repeated.moved
        self._varying = repeated.varying
        self._numbers = repeated.numbers.copy()
        self._inputs: list[Any] = [None] * repeated.n_inputs
        self._outputs: list[Any] = [None] * len(table.fresh)
        self._results: list[Any] = [None] * len(table.places)
        for i, array in repeated.constants:
            self._inputs[i] = array
        outputs = {id(t): table.places[k] for k, t in repeated.rewritten}
        self._rewritten = [
            (t, i, outputs[id(t)]) for i, t, _ in repeated.closed if id(t) in outputs
        ]
        self._gradients = [(g, table.places[g.output]) for g in repeated.gradients]
        if not self.wakes():
            raise _Unsteady
        facts = _Facts([*table.facts, Slot(changes, "count", changes.count)])
        self._enter(repeated, table, outputs, facts)
        taken = [k for k, _ in repeated.rewritten] + [g.output for g in repeated.gradients]
        places = [table.places[k] for k in taken]
        self._fresh: list[tuple[int, int, tuple[int, ...], Any]] = [
            (k, at, *table.fresh[at]) for k, at in enumerate(table.places) if k not in taken
        ]
        places += [at for _, at, _, _ in self._fresh]
        if len(set(places)) < len(places) or not repeated.returned.isdisjoint(taken):
            raise _Unsteady
        for g, at in self._gradients:
            self._receive(g, at, table, facts)
        self._run: Any = table.steady(facts.slots_and_counts, facts.counters)
        self._held = facts.others()
        self.holds: Callable[[], bool] = self._run.holds

    def rests(self) -> bool:
        """Hold no array that is rewritten; whether it can, no call being under way."""
        if not self._turn.acquire(False):
            return False
        for _, i, at in self._rewritten:
            self._inputs[i] = self._outputs[at] = None
        for _, at in self._gradients:
            self._outputs[at] = None
        self._turn.release()
        return True

    def wakes(self) -> bool:
        """Take the arrays that are rewritten; whether they are there."""
        try:
            for t, i, at in self._rewritten:
                self._inputs[i] = self._outputs[at] = _own_array(t)
            for g, at in self._gradients:
                self._outputs[at] = _own_array(g.last)
                x = g.owner._x
                if x is None or x.grad is None:
                    return False
                x.grad = g.last  # instead of another replay's, which this run would end, too
        except _Unsteady:
            return False
        return True

    def _enter(
        self, repeated: Repeated, table: Any, outputs: dict[int, int], facts: _Facts
    ) -> None:
        """The arrays of tensors closed over go in, and those that are rewritten also out."""
        for i, t, _ in repeated.closed:
            array = self._inputs[i] = t._data
            if array is None:
                raise _Unsteady
            facts.slot(t, "_var", t._var)
            facts.slot(t, "_data", array)
            at = outputs.get(id(t))
            if at is None:
                continue
            x = extra(t)
            x.views = [w for w in x.views if w() is not None] or None if x.views else None
            if (at, i) not in table.donors:
                raise _Unsteady
            facts.references(array, 3)  # of the tensor and of the two lists here
            facts.slot(t, "_x", x)
            facts.slot(x, "views", None)
            facts.counters.append((x, "version"))
        for t, g in repeated.added_to:
            facts.slot(t, "_x", t._x)
            facts.slot(t._x, "grad", g)

    def _receive(self, g: Gradient, at: int, table: Any, facts: _Facts) -> None:
        """The array of a gradient is written again if nobody holds it, nor the tensor around it."""
        t, x, array = g.last, g.owner._x, self._outputs[at]
        facts.slot(g.owner, "_x", x)
        facts.slot(x, "grad", t)
        facts.references(t, 2)  # as `g.last` and as the gradient
        facts.slot(t, "_x", None)
        facts.slot(t, "_var", g.kind)
        facts.slot(t, "_data", array)
        facts.references(array, 2 + table.references(at, array))  # the tensor's and the list's

    def run(self, args: tuple[Any, ...], made: list[Any]) -> list[Any] | None:
        """The results that are returned; None if a fact does not hold, or another call is under
        way: then nothing was done."""
        if not self._turn.acquire(False):
            return None
        try:
            inputs, outputs, numbers = self._inputs, self._outputs, self._numbers
            for i, k in self._arguments:
                inputs[i] = args[k]._data
            for i, base, move in self._moved:
                inputs[i] = move(realize(args[base] if isinstance(base, int) else base))
            for j, maker, index, added in self._varying:
                numbers[j] = made[maker][index] + added if added else made[maker][index]
            results = self._results.copy()
            for k, at, shape, dtype in self._fresh:
                results[k] = outputs[at] = np.empty(shape, dtype)
            if not self._run.run(inputs, outputs, numbers):
                return None
            self.runs += 1
            return results
        finally:
            self._turn.release()


def _own_array(t: Tensor | None) -> Any:
    """The array of a tensor, which may be written to."""
    array: Any = None if t is None else t._data
    if array is None or array.base is not None:
        raise _Unsteady
    return array


def steady_form(repeated: Repeated) -> Steady | None:
    """The steady form of a replay, if nothing moves."""
    try:
        found = Steady(repeated)
    except _Unsteady:
        return None
    return found if found.holds() else None
