"""Movement nodes as ways to read a buffer: nothing is copied where strides can say it all.

>>> from backlit.core.dtypes import float32
>>> from backlit.core.value import meta_of
>>> x = Value(0, meta_of((2, 3), float32, False))
>>> Views().ref(x).strides
(3, 1)
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from backlit.core.value import Constant, Node, Value
from backlit.native.steps import Ref, contiguous


class Views:
    """How each value of a program is read."""

    def __init__(self) -> None:
        self.refs: dict[int, Ref] = {}

    def ref(self, value: Value) -> Ref:
        """How ``value`` is read; from a buffer of its own, unless `note` said otherwise."""
        found = self.refs.get(value.id)
        if found is None:
            shape = tuple(value.shape)
            found = self.refs[value.id] = Ref(value, shape, contiguous(shape))
        return found

    def note(self, node: Node) -> bool:
        """Whether the result of ``node`` can be read from its operand's buffer; notes how."""
        rule = _RULES.get(node.primitive.name)
        found = rule(self.ref(node.args[0]), node) if rule is not None and node.args else None
        if found is None:
            return False
        self.refs[node.outs[0].id] = found
        return True

    def extent(self, ref: Ref, space: tuple[int, ...]) -> str | None:
        """How a value varies over ``space``, taken as rows × last dimension; None: irregularly."""
        strides = spread(ref, space)
        if not any(strides):
            return "scalar"
        if strides == contiguous(space):
            return "full"
        if strides[:-1] == contiguous(space[:-1]) and strides[-1] == 0:
            return "column"
        if not any(strides[:-1]) and strides[-1] == 1:
            return "row"
        return None


def spread(ref: Ref, space: tuple[int, ...]) -> tuple[int, ...]:
    """The strides by which ``ref`` is read when it is broadcast over ``space``."""
    lead = len(space) - len(ref.shape)
    own = tuple(0 if n == 1 else s for n, s in zip(ref.shape, ref.strides, strict=True))
    return tuple(0 if n == 1 else s for n, s in zip(space, (0,) * lead + own, strict=True))


def _permute(x: Ref, node: Node) -> Ref:
    dims = node.attrs["dims"]
    shape = tuple(x.shape[d] for d in dims)
    return Ref(x.value, shape, tuple(x.strides[d] for d in dims), x.offset)


def _expand(x: Ref, node: Node) -> Ref:
    shape = tuple(node.outs[0].shape)
    lead = len(shape) - len(x.shape)
    own = (s if n == m else 0 for s, n, m in zip(x.strides, x.shape, shape[lead:], strict=True))
    return Ref(x.value, shape, ((0,) * lead) + tuple(own), x.offset)


def _full(x: Ref, node: Node) -> Ref:
    shape = tuple(node.outs[0].shape)
    return Ref(x.value, shape, (0,) * len(shape), x.offset)


def _reshape(x: Ref, node: Node) -> Ref | None:
    strides = reshaped(x.shape, x.strides, tuple(node.outs[0].shape))
    return None if strides is None else Ref(x.value, tuple(node.outs[0].shape), strides, x.offset)


def reshaped(
    shape: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The strides of a reshaped array that lies as before; None if there are none.

    >>> reshaped((2, 3, 4), (12, 4, 1), (6, 4)), reshaped((3, 2), (1, 3), (6,))
    ((4, 1), None)
    """
    if 0 in shape:
        return contiguous(new)
    blocks = merged(shape, (strides,))
    found: list[int] = []
    left = 1  # of the current block, what the dimensions so far have not used
    for n in reversed(new):
        if n == 1:
            found.append(0)
            continue
        if left == 1:
            size, (step,) = blocks.pop()
            left = size
        if left % n:
            return None
        found.append(step)
        step *= n
        left //= n
    return tuple(reversed(found))


def merged(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...]
) -> list[tuple[int, tuple[int, ...]]]:
    """Dimensions as (size, strides in each array), those that lie one in the other as one.

    >>> merged((2, 3, 1, 4), ((12, 4, 0, 1), (0, 0, 0, 1)))
    [(6, (4, 0)), (4, (1, 1))]
    """
    blocks: list[tuple[int, tuple[int, ...]]] = []
    for n, *steps in zip(shape, *strides, strict=True):
        if n == 1:
            continue
        if blocks and all(
            outer == n * inner for outer, inner in zip(blocks[-1][1], steps, strict=True)
        ):
            blocks[-1] = (blocks[-1][0] * n, tuple(steps))
        else:
            blocks.append((n, tuple(steps)))
    return blocks


def _slice(x: Ref, node: Node) -> Ref | None:
    """A slice whose starts are known; others are copied when it runs."""
    starts = node.args[1:]
    if not all(isinstance(s, Constant) for s in starts):
        return None
    strides, offset = list(x.strides), x.offset
    for start, dim, step in zip(starts, node.attrs["dims"], node.attrs["steps"], strict=True):
        assert isinstance(start, Constant)
        offset += int(start.array) * x.strides[dim]
        strides[dim] *= step
    return _made(x, node, strides, offset)


def _flip(x: Ref, node: Node) -> Ref:
    strides, offset = list(x.strides), x.offset
    for dim in node.attrs["dims"]:
        offset += max(x.shape[dim] - 1, 0) * strides[dim]
        strides[dim] = -strides[dim]
    return _made(x, node, strides, offset)


def _strided(x: Ref, node: Node) -> Ref:
    offset = sum(o * s for o, s in zip(node.attrs["offset"], x.strides, strict=True))
    strides = [
        sum(k * s for k, s in zip(row, x.strides, strict=True)) for row in node.attrs["steps"]
    ]
    return _made(x, node, strides, x.offset + offset)


def _made(x: Ref, node: Node, strides: list[int], offset: int) -> Ref:
    shape = tuple(node.outs[0].shape)
    own = tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
    return Ref(x.value, shape, own, offset if prod(shape) else 0)


_RULES: dict[str, Callable[[Ref, Node], Any]] = {
    "permute": _permute,
    "expand": _expand,
    "full": _full,
    "reshape": _reshape,
    "slice": _slice,
    "flip": _flip,
    "strided": _strided,
}
