"""Capture: a step function whose Python runs a few times, and whose programs run ever after.

A captured function is called as it is until two calls in a row ran the same programs on the same
tensors. From then on a call takes the arrays of its arguments and of the tensors that the function
closes over, runs those programs, and puts the results where the function would have put them.
Numbers that change from call to call are made anew: an optimizer's by its own formula, random
offsets by the generator they came from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from backlit.core.era import Era, local, realize
from backlit.core.observer import Observer, Refused
from backlit.core.replay import Replay
from backlit.core.tensor import Tensor
from backlit.errors import BacklitError

P = ParamSpec("P")
R = TypeVar("R")

_MOST_KINDS = 8  # kinds of arguments kept per function
_MOST_ATTEMPTS = 12  # calls of one kind before it is given up


def _exactly(argument: Any) -> Any:
    """A key that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    if isinstance(argument, tuple):
        return type(argument), *map(_exactly, argument)
    return type(argument), argument.hex() if isinstance(argument, float) else argument


class _Kind:
    """What is known of calls with one kind of arguments."""

    __slots__ = ("attempts", "last", "replay", "why")

    def __init__(self) -> None:
        self.attempts = 0
        self.last: tuple[Observer, tuple[Any, ...]] | None = None
        self.replay: Replay | None = None
        self.why = ""


class Captured(Generic[P, R]):
    """A function made by `capture`.

    Attributes:
        function: the function itself.
        why: why calls run its Python, by the latest call; empty when they do not.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self.why = "not called yet"
        self._kinds: dict[Any, _Kind] = {}
        self._latest: Replay | None = None  # the one that ran last
        functools.update_wrapper(self, function)

    def __reduce__(self) -> Any:
        return Captured, (self.function,)  # a copy observes for itself

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        era = local.era
        if kwargs or type(era) is not Era or local.observer is not None:
            return self.function(*args, **kwargs)
        key: list[Any] = [era.here.grad]
        for a in args:
            if isinstance(a, Tensor):
                if a._data is None:
                    realize(a)
                key.append(a._var.meta)
            else:
                key.append(_exactly(a))
        found = tuple(key)
        try:
            kind = self._kinds.get(found)
        except TypeError:
            self.why = "an argument is neither a tensor nor hashable"
            return self.function(*args, **kwargs)
        replay = None if kind is None else kind.replay
        if replay is not None:
            era = local.era
            if era.here.parent is not None:
                era.flush()
            if replay is not self._latest:
                self._take_turn(replay)
            if replay.is_current():
                return replay.run(args)
            kind.replay, kind.attempts = None, 0  # type: ignore[union-attr]
        self._take_turn(None)
        return self._observe(found, args)

    def _take_turn(self, replay: Replay | None) -> None:
        """Have the replay of another kind let go of what this call is going to rewrite."""
        latest, self._latest = self._latest, replay
        if latest is not None:
            latest.rest()

    def _observe(self, key: Any, args: Any) -> Any:
        """Call the function, and find out whether it repeats."""
        function: Callable[..., Any] = self.function
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            kind = self._kinds[key] = _Kind()
        kind.attempts += 1
        if kind.attempts > _MOST_ATTEMPTS:
            kind.last = None
            self.why = kind.why
            return function(*args)
        local.era.flush()
        observer = local.observer = Observer(kind.last[0] if kind.last else None)
        try:
            out = function(*args)
            local.era.flush()
        finally:
            local.observer = None
        if any(isinstance(a, Tensor) and a.requires_grad for a in args):
            observer.refuse("an argument requires grad; pass data only")
        if kind.last is None:
            kind.why = "observed once; two calls have to agree"
        else:
            try:
                kind.replay = Replay(kind.last[0], observer, args, out, kind.last[1])
                kind.why = ""
            except Refused as refused:
                kind.why = str(refused)
        observer.forget_results()
        kind.last = None if kind.replay else (observer, args)
        self.why = kind.why
        return out


def capture(function: Callable[P, R]) -> Captured[P, R]:
    """``function``, whose Python is not run again once its calls have proved to repeat.

    For step functions: what they do depends only on the kinds of their arguments (shapes, dtypes),
    on tensors, parameters and optimizers they close over, and on random numbers. Then a call runs
    one native program, without the Python of the model, the loss and the optimizer. What else the
    function does (printing, appending to lists, counting in Python) happens only in the first
    calls. Results are without history; learning rates may be changed between calls.

    A function that looks at values, or is not the same each time, runs as
    before; ``function.why`` says why.

    >>> import backlit
    >>> w = backlit.zeros(2, requires_grad=True)
    >>> optimizer = backlit.optim.SGD([w], lr=0.25)
    >>> @backlit.capture
    ... def step(x):
    ...     optimizer.zero_grad()
    ...     loss = ((w - x) ** 2).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> [round(step(backlit.tensor([1.0, 2.0])).item(), 3) for _ in range(6)]
    [5.0, 1.25, 0.312, 0.078, 0.02, 0.005]
    >>> step.why
    ''
    """
    if not callable(function):
        raise BacklitError(f"capture: {function!r} is not a function.")
    return Captured(function)


__all__ = ["Captured", "capture"]
