"""Replays: calls of a captured function that are repeated without its Python.

Where the programs of two observed calls agree, a `Replay` knows where each program's inputs come
from (arguments, tensors closed over, results of programs before) and where its outputs go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from backlit.core.era import Interrupted, realize
from backlit.core.observer import Observer, Refused, Stage, changes
from backlit.core.steady import Patience, Steady, steady_form
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.value import Meta, Value, meta_of, outside
from backlit.core.views import View, mark_stale, mover

_SMALL_GRADIENT = 4096  # elements of a gradient whose tensor is used again


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
        self.stages = [Steps(i, two, one.stages[i], args, before) for i in range(len(two.stages))]
        self.makers = [make for _, _, make, _ in two.makers]
        self._numbers(one, two)
        made = {id(t): (i, k) for i, s in enumerate(two.stages) for k, t in enumerate(s.live)}
        self.result = _template(out, made)
        returned = {id(t) for t in _tensors(out)}
        for steps, stage in zip(self.stages, two.stages, strict=True):
            steps.place(stage, two.stages, returned)
        self.had_gradient = [
            (g.owner, two.had_gradient[id(g.owner)]) for s in self.stages for g in s.gradients
        ]
        self._steady: Steady | None = None
        self._patience = Patience()

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
        steady = self._steady  # other threads may end it meanwhile
        if steady is not None:
            found = steady.run(args, made)
            if found is not None:
                return self.result([found])
            self._give_up(steady)
        results: list[list[Any]] = []
        for steps in self.stages:
            results.append(steps.run(args, made, results))
        return self.result(results)

    def is_current(self) -> bool:
        """Whether modules, tensors closed over and their gradients are as they were."""
        steady = self._steady  # other threads may end it meanwhile
        if steady is not None:
            if steady.holds():
                return True
            self._give_up(steady)
        if self.changes != changes.count:
            return False
        for t, had in self.had_gradient:
            x = t._x
            if (x is not None and x.grad is not None) is not had:
                return False
        for steps in self.stages:
            for _, t, meta in steps.closed:
                if t._var.meta is not meta:
                    return False
            for t, g in steps.added_to:
                if t._x is None or t._x.grad is not g:
                    return False
        if len(self.stages) == 1 and self._patience.is_over():
            found = self._steady = steady_form(self.stages[0], self.had_gradient)
            if found is None:
                self._patience.failed(0)
        return True

    def _give_up(self, found: Steady) -> None:
        """Something has moved. Whatever the steady replay holds, it lets go."""
        self._steady = None
        self._patience.failed(found.runs)


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


class Steps:
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
        self.gradients: list[Gradient] = []
        self.returned: set[int] = set()  # outputs
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
        self.returned = {k for k, t in enumerate(stage.live) if id(t) in returned}
        self.added_to = [(owners[id(t)], t) for _, t, _ in self.closed if id(t) in owners]
        for k, t in enumerate(stage.live):
            if id(t) in mine:
                self.rewritten.append((k, t))
            elif id(t) in owners:
                self.gradients.append(Gradient(k, owners[id(t)], t))
            elif id(t) not in returned and id(t) not in entered:
                raise Refused(
                    f"a tensor of shape {tuple(t.shape)} that it computes is kept elsewhere; "
                    "return it instead"
                )

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
        _let_go(self.gradients)
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
            for g in self.gradients:
                extra(g.owner).grad = g.last = None
            raise
        for k, t in self.rewritten:
            t._data = outputs[k]
            x = t._x or extra(t)
            x.version += 1
            x.edge = None
            if x.views:
                mark_stale(t)
        _receive(self.gradients, outputs)
        if interrupt is not None:
            raise interrupt
        return outputs


class Gradient:
    """A gradient that a program computes, and the tensor that holds it."""

    __slots__ = ("is_small", "kind", "last", "output", "owner")

    def __init__(self, output: int, owner: Tensor, like: Tensor) -> None:
        self.output = output
        self.owner = owner
        self.kind = _data_only(like)
        self.is_small = like._var.numel <= _SMALL_GRADIENT
        self.last: Tensor | None = None  # holds it, and is used again if nobody else does


def _let_go(gradients: list[Gradient]) -> None:
    """Free the gradients of the call before: they would take up memory until the next are there."""
    count = sys.getrefcount
    for g in gradients:
        t, x = g.last, g.owner._x
        is_alone = t is not None and x is not None and x.grad is t and count(t) == _ALONE
        if is_alone and t._x is None and t._var is g.kind:  # type: ignore[union-attr]
            t._data = None  # type: ignore[union-attr]
        else:
            extra(g.owner).grad = g.last = None


def _receive(gradients: list[Gradient], outputs: list[Any]) -> None:
    """Hold the gradients that were computed."""
    for g in gradients:
        if g.last is not None:
            g.last._data = outputs[g.output]
            continue
        t = extra(g.owner).grad = _holding(outputs[g.output], g.kind)
        if g.is_small:
            g.last = t


def _calibrate() -> int:
    """The reference count in `_let_go` of what a tensor and a `Gradient` hold."""
    g = SimpleNamespace(last=object())
    owner = SimpleNamespace(grad=g.last)
    t, _ = g.last, owner
    return sys.getrefcount(t)


_ALONE = _calibrate()


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
