"""Fused kernels over rows × cols elements: elementwise expressions and reductions along rows.

A kernel makes one pass over a row for each level of reductions and one for the outputs; softmax is
three passes over a row that stays in cache:

>>> from backlit.native.kernels.expression import Input, Reduce, call
>>> x = Input(0)
>>> e = call("exp", call("sub", x, Reduce("max", x)))
>>> softmax = build([call("div", e, Reduce("sum", e))])
>>> import numpy as np
>>> a, out = np.ones((2, 4), np.float32), np.empty((2, 4), np.float32)
>>> softmax.run([a], [out], 2, 4)
>>> float(out[1, 3])
0.25

An output that varies within rows has shape (rows, cols), any other (rows,). A dear subexpression
that a reduction and the first output share (softmax's exp) is computed once and kept in the
output's row in between; so with reductions in it, no output may overlap an input. Without them an
output may be an input's buffer itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from backlit.native.kernels.expression import Expression, Graph, Input, Reduce
from backlit.native.kernels.narrowloops import NarrowLoops, is_narrow
from backlit.native.kernels.rowloops import RowLoops
from backlit.native.machine import jit

_I64 = ir.IntType(64)
_PTR = ir.PointerType()
_BLOCK = 4096  # elements that a full reduction takes as one row
_ROWS_TOGETHER = 2  # that go through the loops side by side
_MANY_ROWS = 8  # from which on they do


@dataclass(frozen=True)
class FusedKernel:
    """A compiled kernel.

    Attributes:
        library: the machine code; "run" and "chunk" are its entry points.
        graph: what it computes.
        flat: whether rows and cols do not matter, only their product.
        together: how many rows are taken at a time.
        called: code that it calls.
    """

    library: jit.Library
    graph: Graph
    flat: bool
    together: int = 1
    called: tuple[jit.Library, ...] = ()

    @property
    def address(self) -> int:
        """`void run(ptr inputs, ptr outputs, i64 rows, i64 cols)`: arrays of pointers."""
        return self.library.address("run")

    @property
    def chunk_address(self) -> int:
        """`void chunk(ptr context, i64 i)` for parallel_for; context is {inputs, outputs, rows,
        cols, grain} and chunk i covers units i·grain to (i+1)·grain, elements if flat, else rows.
        """
        return self.library.address("chunk")

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], rows: int, cols: int
    ) -> None:
        """Run on the calling thread. Arrays must be contiguous and of the declared dtypes."""
        self._function()(_pointers(inputs), _pointers(outputs), rows, cols)

    def _function(self) -> Any:
        types = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        return self.library.function("run", None, *types)


def _pointers(arrays: Sequence[np.ndarray]) -> Any:
    return (ctypes.c_void_p * max(1, len(arrays)))(*[a.ctypes.data for a in arrays])


def build(
    outputs: Sequence[Expression], cols: int | None = None, rows: int | None = None
) -> FusedKernel:
    """Compile (or look up) the kernel that computes these outputs.

    Where rows are short, the kernel for just this number of ``cols`` is faster; where they are many
    and not long, one that takes several ``rows`` at a time.
    """
    graph = Graph(outputs)
    flat = _is_flat(graph)
    narrow = cols if cols and not flat and is_narrow(graph, cols) else None
    reduces = any(node.kind == "reduce" for node in graph.nodes)
    several = reduces and not narrow and cols and rows and cols <= _BLOCK and rows >= _MANY_ROWS
    together = _ROWS_TOGETHER if several else 1
    identity = f"elementwise\n{graph.identity()}\n{together} rows"
    identity += f"\n{narrow} columns" if narrow else ""
    called = turns(graph, jit.host(), narrow)
    library = jit.engine().load(
        lambda: module_text(graph, columns=narrow, together=together),
        ["run", "chunk"],
        identity=identity,
        imports={name: code.address(name) for name, code in called.items()},
    )
    return FusedKernel(library, graph, flat, together, tuple(called.values()))


def turns(graph: Graph, host: jit.Host, columns: int | None) -> dict[str, jit.Library]:
    """The code that the kernel for these ``columns`` calls, by the names of its functions."""
    if columns is None:
        return {}
    loops = NarrowLoops(graph, ir.Module(), host, columns)
    return {turn.name: turn.library() for turn in sorted(loops.turns())}


def module_text(
    graph: Graph, host: jit.Host | None = None, columns: int | None = None, together: int = 1
) -> str:
    """The LLVM IR of the kernel, for this CPU or another, for any or these ``columns``."""
    module = ir.Module("elementwise")
    host = host or jit.host()
    if columns is None:
        body = RowLoops(graph, module, host, _is_flat(graph), together).emit()
    else:
        body = NarrowLoops(graph, module, host, columns).emit()
    _emit_run(module, body, _is_flat(graph))
    _emit_chunk(module, body, _is_flat(graph))
    return str(module)


def _is_flat(graph: Graph) -> bool:
    extents = {n.payload[1] for n in graph.nodes if isinstance(n.payload, tuple)}
    reduces = any(n.kind == "reduce" for n in graph.nodes)
    all_vary = all(graph.nodes[o].varies for o in graph.outputs)
    return all_vary and not reduces and extents <= {"full", "scalar"}


def _emit_run(module: Any, body: Any, flat: bool) -> None:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_PTR, _PTR, _I64, _I64]), "run")
    b = ir.IRBuilder(function.append_basic_block())
    inputs, outputs, rows, cols = function.args
    units = b.mul(rows, cols) if flat else rows
    b.call(body, [inputs, outputs, cols, _I64(0), units])
    b.ret_void()


def _emit_chunk(module: Any, body: Any, flat: bool) -> None:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_PTR, _I64]), "chunk")
    b = ir.IRBuilder(function.append_basic_block())
    context, index = function.args

    def field(k: int, kind: Any) -> Any:
        return b.load(b.gep(context, [_I64(k)], source_etype=_I64), typ=kind)

    inputs, outputs = field(0, _PTR), field(1, _PTR)
    rows, cols, grain = (field(k, _I64) for k in (2, 3, 4))
    units = b.mul(rows, cols) if flat else rows
    begin = b.mul(index, grain)
    end = b.add(begin, grain)
    end = b.select(b.icmp_signed("<", end, units), end, units)
    b.call(body, [inputs, outputs, cols, begin, end])
    b.ret_void()


@dataclass(frozen=True)
class FullReduction:
    """A reduction of all elements of an expression over full and scalar operands.

    Blocks of 4096 elements are reduced first, each as a row of a fused kernel, then their results
    in the same way until one is left: the order depends on the number of elements only, and the
    rounding error of a sum grows with its logarithm.

    >>> from backlit.native.kernels.expression import Input, call
    >>> x = np.arange(10_000, dtype=np.float32)
    >>> reduce_all("max", call("neg", Input(0))).run([x], x.size).item() == 0
    True
    """

    op: str
    first: FusedKernel
    rest: FusedKernel

    def run(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        """The reduction of `count` elements, as an array of no dimensions."""
        parts = self._blocks(self.first, inputs, count)
        while parts.size > 1:
            parts = self._blocks(self.rest, [parts], parts.size)
        total = parts.reshape(())
        return total / total.dtype.type(count) if self.op == "mean" else total

    @staticmethod
    def _blocks(kernel: FusedKernel, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        """One result per block of 4096 elements; the last block may be shorter."""
        rows, left = divmod(count, _BLOCK)
        dtype = kernel.graph.nodes[kernel.graph.outputs[0]].dtype
        parts = np.empty(max(1, rows + (left > 0)), dtype)
        if rows:
            kernel.run(inputs, [parts], rows, _BLOCK)
        if left or not rows:
            flat = [array.reshape(-1) for array in inputs]
            rest = [array[rows * _BLOCK :] if array.size == count else array for array in flat]
            kernel.run(rest, [parts[rows:]], 1, left)
        return parts


def reduce_all(op: str, expression: Expression) -> FullReduction:
    """Compile (or look up) the reduction of a whole expression: "sum", "max", "min" or "mean"."""
    inner = "sum" if op == "mean" else op
    first = build([Reduce(inner, expression)])
    dtype = first.graph.nodes[first.graph.outputs[0]].dtype
    return FullReduction(op, first, build([Reduce(inner, Input(0, dtype=dtype))]))
