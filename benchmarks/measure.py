"""How the benchmarks time: in turns, several rounds, and the median of what is compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def rounds(
    contenders: dict[str, Callable[[], object]], *, calls: int, repeats: int = 7, warmup: int = 20
) -> dict[str, float]:
    """Median seconds per call of each contender; they take turns, so that noise hits all alike."""
    for call in contenders.values():
        for _ in range(warmup):
            call()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, call in contenders.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(t) for name, t in times.items()}


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(c) for c in row)} |" for row in rows]
    return "\n".join(lines)


def micro(seconds: float) -> str:
    """Seconds as microseconds."""
    return f"{seconds * 1e6:.2f}" if seconds < 1e-5 else f"{seconds * 1e6:.0f}"
