"""The clock that native code and Python can both read."""

from __future__ import annotations

import time

MONOTONIC: int | None = getattr(time, "CLOCK_MONOTONIC", None)
"""The number of the system's clock; None where native code has to ask Python."""


def now() -> int:
    """Nanoseconds since some moment in the past.

    >>> now() <= now()
    True
    """
    return time.perf_counter_ns() if MONOTONIC is None else time.clock_gettime_ns(MONOTONIC)
