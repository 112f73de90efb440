"""Updates: one recorded event that rewrites many tensors at once (an optimizer's step)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backlit.core.era import Era, local
from backlit.core.inplace import is_leaf
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.trace import Tracer, user_line
from backlit.core.value import Number, Value
from backlit.core.views import mark_stale

Rule = Callable[..., tuple[Any, ...]]


def update(
    name: str,
    rule: Rule,
    static: tuple[Any, ...],
    targets: Sequence[Sequence[Tensor]],
    reads: Sequence[Sequence[Tensor]],
    numbers: Sequence[Number],
) -> None:
    """Rewrite ``targets[k][i]`` for every ``i`` by ``rule(*targets_i, *reads_i, *numbers,
    *static)``.

    The rule receives one tensor of each list and returns the new values of the targets, in order.
    All
    of it is one event: found again by one lookup, computed with everything else that is pending.
    """
    era = local.era
    if type(era) is not Era:
        with era.recording():
            update(name, rule, static, targets, reads, numbers)
        return
    variables: list[Any] = [name, rule, static]
    for tensors in (*targets, *reads):
        for t in tensors:
            if t._era is not era:
                era.enter(t)
            variables.append(t._var)
    key = tuple(variables)
    child = era.here.children.get(key)
    if child is None:
        child = _expand(era, name, rule, static, targets, reads, len(numbers), key)
    era.scalars.extend(map(float, numbers))
    era.here = child
    pending, leaves = era.pending, era.leaves
    for t, (value, leaf) in zip((t for ts in targets for t in ts), child.detail, strict=True):
        if leaf:
            leaves[value.id] = t
        if t._data is not None:
            t._data = None
            pending.append(t)
        t._var = value
        x = t._x or extra(t)
        x.version += 1
        x.edge = None
        if x.views:
            mark_stale(t)


def _expand(
    era: Era,
    name: str,
    rule: Rule,
    static: tuple[Any, ...],
    targets: Sequence[Sequence[Tensor]],
    reads: Sequence[Sequence[Tensor]],
    n_numbers: int,
    key: Any,
) -> Position:
    """Trace the rule for every tensor of the group."""
    here = era.here
    child = Position(here, key, here.grad)
    tracer = Tracer(child, (*local.scopes, name), "update")
    tracer.here.grad = False
    columns: list[list[Value]] = [[] for _ in targets]
    leaves = [is_leaf(t) and t.requires_grad for t in targets[0]]
    local.era = tracer
    try:
        numbers = [tracer.scalar(float) for _ in range(n_numbers)]
        for i in range(len(targets[0])):
            operands = [handle(tracer, ts[i]._var) for ts in (*targets, *reads)]  # type: ignore[arg-type]
            made = rule(*operands, *numbers, *static)
            for column, new in zip(columns, made, strict=True):
                value = new._var
                if column is columns[0] and leaves[i]:
                    value = tracer.leaf(PRIMITIVES["leaf"](new)._var)
                column.append(value)
    finally:
        local.era = era
    child.nodes = tuple(tracer.nodes)
    child.detail = [
        (v, k == 0 and leaves[i]) for k, column in enumerate(columns) for i, v in enumerate(column)
    ]
    where = (name, user_line())
    child.stale = here.stale | {t._var.id: where for ts in targets for t in ts}
    child.attach()
    return child
