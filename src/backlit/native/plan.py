"""Plans: a program as tables of kernels and buffers, ready for the native loop.

Temporaries share one arena; which bytes are free when is worked out once. Results that leave the
program get fresh arrays, or the array of an input that nobody else holds any more, so that an
optimizer's step writes its parameters in place.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.compiler.source import Runner
from backlit.core.program import Program
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value
from backlit.errors import BacklitError, IndexOutOfRange
from backlit.native import elementwise, products
from backlit.native.lower import (
    ColumnSum,
    Kernel,
    Lookup,
    Lowering,
    Product,
    Ref,
    Source,
    Step,
    _leading,
    contiguous,
)
from backlit.native.runtime import FAILED, runtime

_ALIGNMENT = 64
_NO_TRANSPOSE, _TRANSPOSE = 111, 112
_WITH_REDUCTIONS = ("sum", "amax", "amin", "softmax", "log_softmax")
_LONG = 2_000_000  # elements of work from which other Python threads may run meanwhile
_LETTER = {"float32": "s", "float64": "d"}


class Table:
    """A block of 8-byte words that native code reads; keeps what it points to alive."""

    def __init__(self) -> None:
        self.words: list[int] = []

    def add(self, *words: int) -> int:
        """Append words; returns the position of the first."""
        position = len(self.words)
        self.words += words
        return position


@dataclass
class Segment:
    """Consecutive native entries, run by one call."""

    table: Any
    address: int
    steps: list[Step]


@dataclass
class Piece:
    """Consecutive nodes that run as NumPy source between native segments."""

    runner: Runner
    inputs: list[Value]
    outputs: list[Value]


class Plan:
    """A lowered program. `__call__` runs it; one thread at a time, others take the cold path."""

    def __init__(self, program: Program, cold: Callable[[list[Any], list[Any]], Any]) -> None:
        self.program = program
        self.cold = cold
        self.lock = threading.Lock()
        self.odd_numbers: frozenset[int] = frozenset()  # numbers that arrive as int or bool
        self.numbers_read: set[int] = set()
        self.native = runtime()
        self._build()

    # -- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        lowering = Lowering(self.program)
        self.steps = lowering.run()
        self.lowering = lowering
        outputs = self.program.outputs
        self.buffers: dict[int, Any] = {}  # temporaries as arrays over the arena
        self.out_index: dict[int, int] = {}  # value id → its place in the list of arrays out
        self.fresh: list[tuple[tuple[int, ...], Any] | None] = []  # None: made by NumPy source
        self.returns = [lowering.ref(o) for o in outputs]
        by_source = {v.id for s in self.steps if isinstance(s, Source) for v in _written(s)}
        returned = {r.value.id: r.value for r in self.returns if isinstance(r.value, Result)}
        for v in (*returned.values(), *(v for s in self.steps for v in _written(s))):
            if v.id not in self.out_index and (v.id in returned or v.id in by_source):
                self.out_index[v.id] = len(self.fresh)
                spec = None if v.id in by_source else (tuple(v.shape), v.dtype.numpy)
                self.fresh.append(spec)
        self.donors = self._donations()
        self.work = sum(_work(s) for s in self.steps)
        self._arena()
        self._tables()
        self.pick = self._picker()
        given = {k for k, _ in self.donors}
        self.own = [(k, spec) for k, spec in enumerate(self.fresh) if spec and k not in given]

    def _picker(self) -> Callable[[list[Any]], Any] | None:
        """How to take the results from the arrays out, if each is one of them as it is."""
        places: list[int] = []
        for r in self.returns:
            if r.value.id not in self.out_index or r.shape != tuple(r.value.shape):
                return None
            if r.strides != contiguous(r.shape):
                return None
            places.append(self.out_index[r.value.id])
        if len(places) == 1:
            (only,) = places
            return lambda outputs: (outputs[only],)
        return operator.itemgetter(*places) if places else None

    def _lives(self) -> dict[int, tuple[Value, int, int]]:
        """Temporaries: value id → (value, first step, last step)."""
        lives: dict[int, tuple[Value, int, int]] = {}
        for i, step in enumerate(self.steps):
            for v in _written(step):
                if v.id not in self.out_index:
                    lives[v.id] = (v, i, i)
            for v in _read(step, self.lowering):
                if v.id in lives:
                    lives[v.id] = (v, lives[v.id][1], i)
        return lives

    def _arena(self) -> None:
        """Place the temporaries: the largest first, each at the lowest place free while it lives."""
        placed: list[tuple[int, int, int, int]] = []  # start, end, first step, last step
        offsets: dict[int, int] = {}
        lives = sorted(self._lives().values(), key=lambda x: -x[0].numel * x[0].dtype.itemsize)
        for v, first, last in lives:
            size = -(-max(v.numel, 1) * v.dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
            offset = 0
            for start, end, begin, stop in sorted(placed):
                if begin <= last and first <= stop and start < offset + size and offset < end:
                    offset = end
            placed.append((offset, offset + size, first, last))
            offsets[v.id] = offset
        total = max((end for _, end, _, _ in placed), default=0)
        self.arena = np.zeros(total + _ALIGNMENT, np.uint8)
        base = self.arena.ctypes.data
        shift = -base % _ALIGNMENT
        self.offsets = {i: shift + o for i, o in offsets.items()}
        for v, _, _ in lives:
            start = self.offsets[v.id]
            raw = self.arena[start : start + v.numel * v.dtype.itemsize]
            self.buffers[v.id] = raw.view(v.dtype.numpy).reshape(tuple(v.shape))

    def _donations(self) -> list[tuple[int, int]]:
        """(output, input) pairs where the output may be written into the input's array."""
        last_read: dict[int, int] = {}
        for i, step in enumerate(self.steps):
            for v in _read(step, self.lowering):
                last_read[v.id] = i
        returned = {r.value.id for r in self.returns}
        taken: set[int] = set()
        found: list[tuple[int, int]] = []
        for i, step in enumerate(self.steps):
            if not isinstance(step, Kernel) or _has_reduction(step):
                continue
            for out in step.outputs:
                if out.id not in self.out_index:
                    continue
                for v in step.inputs:
                    if (
                        isinstance(v, Input)
                        and v.index not in self.program.kept_inputs
                        and v.shape == out.shape
                        and v.dtype is out.dtype
                        and last_read.get(v.id) == i
                        and v.id not in taken
                        and v.id not in returned
                        and tuple(v.shape) == _space(step, out)
                    ):
                        taken.add(v.id)
                        found.append((self.out_index[out.id], v.index))
                        break
        return found

    def _tables(self) -> None:
        self.segments: list[Segment | Piece] = []
        self.kernels: list[Any] = []
        self.scalar_slots: dict[int, Any] = {}
        self.keep: list[Any] = [self.arena]
        run: list[Step] = []
        for step in self.steps:
            if isinstance(step, Source):
                if run:
                    self.segments.append(self._segment(run))
                    run = []
                self.segments.append(self._piece(step))
            else:
                run.append(step)
        if run:
            self.segments.append(self._segment(run))

    def _segment(self, steps: list[Step]) -> Segment:
        table = Table()
        patches: list[tuple[int, int, int]] = []  # list, index, word to fill
        numbers: dict[int, tuple[int, Any, int]] = {}
        entries: list[tuple[int, int]] = []  # function, word of the arguments
        inner: list[tuple[int, int]] = []  # words that hold addresses of other words
        native = self.native

        def address(v: Value) -> int:
            """A word that holds (or will hold) the address of the data of ``v``."""
            if isinstance(v, Input):
                patches.append((0, v.index, len(table.words)))
                return table.add(0)
            if isinstance(v, Scalar):
                slot = numbers.get(v.id)
                if slot is None:
                    cell = np.zeros(1, v.dtype.numpy)
                    self.numbers_read.add(v.index)
                    slot = numbers[v.id] = (v.index, cell, int(v.dtype.name == "float64"))
                    self.keep.append(cell)
                return table.add(slot[1].ctypes.data)
            if isinstance(v, Constant):
                array = np.ascontiguousarray(v.array)
                self.keep.append(array)
                return table.add(array.ctypes.data)
            if v.id in self.out_index:
                patches.append((1, self.out_index[v.id], len(table.words)))
                return table.add(0)
            return table.add(self.arena.ctypes.data + self.offsets[v.id])

        for step in steps:
            if isinstance(step, Kernel):
                kernel = elementwise.build(step.expressions)
                self.kernels.append(kernel)
                ins = [address(v) for v in step.inputs]
                outs = [address(v) for v in step.outputs]
                at = table.add(kernel.address, 0, 0, step.rows, step.cols)
                inner += [(at + 1, ins[0] if ins else at), (at + 2, outs[0])]
                entries.append((native.entry("fused"), at))
            elif isinstance(step, Product):
                (m, k), n = step.a.shape, step.b.shape[1]
                a, b = _leading(step.a), _leading(step.b)
                assert a is not None
                assert b is not None
                chosen = products.entry(m, n, k, a, b, step.out.dtype.name)
                before = table.add(*chosen.before) if chosen and chosen.before else None
                at = address(step.a.value)
                address(step.b.value)
                address(step.out)
                if chosen is not None:
                    self.keep.append(chosen.code)
                    table.add(*chosen.after)
                    entries.append((chosen.function, at if before is None else before))
                    continue
                table.add(
                    m, n, k, a[1], b[1], max(n, 1),
                    _TRANSPOSE if a[0] else _NO_TRANSPOSE, _TRANSPOSE if b[0] else _NO_TRANSPOSE,
                )  # fmt: skip
                entries.append((native.entry(_LETTER[step.out.dtype.name] + "gemm"), at))
            elif isinstance(step, Lookup):
                at = address(step.x.value)
                address(step.index.value)
                address(step.out)
                step_of_x = int(any(step.x.strides))
                table.add(step.rows, step.cols, step.ignore, step_of_x)
                letter = _LETTER[step.out.dtype.name]
                entries.append((native.entry(letter + step.name), at))
            elif isinstance(step, ColumnSum):
                at = address(step.x.value)
                address(step.out)
                table.add(step.rows, step.cols)
                entries.append((native.entry(_LETTER[step.out.dtype.name] + "colsum"), at))
        return self._freeze(steps, table, patches, list(numbers.values()), entries, inner)

    def _freeze(
        self,
        steps: list[Step],
        table: Table,
        patches: list[tuple[int, int, int]],
        numbers: list[tuple[int, Any, int]],
        entries: list[tuple[int, int]],
        inner: list[tuple[int, int]],
    ) -> Segment:
        """Lay the table out in memory and resolve addresses within it."""
        patch_at = len(table.words)
        number_at = patch_at + 3 * len(patches)
        entry_at = number_at + 3 * len(numbers)
        head_at = entry_at + 2 * len(entries)
        words = np.zeros(head_at + 6, np.int64)
        base = words.ctypes.data
        words[:patch_at] = table.words
        for word, target in inner:
            words[word] = base + 8 * target
        for i, (which, index, word) in enumerate(patches):
            words[patch_at + 3 * i : patch_at + 3 * i + 3] = (which, index, base + 8 * word)
        for i, (index, cell, wide) in enumerate(numbers):
            words[number_at + 3 * i : number_at + 3 * i + 3] = (index, cell.ctypes.data, wide)
        for i, (function, at) in enumerate(entries):
            words[entry_at + 2 * i : entry_at + 2 * i + 2] = (function, base + 8 * at)
        words[head_at:] = (
            base + 8 * patch_at, len(patches), base + 8 * number_at, len(numbers),
            base + 8 * entry_at, len(entries),
        )  # fmt: skip
        self.keep.append(words)
        return Segment(words, base + 8 * head_at, steps)

    def _piece(self, step: Source) -> Piece:
        """The nodes of ``step``, and the views they read through, as NumPy source."""
        nodes = self._with_views(step.nodes)
        inside = {o.id for n in nodes for o in n.outs}
        replaced: dict[int, Value] = {}
        inputs: list[Value] = []
        rewritten: list[Node] = []
        for node in nodes:
            args: list[Value] = []
            for a in node.args:
                if a.id not in inside and isinstance(a, (Input, Result)):
                    if a.id not in replaced:
                        replaced[a.id] = Input(a.id, a.meta, len(inputs))
                        inputs.append(a)
                    a = replaced[a.id]
                args.append(a)
            made = Node(node.primitive, tuple(args), node.attrs, node.where)
            made.outs = node.outs
            rewritten.append(made)
        outputs = [v for v in _written(step)]
        program = Program(rewritten, tuple(outputs), len(inputs))
        return Piece(Runner(program), inputs, outputs)

    def _with_views(self, nodes: list[Node]) -> list[Node]:
        """``nodes`` and the movement nodes through which they read, in order."""
        found: dict[int, Node] = {}
        stack = list(nodes)
        while stack:
            node = stack.pop()
            found[node.outs[0].id] = node
            for a in node.args:
                source = self.lowering.nodes.get(a.id)
                if source is not None and self.lowering.kind[source.outs[0].id] == "view":
                    stack.append(source)
        return [n for n in self.program.nodes if n.outs[0].id in found]

    # -- running ------------------------------------------------------------------------------

    def __call__(self, inputs: list[Any], scalars: list[Any]) -> Any:
        if not self.lock.acquire(blocking=False):
            return self.cold(inputs, scalars)
        try:
            return self._run(inputs, scalars)
        finally:
            self.lock.release()

    def _run(self, inputs: list[Any], scalars: list[Any]) -> Any:
        if self.odd_numbers:
            scalars = [float(x) if i in self.odd_numbers else x for i, x in enumerate(scalars)]
        empty = np.empty
        outputs: list[Any] = [None] * len(self.fresh)
        for k, spec in self.own:
            outputs[k] = empty(*spec)
        count = sys.getrefcount
        for k, i in self.donors:
            array = inputs[i]
            free = count(array) <= _UNHELD and array.base is None
            outputs[k] = array if free else empty(*self.fresh[k])  # type: ignore[misc]
        call = self.native.run_without_gil if self.work > _LONG else self.native.run
        for segment in self.segments:
            if type(segment) is Segment:
                status = call(id(inputs), id(outputs), id(scalars), segment.address)
                if status:
                    self._run_unusual(status, segment, inputs, outputs, scalars)
            else:
                self._run_piece(segment, inputs, outputs, scalars)
        if self.pick is not None:
            return self.pick(outputs)
        return [self._result(r, inputs, outputs) for r in self.returns]

    def _run_unusual(
        self,
        status: int,
        segment: Segment,
        inputs: list[Any],
        outputs: list[Any],
        scalars: list[Any],
    ) -> None:
        """Run a segment whose arrays are not contiguous, or whose numbers are not floats."""
        if status >= FAILED:
            raise _out_of_range(segment.steps[status - FAILED])
        arrays = [a if a.flags.c_contiguous else a.copy() for a in inputs]
        self.odd_numbers = frozenset(
            i for i, x in enumerate(scalars) if i in self.numbers_read and type(x) is not float
        )
        numbers = [float(x) if i in self.odd_numbers else x for i, x in enumerate(scalars)]
        status = self.native.run(id(arrays), id(outputs), id(numbers), segment.address)
        if status >= FAILED:
            raise _out_of_range(segment.steps[status - FAILED])
        if status:
            raise BacklitError("a native program refused its operands; this is a bug in backlit.")

    def _run_piece(
        self, piece: Piece, inputs: list[Any], outputs: list[Any], scalars: list[Any]
    ) -> None:
        """Run NumPy source between native segments; its results take their places in ``outputs``."""
        arrays = [self._array(v, inputs, outputs) for v in piece.inputs]
        for v, made in zip(piece.outputs, piece.runner(arrays, scalars), strict=True):
            array = np.asarray(made)
            if not array.flags.c_contiguous or any(array is a for a in arrays):
                array = array.copy()
            outputs[self.out_index[v.id]] = array

    def _array(self, v: Value, inputs: list[Any], outputs: list[Any]) -> Any:
        if isinstance(v, Input):
            return inputs[v.index]
        return outputs[self.out_index[v.id]] if v.id in self.out_index else self.buffers[v.id]

    def _result(self, ref: Ref, inputs: list[Any], outputs: list[Any]) -> Any:
        v = ref.value
        if isinstance(v, Constant):
            array = v.array
        else:
            array = self._array(v, inputs, outputs)
        if array.shape == ref.shape and ref.strides == contiguous(ref.shape):
            return array
        steps = tuple(s * array.itemsize for s in ref.strides)
        return np.lib.stride_tricks.as_strided(np.ascontiguousarray(array), ref.shape, steps)


def _out_of_range(step: Step) -> Exception:
    """The error for an index that a native kernel refused."""
    assert isinstance(step, Lookup)
    return IndexOutOfRange(
        f"{step.name}: an index is out of bounds for {step.cols} classes (0 to {step.cols - 1}) "
        f"[recorded at {step.node.where}]"
    )


def _space(step: Kernel, out: Value) -> tuple[int, ...]:
    return tuple(out.shape)


def _has_reduction(step: Kernel) -> bool:
    return any(n.primitive.name in _WITH_REDUCTIONS for n in step.nodes)


def _written(step: Step) -> list[Value]:
    if isinstance(step, Kernel):
        return step.outputs
    if isinstance(step, Source):
        return [o for n in step.nodes for o in n.outs]
    return [step.out]


def _read(step: Step, lowering: Lowering) -> list[Value]:
    if isinstance(step, Kernel):
        return step.inputs
    if isinstance(step, Product):
        return [step.a.value, step.b.value]
    if isinstance(step, Lookup):
        return [step.x.value, step.index.value]
    if isinstance(step, ColumnSum):
        return [step.x.value]
    return [lowering.ref(a).value for n in step.nodes for a in n.args]


def _work(step: Step) -> int:
    if isinstance(step, Kernel):
        return step.rows * step.cols * len(step.nodes)
    if isinstance(step, Product):
        return step.a.shape[0] * step.a.shape[1] * step.b.shape[1]
    if isinstance(step, (ColumnSum, Lookup)):
        return step.rows * step.cols
    return sum(n.outs[0].numel for n in step.nodes)


def _calibrate() -> int:
    """The reference count of an array in a list of inputs that nobody else holds."""
    inputs = [np.empty(1)]
    found = 0
    count = sys.getrefcount
    for i in (0,):
        array = inputs[i]
        found = count(array)
    return found


_UNHELD = _calibrate()
