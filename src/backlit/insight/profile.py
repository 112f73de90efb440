"""Where the time goes: every flush, kernel and compilation in a block of code, timed."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from backlit.compiler import tiers
from backlit.compiler.tiers import Compared, Tiered
from backlit.core.era import backend, flush
from backlit.core.position import Position
from backlit.errors import ArgumentError
from backlit.insight.kernels import Kernel
from backlit.insight.program import Program
from backlit.insight.timeline import Event, write_chrome_trace
from backlit.native.machine.clock import now

EVENTS_KEPT = 20_000  # runs that a timeline can show; the sums go on
_NS = 1e-9
_active: list[Profile] = []


@dataclasses.dataclass(frozen=True)
class KernelTime:
    """A kernel with what it cost in the profiled block.

    Attributes:
        kernel: what it is; its ``seconds`` are those of one call, on average.
        calls: how often it ran.
        total: seconds of all calls.
        share: of the time of all kernels.
        programs: the numbers of the programs that it is part of.
    """

    kernel: Kernel
    calls: int
    total: float
    share: float
    programs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Compilation:
    """The making of a program: of its NumPy source ("source"), or of its native form ("native").

    Attributes:
        background: whether it happened while the program's user went on.
        compiled, loaded: libraries of machine code that were compiled, and that the disk had.
        start, stop: in nanoseconds.
        thread: the number of the thread.
        failure: why there is no native form, if there is none.
    """

    kind: str
    background: bool
    compiled: int
    loaded: int
    start: int
    stop: int
    thread: int
    failure: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.stop - self.start) * _NS


@dataclasses.dataclass(frozen=True)
class Flush:
    """One run of a program.

    Attributes:
        program: which.
        tier: "hot" or "cold".
        thread: the number of the thread.
        before: when the thread's previous run was over.
        start, stop: of this run; all times in nanoseconds.
        spans: beginning and end of each kernel; None in the cold tier.
    """

    program: Profiled
    tier: str
    thread: int
    before: int
    start: int
    stop: int
    spans: Any


class Profiled:
    """A program seen by a profile.

    Attributes:
        number: 1 for the first one seen, and so on.
        runs: how often it ran in each tier, "cold" and "hot".
        seconds: the time of these runs.
        recording: seconds of Python before them, since the run before.
    """

    def __init__(self, tiered: Tiered, number: int) -> None:
        self.tiered = tiered
        self.number = number
        self.runs = {"cold": 0, "hot": 0}
        self.seconds = {"cold": 0.0, "hot": 0.0}
        self.recording = 0.0
        self.timed: Any = None  # its plan with the clock read in between
        self.times: Any = None  # nanoseconds of each kernel, summed over hot runs

    @property
    def view(self) -> Program:
        """The program, to look at its kernels and its code."""
        return Program(self.tiered, None if self.timed is None else self.timed.plan, self.number)

    def native_kernels(self) -> list[tuple[Kernel, float]]:
        """The kernels of the hot runs, NumPy source between them included, and their seconds."""
        if self.times is None:
            return []
        return list(zip(self.view.parts(), (float(t) * _NS for t in self.times), strict=True))

    def kernels(self) -> list[tuple[Kernel, int, float]]:
        """(kernel, calls, seconds of them all); the cold runs are one kernel."""
        found = [(kernel, self.runs["hot"], t) for kernel, t in self.native_kernels()]
        if self.runs["cold"]:
            found.append((self.view.whole(), self.runs["cold"], self.seconds["cold"]))
        return found


class Profile:
    """What a block of code did, and how long it took; `profile` makes one.

    Attributes:
        seconds: how long the block took.
        flushes: how often a program ran.
        programs: the programs, in the order in which they were seen.
        compilations: what was made ready to run.
        python: seconds in which no program ran and none was made: recording, and the user's code.
        overhead: seconds that the profile itself took.
    """

    def __init__(self) -> None:
        self.seconds = self.python = self.overhead = 0.0
        self.flushes = 0
        self.programs: list[Profiled] = []
        self.compilations: list[Compilation] = []
        self.events: list[Flush] = []
        self._by_tiered: dict[Tiered, Profiled] = {}
        self._free: dict[int, tuple[int, int]] = {}  # thread → end of its run, ns of making since
        self._lock = threading.Lock()
        self._build: Callable[..., Any] = backend.build
        self._start = 0

    def __enter__(self) -> Self:
        flush()
        with _entering:
            if _active:
                raise ArgumentError(
                    "profile(): a profile is running already; leave its block before beginning "
                    "another."
                )
            _active.append(self)
        self._build = backend.build
        backend.build = self._built  # type: ignore[method-assign]
        tiers.watch(self)
        self._start = now()
        self._free[threading.get_ident()] = self._start, 0
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                flush()
        finally:
            stop = now()
            tiers.watch(None)
            backend.build = self._build  # type: ignore[method-assign]
            _active.remove(self)
            self.seconds += (stop - self._start) * _NS
            self.python += self._since(threading.get_ident(), stop)[1] * _NS

    # -- called while it is active ------------------------------------------------------------

    def run(self, tiered: Tiered, inputs: list[Any], scalars: list[Any]) -> Any:
        """Run a program and note its times."""
        entered = now()
        thread = threading.get_ident()
        before, python = self._since(thread, entered)
        found = self._by_tiered.get(tiered) or self._add(tiered)
        begun = now()
        chosen = tiered.plan or tiered.choose()  # which may compile it
        made = now() - begun
        timed = None if chosen is tiered.cold else self._timed(found, chosen)
        start = now()
        if timed is None:
            results, is_hot = chosen(inputs, scalars), False
        else:
            results, is_hot = timed(chosen, inputs, scalars)
        stop = now()
        tier = "hot" if is_hot else "cold"
        spans = timed.spans.copy() if timed is not None and is_hot else None
        with self._lock:
            self.flushes += 1
            self.python += python * _NS
            found.runs[tier] += 1
            found.seconds[tier] += (stop - start) * _NS
            found.recording += python * _NS
            if spans is not None:
                times = spans[:, 1] - spans[:, 0]
                found.times = times if found.times is None else found.times + times
            if len(self.events) < EVENTS_KEPT:
                self.events.append(Flush(found, tier, thread, before, start, stop, spans))
            left = now()
            self.overhead += (left - entered - made - (stop - start)) * _NS
            self._free[thread] = left, 0
        return results

    def compile(self, tiered: Tiered, compile: Callable[[Tiered], None]) -> None:
        """Compile a program and note how long it takes."""
        if tiered.plan is not None or tiered.failure is not None:
            return
        compiled, loaded = _libraries()
        start = now()
        compile(tiered)
        stop = now()
        after = _libraries()
        self._made("native", start, stop, after[0] - compiled, after[1] - loaded, tiered.failure)

    def _built(self, position: Position, ids: tuple[int, ...]) -> Any:
        """Make a program's NumPy source and note how long it takes."""
        start = now()
        program = self._build(position, ids)
        self._made("source", start, now())
        return program

    def _made(
        self, kind: str, start: int, stop: int, compiled: int = 0, loaded: int = 0,
        failure: str | None = None,
    ) -> None:  # fmt: skip
        thread = threading.get_ident()
        is_background = threading.current_thread().name == "backlit-compiler"
        with self._lock:
            self.compilations.append(
                Compilation(
                    kind, is_background, compiled, loaded, start, stop, thread, failure or ""
                )
            )
            end, made = self._free.get(thread, (start, 0))
            self._free[thread] = end, made + stop - start

    def _since(self, thread: int, moment: int) -> tuple[int, int]:
        """When the thread's previous run was over, and nanoseconds of Python since then."""
        end, made = self._free.get(thread, (moment, 0))
        return end, moment - end - made

    def _add(self, tiered: Tiered) -> Profiled:
        with self._lock:
            found = self._by_tiered.get(tiered)
            if found is None:
                found = self._by_tiered[tiered] = Profiled(tiered, len(self.programs) + 1)
                self.programs.append(found)
        return found

    def _timed(self, found: Profiled, chosen: Any) -> Any:
        """The plan of a program, to be run with the clock read in between."""
        if found.timed is None:
            from backlit.native.timing import Timed

            found.timed = Timed(chosen.plan if isinstance(chosen, Compared) else chosen)
        return found.timed

    # -- what came of it ----------------------------------------------------------------------

    def kernels(self) -> list[KernelTime]:
        """Every kernel that ran, the one that took longest first.

        Kernels that do the same for the same source lines count as one. A program in the cold tier
        is one kernel, of NumPy source.
        """
        merged: dict[Any, tuple[Kernel, list[tuple[int, float, int]]]] = {}
        for p in self.programs:
            for kernel, calls, total in p.kernels():
                merged.setdefault(kernel.key, (kernel, []))[1].append((calls, total, p.number))
        rows = [
            (kernel, sum(c for c, _, _ in parts), sum(t for _, t, _ in parts), parts)
            for kernel, parts in merged.values()
        ]
        everything = sum(total for _, _, total, _ in rows) or 1.0
        made = [
            KernelTime(
                dataclasses.replace(kernel, seconds=total / calls),
                calls,
                total,
                total / everything,
                tuple(number for _, _, number in parts),
            )
            for kernel, calls, total, parts in rows
        ]
        return sorted(made, key=lambda k: -k.total)

    def fallbacks(self) -> list[str]:
        """What has no native form, program by program, and why."""
        told: list[str] = []
        for p in self.programs:
            if p.tiered.failure is not None:
                told.append(f"program {p.number}, all of it: {p.tiered.failure}")
            elif p.timed is not None:
                told += [f"program {p.number}: {reason}" for reason in p.view.fallbacks]
        return list(dict.fromkeys(told))

    def __str__(self) -> str:
        from backlit.insight.profile_table import table_of

        return table_of(self)

    def chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a timeline for https://ui.perfetto.dev or chrome://tracing, whole or not at all.

        Runs, the kernels in them, compilations and stretches of Python, thread by thread; kernels
        with their source lines, bytes and FLOPs. Of long blocks, the first 20 000 runs.

        Raises:
            CheckpointError: if the file cannot be written.
        """
        write_chrome_trace(Path(path), self._timeline(), self._start)

    def _timeline(self) -> list[Event]:
        names: dict[int, list[Kernel]] = {}
        found: list[Event] = []
        for f in self.events:
            number = f.program.number
            if f.before < f.start:
                found.append(Event("Python", "python", f.thread, f.before, f.start))
            found.append(Event(f"program {number}, {f.tier}", "flush", f.thread, f.start, f.stop))
            if f.spans is None:
                continue
            if number not in names:
                names[number] = f.program.view.parts()
            for kernel, (start, stop) in zip(names[number], f.spans.tolist(), strict=True):
                found.append(Event(kernel.name, kernel.kind, f.thread, start, stop, kernel))
        for c in self.compilations:
            found.append(Event(f"make {c.kind} code", "compile", c.thread, c.start, c.stop))
        return found


_entering = threading.Lock()


def _libraries() -> tuple[int, int]:
    """How many libraries this process has compiled, and loaded from the disk, so far."""
    jit = sys.modules.get("backlit.native.machine.jit")
    return (0, 0) if jit is None else (jit.built["compiled"], jit.built["disk"])


def profile() -> Profile:
    """``with backlit.profile() as prof:`` times what runs inside, kernel by kernel.

    ``print(prof)`` shows where the time went: kernels, NumPy source, Python; which kernels took how
    much of it, at which rates, for which of your lines; what was compiled; and what ran as NumPy
    source, and why. ``prof.chrome_trace(path)`` writes a timeline.

    Reading the clock adds about 20 ns per kernel and some microseconds per run; the profile's own
    time is told apart. Outside of the block nothing is measured, and nothing is slower. Entering a
    block while another is active raises ArgumentError.

    >>> x, w = backlit.ones(8, 4), backlit.ones(4, 2)
    >>> with backlit.profile() as prof:
    ...     for _ in range(3):
    ...         total = (x @ w).relu().sum().item()
    >>> prof.flushes, len(prof.programs), sum(k.calls for k in prof.kernels()) >= 3
    (3, 1, True)
    """
    return Profile()


__all__ = ["Compilation", "Flush", "KernelTime", "Profile", "Profiled", "profile"]
