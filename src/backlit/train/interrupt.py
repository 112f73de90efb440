"""Ctrl-C: the first one asks for a good end, the second one stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupt:
    """While active, the first Ctrl-C only sets `requested`; the next raises KeyboardInterrupt.

    Around another one (a search around a `fit`), it learns of the inner one's Ctrl-C too. Signals
    can only be caught in the main thread; elsewhere nothing changes.

    Attributes:
        requested: whether Ctrl-C was pressed.
        cut_short: whether something inside took it and ended before its time.

    >>> with Interrupt() as interrupt:
    ...     interrupt.requested
    False
    """

    def __init__(self) -> None:
        self.requested = False
        self.cut_short = False
        self._before: Any = None
        self._active = False

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        # A handler of None was not set from Python and could not be put back.
        if is_main and signal.getsignal(signal.SIGINT) not in (None, signal.SIG_IGN):
            self._before = signal.signal(signal.SIGINT, self._on_signal)
            self._active = True
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        outer = getattr(self._before, "__self__", None)
        while isinstance(outer, Interrupt):
            outer.requested = outer.cut_short = True
            outer = getattr(outer._before, "__self__", None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)
            self._active = False
