"""The innermost functions of recording: what every op, and every step of an optimizer, asks of
tensors.

Attributes of a dozen tensors, one by one in Python, take longer than all the kernels of a small
step. Machine code does the same in a call each (`native/inner.py`), once it is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from backlit.core.holders import UNHELD
from backlit.core.tensor import Tensor, handle
from backlit.core.value import Value

if TYPE_CHECKING:
    from backlit.core.era import Era


def pend(era: Era, pending: list[Tensor], value: Value) -> Tensor:
    """A new tensor for ``value`` of ``era``, also in ``pending``."""
    t = handle(era, value)
    pending.append(t)
    return t


def values_in(era: Era, tensors: list[Tensor]) -> list[Value]:
    """The values of those of ``tensors`` that are in the recording ``era``."""
    return [t._var for t in tensors if t._era is era]


def take_held(pending: list[Tensor], era: Era, tensors: list[Tensor], values: list[Value]) -> None:
    """Empty ``pending``; add those of its tensors that others hold, if they are still in the
    recording ``era``, to ``tensors``, and their values to ``values``."""
    count, pop = sys.getrefcount, pending.pop
    while pending:  # backwards, so that views release their bases first
        t = pop()
        if count(t) > UNHELD and t._era is era:
            tensors.append(t)
            values.append(t._var)


def bind(
    tensors: list[Tensor], arrays: Sequence[Any], start: int, era: Era, values: list[Value]
) -> None:
    """Have ``tensors`` hold ``arrays``, from number ``start`` on, as ``values`` of ``era``."""
    for i, t in enumerate(tensors):
        t._data = arrays[start + i]
        t._era = era
        t._var = values[i]


def rewrite_plain(tensors: list[Tensor]) -> int:
    """Have ``tensors`` hold nothing and be one version on, up to the first that is not plain: one
    with history, views, NumPy arrays outside, or without an `Extra`. Returns how many that were."""
    return 0


class Inner:
    """The fastest form of each function."""

    __slots__ = ("bind", "pend", "rewrite_plain", "take_held", "values_in")

    def __init__(self) -> None:
        self.bind: Callable[..., None] = bind
        self.pend: Callable[[Any, list[Tensor], Value], Tensor] = pend
        self.rewrite_plain: Callable[[list[Tensor]], int] = rewrite_plain
        self.take_held: Callable[..., None] = take_held
        self.values_in: Callable[[Any, list[Tensor]], list[Value]] = values_in


inner = Inner()
