"""What stands between the brackets of ``x[…]``, taken apart.

An index has a basic part (integers, slices, None, Ellipsis), which is one view whose starts are
runtime numbers, and an advanced part (integer and bool tensors), which becomes one integer tensor
over one merged dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.create import as_tensor
from backlit.core.dtypes import int64
from backlit.core.era import local, realize
from backlit.core.op import op
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor, realized
from backlit.core.trace import Tracer
from backlit.errors import IndexOutOfRange, ShapeError
from backlit.ops.index_cards import wrap_index_card
from backlit.ops.shape_join import expanded
from backlit.ops.shape_split import slice_bounds, take_slices


class Parsed:
    """What is between the brackets, taken apart.

    Attributes:
        starts, dims, lengths, steps: the slices of dimensions that are not taken whole.
        shape: of the basic part's result.
        advanced: (dimension of that result, integer or bool tensor) pairs.
        basic: whether the basic part changes anything.
    """

    __slots__ = ("advanced", "basic", "dims", "lengths", "shape", "starts", "steps")

    def __init__(self, shape: tuple[int, ...], key: Any) -> None:
        self.starts: list[int] = []
        self.dims: list[int] = []
        self.lengths: list[int] = []
        self.steps: list[int] = []
        self.shape: list[int] = []
        self.advanced: list[tuple[int, Tensor]] = []
        self.basic = False
        parts = [_part(p) for p in (key if isinstance(key, tuple) else (key,))]
        self._walk(shape, _filled(parts, len(shape)))

    def _walk(self, shape: tuple[int, ...], parts: list[Any]) -> None:
        dim = 0
        for part in parts:
            if part is None:
                self.shape.append(1)
                self.basic = True
            elif isinstance(part, bool):
                self.shape.append(1)
                self.basic = True
                here = realized(np.zeros(int(part), np.int64), int64)
                self.advanced.append((len(self.shape) - 1, here))
            elif isinstance(part, Tensor):
                self.advanced.append((len(self.shape), part))
                n = part.ndim if part.dtype.name in ("bool", "uint8") else 1
                self.shape.extend(shape[dim : dim + n])
                dim += n
            else:
                if isinstance(part, slice):
                    self._slice(dim, shape[dim], part)
                else:
                    self._integer(dim, shape, part)
                dim += 1

    def _slice(self, dim: int, n: int, part: slice) -> None:
        start, length, step = slice_bounds(n, part.start, part.stop, part.step)
        self.shape.append(length)
        if length != n or step != 1:
            self._take(dim, start, length, step)

    def _integer(self, dim: int, shape: tuple[int, ...], i: int) -> None:
        n = shape[dim]
        if not -n <= i < n:
            raise IndexOutOfRange(f"index {i} is out of bounds for dimension {dim} with size {n}")
        self._take(dim, i + n if i < 0 else i, 1, 1)

    def _take(self, dim: int, start: int, length: int, step: int) -> None:
        self.starts.append(start)
        self.dims.append(dim)
        self.lengths.append(length)
        self.steps.append(step)
        self.basic = True

    def slices(self, ndim: int) -> tuple[slice, ...]:
        """The part of a NumPy array of ``ndim`` dimensions that the basic part shows."""
        found = [slice(None)] * ndim
        parts = zip(self.dims, self.starts, self.lengths, self.steps, strict=True)
        for dim, start, length, step in parts:
            found[dim] = slice(start, start + length * step, step)
        return tuple(found)

    def view(self, x: Tensor) -> Tensor:
        """The basic part of ``x``."""
        return take_slices(
            x,
            tuple(self.starts),
            tuple(self.dims),
            tuple(self.lengths),
            tuple(self.steps),
            tuple(self.shape),
        )


def _part(part: Any) -> Any:
    """One part of an index as None, Ellipsis, bool, int, slice or tensor."""
    kind = type(part)
    if part is None or part is Ellipsis or kind is int or kind is slice or kind is bool:
        return part
    if isinstance(part, (list, np.ndarray, range)):
        part = as_tensor(part if len(part) else np.zeros(np.shape(part), np.int64))
    if isinstance(part, Tensor):
        if part.dtype.is_floating_point:
            raise IndexOutOfRange(
                "tensors used as indices must be long, int, byte or bool tensors, got "
                f"{part.dtype.name}; convert it with .long()."
            )
        if part.ndim == 0 and not isinstance(local.era, Tracer):
            found = realize(part).item()
            return found if part.dtype.name != "uint8" else bool(found)
        return part
    if isinstance(part, tuple):
        return _part(list(part))
    if hasattr(part, "__index__"):
        return int(part) if not isinstance(part, np.bool_) else bool(part)
    if kind is str:
        raise TypeError(
            "an index cannot be a str; use integers, slices, None, Ellipsis or tensors."
        )
    raise IndexOutOfRange(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {kind.__name__})"
    )


def _consumed(part: Any) -> int:
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    if isinstance(part, Tensor) and part.dtype.name in ("bool", "uint8"):
        return part.ndim
    return 1


def _filled(parts: list[Any], ndim: int) -> list[Any]:
    """``parts`` with full slices where Ellipsis stands, and at the end."""
    used = sum(map(_consumed, parts))
    if used > ndim:
        if ndim == 0:
            raise IndexOutOfRange(
                "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to "
                "a number"
            )
        raise IndexOutOfRange(f"too many indices for tensor of dimension {ndim}")
    places = [i for i, p in enumerate(parts) if p is Ellipsis]
    if len(places) > 1:
        raise IndexOutOfRange("an index can only have a single ellipsis (`...`)")
    fill = [slice(None)] * (ndim - used)
    at = places[0] if places else len(parts)
    return [*parts[:at], *fill, *parts[at + 1 :]]


# -- the advanced part --------------------------------------------------------------------------


class Places:
    """Integer tensors over dimensions of a tensor, brought to one index over one dimension.

    Attributes:
        index: the int64 tensor; its elements count through the merged dimensions.
        order: how the tensor is permuted first, so that the indexed dimensions are neighbours.
        dim, count: the dimensions that are merged.
    """

    __slots__ = ("count", "dim", "index", "order")

    def __init__(self, x: Tensor, advanced: list[tuple[int, Tensor]]) -> None:
        dims: list[int] = []
        indices: list[Tensor] = []
        for dim, index in advanced:
            for k, i in enumerate(_integers(x, dim, index)):
                dims.append(dim + k)
                indices.append(i)
        shapes = [tuple(i.shape) for i in indices]
        try:
            shape = broadcast("index", *shapes)
        except ShapeError:
            raise IndexOutOfRange(
                "shape mismatch: indexing tensors could not be broadcast together with shapes "
                + ", ".join(str(list(s)) for s in shapes)
            ) from None
        neighbours = dims == list(range(dims[0], dims[0] + len(dims)))
        rest = tuple([d for d in range(x.ndim) if d not in dims])
        self.order = () if neighbours else (*dims, *rest)
        self.dim = dims[0] if neighbours else 0
        self.count = len(dims)
        sizes = tuple([x.shape[d] for d in dims])
        self.index = _linear(indices, dims, sizes, shape)

    def result_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of ``x`` indexed at these places."""
        shape = [x.shape[d] for d in self.order] if self.order else list(x.shape)
        return (*shape[: self.dim], *self.index.shape, *shape[self.dim + self.count :])


def _integers(x: Tensor, dim: int, index: Tensor) -> list[Tensor]:
    """One integer tensor per dimension that ``index`` addresses."""
    if index.dtype.name not in ("bool", "uint8"):
        return [index]
    for k, n in enumerate(index.shape):
        if n != x.shape[dim + k]:
            raise IndexOutOfRange(
                f"The shape of the mask {list(index.shape)} at index {k} does not match the shape "
                f"of the indexed tensor {list(x.shape)} at index {dim + k}"
            )
    return [realized(found, int64) for found in np.nonzero(realize(index))]


def _linear(
    indices: list[Tensor], dims: list[int], sizes: tuple[int, ...], shape: tuple[int, ...]
) -> Tensor:
    """The indices as one that counts through dimensions of ``sizes`` in row-major order."""
    if isinstance(local.era, Tracer) or any(i._data is None for i in indices):
        return _counted(tuple(indices), sizes, shape)
    found: Any = 0
    for i, dim, n in zip(indices, dims, sizes, strict=True):
        array = realize(i).astype(np.int64, copy=False)
        if array.size:
            low, high = array.min(), array.max()
            if low < -n or high >= n:
                raise IndexOutOfRange(
                    f"index {high if high >= n else low} is out of bounds for dimension {dim} with "
                    f"size {n}"
                )
            if low < 0:
                array = np.where(array < 0, array + n, array)
        found = array if len(indices) == 1 else found * n + array
    return realized(np.ascontiguousarray(found).reshape(shape), int64)


@op(name="linear_index", public=False)
def _counted(indices: tuple[Tensor, ...], sizes: tuple[int, ...], shape: Any) -> Tensor:
    found: Any = None
    for i, n in zip(indices, sizes, strict=True):
        wrapped = wrap_index_card(i, n=n)
        found = wrapped if found is None else found * n + wrapped
    return expanded(found, tuple(shape))
