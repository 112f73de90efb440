"""Views: tensors that share the memory of another one.

A view remembers its base and the chain of *moves* (movement primitives with their arguments) that
leads from the base to it. When the base changes, its views are marked stale and derived anew at
their
next use; writing through a view rewrites the base.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.era import Era, adopt, local
from backlit.core.op import Op, record
from backlit.core.outputs import New, Same
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES, Primitive
from backlit.core.tensor import Array, Tensor, extra, handle
from backlit.core.trace import Tracer
from backlit.core.value import (
    Constant,
    Input,
    Meta,
    Result,
    Scalar,
    Value,
    meta_of,
    outside,
)
from backlit.errors import BacklitError

Move = tuple[Primitive, tuple[Any, ...], dict[str, Any]]  # a primitive, its numbers, its attributes


class View:
    """How a tensor shares the memory of ``base``."""

    __slots__ = ("base", "grad", "moves", "version")

    def __init__(self, base: Tensor, moves: tuple[Move, ...], grad: bool) -> None:
        self.base = base
        self.moves = moves
        self.grad = grad  # whether gradients were being recorded when the view was made
        self.version = extra(base).version

    def detached(self) -> bool:
        """Whether the history of the base was left behind."""
        return any(card.name == "detach" for card, _, _ in self.moves)


def moves_between(start: Value, end: Value) -> tuple[Move, ...]:
    """The movement nodes that lead from ``start`` to ``end``, as moves over Scalars' indices."""
    found: list[Move] = []
    while end is not start:
        if not isinstance(end, Result) or (end.node.primitive.write is None):
            raise BacklitError(f"a view op may only move elements, but it contains {end!r}.")
        node = end.node
        found.append((node.primitive, node.args[1:], node.attrs))
        end = node.args[0]
    found.reverse()
    return tuple(found)


def _bind(moves: tuple[Move, ...], scalars: list[Any]) -> tuple[Move, ...]:
    """Moves with this call's numbers in place of the `Scalar`s."""
    if not any(args for _, args, _ in moves):
        return moves
    return tuple((p, tuple(_number(a, scalars) for a in args), attrs) for p, args, attrs in moves)


def _number(a: Any, scalars: list[Any]) -> Any:
    if isinstance(a, Scalar):
        return scalars[a.index]
    if isinstance(a, Constant):
        return a.array.item()
    return a


def attach(t: Tensor, of: Tensor, moves: tuple[Move, ...], era: Era) -> None:
    """Note that ``t`` is the view of ``of`` that ``moves`` lead to."""
    join(t, of, _bind(moves, era.scalars), era.here.grad)


def join(t: Tensor, of: Tensor, moves: tuple[Move, ...], grad: bool) -> None:
    """Make ``t`` a view of ``of``, or of the base that ``of`` is itself a view of."""
    base = of
    x = of._x
    if x is not None and x.view is not None and not _begins_history(of):
        base = x.view.base
        moves = x.view.moves + moves
        grad = grad and x.view.grad
    view = View(base, moves, grad)
    extra(t).view = view
    bx = extra(base)
    if bx.exported:
        extra(t).exported = True
    views = bx.views
    if views is None:
        views = bx.views = []
    elif len(views) >= 64 and len(views) & (len(views) - 1) == 0:
        views[:] = [w for w in views if w() is not None]
    views.append(weakref.ref(t))


def _begins_history(t: Tensor) -> bool:
    """Whether the view ``t`` is a leaf or detached: the history of its views goes back to it
    only."""
    from backlit.core.inplace import is_leaf

    view = extra(t).view
    assert view is not None
    return view.detached() or (t.requires_grad and is_leaf(t))


# -- views of realized tensors are made at once ----------------------------------------------------

_instants: dict[Any, Any] = {}
_INSTANTS_KEPT = 20_000


class _Instant:
    """A view op on a realized tensor: a NumPy function and what is known of its results."""

    __slots__ = ("outputs", "run")

    def __init__(self, outputs: Any, run: Any) -> None:
        self.outputs = outputs
        self.run = run


def record_view(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a view op: at once on a realized tensor that needs no gradient, recorded otherwise."""
    source = args[0] if args else None
    era = local.era
    if not isinstance(source, Tensor) or isinstance(era, Tracer):
        return record(op, args, kwargs)
    var = source._var
    if source._data is None or (var.requires_grad and era.here.grad and op.name != "detach"):
        return record(op, args, kwargs)
    key: list[Any] = [op, var.meta]
    scalars: list[Any] = []
    numbers = op.numbers
    if numbers:
        for a, number in zip(args[1:], op.positions[1:], strict=False):
            key.append(_static(a, scalars, number, op))
    else:
        for a in args[1:]:
            key.append(_static(a, scalars, False, op))
    for k, a in kwargs.items():
        key.append(k)
        key.append(_static(a, scalars, k in numbers, op))
    found = tuple(key)
    try:
        instant = _instants.get(found)
    except TypeError:
        return record(op, args, kwargs)
    if instant is None:
        if len(_instants) >= _INSTANTS_KEPT:
            _instants.clear()
        instant = _instants[found] = _trace_instant(op, var.meta, args, kwargs)
    return _make(
        instant.outputs, source, instant.run(source._data, scalars), scalars, era.here.grad
    )


class _Rows:
    """What is known of ``x[i]`` or ``x[i:j]`` for tensors of one kind."""

    __slots__ = ("attributes", "rest", "slice", "value")

    def __init__(self, meta: Meta, length: int | None) -> None:
        rest = tuple(meta.shape)[1:]
        shape = rest if length is None else (length, *rest)
        self.value = outside(meta_of(shape, meta.dtype, False))
        self.slice = PRIMITIVES["slice"]
        self.attributes = {"dims": (0,), "lengths": (length or 1,), "steps": (1,)}
        self.rest: tuple[Move, ...] = ()
        if length is None:
            self.rest = ((PRIMITIVES["reshape"], (), {"shape": rest}),)


_rows: dict[Any, _Rows] = {}
_ENDS = (int, type(None))


def rows(t: Tensor, key: int | slice) -> Tensor | None:
    """``t[i]`` or ``t[i:j]`` at once; None if it has to be recorded, or is not that simple.

    Loops over time steps and batches make these views: a tenth of the time that `record_view` takes
    for them.
    """
    array, var, era = t._data, t._var, local.era
    if array is None or var.requires_grad or type(era) is not Era or not array.ndim:
        return None
    n = len(array)
    length: int | None = None
    if type(key) is int:
        start = key + n if key < 0 else key
        if not 0 <= start < n:
            return None
        found = array[start] if array.ndim > 1 else array[start : start + 1].reshape(())
    else:
        assert isinstance(key, slice)
        if type(key.start) not in _ENDS or type(key.stop) not in _ENDS or key.step is not None:
            return None
        start, stop, _ = key.indices(n)
        length = stop - start
        if not 0 < length < n:
            return None
        found = array[start:stop]
    kind = var.meta, length
    known = _rows.get(kind)
    if known is None:
        if len(_rows) >= _INSTANTS_KEPT:
            _rows.clear()
        known = _rows[kind] = _Rows(var.meta, length)
    made = handle(None, known.value)
    made._data = found
    join(made, t, ((known.slice, (start,), known.attributes), *known.rest), era.here.grad)
    return made


def _static(a: Any, scalars: list[Any], number: bool, op: Op) -> Any:
    kind = type(a)
    if kind is int:
        if number:
            scalars.append(a)
            return int
        return a
    if kind is bool:
        return "True" if a else "False"
    if isinstance(a, (tuple, list)):
        return (kind, *(_static(x, scalars, number, op) for x in a))
    if isinstance(a, Tensor):
        raise TypeError(f"{op.name}(): expected integers, got a tensor; call .item() on it first.")
    return a


def _trace_instant(op: Op, meta: Meta, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Instant:
    from backlit.core.op import _outputs, _symbolic

    position = Position(None, None, False)
    source = Input(0, meta, 0)
    position.n_values = position.n_inputs = 1
    tracer = Tracer(position, (op.name,), "forward")
    era, local.era = local.era, tracer
    try:
        positions = (*op.positions[1:], *(False,) * len(args))
        out = op.body(
            handle(tracer, source),  # type: ignore[arg-type]
            *(_symbolic(tracer, a, p) for a, p in zip(args[1:], positions, strict=False)),
            **{k: _symbolic(tracer, a, k in op.numbers) for k, a in kwargs.items()},
        )
    finally:
        local.era = era
    outputs = _outputs(op, out, [source], tracer.nodes)
    from backlit.core.era import backend

    return _Instant(outputs, backend.move_function(tracer.nodes, source, _values(out)))


def _values(out: Any) -> list[Value]:
    if isinstance(out, Tensor):
        return [out._var]
    return [v for o in out for v in _values(o)]


def _make(outputs: Any, source: Tensor, arrays: Any, scalars: list[Any], grad: bool) -> Any:
    if isinstance(outputs, New):
        array = next(arrays) if not isinstance(arrays, np.ndarray) else arrays
        t = handle(None, outside(outputs.value.meta))
        t._data = array
        join(t, source, _bind(outputs.moves, scalars), grad)
        return t
    if isinstance(outputs, Same):
        next(arrays, None)
        return source
    made = [_make(p, source, arrays, scalars, grad) for p in outputs.parts]
    return outputs.kind(*made) if hasattr(outputs.kind, "_fields") else outputs.kind(made)


# -- staleness -------------------------------------------------------------------------------------


def mark_stale(base: Tensor) -> None:
    """Make the views of ``base`` derive themselves anew at their next use."""
    x = base._x
    if x is not None and x.views is not None:
        for reference in x.views:
            view = reference()
            if view is not None:
                if view._var.requires_grad is not base._var.requires_grad:
                    _match(view, base)
                if view._era is None and view._data is None:
                    continue  # stale already, and its own views with it
                view._era = None
                view._data = None
                mark_stale(view)
        x.views = [w for w in x.views if w() is not None]


def _match(t: Tensor, base: Tensor) -> None:
    """Make the view ``t`` say whether it requires grad, now that ``base`` began or ceased to."""
    from backlit.core.inplace import is_leaf

    view = extra(t).view
    assert view is not None
    tracked = base.requires_grad and view.grad and not view.detached()
    if tracked or not is_leaf(t):
        t._var = outside(meta_of(t._var.shape, t._var.dtype, tracked))


def refresh(t: Tensor) -> None:
    """Derive a stale view from its base."""
    x = t._x
    view = x.view if x is not None else None
    if view is None:
        raise BacklitError("a tensor without value is not a view; this is a bug in backlit.")
    from backlit.core.inplace import is_leaf, leaf_

    era = local.era
    grad = era.here.grad
    base = view.base
    leaf = t._var.requires_grad and is_leaf(t)
    if grad is not view.grad:
        era.set_grad(view.grad)
    try:
        made = follow(base, view.moves)
        if leaf:
            made = leaf_(made)
            if made._data is None:
                local.era.leaves[made._var.id] = t
    finally:
        if grad is not view.grad:
            local.era.set_grad(grad)
    view.version = extra(base).version
    adopt(t, made)
    extra(t).edge = made._x.edge if made._x is not None else None


def follow(base: Tensor, moves: tuple[Move, ...]) -> Tensor:
    """Apply ``moves`` to ``base``."""
    made = base
    for card, args, attrs in moves:
        made = card(made, *args, **attrs)
    return made


def moved(array: Array, meta: Meta, moves: tuple[Move, ...]) -> Array:
    """The part of ``array``, which is of kind ``meta``, that ``moves`` lead to; it shares
    memory."""
    return mover(meta, moves)(array)


def mover(meta: Meta, moves: tuple[Move, ...]) -> Callable[[Array], Array]:
    """What ``moves`` do to an array of kind ``meta``, as a function."""
    position = Position(None, None, False)
    source = Input(0, meta, 0)
    position.n_values = position.n_inputs = 1
    tracer = Tracer(position, (), "forward")
    era, local.era = local.era, tracer
    try:
        made = follow(handle(tracer, source), moves)  # type: ignore[arg-type]
    finally:
        local.era = era
    from backlit.core.era import backend

    function = backend.move_function(tracer.nodes, source, [made._var])
    return lambda array: function(array, [])
