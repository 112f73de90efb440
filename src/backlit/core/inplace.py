"""In-place ops: a tensor is bound to a new value, and everything that shares its memory follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.dtypes import can_cast
from backlit.core.era import Era, Nowhere, adopt, local, realize
from backlit.core.op import op
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES
from backlit.core.tensor import Tensor, extra
from backlit.core.trace import user_line
from backlit.core.value import Number, Result, Value
from backlit.core.views import mark_stale
from backlit.errors import DtypeError, GradientError, ShapeError


@op
def leaf_(input: Tensor) -> Tensor:
    """The value of ``input`` as that of a leaf: gradients stop, and are collected, here."""
    tracer: Any = local.era
    out: Tensor = tracer.emit(PRIMITIVES["leaf"], (input,), {})
    tracer.leaf(out._var)
    return out


@op
def with_history(new: Tensor, old: Tensor) -> Tensor:
    """The value of ``new`` with the history of ``old`` (an in-place change under `no_grad`)."""
    out: Tensor = PRIMITIVES["with_history"](new, old)
    return out


@op
def overwrite_(new: Tensor, old: Tensor) -> Tensor:
    """The value of ``new``, which has no history, in place of ``old``: that one's gradient is
    zero."""
    out: Tensor = PRIMITIVES["overwrite"](new, old)
    return out


def before(t: Tensor, others: tuple[Any, ...]) -> Tensor:
    """``t`` as it is before an in-place op changes it, for that op's own gradient to read.

    What earlier ops saved of ``t`` counts as overwritten; what the in-place op itself reads does
    not.
    """
    tensors = (t, *(x for x in others if isinstance(x, Tensor)))
    if local.era.here.grad and any(x.requires_grad for x in tensors):
        return with_history(t, t)
    return t


def is_leaf(t: Tensor) -> bool:
    """Whether ``t`` was made by the user rather than computed from tensors that need gradients."""
    var = t._var
    if not var.requires_grad:
        return True
    x = t._x
    if x is not None and x.edge is not None:
        return False
    if x is not None and x.view is not None:
        view = x.view
        if view.grad and view.base.requires_grad and not view.detached():
            return False
    return not (t._data is None and isinstance(var, Result) and var.node.primitive.name != "leaf")


def rebind(t: Tensor, new: Tensor, name: str, *, event: bool = True) -> Tensor:
    """Make ``t``, its base and its views hold ``new``; ``event=False`` where the op's own event
    noted it."""
    x = extra(t)
    view = x.view
    era = local.era
    if not isinstance(era, Era):
        raise GradientError(f"{name}: in-place ops are not allowed inside an op's body.")
    grad = era.here.grad
    leaf = t.requires_grad and is_leaf(t)
    if leaf and grad:
        raise GradientError(
            f"{name}: a leaf Variable that requires grad is being used in an in-place operation; "
            "wrap the change in `with backlit.no_grad():`."
        )
    if view is not None:
        detached = view.detached()
        if grad and not detached and is_leaf(view.base) and view.base.requires_grad:
            raise GradientError(
                f"{name}: a view of a leaf Variable that requires grad is being used in an "
                f"in-place operation; "
                "wrap the change in `with backlit.no_grad():`."
            )
        _write_through(t, new, name, grad and not detached)
        if detached and grad and new.requires_grad:  # the history is the view's own, not its base's
            x.edge = new._x.edge if new._x is not None and new._data is not None else None
            adopt(t, new)
            mark_stale(t)
        return t
    if t.requires_grad:
        if leaf:
            new = leaf_(new)
            era = local.era
            if new._data is None:
                era.leaves[new._var.id] = t
        elif not grad:
            era.set_grad(True)
            new = with_history(new, t)
            local.era.set_grad(False)
            era = local.era
        elif not new.requires_grad:
            new = overwrite_(new, t)
            era = local.era
    if event:
        _note_overwrite(era, t, name)
    old = t._data
    x.edge = new._x.edge if new._x is not None and new._data is not None else None
    adopt(t, new)
    x.version += 1
    if x.views:
        mark_stale(t)
    if x.exported and old is not None and old.shape == t._var.shape:
        np.copyto(old, realize(t))
        t._data = old
    return t


def _write_through(t: Tensor, new: Tensor, name: str, grad: bool) -> None:
    """Rewrite the base of the view ``t`` so that the viewed part holds ``new``."""
    view = extra(t).view
    assert view is not None
    stages = [view.base]
    for card, args, attrs in view.moves[:-1]:
        stages.append(card(stages[-1], *args, **attrs))
    value = new
    was = local.era.here.grad
    local.era.set_grad(grad)
    try:
        for (card, args, attrs), stage in zip(reversed(view.moves), reversed(stages), strict=True):
            value = write_move(name, card, stage, value, args, attrs)
        if value.requires_grad and not grad:  # what a detached view passes on is values only
            value = PRIMITIVES["detach"](value)
        rebind(view.base, value, name)
    finally:
        local.era.set_grad(was)


@op
def _write(
    base: Tensor, new: Tensor, card_name: str, args: tuple[Number, ...], attrs: Any
) -> Tensor:
    write = PRIMITIVES[card_name].write
    assert write is not None
    found: Tensor = write(base, new, *args, **dict(attrs))
    return found


def write_move(
    name: str, card: Any, base: Tensor, new: Tensor, args: tuple[Any, ...], attrs: dict[str, Any]
) -> Tensor:
    """``base`` with the part that ``card`` moves out of it replaced by ``new``."""
    if card.name == "expand" and base._var.shape != new._var.shape:
        raise GradientError(
            f"{name}: unsupported operation: more than one element of the written-to tensor refers "
            f"to a single "
            "memory location. Please clone() the tensor before performing the operation."
        )
    return _write(base, new, card.name, args, tuple(attrs.items()))


def _note_overwrite(era: Era, t: Tensor, name: str) -> None:
    """Remember that the old value of ``t`` is gone, for backward passes that saved it."""
    x = t._x
    if x is not None and x.edge is not None:
        old_era, value = x.edge
        if old_era.closed:
            old_era.stale[value.id] = (name, user_line())
    if t._era is era and not isinstance(era.here.children, Nowhere):
        overwrite(era, (t._var,), name)


def overwrite(era: Era, values: tuple[Value, ...], name: str) -> None:
    """Record the event that the tensors holding ``values`` are overwritten."""
    here = era.here
    key = ("overwritten", *values)
    child = here.children.get(key)
    if child is None:
        child = Position(here, key, here.grad)
        child.stale = here.stale | {v.id: (name, user_line()) for v in values}
        child.attach()
    era.here = child


def check_inplace(name: str, t: Tensor, result: Tensor) -> Tensor:
    """``result`` in the dtype of ``t``, or the error that says why it cannot be stored there."""
    if result._var.shape != t._var.shape:
        raise ShapeError(
            f"{name}: output with shape {list(t.shape)} doesn't match the broadcast shape "
            f"{list(result.shape)}; "
            "an in-place op cannot grow its tensor."
        )
    if result._var.dtype is not t._var.dtype:
        if not can_cast(result.dtype, t.dtype):
            raise DtypeError(
                f"{name}: result type {result.dtype.name} can't be cast to the desired output type "
                f"{t.dtype.name}; use the out-of-place op, or convert the tensor first."
            )
        return to_dtype(result, t.dtype)
    return result


@op(name="to")
def to_dtype(input: Tensor, dtype: Any) -> Tensor:
    """``input`` with elements of ``dtype``."""
    from backlit.core.tensor import handle
    from backlit.core.trace import convert

    tracer: Any = local.era
    value = convert(tracer, input._var, dtype)
    return input if value is input._var else handle(tracer, value)


def write_out(name: str, out: Any, result: Any) -> Any:
    """PyTorch's ``out=``: bind the given tensor(s) to the result(s)."""
    if isinstance(out, (tuple, list)):
        kind = type(result)
        made = [write_out(name, o, r) for o, r in zip(out, result, strict=True)]
        return kind(*made) if hasattr(kind, "_fields") else kind(made)
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}.")
    if not can_cast(result.dtype, out.dtype):
        raise DtypeError(
            f"{name}: result type {result.dtype.name} can't be cast to the desired output type "
            f"{out.dtype.name}; give an `out` tensor of dtype {result.dtype.name}."
        )
    if result.dtype is not out.dtype:
        result = to_dtype(result, out.dtype)
    if local.era.here.grad and (result.requires_grad or out.requires_grad):
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad; assign the result instead."
        )
    return rebind(out, result, name)
