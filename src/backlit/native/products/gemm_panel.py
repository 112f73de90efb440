"""Products that are one panel: a function for each, in the place of the walk over blocks.

They may be as small as 1 × 10, and take less time than a CPU needs to find its way through code
that other products have just run with other sizes: each branch that goes another way costs 20
cycles. Here sizes are compiled in, and no branch is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llvmlite import ir

from backlit.native.kernels.vector import declare
from backlit.native.products.gemm_blocks import (
    FINISH_TYPE,
    GROUPS,
    LINE,
    PLACES,
    SCRATCH,
    WALK_TYPE,
    A,
    B,
    C,
)
from backlit.native.products.gemm_code import I1, I8, I64, PTR, Code
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

_HEAD = SCRATCH + 1  # words of a context before those of a product


class Panel:
    """Emits `void block(ptr context, i64 0)`.

    Args:
        words: those of the product.
        names: of functions by their addresses.
    """

    def __init__(self, words: tuple[int, ...], names: Mapping[int, str]) -> None:
        self.words, self.names = words, names
        self.code = Code("panel")

    def text(self) -> str:
        code = self.code
        self.context, _ = code.function("block", WALK_TYPE).args
        with code.flushing():
            self._all()
        code.b.ret_void()
        return str(code.module)

    def _all(self) -> None:
        code = self.code
        m, n, k, rows, panel = (self._size(name) for name in ("m", "n", "k", "rows", "panel"))
        a, b, c = (code.word(self.context, place, PTR) for place in (A, B, C))
        full = GROUPS if n == panel else GROUPS + GROUP
        if self._size("panel_bytes"):
            b = self._packed(b, full)
        from_zero = I1(not self._size("accumulates"))
        tiles = m // rows
        for group, count in ((full, tiles), (full + 2 * GROUP, min(1, m % rows))):
            if count:
                words = code.b.gep(self.context, [I64(group)], source_etype=I64)
                arguments = [a, b, c, I64(k), from_zero, words, I64(count)]
                self._call(self._word(group, TILE), TILES_TYPE, arguments)
                a = code.bytes(a, I64(tiles * rows * self._size("tile_row")))
                c = code.bytes(c, I64(tiles * rows * self._word(group, C_ROW)))
        finish = self._word(full, FINISH)
        if finish:
            with code.exact():
                self._call(finish, FINISH_TYPE, [self.context, I64(0), I64(m), I64(0)])

    def _packed(self, b: Any, group: int) -> Any:
        """A copy of B."""
        code = self.code
        panel = code.b.alloca(ir.ArrayType(I8, self._size("panel_bytes")))
        panel.align = LINE
        panel.type = PTR  # llvmlite still types it by its elements
        sizes = (self._size("b_line"), self._word(group, PANEL_STEP))
        k, n = (I64(self._size(name)) for name in ("k", "n"))
        self._call(
            self._word(group, PACK), PACK_TYPE, [b, I64(sizes[0]), panel, I64(sizes[1]), k, n]
        )
        return panel

    def _call(self, address: int, kind: Any, arguments: list[Any]) -> None:
        name = self.names[address]
        function = declare(self.code.module, name, kind.return_type, list(kind.args))
        self.code.b.call(function, arguments)

    def _size(self, name: str) -> int:
        return self.words[PLACES[name] - _HEAD]

    def _word(self, group: int, word: int) -> int:
        return self.words[group - _HEAD + word]
