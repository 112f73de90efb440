"""Steps as entries of the native loop: which function runs them, and with which words.

Kernels with much to do run in chunks over the thread pool. Where a kernel is cut depends on its
size alone, and no chunk reads what another writes, so results are the same for any number of
threads.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from backlit.native.kernels import elementwise, vecmath
from backlit.native.kernels.expression import Graph
from backlit.native.machine.parallel import parallel_address, serial_address
from backlit.native.products import dispatch as products
from backlit.native.products.batches import DIMENSIONS as BATCH_DIMENSIONS
from backlit.native.products.batches import batch_of, matrix_of, sizes_of
from backlit.native.products.gemm_finish import Finish
from backlit.native.ready import copies, philox
from backlit.native.ready.library import address
from backlit.native.runtime import LONG, WHOLE, runtime
from backlit.native.steps import (
    ColumnReduction,
    Copy,
    Kernel,
    Lookup,
    Loop,
    Product,
    Random,
    Ref,
    Step,
)
from backlit.native.table import Table
from backlit.native.views import merged

_LETTER = {"float32": "s", "float64": "d"}

# A kernel's work is counted in units of about 0.02 ns: bytes moved, and vector instructions on an
# element. From 30 µs on a second thread gains (128 × 784 parameters with momentum: 35 → 23 µs);
# chunks of 5 µs share the work well even while something else keeps the other core busy.
_PARALLEL = 1_500_000
_CHUNK = 250_000
_STRIP = 64  # columns, of which a chunk of a reduction down the columns takes a multiple
_PARALLEL_PRODUCT = 1 << 21  # multiply-adds of a batch of products, as for single ones
_WHOLE_LINES = 64  # elements: chunks of flat kernels begin at cache lines
_BYTES = {"float32": 4, "float64": 8, "bool": 1}


def add_entry(step: Step, table: Table) -> Any:
    """Append the entry of a native step to ``table``; returns the code that it calls, if it is
    its own."""
    return _ENTRIES[type(step)](step, table)


def _kernel(step: Kernel, table: Table) -> Any:
    kernel = elementwise.build(step.expressions, step.cols, step.rows)
    inputs = [
        table.address(Ref(v, (), (), skip)) for v, skip in zip(step.inputs, step.skips, strict=True)
    ]
    outputs = [table.address(v) for v in step.outputs]
    units = step.rows * step.cols if kernel.flat else step.rows
    grain = _grain(step, kernel, units)
    parallel = parallel_address() if grain < units else None
    if parallel is not None:
        count = -(-units // grain)
        at = table.add(kernel.chunk_address, count, 0, 0, step.rows, step.cols, grain)
        table.point(at + 2, inputs[0] if inputs else at)
        table.point(at + 3, outputs[0])
        table.call(parallel, at, step)
        return kernel
    at = table.add(kernel.address, 0, 0, step.rows, step.cols)
    table.point(at + 1, inputs[0] if inputs else at)
    table.point(at + 2, outputs[0])
    table.call(runtime().entry("fused"), at, step)
    return kernel


def _grain(step: Kernel, kernel: elementwise.FusedKernel, units: int) -> int:
    """How many rows, or elements, one chunk of a kernel takes; all of them if it is small."""
    nodes = kernel.graph.nodes
    outputs = [nodes[n].dtype for n in kernel.graph.outputs if nodes[n].varies]
    inputs = [v.dtype.name for v, e in zip(step.inputs, step.extents, strict=True) if e == "full"]
    moved = sum(_BYTES[name] for name in (*inputs, *outputs))
    computed = sum(vecmath.FUNCTIONS[n.name].cost for n in nodes if n.name in vecmath.FUNCTIONS)
    elements = step.rows * step.cols
    if elements * (moved + computed) < _PARALLEL:
        return units
    chunk = max(1, _CHUNK * units // (elements * (moved + computed)))
    whole = _WHOLE_LINES if kernel.flat else kernel.together
    return -(-chunk // whole) * whole


def _product(step: Product, table: Table) -> Any:
    batch = batch_of(step.a, step.b)
    if not batch:
        return _matrices(step, table)
    steps = [(n, a, b) for n, (a, b) in batch]
    one = sizes_of(step)
    letter, size = _LETTER[one.dtype], one.item
    steps = [(1, 0, 0)] * (BATCH_DIMENSIONS - len(steps)) + steps
    count = prod(size for size, *_ in steps)
    parallel = parallel_address() if count * one.work > _PARALLEL_PRODUCT else None
    at = table.add(address(f"{letter}batch"), count, runtime().entry(letter + "gemm"))
    for _, *moves in steps:
        table.add(*(move * size for move in moves))
    table.add(*(n for n, *_ in steps), one.m * one.n * size)
    for operand in (matrix_of(step.a), matrix_of(step.b), step.out):
        table.address(operand)
    table.add(*products.blas_words(one))
    table.call(parallel or serial_address(), at, step)
    return None


def _matrices(step: Product, table: Table) -> Any:
    """One product."""
    sizes, finish = sizes_of(step), step.finish
    chosen = products.entry(sizes, Finish(Graph(finish.expressions)) if finish else None)
    before = table.add(*chosen.before) if chosen and chosen.before else None
    at = table.address(matrix_of(step.a))
    table.address(matrix_of(step.b))
    table.address(step.sums)
    if chosen is None:
        table.add(*products.blas_words(sizes))
        table.call(runtime().entry(_LETTER[sizes.dtype] + "gemm"), at, step)
        return None
    table.add(*chosen.after)
    if finish:
        for v in finish.outputs:
            table.address(v)
        for v, skip in zip(finish.inputs, finish.skips, strict=True):
            table.address(step.sums if v is step.out else Ref(v, (), (), skip))
    table.call(chosen.function, at if before is None else before, step)
    return chosen.code


def _loop(step: Loop, table: Table) -> None:
    at = table.address(step.operands[0])
    for ref in step.operands[1:]:
        table.address(ref)
    table.address(step.out)
    table.add(*step.words)
    table.call(address(step.entry), at, step)


def _columns(step: ColumnReduction, table: Table) -> None:
    bytes_moved = step.outer * step.rows * step.cols * step.out.dtype.itemsize
    strip = max(step.cols, 1)
    if bytes_moved >= _PARALLEL:
        strip = max(_STRIP, _CHUNK // (step.rows * step.out.dtype.itemsize) // _STRIP * _STRIP)
    strips = -(-step.cols // strip)
    count = step.outer * strips
    parallel = parallel_address() if bytes_moved >= _PARALLEL and count > 1 else None
    at = table.add(address(f"{step.out.dtype.name}_{step.name}_columns"), count)
    table.address(step.x)
    table.address(step.out)
    table.add(step.rows, step.cols, strips, strip)
    table.call(parallel or serial_address(), at, step)


def _random(step: Random, table: Table) -> None:
    count = -(-step.out.numel // philox.CHUNK)
    parallel = parallel_address() if count > 1 else None
    at = table.add(address(f"{step.out.dtype.name}_uniform"), count)
    table.number(step.seed, LONG)
    table.number(step.offset, WHOLE)
    table.address(step.out)
    table.add(step.out.numel)
    table.call(parallel or serial_address(), at, step)


def _copy(step: Copy, table: Table) -> None:
    for part in step.parts:
        dims = merged(part.source.shape, (part.source.strides, part.strides))
        words = [w for size, steps in dims for w in (size, *steps)]
        at = table.address(part.source)
        table.address(Ref(step.out, (), (), part.offset))
        table.add(len(part.moves), *(1, 0, 0) * (copies.DIMENSIONS - len(dims)), *words)
        for number, *rest in part.moves:
            table.address(number)
            table.add(*rest)
        table.call(address(f"copy{step.out.dtype.itemsize}"), at, step)


def _lookup(step: Lookup, table: Table) -> None:
    at = table.address(step.x)
    table.address(step.index)
    table.address(step.out)
    table.add(step.rows, step.cols, step.ignore, int(any(step.x.strides)))
    table.call(address(_LETTER[step.out.dtype.name] + step.name), at, step)


_ENTRIES: dict[type, Callable[[Any, Table], Any]] = {
    Kernel: _kernel,
    Product: _product,
    Loop: _loop,
    ColumnReduction: _columns,
    Copy: _copy,
    Random: _random,
    Lookup: _lookup,
}
