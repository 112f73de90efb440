"""Sums, maxima and minima down the columns of a matrix, as bodies for chunks of columns.

Rows are taken in blocks of 128, and the results of the blocks combined in order, sums in float64:
the rounding error of a sum does not grow with the number of rows. A chunk takes a
strip of columns wide enough for four vectors at a time, so results do not depend on how the strips
are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range
from backlit.native.kernels.vecmath import maximum, minimum
from backlit.native.kernels.vector import Lanes, Vec, declare
from backlit.native.machine.jit import Host

_I64 = ir.IntType(64)
_PTR = ir.PointerType()
_BLOCK = 128  # rows
_AT_ONCE = 4  # vectors
OPERATIONS: dict[str, tuple[float, Callable[[Vec, Vec], Vec]]] = {
    "sum": (0.0, lambda x, y: x + y),
    "amax": (-math.inf, maximum),
    "amin": (math.inf, minimum),
}


def names() -> list[str]:
    """The bodies that `module_text` can define."""
    return [f"{d}_{op}_columns" for d in ("float32", "float64") for op in OPERATIONS]


def module_text(name: str, host: Host) -> str:
    """The module of a body, `void body(ptr context, i64 i)`.

    The context is {x, out, rows, cols, strips, width}:

    x has shape (outer, rows, cols), out (outer, cols); chunk i is strip i mod strips, columns
    from (i mod strips) · width on, of the matrix i div strips.
    """
    module = ir.Module("columns")
    dtype, op, _ = name.split("_")
    _Body(module, host, dtype, op).emit()
    return str(module)


class _Body:
    def __init__(self, module: Any, host: Host, dtype: str, op: str) -> None:
        signature = ir.FunctionType(ir.VoidType(), [_PTR, _I64])
        self.function = ir.Function(module, signature, f"{dtype}_{op}_columns")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.lanes = Lanes(self.b, dtype, host.width(dtype))
        self.neutral, self.combine = OPERATIONS[op]
        self.totals = self.lanes.with_dtype("float64") if op == "sum" else self.lanes
        self.align = 4 if dtype == "float32" else 8

    def _field(self, k: int, kind: Any) -> Any:
        return self.b.load(
            self.b.gep(self.function.args[0], [_I64(k)], source_etype=_I64), typ=kind
        )

    def emit(self) -> None:
        b, width = self.b, self.lanes.width
        x, out = self._field(0, _PTR), self._field(1, _PTR)
        self.rows, self.cols = self._field(2, _I64), self._field(3, _I64)
        strips, strip = self._field(4, _I64), self._field(5, _I64)
        outer = b.sdiv(self.function.args[1], strips)
        begin = b.mul(b.srem(self.function.args[1], strips), strip)
        end = b.add(begin, strip)
        end = b.select(b.icmp_signed("<", end, self.cols), end, self.cols)
        self.x = self._at(x, b.mul(outer, b.mul(self.rows, self.cols)))
        self.out = self._at(out, b.mul(outer, self.cols))
        j, _ = for_range(
            b, begin, end, _AT_ONCE * width, [], lambda j, _: self._strip(j, _AT_ONCE, None)
        )
        j, _ = for_range(b, j, end, width, [], lambda j, _: self._strip(j, 1, None))
        rest, after = b.append_basic_block("rest"), b.append_basic_block("after_rest")
        b.cbranch(b.icmp_signed("<", j, end), rest, after)
        b.position_at_end(rest)
        self._strip(j, 1, self._mask(b.sub(end, j)))
        b.branch(after)
        b.position_at_end(after)
        b.ret_void()

    def _at(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index], source_etype=self.lanes.float_type.element)

    def _mask(self, left: Any) -> Any:
        width, i32 = self.lanes.width, ir.IntType(32)
        one = ir.Constant(ir.VectorType(i32, width), ir.Undefined)
        first = self.b.insert_element(one, self.b.trunc(left, i32), i32(0))
        zeros = ir.Constant(ir.VectorType(i32, width), [0] * width)
        count = self.b.shuffle_vector(first, one, zeros)
        numbers = ir.Constant(ir.VectorType(i32, width), list(range(width)))
        return self.b.icmp_signed("<", numbers, count)

    def _strip(self, j: Any, vectors: int, mask: Any) -> list[Any]:
        """All rows of the columns from j on; a single vector takes four rows at a time."""
        b = self.b
        rows_at_once = _AT_ONCE if vectors == 1 else 1
        neutral = [self.lanes.const(self.neutral).ir] * (vectors * rows_at_once)

        def add(row: Any, parts: list[Any], count: int) -> list[Any]:
            made = []
            for r in range(count):
                start = b.add(b.mul(b.add(row, _I64(r)), self.cols), j)
                for v in range(vectors):
                    at = self._at(self.x, b.add(start, _I64(v * self.lanes.width)))
                    made.append(self._combined(parts[r * vectors + v], self._load(at, mask)))
            return [*made, *parts[len(made) :]]

        def block(row: Any, totals: list[Any]) -> list[Any]:
            end = b.add(row, _I64(_BLOCK))
            end = b.select(b.icmp_signed("<", end, self.rows), end, self.rows)
            at, parts = for_range(
                b, row, end, rows_at_once, neutral, lambda r, p: add(r, p, rows_at_once)
            )
            if rows_at_once > 1:
                _, parts = for_range(b, at, end, 1, parts, lambda r, p: add(r, p, 1))
            while len(parts) > vectors:
                half = len(parts) // 2
                parts = [
                    self._combined(p, q) for p, q in zip(parts[:half], parts[half:], strict=True)
                ]
            wide = (self.lanes.wrap(p).to_dtype(self.totals.dtype) for p in parts)
            return [
                self.combine(self.totals.wrap(t), w).ir for t, w in zip(totals, wide, strict=True)
            ]

        beyond = b.add(self.rows, _I64(_BLOCK - 1))
        start = [self.totals.const(self.neutral).ir] * vectors
        _, totals = for_range(b, _I64(0), beyond, _BLOCK, start, block)
        for v, total in enumerate(totals):
            result = self.totals.wrap(total).to_dtype(self.lanes.dtype).ir
            self._store(result, self._at(self.out, b.add(j, _I64(v * self.lanes.width))), mask)
        return []

    def _combined(self, x: Any, y: Any) -> Any:
        return self.combine(self.lanes.wrap(x), self.lanes.wrap(y)).ir

    def _load(self, address: Any, mask: Any) -> Any:
        kind = self.lanes.float_type
        if mask is None:
            return self.b.load(address, align=self.align, typ=kind)
        name = f"llvm.masked.load.v{self.lanes.width}{self.lanes.format.suffix}.p0"
        arguments = [_PTR, ir.IntType(32), mask.type, kind]
        function = declare(self.b.module, name, kind, arguments)
        zero = ir.Constant(kind, None)
        return self.b.call(function, [address, ir.IntType(32)(self.align), mask, zero])

    def _store(self, value: Any, address: Any, mask: Any) -> None:
        if mask is None:
            self.b.store(value, address, align=self.align)
            return
        name = f"llvm.masked.store.v{self.lanes.width}{self.lanes.format.suffix}.p0"
        arguments = [value.type, _PTR, ir.IntType(32), mask.type]
        function = declare(self.b.module, name, ir.VoidType(), arguments)
        self.b.call(function, [value, address, ir.IntType(32)(self.align), mask])
