"""Nodes that become ready-made entries: copies, whole numbers, indexing, random numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from backlit.core.value import Constant, Node, Scalar, Value
from backlit.native.ready import copies, integers
from backlit.native.steps import Copy, Loop, Part, Ref, contiguous
from backlit.native.views import Views, merged, spread

_FLOATS = ("float32", "float64")
_ADDRESSED = (*_FLOATS, "int64")  # dtypes of numbers that native code can read


def can_read(ref: Ref) -> bool:
    """Whether native code finds the operand in memory."""
    return not isinstance(ref.value, Scalar) or ref.value.dtype.name in _ADDRESSED


# -- copies ----------------------------------------------------------------------------------------


def copy_of(node: Node, views: Views) -> Copy | None:
    """The copies that a movement node consists of, if it is one."""
    rule = _COPIES.get(node.primitive.name)
    out = node.outs[0]
    if rule is None or out.dtype.itemsize not in copies.SIZES or not out.numel:
        return None
    parts = [p for p in rule(node, views) or [] if prod(p.source.shape)]
    if not parts or not all(can_read(p.source) and _fits(p) for p in parts):
        return None
    moved = (v for p in parts for v, *_ in p.moves)
    return Copy(parts, out, node) if all(can_read(views.ref(v)) for v in moved) else None


def _fits(part: Part) -> bool:
    return len(merged(part.source.shape, (part.source.strides, part.strides))) <= copies.DIMENSIONS


def _whole(node: Node, views: Views) -> list[Part]:
    """The operand, reshaped or expanded, as an array of its own."""
    x, shape = views.ref(node.args[0]), tuple(node.outs[0].shape)
    if node.primitive.name == "reshape":
        return [Part(x, contiguous(x.shape))]
    return [Part(Ref(x.value, shape, spread(x, shape), x.offset), contiguous(shape))]


def _joined(node: Node, views: Views) -> list[Part]:
    """One operand after the other."""
    strides = contiguous(tuple(node.outs[0].shape))
    parts, start = [], 0
    for x in node.args:
        parts.append(Part(views.ref(x), strides, start * strides[node.attrs["dim"]]))
        start += x.shape[node.attrs["dim"]]
    return parts


def _starts(
    node: Node, starts: tuple[Value, ...], sizes: tuple[int, ...]
) -> list[tuple[Value, int, int]]:
    """(start, dimension, the most that it may be) of a slice."""
    attrs = node.attrs
    return [
        (start, dim, sizes[dim] - (length - 1) * step - 1)
        for start, dim, length, step in zip(
            starts, attrs["dims"], attrs["lengths"], attrs["steps"], strict=True
        )
    ]


def _slice(node: Node, views: Views) -> list[Part]:
    x, shape = views.ref(node.args[0]), tuple(node.outs[0].shape)
    strides = list(x.strides)
    for dim, step in zip(node.attrs["dims"], node.attrs["steps"], strict=True):
        strides[dim] *= step
    moves = tuple(
        (start, x.strides[dim], 0, most)
        for start, dim, most in _starts(node, node.args[1:], x.shape)
    )
    return [Part(Ref(x.value, shape, tuple(strides), x.offset), contiguous(shape), 0, moves)]


def _slice_write(node: Node, views: Views) -> list[Part]:
    base, new = (views.ref(a) for a in node.args[:2])
    own = contiguous(base.shape)
    strides = list(own)
    for dim, step in zip(node.attrs["dims"], node.attrs["steps"], strict=True):
        strides[dim] *= step
    moves = tuple(
        (start, 0, own[dim], most) for start, dim, most in _starts(node, node.args[2:], base.shape)
    )
    return [Part(base, own), Part(new, tuple(strides), 0, moves)]


def _strided_write(node: Node, views: Views) -> list[Part] | None:
    if node.attrs["accumulate"]:
        return None
    base, new = (views.ref(a) for a in node.args)
    own = contiguous(base.shape)
    offset = sum(o * s for o, s in zip(node.attrs["offset"], own, strict=True))
    strides = tuple(
        sum(k * s for k, s in zip(row, own, strict=True)) for row in node.attrs["steps"]
    )
    return [Part(base, own), Part(new, strides, offset)]


_COPIES: dict[str, Callable[[Node, Views], list[Part] | None]] = {
    **dict.fromkeys(("reshape", "expand", "full", "clone"), _whole),
    "cat": _joined,
    "slice": _slice,
    "slice_write": _slice_write,
    "strided_write": _strided_write,
}


# -- loops -----------------------------------------------------------------------------------------


def loop_of(node: Node, views: Views) -> Loop | None:
    """The entry that computes ``node``, if there is one."""
    rule = _LOOPS.get(node.primitive.name)
    refs = [views.ref(a) for a in node.args]
    if rule is None or not refs or not all(can_read(r) for r in refs):
        return None
    if not node.outs[0].numel or any(not a.numel for a in node.args):
        return None
    if not all(r.is_contiguous or not any(r.strides) for r in refs):
        return None
    return rule(node, refs)


def _kinds(node: Node) -> tuple[str, ...]:
    return tuple(a.dtype.name for a in node.args)


def _binary(node: Node, refs: list[Ref]) -> Loop | None:
    out = node.outs[0]
    if set(_kinds(node)) != {"int64"}:
        return None
    steps = tuple(int(any(r.strides)) for r in refs)
    if not all(prod(r.shape) in (1, out.numel) for r in refs):
        return None
    return Loop(f"int_{node.primitive.name}", refs, (out.numel, *steps), out, node)


def _sum(node: Node, refs: list[Ref]) -> Loop | None:
    out = node.outs[0]
    if _kinds(node) != ("bool",) or out.numel != 1 or not refs[0].is_contiguous:
        return None
    return Loop("count", refs, (node.args[0].numel,), out, node)


def _convert(node: Node, refs: list[Ref]) -> Loop | None:
    out = node.outs[0]
    if _kinds(node) != ("int64",) or out.dtype.name not in _FLOATS or not refs[0].is_contiguous:
        return None
    return Loop(f"{out.dtype.name}_widen", refs, (out.numel,), out, node)


def _argmax(node: Node, refs: list[Ref]) -> Loop | None:
    (kind,), x = _kinds(node), refs[0]
    if kind not in _FLOATS or not x.is_contiguous:
        return None
    if node.attrs["dim"] is not None and node.attrs["dim"] != len(x.shape) - 1:
        return None
    cols = prod(x.shape) if node.attrs["dim"] is None else x.shape[-1]
    words = (prod(x.shape) // cols, cols)
    return Loop(f"{kind}_argmax", refs, words, node.outs[0], node)


def _indexed(
    name: str, node: Node, refs: list[Ref], shape: tuple[int, ...], dim: int, typed: bool
) -> Loop | None:
    """An entry of `indexed` over what is indexed, an array of ``shape``, along ``dim``."""
    out = node.outs[0]
    index = node.args[1]
    floats = out.dtype.name in _FLOATS
    if index.dtype.name != "int64" or not all(r.is_contiguous for r in refs):
        return None
    if (typed and not floats) or out.dtype.itemsize not in copies.SIZES:
        return None
    entry = f"{out.dtype.name}_{name}" if typed else f"{name}{out.dtype.itemsize}"
    sizes = (prod(shape[:dim]), index.numel, shape[dim], prod(shape[dim + 1 :]))
    return Loop(entry, refs, sizes, out, node, shape[dim])


def _take_rows(node: Node, refs: list[Ref]) -> Loop | None:
    return _indexed("take", node, refs, refs[0].shape, node.attrs.get("dim", 0), False)


def _sum_rows(node: Node, refs: list[Ref]) -> Loop | None:
    return _indexed("sum_rows", node, refs, tuple(node.outs[0].shape), 0, True)


def _index_write(node: Node, refs: list[Ref]) -> Loop | None:
    accumulate = node.attrs["accumulate"]
    name = "add_rows" if accumulate else "put_rows"
    return _indexed(name, node, refs, refs[0].shape, node.attrs["dim"], accumulate)


def _along(name: str, typed: bool, node: Node, refs: list[Ref]) -> Loop | None:
    """gather and scatter, where only the dimension itself may have another size."""
    dim, shape = node.attrs["dim"], refs[0].shape
    same = [n for d, n in enumerate(shape) if d != dim]
    if same != [n for d, n in enumerate(refs[1].shape) if d != dim]:
        return None
    found = _indexed(name, node, refs, shape, dim, typed)
    if found is not None:
        outer, _, limit, inner = found.words
        found.words = (outer, refs[1].shape[dim], limit, inner)
    return found


def _gather(node: Node, refs: list[Ref]) -> Loop | None:
    return _along("gather", False, node, refs)


def _scatter(node: Node, refs: list[Ref]) -> Loop | None:
    if node.attrs["reduce"] not in ("set", "sum"):
        return None
    is_sum = node.attrs["reduce"] == "sum"
    return _along("scatter_sum" if is_sum else "scatter_set", is_sum, node, refs)


def _cumsum(node: Node, refs: list[Ref]) -> Loop | None:
    (kind,), x, dim = _kinds(node), refs[0], node.attrs["dim"]
    if kind not in _FLOATS or not x.is_contiguous or not x.shape:
        return None
    sizes = (prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :]))
    return Loop(f"{kind}_cumsum", refs, sizes, node.outs[0], node)


_LOOPS: dict[str, Callable[[Node, list[Ref]], Loop | None]] = {
    **dict.fromkeys(integers.BINARY, _binary),
    "sum": _sum,
    "convert": _convert,
    "argmax": _argmax,
    "take_rows": _take_rows,
    "index": _take_rows,
    "sum_rows": _sum_rows,
    "index_write": _index_write,
    "gather": _gather,
    "scatter": _scatter,
    "cumsum": _cumsum,
}


def is_random(node: Node) -> bool:
    """Whether the native generator makes these numbers."""
    numbers = all(isinstance(a, (Scalar, Constant)) for a in node.args)
    out = node.outs[0]
    is_uniform = node.primitive.name == "random_uniform" and out.dtype.name in _FLOATS
    return is_uniform and numbers and out.numel > 0
