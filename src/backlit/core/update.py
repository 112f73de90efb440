"""Updates: one recorded event that rewrites many tensors at once (an optimizer's step)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backlit.core.era import Era, local
from backlit.core.inner import inner
from backlit.core.inplace import is_leaf
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES
from backlit.core.rewriting import Rewriting
from backlit.core.tensor import Tensor, handle
from backlit.core.trace import Tracer, module_scopes, user_line
from backlit.core.value import Number, Value
from backlit.errors import GradientError

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
    found again by one lookup, computed with everything else that is pending. The tensors get their
    new values when the recording is flushed, which the caller is to do next.

    Raises:
        GradientError: if one of them is a sparse gradient.
    """
    era = local.era
    if type(era) is not Era:
        with era.recording():
            update(name, rule, static, count, tensors, numbers)
        return
    operands = inner.values_in(era, tensors)
    if len(operands) < len(tensors):
        if not all(isinstance(t, Tensor) for t in tensors):
            raise GradientError(
                f"{name} does not support sparse gradients, please consider "
                "SparseAdam instead, or set p.grad = p.grad.to_dense()."
            )
        era.enter_all(tensors)
        operands = [t._var for t in tensors]
    key = (name, rule, static, *operands)
    child = era.here.children.get(key)
    if child is None:
        child = _expand(era, name, rule, static, count, tensors, len(numbers), key)
    era.scalars += map(float, numbers)
    era.here = child
    values = child.detail
    targets, before = tensors[: len(values)], era.rewriting
    if before is not None:
        targets, values = before.targets + targets, before.values + values
    era.rewriting = Rewriting(targets, values)


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
    child.detail = [v for column in zip(*rows, strict=True) for v in column]
    where = (name, user_line())
    child.stale = here.stale | {t._var.id: where for t in tensors[: len(child.detail)]}
    child.attach()
    return child
