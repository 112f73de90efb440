"""Batches of matrix products: where the matrices of each product lie, and the body that runs one.

The dimensions before those of the matrices broadcast; those that lie one in the other are taken
together, and up to three remain.
"""

from __future__ import annotations

from backlit.native.machine.words import loads
from backlit.native.products import gemm_plan
from backlit.native.steps import Product, Ref, leading
from backlit.native.views import merged, spread

DIMENSIONS = 3

# {entry of one product, (bytes from matrix to matrix in A, in B) for each of three dimensions,
# three sizes, bytes from product to product, A, B, C, …}: product number i.
_SOURCE = """
define void @{letter}batch(ptr %a, i64 %i) {{
{words}
  %i2 = srem i64 %i, %n2
  %rest = sdiv i64 %i, %n2
  %i1 = srem i64 %rest, %n1
  %i0 = sdiv i64 %rest, %n1
  %x0 = mul i64 %i0, %a0
  %x1 = mul i64 %i1, %a1
  %x2 = mul i64 %i2, %a2
  %x01 = add i64 %x0, %x1
  %x = add i64 %x01, %x2
  %y0 = mul i64 %i0, %b0
  %y1 = mul i64 %i1, %b1
  %y2 = mul i64 %i2, %b2
  %y01 = add i64 %y0, %y1
  %y = add i64 %y01, %y2
  %z = mul i64 %i, %c
  %own = alloca [11 x i64], align 8
  %words = getelementptr i64, ptr %a, i64 11
  call void @llvm.memcpy.p0.p0.i64(ptr %own, ptr %words, i64 88, i1 false)
  %A = load i64, ptr %own
  %A.here = add i64 %A, %x
  store i64 %A.here, ptr %own
  %B.at = getelementptr i64, ptr %own, i64 1
  %B = load i64, ptr %B.at
  %B.here = add i64 %B, %y
  store i64 %B.here, ptr %B.at
  %C.at = getelementptr i64, ptr %own, i64 2
  %C = load i64, ptr %C.at
  %C.here = add i64 %C, %z
  store i64 %C.here, ptr %C.at
  call i64 %entry(ptr %own)
  ret void
}}
"""
_WORDS = "*entry a0 b0 a1 b1 a2 b2 n0 n1 n2 c"


def names() -> list[str]:
    """The bodies that `module_text` can define."""
    return ["sbatch", "dbatch"]


def module_text(name: str) -> str:
    """The module of a body, `void body(ptr context, i64 i)`."""
    body = _SOURCE.format(letter=name[0], words=loads(_WORDS))
    return f"declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n{body}"


def matrix_of(ref: Ref) -> Ref:
    """The first matrix of a batch."""
    return Ref(ref.value, ref.shape[-2:], ref.strides[-2:], ref.offset)


def batch_of(a: Ref, b: Ref) -> list[tuple[int, tuple[int, ...]]]:
    """(size, steps in a and in b) of the dimensions before those of the matrices."""
    lead = max(len(a.shape), len(b.shape)) - 2
    shape = [1] * lead
    for ref in (a, b):
        for d, n in enumerate(ref.shape[:-2], lead - len(ref.shape) + 2):
            shape[d] = max(shape[d], n)
    parts = [Ref(r.value, r.shape[:-2], r.strides[:-2]) for r in (a, b)]
    return merged(tuple(shape), tuple(spread(p, tuple(shape)) for p in parts))


def sizes_of(step: Product) -> gemm_plan.Product:
    """The sizes of the product, or of each product of the batch."""
    left, right = matrix_of(step.a), matrix_of(step.b)
    a, b = leading(left), leading(right)
    assert a is not None
    assert b is not None
    (m, k), n = left.shape, right.shape[1]
    dtype = step.out.dtype.name
    return gemm_plan.Product(m, n, k, a[0], b[0], dtype, lda=a[1], ldb=b[1])
