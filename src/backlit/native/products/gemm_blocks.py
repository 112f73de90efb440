"""The walk of generated matrix products over C.

    block → `depth` steps of k → panel of columns → tile of rows; after the last steps, its finish

It is one piece of code for all products. Sizes, strides, and the addresses of the code for tiles,
copies and finishes are words of its context, as `gemm.words` lays them out.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from backlit.native.products.gemm_code import I8, I64, PTR, VOID, Code
from backlit.native.products.gemm_packing import PACK_TYPE
from backlit.native.products.gemm_tiles import (
    C_ROW,
    FINISH,
    GROUP,
    PACK,
    PANEL_STEP,
    TILE,
    TILES_TYPE,
)

# The context: addresses, …
A, B, C, SCRATCH = range(4)
# … sizes, in elements, …
SIZES = (
    "m", "n", "k", "item",
    "rows", "panel", "depth",  # of a tile, and of a panel
    "parts", "bands", "blocks", "row_tiles",  # how many
    "block_rows", "block_columns",
    "finish_rows",  # that are finished at a time, whole tiles
    "accumulates",  # 1 if C is added to
    "panel_bytes",  # 0 if B is read where it is
    # In bytes: from a row (column) to the next, from one step of k to the next.
    "a_row", "a_step", "b_column", "b_step", "tile_row", "tile_step",
    "a_line", "b_line",  # from one row, as stored, to the next
    "packs_a",  # address of the code that copies A, or 0
)  # fmt: skip
PLACES = {name: place for place, name in enumerate(SIZES, SCRATCH + 1)}
# … and groups: of full tiles, of those in the last column; the same of the last row.
GROUPS = SCRATCH + 1 + len(SIZES)
RESULTS = GROUPS + 4 * GROUP  # where those begin, then the operands of a finish
# Where a context has addresses of code.
CODE = [PLACES["packs_a"]] + [
    GROUPS + GROUP * g + word for g in range(4) for word in (TILE, PACK, FINISH)
]

LINE = 64  # bytes
WALK_TYPE = ir.FunctionType(VOID, [PTR, I64])
FINISH_TYPE = ir.FunctionType(VOID, [PTR, I64, I64, I64])


EXPORTS = ("block", "pack")


def text() -> str:
    """The module of

    - `void block(ptr context, i64 i)`: one block of C
    - `void pack(ptr context, i64 i)`: one tile's rows of op(A) into the scratch, if A is packed
    """
    code = Code("products")
    _Block(code)
    _pack(code)
    return str(code.module)


class _Walk:
    """A function of a context and a number, and the context's words."""

    def __init__(self, code: Code, name: str) -> None:
        self.code = code
        self.context, self.index = code.function(name, WALK_TYPE).args

    def word(self, name: str) -> Any:
        return self.code.word(self.context, PLACES[name])

    def address(self, place: int) -> Any:
        return self.code.word(self.context, place, PTR)

    def steps(self, part: Any) -> tuple[Any, Any]:
        """The first step of a part of k, and how many there are."""
        depth = self.word("depth")
        k0 = self.code.b.mul(part, depth)
        return k0, self.code.least(depth, self.code.b.sub(self.word("k"), k0))

    def range(self, index: Any, size: Any, whole: Any) -> tuple[Any, Any]:
        start = self.code.b.mul(index, size)
        return start, self.code.least(self.code.b.add(start, size), whole)


def _pack(code: Code) -> None:
    """The copy of A: [part of k][tile][step][row], the same number of rows in every tile but the
    last."""
    walk, b = _Walk(code, "pack"), code.b
    row, stop = walk.range(walk.index, walk.word("rows"), walk.word("m"))
    rows, item = b.sub(stop, row), walk.word("item")
    source = code.bytes(walk.address(A), b.mul(row, walk.word("a_row")))
    target = code.bytes(walk.address(SCRATCH), b.mul(row, walk.word("tile_row")))
    copy = b.inttoptr(walk.word("packs_a"), PTR)

    def part(number: Any) -> None:
        k0, steps = walk.steps(number)
        here = code.bytes(source, b.mul(k0, walk.word("a_step")))
        there = code.bytes(target, b.mul(k0, walk.word("tile_step")))
        stride = b.mul(rows, item)
        code.call(copy, PACK_TYPE, [here, walk.word("a_line"), there, stride, steps, rows])

    code.loop(I64(0), walk.word("parts"), I64(1), part)
    b.ret_void()


class _Block(_Walk):
    """Emits the walk over one block."""

    def __init__(self, code: Code) -> None:
        super().__init__(code, "block")
        with code.flushing():
            self._all()
        code.b.ret_void()

    def _all(self) -> None:
        """Every panel of every part of k."""
        b = self.code.b
        self.panel = b.alloca(I8, self.word("panel_bytes"))
        self.panel.align = LINE
        self.panel.type = PTR  # llvmlite still types it by its elements
        bands = self.word("bands")
        strip, band = b.udiv(self.index, bands), b.urem(self.index, bands)
        self.row, self.row_stop = self.range(band, self.word("block_rows"), self.word("m"))
        start, stop = self.range(strip, self.word("block_columns"), self.word("n"))
        packed = b.icmp_signed("!=", self.word("packs_a"), I64(0))
        self.a = b.select(packed, self.address(SCRATCH), self.address(A))

        def panel(column: Any) -> None:
            left = b.sub(self.word("n"), column)
            self._panel(column, self.code.least(self.word("panel"), left))

        def part(number: Any) -> None:
            self._depth(number)
            self.code.parts(start, stop, self.word("panel"), panel)

        self.code.loop(I64(0), self.word("parts"), I64(1), part)

    def _depth(self, part: Any) -> None:
        """Begin a part of k."""
        b = self.code.b
        self.k0, self.count = self.steps(part)
        self.from_zero = b.icmp_signed("==", b.add(part, self.word("accumulates")), I64(0))
        self.is_last = b.icmp_signed("==", b.add(part, I64(1)), self.word("parts"))

    def _panel(self, column: Any, columns: Any) -> None:
        """All tiles of one panel of columns."""
        code, b = self.code, self.code.b
        is_rest = b.icmp_signed("<", columns, self.word("panel"))
        group = self._group(self.context, b.select(is_rest, I64(GROUPS + GROUP), I64(GROUPS)))
        panel = self._b(column, columns, group)
        finish = b.select(self.is_last, code.word(group, FINISH), I64(0))

        def rows(row: Any) -> None:
            stop = code.least(b.add(row, self.word("finish_rows")), self.row_stop)
            self._rows(row, stop, column, panel, group)
            with b.if_then(b.icmp_signed("!=", finish, I64(0))), code.exact():
                arguments = [self.context, row, b.sub(stop, row), column]
                code.call(b.inttoptr(finish, PTR), FINISH_TYPE, arguments)

        code.parts(self.row, self.row_stop, self.word("finish_rows"), rows)

    def _rows(self, row: Any, stop: Any, column: Any, panel: Any, group: Any) -> None:
        """The tiles of some rows of a panel."""
        b, size = self.code.b, self.word("rows")
        whole = b.udiv(b.sub(stop, row), size)
        rest = b.add(row, b.mul(whole, size))
        with b.if_then(b.icmp_signed(">", whole, I64(0))):
            self._tiles(row, column, panel, group, whole)
        with b.if_then(b.icmp_signed("<", rest, stop)):
            self._tiles(rest, column, panel, self._group(group, I64(2 * GROUP)), I64(1))

    def _group(self, words: Any, index: Any) -> Any:
        return self.code.b.gep(words, [index], source_etype=I64)

    def _b(self, column: Any, columns: Any, group: Any) -> Any:
        """Where the panel's rows of B begin, copied if they are to be."""
        code, b = self.code, self.code.b
        place = code.sum(self.k0, self.word("b_step"), column, self.word("b_column"))
        source = code.bytes(self.address(B), place)
        copies = b.icmp_signed("!=", self.word("panel_bytes"), I64(0))
        with b.if_then(copies):
            copy, stride = code.word(group, PACK, PTR), code.word(group, PANEL_STEP)
            line = self.word("b_line")
            code.call(copy, PACK_TYPE, [source, line, self.panel, stride, self.count, columns])
        return b.select(copies, self.panel, source)

    def _tiles(self, row: Any, column: Any, panel: Any, group: Any, count: Any) -> None:
        """So many tiles, one below the other."""
        code = self.code
        a = code.bytes(
            self.a, code.sum(row, self.word("tile_row"), self.k0, self.word("tile_step"))
        )
        c_row, item = code.word(group, C_ROW), self.word("item")
        c = code.bytes(self.address(C), code.sum(row, c_row, column, item))
        arguments = [a, panel, c, self.count, self.from_zero, group, count]
        code.call(code.word(group, TILE, PTR), TILES_TYPE, arguments)
