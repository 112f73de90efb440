"""Matrix products as entries of the native loop: which kernel, and how it is cut for threads.

Products run a kernel generated for their sizes where that is faster, small ones on the calling
thread, others in blocks over the pool; or OpenBLAS, large ones on blocks of rows or columns. What a
block computes does not depend on which thread does, so results are the same for any number of
threads.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass

import numpy as np

from backlit.native.machine import jit, threads
from backlit.native.machine.once import once
from backlit.native.machine.parallel import parallel_address, serial_address
from backlit.native.machine.words import loads
from backlit.native.products import blas, gemm
from backlit.native.products.gemm_finish import Finish
from backlit.native.products.gemm_plan import Product

_SERIAL = 1 << 21  # multiply-adds up to which OpenBLAS runs on one thread
_BLOCK = 1 << 22  # multiply-adds of one of its blocks, roughly
_MOST_BLOCKS = 16
_NO_TRANSPOSE, _TRANSPOSE = 111, 112
_FEWEST_FINISHED = 3  # vectors of a row from which its finish is computed with the product
LETTER = {"float32": "s", "float64": "d"}

_GENERATED = f"""
; {{block, context …}}, context {{A, B, C, …}}
define i64 @generated(ptr %a) {{
  %block = load ptr, ptr %a
  %context = getelementptr i64, ptr %a, i64 1
  call void %block(ptr %context, i64 0)
  ret i64 0
}}

; {{lock, pack, packs, block, blocks, context …}}, context {{A, B, C, scratch}}
define i64 @packed(ptr %a) {{
start:
{loads("*lock *pack packs *block blocks")}
  %context = getelementptr i64, ptr %a, i64 5
  br label %claim
claim:
  %swap = cmpxchg ptr %lock, i64 0, i64 1 acquire monotonic
  %free = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %free, label %work, label %wait
wait:
  call i32 @sched_yield()
  br label %claim
work:
  call void @parallel_for(ptr %pack, ptr %context, i64 %packs)
  call void @parallel_for(ptr %block, ptr %context, i64 %blocks)
  store atomic i64 0, ptr %lock release, align 8
  ret i64 0
}}

declare void @parallel_for(ptr, ptr, i64)
declare i32 @sched_yield()
"""

# ta and tb say whether A and B are transposed. Block i of C is rows i·size … where size > 0, or
# columns i·(-size) … where size < 0.
_BLOCKS_WORDS = "*A *B *C m n k lda ldb ldc ta tb size"
_BLOCKS = """
declare void @cblas_{letter}gemm(
  i32, i32, i32, i32, i32, i32, {type}, ptr, i32, ptr, i32, {type}, ptr, i32)

define void @{letter}block(ptr %a, i64 %i) {{
{words}
  %by.rows = icmp sgt i64 %size, 0
  %negated = sub i64 0, %size
  %length = select i1 %by.rows, i64 %size, i64 %negated
  %whole = select i1 %by.rows, i64 %m, i64 %n
  %start = mul i64 %i, %length
  %left = sub i64 %whole, %start
  %short = icmp slt i64 %left, %length
  %part = select i1 %short, i64 %left, i64 %length
  %rows = select i1 %by.rows, i64 %part, i64 %m
  %cols = select i1 %by.rows, i64 %n, i64 %part
  %row = select i1 %by.rows, i64 %start, i64 0
  %col = select i1 %by.rows, i64 0, i64 %start
  %a.turned = icmp eq i64 %ta, {transpose}
  %a.step = select i1 %a.turned, i64 1, i64 %lda
  %a.offset = mul i64 %row, %a.step
  %b.turned = icmp eq i64 %tb, {transpose}
  %b.step = select i1 %b.turned, i64 %ldb, i64 1
  %b.offset = mul i64 %col, %b.step
  %c.row = mul i64 %row, %ldc
  %c.offset = add i64 %c.row, %col
  %A2 = getelementptr {type}, ptr %A, i64 %a.offset
  %B2 = getelementptr {type}, ptr %B, i64 %b.offset
  %C2 = getelementptr {type}, ptr %C, i64 %c.offset
  %ta32 = trunc i64 %ta to i32
  %tb32 = trunc i64 %tb to i32
  %m32 = trunc i64 %rows to i32
  %n32 = trunc i64 %cols to i32
  %k32 = trunc i64 %k to i32
  %lda32 = trunc i64 %lda to i32
  %ldb32 = trunc i64 %ldb to i32
  %ldc32 = trunc i64 %ldc to i32
  call void @cblas_{letter}gemm(
    i32 101, i32 %ta32, i32 %tb32, i32 %m32, i32 %n32, i32 %k32, {type} 1.0,
    ptr %A2, i32 %lda32, ptr %B2, i32 %ldb32, {type} 0.0, ptr %C2, i32 %ldc32)
  ret void
}}
"""


@dataclass(frozen=True)
class Entry:
    """An entry of the loop: its function, and the words around the addresses of A, B and C.

    ``code`` is the machine code behind the addresses; it lives as long as something holds it.
    """

    function: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    code: object


class Scratch:
    """Memory that products copy a factor into, one at a time: a lock, and the bytes."""

    _HEAD = 64  # bytes: the lock has a cache line of its own

    def __init__(self, size: int) -> None:
        self._memory = np.zeros(size + 2 * self._HEAD, np.uint8)
        start = self._memory.ctypes.data
        self.lock = start + -start % self._HEAD
        self.address = self.lock + self._HEAD
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.unlock)

    def unlock(self) -> None:
        """In the child of a fork, the thread that held it is gone."""
        ctypes.c_int64.from_address(self.lock).value = 0


@functools.cache
def _scratch(size: int) -> Scratch:
    return Scratch(size)


def scratch(size: int) -> Scratch:
    """The scratch of at least so many bytes that all products of about this size share."""
    return _scratch(1 << (size - 1).bit_length())


@once
def _library() -> jit.Library:
    pool = threads.pool()
    source = [_GENERATED]
    yields = getattr(ctypes.CDLL(None), "sched_yield", None) if os.name == "posix" else None
    imports = {
        "parallel_for": getattr(pool, "address", 0),
        "sched_yield": int(ctypes.cast(yields, ctypes.c_void_p).value or 0) if yields else 0,
    }
    for letter, kind in (("s", "float"), ("d", "double")):
        source.append(
            _BLOCKS.format(
                letter=letter, type=kind, transpose=_TRANSPOSE, words=loads(_BLOCKS_WORDS)
            )
        )
        imports[f"cblas_{letter}gemm"] = blas.address(f"{letter}gemm")
    return jit.engine().load(
        "\n".join(source), ["generated", "packed", "sblock", "dblock"], imports=imports
    )


def takes_finish(product: Product) -> bool:
    """Whether a kernel generated for the product computes it, and runs everywhere.

    A finish goes row by row, and a row of few vectors leaves it waiting for each: 150 × 10 sigmoids
    take 1.2 µs in a kernel of their own, and 6 as a finish.
    """
    if gemm.choose(product) != "generated":
        return False
    if product.n < _FEWEST_FINISHED * jit.host().width(product.dtype):
        return False
    return parallel_address() is not None or not gemm.default_cut(product).pack_a


def entry(product: Product, finish: Finish | None = None) -> Entry | None:
    """How to compute a product; None: one call of OpenBLAS.

    finish: what is made of its sums, if it takes one; the addresses of the results and of the
        operands come after the words of the entry.
    """
    if gemm.choose(product) == "generated":
        return generated(product, finish)
    parallel = parallel_address()
    if product.work <= _SERIAL or parallel is None:
        return None
    library = _library()
    m, n = product.m, product.n
    blocks = max(2, min(_MOST_BLOCKS, product.work // _BLOCK))
    by_rows = m >= n
    size = -(-(m if by_rows else n) // blocks)
    size = -(-size // 16) * 16  # whole vectors
    count = -(-(m if by_rows else n) // size)
    body = library.address(LETTER[product.dtype] + "block")
    return Entry(
        parallel, (body, count), (*blas_words(product), size if by_rows else -size), library
    )


def blas_words(product: Product) -> tuple[int, ...]:
    """What a call of OpenBLAS needs besides the three addresses."""
    turned = (product.transpose_a, product.transpose_b)
    flags = (_TRANSPOSE if t else _NO_TRANSPOSE for t in turned)
    sizes = (product.m, product.n, product.k)
    return (*sizes, product.lda, product.ldb, max(product.n, 1), *flags)


def generated(product: Product, finish: Finish | None = None) -> Entry | None:
    """The entry of a generated kernel; None: its copy of A needs the pool, and there is none."""
    library, kernel = _library(), gemm.build(product, finish=finish)
    parallel = parallel_address()
    if kernel.packs:
        if parallel is None:
            return None
        shared = scratch(kernel.scratch)
        words = (
            shared.lock,
            kernel.pack_address,
            kernel.packs,
            kernel.block_address,
            kernel.blocks,
        )
        after = (shared.address, *kernel.words)
        return Entry(library.address("packed"), words, after, (kernel, shared))
    after = (0, *kernel.words)  # 0 in the place of the scratch
    if kernel.blocks == 1:
        return Entry(library.address("generated"), (kernel.block_address,), after, kernel)
    caller = parallel if parallel and kernel.blocks else serial_address()
    return Entry(caller, (kernel.block_address, kernel.blocks), after, kernel)
