"""The trie of recordings: what happens after what, learnt once and recognised ever after.

A `Position` stands for "everything recorded since the last flush". Its children are keyed by the
next event: (op, operand values, static arguments). Following a child costs one dictionary lookup;
everything that had to be worked out (shapes, dtypes, the primitives that a composite expands to)
is stored in it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from backlit import config
from backlit.core.value import Input, Meta, Node, Value

DEPTH_LIMIT = 3000  # events of one recording before it is flushed
POSITIONS_KEPT = 60_000  # positions in the trie before the least recently used paths are dropped


class Position:
    """A place in the trie.

    Attributes:
        nodes: what the event that leads here added to the program.
        out: the event's output if it is one new tensor; otherwise ``rebuild`` makes the outputs.
        n_values, n_inputs, n_scalars: how much has been numbered so far.
        grad: whether gradients are being recorded here.
        freed: ids of nodes' first outputs whose saved values a backward pass has given up.
        stale: value id → where an in-place op overwrote the tensor that held it.
        programs: live values → program, for recordings flushed here.
    """

    __slots__ = (
        "children", "depth", "detail", "freed", "grad", "key", "n_inputs", "n_scalars", "n_values",
        "nodes", "out", "parent", "programs", "rebuild", "stale",
    )  # fmt: skip

    def __init__(self, parent: Position | None, key: Any, grad: bool) -> None:
        self.parent = parent
        self.key = key
        self.children: dict[Any, Position] = {}
        self.nodes: tuple[Node, ...] = ()
        self.out: Value | None = None
        self.rebuild: Callable[..., Any] | None = None
        self.detail: Any = None  # what the event's own code noted here
        self.grad = grad
        self.programs: dict[Any, Any] | None = None
        if parent is None:
            self.depth = self.n_values = self.n_inputs = self.n_scalars = 0
            self.freed: frozenset[int] = frozenset()
            self.stale: dict[int, Any] = {}
        else:
            self.depth = parent.depth + 1
            self.n_values = parent.n_values
            self.n_inputs = parent.n_inputs
            self.n_scalars = parent.n_scalars
            self.freed = parent.freed
            self.stale = parent.stale

    def attach(self) -> None:
        """Make this position findable from its parent."""
        assert self.parent is not None
        self.parent.children[self.key] = self
        trie.count += 1

    def path(self) -> list[Position]:
        """All positions from the root to here."""
        found: list[Position] = []
        at: Position | None = self
        while at is not None:
            found.append(at)
            at = at.parent
        found.reverse()
        return found

    def all_nodes(self) -> list[Node]:
        """The program recorded so far, in order."""
        return [node for position in self.path() for node in position.nodes]

    def input_child(self, meta: Meta) -> Position:
        """The position after one more input of this kind (made if it is new)."""
        child = Position(self, meta, self.grad)
        child.out = Input(self.n_values, meta, self.n_inputs)
        child.n_values += 1
        child.n_inputs += 1
        child.attach()
        return child

    def grad_child(self, grad: bool) -> Position:
        """The position after gradient recording was switched on or off."""
        child = self.children.get(grad)
        if child is None:
            child = Position(self, grad, grad)
            child.attach()
        return child


class Trie:
    """The roots, and the bookkeeping that keeps the whole bounded."""

    def __init__(self) -> None:
        self.count = 0
        self.latest: Position | None = None  # the end noted last: noting it again changes nothing
        self._lock = threading.Lock()
        self._ends: OrderedDict[Position, None] = OrderedDict()
        self.roots = {True: Position(None, None, True), False: Position(None, None, False)}

    def used(self, end: Position) -> None:
        """Note that a recording was flushed at ``end``; drop the paths unused for longest."""
        ends = self._ends
        with self._lock:
            self.latest = end
            ends[end] = None
            ends.move_to_end(end)
            if self.count <= POSITIONS_KEPT:
                return
            while self.count > POSITIONS_KEPT * 3 // 4 and len(ends) > 1:
                self._drop(ends.popitem(last=False)[0])

    def _drop(self, end: Position) -> None:
        end.programs = None
        at = end
        while at.parent is not None and not at.children and at.programs is None:
            parent = at.parent
            if parent.children.get(at.key) is at:
                del parent.children[at.key]
            self.count -= 1
            at = parent

    def clear(self) -> None:
        """Forget every recording (after a change that the keys do not carry)."""
        with self._lock:
            self.count = 0
            self.latest = None
            self._ends.clear()
            self.roots = {True: Position(None, None, True), False: Position(None, None, False)}


trie = Trie()
config.listeners.append(
    trie.clear
)  # what was recorded under another setting must not be found again
