"""Size: the shape of a tensor."""

from __future__ import annotations

from math import prod
from typing import Any

from backlit.errors import IndexOutOfRange, ShapeError


class Size(tuple[int, ...]):
    """A tuple of sizes that prints as PyTorch's and counts its elements.

    >>> Size((2, 3)).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements of a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"Size([{', '.join(map(str, self))}])"

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __getitem__(self, i: Any) -> Any:
        found = tuple.__getitem__(self, i)
        return Size(found) if isinstance(i, slice) else found

    def __reduce__(self) -> tuple[type[Size], tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)


def broadcast(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that ``shapes`` broadcast to; sizes match from the right, and 1 stretches."""
    if len(shapes) == 2 and shapes[0] == shapes[1]:
        return shapes[0]
    out: list[int] = []
    ndim = max(map(len, shapes), default=0)
    for i in range(1, ndim + 1):
        size = 1
        for shape in shapes:
            if i <= len(shape) and shape[-i] != 1:
                if size not in (1, shape[-i]):
                    raise ShapeError(
                        f"{op}: shapes {' and '.join(str(tuple(s)) for s in shapes)} do not "
                        f"broadcast: "
                        f"the size of tensor a ({size}) must match the size of tensor b "
                        f"({shape[-i]}) "
                        f"at non-singleton dimension {ndim - i}; sizes are compared from the right "
                        f"and "
                        "must be equal or 1."
                    )
                size = shape[-i]
        out.append(size)
    return tuple(reversed(out))


def wrap_dim(dim: int, ndim: int, op: str) -> int:
    """``dim`` counted from the front; a 0-dimensional tensor takes 0 and -1."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexOutOfRange(
            f"{op}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got "
            f"{dim})."
        )
    return dim % n


def wrap_dims(
    dims: int | tuple[int, ...] | list[int] | None, ndim: int, op: str
) -> tuple[int, ...]:
    """``dims`` counted from the front, in order; None and () mean all of them."""
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, int):
        return (wrap_dim(dims, ndim, op),)
    found = tuple(wrap_dim(d, ndim, op) for d in dims)
    if not found:
        return tuple(range(ndim))
    for d in found:
        if found.count(d) > 1:
            raise ShapeError(
                f"{op}: dim {d} appears multiple times in the list of dims {tuple(dims)}."
            )
    return found
