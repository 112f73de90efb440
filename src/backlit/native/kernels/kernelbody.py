"""What the loops of fused kernels have in common: a function, its operands, and values by node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from backlit.native.kernels.expression import Graph, Node
from backlit.native.kernels.vecmath import FUNCTIONS, maximum, minimum
from backlit.native.kernels.vector import Lanes, Vec, declare, lane_numbers
from backlit.native.machine.jit import Host

_I64 = ir.IntType(64)
_I8 = ir.IntType(8)
_PTR = ir.PointerType()
SIZE = {"bool": 1, "float32": 4, "float64": 8}
COMBINE: dict[str, Callable[[Vec, Vec], Vec]] = {
    "sum": lambda x, y: x + y,
    "mean": lambda x, y: x + y,
    "max": maximum,
    "min": minimum,
}

Values = dict[int, Vec]


def for_range(
    b: Any, start: Any, stop: Any, step: Any, carried: list[Any], body: Callable[..., list[Any]]
) -> tuple[Any, list[Any]]:
    """`while i + step <= stop`; body(i, carried) returns the next carried values.

    Returns i and the carried values after the loop.
    """
    before = b.block
    head, inside = b.append_basic_block("head"), b.append_basic_block("inside")
    after = b.append_basic_block("after")
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(_I64)
    phis = [b.phi(value.type) for value in carried]
    following = b.add(index, _I64(step) if isinstance(step, int) else step)
    b.cbranch(b.icmp_signed("<=", following, stop), inside, after)
    b.position_at_end(inside)
    results = body(index, phis)
    for phi, first, result in zip(
        [index, *phis], [start, *carried], [following, *results], strict=True
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(result, b.block)
    b.branch(head)
    b.position_at_end(after)
    return index, phis


class KernelBody:
    """`void body(ptr inputs, ptr outputs, i64 cols, i64 begin, i64 end)` under construction.

    Args:
        graph: what it computes.
        module: where the function goes.
        host: the CPU.
    """

    def __init__(self, graph: Graph, module: Any, host: Host) -> None:
        self.graph = graph
        signature = ir.FunctionType(ir.VoidType(), [_PTR, _PTR, _I64, _I64, _I64])
        self.function = ir.Function(module, signature, "body")
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        dtypes = {n.dtype for n in graph.nodes} - {"bool"}
        dtype = "float64" if dtypes == {"float64"} else "float32"
        self.lanes = Lanes(self.b, dtype, host.width(dtype), host.scale_instruction)
        self.width = self.lanes.width
        self.has_masks = host.vector_bytes >= 32  # for loads and stores
        self.reductions = [i for i, n in enumerate(graph.nodes) if n.kind == "reduce"]
        self.bases: dict[int, Any] = {}  # pointers to the arrays of input nodes
        self.out_bases: list[Any] = []

    def _load_pointers(self) -> None:
        inputs, outputs = self.function.args[:2]
        for number, node in enumerate(self.graph.nodes):
            if isinstance(node.payload, tuple):
                self.bases[number] = self._pointer(inputs, node.payload[0])
        self.out_bases = [self._pointer(outputs, k) for k in range(len(self.graph.outputs))]

    def _pointer(self, table: Any, index: int) -> Any:
        return self.b.load(self.b.gep(table, [_I64(index)], source_etype=_PTR), typ=_PTR)

    def _value(self, node: Node, values: Values) -> Vec:
        if isinstance(node.payload, float | int):
            return self._constant(node, node.payload)
        args = [values[a] for a in node.args]
        if node.name in FUNCTIONS:
            return FUNCTIONS[node.name].emit(*args)
        lanes = self.lanes.with_dtype(node.name)
        if isinstance(args[0].ir.type.element, ir.IntType):
            return Vec(lanes, args[0].ir).select(1.0, lanes.const(0.0))
        return args[0].to_dtype(node.name)

    def _constant(self, node: Node, value: float) -> Vec:
        return self.lanes.with_dtype(node.dtype).const(value)

    def _broadcast_input(self, number: int, node: Node, row: Any) -> Vec:
        """A scalar, or this row's value of a column, in all lanes."""
        is_column = isinstance(node.payload, tuple) and node.payload[1] == "column"
        address = self._at(self.bases[number], row if is_column else _I64(0), node.dtype)
        value = self.b.load(address, typ=self._element(node.dtype))
        if node.dtype == "bool":
            value = self.b.icmp_unsigned("!=", value, _I8(0))
            return self.lanes.wrap(self._splat_any(value, ir.IntType(1)))
        return self._splat(value, node.dtype)

    # -- memory ----------------------------------------------------------------------------------
    def _element(self, dtype: str) -> Any:
        return _I8 if dtype == "bool" else self.lanes.with_dtype(dtype).float_type.element

    def _at(self, pointer: Any, index: Any, dtype: str) -> Any:
        return self.b.gep(pointer, [index], source_etype=self._element(dtype))

    def _load(self, pointer: Any, dtype: str, index: Any, mask: Vec | None) -> Vec:
        element = self._element(dtype)
        kind, align = ir.VectorType(element, self.width), SIZE[dtype]
        address = self._at(pointer, index, dtype)
        if mask is None:
            value = self.b.load(address, align=align, typ=kind)
        else:
            name = f"llvm.masked.load.{_suffix(kind)}.p0"
            arguments = [_PTR, ir.IntType(32), mask.ir.type, kind]
            function = declare(self.b.module, name, kind, arguments)
            zero = ir.Constant(kind, None)
            value = self.b.call(function, [address, ir.IntType(32)(align), mask.ir, zero])
        if dtype == "bool":
            return self.lanes.wrap(self.b.icmp_unsigned("!=", value, ir.Constant(kind, None)))
        return self.lanes.with_dtype(dtype).wrap(value)

    def _store(self, value: Vec, pointer: Any, index: Any, mask: Vec | None) -> None:
        raw, dtype = self._raw(value)
        align = SIZE[dtype]
        address = self._at(pointer, index, dtype)
        if mask is None:
            self.b.store(raw, address, align=align)
            return
        name = f"llvm.masked.store.{_suffix(raw.type)}.p0"
        arguments = [raw.type, _PTR, ir.IntType(32), mask.ir.type]
        function = declare(self.b.module, name, ir.VoidType(), arguments)
        self.b.call(function, [raw, address, ir.IntType(32)(align), mask.ir])

    def _store_scalar(self, value: Vec, pointer: Any) -> None:
        raw, _ = self._raw(value)
        self.b.store(self.b.extract_element(raw, ir.IntType(32)(0)), pointer)

    def _raw(self, value: Vec) -> tuple[Any, str]:
        """A vector as it is stored: masks become bytes."""
        if isinstance(value.ir.type.element, ir.IntType):
            return self.b.zext(value.ir, ir.VectorType(_I8, self.width)), "bool"
        return value.ir, value.lanes.dtype

    def _shuffle(self, vector: Any, lanes: Iterable[int]) -> Any:
        nothing = ir.Constant(vector.type, ir.Undefined)
        return self.b.shuffle_vector(vector, nothing, lane_numbers(lanes))

    def _splat(self, scalar: Any, dtype: str) -> Vec:
        lanes = self.lanes.with_dtype(dtype)
        return lanes.wrap(self._splat_any(scalar, lanes.float_type.element))

    def _splat_any(self, scalar: Any, element: Any) -> Any:
        one = ir.Constant(ir.VectorType(element, self.width), ir.Undefined)
        first = self.b.insert_element(one, scalar, ir.IntType(32)(0))
        return self._shuffle(first, [0] * self.width)


def _suffix(vector_type: Any) -> str:
    """How intrinsics' names spell a vector type."""
    element = vector_type.element
    names = {ir.FloatType: "f32", ir.DoubleType: "f64"}
    scalar = f"i{element.width}" if isinstance(element, ir.IntType) else names[type(element)]
    return f"v{vector_type.count}{scalar}"
