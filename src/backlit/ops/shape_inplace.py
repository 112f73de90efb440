"""In-place ops that change how a tensor shows its memory: ``t_``, ``transpose_``, ``squeeze_`` …"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from backlit.core.era import adopt, local
from backlit.core.inplace import is_leaf
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.tensor import Tensor, extra, handle
from backlit.core.views import Move
from backlit.errors import GradientError
from backlit.ops.movement import inverse, permute_card, reshape_card


def _undone(move: Move, shape: tuple[int, ...]) -> Move:
    """The move that leads back from ``move``, which started at ``shape``."""
    card, _, attrs = move
    if card is permute_card:
        return permute_card, (), {"dims": inverse(attrs["dims"])}
    return reshape_card, (), {"shape": shape}


def show_as(t: Tensor, made: Tensor, name: str) -> Tensor:
    """Make ``t`` the view ``made`` of itself; views of ``t`` keep showing the same memory."""
    if made is t:
        return t
    if t.requires_grad and is_leaf(t) and local.era.here.grad:
        raise GradientError(
            f"{name}: a leaf Variable that requires grad is being used in an in-place operation; "
            "wrap the change in `with backlit.no_grad():`."
        )
    x, found = extra(t), extra(made)
    assert found.view is not None
    if x.view is not None:
        x.view.moves = found.view.moves
    else:
        back: list[Move] = []
        shape = tuple(t.shape)
        for move in found.view.moves:
            back.append(_undone(move, shape))
            shape = tuple(move[2].get("shape", tuple(shape[d] for d in move[2].get("dims", ()))))
        back.reverse()
        for reference in x.views or ():
            other = reference()
            if other is not None and other is not made:
                other_view = extra(other).view
                assert other_view is not None
                other_view.moves = (*back, *other_view.moves)
    x.edge = found.edge
    x.version += 1
    adopt(t, made)
    return t


def _inplace(name: str) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return show_as(self, PUBLIC[name](self, *args, **kwargs), name + "_")

    method.__name__ = name + "_"
    method.__doc__ = f"In-place version of ``{name}``."
    return method


METHODS.update(
    {
        name + "_": _inplace(name)
        for name in ("t", "transpose", "swapaxes", "swapdims", "squeeze", "unsqueeze")
    }
)


def as_strided_(self: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Show the memory with other sizes and strides, in place."""
    if extra(self).view is None:
        _give_memory_away(self)
    return show_as(self, PUBLIC["as_strided"](self, size, stride, storage_offset), "as_strided_")


def _give_memory_away(t: Tensor) -> None:
    """Make ``t`` a view of all of a new base, which takes over its memory and its other views."""
    if t.requires_grad and is_leaf(t):
        raise GradientError(
            "as_strided_: a leaf Variable that requires grad is being used in an in-place "
            "operation; make a view of it with as_strided instead."
        )
    base = handle(t._era, t._var)
    base._data, base._x = t._data, t._x
    if t._era is not None:
        t._era.pending.append(base)
    t._x = None
    for reference in extra(base).views or ():
        other = reference()
        if other is not None:
            extra(other).view.base = base  # type: ignore[union-attr]
    made = PUBLIC["view"](base, tuple(t.shape))
    extra(t).view = extra(made).view
    extra(t).edge = extra(made).edge
    extra(base).views.append(weakref.ref(t))  # type: ignore[union-attr]
    adopt(t, made)


METHODS["as_strided_"] = as_strided_
