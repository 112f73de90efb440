"""Strides: where the elements of a tensor lie in the memory of its base, in PyTorch's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backlit.core.tensor import Tensor
from backlit.core.views import Move

Shape = tuple[int, ...]


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """The strides of a row-major tensor: the last dimension varies fastest.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def layout_of(t: Tensor) -> tuple[Shape, int]:
    """The strides of ``t`` and the offset of its first element, both counted in elements."""
    x = t._x
    if x is None:
        return contiguous_strides(t.shape), 0
    if x.view is None:
        return _own_strides(t), 0
    base = x.view.base
    strides, offset = _own_strides(base), 0
    shape: Shape = tuple(base.shape)
    for move in x.view.moves:
        shape, strides, offset = _follow(move, shape, strides, offset)
    return strides, offset


def _own_strides(t: Tensor) -> Shape:
    """The strides of a tensor that is no view: its array's where NumPy code shares the memory."""
    x = t._x
    if x is not None and x.exported and t._data is not None and t._data.size:
        return tuple(s // t._data.itemsize for s in t._data.strides)
    return contiguous_strides(t.shape)


def _follow(move: Move, shape: Shape, strides: Shape, offset: int) -> tuple[Shape, Shape, int]:
    """Shape, strides and offset after one move."""
    card, args, attrs = move
    if card.name == "reshape":
        found = viewed_strides(shape, strides, attrs["shape"])
        return attrs["shape"], found or contiguous_strides(attrs["shape"]), offset
    if card.name == "permute":
        dims = attrs["dims"]
        return tuple(shape[d] for d in dims), tuple(strides[d] for d in dims), offset
    if card.name == "expand":
        return attrs["shape"], _expanded(shape, strides, attrs["shape"]), offset
    if card.name == "slice":
        return _sliced(shape, strides, offset, args, attrs)
    if card.name == "strided":
        start = offset + _dot(attrs["offset"], strides)
        return attrs["size"], tuple(_dot(row, strides) for row in attrs["steps"]), start
    return shape, strides, offset


def _dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _expanded(shape: Shape, strides: Shape, target: Shape) -> Shape:
    lead = len(target) - len(shape)
    found = [0] * len(target)
    for i in reversed(range(len(target))):
        if i >= lead:
            found[i] = strides[i - lead] if shape[i - lead] == target[i] else 0
        elif target[i] == 1:
            found[i] = target[i + 1] * found[i + 1] if i + 1 < len(target) else 1
    return tuple(found)


def _sliced(
    shape: Shape, strides: Shape, offset: int, starts: tuple[Any, ...], attrs: dict[str, Any]
) -> tuple[Shape, Shape, int]:
    sizes, steps = list(shape), list(strides)
    parts = zip(attrs["dims"], starts, attrs["lengths"], attrs["steps"], strict=True)
    for dim, start, length, step in parts:
        offset += start * strides[dim]
        sizes[dim] = length
        steps[dim] *= step
    return tuple(sizes), tuple(steps), offset


def viewed_strides(old: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides that show memory of shape ``old`` as shape ``new``, or None where it takes a copy."""
    if 0 in old:
        return strides if old == new else contiguous_strides(new)
    if not old:
        return (1,) * len(new)
    found = [0] * len(new)
    at = len(new) - 1
    step, of_old, of_new = strides[-1], 1, 1
    for d in reversed(range(len(old))):
        of_old *= old[d]
        if d and (old[d - 1] == 1 or strides[d - 1] == of_old * step):
            continue  # dims d - 1 and d lie in memory as one
        while at >= 0 and (of_new < of_old or new[at] == 1):
            found[at] = of_new * step
            of_new *= new[at]
            at -= 1
        if of_new != of_old:
            return None
        if d:
            step, of_old, of_new = strides[d - 1], 1, 1
    return tuple(found) if at < 0 else None


def is_row_major(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements lie without gaps in row-major order (dims of size 1 do not matter)."""
    expected = 1
    for n, step in zip(reversed(shape), reversed(strides), strict=True):
        if n == 0:
            return True
        if n != 1:
            if step != expected:
                return False
            expected *= n
    return True


def is_channels_last(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a 4-d or 5-d tensor (N, C, …) lies in memory as (N, …, C)."""
    order = (0, *range(2, len(shape)), 1)
    return is_row_major([shape[d] for d in order], [strides[d] for d in order])
