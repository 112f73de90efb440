"""What a process has one of, whichever of its threads asks first.

`functools.cache` calls a function twice when two threads ask at the same time; the compiler's
thread and the user's do. Two thread pools over the same memory would hang.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class _Making:
    """The lock that whoever makes something holds; one for all, since one makes the other."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def renew(self) -> None:
        """In the child of a fork, whose other threads are gone."""
        self.lock = threading.RLock()


_making = _Making()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_making.renew)


def once(make: Callable[[], T]) -> Callable[[], T]:
    """``make``, which is called at most once; later calls return what it returned.

    >>> made = once(list)
    >>> made() is made()
    True
    """
    found: list[T] = []

    @functools.wraps(make)
    def get() -> T:
        if not found:
            with _making.lock:
                if not found:
                    found.append(make())
        return found[0]

    return get
