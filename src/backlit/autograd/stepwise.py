"""The backward walk one node at a time, for recordings in which user code takes part.

Hooks and user-defined functions are Python that may look at values, print them or change them, so
the walk cannot be recorded as a whole. Each node's gradient rule is an event of its own instead.
"""

from __future__ import annotations

import functools
import heapq
from typing import TYPE_CHECKING, Any

from backlit.core.create import from_array
from backlit.core.era import Era, local, pend
from backlit.core.op import Op, record
from backlit.core.position import Position
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value, meta_of, outside

if TYPE_CHECKING:
    from backlit.autograd.engine import Walk
    from backlit.autograd.sweep import Arrived


def walk_stepwise(walk: Walk, era: Era, gradients: Arrived, asked: dict[int, Any]) -> None:
    """Go through ``era``, running hooks and user-defined functions on the way."""
    mode = local.era.here.grad
    local.era.set_grad(walk.create)
    try:
        _Steps(walk, era, asked).run(gradients)
    finally:
        local.era.set_grad(mode)


class _Steps:
    """One walk through one recording."""

    def __init__(self, walk: Walk, era: Era, asked: dict[int, Any]) -> None:
        self.walk = walk
        self.era = era
        self.asked = asked
        self.pending: dict[int, tuple[Node, dict[int, Tensor]]] = {}
        self.queue: list[int] = []
        self.ends: dict[int, tuple[Value, Tensor]] = {}
        self.visited: set[int] = set()

    def run(self, gradients: Arrived) -> None:
        from backlit.autograd.engine import ones_for

        for value, g in gradients.values():
            self.arrive(value, g if g is not None else ones_for(value))
        while self.queue:
            node, outs = self.pending.pop(-heapq.heappop(self.queue))
            for i in list(outs):
                outs[i] = self.reached(node.outs[i], outs[i])
            self.visited.add(node.outs[0].id)
            for i, g in self.apply(node, outs):
                self.arrive(node.args[i], g)
        for value, g in self.ends.values():
            g = self.reached(value, g)
            if isinstance(value, Input):
                self.walk.arrive(
                    self.era.edges.get(value.index) or self.era.handles[value.index], g
                )
            else:
                self.walk.arrive(self.era.leaves[value.id], g)
        if not self.walk.retain:
            for context in self.contexts():
                context.release()
            free(self.era, frozenset(self.visited))

    def contexts(self) -> list[Any]:
        """The ``ctx`` of each user-defined function that was visited."""
        known = self.era.contexts or {}
        return [known[i] for i in self.visited if i in known]

    def arrive(self, value: Value, g: Tensor) -> None:
        if isinstance(value, Result) and value.node.primitive.name != "leaf":
            first = value.node.outs[0].id
            if first not in self.pending:
                self.pending[first] = (value.node, {})
                heapq.heappush(self.queue, -first)
            outs = self.pending[first][1]
            outs[value.index] = outs[value.index] + g if value.index in outs else g
        elif value.id in self.ends:
            self.ends[value.id] = (value, self.ends[value.id][1] + g)
        else:
            self.ends[value.id] = (value, g)

    def reached(self, value: Value, g: Tensor) -> Tensor:
        """The whole gradient of ``value`` is known: run its hooks, keep it where it is wanted."""
        t = self.era.hooks.get(value.id) if self.era.hooks else None
        if t is not None:
            g = run_hooks(t, g)
            if extra(t).retains and self.walk.wanted is None:
                extra(t).grad = g
        if value.id in self.asked:
            self.walk.found[self.era.sequence, value.id] = g
        return g

    def apply(self, node: Node, outs: dict[int, Tensor]) -> list[tuple[int, Tensor]]:
        if node.primitive.name == "function":
            from backlit.autograd.function import apply_backward

            assert self.era.contexts is not None
            return apply_backward(self.era.contexts[node.outs[0].id], node, outs)
        self.check(node)
        saved = [v for v in node.primitive.saved(node) if not isinstance(v, Constant)]
        starts = [v for v in node.args if isinstance(v, Scalar) and v not in saved]
        needed = (*saved, *starts)
        made = _vjp_op(node, tuple(sorted(outs)), tuple(v.id for v in needed))
        gs = [outs[i] for i in sorted(outs)]
        found: list[Any] = record(made, (gs, [self.tensor_of(v) for v in needed]), {})
        return [(i, g) for i, g in found]

    def check(self, node: Node) -> None:
        """Raise if what the rule reads was freed or overwritten."""
        from backlit.autograd.engine import Detail, check_closed
        from backlit.autograd.sweep import freed_error, overwritten_at, stale_error

        saved = [v for v in node.primitive.saved(node) if isinstance(v, (Input, Result))]
        if self.era.closed:
            detail = Detail()
            detail.saving = frozenset({node.outs[0].id}) if saved else frozenset()
            detail.read = {v.id: v for v in saved}
            check_closed(self.era, detail)
            return
        if saved and node.outs[0].id in self.era.here.freed:
            raise freed_error()
        for v in saved:
            hit = overwritten_at(self.era.here.stale, v)
            if hit is not None:
                raise stale_error(node, v, hit)

    def tensor_of(self, value: Value) -> Any:
        """``value`` of the recording walked through, as a tensor (or number) usable now."""
        era = self.era
        if isinstance(value, Scalar):
            return era.scalars[value.index]
        if isinstance(value, Input) and era.handles[value.index] is not None and not era.closed:
            t = handle(era, value)
            t._data = None
            era.pending.append(t)
            return t
        if not era.closed:
            return pend(era, value)
        t = from_array(era.array_of(value))
        if self.walk.create and value.requires_grad:
            t._var = outside(meta_of(value.shape, value.dtype, True))
            edge = era.edges.get(value.index) if isinstance(value, Input) else (era, value)
            owner = (
                era.handles[value.index] if isinstance(value, Input) else era.leaves.get(value.id)
            )
            if edge is None or owner is not None:
                return owner
            extra(t).edge = edge
        return t


@functools.lru_cache(maxsize=4096)
def _vjp_op(node: Node, outs: tuple[int, ...], needed: tuple[int, ...]) -> Op:
    """The gradient rule of ``node`` as an op over its upstream gradients and saved values."""
    from backlit.autograd.sweep import Sweep

    def body(gs: list[Tensor], saved: list[Any]) -> list[tuple[int, Tensor]]:
        tracer = local.era
        by_id = dict(zip(needed, saved, strict=True))

        def lift(value: Value) -> Tensor:
            found = by_id[value.id]
            return found if isinstance(found, Tensor) else tracer.constant(found, value.dtype)

        sweep = Sweep(lift, frozenset(), {})
        return sweep.apply(node, dict(zip(outs, gs, strict=True)))

    made = Op("∂" + node.primitive.name, body)
    made.parameters = ("gs", "saved")
    made.numbers = frozenset({"saved"})
    made.positions = (False, True)
    return made


def free(era: Era, visited: frozenset[int]) -> None:
    """Give up the values saved for the nodes ``visited``."""
    if era.closed:
        era.freed |= visited
        return
    here = era.here
    key = ("freed", visited)
    child = here.children.get(key)
    if child is None:
        child = Position(here, key, here.grad)
        child.freed = here.freed | visited
        child.attach()
    era.here = child


def run_hooks(t: Tensor, g: Tensor) -> Tensor:
    """Pass ``g`` through the hooks of ``t``; a hook may return a replacement."""
    hooks = extra(t).hooks
    for hook in list(hooks.values()) if hooks else ():
        changed = hook(g)
        if changed is not None:
            if not isinstance(changed, Tensor):
                raise TypeError(
                    f"a tensor hook must return a Tensor or None, not {type(changed).__name__}."
                )
            if changed.shape != g.shape:
                from backlit.errors import ShapeError

                raise ShapeError(
                    f"a tensor hook returned a gradient of shape {tuple(changed.shape)}; the "
                    f"gradient it received has "
                    f"shape {tuple(g.shape)}."
                )
            g = changed
    return g
