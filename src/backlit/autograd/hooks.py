"""Hooks on tensors, and gradients kept for tensors that are not leaves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Self

from backlit.core.inplace import is_leaf
from backlit.core.observer import changes
from backlit.core.registry import METHODS
from backlit.core.tensor import Tensor, extra
from backlit.errors import GradientError

_keys = itertools.count()


class RemovableHandle:
    """Removes a hook again: ``handle.remove()``, or at the end of a ``with`` block."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self.hooks = hooks
        self.id = key
        changes.count += 1

    def remove(self) -> None:
        """Take the hook off; doing so twice is harmless."""
        self.hooks.pop(self.id, None)
        changes.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _watch(t: Tensor) -> None:
    """Have the backward walk stop by at the value of ``t``."""
    from backlit.autograd.engine import locate

    where = locate(t)
    if not isinstance(where, Tensor):
        era, value = where
        if era.hooks is None:
            era.hooks = {}
        era.hooks[value.id] = t


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call ``hook(grad)`` when the gradient of this tensor is known; it may return a replacement.

    Raises:
        GradientError: if the tensor does not require grad.
    """
    if not self.requires_grad:
        raise GradientError(
            "cannot register a hook on a tensor that doesn't require gradient; set requires_grad "
            "first."
        )
    x = extra(self)
    if x.hooks is None:
        x.hooks = {}
    key = next(_keys)
    x.hooks[key] = hook
    _watch(self)
    return RemovableHandle(x.hooks, key)


def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call ``hook(tensor)`` after a gradient was added to this leaf's ``.grad``."""
    if not (is_leaf(self) and self.requires_grad):
        raise GradientError(
            "post accumulate grad hooks cannot be registered on non-leaf tensors; use "
            "register_hook."
        )
    x = extra(self)
    if x.post_hooks is None:
        x.post_hooks = {}
    key = next(_keys)
    x.post_hooks[key] = hook
    return RemovableHandle(x.post_hooks, key)


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this tensor in ``.grad``, though it is not a leaf."""
    if not self.requires_grad:
        raise GradientError(
            "can't retain_grad on Tensor that has requires_grad=False; set requires_grad first."
        )
    if not is_leaf(self):
        extra(self).retains = True
        _watch(self)


METHODS.update(
    {
        "register_hook": register_hook,
        "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
        "retain_grad": retain_grad,
        "retains_grad": property(lambda self: self._x is not None and self._x.retains),
    }
)
