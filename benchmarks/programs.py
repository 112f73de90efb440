"""Which of Backlit's programs still run as NumPy source, and how long until none does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0  # seconds


def cold_runs() -> int:
    """How often programs have run as NumPy source."""
    from backlit.core.position import trie

    runs = 0
    stack = list(trie.roots.values())
    while stack:
        position = stack.pop()
        stack += position.children.values()
        runs += sum(program.runner.runs for program in (position.programs or {}).values())
    return runs


def runs_natively(step: Callable[[], object]) -> bool:
    """Whether no program of this step ran as NumPy source."""
    before = cold_runs()
    step()
    return cold_runs() == before


def until_native(step: Callable[[], object]) -> tuple[int, float]:
    """Call ``step`` until a call runs natively: how many calls that took, and seconds.

    Raises:
        TimeoutError: if that does not happen; the message has the compiler's reasons.
    """
    start = time.perf_counter()
    count = 1
    while not runs_natively(step):
        count += 1
        if time.perf_counter() - start > PATIENCE:
            raise TimeoutError(f"after {count} calls the step still runs as NumPy source")
    return count, time.perf_counter() - start
