"""DataLoader: batches from a data set, in order or shuffled, in this process or by workers."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Generic, TypeVar

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.data.collate import default_collate, default_convert, gatherer, is_gatherable
from backlit.data.dataset import IterableDataset, samples_at
from backlit.data.errors import WorkerError
from backlit.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    arrays_of,
    check_count,
    generator_of,
    indices_of,
    is_seeded,
)
from backlit.data.seeds import draw_seed
from backlit.data.workers import HEARTBEAT_S, EndOfStreamError, Job, Plan, Pool, Result, start_pool
from backlit.errors import ArgumentError
from backlit.ops.generator import Generator

T_co = TypeVar("T_co", covariant=True)
Fetch = Callable[[Any], Any]


class Fetcher:
    """Makes the function that loads a batch; sent to the workers."""

    def __init__(self, batched: bool, collate: Callable[[Any], Any], drop_last: bool) -> None:
        self.batched = batched
        self.collate = collate
        self.drop_last = drop_last

    def __call__(self, dataset: Any) -> Fetch:
        if isinstance(dataset, IterableDataset):
            return self._stream(iter(dataset))
        if not self.batched:
            return lambda index: self.collate(samples_at(dataset, [index])[0])
        if self.gathers(dataset):
            gather = gatherer(dataset)
            return lambda indices: gather(np.asarray(indices, dtype=np.int64))
        return lambda indices: self.collate(samples_at(dataset, indices))

    def gathers(self, dataset: Any) -> bool:
        """Whether batches come from whole tensors, without a look at single samples."""
        return self.batched and self.collate is default_collate and is_gatherable(dataset)

    def _stream(self, samples: Iterator[Any]) -> Fetch:
        def one(_: Any) -> Any:
            for sample in samples:
                return self.collate(sample)
            raise EndOfStreamError

        def several(size: int) -> Any:
            batch = list(islice(samples, size))
            if not batch or (self.drop_last and len(batch) < size):
                raise EndOfStreamError
            return self.collate(batch)

        return several if self.batched else one


class DataLoader(Generic[T_co]):
    """Iterates over a data set in batches.

    Args:
        dataset: anything with `__getitem__` and `__len__`, or an IterableDataset.
        batch_size: samples per batch; None gives single samples.
        shuffle: a new random order every epoch.
        sampler: the order, instead of `shuffle`; an iterable over indices.
        batch_sampler: the batches; an iterable over lists of indices.
        num_workers: how many workers load ahead; 0 loads when a batch is asked for.
        collate_fn: makes a batch of a list of samples.
        pin_memory, pin_memory_device: accepted and of no effect: there is one memory.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a worker's batch before an error; 0 waits for ever.
        worker_init_fn: called with the worker's number when it starts.
        multiprocessing_context: how processes are started: "fork", "spawn", "forkserver", or a
            context; the system's default if None.
        generator: source of randomness; the default one if None.
        prefetch_factor: batches that every worker loads ahead (default 2).
        persistent_workers: keep the workers between epochs.
        in_order: give the batches in order, even if a later one is ready before.
        worker_kind: "process", or "thread" (no copies, no start-up; for loading that releases
            the GIL).

    A worker's random numbers (of `random`, NumPy and Backlit) depend only on the epoch's seed and
    the number of the batch: no two batches or epochs repeat each other, and any number of workers
    gives the same data. Threads share the process's generators and are not seeded.

    Batches of a TensorDataset are gathered in one operation per tensor.

    `state_dict()` in the middle of an epoch, and `load_state_dict()` in another process, continue
    with the next batch of the same order.

    Raises:
        ArgumentError: options that contradict each other.
        WorkerError: in the loop, if a worker dies or takes longer than `timeout`.

    >>> x = backlit.tensor([[0.0], [1.0], [2.0]])
    >>> loader = backlit.data.DataLoader(backlit.data.TensorDataset(x), batch_size=2)
    >>> [batch.shape for [batch] in loader]
    [Size([2, 1]), Size([1, 1])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        worker_kind: str = "process",
    ) -> None:
        check_workers(num_workers, timeout, prefetch_factor, persistent_workers, worker_kind)
        is_stream = isinstance(dataset, IterableDataset)
        if is_stream:
            check_stream(shuffle, sampler, batch_sampler)
        check_batching(batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.worker_kind = worker_kind
        self.drop_last = drop_last
        self.batch_size = None if batch_sampler is not None else batch_size
        if sampler is None and batch_sampler is None and not is_stream:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_sampler is None and batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._fetcher = Fetcher(batched, self.collate_fn, drop_last)
        self._pool: Pool | None = None
        self._epochs = 0
        self._progress: Progress | None = None
        self._resume: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Batches per epoch; for a stream, an estimate from its length if it has one."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]  # if it has one
        if self.sampler is not None:
            return len(self.sampler)  # type: ignore[arg-type]  # if it has one
        samples = len(self.dataset)
        if self.batch_size is None:
            return samples
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self.batch_sampler if self.batch_sampler is not None else self.sampler
        if self._resume is not None:
            seed, done = self._resume
            self._resume = None
        else:
            done = 0
            needs_seed = self.num_workers > 0 or is_seeded(order)
            seed = draw_seed(generator_of(order) or self.generator) if needs_seed else 0
        self._epochs += 1
        numbered: Iterator[tuple[int, Any]] = enumerate(self._indices(order, seed))
        if order is not None:  # a stream must be read to be skipped; see `Epoch`
            numbered = islice(numbered, done, None)
        batches = self._load_ahead(numbered, seed) if self.num_workers else self._load(numbered)
        self._progress = Progress(seed, done)
        # The loader must not hold the iterator: dropping it is what sends its workers away.
        return Epoch(self, batches, self._progress)

    def _indices(self, order: Any, seed: int) -> Iterator[Any]:
        """What is to be in each batch: indices, or of a stream how many samples."""
        if order is None:
            return repeat(self.batch_size)
        arrays = arrays_of(order, seed) if self._fetcher.gathers(self.dataset) else None
        return indices_of(order, seed) if arrays is None else arrays

    def _load(self, numbered: Iterator[tuple[int, Any]]) -> Iterator[Any]:
        fetch = self._fetcher(self.dataset)
        for _, indices in numbered:
            try:
                batch = fetch(indices)
            except EndOfStreamError:
                return
            yield batch

    def _load_ahead(self, numbered: Iterator[tuple[int, Any]], seed: int) -> Iterator[Any]:
        pool = self._pool or self._start_pool(seed)
        jobs = (Job(self._epochs, number, indices, seed) for number, indices in numbered)
        try:
            yield from Schedule(self, pool).batches(jobs)
        except GeneratorExit:
            raise  # persistent workers stay; what they still load is dropped by the next epoch
        except BaseException:
            self._pool = None
            pool.close()
            raise
        finally:
            if not self.persistent_workers:
                pool.close()

    def _start_pool(self, seed: int) -> Pool:
        plan = Plan(self.dataset, self._fetcher, self.worker_init_fn, self.num_workers, seed)
        pool = start_pool(plan, self.worker_kind, self.multiprocessing_context)
        if self.persistent_workers:
            self._pool = pool
            weakref.finalize(self, pool.close)
        return pool

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as plain numbers: the epoch's seed, batches given, generator."""
        if self._progress is None:
            seed, done = self._resume or (None, 0)
        else:
            seed, done = self._progress.seed, self._progress.done
        own = generator_of(self.batch_sampler or self.sampler) or self.generator
        state = None if own is None else realize(own.get_state()).tolist()
        return {"epoch_seed": seed, "batches_done": done, "generator": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken: the next epoch begins after its last batch.

        A sampler of your own has to give the same order again by itself.

        Raises:
            ArgumentError: this is not the state of a DataLoader, or of one without a generator.
        """
        missing = {"epoch_seed", "batches_done", "generator"} - state_dict.keys()
        if missing:
            raise ArgumentError(
                f"DataLoader.load_state_dict: the state lacks {', '.join(sorted(missing))}; "
                "pass what DataLoader.state_dict() gave."
            )
        own = generator_of(self.batch_sampler or self.sampler) or self.generator
        if (own is None) != (state_dict["generator"] is None):
            had, has = ("none", "one") if own is not None else ("one", "none")
            raise ArgumentError(
                f"DataLoader.load_state_dict: the saved loader had {had} of its own generators, "
                f"this one has {has}; build it as it was saved."
            )
        if own is not None:
            like = realize(own.get_state())
            own.set_state(from_array(np.array(state_dict["generator"], dtype=like.dtype)))
        seed, done = state_dict["epoch_seed"], state_dict["batches_done"]
        self._resume = None if seed is None else (seed, done)
        self._progress = None


@dataclass
class Progress:
    """How far an epoch is: what a loader needs to continue it."""

    seed: int
    done: int  # batches given


class Epoch:
    """The iterator over one epoch: counts what it gives, so that the loader can be saved."""

    def __init__(self, loader: DataLoader[Any], batches: Iterator[Any], progress: Progress) -> None:
        self._loader = loader
        self._batches = batches
        self._progress = progress
        if loader.batch_sampler is None and loader.sampler is None:
            for _ in islice(batches, progress.done):  # a stream is skipped by reading
                pass

    def __iter__(self) -> Epoch:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            if self._loader._progress is self._progress:
                self._loader._progress = None
            raise
        self._progress.done += 1
        return batch

    def __len__(self) -> int:
        return len(self._loader)


class Schedule:
    """Hands one epoch's jobs to the workers in turn and gives their batches."""

    def __init__(self, loader: DataLoader[Any], pool: Pool) -> None:
        self.pool = pool
        self.epoch = loader._epochs
        self.timeout = loader.timeout
        self.in_order = loader.in_order
        self.ahead = loader.prefetch_factor or 1
        self.turn = list(range(loader.num_workers))  # workers that still have samples
        self.owner: dict[int, int] = {}  # batch → worker, of the jobs handed out, in order
        self.ready: dict[int, Result] = {}

    def batches(self, jobs: Iterator[Job]) -> Iterator[Any]:
        """The batches of `jobs`."""
        self._hand_out(jobs)
        while self.owner:
            result = self._next_result()
            worker = self.owner.pop(result.number)
            if result.failure is not None:
                raise result.failure.error()
            if result.is_end and worker in self.turn:
                self.turn.remove(worker)
            self._hand_out(jobs)
            if not result.is_end:
                yield result.batch

    def _hand_out(self, jobs: Iterator[Job]) -> None:
        """Keep `ahead` jobs per worker under way."""
        while self.turn and len(self.owner) < self.ahead * len(self.turn):
            job = next(jobs, None)
            if job is None:
                return
            worker = self._next_worker()
            self.owner[job.number] = worker
            self.pool.submit(worker, job)

    def _next_worker(self) -> int:
        if self.in_order:
            self.turn.append(self.turn.pop(0))
            return self.turn[-1]
        load = list(self.owner.values())
        return min(self.turn, key=load.count)

    def _next_result(self) -> Result:
        """The result of the oldest job; or, if order does not matter, whichever comes first."""
        wanted = next(iter(self.owner))
        deadline = time.monotonic() + self.timeout if self.timeout else math.inf
        while wanted not in self.ready and (self.in_order or not self.ready):
            # Short waits, so that Ctrl-C is heard on every system.
            left = deadline - time.monotonic()
            result = self.pool.receive(max(0.0, min(HEARTBEAT_S, left)))
            if result is None:
                if left <= 0:
                    raise WorkerError(
                        f"DataLoader: worker {self.owner[wanted]} gave no batch for "
                        f"{self.timeout:g} s (timeout={self.timeout:g}); loading is stuck, or "
                        "slower than the timeout allows."
                    )
            elif result.epoch == self.epoch:
                self.ready[result.number] = result
        number = wanted if wanted in self.ready else next(iter(self.ready))
        return self.ready.pop(number)


def check_workers(
    num_workers: Any, timeout: float, ahead: int | None, persistent: bool, kind: str
) -> None:
    """Raise where the options about workers make no sense."""
    if not isinstance(num_workers, int) or num_workers < 0:
        raise ArgumentError(
            f"DataLoader: num_workers must be 0 or a positive integer, got {num_workers!r}."
        )
    if timeout < 0:
        raise ArgumentError(f"DataLoader: timeout must not be negative, got {timeout}.")
    if kind not in ("process", "thread"):
        raise ArgumentError(f"DataLoader: worker_kind must be 'process' or 'thread', got {kind!r}.")
    if num_workers == 0 and ahead is not None:
        raise ArgumentError(
            "DataLoader: prefetch_factor needs workers to load ahead; set num_workers above 0."
        )
    if ahead is not None:
        check_count("DataLoader", "prefetch_factor", ahead)
    if num_workers == 0 and persistent:
        raise ArgumentError(
            "DataLoader: persistent_workers needs workers; set num_workers above 0."
        )


def check_stream(shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    """Raise if an order is asked for of a data set without an index."""
    given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"DataLoader: an IterableDataset decides its own order; {name} cannot be used."
            )


def check_batching(
    batch_size: Any, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    """Raise where the options about order and batches contradict each other."""
    if sampler is not None and shuffle:
        raise ArgumentError("DataLoader: give either sampler or shuffle=True, not both.")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ArgumentError(
                "DataLoader: batch_sampler decides the batches; leave out batch_size, shuffle, "
                "sampler and drop_last."
            )
    elif batch_size is None:
        if drop_last:
            raise ArgumentError(
                "DataLoader: batch_size=None makes no batches; leave out drop_last."
            )
    else:
        check_count("DataLoader", "batch_size", batch_size)
