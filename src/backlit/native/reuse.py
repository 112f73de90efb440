"""Arrays that results may be written into, because nobody else holds them.

Two kinds: the array of an input that the program is the last to read (*donors*), and the array of
the same result in the run before, or the one before that (*kept* and *spare*, for small results: a
parameter that is computed from its old value holds one of them in turn). Reference counts tell
whether anyone else holds an array. Asking Python for them would take longer than many a program
runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from backlit.native.machine import jit, layout
from backlit.native.machine.allocation import LARGE, keep_freed_memory
from backlit.native.machine.arrays import LINE, is_alignable, maker
from backlit.native.machine.builtin import builtin, interpreter
from backlit.native.machine.once import once
from backlit.native.machine.words import loads

_SMALL = 4096  # bytes of a result whose array is kept

# None is immortal from Python 3.12 on: its count must be left alone.
_COUNT_NONE = (
    ""
    if sys.version_info >= (3, 12)
    else """\
  %none.count = load i64, ptr @none
  %none.next = add i64 %none.count, {change}
  store i64 %none.next, ptr @none
"""
)

# claim(inputs, outputs, words, kept, spare) returns how many of outputs are still to be made.
# words: {n, m, n times (index of an output, that of the input whose array it may have, bits that
# the array's address must not have), m times an index of an output}; the latter already lie in the
# lists kept and outputs. One that is held changes places with the spare one; if that is held, too,
# or None, the output becomes None.
_CLAIM = f"""
@none = external global i64

declare ptr @PyLong_FromLongLong(i64)

define ptr @claim(ptr %self, ptr %args, i64 %count) {{
start:
{loads("*inputs *outputs *array *kept.list *spare.list", "args")}
  %in.at = getelementptr i8, ptr %inputs, i64 {layout.LIST_ITEMS}
  %in = load ptr, ptr %in.at
  %out.at = getelementptr i8, ptr %outputs, i64 {layout.LIST_ITEMS}
  %out = load ptr, ptr %out.at
  %ours.at = getelementptr i8, ptr %kept.list, i64 {layout.LIST_ITEMS}
  %ours = load ptr, ptr %ours.at
  %spares.at = getelementptr i8, ptr %spare.list, i64 {layout.LIST_ITEMS}
  %spares = load ptr, ptr %spares.at
  %words.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_DATA}
  %words = load ptr, ptr %words.at
{loads("n m", "words")}
  %pairs = getelementptr i64, ptr %words, i64 2
  %pair.words = mul i64 %n, 3
  %kept = getelementptr i64, ptr %pairs, i64 %pair.words
  br label %donor

donor:
  %i = phi i64 [0, %start], [%i.next, %donor.checked]
  %missing = phi i64 [0, %start], [%missing.next, %donor.checked]
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i, %n
  br i1 %i.more, label %donor.one, label %keep

donor.one:
  %pair = getelementptr {{i64, i64, i64}}, ptr %pairs, i64 %i
  %to = load i64, ptr %pair
  %from.at = getelementptr i64, ptr %pair, i64 1
  %from = load i64, ptr %from.at
  %given.at = getelementptr ptr, ptr %in, i64 %from
  %given = load ptr, ptr %given.at
  %given.count.at = getelementptr i8, ptr %given, i64 {layout.REFERENCES}
  %given.count = load i32, ptr %given.count.at
  %is.alone = icmp eq i32 %given.count, 1
  %base.at = getelementptr i8, ptr %given, i64 {layout.ARRAY_BASE}
  %base = load ptr, ptr %base.at
  %is.owner = icmp eq ptr %base, null
  %data.at = getelementptr i8, ptr %given, i64 {layout.ARRAY_DATA}
  %data = load i64, ptr %data.at
  %bits.at = getelementptr i64, ptr %pair, i64 2
  %bits = load i64, ptr %bits.at
  %wrong.bits = and i64 %data, %bits
  %is.aligned = icmp eq i64 %wrong.bits, 0
  %is.usable = and i1 %is.owner, %is.aligned
  %is.free = and i1 %is.alone, %is.usable
  br i1 %is.free, label %donor.free, label %donor.checked

donor.free:
  store i32 2, ptr %given.count.at
  %place = getelementptr ptr, ptr %out, i64 %to
  store ptr %given, ptr %place
{_COUNT_NONE.format(change=-1)}  br label %donor.checked

donor.checked:
  %one.missing = phi i64 [1, %donor.one], [0, %donor.free]
  %missing.next = add i64 %missing, %one.missing
  br label %donor

keep:
  %j = phi i64 [0, %donor], [%j.next, %keep.one], [%j.next, %keep.swap], [%j.next, %keep.none]
  %left = phi i64 [%missing, %donor], [%left, %keep.one], [%left, %keep.swap],
    [%left.next, %keep.none]
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j, %m
  br i1 %j.more, label %keep.one, label %done

keep.one:
  %index.at = getelementptr i64, ptr %kept, i64 %j
  %index = load i64, ptr %index.at
  %old.at = getelementptr ptr, ptr %out, i64 %index
  %old = load ptr, ptr %old.at
  %old.count.at = getelementptr i8, ptr %old, i64 {layout.REFERENCES}
  %old.count = load i32, ptr %old.count.at
  %is.held = icmp ne i32 %old.count, 2
  br i1 %is.held, label %keep.held, label %keep

keep.held:
  %old.less = sub i32 %old.count, 1
  store i32 %old.less, ptr %old.count.at
  %spare.at = getelementptr ptr, ptr %spares, i64 %index
  %spare = load ptr, ptr %spare.at
  %spare.count.at = getelementptr i8, ptr %spare, i64 {layout.REFERENCES}
  %spare.count = load i32, ptr %spare.count.at
  %is.spare = icmp eq i32 %spare.count, 1
  br i1 %is.spare, label %keep.swap, label %keep.none

keep.swap:
  store i32 2, ptr %spare.count.at
  store ptr %spare, ptr %old.at
  %our.at = getelementptr ptr, ptr %ours, i64 %index
  store ptr %spare, ptr %our.at
  store ptr %old, ptr %spare.at
  br label %keep

keep.none:
  store ptr @none, ptr %old.at
{_COUNT_NONE.replace("none.", "other.").format(change=1)}  %left.next = add i64 %left, 1
  br label %keep

done:
  %result = call ptr @PyLong_FromLongLong(i64 %left)
  ret ptr %result
}}
"""


@once
def _claim() -> Callable[[list[Any], list[Any], Any, list[Any], list[Any]], int]:
    imports = {"none": id(None), "PyLong_FromLongLong": interpreter("PyLong_FromLongLong")}
    library = jit.engine().load(_CLAIM, ["claim"], imports=imports)
    return builtin(library, "claim")


class Reuse:
    """Gives a program the arrays that it writes its results to.

    Args:
        fresh: shape and dtype of each result; None where NumPy source makes the array.
        donors: (result, input) pairs: the input's array may become the result's.
        aligned: the results whose arrays begin at a cache line; those of donors do besides.
    """

    def __init__(
        self,
        fresh: list[tuple[tuple[int, ...], Any] | None],
        donors: list[tuple[int, int]],
        aligned: Iterable[int] = (),
    ) -> None:
        self.donors = donors
        self._claim = _claim()
        given = {k for k, _ in donors}
        lines = given.union(aligned)
        self._makers = {
            k: maker([(k, *spec)], lines) for k, spec in enumerate(fresh) if spec is not None
        }
        own = [(k, spec) for k, spec in enumerate(fresh) if spec is not None and k not in given]
        self._small = [k for k, spec in own if _bytes(*spec) <= _SMALL]
        large = [(k, *spec) for k, spec in own if _bytes(*spec) > _SMALL]
        self._make_large = maker(large, lines) if large else None
        self._kept: list[Any] = [None] * len(fresh)
        self._spare = self._kept.copy()
        for k in self._small:
            self._makers[k](self._kept)
        pairs = [word for k, i in donors for word in (k, i, _wrong_bits(fresh[k]))]
        self._own = np.array([0, len(self._small), *self._small], np.int64)
        self._donated = np.array([len(donors), 0, *pairs], np.int64)
        self._both = np.array([len(donors), len(self._small), *pairs, *self._small], np.int64)
        if any(_bytes(*spec) >= LARGE for _, spec in own):
            keep_freed_memory()

    def arrays(self, inputs: list[Any]) -> list[Any]:
        """The list of arrays out, with one for each result.

        No NumPy source may run later: what it returned may be views of inputs, and holds them.
        """
        kept, claim = self._kept, self._claim
        outputs = kept.copy()
        if claim(inputs, outputs, self._both, kept, self._spare):
            self._make(outputs)
            self._make_donated(outputs)
        if self._make_large is not None:
            self._make_large(outputs)
        return outputs

    def references(self, k: int, array: Any) -> int:
        """How many times this holds ``array`` for result ``k``."""
        return (self._kept[k] is array) + (self._spare[k] is array)

    def own_arrays(self) -> list[Any]:
        """The same without those that may come from inputs, which `donate` adds later."""
        outputs = self._kept.copy()
        if self._claim(outputs, outputs, self._own, self._kept, self._spare):
            self._make(outputs)
        if self._make_large is not None:
            self._make_large(outputs)
        return outputs

    def donate(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Add an array for each result that may have an input's: that one if it is free."""
        if self._claim(inputs, outputs, self._donated, self._kept, self._spare):
            self._make_donated(outputs)

    def _make(self, outputs: list[Any]) -> None:
        for k in self._small:
            if outputs[k] is None:
                self._spare[k] = self._kept[k]
                self._makers[k](outputs)
                self._kept[k] = outputs[k]

    def _make_donated(self, outputs: list[Any]) -> None:
        for k, _ in self.donors:
            if outputs[k] is None:
                self._makers[k](outputs)


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return prod(shape) * int(dtype.itemsize)


def _wrong_bits(spec: tuple[tuple[int, ...], Any] | None) -> int:
    """Bits that the address of an input's array must not have for a result to be written there.

    Parameters begin where NumPy puts them; in the first step they move to aligned memory.
    """
    assert spec is not None
    return LINE - 1 if is_alignable(_bytes(*spec)) else 0
