"""Batching rules: how a recorded list of nodes runs on many examples at once.

`replay` goes through nodes that were recorded on one example and applies each card again to tensors
that carry all examples along a new first dimension. Elementwise cards and matmul need their
operands aligned; cards with dimension attributes need those shifted by one; a card that is known
to none of the rules runs example by example and its results are stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.core.create import full_constant
from backlit.core.dtypes import int64
from backlit.core.era import local
from backlit.core.primitive import PRIMITIVES, Elementwise
from backlit.core.tensor import Tensor, realized
from backlit.core.value import Constant, Node, Scalar, Value

DIMENSIONS = (
    "dim",
    "dims",
    "dim0",
    "dim1",
    "dim2",
    "axis",
    "axes",
)  # attributes that count dimensions


@dataclass(frozen=True, slots=True)
class Lane:
    """What stands for one value: its examples along dimension 0, or one tensor for all."""

    tensor: Tensor
    batched: bool


Rule = Callable[[Node, list[Any], int], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Make a function the batching rule of the cards of these names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def replay(
    nodes: Iterable[Node],
    known: dict[int, Lane],
    size: int,
    outside: Callable[[Value], Any],
) -> None:
    """Run ``nodes`` on ``size`` examples; ``known`` maps value ids to lanes and is filled.

    Args:
        nodes: recorded on one example, in order.
        known: lanes of the values that the nodes start from.
        size: how many examples there are.
        outside: what stands for a value that is neither known nor computed by the nodes.
    """
    mode = local.era.here.grad
    for node in nodes:
        grad = mode and (not _tracked(node.args) or _tracked(node.outs))
        operands = [_operand(node, i, a, known, outside) for i, a in enumerate(node.args)]
        local.era.set_grad(grad)
        try:
            found = batch(node, operands, size)
        finally:
            local.era.set_grad(mode)
        outs = found if isinstance(found, tuple) else (found,)
        batched = any(isinstance(x, Lane) and x.batched for x in operands)
        for value, tensor in zip(node.outs, outs, strict=True):
            known[value.id] = Lane(tensor, batched)


def _tracked(values: Iterable[Value]) -> bool:
    return any(v.requires_grad for v in values)


def _operand(
    node: Node, i: int, value: Value, known: dict[int, Lane], outside: Callable[[Value], Any]
) -> Any:
    """A lane, or a Python number, for operand ``i`` of ``node``."""
    found = known.get(value.id)
    if found is not None:
        return found
    x = value.array if isinstance(value, Constant) else outside(value)
    if isinstance(x, Tensor):
        return Lane(x, batched=False)
    if value.shape:
        return Lane(realized(x, value.dtype), batched=False)
    number = x.item() if isinstance(value, Constant) else x
    card = node.primitive
    is_start = card.operands[-1] == "starts*" and i >= len(card.operands) - 1
    partnered = any(
        a.dtype is value.dtype and not isinstance(a, (Constant, Scalar)) for a in node.args
    )
    if is_start or value.weak or (isinstance(card, Elementwise) and partnered):
        return number
    return Lane(full_constant((), number, value.dtype), batched=False)


def batch(node: Node, operands: list[Any], size: int) -> Any:
    """The outputs of ``node`` for all examples."""
    card = node.primitive
    if card.name == "leaf":  # marked where one example's gradients stop; nothing to compute
        return operands[0].tensor
    if not any(isinstance(x, Lane) and x.batched for x in operands):
        return card(*map(_bare, operands), **node.attrs)
    found = RULES.get(card.name)
    if found is None:
        if isinstance(card, Elementwise):
            found = aligned
        elif any(name in node.attrs for name in DIMENSIONS):
            found = shifted
        else:
            found = one_by_one
    return found(node, operands, size)


def _bare(x: Any) -> Any:
    return x.tensor if isinstance(x, Lane) else x


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x`` in another shape, as a node."""
    found: Tensor = PRIMITIVES["reshape"](x, shape=shape) if tuple(x.shape) != shape else x
    return found


def expand(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x`` repeated to ``shape``, as a node."""
    found: Tensor = PRIMITIVES["expand"](x, shape=shape) if tuple(x.shape) != shape else x
    return found


def move_dim(x: Tensor, source: int, target: int) -> Tensor:
    """``x`` with dimension ``source`` moved to ``target``."""
    order = [d for d in range(x._var.ndim) if d != source]
    order.insert(target, source)
    if order == sorted(order):
        return x
    found: Tensor = PRIMITIVES["permute"](x, dims=tuple(order))
    return found


def filled(x: Any, size: int) -> Any:
    """``x`` with a batch dimension, repeated if it has none; numbers stay numbers."""
    if not isinstance(x, Lane):
        return x
    return x.tensor if x.batched else expand(x.tensor, (size, *x.tensor.shape))


@rule("matmul", "igamma", "igammac")
def aligned(node: Node, operands: list[Any], size: int) -> Any:
    """Operands that broadcast against each other behind the batch dimension."""
    rank = max(a.ndim for a in node.args)
    made = []
    for x, value in zip(operands, node.args, strict=True):
        if isinstance(x, Lane) and x.batched and value.ndim < rank:
            ones = (1,) * (rank - value.ndim)
            made.append(reshape(x.tensor, (size, *ones, *value.shape)))
        else:
            made.append(_bare(x))
    return node.primitive(*made, **node.attrs)


@rule("convert", "clone", "detach", "with_history", "wrap_index", "frexp", "polygamma", "bessel")
def unchanged(node: Node, operands: list[Any], size: int) -> Any:
    """Cards that do not look at shapes."""
    return node.primitive(*(filled(x, size) for x in operands), **node.attrs)


def shifted(node: Node, operands: list[Any], size: int) -> Any:
    """Cards whose dimension attributes count one more dimension."""
    if node.attrs.get("dim") is not None and all(a.ndim == 0 for a in node.args):
        return _numbers(node, operands, size)
    attrs = {k: _shift(v) if k in DIMENSIONS else v for k, v in node.attrs.items()}
    return node.primitive(*(filled(x, size) for x in operands), **attrs)


def _numbers(node: Node, operands: list[Any], size: int) -> Any:
    """A card along dimension 0 of numbers: along dimension 1 of a column."""
    columns = [reshape(filled(x, size), (size, 1)) if isinstance(x, Lane) else x for x in operands]
    found = node.primitive(*columns, **{**node.attrs, "dim": 1})
    if isinstance(found, tuple):
        return tuple(reshape(t, (size, *o.shape)) for t, o in zip(found, node.outs, strict=True))
    return reshape(found, (size, *node.outs[0].shape))


def _shift(dims: Any) -> Any:
    if isinstance(dims, int):
        return dims + 1
    return tuple(d + 1 for d in dims) if dims is not None else None


@rule("permute")
def permuted(node: Node, operands: list[Any], size: int) -> Any:
    """The batch dimension stays in front."""
    dims = (0, *_shift(node.attrs["dims"]))
    return node.primitive(operands[0].tensor, dims=dims)


@rule("reshape")
def reshaped(node: Node, operands: list[Any], size: int) -> Any:
    """The batch dimension is put before the shape."""
    return reshape(operands[0].tensor, (size, *node.attrs["shape"]))


@rule("expand")
def expanded(node: Node, operands: list[Any], size: int) -> Any:
    """New dimensions go behind the batch dimension."""
    shape = node.attrs["shape"]
    x = operands[0].tensor
    ones = (1,) * (len(shape) - node.args[0].ndim)
    return expand(reshape(x, (size, *ones, *node.args[0].shape)), (size, *shape))


@rule("full")
def full(node: Node, operands: list[Any], size: int) -> Any:
    """Each example's number fills its part."""
    shape = node.attrs["shape"]
    return expand(reshape(operands[0].tensor, (size, *(1 for _ in shape))), (size, *shape))


@rule("index")
def indexed(node: Node, operands: list[Any], size: int) -> Any:
    """x[index] along dim: the examples of a batched index read from one long table."""
    x, index = operands
    dim = node.attrs["dim"]
    if not index.batched:
        return node.primitive(x.tensor, index.tensor, dim=dim + 1)
    if not x.batched:
        found = node.primitive(x.tensor, index.tensor, dim=dim)
        return move_dim(found, dim, 0)
    table = _long_table(x.tensor, dim)
    found = node.primitive(table, _into_table(index, node, size), dim=0)
    return _behind(found, node.args[1].ndim, dim)


@rule("index_write")
def index_written(node: Node, operands: list[Any], size: int) -> Any:
    """base[index] = new along dim, likewise."""
    base, index, new = operands
    attrs = {k: v for k, v in node.attrs.items() if k != "dim"}
    dim = node.attrs["dim"]
    full, parts = filled(base, size), filled(new, size)
    if not index.batched:
        return node.primitive(full, index.tensor, parts, dim=dim + 1, **attrs)
    rank = node.args[1].ndim
    order = (
        0,
        *range(1 + dim, 1 + dim + rank),
        *range(1, 1 + dim),
        *range(1 + dim + rank, parts._var.ndim),
    )
    parts = PRIMITIVES["permute"](parts, dims=order)
    table = node.primitive(
        _long_table(full, dim), _into_table(index, node, size), parts, dim=0, **attrs
    )
    n = node.args[0].shape[dim]
    return move_dim(reshape(table, (size, n, *table.shape[1:])), 1, dim + 1)


def _long_table(x: Tensor, dim: int) -> Tensor:
    """(B, …, n, …) → (B·n, …), where n is the size of dimension ``dim`` of an example."""
    first = move_dim(x, dim + 1, 1)
    return reshape(first, (first.shape[0] * first.shape[1], *first.shape[2:]))


def _into_table(index: Lane, node: Node, size: int) -> Tensor:
    """The index with each example's offset into the long table."""
    n = node.args[0].shape[node.attrs["dim"]]
    ones = (1,) * node.args[1].ndim
    offsets = realized((np.arange(size) * n).reshape(size, *ones), int64)
    found: Tensor = PRIMITIVES["add"](index.tensor, offsets)
    return found


def _behind(x: Tensor, rank: int, dim: int) -> Tensor:
    """(B, *index, *before, *after) → (B, *before, *index, *after)."""
    before = range(1 + rank, 1 + rank + dim)
    order = (0, *before, *range(1, 1 + rank), *range(1 + rank + dim, x._var.ndim))
    found: Tensor = PRIMITIVES["permute"](x, dims=order)
    return found


def one_by_one(node: Node, operands: list[Any], size: int) -> Any:
    """The card applied to each example on its own, and the results stacked."""
    if size == 0:
        empty = tuple(full_constant((0, *o.shape), 0, o.dtype) for o in node.outs)
        return empty if len(empty) > 1 else empty[0]
    rows: list[tuple[Tensor, ...]] = []
    for i in range(size):
        made = node.primitive(*(_example(x, i) for x in operands), **node.attrs)
        rows.append(made if isinstance(made, tuple) else (made,))
    stacked = tuple(stack(list(column)) for column in zip(*rows, strict=True))
    return stacked if len(stacked) > 1 else stacked[0]


def _example(x: Any, i: int) -> Any:
    return example(x.tensor, i) if isinstance(x, Lane) and x.batched else _bare(x)


def example(x: Tensor, i: int) -> Tensor:
    """Entry ``i`` along the first dimension."""
    return reshape(part(x, i, 1), tuple(x.shape[1:]))


def part(x: Tensor, start: int, length: int) -> Tensor:
    """Entries ``start : start + length`` along the first dimension."""
    found: Tensor = PRIMITIVES["slice"](x, start, dims=(0,), lengths=(length,), steps=(1,))
    return found


def stack(parts: list[Tensor]) -> Tensor:
    """``parts`` along a new first dimension."""
    return join([reshape(p, (1, *p.shape)) for p in parts])


def join(parts: list[Tensor]) -> Tensor:
    """``parts`` one after the other along the first dimension."""
    found: Tensor = PRIMITIVES["cat"](*parts, dim=0)
    return found
