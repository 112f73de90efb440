"""Tensors that get new values at the end of a recording: what an optimizer's step rewrites.

They hold nothing while the program runs, so that it may write into their arrays. Afterwards they
enter the recording that follows at once: the next step is going to read them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backlit.core.inner import inner
from backlit.core.position import Position
from backlit.core.tensor import Tensor, extra
from backlit.core.value import Value
from backlit.core.views import mark_stale

if TYPE_CHECKING:
    from backlit.core.era import Era


class Rewriting:
    """The tensors, and their new values in the recording that ends.

    Attributes:
        enters: whether they may enter the recording that follows: no NumPy array outside shares
            their memory.
    """

    __slots__ = ("enters", "targets", "values")

    def __init__(self, targets: list[Tensor], values: list[Value]) -> None:
        self.targets = targets
        self.values = values
        self.enters = True

    def let_go(self) -> None:
        """Have the targets hold nothing."""
        done = inner.rewrite_plain(self.targets)
        for t in self.targets[done:]:
            t._data = t._era = None
            x = t._x
            if x is None:
                x = extra(t)
            x.version += 1
            x.edge = None
            if x.exported:
                self.enters = False
            if x.views:
                mark_stale(t)

    def give_back(self, era: Era) -> None:
        """After a failure: the new values are pending in ``era``, for who asks for them."""
        for t, value in zip(self.targets, self.values, strict=True):
            t._era, t._var = era, value

    def deliver(self, era: Era, program: Any, outputs: Any, following: Era | None) -> None:
        """Hand out the first of the outputs."""
        values = self.values
        if following is not None and self.enters:
            entry = program.entry
            if entry is None or entry.root is not following.here:
                entry = program.entry = Entry(following.here, values)
            following.inputs += outputs[: len(values)]
            following.handles += self.targets
            following.here = entry.here
            era, values = following, entry.values
        inner.bind(self.targets, outputs, 0, era, values)


class Entry:
    """The values as which rewritten tensors enter the recording that follows."""

    __slots__ = ("here", "root", "values")

    def __init__(self, root: Position, rewritten: list[Value]) -> None:
        self.root = self.here = root
        self.values: list[Value] = []
        for value in rewritten:
            child = self.here.children.get(value.meta)
            self.here = child if child is not None else self.here.input_child(value.meta)
            self.values.append(self.here.out)  # type: ignore[arg-type]
