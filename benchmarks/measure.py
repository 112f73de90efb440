"""How the benchmarks time: in turns, several rounds, and medians of what is compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

Times = dict[str, list[float]]
_LEAD_S = 0.02
COMPILE, COMPILE_ALL = "torch.compile", "torch.compile, optimizer too"
PEERS = ("torch eager", COMPILE, COMPILE_ALL, "jax.jit")


def turns(
    contenders: dict[str, Callable[[], object]], *, calls: int, repeats: int = 7, warmup: int = 20
) -> Times:
    """Seconds per call of each contender in each round.

    They take turns, so that noise hits all alike. Who begins changes from round to round. A turn
    begins with calls that are not timed, for 20 ms and at least one: by then the caches are the
    contender's own, and threads of the one before, which still wait for work (libgomp's keep a
    processor for 10 ms), have fallen asleep.
    """
    for call in contenders.values():
        for _ in range(warmup):
            call()
    names = list(contenders)
    times: Times = {name: [] for name in names}
    for i in range(repeats):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            call = contenders[name]
            lead = time.perf_counter() + _LEAD_S
            call()
            while time.perf_counter() < lead:
                call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - start) / calls)
    return times


def rounds(
    contenders: dict[str, Callable[[], object]], *, calls: int, repeats: int = 7, warmup: int = 20
) -> dict[str, float]:
    """Median seconds per call of each contender."""
    times = turns(contenders, calls=calls, repeats=repeats, warmup=warmup)
    return {name: median(t) for name, t in times.items()}


def ratio(times: Times, ours: str, peers: tuple[str, ...] = PEERS) -> float | None:
    """How many times as long the best of the peers takes: the median over the rounds.

    None if no peer was measured.

    >>> ratio({"torch eager": [4, 6, 5], "jax.jit": [9, 9, 9], "backlit": [2, 2, 2]}, "backlit")
    2.5
    """
    found = [p for p in peers if p in times]
    if not found:
        return None
    best = min(found, key=lambda p: median(times[p]))
    return median(a / b for a, b in zip(times[best], times[ours], strict=True))


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(c) for c in row)} |" for row in rows]
    return "\n".join(lines)


def micro(seconds: float) -> str:
    """Seconds as microseconds."""
    return f"{seconds * 1e6:.2f}" if seconds < 1e-5 else f"{seconds * 1e6:.0f}"


def microseconds(times: Times, *names: str) -> list[str]:
    """Cells with the median of each contender, empty for who was not measured."""
    return [micro(median(times[n])) if n in times else "" for n in names]


def measured(times: Times) -> tuple[str, ...]:
    """The peers that were measured."""
    return tuple(p for p in PEERS if p in times)


def times_faster(value: float | None) -> str:
    """A ratio as a cell, empty if there is none."""
    return "" if value is None else f"{value:.2f}"
