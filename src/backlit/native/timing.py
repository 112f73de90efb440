"""Plans with the clock read between their entries.

The tables stay as they are. Instead of the loop of `runtime.py`, another one runs their entries
and writes down the time before and after each; reading the clock takes about 20 ns.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.native.anatomy import Part, parts
from backlit.native.machine import jit
from backlit.native.machine.clock import MONOTONIC, SOURCE, now
from backlit.native.machine.once import once
from backlit.native.plan import Piece, Plan
from backlit.native.runtime import CALL, COMPLETED, COUNT, COUNT_RUN, ENTRIES, FAILED
from backlit.native.table import Segment

# timed(entries, n, stamps, table): runs the entries, and writes n + 1 times to stamps. Returns 0
# and counts a completed run in the table, or says which entry failed.
_LOOP = f"""
define i64 @timed(ptr %entries, i64 %n, ptr %stamps, ptr %table) {{
start:
  %first = call i64 @clock()
  store i64 %first, ptr %stamps
  br label %entry

entry:
  %k = phi i64 [0, %start], [%k.next, %stamp]
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k, %n
  br i1 %more, label %one, label %done

one:
{CALL}  br i1 %is.fine, label %stamp, label %failure

stamp:
  %time = call i64 @clock()
  %stamp.at = getelementptr i64, ptr %stamps, i64 %k.next
  store i64 %time, ptr %stamp.at
  br label %entry

failure:
  %code = add i64 %k, {FAILED}
  ret i64 %code

done:
{COUNT_RUN}  ret i64 0
}}
"""

_OTHER_CLOCK = "declare i64 @clock()\n"


class Clockwork:
    """The loop, linked with a clock."""

    def __init__(self, number: int | None = MONOTONIC) -> None:
        if number is None:
            self._python_clock = ctypes.CFUNCTYPE(ctypes.c_int64)(now)
            address = ctypes.cast(self._python_clock, ctypes.c_void_p).value or 0
            text, imports = _OTHER_CLOCK, {"clock": address}
        else:
            text, imports = SOURCE, {}
        self.library = jit.engine().load(text + _LOOP, ["timed"], imports=imports)
        types = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        self.run = ctypes.PYFUNCTYPE(ctypes.c_int64, *types)(self.library.address("timed"))
        self.run_without_gil = ctypes.CFUNCTYPE(ctypes.c_int64, *types)(self.run_address)

    @property
    def run_address(self) -> int:
        return self.library.address("timed")


@once
def clockwork() -> Clockwork:
    """The timed loop of this process."""
    return Clockwork()


class _TimedSegment:
    """A segment's table in two halves: one that fills in addresses, and its entries."""

    def __init__(self, segment: Segment) -> None:
        self.head = np.array(segment.head[: COMPLETED + 1])
        self.entries, self.count = int(self.head[ENTRIES]), int(self.head[COUNT])
        self.head[COUNT] = 0
        self.table = segment.address
        self.stamps = np.zeros(self.count + 1, np.int64)


class Timed:
    """Runs a plan and notes when each of its parts began and ended.

    Attributes:
        parts: the parts of the plan.
        spans: beginning and end of each part in the latest run, in nanoseconds of `clock.now`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.parts: list[Part] = parts(plan)
        self.spans = np.zeros((len(self.parts), 2), np.int64)
        self._native = plan.native
        self._lock = threading.Lock()
        self._segments: dict[int, tuple[_TimedSegment, Any, Any, Any]] = {}
        self._pieces: dict[int, int] = {}  # piece → its part
        for place, segment in enumerate(plan.segments):
            mine = [i for i, p in enumerate(self.parts) if p.segment == place]
            if isinstance(segment, Piece):
                (self._pieces[id(segment)],) = mine
                continue
            firsts = np.array([self.parts[i].entries[0] for i in mine])
            lasts = np.array([self.parts[i].entries[1] for i in mine])
            timed = _TimedSegment(segment)
            self._segments[id(segment.head)] = (
                timed,
                slice(mine[0], mine[-1] + 1),
                firsts,
                lasts + 1,
            )

    def __call__(
        self, run: Callable[[list[Any], list[Any]], Any], inputs: list[Any], scalars: list[Any]
    ) -> tuple[Any, bool]:
        """The results of ``run``, which runs the plan, and whether ``spans`` tells of that run.

        It does not if another thread's run is being timed.
        """
        if not self._lock.acquire(blocking=False):
            return run(inputs, scalars), False
        plan = self.plan
        self.spans[:] = 0
        plan.native = self  # type: ignore[assignment]
        plan._run_piece = self._run_piece  # type: ignore[method-assign, assignment]
        try:
            return run(inputs, scalars), bool(self.spans.all())
        finally:
            plan.native = self._native
            del plan.__dict__["_run_piece"]
            self._lock.release()

    # -- in the place of the runtime ----------------------------------------------------------

    def run(self, *operands: Any) -> int:
        """Run a segment's table holding the interpreter's lock."""
        return self._run(clockwork().run, *operands)

    def run_without_gil(self, *operands: Any) -> int:
        """Run a segment's table while other Python threads run."""
        return self._run(clockwork().run_without_gil, *operands)

    def _run(
        self, loop: Any, inputs: list[Any], outputs: list[Any], numbers: list[Any], table: Any
    ) -> int:
        timed, mine, firsts, lasts = self._segments[id(table)]
        status = int(self._native.run(inputs, outputs, numbers, timed.head))
        if status:
            return status
        status = int(loop(timed.entries, timed.count, timed.stamps.ctypes.data, timed.table))
        self.spans[mine, 0] = timed.stamps[firsts]
        self.spans[mine, 1] = timed.stamps[lasts]
        return status

    def _run_piece(self, piece: Piece, *rest: Any) -> None:
        """Run NumPy source between segments."""
        i = self._pieces[id(piece)]
        self.spans[i, 0] = now()
        Plan._run_piece(self.plan, piece, *rest)
        self.spans[i, 1] = now()
