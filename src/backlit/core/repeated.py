"""One program of a replay: where its inputs come from, and where its outputs go."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from backlit.core.era import Interrupted, realize
from backlit.core.observer import Observer, Refused, Stage
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.value import Meta, Value, meta_of, outside
from backlit.core.views import View, mark_stale, mover

_SMALL_GRADIENT = 1 << 16  # elements of a gradient whose tensor is used again


class Repeated:
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
        self.kind = data_only(like)
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
        t = extra(g.owner).grad = holding(outputs[g.output], g.kind)
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


def data_only(t: Tensor) -> Value:
    """What a tensor like ``t`` is, that holds an array and has no history."""
    return outside(meta_of(t._var.shape, t._var.dtype, False))


def holding(array: Any, kind: Value) -> Tensor:
    """A tensor of that kind that holds ``array``."""
    t = handle(None, kind)
    t._data = array
    return t
