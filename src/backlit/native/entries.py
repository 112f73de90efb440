"""Steps as entries of the native loop: which function runs them, and with which words.

Kernels with much to do run in chunks over the thread pool. Where a kernel is cut depends on its
size alone, and no chunk reads what another writes, so results are the same for any number of
threads.
"""

from __future__ import annotations

from typing import Any

from backlit.native import elementwise, products, vecmath
from backlit.native.parallel import parallel_address
from backlit.native.runtime import runtime
from backlit.native.steps import ColumnSum, Kernel, Lookup, Loop, Product, Step, leading
from backlit.native.table import Table

_NO_TRANSPOSE, _TRANSPOSE = 111, 112
_LETTER = {"float32": "s", "float64": "d"}

# A kernel's work is counted in units of about 0.02 ns: bytes moved, and vector instructions on an
# element. From 30 µs on a second thread gains (128 × 784 parameters with momentum: 35 → 23 µs);
# chunks of 5 µs share the work well even while something else keeps the other core busy.
_PARALLEL = 1_500_000
_CHUNK = 250_000
_WHOLE_LINES = 64  # elements: chunks of flat kernels begin at cache lines
_BYTES = {"float32": 4, "float64": 8, "bool": 1}


def add_entry(step: Step, table: Table) -> Any:
    """Append the entry of a native step to ``table``; returns the code that it calls, if its
    own."""
    if isinstance(step, Kernel):
        return _kernel(step, table)
    if isinstance(step, Product):
        return _product(step, table)
    if isinstance(step, Loop):
        return _loop(step, table)
    if isinstance(step, ColumnSum):
        return _column_sum(step, table)
    assert isinstance(step, Lookup)
    return _lookup(step, table)


def _kernel(step: Kernel, table: Table) -> Any:
    kernel = elementwise.build(step.expressions, step.cols)
    inputs = [table.address(v) for v in step.inputs]
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
    return -(-chunk // _WHOLE_LINES) * _WHOLE_LINES if kernel.flat else chunk


def _product(step: Product, table: Table) -> Any:
    (m, k), n = step.a.shape, step.b.shape[1]
    a, b = leading(step.a), leading(step.b)
    assert a is not None
    assert b is not None
    chosen = products.entry(m, n, k, a, b, step.out.dtype.name)
    before = table.add(*chosen.before) if chosen and chosen.before else None
    at = table.address(step.a)
    table.address(step.b)
    table.address(step.out)
    if chosen is not None:
        table.add(*chosen.after)
        table.call(chosen.function, at if before is None else before, step)
        return chosen.code
    table.add(
        m, n, k, a[1], b[1], max(n, 1),
        _TRANSPOSE if a[0] else _NO_TRANSPOSE, _TRANSPOSE if b[0] else _NO_TRANSPOSE,
    )  # fmt: skip
    table.call(runtime().entry(_LETTER[step.out.dtype.name] + "gemm"), at, step)
    return None


def _loop(step: Loop, table: Table) -> None:
    at = table.address(step.operands[0])
    for ref in step.operands[1:]:
        table.address(ref)
    table.address(step.out)
    table.add(*step.words)
    table.call(runtime().entry(step.entry), at, step)


def _column_sum(step: ColumnSum, table: Table) -> None:
    at = table.address(step.x)
    table.address(step.out)
    table.add(step.rows, step.cols)
    table.call(runtime().entry(_LETTER[step.out.dtype.name] + "colsum"), at, step)


def _lookup(step: Lookup, table: Table) -> None:
    at = table.address(step.x)
    table.address(step.index)
    table.address(step.out)
    table.add(step.rows, step.cols, step.ignore, int(any(step.x.strides)))
    table.call(runtime().entry(_LETTER[step.out.dtype.name] + step.name), at, step)
