"""The innermost part of generated matrix products: tiles of C.

A tile of `rows` × `vectors` registers of C takes steps of k one after another: a step loads one row
of B's panel, broadcasts one value of A per row of the tile, and multiplies and adds.

Its shape is compiled in; strides, and how many columns the last vector has, are read from a *group*
of words. So the tiles of a shape are one function for all products, compiled once. It computes any
number of them, one below the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range
from backlit.native.kernels.vector import declare
from backlit.native.products.gemm_code import I1, I64, PTR, VOID, VectorCode

# The words of a group. Strides are in bytes.
TILE, PACK, FINISH = range(3)  # addresses of code: this, B's packer, the finish; 0: none
PANEL_STEP = 3  # from one row of B's panel to the next
C_ROW = 4  # from one row of C to the next
LAST = 5  # a bit for each column of the last vector
A_STRIDE = 6  # from one row of op(A) to the next, or where rows lie side by side, one step of k
A_TILE = 7  # from the rows of op(A) that one tile reads to those of the next
CLAIM = 8  # log₂ of the steps of k per line of C that is asked for
GROUP = 9

_TURN = 8  # multiply-adds per turn of the inner loop: more take as long as one waits for the last
TILES_TYPE = ir.FunctionType(VOID, [PTR, PTR, PTR, I64, I1, PTR, I64])


@dataclass(frozen=True)
class Tile:
    """One shape of tile.

    Attributes:
        masked: the last vector is not a full one.
        adjacent: whether the rows of op(A) lie side by side; else its steps of k do.
        claims: C is so large that its lines are asked for meanwhile.
    """

    dtype: str
    width: int
    rows: int
    vectors: int
    masked: bool
    adjacent: bool
    claims: bool

    @property
    def name(self) -> str:
        """Of the function; the columns of a masked one end within the last vector."""
        columns = f"{self.vectors * self.width}" + ("_part" if self.masked else "")
        return f"tiles_{self.rows}x{columns}"

    def text(self) -> str:
        """`void tiles(ptr a, ptr panel, ptr c, i64 steps, i1 from_zero, ptr group, i64 count)`"""
        code = VectorCode("tiles", self.dtype, self.width)
        _Body(self, code).emit()
        return str(code.module)

    def claim_shift(self, steps: int) -> int:
        """The word CLAIM, for so many steps of k."""
        lines = self.rows << self.column_bits
        return max(1, steps // lines).bit_length() - 1

    @property
    def column_bits(self) -> int:
        """Bits that number the vectors of a row."""
        return (self.vectors - 1).bit_length()


class _Body:
    """Emits a tile."""

    def __init__(self, tile: Tile, code: VectorCode) -> None:
        self.tile, self.code = tile, code
        function = code.function(tile.name, TILES_TYPE)
        for argument in function.args[:3]:
            argument.add_attribute("noalias")
        self.a, self.panel, self.c, self.steps, self.from_zero, self.group, self.count = (
            function.args
        )
        self.panel_step, self.c_row, self.a_stride, self.a_tile, self.claim_shift = (
            code.word(self.group, k) for k in (PANEL_STEP, C_ROW, A_STRIDE, A_TILE, CLAIM)
        )
        self.last = code.mask(code.word(self.group, LAST)) if tile.masked else None
        self.a_rows = [self._a_row(row) for row in range(tile.rows)]
        self.fma = declare(code.module, f"llvm.fma.{code.suffix}", code.vector, [code.vector] * 3)

    def _a_row(self, row: int) -> Any:
        """Bytes from the tile's first row of op(A) to this one.

        That rows are equally far apart is kept from LLVM: it would go from each to the next by
        adding, in every step, instead of having a register for each.
        """
        if self.tile.adjacent or not row:
            return I64(row * self.code.item)
        product = self.code.b.mul(self.a_stride, I64(row))
        return self.code.b.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [product], False)

    def emit(self) -> None:
        code = self.code
        c_tile = code.b.mul(self.c_row, I64(self.tile.rows))

        def one(_: Any, carried: list[Any]) -> list[Any]:
            a, c = carried
            self._tile(a, c)
            return [code.bytes(a, self.a_tile), code.bytes(c, c_tile)]

        for_range(code.b, I64(0), self.count, 1, [self.a, self.c], one)
        code.b.ret_void()

    def _tile(self, a: Any, c: Any) -> None:
        totals = self._start(c)
        unroll = max(1, min(4, _TURN // len(totals)))
        index, carried = self._steps(c, I64(0), unroll, [a, self.panel, *totals])
        if unroll > 1:
            _, carried = self._steps(c, index, 1, carried)
        for value, (address, mask) in zip(carried[2:], self._places(c), strict=True):
            self.code.store(value, address, mask)

    def _places(self, c: Any) -> list[tuple[Any, Any]]:
        """The addresses of a tile's vectors, row by row, and their masks."""
        code, places = self.code, []
        for i in range(self.tile.rows):
            c = code.bytes(c, self.c_row) if i else c
            for v in range(self.tile.vectors):
                places.append((code.at(c, v * code.width), self._mask(v)))
        return places

    def _mask(self, vector: int) -> Any:
        return self.last if vector == self.tile.vectors - 1 else None

    def _start(self, c: Any) -> list[Any]:
        """What the sums start from: zero, or C."""
        code, b = self.code, self.code.b
        before, read, start = b.block, b.append_basic_block("read"), b.append_basic_block("start")
        b.cbranch(self.from_zero, start, read)
        b.position_at_end(read)
        loaded = [code.load(address, mask) for address, mask in self._places(c)]
        b.branch(start)
        b.position_at_end(start)
        totals = []
        for value in loaded:
            phi = b.phi(code.vector)
            phi.add_incoming(code.zero, before)
            phi.add_incoming(value, read)
            totals.append(phi)
        return totals

    def _steps(self, c: Any, start: Any, count: int, carried: list[Any]) -> tuple[Any, list[Any]]:
        """A loop that takes `count` steps of k per turn."""

        def turn(index: Any, carried: list[Any]) -> list[Any]:
            if self.tile.claims:
                self._claim(c, index)
            for _ in range(count):
                carried = self._step(*carried)
            return carried

        return for_range(self.code.b, start, self.steps, count, carried, turn)

    def _step(self, a: Any, panel: Any, *totals: Any) -> list[Any]:
        """One step of k: a column of A's rows times a row of B's panel."""
        code = self.code
        line = [
            code.load(code.at(panel, v * code.width), self._mask(v))
            for v in range(self.tile.vectors)
        ]
        results: list[Any] = []
        for row in self.a_rows:
            factor = code.splat(code.b.load(code.bytes(a, row), typ=code.scalar))
            for vector in line:
                results.append(code.b.call(self.fma, [factor, vector, totals[len(results)]]))
        step = self.a_stride if self.tile.adjacent else I64(code.item)
        return [code.bytes(a, step), code.bytes(panel, self.panel_step), *results]

    def _claim(self, c: Any, index: Any) -> None:
        """Ask for the lines of C one after another: at the end all would be waited for."""
        code, b, bits = self.code, self.code.b, self.tile.column_bits
        number = b.lshr(index, self.claim_shift)
        row = code.bytes(c, b.mul(b.lshr(number, I64(bits)), self.c_row))
        column = b.mul(b.and_(number, I64((1 << bits) - 1)), I64(code.width))
        code.claim(code.offset(row, column))
