"""The thread pool: every chunk once, also nested, concurrent, after fork; a clean end."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from backlit.native.machine import jit, threads
from backlit.native.machine.once import once
from backlit.native.machine.threads import Pool, SerialPool
from backlit.native.products import blas

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pool on Windows")

# body(context, i): context[i] += i + 1. nest calls parallel_for again from within a chunk.
BODIES = """
declare void @parallel_for(ptr, ptr, i64)
define void @body(ptr %context, i64 %i) {
  %address = getelementptr i64, ptr %context, i64 %i
  %next = add i64 %i, 1
  %old = load i64, ptr %address
  %new = add i64 %old, %next
  store i64 %new, ptr %address
  ret void
}
define void @nest(ptr %context, i64 %i) {
  %offset = mul i64 %i, 10
  %address = getelementptr i64, ptr %context, i64 %offset
  call void @parallel_for(ptr @body, ptr %address, i64 10)
  ret void
}
"""


@pytest.fixture
def pool() -> Iterator[Pool]:
    """The pool of the process with three threads: there is only one, other tests' programs use
    it."""
    made = threads.pool()
    assert isinstance(made, Pool)
    before = made.num_threads
    made.set_num_threads(3)
    yield made
    made.shutdown()
    made.set_num_threads(before)
    made.shutdown()


@pytest.fixture
def bodies(pool: Pool) -> jit.Library:
    return jit.engine().load(BODIES, ["body", "nest"], imports={"parallel_for": pool.address})


def until_awake(pool: Pool) -> None:
    """Wait until all workers of the pool are in their native loop."""
    deadline = time.monotonic() + 10
    while pool.idle_workers < pool.num_threads - 1 and time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 1000, 2**20 - 1, 2**20 + 5])
def test_every_chunk_runs_once(pool: Pool, bodies: jit.Library, count: int) -> None:
    """Each index from 0 to count - 1 is passed exactly once."""
    out = np.zeros(count + 1, "int64")
    pool.parallel_for(bodies.address("body"), out.ctypes.data, count)
    np.testing.assert_array_equal(out[:-1], np.arange(1, count + 1))
    assert out[-1] == 0


def test_many_small_jobs(pool: Pool, bodies: jit.Library) -> None:
    """Jobs in quick succession, and after pauses long enough to fall asleep, lose no chunk."""
    out = np.zeros(5, "int64")
    for turn in range(3000):
        pool.parallel_for(bodies.address("body"), out.ctypes.data, 5)
        if turn % 500 == 0:
            time.sleep(0.005)
    np.testing.assert_array_equal(out, 3000 * np.arange(1, 6))


def test_a_nested_call_runs_serially(pool: Pool, bodies: jit.Library) -> None:
    """parallel_for within a chunk does its work and does not deadlock."""
    out = np.zeros(200, "int64")
    pool.parallel_for(bodies.address("nest"), out.ctypes.data, 20)
    np.testing.assert_array_equal(out.reshape(20, 10), np.tile(np.arange(1, 11), (20, 1)))


def test_concurrent_callers(pool: Pool, bodies: jit.Library) -> None:
    """Several Python threads may call at once; each gets its own chunks done."""
    outs = [np.zeros(50, "int64") for _ in range(4)]

    def caller(out: np.ndarray) -> None:
        for _ in range(300):
            pool.parallel_for(bodies.address("body"), out.ctypes.data, 50)

    callers = [threading.Thread(target=caller, args=(out,)) for out in outs]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    for out in outs:
        np.testing.assert_array_equal(out, 300 * np.arange(1, 51))


def test_workers_share_the_work(pool: Pool) -> None:
    """Chunks that wait for each other all run: as many threads as asked for are at work."""
    library = jit.engine().load(
        """
        define void @meet(ptr %context, i64 %i) {
          atomicrmw add ptr %context, i64 1 seq_cst
          br label %wait
        wait:
          %n = load atomic i64, ptr %context seq_cst, align 8
          %all = icmp eq i64 %n, 3
          br i1 %all, label %done, label %wait
        done:
          ret void
        }
        """,
        ["meet"],
    )
    until_awake(pool)
    count = np.zeros(1, "int64")
    pool.parallel_for(library.address("meet"), count.ctypes.data, 3)
    assert count[0] == 3


def test_workers_begin_at_the_end(pool: Pool) -> None:
    """The caller takes the first chunk and a worker the last, so that each meets its own data
    again."""
    library = jit.engine().load(
        """
        define void @arrive(ptr %context, i64 %i) {
          %order = atomicrmw add ptr %context, i64 1 seq_cst
          %index = add i64 %i, 1
          %address = getelementptr i64, ptr %context, i64 %index
          store i64 %order, ptr %address
          br label %wait
        wait:
          %n = load atomic i64, ptr %context seq_cst, align 8
          %both = icmp uge i64 %n, 2
          br i1 %both, label %done, label %wait
        done:
          ret void
        }
        """,
        ["arrive"],
    )
    pool.set_num_threads(2)
    until_awake(pool)
    out = np.zeros(101, "int64")
    pool.parallel_for(library.address("arrive"), out.ctypes.data, 100)
    assert out[0] == 100
    assert sorted(out[[1, 100]].tolist()) == [0, 1]


def test_workers_without_work_fall_asleep(pool: Pool, bodies: jit.Library) -> None:
    """After a job, threads look for more for a moment only; then they use no processor."""
    until_awake(pool)
    out = np.zeros(5, "int64")
    pool.parallel_for(bodies.address("body"), out.ctypes.data, 5)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.15


def test_threads_end_and_start_again(pool: Pool, bodies: jit.Library) -> None:
    """shutdown leaves no thread behind; the next job starts them again."""
    pool.shutdown()
    assert not [t for t in threading.enumerate() if t.name.startswith("backlit-worker")]
    out = np.zeros(9, "int64")
    pool.parallel_for(bodies.address("body"), out.ctypes.data, 9)
    np.testing.assert_array_equal(out, np.arange(1, 10))
    assert len([t for t in threading.enumerate() if t.name.startswith("backlit-worker")]) == 2


SCRIPT = """
import os, sys
import numpy as np
from backlit.native.machine import jit, threads

BODY = '''
define void @body(ptr %context, i64 %i) {
  %address = getelementptr i64, ptr %context, i64 %i
  store i64 %i, ptr %address
  ret void
}
'''
pool = threads.pool()
pool.set_num_threads(3)
body = jit.engine().load(BODY, ["body"])


def check():
    out = np.full(100, -1)
    pool.parallel_for(body.address("body"), out.ctypes.data, 100)
    assert (out == np.arange(100)).all()


check()
if "fork" in sys.argv:
    child = os.fork()
    check()
    if child:
        assert os.waitpid(child, 0)[1] == 0
print("fine")
"""


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_the_process_ends_cleanly(mode: str) -> None:
    """A process that used the pool exits by itself; a forked child works and exits, too."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"fine"}


def test_the_serial_pool_does_the_same(bodies: jit.Library) -> None:
    """Where there are no threads, the chunks run in order."""
    out = np.zeros(6, "int64")
    serial = SerialPool()
    serial.set_num_threads(4)
    serial.start()
    serial.parallel_for(bodies.address("body"), out.ctypes.data, 6)
    serial.shutdown()
    assert (out.tolist(), serial.num_threads) == ([1, 2, 3, 4, 5, 6], 1)


def test_the_number_of_threads_is_checked(pool: Pool) -> None:
    """Fewer than one thread is an error."""
    with pytest.raises(ValueError) as caught:
        pool.set_num_threads(0)
    assert str(caught.value) == "set_num_threads: need at least 1 thread, got 0."


def test_one_pool_whoever_asks_first() -> None:
    """Threads that ask for the same thing at the same time get the same one, made once."""
    made: list[object] = []
    barrier = threading.Barrier(8)

    @once
    def thing() -> object:
        time.sleep(0.01)
        made.append(object())
        return made[-1]

    def ask(found: list[object]) -> None:
        barrier.wait()
        found.append(thing())

    found: list[object] = []
    asking = [threading.Thread(target=ask, args=(found,)) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(made) == 1
    assert found == made * 8


def test_missing_openblas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError) as error:
        blas.library.__wrapped__()  # type: ignore[attr-defined]
    assert str(error.value) == (
        "native: scipy-openblas32 is not installed; pip install scipy-openblas32."
    )
    assert error.value.name == "scipy_openblas32"
