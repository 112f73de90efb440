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

import numpy as np

from backlit.core.era import Era, Interrupted, local, realize
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.value import Meta, Value, meta_of, outside
from backlit.core.views import View, mark_stale, mover
from backlit.errors import BacklitError

P = ParamSpec("P")
R = TypeVar("R")

_CALLS_OBSERVED = 2  # calls compared with each other
_MOST_HELD = 1 << 20  # bytes of an array made inside that may be a constant
_MOST_KINDS = 8  # kinds of arguments kept per function
_MOST_ATTEMPTS = 12  # calls of one kind before it is given up


class Changes:
    """Counts what may change a function's meaning without changing its tensors."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0  # assignments of attributes to modules


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


class Replay:
    """A call that can be repeated without its Python."""

    def __init__(
        self, one: Observer, two: Observer, args: tuple[Any, ...], out: Any, before: tuple[Any, ...]
    ) -> None:
        """Compare two calls in a row; raises `Refused` if they do not repeat."""
        for observer in (one, two):
            if observer.refusal:
                raise Refused(observer.refusal)
        if [s.program for s in one.stages] != [s.program for s in two.stages]:
            raise Refused("two calls in a row did not run the same programs")
        self.changes = changes.count
        self.stages = [_Steps(i, two, one.stages[i], args, before) for i in range(len(two.stages))]
        self.makers = [make for _, _, make, _ in two.makers]
        self._numbers(one, two)
        made = {id(t): (i, k) for i, s in enumerate(two.stages) for k, t in enumerate(s.live)}
        self.result = _template(out, made)
        returned = {id(t) for t in _tensors(out)}
        for steps, stage in zip(self.stages, two.stages, strict=True):
            steps.place(stage, two.stages, returned)
        self.had_gradient = [
            (t, two.had_gradient[id(t)]) for s in self.stages for _, t, _ in s.gradients
        ]

    def _numbers(self, one: Observer, two: Observer) -> None:
        """Explain every number that differs between the calls."""
        if [(*m[:2], len(m[3])) for m in one.makers] != [(*m[:2], len(m[3])) for m in two.makers]:
            raise Refused("two calls in a row did not draw random numbers at the same places")
        for i, (a, b) in enumerate(zip(one.stages, two.stages, strict=True)):
            steps = self.stages[i]
            steps.numbers = list(b.numbers)
            starts = [(at, k) for k, (s, at, _, _) in enumerate(two.makers) if s == i]
            for j, (x, y) in enumerate(zip(a.numbers, b.numbers, strict=True)):
                before = [k for at, k in starts if at <= j]
                if before:
                    found = _explain(one.makers[before[-1]], two.makers[before[-1]], j, x, y)
                    if found is not None:
                        steps.varying.append((j, before[-1], *found))
                        continue
                if x != y or type(x) is not type(y):
                    raise Refused(f"the number {x!r} became {y!r}; pass it as a tensor")

    def run(self, args: tuple[Any, ...]) -> Any:
        """Do what the call did."""
        made = [make() for make in self.makers]
        results: list[list[Any]] = []
        for steps in self.stages:
            results.append(steps.run(args, made, results))
        return self.result(results)

    def is_current(self) -> bool:
        """Whether modules, tensors closed over and their gradients are as they were."""
        if self.changes != changes.count:
            return False
        for t, had in self.had_gradient:
            if (t._x is not None and t._x.grad is not None) is not had:
                return False
        return all(s.is_current() for s in self.stages)


def _explain(one: Any, two: Any, j: int, x: Any, y: Any) -> tuple[int, Any] | None:
    """How number ``j`` comes from what a maker gives: (index, what is added to it)."""
    first, second = one[3], two[3]
    k = j - two[1]
    if k < len(second) and x == first[k] and y == second[k]:
        return k, 0
    for k, (a, b) in enumerate(zip(first, second, strict=True)):  # an offset further on in a block
        if type(y) is int and type(b) is int and x != y and x - a == y - b:
            return k, y - b
    return None


class _Steps:
    """One program of a replay: where its inputs come from, and where its outputs go."""

    def __init__(
        self,
        index: int,
        two: Observer,
        first: Stage,
        args: tuple[Any, ...],
        before: tuple[Any, ...],
    ) -> None:
        stage = two.stages[index]
        self.program = stage.program
        self.numbers: list[Any] = []
        self.varying: list[tuple[int, int, int, Any]] = []  # number, maker, index, added
        self.arguments: list[tuple[int, int]] = []  # input, argument
        self.closed: list[tuple[int, Tensor, Meta]] = []  # input, tensor closed over
        self.passed: list[tuple[int, int, int]] = []  # input, stage, output
        self.constants: list[tuple[int, Any]] = []  # input, array made inside, the same every time
        self.moved: list[tuple[int, Tensor | int, Any]] = []  # input, base or argument, its view
        self.n_inputs = len(stage.handles)
        made = {
            id(t): (i, k) for i, s in enumerate(two.stages[:index]) for k, t in enumerate(s.live)
        }
        places = {id(a): k for k, a in enumerate(args)}
        places_before = {id(a): k for k, a in enumerate(before)}
        for i, (t, s) in enumerate(zip(stage.handles, first.handles, strict=True)):
            if t is None:
                raise Refused("it differentiates through a recording that was already computed")
            if id(t) in places and places.get(id(t)) == places_before.get(id(s)):
                self.arguments.append((i, places[id(t)]))
            elif t is s:
                if t._x is not None and (t._x.hooks or t._x.post_hooks):
                    raise Refused("a tensor has hooks, which are Python")
                self.closed.append((i, t, t._var.meta))
            elif id(t) in made:
                self.passed.append((i, *made[id(t)]))
            elif not self._is_view(i, s, t, places, places_before):
                a, b = first.arrays[i], stage.arrays[i]
                is_known = a is not None and b is not None and np.array_equal(a, b)
                if _view_of(t) is not None or not is_known:
                    raise Refused(
                        f"a tensor of shape {tuple(t.shape)} is made from data inside that changes;"
                        " make it outside and pass it as an argument"
                    )
                self.constants.append((i, b))
        self.rewritten: list[tuple[int, Tensor]] = []  # output, tensor closed over
        self.gradients: list[tuple[int, Tensor, Value]] = []  # output, whose gradient, its kind
        self.added_to: list[tuple[Tensor, Tensor]] = []  # a tensor, its gradient that is added to

    def _is_view(self, i: int, s: Any, t: Any, places: Any, places_before: Any) -> bool:
        """Whether input ``i`` is a view, the same each time, of an argument or a closed tensor."""
        before, now = _view_of(s), _view_of(t)
        if before is None or now is None or before.moves != now.moves:
            return False
        base: Any = places.get(id(now.base))
        if base is None and now.base is before.base:
            base = now.base
        elif base is None or base != places_before.get(id(before.base)):
            return False
        self.moved.append((i, base, mover(now.base._var.meta, now.moves)))
        return True

    def place(self, stage: Stage, stages: list[Stage], returned: set[int]) -> None:
        """Find out where each output goes."""
        entered = {id(t): t for s in stages for t in s.handles if t is not None}
        owners = {id(t._x.grad): t for t in entered.values() if t._x is not None}
        mine = {id(t) for _, t, _ in self.closed}
        self.added_to = [(owners[id(t)], t) for _, t, _ in self.closed if id(t) in owners]
        for k, t in enumerate(stage.live):
            if id(t) in mine:
                self.rewritten.append((k, t))
            elif id(t) in owners:
                self.gradients.append((k, owners[id(t)], _data_only(t)))
            elif id(t) not in returned and id(t) not in entered:
                raise Refused(
                    f"a tensor of shape {tuple(t.shape)} that it computes is kept elsewhere; "
                    "return it instead"
                )

    def is_current(self) -> bool:
        for _, t, meta in self.closed:
            if t._var.meta is not meta:
                return False
        return all(t._x is not None and t._x.grad is g for t, g in self.added_to)

    def _entering(
        self, args: tuple[Any, ...], made: list[Any], results: list[list[Any]]
    ) -> tuple[list[Any], list[Any]]:
        """The arrays and the numbers that the program takes this time."""
        inputs: list[Any] = [None] * self.n_inputs
        for i, k in self.arguments:
            inputs[i] = args[k]._data
        for i, t, _ in self.closed:
            data = t._data
            inputs[i] = realize(t) if data is None else data
        for i, s, k in self.passed:
            inputs[i] = results[s][k]
        for i, array in self.constants:
            inputs[i] = array
        for i, base, move in self.moved:
            inputs[i] = move(realize(args[base] if isinstance(base, int) else base))
        numbers = self.numbers
        if self.varying:
            numbers = numbers.copy()
            for j, maker, index, added in self.varying:
                numbers[j] = made[maker][index] + added if added else made[maker][index]
        return inputs, numbers

    def run(self, args: tuple[Any, ...], made: list[Any], results: list[list[Any]]) -> list[Any]:
        """Compute, and hand out what is not returned."""
        inputs, numbers = self._entering(args, made, results)
        for _, t, _ in self.gradients:
            extra(t).grad = None  # or the last one would take up memory until the next is there
        for _, t in self.rewritten:
            t._data = None  # so that the array may be written to, if nobody else holds it
        interrupt = None
        try:
            outputs = self.program.runner(inputs, numbers)
        except Interrupted as late:
            outputs, interrupt = late.outputs, late.cause
        except BaseException:
            by_tensor = {id(t): inputs[i] for i, t, _ in self.closed}
            for _, t in self.rewritten:
                t._data = by_tensor[id(t)]
            raise
        for k, t in self.rewritten:
            t._data = outputs[k]
            x = t._x or extra(t)
            x.version += 1
            x.edge = None
            if x.views:
                mark_stale(t)
        for k, t, kind in self.gradients:
            extra(t).grad = _holding(outputs[k], kind)
        if interrupt is not None:
            raise interrupt
        return outputs


def _view_of(t: Tensor) -> View | None:
    return None if t._x is None else t._x.view


def _data_only(t: Tensor) -> Value:
    """What a tensor like ``t`` is, that holds an array and has no history."""
    return outside(meta_of(t._var.shape, t._var.dtype, False))


def _holding(array: Any, kind: Value) -> Tensor:
    """A tensor of that kind that holds ``array``."""
    t = handle(None, kind)
    t._data = array
    return t


def _tensors(out: Any) -> list[Tensor]:
    if isinstance(out, Tensor):
        return [out]
    if isinstance(out, dict):
        return [t for x in out.values() for t in _tensors(x)]
    if isinstance(out, (tuple, list)):
        return [t for x in out for t in _tensors(x)]
    return []


def _template(out: Any, made: dict[int, tuple[int, int]]) -> Callable[[list[list[Any]]], Any]:
    """A function that builds what was returned from the results of the stages."""
    if out is None:
        return lambda results: None
    if isinstance(out, Tensor):
        where = made.get(id(out))
        if where is None:
            raise Refused(
                f"it returns a tensor of shape {tuple(out.shape)} that it did not compute; return "
                "results only"
            )
        stage, k = where
        kind = _data_only(out)
        return lambda results: _holding(results[stage][k], kind)
    if isinstance(out, dict):
        parts = {key: _template(x, made) for key, x in out.items()}
        return lambda results: {key: part(results) for key, part in parts.items()}
    if isinstance(out, (tuple, list)):
        items = [_template(x, made) for x in out]
        of = type(out)
        if hasattr(of, "_fields"):
            return lambda results: of(*(item(results) for item in items))
        return lambda results: of(item(results) for item in items)
    raise Refused(f"it returns {type(out).__name__}; return tensors, or tuples and dicts of them")


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
        if kind is not None and kind.replay is not None:
            if local.era.here.parent is not None:
                local.era.flush()
            if kind.replay.is_current():
                return kind.replay.run(args)
            kind.replay, kind.attempts = None, 0
        return self._observe(found, args)

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


__all__ = ["Captured", "capture", "changes"]
