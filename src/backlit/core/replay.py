"""Replays: calls of a captured function that are repeated without its Python.

Where the programs of two observed calls agree, a `Replay` knows where each program's inputs come
from (arguments, tensors closed over, results of programs before) and where its outputs go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.core.observer import Observer, Refused, changes
from backlit.core.repeated import Repeated, data_only, holding
from backlit.core.steady import Patience, Steady, steady_form
from backlit.core.tensor import Tensor


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
        self.stages = [
            Repeated(i, two, one.stages[i], args, before) for i in range(len(two.stages))
        ]
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
        self._resting: Steady | None = None  # while another replay rewrites the same tensors
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
        elif self._resting is not None:
            steady, self._resting = self._resting, None
            if steady.wakes() and steady.holds():
                self._steady = steady
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
            found = self._steady = steady_form(self.stages[0])
            if found is None:
                self._patience.failed(0)
        return True

    def rest(self) -> None:
        """Another replay is going to rewrite the same tensors."""
        steady, self._steady = self._steady, None
        if steady is not None and steady.rests():
            self._resting = steady

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
        kind = data_only(out)
        return lambda results: holding(results[stage][k], kind)
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
