"""A program made ready for lowering: nodes that kernels know, on operands that they can read.

Nodes without a native form of their own are decomposed. Movement nodes become views. What then
still reads an operand in a way that its kernel cannot (a slice of columns, a transposed matrix in
an elementwise operation) gets a copy that it can; an `expand` to its own shape stands for it.
"""

from __future__ import annotations

from backlit.core.primitive import PRIMITIVES, Elementwise
from backlit.core.program import Program, alive_nodes
from backlit.core.value import Constant, Node, Result, Scalar, Value, meta_of
from backlit.native.decompose import REDUCTIONS, Decomposer
from backlit.native.steps import Ref, contiguous, leading
from backlit.native.views import Views, spread

_FLOATS = ("float32", "float64")
_KERNEL_DTYPES = (*_FLOATS, "bool")
_CONTIGUOUS = frozenset(
    {
        *REDUCTIONS, "softmax", "log_softmax", "argmax", "pick", "place", "take_rows",
        "sum_rows", "index", "index_write", "gather", "scatter", "cumsum",
    }
)  # fmt: skip


class Prepared:
    """The nodes of a program as they are lowered.

    Attributes:
        nodes: in order, copies and parts of decomposed nodes among them.
        views: how values are read.
        is_view: the numbers of values that are only ways to read others.
    """

    def __init__(self, program: Program) -> None:
        self.views = Views()
        self.nodes: list[Node] = []
        self.is_view: set[int] = set()
        self._decomposed = Decomposer(_first_free(program))
        self._wanted = _wanted(program)
        self._copies: dict[object, Value] = {}
        for node in program.nodes:
            for part in self._decomposed(node):
                self._add(part)
        # A decomposed node may have had outputs that nothing reads.
        self.nodes = alive_nodes(self.nodes, program.outputs)

    def _add(self, node: Node) -> None:
        out = node.outs[0] if node.outs else None
        # A constant that leaves the program must be an array of its own.
        own = node.primitive.name == "full" and out is not None and out.id in self._wanted
        if not own and out is not None and self.views.note(node):
            self.is_view.add(out.id)
            self.nodes.append(node)
            return
        args = self._readable(node)
        if args != node.args:
            outs = node.outs
            node = Node(node.primitive, args, node.attrs, node.where)
            node.outs = outs
        self.nodes.append(node)

    def _readable(self, node: Node) -> tuple[Value, ...]:
        name, out = node.primitive.name, node.outs[0]
        kinds = {a.dtype.name for a in node.args}
        if not out.numel:
            return node.args
        if isinstance(node.primitive, Elementwise) or name == "convert":
            space = tuple(out.shape)
            if kinds <= set(_KERNEL_DTYPES) and out.dtype.name in _KERNEL_DTYPES:
                return tuple(self._spread(a, space, node) for a in node.args)
            if kinds == {"int64"}:
                return tuple(self._flat(a, space, node) for a in node.args)
        elif name in _CONTIGUOUS:
            return tuple(self._flat(a, tuple(a.shape), node) for a in node.args)
        elif name == "matmul" and kinds <= set(_FLOATS):
            return tuple(self._matrix(a, node) for a in node.args)
        return node.args

    def _spread(self, value: Value, space: tuple[int, ...], node: Node) -> Value:
        """``value``, or a copy of as little of it as a kernel over ``space`` can read."""
        ref = self.views.ref(value)
        if self.views.extent(ref, space) is not None:
            return value
        strides = spread(ref, space)
        small = tuple(n if s else 1 for n, s in zip(space, strides, strict=True))
        rows = (*space[:-1], 1)
        for shape in (small, rows if strides[-1] == 0 else space, space):
            own = Ref(ref.value, shape, contiguous(shape))
            if self.views.extent(own, space) is not None:
                return self._copy(value, shape, node)
        return value

    def _flat(self, value: Value, space: tuple[int, ...], node: Node) -> Value:
        """``value``, or a copy whose elements lie in order; single numbers stay."""
        ref = self.views.ref(value)
        is_one_number = node.primitive.name == "place" and ref.strides == (0,)
        if ref.is_contiguous or value.numel == 1 or is_one_number:
            return value
        return self._copy(value, tuple(value.shape) if value.numel else space, node)

    def _matrix(self, value: Value, node: Node) -> Value:
        ref = self.views.ref(value)
        if len(ref.shape) < 2:
            return value
        matrix = Ref(ref.value, ref.shape[-2:], ref.strides[-2:])
        if leading(matrix) is None:
            return self._copy(value, tuple(value.shape), node)
        return value

    def _copy(self, value: Value, shape: tuple[int, ...], node: Node) -> Value:
        """A copy of ``value`` expanded to ``shape``, made once."""
        ref = self.views.ref(value)
        key = (ref.value.id, shape, spread(ref, shape), ref.offset)
        if key not in self._copies:
            self._decomposed.fresh += 1
            meta = meta_of(shape, value.dtype, False)
            made = Node(PRIMITIVES["expand"], (value,), {"shape": shape}, node.where)
            out = Result(self._decomposed.fresh - 1, meta, made, 0)
            made.outs = (out,)
            self.nodes.append(made)
            self._copies[key] = out
        return self._copies[key]


def _first_free(program: Program) -> int:
    """The first of the value numbers that nothing in the program has."""
    values = (*program.inputs(), *(o for n in program.nodes for o in n.outs), *program.outputs)
    constants = (a for n in program.nodes for a in n.args)
    return max((v.id for v in (*values, *constants)), default=-1) + 1


def _wanted(program: Program) -> set[int]:
    """The numbers of the outputs, and of all that they may be views of."""
    found = {o.id for o in program.outputs}
    for node in reversed(program.nodes):
        if any(o.id in found for o in node.outs) and not isinstance(node.primitive, Elementwise):
            found |= {a.id for a in node.args[:1] if not isinstance(a, (Constant, Scalar))}
    return found
