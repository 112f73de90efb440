"""Matrix products of fixed sizes as generated kernels, where they beat OpenBLAS.

    C = op(A) op(B)  or  C += op(A) op(B)        row-major, op(X) = X or Xᵀ, C contiguous

`gemm_plan.py` decides how a product is cut, `gemm_blocks.py` walks over its blocks, panels and
tiles, `gemm_tiles.py` emits what happens in registers.

Every element of C is summed in the order of k, each step rounded once, so results depend neither on
the cut nor on the threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from backlit.native.machine import jit
from backlit.native.machine.threads import default_num_threads
from backlit.native.products import blas
from backlit.native.products.gemm_blocks import Blocks
from backlit.native.products.gemm_finish import Finish
from backlit.native.products.gemm_plan import Plan, Product, plan
from backlit.native.products.gemm_tiles import Code, transposer

# Where a generated kernel wins, measured by benchmarks/native_gemm.py. With registers of 32 bytes,
# beyond these sizes OpenBLAS does.
_MOST_MULTIPLICATIONS = 512**3
_MOST_COLUMNS = 1024
# With 64, only where too few rows meet a transposed B to pay for packing it, and it lies in cache.
_FEWEST_ROWS = 4
_CACHED = 1 << 21  # elements


def choose(product: Product, host: jit.Host | None = None) -> str:
    """ "generated" or "openblas", whichever was measured to be faster for such sizes.

    >>> choose(Product(1, 512, 512, transpose_b=True))
    'openblas'
    """
    vector_bytes = (host or jit.host()).vector_bytes
    if vector_bytes < 32:
        return "openblas"
    if vector_bytes < 64:
        small = product.work <= _MOST_MULTIPLICATIONS and product.n <= _MOST_COLUMNS
    else:
        few = product.transpose_b and product.m < _FEWEST_ROWS
        small = not few or product.n * product.k > _CACHED
    return "generated" if small else "openblas"


@dataclass(frozen=True)
class GemmKernel:
    """A compiled product; its functions take a context, the words {A, B, C, scratch}, and if it has
    a finish, the addresses of that one's results and operands.

    `gemm` does everything on one thread. To share the work, call `pack` for every i below `packs`
    (none if A is read where it is), then `block` for every i below `blocks`.
    """

    library: jit.Library
    product: Product
    plan: Plan
    turner: jit.Library | None  # which the library calls

    @property
    def address(self) -> int:
        """`void gemm(ptr context)`"""
        return self.library.address("gemm")

    @property
    def block_address(self) -> int:
        """`void block(ptr context, i64 i)`"""
        return self.library.address("block")

    @property
    def blocks(self) -> int:
        return self.plan.blocks(self.product)

    @property
    def pack_address(self) -> int:
        """`void pack(ptr context, i64 i)`"""
        return self.library.address("pack")

    @property
    def packs(self) -> int:
        return self.plan.row_tiles(self.product) if self.plan.pack_a else 0

    @property
    def scratch(self) -> int:
        """Bytes of scratch."""
        return self.plan.scratch(self.product)

    def run(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        """Multiply on the calling thread."""
        scratch = np.empty(self.scratch, np.uint8)
        addresses = [array.ctypes.data for array in (a, b, out, scratch)]
        self.library.function("gemm", None, ctypes.c_void_p)((ctypes.c_void_p * 4)(*addresses))


def default_cut(product: Product) -> Plan:
    """The cut that the model finds best on this machine."""
    return plan(product, jit.host(), default_num_threads())


def build(product: Product, cut: Plan | None = None, finish: Finish | None = None) -> GemmKernel:
    """Compile (or look up) the generated kernel of a product, cut as the model says or as told.

    finish: what is made of C while it is in the cache.
    """
    chosen = cut or default_cut(product)
    turner = _turner(product.dtype, chosen.width) if chosen.turns(product) else None
    library = jit.engine().load(
        lambda: module_text(product, chosen, finish),
        ["gemm", "block", *(["pack"] if chosen.pack_a else [])],
        imports={"turn": turner.address("turn")} if turner else {},
        identity=f"gemm {product} {chosen}" + (f"\n{finish.graph.identity()}" if finish else ""),
    )
    return GemmKernel(library, product, chosen, turner)


def _turner(dtype: str, width: int) -> jit.Library:
    """What transposes squares of numbers, for all products: it takes 10 ms to compile."""

    def text() -> str:
        module = ir.Module("turn")
        transposer(Code(module, dtype, width))
        return str(module)

    return jit.engine().load(text, ["turn"], identity=f"turn {dtype} {width}")


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


def module_text(product: Product, cut: Plan, finish: Finish | None = None) -> str:
    """The LLVM IR of the kernel."""
    module = ir.Module("gemm")
    Blocks(product, cut, module, finish).emit()
    return str(module)
