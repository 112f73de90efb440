"""Eras: one recording in progress, from the last flush to the next.

`Era` holds what varies from run to run along a path of the trie: the tensors that entered, the
Python numbers, and the handles of pending results. What is the same every time lives in the
`Position`s.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

from backlit.core.holders import shared
from backlit.core.inner import inner
from backlit.core.position import Position, trie
from backlit.core.tensor import Array, Extra, Tensor
from backlit.core.value import Input, Number, Result, Value
from backlit.errors import BacklitError

_sequence = itertools.count(1)


class Local(threading.local):
    """Per thread: the recording in progress, and what surrounds the ops being recorded."""

    def __init__(self) -> None:
        self.phase = "forward"
        self.observer: Any = None  # of the captured function being called
        self.inference = 0  # `inference_mode` blocks around
        self.era: Any = Era(True)


class Interrupted(BaseException):
    """Ctrl-C that came when a program had written its results; `Era.flush` raises the cause."""

    def __init__(self, outputs: Any, cause: BaseException) -> None:
        super().__init__("interrupted after the results were written")
        self.outputs = outputs
        self.cause = cause


class Era:
    """One recording.

    Attributes:
        here: the current position in the trie.
        pending: handles of results not yet computed, in order.
        inputs, handles: the arrays that entered, and the tensors they came with.
        edges: input index → (era, value), the history of inputs that are not leaves.
        scalars: the Python numbers that entered.
        leaves: value id → tensor, for leaves that were (re)computed inside this recording.
        saved: value id → array, kept for a backward pass after the flush.
        stale: value id → where a later in-place op overwrote the tensor that held it.
        versions: value id → (tensor, its version when the recording was flushed), for inputs and
            leaves that a backward pass reads.
        freed: ids of nodes whose saved values a backward pass has given up, after the flush.
        hooks: value id → tensor whose hooks or retained gradient want that value's gradient.
        contexts: node output id → the ``ctx`` of a user-defined function.
        rewriting: the tensors that get new values when this recording is flushed.
    """

    __slots__ = (
        "__weakref__", "closed", "contexts", "edges", "freed", "handles", "here", "hooks", "inputs",
        "leaves", "pending", "rewriting", "running", "saved", "scalars", "sequence", "stale",
        "versions",
    )  # fmt: skip

    def __init__(self, grad: bool) -> None:
        self.here = trie.roots[grad]
        self.pending: list[Tensor] = []
        self.inputs: list[Array] = []
        self.handles: list[Tensor] = []
        self.scalars: list[Number] = []
        self.rewriting: Any = None
        self.edges: dict[int, tuple[Era, Value]] = {}
        self.leaves: dict[int, Tensor] = {}
        self.saved: dict[int, Array] | None = None  # None: a backward pass reads nothing
        self.freed: frozenset[int] = frozenset()
        self.hooks: dict[int, Tensor] | None = None
        self.contexts: dict[int, Any] | None = None
        self.stale: dict[int, Any] = {}
        self.versions: dict[int, tuple[Tensor, int]] = {}
        self.closed = False
        self.running = False  # whether a thread is computing this recording at this moment
        self.sequence = next(_sequence)

    def enter(self, t: Tensor) -> None:
        """Make ``t``, which came from outside, a value of this recording."""
        if t._data is None:
            settle(t)
            if t._era is self:
                return
        must_copy = False
        x = t._x
        if x is not None:
            must_copy = x.exported and shared(t)
            if x.edge is not None:
                self.edges[len(self.inputs)] = x.edge
        here = self.here
        child = here.children.get(t._var.meta)
        if child is None:
            child = here.input_child(t._var.meta)
        self.here = child
        data: Any = t._data
        self.inputs.append(data.copy() if must_copy else data)
        self.handles.append(t)
        t._era = self
        t._var = child.out  # type: ignore[assignment]

    def enter_all(self, tensors: list[Tensor]) -> None:
        """Make all of ``tensors`` values of this recording: `enter`, in one loop."""
        here, inputs, handles = self.here, self.inputs, self.handles
        for t in tensors:
            if t._era is self:
                continue
            data, x = t._data, t._x
            if data is None or (x is not None and (x.exported or x.edge is not None)):
                self.here = here
                self.enter(t)
                here = self.here
                continue
            meta = t._var.meta
            child = here.children.get(meta)
            if child is None:
                child = here.input_child(meta)
            here = child
            inputs.append(data)
            handles.append(t)
            t._era = self
            t._var = child.out  # type: ignore[assignment]
        self.here = here

    def set_grad(self, grad: bool) -> None:
        """Switch the recording of gradients on or off from here on."""
        here = self.here
        if here.grad is not grad:
            self.here = trie.roots[grad] if here.parent is None else here.grad_child(grad)

    def receive(self, arrays: list[Array], metas: tuple[Any, ...]) -> list[Input]:
        """Enter bare arrays (saved values) without tensors around them."""
        found: list[Input] = []
        for array, meta in zip(arrays, metas, strict=True):
            child = self.here.children.get(meta)
            if child is None:
                child = self.here.input_child(meta)
            self.here = child
            self.inputs.append(array)
            self.handles.append(None)  # type: ignore[arg-type]
            found.append(child.out)  # type: ignore[arg-type]
        return found

    def is_leaf(self, value: Value) -> Tensor | None:
        """The leaf tensor whose value this is, if it is one's."""
        if isinstance(value, Input):
            return None if value.index in self.edges else self.handles[value.index]
        return self.leaves.get(value.id)

    def flush(self) -> None:
        """Compute every pending tensor that is still held, and close this recording."""
        if self.closed:
            return
        self.closed = True
        here = self.here
        following: Era | None = None
        if local.era is self:
            following = local.era = Era(here.grad)
        rewriting = self.rewriting
        if rewriting is not None:
            rewriting.let_go()
        live: list[Tensor] = []
        found: list[Value] = []
        inner.take_held(self.pending, self, live, found)
        if not live and not here.parent:
            return
        observer = local.observer
        if observer is not None:
            observer.began(self)
        try:
            program, outputs, interrupt = self._compute(tuple(found))
        except BaseException:
            if rewriting is not None:
                rewriting.give_back(self)
            raise
        first = 0
        if rewriting is not None:
            rewriting.deliver(self, program, outputs, following)
            first = len(rewriting.targets)
        inner.bind(live, outputs, first, self, found)
        if observer is not None and program.outputs:
            targets = [] if rewriting is None else rewriting.targets
            observer.flushed(self, program, [*targets, *live])
        self._close(program, live, outputs, first + len(live))
        if interrupt is not None:
            raise interrupt

    def _compute(self, found: tuple[Value, ...]) -> tuple[Any, Any, BaseException | None]:
        """Run the program for what is rewritten here and for these values.

        Returns the program, its outputs, and what interrupted it when it had written them.
        """
        here = self.here
        programs = here.programs
        if programs is None:
            programs = here.programs = {}
        program = programs.get(found)
        if program is None:
            rewritten = [] if self.rewriting is None else self.rewriting.values
            ids = tuple(v.id for v in (*rewritten, *found))  # the former are the same here always
            program = programs[found] = backend.build(here, ids)
            program.tracked = tuple(i - len(rewritten) for i in program.tracked)
        if here is not trie.latest:
            trie.used(here)
        if not program.outputs:
            return program, (), None
        self.running = True  # other threads wait: inputs may be overwritten by results
        try:
            return program, program.runner(self.inputs, self.scalars), None
        except Interrupted as late:
            return program, late.outputs, late.cause
        finally:
            self.running = False

    def _close(self, program: Any, live: list[Tensor], outputs: Any, first: int) -> None:
        """Give results their history, keep what a backward pass reads (the outputs from number
        ``first`` on), and let go of the rest."""
        if not program.tracked:
            self.inputs = []
            self.handles = []
            self.scalars = []
            self.edges = {}
            return
        for i in program.tracked:
            t = live[i]
            x = t._x
            if x is None:
                x = t._x = Extra()
            x.edge = (self, t._var)
        self.freed = self.here.freed
        if not program.watched:
            self.inputs = []
            return
        self.saved = dict(zip(program.saved, outputs[first:], strict=True))
        kept = program.kept_inputs  # let go of the inputs that no backward pass reads
        self.inputs = [a if i in kept else None for i, a in enumerate(self.inputs)]  # type: ignore[misc]
        for number, value in program.watched.items():  # and note their versions
            owner: Any = self.is_leaf(value)
            if owner is None and isinstance(value, Input):
                owner = self.handles[value.index]
            if owner is not None:
                self.versions[number] = owner, version_of(owner)

    def array_of(self, value: Value) -> Array | Number:
        """The array that ``value`` had in this closed recording (kept for backward)."""
        if isinstance(value, Input):
            return self.inputs[value.index]
        index = getattr(value, "index", None)
        if not isinstance(value, Result) and index is not None:
            return self.scalars[index]
        assert self.saved is not None
        return self.saved[value.id]


class EagerEra(Era):
    """The era in `backlit.eager()` mode: every event is recorded on its own and flushed at once."""

    __slots__ = ()

    def __init__(self, grad: bool) -> None:
        super().__init__(grad)
        self._isolate(grad)

    def _isolate(self, grad: bool) -> None:
        self.here = Position(None, None, grad)
        self.here.children = Nowhere()

    def enter(self, t: Tensor) -> None:
        """Nothing enters: each event has its own recording."""

    def set_grad(self, grad: bool) -> None:
        self._isolate(grad)

    def flush(self) -> None:
        """Nothing is ever pending."""

    def miss(self, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record one event, and compute it."""
        from backlit.core.op import record

        with self.recording():
            return record(op, args, kwargs)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """A recording of its own, flushed at the end."""
        local.era = Era(self.here.grad)
        try:
            yield
            local.era.flush()
        finally:
            local.era = self


class Nowhere(dict[Any, Any]):
    """Children of a position at which no event is ever found."""

    def get(self, key: Any, default: Any = None) -> Any:
        return None


class Backend:
    """How programs are built; `backlit.compiler` sets ``build`` when it is imported."""

    def build(self, position: Position, ids: tuple[int, ...]) -> Any:
        """The program that computes the values ``ids`` of the recording that ends at
        ``position``."""
        raise BacklitError("no compiler is registered; import backlit, not only backlit.core.")

    def move_function(self, nodes: list[Any], source: Value, values: list[Value]) -> Any:
        """A function from the array of ``source`` to the arrays of ``values`` (movement only)."""
        raise BacklitError("no compiler is registered; import backlit, not only backlit.core.")


backend = Backend()


def position_of(here: Position, value: Value) -> Position:
    """The position on the path to ``here`` at which ``value`` was defined."""
    at = here
    while at.parent is not None and at.parent.n_values > value.id:
        at = at.parent
    return at


def version_of(t: Tensor) -> int:
    """How often the memory of ``t`` has been written to: that of the base, if ``t`` is a view."""
    x = t._x
    if x is not None and x.view is not None:
        x = x.view.base._x
    return 0 if x is None else x.version


def settle(t: Tensor) -> None:
    """Give ``t`` a value that does not depend on another recording in progress.

    A view whose base changed is derived anew. A tensor that is pending in another thread's
    recording is computed here from that recording's inputs, which are only ever added to, so the
    other thread is not disturbed.

    Raises:
        BacklitError: if ``t`` stands for one example of a `vmap` that is over.
    """
    if t._era is None:
        from backlit.core.views import refresh

        refresh(t)
        return
    era = t._era
    if era is local.era:
        return
    if not isinstance(era, Era):
        raise BacklitError(
            f"a tensor of shape {tuple(t.shape)} belongs to another vmap that has already ended; "
            "return it instead of keeping it."
        )
    while era.running:
        time.sleep(0)
    if t._data is not None:
        return
    fork = Era(True)
    fork.here = position_of(era.here, t._var)
    fork.inputs, fork.handles, fork.scalars = list(era.inputs), list(era.handles), list(era.scalars)
    fork.edges, fork.leaves = dict(era.edges), dict(era.leaves)
    fork.contexts = era.contexts
    fork.pending.append(t)
    t._era = fork
    fork.flush()


def realize(t: Tensor) -> Array:
    """The array of ``t``, computed now if it is pending."""
    if local.observer is not None:
        local.observer.looked()
    data = t._data
    if data is None:
        if t._era is local.era:
            t._era.flush()
        else:
            settle(t)
            if t._data is None:
                local.era.flush()
        data = t._data
        if data is None:  # an earlier flush was interrupted or failed: compute it again
            settle(t)
            data = t._data
        assert data is not None
    return data


def adopt(t: Tensor, source: Tensor) -> None:
    """Make ``t`` hold the value of ``source`` (the same object in all but identity)."""
    if t._data is None and source._data is None and t._era is source._era:
        t._var = source._var
        return
    t._era, t._var, t._data = source._era, source._var, source._data
    if t._data is None:
        local.era.pending.append(t)


local = Local()


def pend(era: Era, value: Value) -> Tensor:
    """A new pending tensor for ``value`` of ``era``."""
    return inner.pend(era, era.pending, value)


def flush() -> None:
    """Compute everything that is pending in this thread now."""
    local.era.flush()


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Compute every op at once instead of recording it: for debugging, and as a reference in tests.

    >>> import backlit
    >>> with backlit.eager():
    ...     backlit.tensor(2.0) * 3
    tensor(6.)
    """
    outer = local.era
    outer.flush()
    grad = local.era.here.grad
    local.era = EagerEra(grad)
    try:
        yield
    finally:
        grad = local.era.here.grad
        local.era = Era(grad)
