"""One pool of native threads, for generated code to use without the GIL.

`parallel_for(body, context, count)` calls `body(context, i)` for every i below count, on the
calling thread and on idle workers. Which thread runs which i differs from run to run; what the
chunks are does not, so results do not depend on the number of threads.

Workers are Python threads that call one native function and stay in it until the pool is shut
down: no thread library to link, no GIL after the start. They look for work for 200 µs before they
sleep on a condition variable, so that the gaps within a training step, and those between two steps,
cost no wake-up; after the first moment of these they let other threads go first.

Handing out work: one 64-bit word, the ticket, holds the job's number, where the chunks that are
left end, and where they begin (24 + 20 + 20 bits). A worker reads it, reads the job's body and
context, and takes an index by compare-and-swap; success proves that the job was still the same,
hence that body and context were its own. The caller returns when as many chunks are done as there
were. It takes chunks from the first on, workers from the last back: what a thread has in its cache
from the job before is then likely to be what it needs.

A nested call, or one while another thread's job runs, runs serially on its own thread. So does
everything after a fork, until the pool is started again, and everything on Windows.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from backlit.native.machine import clock, jit
from backlit.native.machine.once import once

_SYMBOLS = (
    "pthread_mutex_init",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_cond_init",
    "pthread_cond_wait",
    "pthread_cond_broadcast",
    "sched_yield",
    "clock_gettime",
)
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}
MOST_CHUNKS = 2**20 - 1

# Every word that threads write has a cache line of its own. Mutexes and condition variables are at
# most 64 bytes on the platforms there are; they get 128.
_SOURCE = """
@ticket = internal global i64 0, align 128
@done = internal global i64 0, align 128
@body = internal global i64 0, align 128
@context = internal global i64 0, align 8
@busy = internal global i64 0, align 128
@sleepers = internal global i64 0, align 128
@stopping = internal global i64 0, align 128
@workers = internal global i64 0, align 128
@mutex = internal global [128 x i8] zeroinitializer, align 128
@condition = internal global [128 x i8] zeroinitializer, align 128

declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()
{pause_declaration}
{clock}
; Also right in the child of a fork, whose threads are gone.
define void @reset() {{
  store i64 0, ptr @ticket
  store i64 0, ptr @done
  store i64 0, ptr @busy
  store i64 0, ptr @sleepers
  store i64 0, ptr @stopping
  store i64 0, ptr @workers
  call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}}

define internal void @wake() {{
  call i32 @pthread_mutex_lock(ptr @mutex)
  call i32 @pthread_cond_broadcast(ptr @condition)
  call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}}

define void @stop() {{
  store atomic i64 1, ptr @stopping seq_cst, align 8
  call void @wake()
  ret void
}}

define void @resume() {{
  store atomic i64 0, ptr @stopping seq_cst, align 8
  ret void
}}

define i64 @count_workers() {{
  %n = load atomic i64, ptr @workers seq_cst, align 8
  ret i64 %n
}}

; Whether a worker has a reason not to sleep.
define internal i1 @wanted() {{
  %t = load atomic i64, ptr @ticket seq_cst, align 8
  %shifted = lshr i64 %t, 20
  %count = and i64 %shifted, 1048575
  %next = and i64 %t, 1048575
  %work = icmp ult i64 %next, %count
  %s = load atomic i64, ptr @stopping seq_cst, align 8
  %stop = icmp ne i64 %s, 0
  %any = or i1 %work, %stop
  ret i1 %any
}}

; Take and run chunks until none is left: the caller from the first on, workers from the last.
define internal void @drain(i1 %is.caller) {{
entry:
  br label %look
look:
  %t = load atomic i64, ptr @ticket acquire, align 8
  %shifted = lshr i64 %t, 20
  %count = and i64 %shifted, 1048575
  %next = and i64 %t, 1048575
  %left = icmp ult i64 %next, %count
  br i1 %left, label %take, label %empty
take:
  %f = load atomic i64, ptr @body monotonic, align 8
  %c = load atomic i64, ptr @context monotonic, align 8
  %last = sub i64 %count, 1
  %index = select i1 %is.caller, i64 %next, i64 %last
  %step = select i1 %is.caller, i64 1, i64 -1048576
  %following = add i64 %t, %step
  %swap = cmpxchg ptr @ticket, i64 %t, i64 %following acq_rel acquire
  %taken = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %taken, label %run, label %look
run:
  %function = inttoptr i64 %f to ptr
  %argument = inttoptr i64 %c to ptr
  call void %function(ptr %argument, i64 %index)
  atomicrmw add ptr @done, i64 1 acq_rel
  br label %look
empty:
  ret void
}}

define void @worker() {{
entry:
  atomicrmw add ptr @workers, i64 1 seq_cst
  br label %work
work:
  call void @drain(i1 false)
  %s = load atomic i64, ptr @stopping seq_cst, align 8
  %stop = icmp ne i64 %s, 0
  br i1 %stop, label %leave, label %idle
idle:
  %since = call i64 @clock()
  br label %spin
spin:
  %turn = phi i64 [ 0, %idle ], [ %turn.next, %spin.on ], [ %turn.next, %yield ]
  %wanted = call i1 @wanted()
  br i1 %wanted, label %work, label %spin.on
spin.on:
  {pause}
  %turn.next = add i64 %turn, 1
  %tired = icmp ugt i64 %turn.next, {spins}
  br i1 %tired, label %yield, label %spin
yield:
  call i32 @sched_yield()
  %time = call i64 @clock()
  %waited = sub i64 %time, %since
  %enough = icmp ugt i64 %waited, {patience}
  br i1 %enough, label %sleep, label %spin
sleep:
  call i32 @pthread_mutex_lock(ptr @mutex)
  atomicrmw add ptr @sleepers, i64 1 seq_cst
  br label %check
check:
  %now = call i1 @wanted()
  br i1 %now, label %awake, label %wait
wait:
  call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %check
awake:
  atomicrmw sub ptr @sleepers, i64 1 seq_cst
  call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %work
leave:
  atomicrmw sub ptr @workers, i64 1 seq_cst
  ret void
}}

define void @parallel_for(ptr %function, ptr %argument, i64 %count) {{
entry:
  %few = icmp slt i64 %count, 2
  %many = icmp sgt i64 %count, 1048575
  %odd = or i1 %few, %many
  br i1 %odd, label %serial, label %helpers
helpers:
  %n = load atomic i64, ptr @workers monotonic, align 8
  %alone = icmp eq i64 %n, 0
  br i1 %alone, label %serial, label %claim
claim:
  %swap = cmpxchg ptr @busy, i64 0, i64 1 acquire monotonic
  %free = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %free, label %post, label %serial
post:
  %f = ptrtoint ptr %function to i64
  %c = ptrtoint ptr %argument to i64
  store atomic i64 %f, ptr @body monotonic, align 8
  store atomic i64 %c, ptr @context monotonic, align 8
  store atomic i64 0, ptr @done monotonic, align 8
  %old = load atomic i64, ptr @ticket monotonic, align 8
  %number = lshr i64 %old, 40
  %number.next = add i64 %number, 1
  %high = shl i64 %number.next, 40
  %middle = shl i64 %count, 20
  %ticket = or i64 %high, %middle
  store atomic i64 %ticket, ptr @ticket seq_cst, align 8
  %asleep = load atomic i64, ptr @sleepers seq_cst, align 8
  %any = icmp ne i64 %asleep, 0
  br i1 %any, label %call, label %share
call:
  call void @wake()
  br label %share
share:
  call void @drain(i1 true)
  br label %wait
wait:
  %turn = phi i64 [ 0, %share ], [ %turn.next, %spin ], [ %turn.next, %yield ]
  %d = load atomic i64, ptr @done acquire, align 8
  %all = icmp eq i64 %d, %count
  br i1 %all, label %finish, label %patience
patience:
  %turn.next = add i64 %turn, 1
  %tired = icmp ugt i64 %turn.next, {spins}
  br i1 %tired, label %yield, label %spin
spin:
  {pause}
  br label %wait
yield:
  call i32 @sched_yield()
  br label %wait
finish:
  store atomic i64 0, ptr @busy release, align 8
  ret void
serial:
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %each, label %return
each:
  %i = phi i64 [ 0, %serial ], [ %i.next, %each ]
  call void %function(ptr %argument, i64 %i)
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %count
  br i1 %more, label %each, label %return
return:
  ret void
}}
"""
_SPINS = 1000  # pauses: 15 to 50 µs on x86
_PATIENCE = 200_000  # ns
_EXPORTS = ["reset", "stop", "resume", "count_workers", "worker", "parallel_for"]


class Pool:
    """Worker threads of this process. Use `pool()`; a second one would compete for the cores."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._count = default_num_threads()
        self._lock = threading.Lock()
        self._library = self._load()
        self._library.function("reset", None)()
        atexit.register(self.shutdown)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    @staticmethod
    def _load() -> jit.Library:
        process = ctypes.CDLL(None)
        imports = {
            name: int(ctypes.cast(getattr(process, name), ctypes.c_void_p).value or 0)
            for name in _SYMBOLS
        }
        declaration, pause = _PAUSE.get(jit.host().triple.split("-")[0], ("", ""))
        text = _SOURCE.format(
            pause_declaration=declaration,
            pause=pause,
            spins=_SPINS,
            patience=_PATIENCE,
            clock=clock.SOURCE,
        )
        return jit.engine().load(text, _EXPORTS, imports=imports)

    def _after_fork(self) -> None:
        self._threads = []
        self._lock = threading.Lock()
        self._library.function("reset", None)()

    @property
    def num_threads(self) -> int:
        """How many threads share a job, the caller among them."""
        return self._count

    def set_num_threads(self, count: int) -> None:
        """Stop the workers and start count - 1 of them."""
        if count < 1:
            raise ValueError(f"set_num_threads: need at least 1 thread, got {count}.")
        self.shutdown()
        self._count = count
        self.start()

    def start(self) -> None:
        """Start the workers if they are not running (at first use, and after a fork)."""
        with self._lock:
            if self._threads or self._count == 1:
                return
            worker = self._library.function("worker", None)
            for index in range(self._count - 1):
                name = f"backlit-worker-{index}"
                thread = threading.Thread(target=worker, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def shutdown(self) -> None:
        """Stop the workers and wait until they are gone."""
        with self._lock:
            if not self._threads:
                return
            self._library.function("stop", None)()
            for thread in self._threads:
                thread.join()
            self._threads = []
            self._library.function("resume", None)()

    @property
    def address(self) -> int:
        """`void parallel_for(ptr body, ptr context, i64 count)` for generated code, started."""
        self.start()
        return self._library.address("parallel_for")

    @property
    def idle_workers(self) -> int:
        """How many workers have reached their native loop."""
        return int(self._library.function("count_workers", ctypes.c_int64)())

    @functools.cached_property
    def _parallel_for(self) -> Callable[..., Any]:
        arguments = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        return self._library.function("parallel_for", None, *arguments)

    def parallel_for(self, body: int, context: int, count: int) -> None:
        """Call the native `void body(ptr context, i64 i)` for i in range(count), in parallel."""
        self.start()
        self._parallel_for(body, context, count)


class SerialPool:
    """The same calls on the calling thread, where there is no pool (Windows)."""

    num_threads = 1

    def set_num_threads(self, count: int) -> None:
        """Accepted, without effect."""

    def start(self) -> None:
        """Nothing to start."""

    def shutdown(self) -> None:
        """Nothing to stop."""

    def parallel_for(self, body: int, context: int, count: int) -> None:
        """Call the native `void body(ptr context, i64 i)` for i in range(count), in order."""
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(body)
        for i in range(count):
            function(context, i)


def default_num_threads() -> int:
    """OMP_NUM_THREADS, else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@once
def pool() -> Pool | SerialPool:
    """The pool of this process, created when first asked for; its threads start at first use."""
    return SerialPool() if sys.platform == "win32" else Pool()
