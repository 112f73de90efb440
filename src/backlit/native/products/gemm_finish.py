"""What a product's kernel makes of its sums before they leave the cache: bias, activation.

The expression of a fused kernel, computed for one panel after the other. Its operands vary with
both indices of C, with one of them, or with none; its results are as large as C, and one of them
may be in the memory of C. Sizes are read from the context, so it is one function for all products.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from backlit.native.kernels.expression import Graph, Node
from backlit.native.kernels.vecmath import FUNCTIONS
from backlit.native.kernels.vector import Lanes, Vec
from backlit.native.machine import jit
from backlit.native.products.gemm_blocks import FINISH_TYPE, PLACES, RESULTS
from backlit.native.products.gemm_code import I64, PTR, VectorCode

Values = dict[int, Vec]


@dataclass(frozen=True, eq=False)
class Finish:
    """What is made of the sums: the graph of the results. C is the memory of an operand."""

    graph: Graph

    def text(self, dtype: str, width: int) -> str:
        """`void finish(ptr context, i64 row, i64 rows, i64 column)`, for rows of a panel."""
        code = VectorCode("finish", dtype, width)
        _Body(self.graph, code, dtype).emit()
        return str(code.module)


class _Body:
    """Emits a finish: vector after vector, row after row."""

    def __init__(self, graph: Graph, code: VectorCode, dtype: str) -> None:
        self.graph, self.code = graph, code
        self.context, self.row, self.rows, self.column = code.function("finish", FINISH_TYPE).args
        self.lanes = Lanes(code.b, dtype, code.width, jit.host().scale_instruction)
        first_operand = len(graph.outputs)
        self.results = [self._address(k) for k in range(first_operand)]
        self.operands = {
            number: self._address(first_operand + node.payload[0])
            for number, node in enumerate(graph.nodes)
            if isinstance(node.payload, tuple)
        }
        self.same, self.by_row, self.others = self._kinds()

    def _address(self, index: int) -> Any:
        return self.code.word(self.context, RESULTS + index, PTR)

    def _kinds(self) -> tuple[list[int], list[int], list[int]]:
        """The nodes whose values are the same everywhere, those of one value per row, the rest."""
        same: list[int] = []
        by_row: list[int] = []
        others: list[int] = []
        for number, node in enumerate(self.graph.nodes):
            moves = isinstance(node.payload, tuple) and node.payload[1] == "column"
            if node.varies:
                others.append(number)
            elif moves or any(a in by_row for a in node.args):
                by_row.append(number)
            else:
                same.append(number)
        return same, by_row, others

    def emit(self) -> None:
        code, b = self.code, self.code.b
        n, panel = (code.word(self.context, PLACES[name]) for name in ("n", "panel"))
        columns = code.least(panel, b.sub(n, self.column))
        whole = b.and_(columns, I64(-code.width))
        left = b.sub(columns, whole)
        last = code.first(left)
        same = self._values(self.same, {}, {}, None)

        def one(row: Any) -> None:
            first = b.add(b.mul(row, n), self.column)
            known = self._values(self.by_row, same, {"column": row}, None)
            code.loop(I64(0), whole, I64(code.width), lambda at: self._vector(known, first, at))
            with b.if_then(b.icmp_signed(">", left, I64(0))):
                self._vector(known, first, whole, last)

        code.loop(self.row, b.add(self.row, self.rows), I64(1), one)
        b.ret_void()

    def _vector(self, known: Values, first: Any, at: Any, mask: Any = None) -> None:
        """The results of one vector of a row, whose own begin at ``first``."""
        code = self.code
        place = code.b.add(first, at)
        places = {"full": place, "row": code.b.add(self.column, at)}
        values = self._values(self.others, known, places, mask)
        for output, base in zip(self.graph.outputs, self.results, strict=True):
            code.store(values[output].ir, code.offset(base, place), mask)

    def _values(
        self, wanted: Iterable[int], known: Values, places: dict[str, Any], mask: Any
    ) -> Values:
        """``known`` and the values of the nodes wanted; operands are read at ``places``."""
        code, values = self.code, dict(known)
        for number in wanted:
            node = self.graph.nodes[number]
            if not isinstance(node.payload, tuple):
                values[number] = self._value(node, values)
                continue
            extent, address = node.payload[1], self.operands[number]
            if extent in places:
                address = code.offset(address, places[extent])
            read = code.load(address, mask) if node.varies else self._number(address)
            values[number] = self.lanes.wrap(read)
        return values

    def _number(self, address: Any) -> Any:
        """One number in all lanes."""
        return self.code.splat(self.code.b.load(address, typ=self.code.scalar))

    def _value(self, node: Node, values: Values) -> Vec:
        if node.payload is not None:
            return self.lanes.const(node.payload)  # type: ignore[arg-type]
        args = [values[a] for a in node.args]
        if node.name in FUNCTIONS:
            return FUNCTIONS[node.name].emit(*args)
        return args[0].select(1.0, self.lanes.const(0.0))  # a mask as numbers
