"""Reverse-mode differentiation: the walk back over what was recorded.

The walk goes through recordings from the newest to the oldest. Within one recording it visits nodes
from the last to the first, applies each card's gradient rule, and so records the backward pass as
ordinary ops. Done once per place in the trie; later passes look the result up. Where user code must
run in between (hooks, user-defined functions) the nodes are walked one by one every time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from backlit.autograd.sweep import Arrived, Sweep, freed_error, overwritten_at, stale_error
from backlit.core.era import Era, local, pend, settle, version_of
from backlit.core.inner import inner
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES
from backlit.core.program import origin
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.trace import Tracer, computed
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value
from backlit.errors import GradientError

_VALUES_LIMIT = 3000  # values of one recording before a further backward step gets a new one

Target = tuple[Era, Value]


def locate(t: Tensor) -> Tensor | Target:
    """Where the history of ``t`` is: the tensor itself if it is a leaf, else (recording, value)."""
    if t._data is None:
        if t._era is not local.era:
            settle(t)
        if t._data is None:
            era, value = t._era, t._var
            assert era is not None
            if isinstance(value, Input):
                return era.edges.get(value.index) or era.handles[value.index]
            leaf = era.leaves.get(value.id)
            return (era, value) if leaf is None else leaf
    x = t._x
    return x.edge if x is not None and x.edge is not None else t


class Walk:
    """One backward pass.

    Args:
        roots: the tensors to differentiate, each with its upstream gradient (None: ones for a
            scalar).
        wanted: the tensors whose gradients are asked for; None means every leaf's ``.grad``.
        retain: whether saved values stay available for another pass.
        create: whether the backward pass is itself recorded for differentiation.
    """

    def __init__(
        self,
        roots: Iterable[tuple[Tensor, Tensor | None]],
        wanted: list[Tensor] | None,
        retain: bool,
        create: bool,
    ) -> None:
        self.retain = retain
        self.create = create
        self.eras: dict[int, tuple[Era, dict[int, tuple[Value, Tensor | None]]]] = {}
        self.queue: list[int] = []
        self.leaf_gradients: dict[int, tuple[Tensor, Tensor]] = {}
        self.wanted = wanted
        self.targets = [locate(t) for t in wanted] if wanted is not None else []
        self.found: dict[tuple[int, int], Tensor] = {}
        for t, g in roots:
            if g is None:
                _check_scalar(t)
            where = locate(t)
            if g is None and isinstance(where, tuple) and where[1].id not in self._at(where[0]):
                self._at(where[0])[where[1].id] = (where[1], None)  # ones, made by the trace
            else:
                self.arrive(where, g if g is not None else ones_for(t._var))

    def arrive(self, where: Tensor | Target, g: Tensor) -> None:
        """A gradient reaches a leaf, or a value of some recording."""
        if isinstance(where, Tensor):
            before = self.leaf_gradients.get(id(where))
            self.leaf_gradients[id(where)] = (where, g if before is None else before[1] + g)
            return
        era, value = where
        gradients = self._at(era)
        hit = gradients.get(value.id)
        if hit is not None:
            g = (hit[1] if hit[1] is not None else ones_for(value)) + g
        gradients[value.id] = (value, g)

    def _at(self, era: Era) -> dict[int, tuple[Value, Tensor | None]]:
        """The gradients that have reached values of ``era``."""
        found = self.eras.get(era.sequence)
        if found is None:
            found = self.eras[era.sequence] = (era, {})
            heapq.heappush(self.queue, -era.sequence)
        return found[1]

    def run(self) -> None:
        """Walk until no recording is left to go through."""
        while self.queue:
            era, gradients = self.eras.pop(-heapq.heappop(self.queue))
            asked = {
                w[1].id: w[1] for w in self.targets if not isinstance(w, Tensor) and w[0] is era
            }
            if era.contexts or (era.hooks and _has_user_hooks(era)):
                from backlit.autograd.stepwise import walk_stepwise

                walk_stepwise(self, era, gradients, asked)
            else:
                kept = dict(era.hooks) if era.hooks and self.wanted is None else {}
                self._segment(
                    era,
                    gradients,
                    asked | dict.fromkeys(kept) if kept else asked,
                )
                for i, t in kept.items():
                    g = self.found.get((era.sequence, i))
                    if g is not None:
                        extra(t).grad = g

    def _segment(self, era: Era, gradients: Arrived, asked: dict[int, Any]) -> None:
        """Go through one recording in a single event."""
        now = local.era
        if not isinstance(now, Era) or type(now) is not Era:
            with now.recording():
                self._segment(era, gradients, asked)
            return
        again = bool(now.leaves) and bool(now.here.freed)  # a step was taken since the last pass
        if again or now.here.n_values > _VALUES_LIMIT:  # keep recordings small, so that they repeat
            now.flush()
            now = local.era
        parts: list[Any] = ["backward", None if era is now else era.here, self.create, self.retain]
        for value, g in gradients.values():
            parts.append(value)
            if g is not None and g._era is not now:
                now.enter(g)
            parts.append(g._var if g is not None else None)
        if asked or self.wanted is not None:
            parts += [self._ends(era), *asked]
        key = tuple(parts)
        place = parts[1]
        child = now.here.children.get(key)
        if child is None:
            child = self._expand(now, era, key, gradients, asked)
        detail: Detail = child.detail
        if place is not None:
            check_closed(era, detail)
            self._lift(now, era, detail)
            if not self.retain:
                _release(era, detail)
        now.here = child
        for value, gradient in detail.asked:
            self.found[era.sequence, value.id] = _tensor(now, gradient)
        edges, handles, leaves = era.edges, era.handles, era.leaves
        for value, gradient in detail.emitted:
            g = _tensor(now, gradient)
            if isinstance(value, Input):
                self.arrive(edges.get(value.index) or handles[value.index], g)
            else:
                self.arrive(leaves[value.id], g)

    def _ends(self, era: Era) -> Any:
        """Where gradients are wanted among what entered ``era``: the walk goes there and no
        further."""
        if self.wanted is None:
            return None
        leaves = {id(w) for w in self.targets if isinstance(w, Tensor)}
        return (
            self._edges(era),
            tuple(i for i, t in enumerate(era.handles) if t is not None and id(t) in leaves),
            tuple(i for i, t in era.leaves.items() if id(t) in leaves),
        )

    def _edges(self, era: Era) -> tuple[int, ...]:
        """The inputs of ``era`` whose history may lead to something wanted."""
        for w in self.targets:
            if isinstance(w, Tensor) or w[0].sequence < era.sequence:
                return tuple(era.edges)
        return ()

    def _lift(self, now: Era, era: Era, detail: Detail) -> None:
        """Bring the values saved by a closed recording into the present one."""
        for value in detail.lifted:
            if isinstance(value, Scalar):
                now.scalars.append(era.scalars[value.index])
                continue
            if value.requires_grad and self.create:
                edge: Any = (era, value)
                owner = None
                if isinstance(value, Input):
                    edge = era.edges.get(value.index)
                    owner = era.handles[value.index]
                elif value.id in era.leaves:
                    edge, owner = None, era.leaves[value.id]
                if edge is not None:
                    now.edges[len(now.inputs)] = edge
                now.handles.append(owner)  # type: ignore[arg-type]
            else:
                now.handles.append(None)  # type: ignore[arg-type]
            now.inputs.append(era.array_of(value))  # type: ignore[arg-type]

    def _expand(
        self,
        now: Era,
        era: Era,
        key: Any,
        gradients: Arrived,
        asked: dict[int, Any],
    ) -> Position:
        """Work out the walk through ``era`` and store it as a position."""
        child = Position(now.here, key, now.here.grad)
        tracer = Tracer(child, (), "backward")
        tracer.here.grad = self.create
        local.era = tracer
        try:
            closed = era is not now
            lift = _Lift(tracer, child, self.create) if closed else None
            symbolic = {
                i: (v, handle(tracer, g._var) if g is not None else _one(tracer, v))  # type: ignore[arg-type]
                for i, (v, g) in gradients.items()
            }
            freed = frozenset() if closed else now.here.freed
            sweep = Sweep(lift, freed, now.here.stale if not closed else {})
            reach = None
            if self.wanted is not None:
                leaves = {id(w) for w in self.targets if isinstance(w, Tensor)}
                reach = _reachable(era, gradients, set(asked), leaves, set(self._edges(era)))
            emitted, hit = sweep.run(symbolic, set(asked), reach)
            emitted = [(v, computed(g)) for v, g in emitted]
            hit = [(v, computed(g)) for v, g in hit]
        finally:
            local.era = now
        child.nodes = tuple(tracer.nodes)
        detail = child.detail = Detail()
        detail.emitted = [(v, g._var) for v, g in emitted]
        detail.asked = [(v, g._var) for v, g in hit]
        detail.visited = frozenset(sweep.visited)
        detail.saving = frozenset(sweep.saving)
        detail.read = sweep.read
        if lift is not None:
            detail.lifted = lift.values
        elif not self.retain:
            child.freed = child.freed | detail.visited
            detail.direct = _direct(detail.emitted)
        child.attach()
        return child


def repeat(root: Tensor, retain: bool, create: bool) -> bool:
    """The backward pass from ``root``, if it has been worked out at this place before: one lookup.

    Only for what training loops do: ``root`` and all of its history are in the recording in
    progress, and nothing but leaves without hooks is reached. Returns whether that was so.
    """
    era = local.era
    if root._era is not era or type(era) is not Era:
        return False
    if root._data is not None or era.edges or era.hooks or era.contexts:
        return False
    child = era.here.children.get(("backward", None, create, retain, root._var, None))
    if child is None or child.detail.direct is None:
        return False
    handles = era.handles
    for index, _ in child.detail.direct:
        x = handles[index]._x
        if x is not None and (x.hooks or x.post_hooks):
            return False
    era.here = child
    new, pending = inner.pend, era.pending
    for index, value in child.detail.direct:
        g = new(era, pending, value)
        x = handles[index]._x
        if x is not None and x.grad is None:
            x.grad = g
        else:
            accumulate(handles[index], g, create)
    return True


def _direct(emitted: list[tuple[Value, Value]]) -> list[tuple[int, Value]] | None:
    """(index of the input, its gradient) for each gradient, if all reach inputs and are new."""
    found: list[tuple[int, Value]] = []
    for value, gradient in emitted:
        if not isinstance(value, Input) or isinstance(gradient, Input):
            return None
        found.append((value.index, gradient))
    return found


def _has_user_hooks(era: Era) -> bool:
    """Whether functions are to be called during the walk (and not only gradients kept)."""
    return any(t._x is not None and t._x.hooks for t in (era.hooks or {}).values())


def _tensor(now: Era, value: Value) -> Tensor:
    """A tensor for ``value`` of the present recording: the very one that entered, if one did."""
    if not isinstance(value, Input):
        return pend(now, value)
    entered: Tensor | None = now.handles[value.index]
    if entered is not None and entered._era is now and entered._var is value:
        return entered
    t = pend(now, value)
    if value.index in now.edges:
        extra(t).edge = now.edges[value.index]
    return t


class Detail:
    """What is known of one walk through one recording."""

    __slots__ = ("asked", "direct", "emitted", "lifted", "read", "saving", "visited")

    def __init__(self) -> None:
        self.emitted: list[tuple[Value, Value]] = []  # (leaf or input reached, its gradient)
        self.asked: list[tuple[Value, Value]] = []
        self.direct: list[tuple[int, Value]] | None = None  # what `repeat` hands out
        self.lifted: list[Value] = []
        self.visited: frozenset[int] = frozenset()
        self.saving: frozenset[int] = frozenset()
        self.read: dict[int, Value] = {}


class _Lift:
    """Values of a closed recording as inputs of the present trace."""

    def __init__(self, tracer: Tracer, position: Position, create: bool) -> None:
        self.tracer = tracer
        self.position = position
        self.create = create
        self.values: list[Value] = []
        self._made: dict[int, Tensor] = {}

    def __call__(self, value: Value) -> Tensor:
        if isinstance(value, Constant):
            return self.tracer.constant(value.array, value.dtype, value.weak)
        found = self._made.get(value.id)
        if found is None:
            p = self.position
            if isinstance(value, Scalar):
                lifted: Value = Scalar(p.n_values, value.dtype, p.n_scalars, value.weak)
                p.n_scalars += 1
            else:
                from backlit.core.value import meta_of

                meta = meta_of(value.shape, value.dtype, value.requires_grad and self.create)
                lifted = Input(p.n_values, meta, p.n_inputs)
                p.n_inputs += 1
            p.n_values += 1
            self.values.append(value)
            found = self._made[value.id] = handle(self.tracer, lifted)  # type: ignore[arg-type]
        return found


def check_closed(era: Era, detail: Detail) -> None:
    """Raise if values that this walk reads were freed or overwritten since the recording closed."""
    if era.freed and not era.freed.isdisjoint(detail.saving):
        raise freed_error()
    for value in detail.read.values():
        overwritten = overwritten_at(era.here.stale, value) or overwritten_at(era.stale, value)
        at = origin(value)
        if overwritten is None and at.id in era.versions:
            t, version = era.versions[at.id]
            if version_of(t) != version:
                overwritten = ("an in-place op", ("", 0))
        if overwritten is not None:
            reader = next(n for n in era.here.all_nodes() if value in n.primitive.saved(n))
            raise stale_error(reader, value, overwritten)


def _release(era: Era, detail: Detail) -> None:
    era.freed |= detail.visited
    if era.saved:
        for i in detail.read:
            era.saved.pop(i, None)


def _reachable(
    era: Era, gradients: Arrived, asked: set[int], leaves: set[int], edges: set[int]
) -> set[int]:
    """Ids of the values that depend on something wanted: asked values, leaves, older history
    behind the inputs ``edges``."""
    found = set(asked)
    order: dict[int, Node] = {}
    stack: list[Value] = [v for v, _ in gradients.values()]
    seen: set[int] = set()
    while stack:
        v = stack.pop()
        if v.id in seen or not v.requires_grad:
            continue
        seen.add(v.id)
        owner = (
            era.is_leaf(v) if not isinstance(v, Result) or v.node.primitive.name == "leaf" else None
        )
        if isinstance(v, Input) and v.index in era.edges:
            if v.index in edges:
                found.add(v.id)
        elif owner is not None:
            if id(owner) in leaves:
                found.add(v.id)
        elif isinstance(v, Result):
            order[v.node.outs[0].id] = v.node
            stack.extend(v.node.args)
    for first in sorted(order):
        node = order[first]
        if any(a.id in found for a in node.args):
            found.update(o.id for o in node.outs)
    return found


def _check_scalar(t: Tensor) -> None:
    """Only a tensor of one element can be differentiated without an upstream gradient."""
    if t._var.numel != 1:
        raise GradientError(
            "grad can be implicitly created only for scalar outputs, but got shape "
            f"{tuple(t.shape)}; "
            "pass gradient= (a tensor of that shape), or reduce the output with .sum() or .mean()."
        )


def ones_for(value: Value) -> Tensor:
    """Ones in the shape of ``value``."""
    from backlit.core.create import full_constant

    return full_constant(tuple(value.shape), 1, value.dtype)


def _one(tracer: Tracer, value: Value) -> Tensor:
    """The upstream gradient 1 of ``value`` inside a trace."""
    one = tracer.constant(1, value.dtype)
    return one if not value.shape else PRIMITIVES["full"](one, shape=tuple(value.shape))


def accumulate(leaf: Tensor, g: Tensor, create: bool) -> None:
    """Add ``g`` to ``leaf.grad``."""
    x = extra(leaf)
    if x.grad is None:
        x.grad = g if g is not None else None
    elif create:
        x.grad = x.grad + g
    else:
        from backlit.core.inplace import rebind

        rebind(x.grad, x.grad + g, "accumulate", event=False)
