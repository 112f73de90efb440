"""The loops of a fused kernel, from a graph of its nodes to LLVM IR.

Each row gets one loop per level of reductions and one for the outputs. A loop takes full vectors
and then one masked vector for what is left, so an element's value never depends on its position.
Several rows may go through these loops side by side: what ends a reduction is a chain of some 100
cycles, in which one row alone would leave the CPU idle.

Sums run in a fixed order. A row is taken in blocks of 4096 elements, whose vectors go round-robin
into four accumulators; what they come to is added in float64, block after block and then lanes
pairwise. So the rounding error does not grow with the length of the row, and neither threads nor
chunks change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from backlit.native.kernels.expression import Graph, Node
from backlit.native.kernels.kernelbody import COMBINE, SIZE, KernelBody, Values, for_range
from backlit.native.kernels.vecmath import Divisor
from backlit.native.kernels.vector import Lanes, Vec
from backlit.native.machine.jit import Host

_I64 = ir.IntType(64)
_I8 = ir.IntType(8)
_PTR = ir.PointerType()
_BLOCK = 4096  # elements of a row whose sum begins anew
_ACCUMULATORS = 4  # an addition takes four cycles, so cheap sums need four in flight
_CHEAP = 8  # vector instructions per element below which it is computed again, not stored
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "max": -math.inf, "min": math.inf}
# Cost from which a loop's body is emitted once, with a mask, where loads and stores have masks.
_DEAR = 40

_VectorBody = Callable[[Any, list[Any], Vec | None], list[Any]]


@dataclass
class Row:
    """A row in progress.

    Attributes:
        inputs: pointers to the operands' elements, by node.
        outputs: pointers to the results'.
        known: the values that do not vary within the row.
        divisors: those of them that elements are divided by.
    """

    inputs: dict[int, Any]
    outputs: list[Any]
    known: Values
    divisors: dict[int, Divisor]


class RowLoops(KernelBody):
    """Emits the function for rows of any length.

    Its begin and end count rows or, in a flat kernel, elements. ``together`` rows are taken at a
    time; where fewer are left, the last one is reduced again, but written once.
    """

    def __init__(
        self, graph: Graph, module: Any, host: Host, flat: bool, together: int = 1
    ) -> None:
        super().__init__(graph, module, host)
        self.flat = flat
        self.together = together
        self.dear: float = _DEAR if self.has_masks else math.inf
        self.stored, self.stored_level = self._shared_with_output()

    def _shared_with_output(self) -> tuple[int, int]:
        """(node, level): a reduction's dear operand that the first output needs element by element.

        It is stored in the output's row by the loop of that level, and read back later; (-1, 0) if
        there is none.
        """
        first = self.graph.nodes[self.graph.outputs[0]]
        used = set(self.graph.needed([self.graph.outputs[0]], self.reductions))
        nodes = (self.graph.nodes[r] for r in self.reductions)
        candidates = [
            (node.cost, node.args[0], node.level)
            for node in nodes
            if node.cost >= _CHEAP and node.args[0] in used and node.dtype == first.dtype
        ]
        if not candidates or not first.varies:
            return -1, 0
        _, shared, level = max(candidates)
        return shared, level

    # -- the skeleton ----------------------------------------------------------------------------
    def emit(self) -> Any:
        """Emit the whole function and return it."""
        _, _, cols, begin, end = self.function.args
        self._load_pointers()
        b = self.b
        if self.flat:
            row = Row(self.bases, self.out_bases, {}, {})
            self._invariants(row, 0, None)
            self._output_loop(row, begin, end)
        else:
            last, beyond = b.sub(end, _I64(1)), b.add(end, _I64(self.together - 1))

            def several(first: Any, _: list[Any]) -> list[Any]:
                indices = [b.add(first, _I64(k)) for k in range(self.together)]
                exist = [b.icmp_signed("<", index, end) for index in indices]
                known = [b.select(e, i, last) for e, i in zip(exist, indices, strict=True)]
                for does, row in zip(exist, self._reduced(known, cols), strict=True):
                    with b.if_then(does):
                        self._finished(row, cols)
                return []

            for_range(b, begin, beyond, self.together, [], several)
        b.ret_void()
        return self.function

    def _reduced(self, indices: list[Any], cols: Any) -> list[Row]:
        """Some rows with all their reductions, which are done in step."""
        rows = [self._begun(index, cols) for index in indices]
        levels = max((self.graph.nodes[r].level for r in self.reductions), default=0)
        for level in range(1, levels + 1):
            self._reduce_loop(rows, level, cols)
            for index, row in zip(indices, rows, strict=True):
                self._invariants(row, level, index)
        return rows

    def _finished(self, row: Row, cols: Any) -> None:
        """Write the row's outputs."""
        nodes = self.graph.nodes
        if any(nodes[o].varies for o in self.graph.outputs):
            self._output_loop(row, _I64(0), cols)
        for output, pointer in zip(self.graph.outputs, row.outputs, strict=True):
            if not nodes[output].varies:
                self._store_scalar(row.known[output], pointer)

    def _begun(self, index: Any, cols: Any) -> Row:
        """A row before its first loop."""
        offset = self.b.mul(index, cols)
        graph = self.graph
        inputs = {}
        for number, base in self.bases.items():
            payload = graph.nodes[number].payload
            full = isinstance(payload, tuple) and payload[1] == "full"
            inputs[number] = self._at(base, offset, graph.nodes[number].dtype) if full else base
        outputs = [
            self._at(base, offset if graph.nodes[o].varies else index, graph.nodes[o].dtype)
            for o, base in zip(graph.outputs, self.out_bases, strict=True)
        ]
        row = Row(inputs, outputs, {}, {})
        self._invariants(row, 0, index)
        return row

    def _invariants(self, row: Row, level: int, index: Any) -> None:
        """Add the values that do not vary within a row and need `level` reductions before them."""
        nodes = self.graph.nodes
        for number, node in enumerate(nodes):
            if node.varies or node.level != level or node.kind == "reduce":
                continue
            if node.kind == "input":
                row.known[number] = self._broadcast_input(number, node, index)
            else:
                row.known[number] = self._value(node, row.known)
        for node in nodes:
            if node.name == "div" and node.varies and node.args[1] in row.known:
                number = node.args[1]
                if number not in row.divisors:
                    row.divisors[number] = Divisor(row.known[number])

    # -- loops over the elements of a row --------------------------------------------------------
    def _output_loop(self, row: Row, start: Any, stop: Any) -> None:
        """Elements start … stop - 1 of the outputs.

        Its vectors begin where an output is aligned: stores across cache lines would take twice the
        time. Full ones have no mask, except where the body is dear, as in `_vectors`.
        """
        graph, b, width = self.graph, self.b, self.width
        varying = [(p, o) for p, o in enumerate(graph.outputs) if graph.nodes[o].varies]
        roots = [o for _, o in varying]

        def step(index: Any, mask: Vec | None) -> None:
            values = self._evaluate(row, roots, index, mask, last=True)
            for position, output in varying:
                self._store(values[output], row.outputs[position], index, mask)

        def masked(index: Any) -> None:
            before = b.sub(start, index)
            before = b.select(b.icmp_signed(">", before, _I64(0)), before, _I64(0))
            step(index, self._between(b.sub(stop, index), before))

        def one(index: Any, _: list[Any]) -> list[Any]:
            if sum(graph.nodes[o].cost for o in roots) >= self.dear:
                masked(index)
                return []
            with b.if_else(b.icmp_unsigned("<", b.sub(index, start), whole)) as (full, part):
                with full:
                    step(index, None)
                with part:
                    masked(index)
            return []

        whole = b.sub(b.sub(stop, start), _I64(width - 1))  # full vectors begin this far
        whole = b.select(b.icmp_signed(">", whole, _I64(0)), whole, _I64(0))
        position, output = max(varying, key=lambda v: SIZE[graph.nodes[v[1]].dtype])
        dtype = graph.nodes[output].dtype
        address = b.ptrtoint(self._at(row.outputs[position], start, dtype), _I64)
        shift = b.and_(b.udiv(address, _I64(SIZE[dtype])), _I64(width - 1))
        beyond = b.add(stop, _I64(width - 1))
        for_range(b, b.sub(start, shift), beyond, width, [], one)

    def _reduce_loop(self, rows: list[Row], level: int, cols: Any) -> None:
        """All reductions of one level in one loop; adds their values to the rows.

        A turn takes four vectors, each into its own accumulators. Dear bodies take one and rotate
        the accumulators, which keeps the code small and the sums as accurate.
        """
        nodes = self.graph.nodes
        numbers = [r for r in self.reductions if nodes[r].level == level]
        count = len(numbers)
        neutral = [self._constant(nodes[r], _NEUTRAL[nodes[r].name]) for r in numbers]
        roots = [nodes[r].args[0] for r in numbers]

        def add_one(row: Row, index: Any, carried: list[Any], mask: Vec | None) -> list[Any]:
            """Add one vector to the first accumulators, which then go last."""
            values = self._evaluate(row, roots, index, mask, after=level)
            if self.stored_level == level:
                self._store(values[self.stored], row.outputs[0], index, mask)
            results = carried[count:]
            for r, total, zero in zip(numbers, carried, neutral, strict=False):
                value = values[nodes[r].args[0]]
                value = value if mask is None else mask.select(value, zero)
                results.append(COMBINE[nodes[r].name](value.lanes.wrap(total), value).ir)
            return results

        def add(index: Any, carried: list[Any], mask: Vec | None) -> list[Any]:
            parts = _split(carried, len(rows))
            added = [add_one(r, index, part, mask) for r, part in zip(rows, parts, strict=True)]
            return [total for part in added for total in part]

        cost = sum(nodes[r].cost for r in numbers)

        def block(start: Any, totals: list[Any]) -> list[Any]:
            stop = self.b.add(start, _I64(_BLOCK))
            stop = self.b.select(self.b.icmp_signed("<", stop, cols), stop, cols)
            carried = [zero.ir for zero in neutral] * (_ACCUMULATORS * len(rows))
            carried = self._vectors(start, stop, carried, add, cost >= self.dear)
            return [
                self._total(nodes[r], parts[k::count], before[k])
                for parts, before in zip(
                    _split(carried, len(rows)), _split(totals, len(rows)), strict=True
                )
                for k, r in enumerate(numbers)
            ]

        starts = [self._totals(nodes[r]).const(_NEUTRAL[nodes[r].name]).ir for r in numbers]
        beyond = self.b.add(cols, _I64(_BLOCK - 1))
        _, totals = for_range(self.b, _I64(0), beyond, _BLOCK, starts * len(rows), block)
        for row, found in zip(rows, _split(totals, len(rows)), strict=True):
            for r, total in zip(numbers, found, strict=True):
                row.known[r] = self._finish(nodes[r], total, cols)

    def _totals(self, node: Node) -> Lanes:
        """The lanes in which the results of blocks are combined."""
        return self.lanes.with_dtype("float64" if node.name in ("sum", "mean") else node.dtype)

    def _total(self, node: Node, parts: list[Any], total: Any) -> Any:
        """The total with the accumulators of one more block."""
        combine, lanes = COMBINE[node.name], self._totals(node)
        vectors = [self.lanes.with_dtype(node.dtype).wrap(part) for part in parts]
        while len(vectors) > 1:
            vectors = [combine(*vectors[k : k + 2]) for k in range(0, len(vectors), 2)]
        return combine(lanes.wrap(total), vectors[0].to_dtype(lanes.dtype)).ir

    def _finish(self, node: Node, total: Any, cols: Any) -> Vec:
        """The lanes combined pairwise, then copied to all lanes."""
        combine, lanes = COMBINE[node.name], self._totals(node)
        vector, width = lanes.wrap(total), self.width
        while width > 1:
            width //= 2
            half = Lanes(self.b, lanes.dtype, width, False)
            low, high = (
                half.wrap(self._shuffle(vector.ir, range(s, s + width))) for s in (0, width)
            )
            vector = combine(low, high)
        total = self.b.extract_element(vector.ir, ir.IntType(32)(0))
        if node.name == "mean":
            total = self.b.fdiv(total, self.b.sitofp(cols, total.type))
        if lanes.dtype != node.dtype:
            total = self.b.fptrunc(total, ir.FloatType())
        return self._splat(total, node.dtype)

    def _vectors(
        self, index: Any, stop: Any, carried: list[Any], body: _VectorBody, dear: bool
    ) -> list[Any]:
        """body(i, carried, mask) for the vectors from index to stop.

        Four of them a turn need no mask (None); those left have one. So have all where the body is
        dear: one masked copy of it then costs less than others take to compile.
        """
        b, width = self.b, self.width

        def full(at: Any, values: list[Any]) -> list[Any]:
            for copy in range(_ACCUMULATORS):
                values = body(b.add(at, _I64(copy * width)), values, None)
            return values

        def masked(at: Any, values: list[Any]) -> list[Any]:
            return body(at, values, self._between(b.sub(stop, at)))

        if not dear:
            index, carried = for_range(b, index, stop, _ACCUMULATORS * width, carried, full)
        if not self.has_masks:  # they cost a branch per element
            index, carried = for_range(
                b, index, stop, width, carried, lambda at, values: body(at, values, None)
            )
        return for_range(b, index, b.add(stop, _I64(width - 1)), width, carried, masked)[1]

    def _between(self, stop: Any, start: Any = None) -> Vec:
        """A mask: lanes before ``stop``, which may exceed W, and from ``start`` on if given."""
        b, width = self.b, _I64(self.width)
        ones = b.shl(_I64(1), b.select(b.icmp_signed("<", stop, width), stop, width))
        bits = b.sub(ones, _I64(1))
        if start is not None:
            bits = b.and_(bits, b.shl(_I64(-1), start))
        mask = b.trunc(bits, ir.IntType(self.width))
        return self.lanes.wrap(b.bitcast(mask, ir.VectorType(ir.IntType(1), self.width)))

    # -- values ----------------------------------------------------------------------------------
    def _evaluate(
        self,
        row: Row,
        roots: Iterable[int],
        index: Any,
        mask: Vec | None,
        *,
        after: int = 0,
        last: bool = False,
    ) -> Values:
        """The values of the roots, and of what they need, at elements index … index + W - 1."""
        values = dict(row.known)
        if self.stored >= 0 and (last or after > self.stored_level):
            dtype = self.graph.nodes[self.stored].dtype
            values[self.stored] = self._load(row.outputs[0], dtype, index, mask)
        for number in self.graph.needed(roots, values):
            node = self.graph.nodes[number]
            if node.kind == "input":
                values[number] = self._load(row.inputs[number], node.dtype, index, mask)
            elif node.name == "div" and node.args[1] in row.divisors:
                values[number] = row.divisors[node.args[1]].divide(values[node.args[0]])
            else:
                values[number] = self._value(node, values)
        return values


def _split(values: list[Any], parts: int) -> list[list[Any]]:
    """As many lists of equal length, one after the other."""
    size = len(values) // parts
    return [values[k * size : (k + 1) * size] for k in range(parts)]
