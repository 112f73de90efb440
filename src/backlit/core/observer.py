"""What is seen of a captured function's call while its Python runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.core.era import Era, local
from backlit.core.tensor import Tensor

_MOST_HELD = 1 << 20  # bytes of an array made inside that may be a constant


class Changes:
    """Counts what may change a function's meaning without changing its tensors."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0  # assignments of attributes to modules, hooks that come and go


changes = Changes()


class Refused(Exception):
    """Why a call cannot be repeated without running it."""


class Stage:
    """One flush of an observed call: its program, what entered, and what came out."""

    def __init__(self, program: Any, era: Era, arrays: list[Any], live: list[Tensor]) -> None:
        self.program = program
        self.handles = list(era.handles)
        self.arrays = arrays
        self.numbers = list(era.scalars)
        self.live = list(live)


class Observer:
    """Watches one call: `Era.flush`, optimizers and generators report to it."""

    def __init__(self, previous: Observer | None) -> None:
        self.stages: list[Stage] = []
        self.arrays: list[Any] = []
        # Which tensors had a gradient when the call began: it may be added to, or forgotten.
        self.had_gradient = {} if previous is None else gradients_of(previous)
        self.makers: list[tuple[int, int, Callable[[], Any], Any]] = []
        self.refusal = ""

    def began(self, era: Era) -> None:
        """A recording is about to be computed; its small arrays are held, so that none of them is
        written to: they may be constants."""
        self.arrays = [None if a is None or a.nbytes > _MOST_HELD else a for a in era.inputs]

    def flushed(self, era: Era, program: Any, live: list[Tensor]) -> None:
        """A recording has been computed."""
        self.stages.append(Stage(program, era, self.arrays, live))

    def forget_results(self) -> None:
        """Hold no tensor that the call made: gradients would take up memory until the next call's
        are there as well."""
        for stage in self.stages:
            stage.live = []

    def refuse(self, why: str) -> None:
        """The call cannot be repeated; the first reason counts."""
        self.refusal = self.refusal or why

    def looked(self) -> None:
        """A value was read while the function ran, and may decide what it does."""
        self.refuse("it looks at values while it runs (item, print, if, numpy)")

    def made(self, make: Callable[[], Any], now: Any) -> None:
        """The numbers that are recorded next are ``now``, and ``make()`` in the next call."""
        self.makers.append((len(self.stages), len(local.era.scalars), make, now))


def gradients_of(observer: Observer) -> dict[int, bool]:
    """Whether each tensor that entered the observed call has a gradient now."""
    entered = (t for stage in observer.stages for t in stage.handles if t is not None)
    return {id(t): t._x is not None and t._x.grad is not None for t in entered}
