"""Updates: one recorded event that rewrites many tensors at once (an optimizer's step)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backlit.core.era import Era, local
from backlit.core.inplace import is_leaf
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.trace import Tracer, module_scopes, user_line
from backlit.core.value import Number, Value
from backlit.core.views import mark_stale

Rule = Callable[..., tuple[Any, ...]]


def update(
    name: str,
    rule: Rule,
    static: tuple[Any, ...],
    count: int,
    tensors: list[Tensor],
    numbers: Sequence[Number],
) -> None:
    """Rewrite tensors by ``rule(*operands, *numbers, *static)``, for ``count`` sets of operands.

    ``tensors`` holds the operands by column: first operands, second operands and so on, ``count``
    of each. The rule returns the new values of the first columns, in order. All of it is one event:
    found again by one lookup, computed with everything else that is pending.
    """
    era = local.era
    if type(era) is not Era:
        with era.recording():
            update(name, rule, static, count, tensors, numbers)
        return
    era.enter_all(tensors)
    key = (name, rule, static, *[t._var for t in tensors])
    child = era.here.children.get(key)
    if child is None:
        child = _expand(era, name, rule, static, count, tensors, len(numbers), key)
    era.scalars.extend(map(float, numbers))
    era.here = child
    pending, leaves = era.pending, era.leaves
    for t, (value, leaf) in zip(tensors, child.detail, strict=False):  # the targets come first
        if leaf:
            leaves[value.id] = t
        if t._data is not None:
            t._data = None
            pending.append(t)
        t._var = value
        x = t._x
        if x is None:
            x = extra(t)
        x.version += 1
        x.edge = None
        if x.views:
            mark_stale(t)


def _expand(
    era: Era,
    name: str,
    rule: Rule,
    static: tuple[Any, ...],
    count: int,
    tensors: list[Tensor],
    n_numbers: int,
    key: Any,
) -> Position:
    """Trace the rule for every tensor of the group."""
    here = era.here
    child = Position(here, key, here.grad)
    tracer = Tracer(child, (*module_scopes(), name), "update")
    tracer.here.grad = False
    rows: list[list[Value]] = []
    leaves = [is_leaf(t) and t.requires_grad for t in tensors[:count]]
    local.era = tracer
    try:
        numbers = [tracer.scalar(float) for _ in range(n_numbers)]
        for i in range(count):
            operands = [handle(tracer, t._var) for t in tensors[i::count]]  # type: ignore[arg-type]
            made = list(rule(*operands, *numbers, *static))
            if leaves[i]:
                made[0] = PRIMITIVES["leaf"](made[0])
                tracer.leaf(made[0]._var)
            rows.append([new._var for new in made])
    finally:
        local.era = era
    child.nodes = tuple(tracer.nodes)
    child.detail = [
        (v, k == 0 and leaves[i])
        for k, column in enumerate(zip(*rows, strict=True))
        for i, v in enumerate(column)
    ]
    where = (name, user_line())
    child.stale = here.stale | {t._var.id: where for t in tensors[: len(child.detail)]}
    child.attach()
    return child
