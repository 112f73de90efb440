"""Workers: own random numbers, errors with their origin, and no hang on death or Ctrl-C."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backlit import data
from backlit.core.era import realize
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator

both = pytest.mark.parametrize("kind", ["process", "thread"])


class Calls(data.Dataset[Any]):
    """Sample i is what a function says of i."""

    def __init__(self, function: Callable[[int], Any], size: int = 12) -> None:
        self.function = function
        self.size = size

    def __getitem__(self, index: int) -> Any:
        return self.function(index)

    def __len__(self) -> int:
        return self.size


def loader(function: Callable[[int], Any], kind: str = "process", **options: Any) -> Any:
    """A loader with two workers over `function`."""
    options = {"num_workers": 2, "batch_size": 2, "collate_fn": list, **options}
    return data.DataLoader(Calls(function), worker_kind=kind, **options)


def draws(_: int) -> tuple[float, float]:
    """A number of each of two global generators."""
    return random.random(), float(np.random.rand())  # noqa: NPY002 - what data sets use


@pytest.mark.parametrize("persistent", [False, True])
def test_random_numbers_never_repeat(persistent: bool) -> None:
    """All draws of all workers, batches and epochs differ."""
    source = loader(draws, persistent_workers=persistent)
    drawn = [sample for _ in range(3) for batch in source for sample in batch]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 36


def test_random_numbers_do_not_depend_on_the_number_of_workers() -> None:
    """Equal seeds give equal augmentations for 1, 2 or 3 workers, and after resuming."""

    def run(workers: int) -> list[Any]:
        generator = Generator().manual_seed(4)
        return list(loader(draws, num_workers=workers, generator=generator))

    assert run(1) == run(2) == run(3)
    broken = loader(draws, generator=Generator().manual_seed(4))
    epoch = iter(broken)
    next(epoch)
    resumed = loader(draws, generator=Generator().manual_seed(5))
    resumed.load_state_dict(broken.state_dict())
    assert list(resumed) == run(2)[1:]


def describe(_: int) -> tuple[int, int, int, str]:
    """Which worker this is."""
    info = data.get_worker_info()
    assert info is not None
    return info.id, info.num_workers, info.seed, type(info.dataset).__name__


@both
def test_workers_know_who_they_are(kind: str) -> None:
    """`get_worker_info` tells the number, the count, the seed and the data set."""
    assert data.get_worker_info() is None
    seen = [sample for batch in loader(describe, kind) for sample in batch]
    assert {(info[0], info[1], info[3]) for info in seen} == {(0, 2, "Calls"), (1, 2, "Calls")}
    assert len({info[2] for info in seen}) == 6  # one seed per batch


@both
def test_init_function_runs_in_each_worker(kind: str) -> None:
    """`worker_init_fn` is called with the worker's number before anything is loaded."""
    names: dict[int, str] = {}

    def remember(worker: int) -> None:
        names[threading.get_native_id()] = f"worker {worker}"

    def look(_: int) -> str:
        return names[threading.get_native_id()]

    if kind == "process":  # threads of a process have their own identifiers in the child

        def remember(worker: int) -> None:
            names[0] = f"worker {worker}"

        def look(_: int) -> str:
            return names[0]

    batches = list(loader(look, kind, worker_init_fn=remember))
    assert batches == [["worker 0"] * 2, ["worker 1"] * 2] * 3


def fail_at_5(index: int) -> int:
    """Fails for one index."""
    if index == 5:
        raise KeyError("colour")
    return index


@both
def test_exception_keeps_type_traceback_and_index(kind: str) -> None:
    """The loop gets an exception of the same type with the worker's traceback and the index."""
    with pytest.raises(KeyError) as caught:
        list(loader(fail_at_5, kind))
    text = str(caught.value)
    assert text.startswith("KeyError in DataLoader worker 0. There it happened:\nTraceback")
    assert 'raise KeyError("colour")' in text
    assert text.endswith("KeyError: 'colour'\nWhile loading sample 5 of Calls.")


class OddError(Exception):
    """Cannot be made from a text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)


def fail_oddly(index: int) -> int:
    """Raises what cannot be raised again."""
    if index == 1:
        raise OddError(1, "x")
    if index == 3:
        raise StopIteration
    return index


@pytest.mark.parametrize("first", [0, 2])
def test_exceptions_that_cannot_be_rebuilt(first: int) -> None:
    """They come as WorkerError with the same text; StopIteration does not end the loop."""
    with pytest.raises(data.WorkerError, match=r"(OddError|StopIteration) in DataLoader worker 0"):
        list(loader(fail_oddly, sampler=[first, first + 1]))


@both
def test_init_function_that_fails(kind: str) -> None:
    """A failing `worker_init_fn` is told with its traceback."""

    def refuse(worker: int) -> None:
        raise OSError(f"no licence for {worker}")

    with pytest.raises(OSError, match="no licence for 0"):
        list(loader(fail_at_5, kind, worker_init_fn=refuse))


def test_batch_that_cannot_be_sent() -> None:
    """A batch that cannot be pickled is an error, not a hang."""
    with pytest.raises((AttributeError, TypeError, data.WorkerError), match="in DataLoader worker"):
        list(loader(lambda _: lambda: None))


def kill_at_7(index: int) -> int:
    """A worker that is killed."""
    if index == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def test_killed_worker_ends_the_loop() -> None:
    """The loop ends with the signal's name; what was loaded before is given."""
    epoch = iter(loader(kill_at_7))
    assert next(epoch) == [0, 1]
    with pytest.raises(data.WorkerError) as caught:
        list(epoch)
    text = str(caught.value)
    assert text.startswith("DataLoader: worker 1 (pid ")
    assert text.endswith(
        ") was killed by signal 9 (SIGKILL); often the memory ran out: use fewer workers or "
        "smaller batches."
    )


@pytest.mark.parametrize(
    "leave, text",
    [
        (
            lambda: os._exit(3),
            (
                "left with exit code 3; what it printed says why (a script must start from "
                "`if __name__ == '__main__':`)."
            ),
        ),
        (
            lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)),
            (
                "was killed by signal 11 (SIGSEGV); a library crashed in it: try num_workers=0 to "
                "see where."
            ),
        ),
    ],
)
def test_dead_worker_is_explained(leave: Callable[[], Any], text: str) -> None:
    """However a worker goes, the loop says how and what to try."""
    with pytest.raises(data.WorkerError) as caught:
        list(loader(lambda _: leave(), num_workers=1))
    assert str(caught.value).endswith(text)


def test_loader_works_again_after_a_death() -> None:
    """Persistent workers are started afresh after one has died."""
    flag = {"kill": True}

    def maybe(index: int) -> int:
        if flag["kill"] and index == 3:
            os._exit(1)
        return index

    source = loader(maybe, persistent_workers=True)
    with pytest.raises(data.WorkerError):
        list(source)
    flag["kill"] = False
    assert [x for batch in source for x in batch] == list(range(12))


@both
def test_breaking_off_leaves_nothing_behind(kind: str) -> None:
    """After `break` the workers go, also while results wait that nobody takes."""
    before = threading.active_count()
    source = loader(lambda i: np.zeros(200_000) + i, kind, collate_fn=None)
    for batch in source:
        assert realize(batch)[0, 0] == 0
        break
    del batch
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
    assert multiprocessing.active_children() == []


def test_persistent_workers_serve_every_epoch() -> None:
    """Persistent workers stay the same processes, also after an epoch broken off."""
    source = loader(lambda _: os.getpid(), persistent_workers=True)
    first = {pid for batch in source for pid in batch}
    next(iter(source))
    second = [pid for batch in source for pid in batch]
    assert len(second) == 12
    assert set(second) == first
    fresh = loader(lambda _: os.getpid())
    assert not {p for b in fresh for p in b} & {p for b in fresh for p in b}


@both
def test_slow_worker_runs_into_the_timeout(kind: str) -> None:
    """A batch that takes longer than `timeout` is an error that names the worker."""

    def slow(index: int) -> int:
        time.sleep(0.0 if index < 2 else 0.6)
        return index

    with pytest.raises(data.WorkerError) as caught:
        list(loader(slow, kind, timeout=0.2))
    assert str(caught.value) == (
        "DataLoader: worker 1 gave no batch for 0.2 s (timeout=0.2); loading is stuck, or slower "
        "than the timeout allows."
    )


@both
def test_order_does_not_wait_if_it_need_not(kind: str) -> None:
    """With `in_order=False` a slow batch does not hold up the others; none is lost."""

    def slow_start(index: int) -> int:
        time.sleep(0.3 if index < 2 else 0.0)
        return index

    batches = list(loader(slow_start, kind, in_order=False))
    assert batches[0] != [0, 1]
    assert sorted(x for batch in batches for x in batch) == list(range(12))


def test_large_batches_travel_whole() -> None:
    """Arrays far larger than a pipe's buffer, empty ones, and long lists of indices arrive."""
    source = loader(lambda i: (np.full(300_000, i), np.zeros(0)), collate_fn=None)
    for number, (large, empty) in enumerate(source):
        assert realize(large)[:, -1].tolist() == [2 * number, 2 * number + 1]
        assert realize(empty).shape == (2, 0)
    many = data.DataLoader(
        Calls(lambda i: i, size=200_000), 50_000, num_workers=1, prefetch_factor=4
    )
    assert sum(int(realize(batch).sum()) for batch in many) == 199_999 * 100_000


def test_spawned_workers_need_what_can_be_pickled() -> None:
    """A data set that cannot be sent to a fresh process is refused with the reason."""
    with pytest.raises(ArgumentError) as caught:
        list(loader(lambda i: i, multiprocessing_context="spawn"))
    text = str(caught.value)
    assert text.startswith(
        "DataLoader: the data set, collate_fn or worker_init_fn cannot be sent to a worker "
        "process: "
    )
    assert text.endswith("; define it at the top level of a module, or use worker_kind='thread'.")


SCRIPT = """
import multiprocessing, os, sys, time
{prelude}
from backlit import data

class Slow(data.Dataset):
    def __len__(self):
        return 100
    def __getitem__(self, index):
        time.sleep(60 if index else 0)
        return os.getpid()

if __name__ == "__main__":
    for batch in data.DataLoader(Slow(), num_workers=2, worker_kind="{kind}"):
        children = [child.pid for child in multiprocessing.active_children()]
        print(*children, flush=True)
"""


def start(kind: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A script that waits for its workers, and their process numbers."""
    prelude = "import dev_standin" if "dev_standin" in sys.modules else ""
    script = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT.format(kind=kind, prelude=prelude))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert script.stdout is not None
    return script, [int(pid) for pid in script.stdout.readline().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids: list[int]) -> None:
    """Fail unless all processes are gone soon."""
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_ctrl_c_ends_everything(kind: str) -> None:
    """Ctrl-C in a terminal (SIGINT to all) ends the loop with one traceback and all workers."""
    script, workers = start(kind)
    os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=20)
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")
    wait_until_gone(workers)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")
def test_workers_follow_a_killed_parent() -> None:
    """If the parent is killed, the workers notice and leave."""
    script, workers = start("process")
    assert len(workers) == 2
    script.kill()
    script.communicate(timeout=20)
    wait_until_gone(workers)
