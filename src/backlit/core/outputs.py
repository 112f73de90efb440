"""The outputs of an event: how they are made again whenever the event is found."""

from __future__ import annotations

from typing import Any

from backlit.core.era import Era
from backlit.core.tensor import Tensor, handle
from backlit.core.value import Value


class New:
    """An output that is a new tensor; ``moves`` says how it is a view of argument ``of``."""

    __slots__ = ("moves", "of", "value")

    def __init__(self, value: Value, of: int = -1, moves: tuple[Any, ...] = ()) -> None:
        self.value = value
        self.of = of
        self.moves = moves

    def make(self, era: Era, tensors: list[Tensor], n_scalars: int) -> Tensor:
        t = handle(era, self.value)
        if self.of >= 0:
            from backlit.core.views import attach

            attach(t, tensors[self.of], self.moves, era)
        era.pending.append(t)
        return t


class Same:
    """An output that is the very tensor that was passed in."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def make(self, era: Era, tensors: list[Tensor], n_scalars: int) -> Tensor:
        return tensors[self.index]


class Fixed:
    """An output that is not a tensor."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def make(self, era: Era, tensors: list[Tensor], n_scalars: int) -> Any:
        return self.x


class Several:
    """A tuple, list or named tuple of outputs."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: type, parts: list[Any]) -> None:
        self.kind = kind
        self.parts = parts

    def make(self, era: Era, tensors: list[Tensor], n_scalars: int) -> Any:
        made = [p.make(era, tensors, n_scalars) for p in self.parts]
        return self.kind(*made) if hasattr(self.kind, "_fields") else self.kind(made)
