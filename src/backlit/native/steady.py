"""Steady runs: a table whose arrays are where they were, as long as facts about objects hold.

A fact is that a slot of an object holds a certain object, or that an object has a certain number of
references. Facts are words: comparing all of them takes as long as a few attributes in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backlit.compiler.tiers import watching
from backlit.core.steady import Counted, Slot
from backlit.native.machine import jit, layout
from backlit.native.machine.builtin import builtin, interpreter
from backlit.native.machine.layout import slot_offset
from backlit.native.machine.once import once
from backlit.native.machine.words import loads
from backlit.native.reuse import Reuse
from backlit.native.runtime import COMPLETED, runtime

_REFERENCES_MASK = 0xFFFFFFFF

# holds(words) returns whether the facts hold, as 0 or 1. steady(inputs, outputs, numbers, head,
# words) returns 1 if they do and the table has run; the numbers in the counters are then one
# higher. Otherwise it returns 0, and what the facts speak of is as it was.
# words: {n, m, n facts {address, mask, expected}, m addresses of counters}. A run does not count as
# completed: who counts the runs that began is not asked here.
_STEADY = f"""
declare i64 @run(ptr, ptr, ptr, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLong(ptr)
declare void @Py_DecRef(ptr)

define internal i1 @check(ptr %words) {{
start:
{loads("n m", "words")}
  %facts = getelementptr i64, ptr %words, i64 2
  br label %fact

fact:
  %i = phi i64 [0, %start], [%i.next, %fact.one]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %fact.one, label %done

fact.one:
  %f = getelementptr {{ptr, i64, i64}}, ptr %facts, i64 %i
{loads("*at mask expected", "f")}
  %word = load i64, ptr %at
  %found = and i64 %word, %mask
  %is.so = icmp eq i64 %found, %expected
  br i1 %is.so, label %fact, label %failed

done:
  ret i1 true

failed:
  ret i1 false
}}

define ptr @holds(ptr %self, ptr %args, i64 %count) {{
  %array = load ptr, ptr %args
  %words.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_DATA}
  %words = load ptr, ptr %words.at
  %is.so = call i1 @check(ptr %words)
  %answer = zext i1 %is.so to i64
  %result = call ptr @PyLong_FromLongLong(i64 %answer)
  ret ptr %result
}}

define ptr @steady(ptr %self, ptr %args, i64 %count) {{
start:
{loads("*inputs *outputs *numbers *head *array", "args")}
  %words.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_DATA}
  %words = load ptr, ptr %words.at
{loads("n m", "words")}
  %is.so = call i1 @check(ptr %words)
  br i1 %is.so, label %run.it, label %failed

run.it:
  %table.at = getelementptr i8, ptr %head, i64 {layout.ARRAY_DATA}
  %table = load ptr, ptr %table.at
  %status = call i64 @run(ptr %inputs, ptr %outputs, ptr %numbers, ptr %table)
  %is.done = icmp eq i64 %status, 0
  br i1 %is.done, label %uncount, label %failed

uncount:
  %completed.at = getelementptr i64, ptr %table, i64 {COMPLETED}
  %completed = load i64, ptr %completed.at
  %completed.less = sub i64 %completed, 1
  store i64 %completed.less, ptr %completed.at
  %facts.words = mul i64 %n, 3
  %skipped = add i64 %facts.words, 2
  %counters = getelementptr i64, ptr %words, i64 %skipped
  br label %counter

counter:
  %j = phi i64 [0, %uncount], [%j.next, %counter.one]
  %j.next = add i64 %j, 1
  %more = icmp slt i64 %j, %m
  br i1 %more, label %counter.one, label %done

counter.one:
  %slot.at = getelementptr ptr, ptr %counters, i64 %j
  %slot = load ptr, ptr %slot.at
  %old = load ptr, ptr %slot
  %value = call i64 @PyLong_AsLongLong(ptr %old)
  %value.next = add i64 %value, 1
  %new = call ptr @PyLong_FromLongLong(i64 %value.next)
  store ptr %new, ptr %slot
  call void @Py_DecRef(ptr %old)
  br label %counter

done:
  %yes = call ptr @PyLong_FromLongLong(i64 1)
  ret ptr %yes

failed:
  %no = call ptr @PyLong_FromLongLong(i64 0)
  ret ptr %no
}}
"""


@once
def _builtins() -> tuple[Callable[[Any], int], Callable[..., int]]:
    names = ("PyLong_FromLongLong", "PyLong_AsLongLong", "Py_DecRef")
    imports = {name: interpreter(name) for name in names}
    imports["run"] = runtime().library.address("run")
    library = jit.engine().load(_STEADY, ["holds", "steady"], imports=imports)
    return builtin(library, "holds"), builtin(library, "steady")


class Steady:
    """A table and the facts under which it may run on the arrays that it is given.

    An owner must live as long as the facts before it hold, or be kept alive by whoever made this.

    Args:
        head: the table.
        facts: in the order in which they are checked, the first that fails ending it.
        counters: slots that hold whole numbers; each run adds one to them.
    """

    __slots__ = ("_head", "_holds", "_run", "_words")

    def __init__(
        self, head: Any, facts: list[Slot | Counted], counters: list[tuple[Any, str]]
    ) -> None:
        self._head = head
        self._holds, self._run = _builtins()
        words = [len(facts), len(counters)]
        for fact in facts:
            words += _words_of(fact)
        words += [_address(*counter) for counter in counters]
        self._words = np.array(words, np.int64)

    def holds(self) -> bool:
        """Whether all facts hold."""
        return self._holds(self._words) == 1

    def run(self, inputs: list[Any], outputs: list[Any], numbers: list[Any]) -> bool:
        """Run the table if the facts hold; False if they do not, or the table refuses."""
        return self._run(inputs, outputs, numbers, self._head, self._words) == 1


def _words_of(fact: Slot | Counted) -> tuple[int, int, int]:
    if isinstance(fact, Slot):
        return _address(fact.owner, fact.name), -1, id(fact.held)
    return id(fact.what) + layout.REFERENCES, _REFERENCES_MASK, fact.references


def _address(owner: Any, name: str) -> int:
    return id(owner) + slot_offset(owner.__class__, name)


class StandingTable(NamedTuple):
    """A table that may be run on the same arrays again and again.

    Attributes:
        places: the place of each result in the list of arrays out.
        fresh: shape and dtype of each array out.
        donors: (array out, array in) pairs that may be one array.
    """

    head: Any
    places: list[int]
    fresh: list[tuple[tuple[int, ...], Any] | None]
    donors: set[tuple[int, int]]
    reuse: Reuse

    @property
    def facts(self) -> list[Slot]:
        """Nobody wants to see its runs."""
        return [Slot(watching, "observer", None)]

    def references(self, at: int, array: Any) -> int:
        """How many times the plan holds this array, to use it again as result ``at``."""
        return self.reuse.references(at, array)

    def steady(self, facts: list[Slot | Counted], counters: list[tuple[Any, str]]) -> Steady:
        """Its runs while these facts hold."""
        return Steady(self.head, facts, counters)
