"""The loops of a fused kernel, from a graph of its nodes to LLVM IR.

Each row gets one loop per level of reductions and one for the outputs. A loop takes full vectors
and then one masked vector for what is left, so an element's value never depends on its position.

Sums run in a fixed order. A row is taken in blocks of 4096 elements, whose vectors go round-robin
into four accumulators; what they come to is added in float64, block after block and then lanes
pairwise. So the rounding error does not grow with the length of the row, and neither threads nor
chunks change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from backlit.native.expression import Graph, Node
from backlit.native.jit import Host
from backlit.native.vecmath import FUNCTIONS, maximum, minimum
from backlit.native.vector import Lanes, Vec, declare

_I64 = ir.IntType(64)
_I8 = ir.IntType(8)
_PTR = ir.PointerType()
_BLOCK = 4096  # elements of a row whose sum begins anew
_ACCUMULATORS = 4  # an addition takes four cycles, so cheap sums need four in flight
_CHEAP = 8  # vector instructions per element below which that matters
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "max": -math.inf, "min": math.inf}
COMBINE: dict[str, Callable[[Vec, Vec], Vec]] = {
    "sum": lambda x, y: x + y,
    "mean": lambda x, y: x + y,
    "max": maximum,
    "min": minimum,
}

# Cost from which a loop's body is emitted once, with a mask, where loads and stores have masks.
_DEAR = 40

Values = dict[int, Vec]
_VectorBody = Callable[[Any, list[Any], Vec | None], list[Any]]


def for_range(
    b: Any, start: Any, stop: Any, step: int, carried: list[Any], body: Callable[..., list[Any]]
) -> tuple[Any, list[Any]]:
    """`while i + step <= stop`; body(i, carried) returns the next carried values.

    Returns i and the carried values after the loop.
    """
    before = b.block
    head, inside = b.append_basic_block("head"), b.append_basic_block("inside")
    after = b.append_basic_block("after")
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(_I64)
    phis = [b.phi(value.type) for value in carried]
    following = b.add(index, _I64(step))
    b.cbranch(b.icmp_signed("<=", following, stop), inside, after)
    b.position_at_end(inside)
    results = body(index, phis)
    for phi, first, result in zip(
        [index, *phis], [start, *carried], [following, *results], strict=True
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(result, b.block)
    b.branch(head)
    b.position_at_end(after)
    return index, phis


class RowLoops:
    """Emits `void body(ptr inputs, ptr outputs, i64 cols, i64 begin, i64 end)`.

    begin and end count rows or, in a flat kernel, elements.
    """

    def __init__(self, graph: Graph, module: Any, host: Host, flat: bool) -> None:
        self.graph = graph
        self.flat = flat
        signature = ir.FunctionType(ir.VoidType(), [_PTR, _PTR, _I64, _I64, _I64])
        self.function = ir.Function(module, signature, "body")
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        dtypes = {n.dtype for n in graph.nodes} - {"bool"}
        dtype = "float64" if dtypes == {"float64"} else "float32"
        self.lanes = Lanes(self.b, dtype, host.width(dtype), host.scale_instruction)
        self.width = self.lanes.width
        self.dear: float = _DEAR if host.vector_bytes >= 32 else math.inf
        self.reductions = [i for i, n in enumerate(graph.nodes) if n.kind == "reduce"]
        self.stored, self.stored_level = self._shared_with_output()
        self.bases: dict[int, Any] = {}  # pointers to the arrays of input nodes
        self.rows: dict[int, Any] = {}  # … to their current rows
        self.out_bases: list[Any] = []
        self.out_rows: list[Any] = []

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
        if self.flat:
            self.rows, self.out_rows = self.bases, self.out_bases
            self._output_loop(self._invariants({}, 0, None), begin, end)
        else:
            for_range(self.b, begin, end, 1, [], lambda row, _: self._row(row, cols))
        self.b.ret_void()
        return self.function

    def _load_pointers(self) -> None:
        inputs, outputs = self.function.args[:2]
        for number, node in enumerate(self.graph.nodes):
            if isinstance(node.payload, tuple):
                self.bases[number] = self._pointer(inputs, node.payload[0])
        self.out_bases = [self._pointer(outputs, k) for k in range(len(self.graph.outputs))]

    def _pointer(self, table: Any, index: int) -> Any:
        return self.b.load(self.b.gep(table, [_I64(index)], source_etype=_PTR), typ=_PTR)

    def _row(self, row: Any, cols: Any) -> list[Any]:
        """Everything that happens for one row."""
        offset = self.b.mul(row, cols)
        graph = self.graph
        for number, base in self.bases.items():
            payload = graph.nodes[number].payload
            full = isinstance(payload, tuple) and payload[1] == "full"
            self.rows[number] = self._at(base, offset, graph.nodes[number].dtype) if full else base
        self.out_rows = [
            self._at(base, offset if graph.nodes[o].varies else row, graph.nodes[o].dtype)
            for o, base in zip(graph.outputs, self.out_bases, strict=True)
        ]
        known = self._invariants({}, 0, row)
        for level in range(1, max((graph.nodes[r].level for r in self.reductions), default=0) + 1):
            known |= self._reduce_loop(known, level, cols)
            known = self._invariants(known, level, row)
        if any(graph.nodes[o].varies for o in graph.outputs):
            self._output_loop(known, _I64(0), cols)
        for position, output in enumerate(graph.outputs):
            if not graph.nodes[output].varies:
                self._store_scalar(known[output], self.out_rows[position])
        return []

    def _invariants(self, known: Values, level: int, row: Any) -> Values:
        """Add the values that do not vary within a row and need `level` reductions before them."""
        known = dict(known)
        for number, node in enumerate(self.graph.nodes):
            if node.varies or node.level != level or node.kind == "reduce":
                continue
            if node.kind == "input":
                known[number] = self._broadcast_input(number, node, row)
            else:
                known[number] = self._value(node, known)
        return known

    # -- loops over the elements of a row --------------------------------------------------------
    def _output_loop(self, known: Values, start: Any, stop: Any) -> None:
        graph = self.graph
        varying = [(p, o) for p, o in enumerate(graph.outputs) if graph.nodes[o].varies]

        def step(index: Any, mask: Vec | None) -> list[Any]:
            values = self._evaluate(known, [o for _, o in varying], index, mask, last=True)
            for position, output in varying:
                self._store(values[output], self.out_rows[position], index, mask)
            return []

        dear = sum(graph.nodes[o].cost for _, o in varying) >= self.dear
        self._vectors(start, stop, [], lambda i, _, mask: step(i, mask), dear)

    def _reduce_loop(self, known: Values, level: int, cols: Any) -> Values:
        """All reductions of one level in one loop; returns their values.

        Cheap ones take four vectors a turn, each into its own accumulators. Dear ones take one
        and rotate the accumulators, which keeps the code small and the sums as accurate.
        """
        nodes = self.graph.nodes
        numbers = [r for r in self.reductions if nodes[r].level == level]
        count = len(numbers)
        neutral = [self._constant(nodes[r], _NEUTRAL[nodes[r].name]) for r in numbers]

        def add(index: Any, carried: list[Any], mask: Vec | None) -> list[Any]:
            """Add one vector to the first accumulators, which then go last."""
            roots = [nodes[r].args[0] for r in numbers]
            values = self._evaluate(known, roots, index, mask, after=level)
            if self.stored_level == level:
                self._store(values[self.stored], self.out_rows[0], index, mask)
            results = carried[count:]
            for r, total, zero in zip(numbers, carried, neutral, strict=False):
                value = values[nodes[r].args[0]]
                value = value if mask is None else mask.select(value, zero)
                results.append(COMBINE[nodes[r].name](value.lanes.wrap(total), value).ir)
            return results

        def unrolled(index: Any, carried: list[Any]) -> list[Any]:
            for copy in range(_ACCUMULATORS):
                carried = add(self.b.add(index, _I64(copy * self.width)), carried, None)
            return carried

        cost = sum(nodes[r].cost for r in numbers)

        def block(start: Any, totals: list[Any]) -> list[Any]:
            stop = self.b.add(start, _I64(_BLOCK))
            stop = self.b.select(self.b.icmp_signed("<", stop, cols), stop, cols)
            index, parts = start, [zero.ir for zero in neutral] * _ACCUMULATORS
            if cost < _CHEAP:
                step = _ACCUMULATORS * self.width
                index, parts = for_range(self.b, index, stop, step, parts, unrolled)
            parts = self._vectors(index, stop, parts, add, cost >= self.dear)
            return [
                self._total(nodes[r], parts[k::count], totals[k]) for k, r in enumerate(numbers)
            ]

        starts = [self._totals(nodes[r]).const(_NEUTRAL[nodes[r].name]).ir for r in numbers]
        beyond = self.b.add(cols, _I64(_BLOCK - 1))
        _, totals = for_range(self.b, _I64(0), beyond, _BLOCK, starts, block)
        return {r: self._finish(nodes[r], totals[k], cols) for k, r in enumerate(numbers)}

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
        """body(i, carried, mask) for the vectors from index to stop, the last one masked.

        Full vectors run without a mask (None), except where the body is dear: one masked copy of
        it then costs less than the second copy takes to compile.
        """
        b, width = self.b, self.width

        def masked(at: Any, values: list[Any]) -> list[Any]:
            i32 = ir.IntType(32)
            left = b.sub(stop, at)
            left = b.select(b.icmp_signed("<", left, _I64(width)), left, _I64(width))
            count = self._splat_any(b.trunc(left, i32), i32)
            numbers = ir.Constant(ir.VectorType(i32, width), list(range(width)))
            return body(at, values, self.lanes.wrap(b.icmp_signed("<", numbers, count)))

        if dear:
            beyond = b.add(stop, _I64(width - 1))
            return for_range(b, index, beyond, width, carried, masked)[1]
        index, carried = for_range(b, index, stop, width, carried, lambda i, v: body(i, v, None))
        before = b.block
        rest, after = b.append_basic_block("rest"), b.append_basic_block("after_rest")
        b.cbranch(b.icmp_signed("<", index, stop), rest, after)
        b.position_at_end(rest)
        results = masked(index, carried)
        end = b.block
        b.branch(after)
        b.position_at_end(after)
        out = []
        for plain, result in zip(carried, results, strict=True):
            phi = b.phi(plain.type)
            phi.add_incoming(plain, before)
            phi.add_incoming(result, end)
            out.append(phi)
        return out

    # -- values ----------------------------------------------------------------------------------
    def _evaluate(
        self,
        known: Values,
        roots: Iterable[int],
        index: Any,
        mask: Vec | None,
        *,
        after: int = 0,
        last: bool = False,
    ) -> Values:
        """The values of the roots, and of what they need, at elements index … index + W - 1."""
        values = dict(known)
        if self.stored >= 0 and (last or after > self.stored_level):
            dtype = self.graph.nodes[self.stored].dtype
            values[self.stored] = self._load(self.out_rows[0], dtype, index, mask)
        for number in self.graph.needed(roots, values):
            node = self.graph.nodes[number]
            if node.kind == "input":
                values[number] = self._load(self.rows[number], node.dtype, index, mask)
            else:
                values[number] = self._value(node, values)
        return values

    def _value(self, node: Node, values: Values) -> Vec:
        if isinstance(node.payload, float | int):
            return self._constant(node, node.payload)
        args = [values[a] for a in node.args]
        if node.name in FUNCTIONS:
            return FUNCTIONS[node.name].emit(*args)
        lanes = self.lanes.with_dtype(node.name)
        if isinstance(args[0].ir.type.element, ir.IntType):
            return Vec(lanes, args[0].ir).select(1.0, lanes.const(0.0))
        return args[0].to_dtype(node.name)

    def _constant(self, node: Node, value: float) -> Vec:
        return self.lanes.with_dtype(node.dtype).const(value)

    def _broadcast_input(self, number: int, node: Node, row: Any) -> Vec:
        """A scalar, or this row's value of a column, in all lanes."""
        is_column = isinstance(node.payload, tuple) and node.payload[1] == "column"
        address = self._at(self.bases[number], row if is_column else _I64(0), node.dtype)
        value = self.b.load(address, typ=self._element(node.dtype))
        if node.dtype == "bool":
            value = self.b.icmp_unsigned("!=", value, _I8(0))
            return self.lanes.wrap(self._splat_any(value, ir.IntType(1)))
        return self._splat(value, node.dtype)

    # -- memory ----------------------------------------------------------------------------------
    def _element(self, dtype: str) -> Any:
        return _I8 if dtype == "bool" else self.lanes.with_dtype(dtype).float_type.element

    def _at(self, pointer: Any, index: Any, dtype: str) -> Any:
        return self.b.gep(pointer, [index], source_etype=self._element(dtype))

    def _load(self, pointer: Any, dtype: str, index: Any, mask: Vec | None) -> Vec:
        element = self._element(dtype)
        kind, align = ir.VectorType(element, self.width), 8 if dtype == "float64" else 4
        align = 1 if dtype == "bool" else align
        address = self._at(pointer, index, dtype)
        if mask is None:
            value = self.b.load(address, align=align, typ=kind)
        else:
            name = f"llvm.masked.load.{_suffix(kind)}.p0"
            arguments = [_PTR, ir.IntType(32), mask.ir.type, kind]
            function = declare(self.b.module, name, kind, arguments)
            zero = ir.Constant(kind, None)
            value = self.b.call(function, [address, ir.IntType(32)(align), mask.ir, zero])
        if dtype == "bool":
            return self.lanes.wrap(self.b.icmp_unsigned("!=", value, ir.Constant(kind, None)))
        return self.lanes.with_dtype(dtype).wrap(value)

    def _store(self, value: Vec, pointer: Any, index: Any, mask: Vec | None) -> None:
        raw, dtype = self._raw(value)
        align = {"bool": 1, "float32": 4, "float64": 8}[dtype]
        address = self._at(pointer, index, dtype)
        if mask is None:
            self.b.store(raw, address, align=align)
            return
        name = f"llvm.masked.store.{_suffix(raw.type)}.p0"
        arguments = [raw.type, _PTR, ir.IntType(32), mask.ir.type]
        function = declare(self.b.module, name, ir.VoidType(), arguments)
        self.b.call(function, [raw, address, ir.IntType(32)(align), mask.ir])

    def _store_scalar(self, value: Vec, pointer: Any) -> None:
        raw, _ = self._raw(value)
        self.b.store(self.b.extract_element(raw, ir.IntType(32)(0)), pointer)

    def _raw(self, value: Vec) -> tuple[Any, str]:
        """A vector as it is stored: masks become bytes."""
        if isinstance(value.ir.type.element, ir.IntType):
            return self.b.zext(value.ir, ir.VectorType(_I8, self.width)), "bool"
        return value.ir, value.lanes.dtype

    def _shuffle(self, vector: Any, lanes: Iterable[int]) -> Any:
        order = list(lanes)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        return self.b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def _splat(self, scalar: Any, dtype: str) -> Vec:
        lanes = self.lanes.with_dtype(dtype)
        return lanes.wrap(self._splat_any(scalar, lanes.float_type.element))

    def _splat_any(self, scalar: Any, element: Any) -> Any:
        one = ir.Constant(ir.VectorType(element, self.width), ir.Undefined)
        first = self.b.insert_element(one, scalar, ir.IntType(32)(0))
        return self._shuffle(first, [0] * self.width)


def _suffix(vector_type: Any) -> str:
    """How intrinsics' names spell a vector type."""
    element = vector_type.element
    names = {ir.FloatType: "f32", ir.DoubleType: "f64"}
    scalar = f"i{element.width}" if isinstance(element, ir.IntType) else names[type(element)]
    return f"v{vector_type.count}{scalar}"
