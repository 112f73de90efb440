"""The loops of a fused kernel whose rows are shorter than a vector.

One row after the other, most lanes would be idle and every reduction would end in a chain of
shuffles. So a turn takes W rows, W × cols elements that lie one after the other as `cols` vectors.
With reductions along the rows the matrix is *turned*: its vectors become columns, one row in each
lane, and a reduction is an addition of vectors. Without, the elements stay as they lie, and what
depends on the column alone is laid out in the same pattern once, before the loop.

The number of columns is part of the machine code.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from backlit.native.kernels.expression import Graph, Node
from backlit.native.kernels.kernelbody import COMBINE, KernelBody, for_range
from backlit.native.kernels.turning import Turn, merged
from backlit.native.kernels.vecmath import FUNCTIONS
from backlit.native.kernels.vector import Lanes, Vec, lane_numbers
from backlit.native.machine.jit import Host

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_MOST_COLUMNS = 12
_MOST_INSTRUCTIONS = 600  # in the body of the loop, so that it compiles in some 20 ms
_DEAR = 12  # instructions from which a function is called, not repeated for every column
_FEW_COLUMNS = 4  # up to which the body is emitted twice, with and without masks

Columns = dict[int, list[Vec]]  # of a node: one vector per column, or one for all


def is_narrow(graph: Graph, cols: int) -> bool:
    """Whether rows of this length are better taken many at a time."""
    if cols > _MOST_COLUMNS:
        return False
    sizes = (_own_cost(n) * (cols if n.varies else 1) for n in graph.nodes)
    return sum(sizes) <= _MOST_INSTRUCTIONS


def _own_cost(node: Node) -> int:
    return FUNCTIONS[node.name].cost if node.name in FUNCTIONS else 1


class NarrowLoops(KernelBody):
    """Emits the same function as `RowLoops`, for rows of ``columns`` elements."""

    def __init__(self, graph: Graph, module: Any, host: Host, columns: int) -> None:
        super().__init__(graph, module, host)
        self.columns = columns
        extents = {n.payload[1] for n in graph.nodes if isinstance(n.payload, tuple)}
        varying = all(graph.nodes[o].varies for o in graph.outputs)
        self.is_turned = bool(self.reductions) or "column" in extents or not varying

    def emit(self) -> Any:
        """Emit the whole function and return it."""
        b, width = self.b, self.width
        begin, end = self.function.args[3:]
        self._load_pointers()
        known = self._same_in_all_rows()
        if self.columns > _FEW_COLUMNS and self.has_masks:
            beyond = b.add(end, _I64(width - 1))

            def some(index: Any, _: list[Any]) -> list[Any]:
                left = b.sub(end, index)
                few = b.icmp_signed("<", left, _I64(width))
                return self._rows(known, index, b.select(few, left, _I64(width)))

            for_range(b, begin, beyond, width, [], some)
        else:
            index, _ = for_range(b, begin, end, width, [], lambda i, _: self._rows(known, i, None))
            rest, after = b.append_basic_block("rest"), b.append_basic_block("after_rest")
            b.cbranch(b.icmp_signed("<", index, end), rest, after)
            b.position_at_end(rest)
            self._rows(known, index, b.sub(end, index))
            b.branch(after)
            b.position_at_end(after)
        b.ret_void()
        return self.function

    # -- values --------------------------------------------------------------------------------

    def _same_in_all_rows(self) -> Columns:
        """The inputs that are one number or one row, and what follows from them alone."""
        known: Columns = {}
        for number, node in enumerate(self.graph.nodes):
            if isinstance(node.payload, tuple):
                if node.payload[1] == "scalar":
                    known[number] = [self._broadcast_input(number, node, None)]
                elif node.payload[1] == "row":
                    known[number] = self._pattern(number, node)
            elif node.kind == "const":
                known[number] = [self._constant(node, float(node.payload or 0.0))]
            elif node.kind == "call" and all(a in known for a in node.args):
                known[number] = self._call(node, known)
        return known

    def _pattern(self, number: int, node: Node) -> list[Vec]:
        """A row's elements: each in all lanes of a vector, or one after the other, repeated."""
        numbers = [self._element_at(number, node, _I64(j)) for j in range(self.columns)]
        if self.is_turned:
            return [self._in_all_lanes(x, node.dtype) for x in numbers]
        found = []
        for k in range(self.columns):
            element = ir.IntType(1) if node.dtype == "bool" else numbers[0].type
            vector = ir.Constant(ir.VectorType(element, self.width), ir.Undefined)
            for lane in range(self.width):
                value = numbers[(k * self.width + lane) % self.columns]
                vector = self.b.insert_element(vector, value, _I32(lane))
            found.append(self.lanes.with_dtype(_lanes_of(node.dtype)).wrap(vector))
        return found

    def _element_at(self, number: int, node: Node, index: Any) -> Any:
        address = self._at(self.bases[number], index, node.dtype)
        value = self.b.load(address, typ=self._element(node.dtype))
        if node.dtype == "bool":
            value = self.b.icmp_unsigned("!=", value, ir.IntType(8)(0))
        return value

    def _in_all_lanes(self, value: Any, dtype: str) -> Vec:
        vector = self._splat_any(value, value.type)
        return self.lanes.with_dtype(_lanes_of(dtype)).wrap(vector)

    def _rows(self, known: Columns, row: Any, left: Any) -> list[Any]:
        """All that happens for W rows from ``row`` on; ``left`` of them where that is not None."""
        values = dict(known)
        offset = self.b.mul(row, _I64(self.columns))
        for number, node in enumerate(self.graph.nodes):
            if number in values:
                continue
            if node.kind == "input":
                values[number] = self._input(number, node, row, offset, left)
            elif node.kind == "reduce":
                values[number] = [self._reduced(node, values[node.args[0]])]
            else:
                values[number] = self._call(node, values)
        for output, base in zip(self.graph.outputs, self.out_bases, strict=True):
            node = self.graph.nodes[output]
            if node.varies:
                self._write(node, values[output], self._at(base, offset, node.dtype), left)
            else:
                self._store(values[output][0], base, row, self._mask(left, 0))
        return []

    def _call(self, node: Node, values: Columns) -> list[Vec]:
        parts = [values[a] for a in node.args]
        count = max((len(p) for p in parts), default=1)
        if count > _FEW_COLUMNS and node.name in FUNCTIONS and _own_cost(node) >= _DEAR:
            function = self._function(node.name, [p[0].ir.type for p in parts], parts[0][0].lanes)
            calls = [self.b.call(function, [p[k % len(p)].ir for p in parts]) for k in range(count)]
            return [parts[0][0].lanes.wrap(call) for call in calls]
        return [
            self._value(node, {a: p[k % len(p)] for a, p in zip(node.args, parts, strict=True)})
            for k in range(count)
        ]

    def _function(self, name: str, kinds: list[Any], lanes: Lanes) -> Any:
        """A function of vectors as a function of the module, so that its code is there once."""
        label = f"{name}.{lanes.dtype}"
        if label not in self.b.module.globals:
            made = ir.Function(self.b.module, ir.FunctionType(kinds[0], kinds), label)
            made.linkage = "internal"
            made.attributes.add("noinline")
            builder = ir.IRBuilder(made.append_basic_block())
            inside = Lanes(builder, lanes.dtype, lanes.width, lanes.scale_instruction)
            result = FUNCTIONS[name].emit(*(inside.wrap(a) for a in made.args))
            builder.ret(result.ir)
        return self.b.module.globals[label]

    def _reduced(self, node: Node, columns: list[Vec]) -> Vec:
        """The columns combined pairwise."""
        parts = columns if len(columns) == self.columns else columns * self.columns
        while len(parts) > 1:
            pairs = [parts[k : k + 2] for k in range(0, len(parts), 2)]
            parts = [COMBINE[node.name](*p) if len(p) == 2 else p[0] for p in pairs]
        return parts[0] / float(self.columns) if node.name == "mean" else parts[0]

    # -- memory --------------------------------------------------------------------------------

    def _mask(self, left: Any, start: int) -> Vec | None:
        """Which lanes from element ``start`` on are among the ``left`` first; None: all."""
        if left is None:
            return None
        count = self._splat_any(self.b.trunc(left, _I32), _I32)
        places = lane_numbers(range(start, start + self.width))
        return self.lanes.wrap(self.b.icmp_signed("<", places, count))

    def _parts(self, left: Any) -> list[tuple[int, Vec | None]]:
        """Where in W rows the vectors begin that are loaded and stored, and their masks.

        Each is a row where rows are long enough, else the elements lie one after the other.
        """
        if not self._by_rows:
            count = None if left is None else self.b.mul(left, _I64(self.columns))
            starts = [k * self.width for k in range(self.columns)]
            return [(at, self._mask(count, at)) for at in starts]
        lanes = ir.VectorType(ir.IntType(1), self.width)
        inside, none = ir.IntType(self.width)((1 << self.columns) - 1), ir.IntType(self.width)(0)
        parts: list[tuple[int, Vec | None]] = []
        for r in range(self.width):
            bits = inside
            if left is not None:
                bits = self.b.select(self.b.icmp_signed(">", left, _I64(r)), inside, none)
            parts.append((r * self.columns, self.lanes.wrap(self.b.bitcast(bits, lanes))))
        return parts

    @property
    def _by_rows(self) -> bool:
        return self.is_turned and _FEW_COLUMNS < self.columns <= self.width

    def turns(self) -> set[Turn]:
        """The functions that the code calls."""
        if not self._by_rows:
            return set()
        nodes = self.graph.nodes
        read = [n for n in nodes if isinstance(n.payload, tuple) and n.payload[1] == "full"]
        written = [nodes[o] for o in self.graph.outputs if nodes[o].varies]
        found = {self._turns(n)[0] for n in read}
        return found | {self._turns(n)[1] for n in written}

    def _turns(self, node: Node) -> tuple[Turn, Turn]:
        """From rows to columns, and back."""
        width, columns = self.width, self.columns
        return Turn(node.dtype, width, width, columns), Turn(node.dtype, width, columns, width)

    def _turned(self, turn: Turn, vectors: list[Any]) -> list[Any]:
        found = self.b.call(turn.declared(self.b.module), vectors)
        return [self.b.extract_value(found, i) for i in range(turn.wanted)]

    def _input(self, number: int, node: Node, row: Any, start: Any, left: Any) -> list[Vec]:
        base = self.bases[number]
        if isinstance(node.payload, tuple) and node.payload[1] == "column":
            return [self._load(base, node.dtype, row, self._mask(left, 0))]
        first = self._at(base, start, node.dtype)
        found = [self._load(first, node.dtype, _I64(at), mask) for at, mask in self._parts(left)]
        if not self.is_turned:
            return found
        vectors = [v.ir for v in found]
        if self._by_rows:
            turned = self._turned(self._turns(node)[0], vectors)
        else:
            turned = self._rearranged(
                vectors, lambda j, lane: divmod(lane * self.columns + j, self.width)
            )
        return [Vec(found[0].lanes, v) for v in turned]

    def _write(self, node: Node, columns: list[Vec], first: Any, left: Any) -> None:
        parts = columns if len(columns) == self.columns else columns * self.columns
        if self.is_turned:
            lanes, vectors = parts[0].lanes, [v.ir for v in parts]
            if self._by_rows:
                turned = self._turned(self._turns(node)[1], vectors)
            else:
                turned = self._rearranged(
                    vectors, lambda k, lane: divmod(k * self.width + lane, self.columns)[::-1]
                )
            parts = [Vec(lanes, v) for v in turned]
        for part, (at, mask) in zip(parts, self._parts(left), strict=True):
            self._store(part, first, _I64(at), mask)

    def _rearranged(self, vectors: list[Any], source: Any) -> list[Any]:
        """New vectors; ``source(k, lane)`` says which vector and lane comes to each lane."""
        found = []
        for k in range(self.columns):
            places = [source(k, lane) for lane in range(self.width)]
            vector: Any = None
            for part in sorted({v for v, _ in places}):
                if vector is None:
                    order = [lane if v == part else 0 for v, lane in places]
                    vector = self._shuffle(vectors[part], order)
                    continue
                order = [
                    self.width + lane if v == part else i for i, (v, lane) in enumerate(places)
                ]
                vector = merged(self.b, vector, vectors[part], order)
            found.append(vector)
        return found


def _lanes_of(dtype: str) -> str:
    return "float32" if dtype == "bool" else dtype
