"""Workers that load batches ahead: processes or threads, behind one small interface.

Every process has two pipes of its own, so that a worker that is killed leaves no lock behind that
others wait for. A thread in the process reads the jobs: the parent is never blocked by a busy
worker, and a worker whose parent is gone leaves at once.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.data.errors import WorkerError
from backlit.data.seeds import mix, seed_process
from backlit.errors import ArgumentError

# How often a waiting side looks whether the other one is still there.
HEARTBEAT_S = 1.0
# How long a worker may take to leave before it is killed.
GRACE_S = 1.0


@dataclass
class WorkerInfo:
    """What a data set can learn in a worker: which one it is, of how many, and its seed."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker, who it is; None anywhere else.

    >>> print(backlit.data.get_worker_info())
    None
    """
    return getattr(_here, "info", None)


@dataclass(frozen=True)
class Job:
    """One batch to load."""

    epoch: int  # in the worker's life; a new one begins the data set anew
    number: int  # of the batch in the epoch
    indices: Any
    seed: int  # of the epoch


@dataclass(frozen=True)
class Plan:
    """What a worker does all its life."""

    dataset: Any
    make_fetch: Callable[[Any], Callable[[Any], Any]]  # data set → (indices → batch)
    init_fn: Callable[[int], None] | None
    num_workers: int
    base_seed: int


class EndOfStreamError(Exception):
    """Raised by a fetch when a worker's stream has no more samples."""


@dataclass(frozen=True)
class Failure:
    """An exception on its way out of a worker."""

    kind: type[BaseException] | None
    text: str

    def error(self) -> BaseException:
        """The exception to raise in the loop: of the same type, with the worker's traceback."""
        text = _Verbatim(self.text) if self.kind is KeyError else self.text
        # A StopIteration would silently end the loop.
        if self.kind is not None and not issubclass(self.kind, StopIteration):
            with suppress(Exception):
                return self.kind(text)
        return WorkerError(self.text)


class _Verbatim(str):
    """A text that KeyError, which shows the repr of its argument, shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Result:
    """What became of a job: a batch, a failure, or the end of the worker's stream."""

    epoch: int
    number: int
    batch: Any = None
    failure: Failure | None = None
    is_end: bool = False


class Pool(Protocol):
    """Workers that take jobs and give results."""

    def submit(self, worker: int, job: Job) -> None:
        """Give a worker a job."""

    def receive(self, timeout: float) -> Result | None:
        """The next result of any worker, or None if there is none within `timeout` seconds."""

    def close(self) -> None:
        """Send all workers away."""


def serve(
    plan: Plan,
    worker: int,
    take: Callable[[], Job | None],
    give: Callable[[Result], None],
    seed: Callable[[int], None],
) -> None:
    """A worker's life: take a job, load its batch, give the result, until there is no job.

    Random numbers depend only on the epoch's seed and the batch's number, not on which worker
    loads it nor on what it loaded before; with an `init_fn` of the user's, which may seed as it
    likes, only the start is seeded.
    """
    info = WorkerInfo(worker, plan.num_workers, mix(plan.base_seed, worker), plan.dataset)
    _here.info = info
    fetch: Callable[[Any], Any] | None = None
    epoch = -1
    try:
        seed(info.seed)
        if plan.init_fn is not None:
            plan.init_fn(worker)
        broken = None
    except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
        broken = failure_of(error, worker)
    while (job := take()) is not None:
        if broken is not None:
            give(Result(job.epoch, job.number, failure=broken))
            continue
        try:
            if fetch is None or job.epoch != epoch:
                fetch, epoch = plan.make_fetch(plan.dataset), job.epoch
            if plan.init_fn is None:
                info.seed = mix(job.seed, job.number)
                seed(info.seed)
            give(Result(job.epoch, job.number, fetch(job.indices)))
        except EndOfStreamError:
            give(Result(job.epoch, job.number, is_end=True))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
            give(Result(job.epoch, job.number, failure=failure_of(error, worker)))


def failure_of(error: BaseException, worker: int) -> Failure:
    """An exception as its type, if another process can know it, and its traceback as text."""
    kind: type[BaseException] | None = type(error)
    try:
        pickle.dumps(kind)
    except (pickle.PicklingError, AttributeError, TypeError):
        kind = None
    trace = "".join(traceback.format_exception(error)).rstrip()
    return Failure(
        kind, f"{type(error).__name__} in DataLoader worker {worker}. There it happened:\n{trace}"
    )


class ThreadPool:
    """Workers that are threads: no copies and no start-up, for loading that releases the GIL."""

    def __init__(self, plan: Plan) -> None:
        self._jobs: list[queue.SimpleQueue[Job | None]] = []
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        for worker in range(plan.num_workers):
            jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
            # Threads share the process's generators, so they cannot repeat each other.
            arguments = (plan, worker, jobs.get, self._results.put, lambda _: None)
            threading.Thread(
                target=serve, args=arguments, name=f"DataLoader worker {worker}", daemon=True
            ).start()
            self._jobs.append(jobs)

    def submit(self, worker: int, job: Job) -> None:
        """Give a worker a job."""
        self._jobs[worker].put(job)

    def receive(self, timeout: float) -> Result | None:
        """The next result of any worker, or None if there is none within `timeout` seconds."""
        with suppress(queue.Empty):
            return self._results.get(timeout=timeout)
        return None

    def close(self) -> None:
        """Send all workers away; one that is loading finishes that batch first."""
        for jobs in self._jobs:
            while not jobs.empty():
                with suppress(queue.Empty):
                    jobs.get_nowait()
            jobs.put(None)


@dataclass
class _Process:
    """The parent's side of a worker process."""

    process: Any  # of whichever multiprocessing context
    jobs: Connection
    results: Connection


class ProcessPool:
    """Workers that are processes, for loading that is bound by Python."""

    def __init__(self, plan: Plan, context: Any) -> None:
        self._workers: list[_Process] = []
        try:
            for worker in range(plan.num_workers):
                self._workers.append(start_process(plan, worker, context))
        except BaseException:
            self.close()
            raise

    def submit(self, worker: int, job: Job) -> None:
        """Give a worker a job."""
        with suppress(BrokenPipeError):  # it is dead: `receive` tells how
            self._workers[worker].jobs.send(job)

    def receive(self, timeout: float) -> Result | None:
        """The next result of any worker, or None if there is none within `timeout` seconds.

        Raises:
            WorkerError: a worker has died.
        """
        ready = wait([worker.results for worker in self._workers], timeout)
        for number, worker in enumerate(self._workers):
            if worker.results in ready:
                try:
                    return receive_result(worker.results)
                except (EOFError, ConnectionResetError):
                    raise death_of(worker.process, number) from None
        return None

    def close(self) -> None:
        """Send all workers away at once; kill those that do not leave."""
        for worker in self._workers:
            with suppress(OSError):
                worker.jobs.send(None)
            worker.jobs.close()
        deadline = time.monotonic() + GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.results.close()
            worker.process.close()
        self._workers = []


def start_process(plan: Plan, worker: int, context: Any) -> _Process:
    """Start one worker process with its two pipes."""
    jobs_out, jobs_in = context.Pipe(duplex=False)
    results_out, results_in = context.Pipe(duplex=False)
    process = context.Process(
        target=run_process,
        args=(plan, worker, os.getpid(), jobs_out, results_in),
        name=f"DataLoader worker {worker}",
        daemon=True,
    )
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns when a process with threads forks: a lock that another thread
            # holds stays locked in the child. BLAS takes care of its own threads.
            warnings.filterwarnings("ignore", "This process .* multi-threaded", DeprecationWarning)
            process.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"DataLoader: the data set, collate_fn or worker_init_fn cannot be sent to a worker "
            f"process: {error}; define it at the top level of a module, or use "
            "worker_kind='thread'."
        ) from error
    finally:
        # From now on only the worker holds these ends, so its death is seen at the others.
        jobs_out.close()
        results_in.close()
    return _Process(process, jobs_in, results_out)


def run_process(
    plan: Plan, worker: int, parent: int, jobs: Connection, results: Connection
) -> None:
    """What a worker process runs."""
    # Ctrl-C reaches all processes of a terminal; the parent hears it and sends the workers away.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=read_jobs, args=(jobs, inbox, parent), daemon=True).start()

    def give(result: Result) -> None:
        send_result(results, result, worker)

    serve(plan, worker, inbox.get, give, seed_process)


def read_jobs(jobs: Connection, inbox: queue.SimpleQueue[Job], parent: int) -> None:
    """Move jobs from the pipe to the inbox; leave at once when told to, or when orphaned."""
    while True:
        try:
            while not jobs.poll(HEARTBEAT_S):
                if os.getppid() != parent:
                    os._exit(1)
            job = jobs.recv()
        except (EOFError, OSError):
            os._exit(1)
        if job is None:
            os._exit(0)
        inbox.put(job)


class _BatchPickler(pickle.Pickler):
    """Tensors travel as their arrays."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor:
            return from_array, (realize(obj),)
        return NotImplemented


def send_result(results: Connection, result: Result, worker: int) -> None:
    """Send a result: a pickle, and the memory of its arrays beside it without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    file = BytesIO()
    try:
        _BatchPickler(file, protocol=5, buffer_callback=buffers.append).dump(result)
    except Exception as error:  # noqa: BLE001 - a batch that cannot be pickled can fail anyhow
        failure = failure_of(error, worker)
        send_result(results, Result(result.epoch, result.number, failure=failure), worker)
        return
    raws = [buffer.raw() for buffer in buffers]
    results.send([raw.nbytes for raw in raws])
    results.send_bytes(file.getbuffer())
    for raw in raws:
        if raw.nbytes:
            results.send_bytes(raw)


def receive_result(results: Connection) -> Result:
    """Receive what `send_result` sent."""
    sizes: Sequence[int] = results.recv()
    pickled = results.recv_bytes()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if buffer:
            results.recv_bytes_into(buffer)
    result: Result = pickle.loads(pickled, buffers=buffers)
    return result


def death_of(process: Any, worker: int) -> WorkerError:
    """The error that tells how a worker died."""
    process.join(GRACE_S)
    code = process.exitcode
    how = f"left with exit code {code}"
    hint = "what it printed says why (a script must start from `if __name__ == '__main__':`)"
    if code is not None and code < 0:
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        hint = "often the memory ran out: use fewer workers or smaller batches"
    if code == -signal.SIGSEGV:
        hint = "a library crashed in it: try num_workers=0 to see where"
    return WorkerError(f"DataLoader: worker {worker} (pid {process.pid}) {how}; {hint}.")


def start_pool(plan: Plan, kind: str, context: Any) -> Pool:
    """A pool of the kind asked for; `context` is a multiprocessing context, its name, or None."""
    if kind == "thread":
        return ThreadPool(plan)
    if context is None or isinstance(context, str):
        context = multiprocessing.get_context(context)
    return ProcessPool(plan, context)
