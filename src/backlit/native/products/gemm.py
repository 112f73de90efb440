"""Matrix products as generated kernels, where they beat OpenBLAS.

    C = op(A) op(B)  or  C += op(A) op(B)        row-major, op(X) = X or Xᵀ, C contiguous

`gemm_plan.py` decides how a product is cut, `gemm_words.py` writes that down for `gemm_blocks.py`,
which walks over its blocks, panels and tiles; `gemm_tiles.py` emits what happens in registers.

Every element of C is summed in the order of k, each step rounded once, so results depend neither on
the cut nor on the threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit.native.machine import jit
from backlit.native.machine.threads import default_num_threads
from backlit.native.products import blas, gemm_blocks, gemm_words
from backlit.native.products.gemm_finish import Finish
from backlit.native.products.gemm_panel import Panel
from backlit.native.products.gemm_plan import Plan, Product, plan

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
    """A product; the functions take a context, the addresses {A, B, C, scratch} and then `words`,
    and if it has a finish, the addresses of that one's results and operands.

    Call `pack` for every i below `packs` (none if A is read where it is), then `block` for every i
    below `blocks`, on any threads.
    """

    library: jit.Library  # the walk
    product: Product
    plan: Plan
    words: tuple[int, ...]
    parts: tuple[jit.Library, ...]  # whose code the words point to

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
        context = (ctypes.c_int64 * (4 + len(self.words)))(*addresses, *self.words)
        for name, count in (("pack", self.packs), ("block", self.blocks)):
            for i in range(count):
                self.library.function(name, None, ctypes.c_void_p, ctypes.c_int64)(context, i)


def default_cut(product: Product) -> Plan:
    """The cut that the model finds best on this machine."""
    return plan(product, jit.host(), default_num_threads())


def build(product: Product, cut: Plan | None = None, finish: Finish | None = None) -> GemmKernel:
    """The generated kernel of a product, cut as the model says or as told.

    Only what no product has needed before is compiled.

    finish: what is made of C while it is in the cache.
    """
    chosen, parts = cut or default_cut(product), _Parts()
    words = gemm_words.words(product, chosen, parts, finish)
    alone = chosen.is_panel(product, finish is not None)
    walk = parts.panel(product, chosen, words) if alone else _walk()
    return GemmKernel(walk, product, chosen, words, tuple(parts.libraries.values()))


def _walk() -> jit.Library:
    """The walk over blocks that all products share."""
    return jit.engine().load(gemm_blocks.text, gemm_blocks.EXPORTS, identity="gemm walk")


class _Parts:
    """Compiles the parts of a product, or looks them up."""

    def __init__(self) -> None:
        self.libraries: dict[int, jit.Library] = {}  # by the address of their function

    def __call__(self, name: str, part: object, text: Callable[[], str]) -> int:
        """The address of a function that is part of products, and of which ``part`` says all."""
        library = jit.engine().load(text, [name], identity=f"gemm {part}")
        address = library.address(name)
        self.libraries[address] = library
        return address

    def panel(self, product: Product, cut: Plan, words: tuple[int, ...]) -> jit.Library:
        """The function of a product that is one panel."""
        names = {address: library.exports[0] for address, library in self.libraries.items()}
        return jit.engine().load(
            lambda: Panel(words, names).text(),
            ["block"],
            imports={name: address for address, name in names.items()},
            identity=f"gemm panel {product} {cut} {sorted(names.values())}",
        )


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
