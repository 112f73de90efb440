"""Copies of what several tiles read, in the order in which they read it.

A panel of op(B) is packed as [step][column], a tile's rows of op(A) as [step][row]. Where steps lie
side by side in memory, squares of W × W are transposed.

    void pack(ptr source, i64 stride, ptr target, i64 target_stride, i64 steps, i64 count)

writes target[s][j] for s < steps and j < count; beyond that up to the target's stride something.
Strides are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from llvmlite import ir

from backlit.native.kernels.vector import declare
from backlit.native.products.gemm_code import I64, PTR, VOID, VectorCode

PACK_TYPE = ir.FunctionType(VOID, [PTR, I64, PTR, I64, I64, I64])


@dataclass(frozen=True)
class Copier:
    """target[s][j] = source[s][j], of so many vectors; masked: the last is not a full one."""

    dtype: str
    width: int
    vectors: int
    masked: bool
    name: ClassVar[str] = "copy"

    def text(self) -> str:
        code = VectorCode("copier", self.dtype, self.width)
        function = code.function(self.name, PACK_TYPE)
        source, stride, target, target_stride, steps, count = function.args
        full = self.vectors - self.masked
        read = written = None
        if self.masked:
            room = code.b.udiv(target_stride, I64(code.item))
            read, written = (
                code.first(code.b.sub(n, I64(full * self.width))) for n in (count, room)
            )

        def step(index: Any) -> None:
            line = code.bytes(source, code.b.mul(index, stride))
            copy = code.bytes(target, code.b.mul(index, target_stride))
            for v in range(self.vectors):
                start = v * self.width
                value = code.load(code.at(line, start), read if v == full else None)
                code.store(value, code.at(copy, start), written if v == full else None)

        code.loop(I64(0), steps, I64(1), step)
        code.b.ret_void()
        return str(code.module)


@dataclass(frozen=True)
class Turner:
    """target[s][j] = source[j][s]"""

    dtype: str
    width: int
    name: ClassVar[str] = "turn"

    def text(self) -> str:
        code = VectorCode("turner", self.dtype, self.width)
        width = I64(self.width)
        square = self._square(code)  # apart, which compiles in half the time
        function = code.function(self.name, PACK_TYPE)
        source, stride, target, target_stride, steps, count = function.args
        b = code.b
        room = b.udiv(target_stride, I64(code.item))
        turned = code.least(steps, width)
        last = b.sub(steps, turned)  # the last square overlaps the one before it
        read = code.bits(turned)

        def lines(start: Any) -> None:
            left, written = b.sub(count, start), code.bits(b.sub(room, start))
            here, there = code.bytes(source, b.mul(start, stride)), code.offset(target, start)

            def one(step: Any) -> None:
                first = code.least(step, last)
                place = code.bytes(there, b.mul(first, target_stride))
                corner = code.offset(here, first)
                b.call(square, [corner, stride, left, place, target_stride, read, written])

            code.parts(I64(0), steps, width, one)

        code.parts(I64(0), count, width, lines)
        b.ret_void()
        return str(code.module)

    def _square(self, code: VectorCode) -> Any:
        """`void square(ptr source, i64 stride, i64 lines, ptr target, i64 target_stride, i64 read,
        i64 written)`

        target[s][j] = source[j][s] for the s of the bits `read` and the j of the bits `written`.
        Beyond the last line, that one is read again.
        """
        kind = ir.FunctionType(VOID, [PTR, I64, I64, PTR, I64, I64, I64])
        function = code.function("square", kind, internal=True)
        source, stride, count, target, target_stride, read, written = function.args
        b = code.b
        last, steps = b.sub(count, I64(1)), code.mask(read)
        lines = [
            code.load(code.bytes(source, b.mul(code.least(I64(j), last), stride)), steps)
            for j in range(self.width)
        ]
        for s, line in enumerate(_transposed(code, lines)):
            within = b.icmp_signed("!=", b.and_(read, I64(1 << s)), I64(0))
            mask = code.mask(b.select(within, written, I64(0)))
            code.store(line, code.bytes(target, b.mul(I64(s), target_stride)), mask)
        b.ret_void()
        return function


def _transposed(code: VectorCode, lines: list[Any]) -> list[Any]:
    """W vectors of W lanes transposed by log₂ W rounds of interleaving.

    The fence between rounds costs nothing at run time. Without it LLVM spends half a second
    on looking for better shuffles than these.
    """
    width = len(lines)
    order = [lane // 2 + (lane % 2) * width for lane in range(width)]
    low, high = code.lanes(order), code.lanes([i + width // 2 for i in order])
    name = f"llvm.arithmetic.fence.{code.suffix}"
    fence = declare(code.module, name, code.vector, [code.vector])
    for _ in range(width.bit_length() - 1):
        half = width // 2
        merged = []
        for left, right in zip(lines[:half], lines[half:], strict=True):
            merged += [code.b.shuffle_vector(left, right, mask) for mask in (low, high)]
        lines = [code.b.call(fence, [line]) for line in merged]
    return lines
