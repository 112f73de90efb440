"""The walk of a generated matrix product over C.

    block → `depth` steps of k → panel of columns → tile of rows; after the last steps, its finish

Sizes being known, the narrower tiles and masked columns at the edges are compiled in, and nothing
is left to decide at run time but which blocks touch an edge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from backlit.native.products import gemm_tiles
from backlit.native.products.gemm_finish import Finish
from backlit.native.products.gemm_plan import Plan, Product
from backlit.native.products.gemm_tiles import I64, PTR, Code

_LINE = 64  # bytes
_LARGE = 1 << 21  # bytes of C that the second-level cache does not hold


class Blocks:
    """Emits the functions of a product; all take `ptr context`, which is {A, B, C, scratch}, and if
    the product has a finish, its results and operands.

    - `void block(context, i64 i)`: one block of C
    - `void pack(context, i64 i)`: one tile's rows of op(A) into the scratch, if the plan packs A
    - `void gemm(context)`: everything, on one thread
    """

    def __init__(
        self, product: Product, plan: Plan, module: Any, finish: Finish | None = None
    ) -> None:
        self.product, self.plan, self.finish = product, plan, finish
        self.code = Code(module, product.dtype, plan.width)
        self.tiles: dict[tuple[int, int], Any] = {}
        self.finishes: dict[int, Any] = {}  # by columns

    def emit(self) -> None:
        product, plan = self.product, self.plan
        for rows in _sizes(product.m, plan.rows):
            for columns in _sizes(product.n, plan.panel):
                self.tiles[rows, columns] = self._tile(rows, columns).emit(self.code)
        if self.finish is not None:
            for columns in _sizes(product.n, plan.panel):
                self.finishes[columns] = self.finish.emit(self.code, product, columns)
        if plan.turns(product):
            self.turn = ir.Function(self.code.module, gemm_tiles.transposer_type(), "turn")
        pack = self._pack() if plan.pack_a else None
        self._whole(pack, self._block())

    def _tile(self, rows: int, columns: int) -> gemm_tiles.Tile:
        product, plan = self.product, self.plan
        a_row, a_step = (1, rows) if plan.pack_a else self._a_strides
        padded = -(-columns // plan.width) * plan.width
        starts = "c" if product.accumulate else "either" if product.k > plan.depth else "zero"
        return gemm_tiles.Tile(
            rows,
            columns,
            a_row,
            a_step,
            padded if plan.pack_b else product.ldb,
            padded if plan.pack_b else columns,
            product.n,
            starts,
            plan.depth if product.m * product.n * product.item > _LARGE else 0,
        )

    @property
    def _a_strides(self) -> tuple[int, int]:
        """Elements from one row of op(A) to the next, and from one step of k to the next."""
        return (1, self.product.lda) if self.product.transpose_a else (self.product.lda, 1)

    def _whole(self, pack: Any, block: Any) -> None:
        code = self.code
        function = code.function("gemm", [PTR], internal=False)
        (context,) = function.args
        for body, count in (
            (pack, self.plan.row_tiles(self.product)),
            (block, self.plan.blocks(self.product)),
        ):
            if body is not None:
                self._each(body, context, count)
        code.b.ret_void()

    def _each(self, body: Any, context: Any, count: int) -> None:
        code = self.code
        code.loop(I64(0), I64(count), 1, lambda i: code.b.call(body, [context, i]))

    # -- the copy of A ---------------------------------------------------------------------------
    # [part of k][tile][step][row], the same number of rows in every tile but the last.

    def _packed(self, row: Any, k0: Any) -> Any:
        """Where the copy of a tile's rows starts."""
        plan = self.plan
        rows = plan.row_tiles(self.product) * plan.rows
        return self.code.offset(self.scratch, self.code.sum(row, plan.depth, k0, rows))

    def _pack(self) -> Any:
        code, product, plan = self.code, self.product, self.plan
        function = code.function("pack", [PTR, I64], internal=False)
        context, index = function.args
        self.a, self.scratch = (code.word(context, k, PTR) for k in (0, 3))
        start = code.times(index, plan.rows)
        stop = code.least(code.b.add(start, I64(plan.rows)), I64(product.m))

        def part(number: Any) -> None:
            k0, steps = self._steps(number)
            self._parts(
                start, stop, product.m, plan.rows, lambda row, n: self._pack_rows(row, n, k0, steps)
            )

        code.loop(I64(0), I64(-(-product.k // plan.depth)), 1, part)
        code.b.ret_void()
        return function

    def _pack_rows(self, row: Any, rows: int, k0: Any, steps: Any) -> None:
        code, product = self.code, self.product
        a_row, a_step = self._a_strides
        source = code.offset(self.a, code.sum(row, a_row, k0, a_step))
        target = self._packed(row, k0)
        if product.transpose_a:
            self._copy(source, product.lda, rows, target, rows, steps)
        else:
            self._turn(source, product.lda, rows, target, rows, steps)

    # -- one block -------------------------------------------------------------------------------
    def _block(self) -> Any:
        code, product, plan = self.code, self.product, self.plan
        function = code.function("block", [PTR, I64], internal=False)
        self.context, index = function.args
        self.a, self.b, self.c = (code.word(self.context, k, PTR) for k in range(3))
        self.scratch = code.word(self.context, 3, PTR) if plan.pack_a else None
        if plan.pack_b:
            self.panel = code.b.alloca(ir.ArrayType(code.scalar, plan.depth * plan.panel))
            self.panel.align = _LINE
            self.panel.type = PTR  # llvmlite still types it by its elements
        bands = I64(plan.bands(product))
        self.row, self.row_stop = self._range(code.b.urem(index, bands), plan.block_rows, product.m)
        self.column, self.column_stop = self._range(
            code.b.udiv(index, bands), plan.block_columns, product.n
        )
        parts = max(1, -(-product.k // plan.depth))  # C is written even where k = 0
        with code.flushing():
            code.loop(I64(0), I64(parts), 1, self._depth)
        code.b.ret_void()
        return function

    def _range(self, index: Any, size: int, whole: int) -> tuple[Any, Any]:
        start = self.code.times(index, size)
        return start, self.code.least(self.code.b.add(start, I64(size)), I64(whole))

    def _steps(self, part: Any) -> tuple[Any, Any]:
        """The first step of a part of k, and how many there are."""
        k0 = self.code.times(part, self.plan.depth)
        left = self.code.b.sub(I64(self.product.k), k0)
        return k0, self.code.least(I64(self.plan.depth), left)

    def _depth(self, part: Any) -> None:
        k0, steps = self._steps(part)
        from_zero = self.code.b.icmp_signed("==", part, I64(0))
        stop = self.code.b.add(k0, I64(self.plan.depth))
        self.is_last = self.code.b.icmp_signed(">=", stop, I64(self.product.k))
        self._parts(
            self.column,
            self.column_stop,
            self.product.n,
            self.plan.panel,
            lambda column, columns: self._panel(column, columns, k0, steps, from_zero),
        )

    def _parts(
        self, start: Any, stop: Any, whole: int, size: int, body: Callable[[Any, int], None]
    ) -> None:
        """body(index, size) for the full parts from start to stop, and for the matrix's rest."""
        code, rest = self.code, whole % size
        if whole >= size:
            code.loop(start, stop, size, lambda index: body(index, size))
        if rest:
            with code.b.if_then(code.b.icmp_signed("==", stop, I64(whole))):
                body(I64(whole - rest), rest)

    def _panel(self, column: Any, columns: int, k0: Any, steps: Any, from_zero: Any) -> None:
        """All tiles of one panel of columns."""
        code, product, plan = self.code, self.product, self.plan
        if plan.pack_b:
            panel = self.panel
            if product.k:
                self._pack_panel(column, columns, k0, steps)
        else:
            panel = code.offset(self.b, code.sum(k0, product.ldb, column, 1))
        a_row, a_step = self._a_strides

        def one(row: Any, rows: int) -> None:
            if plan.pack_a:
                a = self._packed(row, k0)
            else:
                a = code.offset(self.a, code.sum(row, a_row, k0, a_step))
            c = code.offset(self.c, code.sum(row, product.n, column, 1))
            code.b.call(self.tiles[rows, columns], [a, panel, c, steps, from_zero])
            if self.finishes:
                with code.b.if_then(self.is_last), code.exact():
                    code.b.call(self.finishes[columns], [self.context, row, I64(rows), column])

        self._parts(self.row, self.row_stop, product.m, plan.rows, one)

    def _pack_panel(self, column: Any, columns: int, k0: Any, steps: Any) -> None:
        """Copy a panel of op(B), padded to whole vectors."""
        code, product, width = self.code, self.product, self.plan.width
        stride = -(-columns // width) * width
        if not product.transpose_b:
            source = code.offset(self.b, code.sum(k0, product.ldb, column, 1))
            self._copy(source, product.ldb, columns, self.panel, stride, steps)
            return
        for start in range(0, columns, width):
            line = code.b.add(column, I64(start))
            source = code.offset(self.b, code.sum(line, product.ldb, k0, 1))
            target = code.at(self.panel, start)
            lines = min(width, columns - start)
            self._turn(source, product.ldb, lines, target, stride, steps)

    # -- packing ---------------------------------------------------------------------------------
    def _copy(
        self, source: Any, stride: int, lanes: int, target: Any, target_stride: int, steps: Any
    ) -> None:
        """target[s][j] = source[s][j] for j < lanes; zeros up to the target's stride."""
        code, width = self.code, self.plan.width

        def step(index: Any) -> None:
            line = code.offset(source, code.times(index, stride))
            copy = code.offset(target, code.times(index, target_stride))
            for start in range(0, lanes, width):
                value = code.load(code.at(line, start), lanes - start)
                code.store(value, code.at(copy, start), target_stride - start)

        code.loop(I64(0), steps, 1, step)

    def _turn(
        self,
        source: Any,
        stride: int,
        lines: int,
        target: Any,
        target_stride: int,
        steps: Any,
    ) -> None:
        """target[s][j] = source[j][s], W steps at a time; the last W overlap those before.

        There are at least W steps, or all of k.
        """
        code, width = self.code, self.plan.width
        least = max(0, self.product.k - width)

        def square(index: Any) -> None:
            first = code.least(index, code.b.sub(steps, I64(width))) if least else index
            place = code.offset(target, code.times(first, target_stride))
            lanes = I64(min(target_stride, width))
            strides = I64(stride), I64(lines), place, I64(target_stride)
            turned = I64(min(width, self.product.k)), lanes
            code.b.call(self.turn, [code.offset(source, first), *strides, *turned])

        code.loop(I64(0), code.b.add(steps, I64(width - 1)), width, square)


def _sizes(whole: int, size: int) -> list[int]:
    """The sizes of the parts of a dimension: full ones, and the rest."""
    return [part for part in (size if whole >= size else 0, whole % size) if part]
