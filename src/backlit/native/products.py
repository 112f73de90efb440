"""Matrix products as entries of the native loop: which kernel, and how it is cut for threads.

Small products run a kernel generated for their sizes, large ones OpenBLAS on blocks of rows or
columns. The blocks depend on the sizes alone, so results are the same for any number of threads.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from backlit.native import blas, gemm, jit, threads

_SERIAL = 1 << 21  # multiply-adds up to which one thread is faster than waking another
_BLOCK = 1 << 22  # multiply-adds of one block, roughly
_MOST_BLOCKS = 16
_NO_TRANSPOSE, _TRANSPOSE = 111, 112
LETTER = {"float32": "s", "float64": "d"}

# {kernel, A, B, C}
_GENERATED = """
define i64 @generated(ptr %a) {
  %kernel = load ptr, ptr %a
  %A.at = getelementptr i64, ptr %a, i64 1
  %A = load ptr, ptr %A.at
  %B.at = getelementptr i64, ptr %a, i64 2
  %B = load ptr, ptr %B.at
  %C.at = getelementptr i64, ptr %a, i64 3
  %C = load ptr, ptr %C.at
  call void %kernel(ptr %A, ptr %B, ptr %C)
  ret i64 0
}

; {body, count, context …}
define i64 @parallel(ptr %a) {
  %body = load ptr, ptr %a
  %count.at = getelementptr i64, ptr %a, i64 1
  %count = load i64, ptr %count.at
  %context = getelementptr i64, ptr %a, i64 2
  call void @parallel_for(ptr %body, ptr %context, i64 %count)
  ret i64 0
}

declare void @parallel_for(ptr, ptr, i64)
"""

# context {A, B, C, m, n, k, lda, ldb, ldc, transpose A, transpose B, size}: block i of C, which is
# rows i·size … where size > 0, or columns i·(-size) … where size < 0.
_BLOCKS = """
declare void @cblas_{letter}gemm(
  i32, i32, i32, i32, i32, i32, {type}, ptr, i32, ptr, i32, {type}, ptr, i32)

define void @{letter}block(ptr %a, i64 %i) {{
  %A = load ptr, ptr %a
  %B.at = getelementptr i64, ptr %a, i64 1
  %B = load ptr, ptr %B.at
  %C.at = getelementptr i64, ptr %a, i64 2
  %C = load ptr, ptr %C.at
  %m.at = getelementptr i64, ptr %a, i64 3
  %m = load i64, ptr %m.at
  %n.at = getelementptr i64, ptr %a, i64 4
  %n = load i64, ptr %n.at
  %k.at = getelementptr i64, ptr %a, i64 5
  %k = load i64, ptr %k.at
  %lda.at = getelementptr i64, ptr %a, i64 6
  %lda = load i64, ptr %lda.at
  %ldb.at = getelementptr i64, ptr %a, i64 7
  %ldb = load i64, ptr %ldb.at
  %ldc.at = getelementptr i64, ptr %a, i64 8
  %ldc = load i64, ptr %ldc.at
  %ta.at = getelementptr i64, ptr %a, i64 9
  %ta = load i64, ptr %ta.at
  %tb.at = getelementptr i64, ptr %a, i64 10
  %tb = load i64, ptr %tb.at
  %size.at = getelementptr i64, ptr %a, i64 11
  %size = load i64, ptr %size.at
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


@functools.cache
def _library() -> jit.Library:
    pool = threads.pool()
    source = [_GENERATED]
    imports = {"parallel_for": getattr(pool, "address", 0)}
    for letter, kind in (("s", "float"), ("d", "double")):
        source.append(_BLOCKS.format(letter=letter, type=kind, transpose=_TRANSPOSE))
        imports[f"cblas_{letter}gemm"] = blas.address(f"{letter}gemm")
    return jit.engine().load(
        "\n".join(source), ["generated", "parallel", "sblock", "dblock"], imports=imports
    )


def entry(
    m: int, n: int, k: int, a: tuple[bool, int], b: tuple[bool, int], dtype: str
) -> Entry | None:
    """How to compute C = op(A) op(B), (m, k) by (k, n); None: one call of OpenBLAS.

    ``a`` and ``b`` say whether a factor is stored transposed, and its leading dimension.
    """
    library = _library()
    natural = a[1] == (m if a[0] else k) and b[1] == (k if b[0] else n)
    product = gemm.Product(m, n, k, a[0], b[0], dtype)
    work = m * n * k
    if work <= _SERIAL:
        if natural and gemm.choose(product) == "generated":
            kernel = gemm.build(product)
            return Entry(library.address("generated"), (kernel.address,), (), kernel)
        return None
    if not hasattr(threads.pool(), "address"):
        return None
    blocks = max(2, min(_MOST_BLOCKS, work // _BLOCK))
    by_rows = m >= n
    size = -(-(m if by_rows else n) // blocks)
    size = -(-size // 16) * 16  # whole vectors
    count = -(-(m if by_rows else n) // size)
    flags = tuple(_TRANSPOSE if t else _NO_TRANSPOSE for t in (a[0], b[0]))
    body = library.address(LETTER[dtype] + "block")
    rest = (m, n, k, a[1], b[1], max(n, 1), *flags, size if by_rows else -size)
    return Entry(library.address("parallel"), (body, count), rest, library)
