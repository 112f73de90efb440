"""Lowering: a program's nodes become steps, each a native kernel or a piece of NumPy source.

Every value lives in a *buffer*; movement nodes only describe how a buffer is read (`Ref`: shape,
strides, offset). Elementwise nodes and reductions along the last axis over the same index space
form one kernel. Which nodes share a kernel follows from their *stage*: a value's stage is how many
kernels must have run before it, as late as its readers allow.
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any

from backlit.core.primitive import Elementwise
from backlit.core.program import Program
from backlit.core.value import Constant, Node, Result, Scalar, Value
from backlit.native.decompose import REDUCTIONS, run_of
from backlit.native.kernels import scalar
from backlit.native.kernels.expression import Call, Const, Graph, Reduce
from backlit.native.kernels.expression import Input as Operand
from backlit.native.kernels.scalar import FLOATS, NotLowered, Term, lower
from backlit.native.moves import can_read, copy_of, is_random, loop_of
from backlit.native.prepare import Prepared
from backlit.native.products import batches
from backlit.native.products.batches import batch_of, matrix_of
from backlit.native.steps import (
    ColumnReduction,
    Kernel,
    Lookup,
    Product,
    Random,
    Ref,
    Source,
    Step,
    leading,
)

KERNEL_NODES = 48  # nodes of one kernel, so that none takes long to compile
_REDUCTIONS = {"sum": "sum", "amax": "max", "amin": "min"}
_DTYPES = (*FLOATS, "bool")


class Lowering:
    """Assigns every node of a program to a step."""

    def __init__(self, program: Program) -> None:
        prepared = Prepared(program)
        self.program = program
        self.order = prepared.nodes
        self.views = prepared.views
        self.is_view = prepared.is_view
        self.stage: dict[int, int] = {}  # of the node that computes a value, by value id
        self.kind: dict[int, str] = {}  # node's first output id → what kind of step
        self.homes: dict[int, tuple[int, ...]] = {}  # value of one number per row → the rows' space
        self.reasons: dict[int, str] = {}  # node's first output id → why it has no native form
        self.nodes: dict[int, Node] = {o.id: n for n in self.order for o in n.outs}
        self.places = {n.outs[0].id: i for i, n in enumerate(self.order)}
        self.readers: dict[int, list[Node]] = {}
        for node in self.order:
            for a in node.args:
                self.readers.setdefault(a.id, []).append(node)
        self.wanted = {o.id for o in program.outputs}

    def ref(self, value: Value) -> Ref:
        """How ``value`` is read."""
        return self.views.ref(value)

    # -- classification -----------------------------------------------------------------------

    def classify(self, node: Node) -> str:
        """What kind of step computes ``node``; "source" notes why."""
        card, out = node.primitive, node.outs[0]
        found = self._native_kind(node)
        if found is not None:
            return found
        kinds = ", ".join(f"{a.dtype.name}{list(a.shape)}" for a in node.args)
        if not out.numel:
            why = "it has no elements"
        elif any(a.dtype.name not in (*_DTYPES, "int64") for a in (*node.args, *node.outs)):
            why = "native code computes in float32, float64, bool and int64 only"
        else:
            why = "it has no native form for these dtypes and shapes"
        self.reasons[out.id] = f"{card.name}({kinds}): {why}"
        return "source"

    def _native_kind(self, node: Node) -> str | None:
        card, out = node.primitive, node.outs[0]
        if is_random(node):
            return "random"
        if loop_of(node, self.views) is not None:
            return "loop"
        if copy_of(node, self.views) is not None:
            return "copy"
        if len(node.outs) > 1 or out.dtype.name not in _DTYPES or out.numel == 0:
            return None
        if card.name in ("pick", "place"):
            return "lookup" if self._is_lookup(node) else None
        if not all(self._is_operand(a) for a in node.args):
            return None
        if isinstance(card, Elementwise):
            return "fused" if self._fits(node) and _expression_exists(node) else None
        if card.name == "convert":
            return "fused" if out.dtype.name in FLOATS and self._fits(node) else None
        if card.name in ("softmax", "log_softmax"):
            last = node.attrs["dim"] == out.ndim - 1
            return "fused" if last and out.dtype.name in FLOATS and self._fits(node) else None
        if card.name in REDUCTIONS and node.args[0].dtype.name in FLOATS:
            return self._reduction(node)
        if card.name == "matmul" and out.dtype.name in FLOATS:
            return "product" if self._is_product(node) else None
        return None

    def _is_operand(self, value: Value) -> bool:
        """Whether kernels can read ``value``."""
        return value.dtype.name in _DTYPES and value.numel > 0 and can_read(self.ref(value))

    def _fits(self, node: Node) -> bool:
        """Whether each operand is constant, a row, a column or the whole of the index space."""
        space = tuple(node.outs[0].shape)
        extents = {self.extent(a, space) for a in node.args}
        # A kernel writes one number per row of what does not vary within rows.
        is_spread = space[-1:] in ((), (1,)) or bool(extents & {"full", "row"})
        return None not in extents and is_spread

    def _reduction(self, node: Node) -> str | None:
        x = self.ref(node.args[0])
        run = run_of(x.shape, tuple(node.attrs["dims"]))
        if not x.is_contiguous or run is None:
            return None
        return "reduce" if run[2] == 1 else "columns"

    def _is_lookup(self, node: Node) -> bool:
        """Rows of float numbers, one whole-number index each."""
        x, index = (self.ref(a) for a in node.args)
        matrix = x.shape if node.primitive.name == "pick" else tuple(node.outs[0].shape)
        return (
            node.args[0].dtype.name in FLOATS
            and node.args[1].dtype.name == "int64"
            and len(matrix) == 2
            and node.attrs["dim"] == 1
            and index.is_contiguous
            and (x.is_contiguous or (len(x.shape) == 1 and x.strides == (0,)))
        )

    def _is_product(self, node: Node) -> bool:
        refs = [self.ref(a) for a in node.args]
        if any(len(r.shape) < 2 or leading(matrix_of(r)) is None for r in refs):
            return False
        return len(batch_of(refs[0], refs[1])) <= batches.DIMENSIONS

    def extent(self, value: Value, space: tuple[int, ...]) -> str | None:
        """How ``value`` varies over ``space``, taken as rows × last dimension; None:
        irregularly."""
        return self.views.extent(self.ref(value), space)

    # -- stages -------------------------------------------------------------------------------

    def space_of(self, node: Node) -> tuple[int, ...]:
        """The index space that a fused node or reduction runs over."""
        home = self.homes.get(node.outs[0].id)
        if home is not None:
            return home
        if self.kind[node.outs[0].id] != "reduce":
            return tuple(node.outs[0].shape)
        shape, dims = self.ref(node.args[0]).shape, node.attrs["dims"]
        first = min((d for d in dims if shape[d] != 1), default=len(shape))
        return (*shape[:first], prod(shape[first:]))

    def _settle(self, node: Node) -> None:
        """Where ``node`` works on results of reductions, one number per row, note whose rows.

        It then belongs to the kernel of the reductions, as do those that read its result there.
        """
        out = node.outs[0]
        space = tuple(out.shape)
        for a in node.args:
            ref = self.ref(a)
            made_by = self.nodes.get(ref.value.id)
            if made_by is None or not self._is_per_row(made_by):
                continue
            home = self.space_of(made_by)
            fits = {self.extent(x, space) for x in node.args} <= {"full", "scalar"}
            if fits and out.numel == prod(home[:-1]) == prod(ref.shape) and ref.is_contiguous:
                self.homes[out.id] = home
                return

    def _is_per_row(self, node: Node) -> bool:
        return self.kind.get(node.outs[0].id) == "reduce" or node.outs[0].id in self.homes

    def _joins(self, node: Node, operand: Value) -> bool:
        """Whether ``node`` can be in the kernel that computes ``operand``."""
        ref = self.ref(operand)
        source = ref.value
        if not isinstance(source, Result) or ref.offset:
            return False
        made_by = self.nodes[source.id]  # not source.node: passes rewrite nodes, never values
        kind = self.kind[made_by.outs[0].id]
        if kind not in ("fused", "reduce") or self.kind[node.outs[0].id] not in ("fused", "reduce"):
            return False
        space = self.space_of(node)
        if self.space_of(made_by) != space:
            return False
        is_per_row = self._is_per_row(made_by)
        if self.kind[node.outs[0].id] == "reduce":
            return not is_per_row and ref.is_contiguous
        if node.outs[0].id in self.homes:
            return is_per_row and ref.is_contiguous and prod(ref.shape) == prod(space[:-1])
        want = "column" if is_per_row else "full"
        return self.extent(operand, space) == want or (not is_per_row and prod(space) == 1)

    def stages(self) -> None:
        """Number the nodes: first as early as possible, then as late as their readers allow."""
        for node in self.order:
            first = node.outs[0].id
            if first in self.is_view:
                self.kind[first] = "view"
                self.stage[first] = self.stage.get(self.ref(node.outs[0]).value.id, 0)
                continue
            self.kind[first] = self.classify(node)
            if self.kind[first] == "fused":
                self._settle(node)
            stage = 0
            for a in node.args:
                source = self.ref(a).value
                if isinstance(source, Result):
                    joined = self._joins(node, a)
                    stage = max(stage, self.stage[source.id] + (0 if joined else 1))
            for out in node.outs:
                self.stage[out.id] = stage
        latest: dict[int, int] = {}
        for node in reversed(self.order):
            first = node.outs[0].id
            if self.kind[first] == "view":
                continue
            if self.kind[first] == "fused" and first in latest and first not in self.wanted:
                self.stage[first] = max(self.stage[first], latest[first])
            for a in node.args:
                source = self.ref(a).value
                if isinstance(source, Result):
                    bound = self.stage[first] - (0 if self._joins(node, a) else 1)
                    latest[source.id] = min(latest.get(source.id, bound), bound)

    # -- steps --------------------------------------------------------------------------------

    def run(self) -> list[Step]:
        """The steps of the program, in order."""
        self.stages()
        order: dict[int, list[Node]] = {}
        for node in self.order:
            if self.kind[node.outs[0].id] != "view":
                order.setdefault(self.stage[node.outs[0].id], []).append(node)
        steps: list[Step] = []
        for stage in sorted(order):
            steps += self._stage(order[stage])
        return steps

    def _stage(self, nodes: list[Node]) -> list[Step]:
        clusters: dict[tuple[int, ...], list[Node]] = {}
        steps: list[Step] = []
        sources: list[Node] = []
        for node in nodes:
            kind = self.kind[node.outs[0].id]
            if kind in ("fused", "reduce"):
                clusters.setdefault(self.space_of(node), []).append(node)
            elif kind == "product":
                steps.append(
                    Product(self.ref(node.args[0]), self.ref(node.args[1]), node.outs[0], node)
                )
            elif kind == "source":
                sources.append(node)
            else:
                steps.append(self._entry(node, kind))
        for space, members in clusters.items():
            steps += self._kernels(space, members)
        if sources:
            steps.append(Source(sources, [self.reasons[n.outs[0].id] for n in sources]))
        return steps

    def _entry(self, node: Node, kind: str) -> Step:
        """The step of a node that is an entry of its own."""
        name, out = node.primitive.name, node.outs[0]
        made: Step | None
        if kind == "lookup":
            x, index = (self.ref(a) for a in node.args)
            rows, cols = x.shape if name == "pick" else tuple(out.shape)
            return Lookup(name, x, index, rows, cols, node.attrs["ignore"], out, node)
        if kind == "columns":
            x = self.ref(node.args[0])
            run = run_of(x.shape, tuple(node.attrs["dims"]))
            assert run is not None
            return ColumnReduction(name, x, *run, out, node)
        if kind == "random":
            seed, offset = node.args
            assert isinstance(seed, (Scalar, Constant))
            assert isinstance(offset, (Scalar, Constant))
            return Random(seed, offset, out, node)
        made = copy_of(node, self.views) if kind == "copy" else loop_of(node, self.views)
        assert made is not None
        return made

    def _kernels(self, space: tuple[int, ...], members: list[Node]) -> list[Kernel]:
        """The kernels of one stage over one space: connected groups together, up to a size."""
        groups: list[list[Node]] = []
        home: dict[int, int] = {}

        def place(node: Node) -> int:
            return self.places[node.outs[0].id]

        for node in members:
            joined = sorted(
                {
                    home[s.id]
                    for a in node.args
                    if (s := self.ref(a).value).id in home and self._joins(node, a)
                }
            )
            if not joined:
                joined = [len(groups)]
                groups.append([])
            target = joined[0]
            groups[target].append(node)
            for other in joined[1:]:
                for moved in groups[other]:
                    home[moved.outs[0].id] = target
                groups[target] = sorted(groups[target] + groups[other], key=place)
                groups[other] = []
            home[node.outs[0].id] = target
        parts = [
            group[start : start + KERNEL_NODES]
            for group in groups
            for start in range(0, len(group), KERNEL_NODES)
        ]
        return [self._kernel(space, part) for part in parts]

    def _kernel(self, space: tuple[int, ...], nodes: list[Node]) -> Kernel:
        kernel = Kernel(prod(space[:-1]), space[-1] if space else 1, nodes=nodes)
        inside = {n.outs[0].id for n in nodes}
        terms: dict[int, Term] = {}
        numbers: dict[tuple[int, str, int], int] = {}

        def operand(value: Value, extent: str | None) -> Term:
            ref = self.ref(value)
            source = ref.value
            if source.id in inside:
                return terms[source.id]
            if isinstance(source, Constant) and source.array.ndim == 0:
                if source.dtype.name == "bool":  # a mask cannot be a constant of a kernel
                    one = Const(1.0, FLOATS[0])
                    return Term(Call("eq", (one, Const(float(source.array), FLOATS[0]))), "bool")
                return Term(Const(float(source.array), source.dtype.name), source.dtype.name)
            extent = extent or "full"
            if prod(space) == 1:
                extent = "scalar"
            key = (source.id, extent, ref.offset)
            if key not in numbers:
                numbers[key] = len(kernel.inputs)
                kernel.inputs.append(source)
                kernel.extents.append(extent)
                kernel.skips.append(ref.offset)
            kind: Any = extent
            return Term(Operand(numbers[key], kind, source.dtype.name), source.dtype.name)

        for node in nodes:
            out = node.outs[0]
            if self.kind[out.id] == "reduce":
                x = operand(node.args[0], "full")
                terms[out.id] = Term(
                    Reduce(_REDUCTIONS[node.primitive.name], x.expression), out.dtype.name
                )
                continue
            parts = [operand(a, self._extent_in(node, a, space)) for a in node.args]
            if node.primitive.name in ("softmax", "log_softmax"):
                terms[out.id] = _softmax(parts[0], node.primitive.name == "log_softmax")
            elif node.primitive.name == "convert":
                terms[out.id] = Term(Call(out.dtype.name, (parts[0].expression,)), out.dtype.name)
            else:
                terms[out.id] = lower(node.primitive, parts, out.dtype.name)  # type: ignore[arg-type]
        for node in nodes:
            out = node.outs[0]
            if out.id in self.wanted or self._read_outside(out, inside):
                kernel.outputs.append(out)
                kernel.expressions.append(terms[out.id].expression)
        return kernel

    def _extent_in(self, node: Node, operand: Value, space: tuple[int, ...]) -> str | None:
        """How an operand of ``node`` varies over the space of a kernel."""
        if node.outs[0].id not in self.homes:
            return self.extent(operand, space)
        own = self.extent(operand, tuple(node.outs[0].shape))
        return "column" if own == "full" else own

    def _read_outside(self, value: Value, inside: set[int]) -> bool:
        """Whether a node outside of ``inside`` reads ``value``, directly or through views."""
        stack = [value]
        while stack:
            v = stack.pop()
            for reader in self.readers.get(v.id, ()):
                out = reader.outs[0]
                if self.kind[out.id] == "view":
                    if out.id in self.wanted:
                        return True
                    stack.append(out)
                elif out.id not in inside:
                    return True
        return False


def _softmax(x: Term, logarithm: bool) -> Term:
    """softmax or its logarithm along the last dimension."""
    shifted = x - Term(Reduce("max", x.expression), x.dtype)
    powers = scalar.call("exp", shifted)
    total = Term(Reduce("sum", powers.expression), x.dtype)
    return shifted - scalar.call("log", total) if logarithm else powers / total


def _expression_exists(node: Node) -> bool:
    """Whether the card's scalar function has a native form for these dtypes."""
    dtypes = tuple(a.dtype.name for a in node.args)
    return _card_lowers(node.primitive, dtypes, node.outs[0].dtype.name)


@functools.cache
def _card_lowers(card: Any, dtypes: tuple[str, ...], dtype: str) -> bool:
    terms = [Term(Operand(i, "full", d), d) for i, d in enumerate(dtypes)]
    try:
        Graph([lower(card, terms, dtype).expression])  # checks the dtypes of every operation
    except (NotLowered, TypeError, AttributeError):  # the card's own: it tried Python on a Term
        return False
    return True
