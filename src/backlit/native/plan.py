"""Plans: a program as tables of kernels and buffers, ready for the native loop.

Temporaries share one arena; which bytes are free when is worked out once. Results that leave the
program get fresh arrays, or the array of an input that nobody else holds any more, so that an
optimizer's step writes its parameters in place.
"""

from __future__ import annotations

import operator
import os
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.compiler.source import Runner
from backlit.core.era import Interrupted
from backlit.core.program import Program
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value
from backlit.errors import IndexOutOfRange
from backlit.native.entries import add_entry
from backlit.native.finishes import with_finishes
from backlit.native.lower import Lowering
from backlit.native.memory import ALIGNMENT, donations, lives, place, updates_last, written
from backlit.native.reuse import Reuse
from backlit.native.runtime import COMPLETED, FAILED, runtime
from backlit.native.steady import StandingTable
from backlit.native.steps import (
    Kernel,
    Lookup,
    Loop,
    Product,
    Ref,
    Source,
    Step,
    contiguous,
)
from backlit.native.table import Places, Segment, Table

# Elements of work from which other Python threads may run meanwhile: at worst, the 5 ms that they
# wait for each other anyway.
_LONG = 5_000_000


@dataclass
class Piece:
    """Consecutive nodes that run as NumPy source between native segments."""

    runner: Runner
    inputs: list[Value]
    outputs: list[Value]


class Plan:
    """A lowered program. `__call__` runs it; one thread at a time, others wait for their turn."""

    def __init__(self, program: Program, cold: Callable[[list[Any], list[Any]], Any]) -> None:
        self.program = program
        self.cold = cold
        self.lock = threading.Lock()
        self.odd_numbers: frozenset[int] = frozenset()  # numbers that arrive as int or bool
        self.native = runtime()
        _plans.add(self)
        self._build()

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        lowering = Lowering(self.program)
        self.steps = updates_last(with_finishes(lowering.run(), lowering), lowering)
        self.lowering = lowering
        outputs = self.program.outputs
        self.buffers: dict[int, Any] = {}  # temporaries as arrays over the arena
        self.out_index: dict[int, int] = {}  # value id → its place in the list of arrays out
        self.fresh: list[tuple[tuple[int, ...], Any] | None] = []  # None: made by NumPy source
        self.returns = [lowering.ref(o) for o in outputs]
        by_source = {v.id for s in self.steps if isinstance(s, Source) for v in written(s)}
        returned = {r.value.id: r.value for r in self.returns if isinstance(r.value, Result)}
        for v in (*returned.values(), *(v for s in self.steps for v in written(s))):
            if v.id not in self.out_index and (v.id in returned or v.id in by_source):
                self.out_index[v.id] = len(self.fresh)
                spec = None if v.id in by_source else (tuple(v.shape), v.dtype.numpy)
                self.fresh.append(spec)
        leaving = {r.value.id for r in self.returns}
        self.donors = donations(self.program, self.steps, lowering, self.out_index, leaving)
        self.work = sum(_work(s) for s in self.steps)
        self._arena()
        self._tables()
        self.places_of_results = self._places_of_results()
        self.pick = self._picker()
        last = self.segments[-1] if self.donors else None
        assert not isinstance(last, Piece)
        self.last = last  # the segment that writes donated arrays
        # What is computed element by element lies as NumPy's arrays do, like its operands: a load
        # and a store that cross cache lines at different places take longer than two that cross
        # them at the same (15 % of an addition).
        products = {v.id for s in self.steps if not isinstance(s, Kernel) for v in written(s)}
        lines = [k for i, k in self.out_index.items() if i in products]
        self.reuse = Reuse(self.fresh, self.donors, lines)
        is_native = len(self.segments) == 1 and isinstance(self.segments[0], Segment)
        self.is_one_call = is_native and self.work <= _LONG  # other threads need not run meanwhile

    def _places_of_results(self) -> list[int] | None:
        """Which of the arrays out are the results, if each is one of them as it is."""
        places: list[int] = []
        for r in self.returns:
            if r.value.id not in self.out_index or r.shape != tuple(r.value.shape):
                return None
            if r.strides != contiguous(r.shape) or r.offset:
                return None
            places.append(self.out_index[r.value.id])
        return places

    def _picker(self) -> Callable[[list[Any]], Any] | None:
        """How to take the results from the arrays out."""
        places = self.places_of_results
        if not places:
            return None
        if places == list(range(len(self.fresh))):
            return tuple
        if len(places) == 1:
            (only,) = places
            return lambda outputs: (outputs[only],)
        return operator.itemgetter(*places)

    def _arena(self) -> None:
        """Make the arena, and arrays over it for NumPy source to read."""
        temporaries = lives(self.steps, self.lowering, self.out_index)
        offsets, total = place(temporaries)
        self.arena = np.zeros(total + ALIGNMENT, np.uint8)
        shift = -self.arena.ctypes.data % ALIGNMENT
        self.offsets = {i: shift + o for i, o in offsets.items()}
        for v in (life.value for life in temporaries):
            start = self.offsets[v.id]
            raw = self.arena[start : start + v.numel * v.dtype.itemsize]
            self.buffers[v.id] = raw.view(v.dtype.numpy).reshape(tuple(v.shape))

    def _tables(self) -> None:
        self.segments: list[Segment | Piece] = []
        self.completed = 0  # runs of the last segment
        self.kernels: list[Any] = []  # the code that the tables call
        self.places = Places(self.arena, self.offsets, self.out_index, [self.arena])
        self.numbers_read = self.places.numbers_read
        run: list[Step] = []
        for step in self.steps:
            if isinstance(step, Source):
                if run:
                    self.segments.append(self._segment(run))
                    run = []
                self.segments.append(self._piece(step))
            else:
                run.append(step)
        if run:
            self.segments.append(self._segment(run))

    def _segment(self, steps: list[Step]) -> Segment:
        table = Table(self.places)
        self.kernels += [add_entry(step, table) for step in steps]
        return table.freeze()

    def _piece(self, step: Source) -> Piece:
        """The nodes of ``step``, and the views they read through, as NumPy source."""
        nodes = self._with_views(step.nodes)
        inside = {o.id for n in nodes for o in n.outs}
        replaced: dict[int, Value] = {}
        inputs: list[Value] = []
        rewritten: list[Node] = []
        for node in nodes:
            args: list[Value] = []
            for a in node.args:
                if a.id not in inside and isinstance(a, (Input, Result)):
                    if a.id not in replaced:
                        replaced[a.id] = Input(a.id, a.meta, len(inputs))
                        inputs.append(a)
                    a = replaced[a.id]
                args.append(a)
            made = Node(node.primitive, tuple(args), node.attrs, node.where)
            made.outs = node.outs
            rewritten.append(made)
        outputs = written(step)
        program = Program(rewritten, tuple(outputs), len(inputs))
        return Piece(Runner(program), inputs, outputs)

    def _with_views(self, nodes: list[Node]) -> list[Node]:
        """``nodes`` and the movement nodes through which they read, in order."""
        found: dict[int, Node] = {}
        stack = list(nodes)
        while stack:
            node = stack.pop()
            found[node.outs[0].id] = node
            for a in node.args:
                source = self.lowering.nodes.get(a.id)
                if source is not None and self.lowering.kind[source.outs[0].id] == "view":
                    stack.append(source)
        return [n for n in self.lowering.order if n.outs[0].id in found]

    def table(self) -> StandingTable | None:
        """The table of a program that is one call of the loop, for who runs it on the same arrays
        again and again."""
        places = self.places_of_results
        if places is None or not self.is_one_call or self.odd_numbers:
            return None
        segment: Any = self.segments[0]
        return StandingTable(segment.head, places, self.fresh, set(self.donors), self.reuse)

    # -- running ------------------------------------------------------------------------------

    def __call__(self, inputs: list[Any], scalars: list[Any]) -> Any:
        if not self.lock.acquire(False):
            if self._is_running_here():
                return self.cold(inputs, scalars)
            self.lock.acquire()
        outputs: list[Any] = []
        try:
            if self.is_one_call and not self.odd_numbers:
                self.completed += 1  # first: `_recover` reads it
                outputs = self.reuse.arrays(inputs)
                segment: Any = self.segments[0]
                run = self.native.run
                status = run(inputs, outputs, scalars, segment.head)
                if status:
                    self._run_unusual(status, segment, inputs, outputs, scalars)
            else:
                outputs = self.reuse.own_arrays()
                self._run_segments(inputs, outputs, scalars)
            pick = self.pick
            if pick is not None:
                return pick(outputs)
            return self._results(inputs, outputs, scalars)
        except _Refused:  # a whole number beyond 64 bits: NumPy says what is wrong with it
            self.completed = int(self.last.head[COMPLETED]) if self.last else 0
            return self.cold(inputs, scalars)
        except BaseException as error:
            self._recover(error, inputs, outputs, scalars)
            raise
        finally:
            self.lock.release()

    def _is_running_here(self) -> bool:
        """Whether a run of this thread was interrupted, by a signal's handler or a finalizer."""
        frame = sys._getframe(2)
        while frame is not None:
            if frame.f_code is Plan.__call__.__code__ and frame.f_locals["self"] is self:
                return True
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def _run_segments(self, inputs: list[Any], outputs: list[Any], scalars: list[Any]) -> None:
        """Run the segments in order; what may be written into donated arrays comes last."""
        odd = self.odd_numbers
        numbers = [_plain(x) if i in odd else x for i, x in enumerate(scalars)] if odd else scalars
        call = self.native.run_without_gil if self.work > _LONG else self.native.run
        for segment in self.segments:
            if isinstance(segment, Piece):
                self._run_piece(segment, inputs, outputs, scalars)
                continue
            if segment is self.last:
                self.completed += 1
                self.reuse.donate(inputs, outputs)
            status = call(inputs, outputs, numbers, segment.head)
            if status:
                self._run_unusual(status, segment, inputs, outputs, scalars)

    def _recover(
        self, error: BaseException, inputs: list[Any], outputs: list[Any], scalars: list[Any]
    ) -> None:
        """Hand out the results if ``error`` (Ctrl-C) came when donated arrays had been written.

        The inputs are gone then, and nothing could be computed again from them.
        """
        if self.last is None:
            return
        is_complete = int(self.last.head[COMPLETED]) == self.completed
        self.completed = int(self.last.head[COMPLETED])
        if is_complete and outputs[self.donors[0][0]] is not None:
            raise Interrupted(self._results(inputs, outputs, scalars), error)

    def _results(self, inputs: list[Any], outputs: list[Any], scalars: list[Any]) -> Any:
        return [self._result(r, inputs, outputs, scalars) for r in self.returns]

    def _run_unusual(
        self,
        status: int,
        segment: Segment,
        inputs: list[Any],
        outputs: list[Any],
        scalars: list[Any],
    ) -> None:
        """Run a segment whose arrays are not contiguous, or whose numbers are not floats."""
        if status >= FAILED:
            raise _out_of_range(segment.steps[status - FAILED])
        arrays = [None if a is None else np.require(a, requirements=("C", "A")) for a in inputs]
        for k, _ in self.donors if segment is self.last else ():
            if not outputs[k].flags.carray:
                outputs[k] = np.empty(*self.fresh[k])  # type: ignore[misc]
        self.odd_numbers = frozenset(
            i for i, x in enumerate(scalars) if i in self.numbers_read and _is_odd(x)
        )
        numbers = [_plain(x) if i in self.odd_numbers else x for i, x in enumerate(scalars)]
        status = self.native.run(arrays, outputs, numbers, segment.head)
        if status >= FAILED:
            raise _out_of_range(segment.steps[status - FAILED])
        if status:
            raise _Refused

    def _run_piece(
        self, piece: Piece, inputs: list[Any], outputs: list[Any], scalars: list[Any]
    ) -> None:
        """Run NumPy source between native segments; its results take their places in
        ``outputs``."""
        arrays = [self._array(v, inputs, outputs) for v in piece.inputs]
        for v, made in zip(piece.outputs, piece.runner(arrays, scalars), strict=True):
            array = np.asarray(made)
            is_view = array.base is not None and np.may_share_memory(array, self.arena)
            if is_view or not array.flags.carray or any(array is a for a in arrays):
                array = array.copy()
            outputs[self.out_index[v.id]] = array

    def _array(self, v: Value, inputs: list[Any], outputs: list[Any]) -> Any:
        if isinstance(v, Input):
            return inputs[v.index]
        return outputs[self.out_index[v.id]] if v.id in self.out_index else self.buffers[v.id]

    def _result(self, ref: Ref, inputs: list[Any], outputs: list[Any], scalars: list[Any]) -> Any:
        v = ref.value
        if isinstance(v, Constant):
            array = v.array.copy()  # nobody may write to the program's own
        elif isinstance(v, Scalar):
            array = np.asarray(scalars[v.index], v.dtype.numpy)
        else:
            array = self._array(v, inputs, outputs)
        if array.shape == ref.shape and ref.is_contiguous and not ref.offset:
            return array
        steps = tuple(s * array.itemsize for s in ref.strides)
        first = np.ascontiguousarray(array).reshape(-1)[ref.offset :]
        return np.lib.stride_tricks.as_strided(first, ref.shape, steps)


_plans: weakref.WeakSet[Plan] = weakref.WeakSet()


def _unlock_all() -> None:
    """In the child of a fork, whose other threads are gone: none of them will unlock a plan."""
    for plan in _plans:
        plan.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)


class _Refused(Exception):
    """Native code cannot read a number; nothing has been written yet."""


def _is_odd(x: Any) -> bool:
    """Whether native code does not read this number as it is."""
    is_long = type(x) is int and not -(1 << 63) <= x < 1 << 63
    return is_long or type(x) not in (float, int, bool)


def _plain(x: Any) -> float | int:
    """A number that native code reads: of Python's own types, and a float if it is large."""
    if hasattr(x, "__index__"):
        x = operator.index(x)
        return float(x) if _is_odd(x) else x
    return float(x)


def _out_of_range(step: Step) -> Exception:
    """The error for an index that a native kernel refused."""
    assert isinstance(step, (Lookup, Loop))
    if isinstance(step, Lookup):
        name, limit, kind = step.name, step.cols, f"{step.cols} classes"
    else:
        name, limit = step.node.primitive.name, step.limit or 0
        kind = f"a dimension of size {limit}"
    return IndexOutOfRange(
        f"{name}: an index is out of bounds for {kind} (0 to {limit - 1}) "
        f"[recorded at {step.node.where}]"
    )


def _work(step: Step) -> int:
    if isinstance(step, Kernel):
        return step.rows * step.cols * len(step.nodes)
    if isinstance(step, Product):
        return step.out.numel * step.a.shape[-1]
    if isinstance(step, Source):
        return sum(n.outs[0].numel for n in step.nodes)
    return sum(v.numel for v in (*(a for a in step.node.args), step.out))
