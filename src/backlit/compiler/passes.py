"""Passes over programs: each returns fewer or cheaper nodes that compute the same values.

Values are never changed, only who computes them: a pass keeps a table from the number of a value
that is no longer computed to the value that takes its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from backlit.core.primitive import PRIMITIVES, Elementwise
from backlit.core.program import Program, alive_nodes
from backlit.core.size import broadcast
from backlit.core.value import Constant, Node, Result, Value, meta_of

_IDENTITIES = frozenset({"leaf", "detach", "with_history"})


def simplify(program: Program) -> None:
    """Run all passes on ``program``, in place."""
    fresh = itertools.count(_first_free(program))
    _transpose_products(program, fresh)
    _compute_before_expanding(program, fresh)
    table: dict[int, Value] = {}
    seen: dict[Any, Node] = {}
    made: dict[int, Node] = {}  # value id → the node that computes it, as rewritten so far
    nodes: list[Node] = []
    for node in program.nodes:
        args = tuple(table.get(a.id, a) for a in node.args)
        args = _without_expands(node, args, made)
        same = _same_as(node, args, made)
        if same is not None:
            table[node.outs[0].id] = same
            continue
        folded = _folded(node, args)
        if folded is not None:
            table[node.outs[0].id] = folded
            continue
        key = (node.primitive, tuple(_identity(a) for a in args), _frozen(node.attrs))
        twin = seen.get(key)
        if twin is not None:
            for out, other in zip(node.outs, twin.outs, strict=True):
                table[out.id] = other
            continue
        if args != node.args:
            outs = node.outs
            node = Node(node.primitive, args, node.attrs, node.where)
            node.outs = outs
        seen[key] = node
        for out in node.outs:
            made[out.id] = node
        nodes.append(node)
    program.outputs = tuple(table.get(o.id, o) for o in program.outputs)
    program.nodes = alive_nodes(nodes, program.outputs)


def _identity(value: Value) -> Any:
    """What makes two operands the same value: their number, or the constant they hold."""
    if isinstance(value, Constant) and value.array.ndim == 0:
        return (value.dtype, value.weak, value.array.tobytes())
    return value.id


def _frozen(x: Any) -> Any:
    if isinstance(x, dict):
        return tuple((k, _frozen(v)) for k, v in x.items())
    return tuple(_frozen(v) for v in x) if isinstance(x, (tuple, list)) else (type(x), x)


def _same_as(node: Node, args: tuple[Value, ...], made: dict[int, Node]) -> Value | None:
    """The value that ``node`` merely passes on, if it computes nothing."""
    name = node.primitive.name
    if name in _IDENTITIES:
        return args[0]
    if name in ("reshape", "expand") and args[0].shape == node.outs[0].shape:
        return args[0]
    if name == "permute":
        dims = node.attrs["dims"]
        if dims == tuple(range(len(dims))):
            return args[0]
        before = made.get(args[0].id)
        if before is not None and before.primitive is node.primitive:
            first = before.attrs["dims"]
            if tuple(first[d] for d in dims) == tuple(range(len(dims))):
                return before.args[0]
    return None


def _without_expands(
    node: Node, args: tuple[Value, ...], made: dict[int, Node]
) -> tuple[Value, ...]:
    """Elementwise operands broadcast by themselves: take what was expanded instead of the
    expansion."""
    if not isinstance(node.primitive, Elementwise):
        return args
    shape = node.outs[0].shape
    for i, arg in enumerate(args):
        source = made.get(arg.id)
        if source is None or source.primitive.name != "expand":
            continue
        shorter = (*args[:i], source.args[0], *args[i + 1 :])
        if broadcast(node.primitive.name, *(tuple(a.shape) for a in shorter)) == tuple(shape):
            args = shorter
    return args


def _folded(node: Node, args: tuple[Value, ...]) -> Constant | None:
    """The result of an elementwise node on constant numbers, computed now."""
    out = node.outs[0]
    card = node.primitive
    if out.shape or not isinstance(card, Elementwise) or not args:
        return None
    arrays = []
    for a in args:
        if not (isinstance(a, Constant) and a.array.ndim == 0) or a.dtype.name in (
            "float16",
            "bfloat16",
        ):
            return None
        arrays.append(a.dtype.numpy.type(a.array))
    from backlit.ops import reference

    names = [f"a{i}" for i in range(len(arrays))]
    scope = {"np": np, "ref": reference, **dict(zip(names, arrays, strict=True))}
    with np.errstate(all="ignore"):
        found = eval(card.numpy_text(names), scope)
    array = np.asarray(found)
    return Constant(out.id, array, out.dtype) if array.dtype == out.dtype.numpy else None


def _transpose_products(program: Program, fresh: Iterator[int]) -> None:
    """(x y)ᵀ becomes yᵀ xᵀ where the product is read by nothing else: BLAS transposes for free."""
    readers: dict[int, int] = {}
    for v in (*(a for n in program.nodes for a in n.args), *program.outputs):
        readers[v.id] = readers.get(v.id, 0) + 1
    made = {o.id: n for n in program.nodes for o in n.outs}
    permute = PRIMITIVES["permute"]
    nodes: list[Node] = []
    for node in program.nodes:
        source = made.get(node.args[0].id) if node.primitive is permute else None
        if (
            source is None
            or source.primitive.name != "matmul"
            or node.attrs["dims"] != (1, 0)
            or readers[node.args[0].id] != 1
        ):
            nodes.append(node)
            continue
        swapped: list[Value] = []
        for factor in reversed(source.args):
            turned = Node(permute, (factor,), {"dims": (1, 0)}, source.where)
            shape = (factor.shape[1], factor.shape[0])
            number = next(fresh)
            turned.outs = (Result(number, meta_of(shape, factor.dtype, False), turned, 0),)
            made[number] = turned
            nodes.append(turned)
            swapped.append(turned.outs[0])
        product = Node(source.primitive, tuple(swapped), source.attrs, source.where)
        product.outs = node.outs
        nodes.append(product)
    program.nodes = nodes


def _compute_before_expanding(program: Program, fresh: Iterator[int]) -> None:
    """f(expand(x)) becomes expand(f(x)): each number is computed once."""
    expand = PRIMITIVES["expand"]
    made: dict[int, Node] = {}
    nodes: list[Node] = []
    for node in program.nodes:
        small = _before_expanding(node, made, fresh) if node.outs[0].shape else None
        if small is not None:
            nodes.append(small)
            wide = Node(expand, small.outs, {"shape": tuple(node.outs[0].shape)}, node.where)
            wide.outs = node.outs
            node = wide
        for out in node.outs:
            made[out.id] = node
        nodes.append(node)
    program.nodes = nodes


def _before_expanding(node: Node, made: dict[int, Node], fresh: Iterator[int]) -> Node | None:
    """``node`` on what its operands were expanded from, if that has fewer elements."""
    if not isinstance(node.primitive, Elementwise):
        return None
    sources = [made.get(a.id) for a in node.args]
    args = tuple(
        a if s is None or s.primitive.name != "expand" else s.args[0]
        for a, s in zip(node.args, sources, strict=True)
    )
    if args == node.args:
        return None
    shape = broadcast(node.primitive.name, *(tuple(a.shape) for a in args))
    if shape == tuple(node.outs[0].shape):
        return None  # broadcasting alone brings the shape back
    small = Node(node.primitive, args, node.attrs, node.where)
    small.outs = (Result(next(fresh), meta_of(shape, node.outs[0].dtype, False), small, 0),)
    return small


def _first_free(program: Program) -> int:
    """The first of the value numbers that nothing in the program has."""
    values = (*program.inputs(), *(o for n in program.nodes for o in n.outs), *program.outputs)
    return max((v.id for v in values), default=-1) + 1
