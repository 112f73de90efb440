"""Two tiers: programs start as NumPy source and go on as native code once they have proved to
repeat.

The hot tier is compiled in the background, so that no step waits for it; until it is ready, and
wherever it cannot be had, the cold tier runs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from backlit import config
from backlit.compiler.source import Runner
from backlit.core.program import Program
from backlit.errors import VerificationError

RUNS_BEFORE_HOT = 2  # cold runs of a program before it is compiled
marks_module = "backlit.native.machine.known"  # imported when the first program is due
LARGE_BYTES = 64 << 20  # computed by a program that is compiled before its first run
native_module = "backlit.native.plan"  # imported when the first program is hot
_TOLERANCE = {"float32": (2e-4, 2e-5), "float64": (1e-9, 1e-11)}


class _Thread(threading.local):
    """What a thread does with programs that have no plan yet."""

    compiles_first = False


_thread = _Thread()


@contextlib.contextmanager
def compiled_first() -> Iterator[None]:
    """Within this block, where the tier is `auto`, this thread waits for native code.

    No timing decides then which of two equivalent programs makes a step. A change of the flag
    would do so, too, but it makes all threads forget all programs.

    >>> with compiled_first():
    ...     backlit.ones(3).sum()
    tensor(3.)
    """
    before = _thread.compiles_first
    _thread.compiles_first = True
    try:
        yield
    finally:
        _thread.compiles_first = before


class Tiered:
    """Runs a program in the tier that it has reached."""

    __slots__ = ("__weakref__", "cold", "failure", "plan", "program", "runs")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.cold = Runner(program)
        self.plan: Any = None
        self.failure: str | None = None  # why there is no native form, if there is none
        self.runs = 0

    def __call__(self, inputs: list[Any], scalars: list[Any]) -> Any:
        plan = self.plan
        if plan is not None:
            return plan(inputs, scalars)
        return self.choose()(inputs, scalars)

    def choose(self) -> Any:
        """What a program without a plan runs as now: NumPy source, or a plan made at once."""
        self.runs += 1
        tier = config.get("tier")
        if tier != "cold" and self.failure is None:
            is_due = self.runs == RUNS_BEFORE_HOT
            if _thread.compiles_first and worker.is_busy:  # perhaps with this very program
                worker.wait()
            is_waited_for = tier == "hot" or _thread.compiles_first
            if is_waited_for or (self.runs == 1 and self.is_large()) or (is_due and self.is_known):
                self.compile()
                if self.plan is not None:
                    return self.plan
            elif is_due:
                worker.submit(self)
        return self.cold

    def is_large(self) -> bool:
        """Whether the arrays it computes are so large that it is better compiled before it runs
        once: NumPy source holds more of them at a time, and takes longer than compiling does."""
        outs = (out for node in self.program.nodes for out in node.outs)
        return sum(out.numel * out.dtype.itemsize for out in outs) >= LARGE_BYTES

    def table(self) -> Any:
        """What runs this program on arrays that stay where they are; None where nothing does."""
        table = getattr(self.plan, "table", None)
        return table() if table is not None and watching.observer is None else None

    @property
    def is_known(self) -> bool:
        """Whether its machine code is on disk, so that nobody waits long for it."""
        known = importlib.import_module(marks_module)
        return bool(known.is_known(self.program))

    def compile(self) -> None:
        """Make the native form, or note why there is none."""
        if self.plan is not None or self.failure is not None:
            return
        try:
            native = importlib.import_module(native_module)
            plan = native.Plan(self.program, self.cold)
            importlib.import_module(marks_module).remember(self.program)
        except ImportError as error:
            self.failure = f"{error.name} is not installed"
        except NotImplementedError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - its mistakes must not stop anyone's work
            self.failure = f"{type(error).__name__}: {error}"
            unexpected.append(self.failure)
        else:
            self.plan = Compared(plan, self.cold, self.program) if config.get("compare") else plan


class Observer(Protocol):
    """What runs and compiles programs while they are watched."""

    def run(self, tiered: Tiered, inputs: list[Any], scalars: list[Any]) -> Any:
        """Run a program."""

    def compile(self, tiered: Tiered, compile: Callable[[Tiered], None]) -> None:
        """Call ``compile(tiered)``."""


class _Watching:
    """Who watches, if anyone."""

    __slots__ = ("observer",)

    def __init__(self) -> None:
        self.observer: Observer | None = None


watching = _Watching()
_own_run, _own_compile = Tiered.__call__, Tiered.compile


def watch(observer: Observer | None) -> None:
    """Have every program run and compiled through ``observer``; None ends that.

    The methods themselves are exchanged, so that a run asks nothing while nobody watches.
    """
    watching.observer = observer
    if observer is None:
        Tiered.__call__ = _own_run  # type: ignore[method-assign]
        Tiered.compile = _own_compile  # type: ignore[method-assign]
        return

    def run(tiered: Tiered, inputs: list[Any], scalars: list[Any]) -> Any:
        return observer.run(tiered, inputs, scalars)

    def compile(tiered: Tiered) -> None:
        observer.compile(tiered, _own_compile)

    Tiered.__call__ = run  # type: ignore[method-assign, assignment]
    Tiered.compile = compile  # type: ignore[method-assign, assignment]


unexpected: deque[str] = deque(maxlen=100)
"""Failures that no rule foresees, the latest last; the tests ask for none."""


class Compared:
    """Runs both tiers, and raises where they differ or where an array in use was written to."""

    def __init__(self, plan: Any, cold: Runner, program: Program | None = None) -> None:
        self.plan = plan
        self.cold = cold
        nodes = program.nodes if program is not None else []
        values = [v for node in nodes for v in (*node.args, *node.outs)]
        self.is_single = any(v.dtype.name == "float32" for v in values)

    def __call__(self, inputs: list[Any], scalars: list[Any]) -> Any:
        expected = [np.array(a) for a in self.cold(inputs, scalars)]
        held = {i: inputs[i].copy() for i, n in enumerate(_holders(inputs)) if n > _UNHELD}
        found = self.plan(inputs, scalars)
        for i, before in held.items():
            if inputs[i].tobytes() != before.tobytes():
                raise VerificationError(f"input {i}: the hot tier wrote to an array in use.")
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            self._check(i, a, b)
        return found

    def _check(self, i: int, a: Any, b: Any) -> None:
        if a.shape != b.shape or a.dtype != b.dtype:
            raise VerificationError(
                f"output {i}: the hot tier gives {a.dtype}{a.shape}, the cold tier "
                f"{b.dtype}{b.shape}."
            )
        # A float64 result may come from float32 values, and be no better than they.
        name = "float32" if self.is_single and a.dtype.kind == "f" else str(a.dtype)
        rtol, atol = _TOLERANCE.get(name, (0.0, 0.0))
        finite = np.abs(b[np.isfinite(b)]) if b.dtype.kind == "f" else np.zeros(0)
        scale = max(1.0, float(finite.max())) if finite.size else 1.0
        if not np.allclose(a, b, rtol=rtol, atol=atol * scale, equal_nan=True):
            raise VerificationError(
                f"output {i} {b.dtype}{b.shape}: the tiers differ.\n{self.cold.source}"
            )


def _holders(inputs: list[Any]) -> list[int]:
    return [sys.getrefcount(inputs[i]) for i in range(len(inputs))]


(_UNHELD,) = _holders([np.zeros(1)])


class Worker:
    """The thread that compiles; it exists from the first program on that repeats."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget everything: a forked child has no such thread, and may find its locks held."""
        self._queue: queue.SimpleQueue[weakref.ref[Tiered] | threading.Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._working = False

    @property
    def is_busy(self) -> bool:
        """Whether a program is being compiled, or waits for its turn."""
        return self._working or not self._queue.empty()

    def submit(self, tiered: Tiered) -> None:
        """Have ``tiered`` compiled when its turn comes."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, name="backlit-compiler", daemon=True
                )
                self._thread.start()
        self._queue.put(weakref.ref(tiered))

    def wait(self) -> None:
        """Return when everything submitted so far has been compiled."""
        if self._thread is not None and self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait()

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            if isinstance(job, threading.Event):
                job.set()
                continue
            self._working = True
            tiered = job()
            if tiered is not None:
                tiered.compile()
            del tiered
            self._working = False


worker = Worker()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=worker.begin)
