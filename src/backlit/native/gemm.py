"""Matrix products of fixed sizes as generated kernels, for the sizes where they beat OpenBLAS.

    C = op(A) op(B)  or  C += op(A) op(B)        row-major, contiguous, op(X) = X or Xᵀ

C is computed in tiles of `rows` × `vectors` registers: every step of the inner loop loads one row
of B's panel, broadcasts one value of A per row of the tile, and multiplies and adds. Where B is
transposed, or is read by many tiles, its panel is first copied so that the steps read it
contiguously. The inner dimension is cut so that a panel stays in the first-level cache. Sizes being
known, there are no edge cases at run time: narrower tiles and masked columns are compiled in.

Every element of C is summed in the order of k, so results do not depend on the tiling of rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from backlit.native import blas, jit
from backlit.native.rowloops import for_range
from backlit.native.vector import declare

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_PTR = ir.PointerType()
_PANEL_BYTES = 32 * 1024  # of the first-level cache for the panel of B
_TURN = 48  # multiply-adds per turn of the inner loop, to hide its overhead
_MOST_ROWS = 12  # of a tile: more is only more code
# Where a generated kernel wins, measured by benchmarks/native_gemm.py on one thread. Beyond these
# sizes OpenBLAS's blocking for the outer caches does.
_MOST_MULTIPLICATIONS = 512**3
_MOST_COLUMNS = 1024
_FEWEST_PASSES = 3  # over a panel of B that pay for copying it


@dataclass(frozen=True)
class Product:
    """A matrix product of fixed sizes: op(A) is m × k, op(B) is k × n.

    accumulate: add to C, which is otherwise overwritten without being read.
    """

    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False
    dtype: str = "float32"
    accumulate: bool = False

    @property
    def item(self) -> int:
        return 4 if self.dtype == "float32" else 8


@dataclass(frozen=True)
class Tiling:
    """How a kernel walks over C: tiles of rows × vectors, and steps of k per panel."""

    rows: int
    vectors: int
    width: int
    depth: int
    packed: bool


def choose(product: Product) -> str:
    """ "generated" or "openblas", whichever was measured to be faster for such sizes.

    >>> choose(Product(2048, 2048, 2048))
    'openblas'
    """
    if jit.host().vector_bytes < 32:
        return "openblas"
    size = product.m * product.n * product.k
    small = size <= _MOST_MULTIPLICATIONS and product.n <= _MOST_COLUMNS
    return "generated" if small else "openblas"


def tiling(product: Product, host: jit.Host) -> Tiling:
    """The tile with the fewest cycles by a model: two multiply-adds a cycle, each four long."""
    width = host.width(product.dtype)
    while width > 4 and width // 2 >= product.n:
        width //= 2
    columns = -(-product.n // width)
    best: tuple[float, int, int, int] | None = None
    for vectors in range(1, min(4, columns) + 1):
        most_rows = min(product.m, _MOST_ROWS, (host.registers - vectors - 2) // vectors)
        for rows in range(1, most_rows + 1):
            cycles = 0.0
            shapes = 0
            for row_count, r in _parts(product.m, rows):
                for column_count, v in _parts(columns, vectors):
                    cycles += row_count * column_count * max(r * v / 2 + (r + v) / 6, 5.0)
                    shapes += 1
            candidate = (cycles * (1 + 0.01 * shapes), shapes, rows, vectors)
            best = min(best, candidate) if best else candidate
    rows, vectors = best[2:] if best else (1, 1)
    most = max(16, _PANEL_BYTES // (vectors * width * product.item))
    blocks = max(1, -(-product.k // most))
    depth = -(-product.k // blocks)  # equal blocks of k, where it divides
    passes = -(-product.m // rows)
    packed = product.transpose_b or (passes >= _FEWEST_PASSES and product.n > vectors * width)
    return Tiling(rows, vectors, width, depth, packed)


def _parts(total: int, size: int) -> list[tuple[int, int]]:
    """(how many, how large) for full parts and the rest."""
    full, rest = divmod(total, size)
    return [part for part in ((full, size), (1, rest)) if part[0] and part[1]]


@dataclass(frozen=True)
class GemmKernel:
    """A compiled product. `address` is `void gemm(ptr a, ptr b, ptr c)`."""

    library: jit.Library
    product: Product

    @property
    def address(self) -> int:
        return self.library.address("gemm")

    def run(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        """Multiply contiguous matrices."""
        function = self.library.function("gemm", None, *[ctypes.c_void_p] * 3)
        function(a.ctypes.data, b.ctypes.data, out.ctypes.data)


def build(product: Product) -> GemmKernel:
    """Compile (or look up) the generated kernel of a product."""
    library = jit.engine().load(
        lambda: module_text(product, jit.host()), ["gemm"], identity=f"gemm {product}"
    )
    return GemmKernel(library, product)


def function(product: Product) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """f(a, b, out), by whichever implementation `choose` prefers."""
    if choose(product) == "generated":
        return build(product).run
    beta = 1.0 if product.accumulate else 0.0

    def openblas(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        blas.gemm(
            a,
            b,
            out,
            transpose_a=product.transpose_a,
            transpose_b=product.transpose_b,
            beta=beta,
        )

    return openblas


def module_text(product: Product, host: jit.Host) -> str:
    """The LLVM IR of the kernel."""
    module = ir.Module("gemm")
    _Emitter(product, tiling(product, host), module).emit()
    return str(module)


class _Emitter:
    """Emits `void gemm(ptr a, ptr b, ptr c)`."""

    def __init__(self, product: Product, plan: Tiling, module: Any) -> None:
        self.product, self.plan = product, plan
        signature = ir.FunctionType(ir.VoidType(), [_PTR, _PTR, _PTR])
        self.function = ir.Function(module, signature, "gemm")
        for argument in self.function.args:
            argument.add_attribute("noalias")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.scalar = ir.FloatType() if product.dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, plan.width)
        self.all_first = ir.Constant(ir.VectorType(_I32, plan.width), None)
        # Elements from one row of op(A) to the next, and from one step of k to the next.
        self.a_row, self.a_step = (1, product.m) if product.transpose_a else (product.k, 1)
        self.panel_row = plan.vectors * plan.width
        self.scratch = None
        if plan.packed:
            size = _I64(plan.depth * self.panel_row)
            self.scratch = self.b.alloca(self.scalar, size)
            self.scratch.align = 64
            self.scratch.type = _PTR  # llvmlite still types it by its elements

    # -- the walk over C -------------------------------------------------------------------------
    def emit(self) -> None:
        """Cut k, then columns, then rows."""
        depth, k = self.plan.depth, self.product.k
        several = k > depth
        overwrites = not self.product.accumulate
        if overwrites and (several or not k):
            self._clear()
        start = overwrites and not several and k > 0
        if k:
            self._loop(0, k // depth, lambda i: self._columns(self._times(i, depth), depth, start))
            if k % depth:
                self._columns(_I64(k // depth * depth), k % depth, start)
        self.b.ret_void()

    def _clear(self) -> None:
        """C = 0."""
        zero = ir.Constant(self.vector, None)
        total, width = self.product.m * self.product.n, self.plan.width

        def clear(i: Any) -> None:
            self._store(
                zero, self._offset(self.function.args[2], self._times(i, width)), 0, width, 0
            )

        self._loop(0, total // width, clear)
        if total % width:
            self._store(zero, self.function.args[2], total // width * width, total % width, 0)

    def _loop(self, start: int, stop: int, body: Callable[[Any], None]) -> None:
        def step(index: Any, _: list[Any]) -> list[Any]:
            body(index)
            return []

        if stop - start == 1:
            body(_I64(start))
        elif stop > start:
            for_range(self.b, _I64(start), _I64(stop), 1, [], step)

    def _times(self, index: Any, factor: int) -> Any:
        return self.b.mul(index, _I64(factor))

    def _columns(self, k0: Any, steps: int, start: bool) -> None:
        """All panels of `vectors` vectors of columns, for one range of k."""
        width, vectors, n = self.plan.width, self.plan.vectors, self.product.n
        panel = vectors * width
        full = n // panel
        self._loop(0, full, lambda j: self._panel(k0, steps, self._times(j, panel), panel, start))
        if n % panel:
            self._panel(k0, steps, _I64(full * panel), n % panel, start)

    def _panel(self, k0: Any, steps: int, column: Any, columns: int, start: bool) -> None:
        """All rows of one panel of `columns` columns."""
        rows, m = self.plan.rows, self.product.m
        if self.plan.packed:
            self._pack(k0, steps, column, columns)
        full = m // rows
        self._loop(
            0,
            full,
            lambda i: self._tile(self._times(i, rows), rows, k0, steps, column, columns, start),
        )
        if m % rows:
            self._tile(_I64(full * rows), m % rows, k0, steps, column, columns, start)

    # -- one tile --------------------------------------------------------------------------------
    def _tile(
        self, row: Any, rows: int, k0: Any, steps: int, column: Any, columns: int, start: bool
    ) -> None:
        """rows × columns of C, for `steps` steps of k from k0."""
        b, n = self.b, self.product.n
        vectors = -(-columns // self.plan.width)
        a = self._offset(self.function.args[0], self._sum(row, self.a_row, k0, self.a_step))
        c = self._offset(self.function.args[2], self._sum(row, n, column, 1))
        if self.plan.packed:
            panel, panel_row = self.scratch, self.panel_row
        else:
            panel = self._offset(self.function.args[1], self._sum(k0, n, column, 1))
            panel_row = n
        zero = ir.Constant(self.vector, None)
        totals = [
            zero if start else self._load(c, i * n + v * self.plan.width, columns, v)
            for i in range(rows)
            for v in range(vectors)
        ]

        def turn(index: Any, carried: list[Any], count: int) -> list[Any]:
            a_turn = self._offset(a, self._times(index, self.a_step))
            b_turn = self._offset(panel, self._times(index, panel_row))
            for step in range(count):
                carried = self._step(a_turn, b_turn, step, carried, rows, columns, panel_row)
            return carried

        unroll = max(1, min(4, _TURN // (rows * vectors)))
        full = steps // unroll * unroll
        if full:
            _, totals = for_range(
                b, _I64(0), _I64(full), unroll, totals, lambda i, t: turn(i, t, unroll)
            )
        if steps % unroll:
            totals = turn(_I64(full), totals, steps % unroll)
        for i in range(rows):
            for v in range(vectors):
                offset = i * n + v * self.plan.width
                self._store(totals[i * vectors + v], c, offset, columns, v)

    def _step(
        self, a: Any, panel: Any, step: int, totals: list[Any], rows: int, columns: int, stride: int
    ) -> list[Any]:
        """One step of k: a column of A's rows times a row of B's panel."""
        b, width = self.b, self.plan.width
        vectors = -(-columns // width)
        # A packed panel is padded with zeros, so its last vector needs no mask.
        whole = vectors * width if self.plan.packed else columns
        row = [self._load(panel, step * stride + v * width, whole, v) for v in range(vectors)]
        fma = declare(b.module, f"llvm.fma.{self._suffix()}", self.vector, [self.vector] * 3)
        results = []
        for i in range(rows):
            value = b.load(self._at(a, i * self.a_row + step * self.a_step), typ=self.scalar)
            factor = self._splat(value)
            for v in range(vectors):
                results.append(b.call(fma, [factor, row[v], totals[i * vectors + v]]))
        return results

    # -- packing ---------------------------------------------------------------------------------
    def _pack(self, k0: Any, steps: int, column: Any, columns: int) -> None:
        """Copy a panel of op(B) to the scratch, a row per step; what is beyond n is not used."""
        product, width = self.product, self.plan.width
        groups = -(-columns // width)
        if product.transpose_b:
            blocks = -(-steps // width)

            def block(index: Any) -> None:
                first = self._least(self._times(index, width), max(0, steps - width))
                self._loop(0, groups, lambda g: self._transpose(k0, first, steps, column, g))

            self._loop(0, blocks, block)
            return
        source = self._offset(self.function.args[1], self._sum(k0, product.n, column, 1))

        def copy(index: Any) -> None:
            line = self._offset(source, self._times(index, product.n))
            target = self._offset(self.scratch, self._times(index, self.panel_row))
            for v in range(groups):
                value = self._load(line, v * width, columns, v)
                self.b.store(value, self._at(target, v * width), align=product.item)

        self._loop(0, steps, copy)

    def _transpose(self, k0: Any, first: Any, steps: int, column: Any, group: Any) -> None:
        """W steps of k (fewer if there are fewer) from k0 + first, of W columns of a panel of Bᵀ.

        Columns beyond the last are read from the last: their results are never stored.
        """
        b, width, product = self.b, self.plan.width, self.product
        source = self._offset(self.function.args[1], b.add(k0, first))
        start = b.add(column, self._times(group, width))
        lines = []
        for j in range(width):
            line = self._least(b.add(start, _I64(j)), product.n - 1)
            lines.append(
                self._load(self._offset(source, self._times(line, product.k)), 0, steps, 0)
            )
        target = self._offset(self.scratch, self._sum(first, self.panel_row, group, width))
        for step, line in enumerate(self._transposed(lines)[:steps]):
            b.store(line, self._at(target, step * self.panel_row), align=product.item)

    def _least(self, value: Any, bound: int) -> Any:
        below = self.b.icmp_signed("<", value, _I64(bound))
        return self.b.select(below, value, _I64(bound))

    def _transposed(self, lines: list[Any]) -> list[Any]:
        """W vectors of W lanes transposed by log₂ W rounds of interleaving.

        The fence between rounds costs nothing at run time. Without it LLVM spends half a second
        on looking for better shuffles than these.
        """
        width = len(lines)
        order = [lane // 2 + (lane % 2) * width for lane in range(width)]
        kind = ir.VectorType(_I32, width)
        low, high = ir.Constant(kind, order), ir.Constant(kind, [i + width // 2 for i in order])
        fence = declare(
            self.b.module, f"llvm.arithmetic.fence.{self._suffix()}", self.vector, [self.vector]
        )
        for _ in range(width.bit_length() - 1):
            half = width // 2
            merged = []
            for left, right in zip(lines[:half], lines[half:], strict=True):
                merged += [self.b.shuffle_vector(left, right, mask) for mask in (low, high)]
            lines = [self.b.call(fence, [line]) for line in merged]
        return lines

    # -- memory ----------------------------------------------------------------------------------
    def _sum(self, x: Any, x_factor: int, y: Any, y_factor: int) -> Any:
        return self.b.add(self._times(x, x_factor), self._times(y, y_factor))

    def _offset(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index], source_etype=self.scalar)

    def _at(self, pointer: Any, index: int) -> Any:
        return self._offset(pointer, _I64(index))

    def _mask(self, columns: int, vector: int) -> Any:
        """None if the vector lies within `columns` columns, else the mask of its part that does."""
        inside = columns - vector * self.plan.width
        if inside >= self.plan.width:
            return None
        kind = ir.VectorType(ir.IntType(1), self.plan.width)
        return ir.Constant(kind, [int(lane < inside) for lane in range(self.plan.width)])

    def _load(self, pointer: Any, index: int, columns: int, vector: int) -> Any:
        address, mask = self._at(pointer, index), self._mask(columns, vector)
        if mask is None:
            return self.b.load(address, align=self.product.item, typ=self.vector)
        name = f"llvm.masked.load.{self._suffix()}.p0"
        function = declare(self.b.module, name, self.vector, [_PTR, _I32, mask.type, self.vector])
        zero = ir.Constant(self.vector, None)
        return self.b.call(function, [address, _I32(self.product.item), mask, zero])

    def _store(self, value: Any, pointer: Any, index: int, columns: int, vector: int) -> None:
        address, mask = self._at(pointer, index), self._mask(columns, vector)
        if mask is None:
            self.b.store(value, address, align=self.product.item)
            return
        name = f"llvm.masked.store.{self._suffix()}.p0"
        arguments = [self.vector, _PTR, _I32, mask.type]
        function = declare(self.b.module, name, ir.VoidType(), arguments)
        self.b.call(function, [value, address, _I32(self.product.item), mask])

    def _suffix(self) -> str:
        return f"v{self.plan.width}f{8 * self.product.item}"

    def _splat(self, value: Any) -> Any:
        first = self.b.insert_element(ir.Constant(self.vector, ir.Undefined), value, _I32(0))
        return self.b.shuffle_vector(first, first, self.all_first)
