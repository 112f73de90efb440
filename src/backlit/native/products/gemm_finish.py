"""What a product's kernel makes of its sums before they leave the cache: bias, activation.

The expression of a fused kernel, computed for one tile after the other. Its operands vary with both
indices of C, with one of them, or with none; its results are as large as C, and one of them may be
in the memory of C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backlit.native.kernels.expression import Graph, Node
from backlit.native.kernels.vecmath import FUNCTIONS
from backlit.native.kernels.vector import Lanes, Vec
from backlit.native.machine import jit
from backlit.native.products.gemm_plan import Product
from backlit.native.products.gemm_tiles import I64, PTR, Code

_RESULTS = 4  # word of the context where those begin, then the operands; first A, B, C, scratch

Values = dict[int, Vec]


@dataclass(frozen=True, eq=False)
class Finish:
    """What is made of the sums: the graph of the results. C is the memory of an operand."""

    graph: Graph

    def _by_row(self) -> set[int]:
        """The nodes whose values differ from row to row."""
        found: set[int] = set()
        for number, node in enumerate(self.graph.nodes):
            moves = isinstance(node.payload, tuple) and node.payload[1] in ("full", "column")
            if moves or any(a in found for a in node.args):
                found.add(number)
        return found

    def emit(self, code: Code, product: Product, columns: int) -> Any:
        """`void finish(ptr context, i64 row, i64 rows, i64 column)` for tiles so wide."""
        function = code.function(f"finish_{columns}", [PTR, I64, I64, I64])
        context, row, rows, column = function.args
        lanes = Lanes(code.b, product.dtype, code.width, jit.host().scale_instruction)
        nodes, by_row = self.graph.nodes, self._by_row()
        operands = {i: n.payload for i, n in enumerate(nodes) if isinstance(n.payload, tuple)}
        first_operand = _RESULTS + len(self.graph.outputs)
        bases = {
            number: code.word(context, first_operand + index, PTR)
            for number, (index, _) in operands.items()
        }
        results = [code.word(context, _RESULTS + k, PTR) for k in range(len(self.graph.outputs))]
        starts = range(0, columns, code.width)
        same = set(range(len(nodes))) - by_row
        known = [
            self._values(code, lanes, {}, bases, code.b.add(column, I64(v)), columns - v, same)
            for v in starts
        ]

        def one(index: Any) -> None:
            place = code.sum(index, product.n, column, 1)
            per_row = {
                number: self._number(code, lanes, code.offset(bases[number], index))
                for number, (_, extent) in operands.items()
                if extent == "column"
            }
            for v, first in zip(starts, known, strict=True):
                at = code.b.add(place, I64(v))
                values = self._values(code, lanes, first | per_row, bases, at, columns - v, by_row)
                for output, base in zip(self.graph.outputs, results, strict=True):
                    code.store(values[output].ir, code.offset(base, at), columns - v)

        code.loop(row, code.b.add(row, rows), 1, one)
        code.b.ret_void()
        return function

    def _values(
        self,
        code: Code,
        lanes: Lanes,
        known: Values,
        bases: dict[int, Any],
        index: Any,
        count: int,
        wanted: set[int],
    ) -> Values:
        """The values of the nodes wanted, of ``count`` columns from ``index`` on."""
        values = dict(known)
        for number, node in enumerate(self.graph.nodes):
            if number not in wanted or number in values:
                continue
            if not isinstance(node.payload, tuple):
                values[number] = self._value(lanes, node, values)
            elif node.payload[1] == "scalar":
                values[number] = self._number(code, lanes, bases[number])
            else:
                values[number] = lanes.wrap(code.load(code.offset(bases[number], index), count))
        return values

    @staticmethod
    def _number(code: Code, lanes: Lanes, address: Any) -> Vec:
        """One number in all lanes."""
        return lanes.wrap(code.splat(code.b.load(address, typ=code.scalar)))

    @staticmethod
    def _value(lanes: Lanes, node: Node, values: Values) -> Vec:
        if node.payload is not None:
            return lanes.const(node.payload)  # type: ignore[arg-type]
        args = [values[a] for a in node.args]
        if node.name in FUNCTIONS:
            return FUNCTIONS[node.name].emit(*args)
        return args[0].select(1.0, lanes.const(0.0))  # a mask as numbers
