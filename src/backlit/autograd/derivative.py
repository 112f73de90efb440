"""Gradients as values: what `autograd.functional`, `backlit.func` and batched gradients are made
of.

Inside `vmap` there is no recording to walk through, only the nodes traced on one example; there the
reverse sweep goes over those nodes and adds its own to them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from backlit.autograd import batching
from backlit.autograd.batching import Lane
from backlit.autograd.sweep import Sweep
from backlit.autograd.vmap import ExampleTracer, belongs
from backlit.core.create import full_constant
from backlit.core.dtypes import dtype
from backlit.core.era import EagerEra, Era, local, pend
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES
from backlit.core.tensor import Tensor, extra
from backlit.core.value import Input, Node, Scalar, Value
from backlit.errors import GradientError

Gradients = list[Tensor | None]


def gradient(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], upstream: Sequence[Tensor], create: bool
) -> Gradients:
    """The gradient of ``outputs`` · ``upstream`` by each input; None where there is none."""
    pairs = [(y, g) for y, g in zip(outputs, upstream, strict=True) if y.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    if isinstance(local.era, ExampleTracer):
        if not any(belongs(y, local.era) for y, _ in pairs):
            return _from_outside(local.era, pairs, inputs, create)
        return _sweep(local.era, pairs, inputs, create)
    from backlit.autograd.gradients import grad

    found = grad(
        [y for y, _ in pairs],
        list(inputs),
        [g for _, g in pairs],
        retain_graph=True,
        create_graph=create,
        allow_unused=True,
    )
    return list(found)


def _sweep(
    tracer: ExampleTracer,
    pairs: list[tuple[Tensor, Tensor]],
    inputs: Sequence[Tensor],
    create: bool,
) -> Gradients:
    """The reverse sweep over the nodes traced so far."""
    for t in (*inputs, *(t for pair in pairs for t in pair)):
        if not belongs(t, tracer):
            tracer.enter(t)
    asked = {x._var.id for x in inputs}
    reach = set(asked)
    for node in tracer.nodes:
        if any(a.id in reach and a.requires_grad for a in node.args):
            reach.update(o.id for o in node.outs)
    roots: dict[int, tuple[Value, Tensor]] = {}
    for y, g in pairs:
        before = roots.get(y._var.id)
        roots[y._var.id] = (y._var, g if before is None else before[1] + g)
    scope, place, phase, grad = tracer.scope, tracer._place, tracer.phase, tracer.here.grad
    tracer.phase, tracer.here.grad = "backward", create
    try:
        _, hit = Sweep(None, frozenset(), {}).run(roots, asked, reach)
    finally:
        tracer.scope, tracer._place, tracer.phase, tracer.here.grad = scope, place, phase, grad
    found = {value.id: g for value, g in hit}
    return [found.get(x._var.id) for x in inputs]


def _from_outside(
    tracer: ExampleTracer,
    pairs: list[tuple[Tensor, Tensor]],
    inputs: Sequence[Tensor],
    create: bool,
) -> Gradients:
    """The gradient of outputs that were computed before `vmap` began, as with ``vmap(vjp(f,
    x)[1])``.

    The backward pass is recorded where the outputs are, for stand-ins of the upstream gradients,
    and replayed on one example's upstream gradients.
    """
    ys, gs = [y for y, _ in pairs], [g for _, g in pairs]
    with _instead_of(tracer):
        kinds = [(tuple(g.shape), g.dtype) for g in gs]
        found, nodes, ids, outer = _recorded(ys, inputs, kinds, create, gradient)
        if nodes is None:
            raise GradientError(
                "vmap: the backward pass runs hooks or functions of the user's, which see one "
                "example only; "
                "call it in a loop over the examples instead."
            )
    known = {i: Lane(g, batched=False) for i, g in zip(ids, gs, strict=True)}
    batching.replay(nodes, known, 1, lambda value: _outer(outer, value))
    return [
        None if t is None else known.get(t._var.id, Lane(t, batched=False)).tensor for t in found
    ]


@contextlib.contextmanager
def _instead_of(tracer: ExampleTracer) -> Iterator[None]:
    """Work in the recording around ``tracer``."""
    local.era = tracer.outer
    try:
        yield
    finally:
        tracer.outer = local.era  # a flush has begun another recording
        local.era = tracer


def _recorded(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    kinds: Sequence[tuple[tuple[int, ...], dtype]],
    create: bool,
    differentiate: Callable[..., Any],
) -> tuple[Gradients, list[Node] | None, list[int], Any]:
    """Record a backward pass for stand-ins of upstream gradients of these shapes and dtypes.

    Returns:
        The gradients, the nodes recorded (None if a flush came between), the stand-ins' value ids,
        and the recording.
    """
    era = local.era
    stand_ins = [full_constant(shape, 0, d) for shape, d in kinds]
    for g in stand_ins:
        era.enter(g)
    ids = [g._var.id for g in stand_ins]
    start: Any = len(era.nodes) if isinstance(era, ExampleTracer) else era.here
    found = differentiate(outputs, inputs, stand_ins, create)
    return found, _nodes_since(era, start), ids, era


def batched_gradient(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    upstream: Sequence[Tensor],
    create: bool,
    differentiate: Callable[..., Any] = gradient,
) -> Gradients:
    """`gradient` for many upstream gradients at once: those carry an extra first dimension.

    The backward pass is recorded once, for an upstream gradient that stands for one of the many,
    and replayed on all of them; the recording of the one is never computed.
    """
    era = local.era
    if type(era) is EagerEra:
        with era.recording():
            return batched_gradient(outputs, inputs, upstream, create, differentiate)
    size = int(upstream[0].shape[0])
    kinds = [(tuple(g.shape[1:]), g.dtype) for g in upstream]
    found, nodes, ids, _ = _recorded(outputs, inputs, kinds, create, differentiate)
    if nodes is None:
        return _one_at_a_time(outputs, inputs, upstream, create, differentiate)
    known = {i: Lane(g, batched=True) for i, g in zip(ids, upstream, strict=True)}
    mode = era.here.grad
    era.set_grad(create)
    try:
        batching.replay(nodes, known, size, lambda value: _outer(era, value))
    finally:
        local.era.set_grad(mode)
    return [None if t is None else _all_examples(t, known, size) for t in found]


def _all_examples(t: Tensor, known: dict[int, Lane], size: int) -> Tensor:
    lane = known.get(t._var.id, Lane(t, batched=False))
    found: Tensor = batching.filled(lane, size)
    return found


def _nodes_since(era: Any, start: Any) -> list[Node] | None:
    """What ``era`` recorded after ``start``; None if it was flushed in between."""
    if local.era is not era:
        return None
    if isinstance(era, ExampleTracer):
        return list(era.nodes[start:])
    found: list[Node] = []
    at: Position | None = era.here
    while at is not None and at is not start:
        found[:0] = at.nodes
        at = at.parent
    return found


def _outer(era: Any, value: Value) -> Any:
    """What stands for a value that the backward pass read from before."""
    if isinstance(value, Scalar):
        return era.scalars[value.index]
    if isinstance(era, Era) and isinstance(value, Input):
        owner = era.handles[value.index]
        if owner is not None and owner._era is era and owner._var is value:
            return owner
        t = pend(era, value)
        if value.index in era.edges:
            extra(t).edge = era.edges[value.index]
        return t
    if isinstance(era, ExampleTracer):
        from backlit.core.tensor import handle

        return handle(era, value)  # type: ignore[arg-type]
    return pend(era, value)


def _one_at_a_time(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    upstream: Sequence[Tensor],
    create: bool,
    differentiate: Callable[..., Any],
) -> Gradients:
    rows = [
        differentiate(outputs, inputs, [batching.example(g, i) for g in upstream], create)
        for i in range(int(upstream[0].shape[0]))
    ]
    return [
        None if column[0] is None else batching.stack(list(column))
        for column in zip(*rows, strict=True)
    ]


def alias(x: Tensor, *, connected: bool = True) -> Tensor:
    """A tensor with the values of ``x`` whose own gradient can be asked for.

    It keeps the history of ``x`` if ``x`` has one and ``connected`` says so; otherwise it is a
    leaf.
    """
    if connected and x.requires_grad:
        found: Tensor = PRIMITIVES["reshape"](x, shape=tuple(x.shape))
        return found
    return x.detach().requires_grad_()


def zeros_like(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of ``x``."""
    return full_constant(tuple(x.shape), 0, x.dtype)


def push_forward(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], tangents: Sequence[Tensor], create: bool
) -> Gradients:
    """The directional derivatives of ``outputs``: a vector–Jacobian product, transposed.

    v ↦ Jᵀv is linear in v, so its own gradient applied to the tangents is J·tangents. The inner
    product is never computed, only its gradient's.
    """
    dummies = [zeros_like(y).requires_grad_() for y in outputs]
    pulled = gradient(outputs, inputs, dummies, True)
    used = [
        (p, t) for p, t in zip(pulled, tangents, strict=True) if p is not None and p.requires_grad
    ]
    return gradient([p for p, _ in used], dummies, [t for _, t in used], create)
