"""The innermost parts of generated matrix products: tiles of C, and the packing of panels.

A tile of `rows` × `vectors` registers of C takes steps of k one after another: a step loads one row
of B's panel, broadcasts one value of A per row of the tile, and multiplies and adds.

Packing copies what several tiles read into the order in which they read it: a panel of op(B) as
[step][column], a tile's rows of op(A) as [step][row]. Where steps lie side by side in memory it
transposes squares of W × W.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range
from backlit.native.kernels.vector import declare
from backlit.native.machine import jit

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
PTR = ir.PointerType()
_TURN = 12  # multiply-adds per turn of the inner loop, to hide its overhead
_FLUSH = 1 << 15 | 1 << 6  # of MXCSR: denormal results become zeros, and so do denormal operands


class Code:
    """A builder and the vectors of one module: loops, addresses, and masked loads and stores."""

    def __init__(self, module: Any, dtype: str, width: int) -> None:
        self.module, self.width = module, width
        self.item = 4 if dtype == "float32" else 8
        self.scalar = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, width)
        self.zero = ir.Constant(self.vector, None)
        self.suffix = f"v{width}f{8 * self.item}"
        self.all_first = ir.Constant(ir.VectorType(I32, width), None)
        self.b: Any = None
        self.modes: Any = None  # where the words that say what to do with denormals are

    def function(self, name: str, arguments: list[Any], internal: bool = True) -> Any:
        """A new function without result; the builder moves into it."""
        made = ir.Function(self.module, ir.FunctionType(ir.VoidType(), arguments), name)
        if internal:
            made.linkage = "internal"
        self.b = ir.IRBuilder(made.append_basic_block("entry"))
        return made

    @contextlib.contextmanager
    def flushing(self) -> Iterator[None]:
        """Denormals are taken for zeros: on x86, each would cost a multiply-add 150 cycles.

        Gradients that vanish over many layers or time steps are full of them for a while.
        """
        if not jit.host().triple.startswith(("x86_64", "i686")):
            yield
            return
        b = self.b
        self.modes = found, wanted = b.alloca(I32), b.alloca(I32)
        b.call(self._control("stmxcsr"), [found])
        b.store(b.or_(b.load(found, typ=I32), I32(_FLUSH)), wanted)
        with self._mode(wanted, found):
            yield
        self.modes = None

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Denormals are denormals, within `flushing`."""
        if self.modes is None:
            yield
            return
        with self._mode(*self.modes):
            yield

    @contextlib.contextmanager
    def _mode(self, inside: Any, after: Any) -> Iterator[None]:
        self.b.call(self._control("ldmxcsr"), [inside])
        yield
        self.b.call(self._control("ldmxcsr"), [after])

    def _control(self, name: str) -> Any:
        return declare(self.module, f"llvm.x86.sse.{name}", ir.VoidType(), [PTR])

    # -- loops and whole numbers -----------------------------------------------------------------
    def loop(self, start: Any, stop: Any, step: int, body: Callable[[Any], None]) -> None:
        """body(i) for i = start, start + step … while i + step ≤ stop."""

        def turn(index: Any, _: list[Any]) -> list[Any]:
            body(index)
            return []

        for_range(self.b, start, stop, step, [], turn)

    def times(self, index: Any, factor: int) -> Any:
        return self.b.mul(index, I64(factor))

    def sum(self, x: Any, x_factor: int, y: Any, y_factor: int) -> Any:
        return self.b.add(self.times(x, x_factor), self.times(y, y_factor))

    def least(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    # -- memory ----------------------------------------------------------------------------------
    def word(self, pointer: Any, index: int, kind: Any) -> Any:
        """The 8-byte word of that index."""
        return self.b.load(self.b.gep(pointer, [I64(index)], source_etype=I64), typ=kind)

    def offset(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index], source_etype=self.scalar)

    def at(self, pointer: Any, index: int) -> Any:
        return self.offset(pointer, I64(index))

    def load(self, address: Any, lanes: Any) -> Any:
        """A vector whose first lanes, or those of a mask, are read; the others are zero."""
        mask = self._mask(lanes)
        if mask is None:
            return self.b.load(address, align=self.item, typ=self.vector)
        name = f"llvm.masked.load.{self.suffix}.p0"
        function = declare(self.module, name, self.vector, [PTR, I32, mask.type, self.vector])
        return self.b.call(function, [address, I32(self.item), mask, self.zero])

    def store(self, value: Any, address: Any, lanes: Any) -> None:
        """Write the first lanes, or those of a mask."""
        mask = self._mask(lanes)
        if mask is None:
            self.b.store(value, address, align=self.item)
            return
        name = f"llvm.masked.store.{self.suffix}.p0"
        function = declare(self.module, name, ir.VoidType(), [self.vector, PTR, I32, mask.type])
        self.b.call(function, [value, address, I32(self.item), mask])

    def first(self, count: Any) -> Any:
        """The mask of the first lanes, of a number known at run time."""
        kind = ir.VectorType(I32, self.width)
        one = self.b.insert_element(
            ir.Constant(kind, ir.Undefined), self.b.trunc(count, I32), I32(0)
        )
        numbers = ir.Constant(kind, list(range(self.width)))
        return self.b.icmp_signed("<", numbers, self.b.shuffle_vector(one, one, self.all_first))

    def _mask(self, lanes: Any) -> Any:
        """None for a full vector (or more), else the mask of the lanes."""
        if not isinstance(lanes, int):
            return lanes
        if lanes >= self.width:
            return None
        kind = ir.VectorType(I1, self.width)
        return ir.Constant(kind, [int(lane < lanes) for lane in range(self.width)])

    def claim(self, address: Any) -> None:
        """Bring the line of an address, which need not exist, into the cache for writing."""
        kinds = [PTR, I32, I32, I32]
        function = declare(self.module, "llvm.prefetch.p0", ir.VoidType(), kinds)
        self.b.call(function, [address, I32(1), I32(3), I32(1)])

    def splat(self, value: Any) -> Any:
        first = self.b.insert_element(ir.Constant(self.vector, ir.Undefined), value, I32(0))
        return self.b.shuffle_vector(first, first, self.all_first)


@dataclass(frozen=True)
class Tile:
    """One shape of tile and what it reads. Strides are in elements.

    Attributes:
        a_row, a_step: from one row of op(A) to the next, and from one step of k to the next.
        panel_step: from one row of B's panel to the next.
        lanes: columns of the panel that may be read: more than `columns` if it is padded.
        c_row: from one row of C to the next.
        starts: "zero", "c" (adds to C), or "either", which the last argument decides.
        claims: how many steps of k there are, if C is so large that its lines should be asked for
            meanwhile; else 0.
    """

    rows: int
    columns: int
    a_row: int
    a_step: int
    panel_step: int
    lanes: int
    c_row: int
    starts: str
    claims: int = 0

    def emit(self, code: Code) -> Any:
        """`void tile(ptr a, ptr panel, ptr c, i64 steps, i1 from_zero)`"""
        name = f"tile_{self.rows}_{self.columns}"
        function = code.function(name, [PTR, PTR, PTR, I64, I1])
        for argument in function.args[:3]:
            argument.add_attribute("noalias")
        a, panel, c, steps, from_zero = function.args
        vectors = -(-self.columns // code.width)
        places = [
            (i * self.c_row + v * code.width, self.columns - v * code.width)
            for i in range(self.rows)
            for v in range(vectors)
        ]
        totals = self._start(code, c, from_zero, places)

        def turn(index: Any, carried: list[Any], count: int) -> list[Any]:
            if self.claims:
                self._claim(code, c, code.b.lshr(index, I64(self._claim_shift(vectors))), vectors)
            a_turn = code.offset(a, code.times(index, self.a_step))
            b_turn = code.offset(panel, code.times(index, self.panel_step))
            for step in range(count):
                carried = self._step(code, a_turn, b_turn, step, carried)
            return carried

        unroll = max(1, min(4, _TURN // len(places)))
        index, totals = for_range(
            code.b, I64(0), steps, unroll, totals, lambda i, t: turn(i, t, unroll)
        )
        if unroll > 1:
            _, totals = for_range(code.b, index, steps, 1, totals, lambda i, t: turn(i, t, 1))
        for value, (place, lanes) in zip(totals, places, strict=True):
            code.store(value, code.at(c, place), lanes)
        code.b.ret_void()
        return function

    def _claim_shift(self, vectors: int) -> int:
        """log₂ of the steps of k per line of C."""
        lines = self.rows << (vectors - 1).bit_length()
        return max(1, self.claims // lines).bit_length() - 1

    def _claim(self, code: Code, c: Any, number: Any, vectors: int) -> None:
        """Ask for a line of C, one after another: at the end all would be waited for."""
        bits = (vectors - 1).bit_length()
        row = code.offset(c, code.times(code.b.lshr(number, I64(bits)), self.c_row))
        column = code.times(code.b.and_(number, I64((1 << bits) - 1)), code.width)
        code.claim(code.offset(row, column))

    def _start(
        self, code: Code, c: Any, from_zero: Any, places: list[tuple[int, int]]
    ) -> list[Any]:
        """What the sums start from."""
        if self.starts == "zero":
            return [code.zero] * len(places)
        b, entry = code.b, code.b.block
        if self.starts == "either":
            read, start = b.append_basic_block("read"), b.append_basic_block("start")
            b.cbranch(from_zero, start, read)
            b.position_at_end(read)
        loaded = [code.load(code.at(c, place), lanes) for place, lanes in places]
        if self.starts == "c":
            return loaded
        b.branch(start)
        b.position_at_end(start)
        totals = []
        for value in loaded:
            phi = b.phi(code.vector)
            phi.add_incoming(code.zero, entry)
            phi.add_incoming(value, read)
            totals.append(phi)
        return totals

    def _step(self, code: Code, a: Any, panel: Any, step: int, totals: list[Any]) -> list[Any]:
        """One step of k: a column of A's rows times a row of B's panel."""
        width = code.width
        row = [
            code.load(code.at(panel, step * self.panel_step + start), self.lanes - start)
            for start in range(0, self.columns, width)
        ]
        fma = declare(code.module, f"llvm.fma.{code.suffix}", code.vector, [code.vector] * 3)
        results: list[Any] = []
        for i in range(self.rows):
            value = code.b.load(code.at(a, i * self.a_row + step * self.a_step), typ=code.scalar)
            factor = code.splat(value)
            for line in row:
                results.append(code.b.call(fma, [factor, line, totals[len(results)]]))
        return results


def transposer_type() -> Any:
    """`void turn(ptr source, i64 stride, i64 lines, ptr target, i64 target_stride, i64 steps,
    i64 lanes)`"""
    return ir.FunctionType(ir.VoidType(), [PTR, I64, I64, PTR, I64, I64, I64])


def transposer(code: Code) -> None:
    """Emit the function `turn`, which all products of a dtype share.

    target[s][j] = source[j][s] for j < `lanes` ≤ W and s < `steps` ≤ W. Lines from `lines` on are
    read from the last one.
    """
    function = code.function("turn", list(transposer_type().args), internal=False)
    source, stride, count, target, target_stride, steps, lanes = function.args
    b = code.b
    last = b.sub(count, I64(1))
    read, written = code.first(steps), code.first(lanes)
    lines = [
        code.load(code.offset(source, b.mul(code.least(I64(j), last), stride)), read)
        for j in range(code.width)
    ]
    for s, line in enumerate(_transposed(code, lines)):
        place = code.offset(target, b.mul(I64(s), target_stride))
        within = b.icmp_signed("<", I64(s), steps)
        code.store(line, place, b.select(within, written, ir.Constant(written.type, None)))
    b.ret_void()


def _transposed(code: Code, lines: list[Any]) -> list[Any]:
    """W vectors of W lanes transposed by log₂ W rounds of interleaving.

    The fence between rounds costs nothing at run time. Without it LLVM spends half a second
    on looking for better shuffles than these.
    """
    width = len(lines)
    order = [lane // 2 + (lane % 2) * width for lane in range(width)]
    kind = ir.VectorType(I32, width)
    low, high = ir.Constant(kind, order), ir.Constant(kind, [i + width // 2 for i in order])
    name = f"llvm.arithmetic.fence.{code.suffix}"
    fence = declare(code.module, name, code.vector, [code.vector])
    for _ in range(width.bit_length() - 1):
        half = width // 2
        merged = []
        for left, right in zip(lines[:half], lines[half:], strict=True):
            merged += [code.b.shuffle_vector(left, right, mask) for mask in (low, high)]
        lines = [code.b.call(fence, [line]) for line in merged]
    return lines
