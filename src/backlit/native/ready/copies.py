"""Copies between strided arrays, as entries of the native loop.

One entry for each size of element copies up to five dimensions. The innermost is a block where it
lies in order on both sides, a repeated element where the source does not move, and else one element
after the other; transposed matrices go in tiles, so that both sides' cache lines are used whole.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range
from backlit.native.kernels.vector import declare

DIMENSIONS = 5
SIZES = (1, 2, 4, 8)  # bytes of an element
_I64 = ir.IntType(64)
_PTR = ir.PointerType()
_TILE = 16
HEAD = 3  # words before the dimensions: source, destination, number of moves


def names() -> list[str]:
    """The entries that `module_text` can define."""
    return [f"copy{size}" for size in SIZES]


def module_text(name: str) -> str:
    """The module of an entry, `i64 copy(ptr words)`.

    words: {source, destination, n, (size, step of source, step of destination) for each of five
    dimensions, outermost first, then n moves {address of a number, step of source, step of
    destination, most}}. Steps are in elements; each number, cut to 0 … most, moves the beginnings.
    """
    module = ir.Module("copies")
    _Copy(module, int(name.removeprefix("copy"))).emit()
    return str(module)


class _Copy:
    def __init__(self, module: Any, size: int) -> None:
        self.function = ir.Function(module, ir.FunctionType(_I64, [_PTR]), f"copy{size}")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.size = size
        self.element = ir.IntType(8 * size)

    def _word(self, index: Any, kind: Any = _I64) -> Any:
        at = index if isinstance(index, ir.Value) else _I64(index)
        return self.b.load(self.b.gep(self.function.args[0], [at], source_etype=_I64), typ=kind)

    def emit(self) -> None:
        b = self.b
        sizes, sources, targets = (
            [self._word(HEAD + 3 * d + k) for d in range(DIMENSIONS)] for k in range(3)
        )
        _, (source, target) = for_range(
            b, _I64(0), self._word(2), 1, [_I64(0), _I64(0)], self._move
        )
        source = self._at(self._word(0, _PTR), source)
        target = self._at(self._word(1, _PTR), target)

        def nest(d: int, source: Any, target: Any) -> None:
            if d == DIMENSIONS - 2:
                self._matrix(source, target, sizes[d:], sources[d:], targets[d:])
                return

            def inside(i: Any, _: list[Any]) -> list[Any]:
                nest(
                    d + 1,
                    self._at(source, b.mul(i, sources[d])),
                    self._at(target, b.mul(i, targets[d])),
                )
                return []

            for_range(b, _I64(0), sizes[d], 1, [], inside)

        nest(0, source, target)
        b.ret(_I64(0))

    def _move(self, i: Any, offsets: list[Any]) -> list[Any]:
        b = self.b
        first = b.add(b.mul(i, _I64(4)), _I64(HEAD + 3 * DIMENSIONS))
        number = b.load(self._word(first, _PTR), typ=_I64)
        most = self._word(b.add(first, _I64(3)))
        number = b.select(b.icmp_signed("<", number, _I64(0)), _I64(0), number)
        number = b.select(b.icmp_signed(">", number, most), most, number)
        return [
            b.add(offset, b.mul(number, self._word(b.add(first, _I64(k + 1)))))
            for k, offset in enumerate(offsets)
        ]

    def _matrix(
        self, source: Any, target: Any, sizes: list[Any], sources: list[Any], targets: list[Any]
    ) -> None:
        """The two innermost dimensions."""
        b = self.b
        one = _I64(1)
        in_order = b.and_(
            b.icmp_signed("==", sources[1], one), b.icmp_signed("==", targets[1], one)
        )
        turned = b.and_(b.icmp_signed("==", sources[0], one), b.icmp_signed("==", targets[1], one))
        turned = b.and_(turned, b.icmp_signed(">", sizes[0], one))

        def rows(body: Any) -> Any:
            def one_row(i: Any, _: list[Any]) -> list[Any]:
                body(self._at(source, b.mul(i, sources[0])), self._at(target, b.mul(i, targets[0])))
                return []

            return lambda: for_range(b, _I64(0), sizes[0], 1, [], one_row)

        def block(p: Any, q: Any) -> None:
            copy = declare(
                b.module, "llvm.memcpy.p0.p0.i64", ir.VoidType(), [_PTR, _PTR, _I64, ir.IntType(1)]
            )
            b.call(copy, [q, p, b.mul(sizes[1], _I64(self.size)), ir.IntType(1)(0)])

        def singly(p: Any, q: Any) -> None:
            self._elements(p, q, sizes[1], sources[1], targets[1])

        def tiles() -> None:
            self._tiles(source, target, sizes, sources[1], targets[0])

        with b.if_else(in_order) as (yes, no):
            with yes:
                rows(block)()
            with no, b.if_else(turned) as (tiled, plain):
                with tiled:
                    tiles()
                with plain:
                    rows(singly)()

    def _tiles(self, source: Any, target: Any, sizes: list[Any], p_step: Any, q_step: Any) -> None:
        """target[i·q_step + j] = source[i + j·p_step], in squares."""
        b = self.b

        def least(x: Any, y: Any) -> Any:
            return b.select(b.icmp_signed("<", x, y), x, y)

        def tile(i: Any, j: Any) -> None:
            i_end = least(b.add(i, _I64(_TILE)), sizes[0])
            j_end = least(b.add(j, _I64(_TILE)), sizes[1])

            def row(k: Any, _: list[Any]) -> list[Any]:
                p, q = self._at(source, k), self._at(target, b.mul(k, q_step))

                def element(m: Any, _: list[Any]) -> list[Any]:
                    value = b.load(self._at(p, b.mul(m, p_step)), typ=self.element)
                    b.store(value, self._at(q, m))
                    return []

                for_range(b, j, j_end, 1, [], element)
                return []

            for_range(b, i, i_end, 1, [], row)

        def across(i: Any, _: list[Any]) -> list[Any]:
            def down(j: Any, _: list[Any]) -> list[Any]:
                tile(i, j)
                return []

            for_range(b, _I64(0), b.add(sizes[1], _I64(_TILE - 1)), _TILE, [], down)
            return []

        for_range(b, _I64(0), b.add(sizes[0], _I64(_TILE - 1)), _TILE, [], across)

    def _elements(self, p: Any, q: Any, count: Any, p_step: Any, q_step: Any) -> None:
        b = self.b

        def element(i: Any, _: list[Any]) -> list[Any]:
            value = b.load(self._at(p, b.mul(i, p_step)), typ=self.element)
            b.store(value, self._at(q, b.mul(i, q_step)))
            return []

        for_range(b, _I64(0), count, 1, [], element)

    def _at(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index], source_etype=self.element)
