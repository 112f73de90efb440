"""Indexing: ``x[…]`` and ``x[…] = value`` with everything that PyTorch takes between the brackets.

An index is parsed into a basic part (integers, slices, None, Ellipsis), which is one view whose
starts are runtime numbers, and an advanced part (integer and bool tensors), which becomes one
integer tensor over one merged dimension.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from backlit.core.create import as_tensor
from backlit.core.era import local, realize
from backlit.core.inplace import rebind, to_dtype
from backlit.core.op import op, plain
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor, realized
from backlit.core.trace import Tracer
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.index_cards import index_card, index_write_card, wrap_index_card
from backlit.ops.movement import inverse, permute_card, reshape_card
from backlit.ops.shape_join import expanded, merged
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
                here = realized(np.zeros(int(part), np.int64), _int64())
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


def _int64() -> Any:
    from backlit.core.dtypes import int64

    return int64


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
    return [realized(found, _int64()) for found in np.nonzero(realize(index))]


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
    return realized(np.ascontiguousarray(found).reshape(shape), _int64())


@op(name="linear_index", public=False)
def _counted(indices: tuple[Tensor, ...], sizes: tuple[int, ...], shape: Any) -> Tensor:
    found: Any = None
    for i, n in zip(indices, sizes, strict=True):
        wrapped = wrap_index_card(i, n=n)
        found = wrapped if found is None else found * n + wrapped
    return expanded(found, tuple(shape))


@op(name="index", public=False)
def _index(input: Tensor, index: Tensor, order: tuple[int, ...], dim: int, count: int) -> Tensor:
    x = permute_card(input, dims=order) if order else input
    return index_card(merged(x, dim, count) if count > 1 else x, index, dim=dim)


@op(name="index_put", public=False)
def _index_put(
    input: Tensor, index: Tensor, values: Tensor, order: tuple[int, ...], dim: int, count: int,
    accumulate: bool,
) -> Tensor:  # fmt: skip
    x = permute_card(input, dims=order) if order else input
    flat = merged(x, dim, count) if count > 1 else x
    shape = (*flat.shape[:dim], *index.shape, *flat.shape[dim + 1 :])
    new = index_write_card(
        flat, index, expanded(values, tuple(shape)), dim=dim, accumulate=accumulate
    )
    whole = reshape_card(new, shape=tuple(x.shape)) if count > 1 else new
    return permute_card(whole, dims=inverse(order)) if order else whole


def _take(x: Tensor, places: Places) -> Tensor:
    """``x`` at ``places``: at once where everything is known, recorded otherwise."""
    index, grad = places.index, x.requires_grad and local.era.here.grad
    if x._data is None or grad or index._data is None or isinstance(local.era, Tracer):
        return _index(x, index, places.order, places.dim, places.count)
    array = x._data.transpose(places.order) if places.order else x._data
    if places.count > 1:
        shape, end = array.shape, places.dim + places.count
        size = prod(shape[places.dim : end])
        array = array.reshape(*shape[: places.dim], size, *shape[end:])
    found = np.take(array, index._data, places.dim)
    return realized(np.asarray(found), x.dtype)


def getitem(self: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for integers, slices, None and Ellipsis; a copy for index tensors."""
    parsed = Parsed(tuple(self._var.shape), key)
    if not parsed.advanced:
        return parsed.view(self)
    x = parsed.view(self) if parsed.basic else self
    return _take(x, Places(x, parsed.advanced))


# -- writing ------------------------------------------------------------------------------------


def _value(name: str, value: Any, x: Tensor) -> Tensor:
    """``value`` as a tensor that can be written into ``x``."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (bool, int, float)):
        return realized(np.asarray(value).astype(x.dtype.numpy), x.dtype)
    if isinstance(value, (np.ndarray, np.generic)):
        return as_tensor(value, dtype=x.dtype)
    raise TypeError(
        f"{name}: can't assign a {type(value).__name__} to a {x.dtype.name} tensor; expected a "
        "number or a tensor."
    )


def _trim(value: Tensor, ndim: int) -> Tensor:
    """``value`` without leading dimensions of size 1 that its target does not have."""
    shape = tuple(value.shape)
    while len(shape) > ndim and shape[0] == 1:
        shape = shape[1:]
    return value if len(shape) == value.ndim else value.reshape(shape)


def _same_place(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same view of the same base."""
    if a._x is None or b._x is None or a._x.view is None or b._x.view is None:
        return False
    return a._x.view.base is b._x.view.base and a._x.view.moves == b._x.view.moves


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``: writes into ``x``, its base and its views."""
    if _is_full_mask(key, self) and isinstance(value, (bool, int, float)):
        rebind(self, _filled_where(self, key, value), "index_put_")
        return
    parsed = Parsed(tuple(self._var.shape), key)
    x = parsed.view(self) if parsed.basic or not parsed.advanced else self
    if isinstance(value, Tensor) and not parsed.advanced and _same_place(x, value):
        return  # x[key] += v has written there already
    new = _value("setitem", value, x)
    if not parsed.advanced:
        copy_(x, _trim(new, x.ndim))
        return
    put(x, Places(x, parsed.advanced), new, False, "index_put_")


def _is_full_mask(key: Any, x: Tensor) -> bool:
    return isinstance(key, Tensor) and key.dtype.name == "bool" and key.shape == x.shape


def _filled_where(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    from backlit.ops.scatter import masked_fill

    return masked_fill(x, mask, value)


def put(x: Tensor, places: Places, values: Tensor, accumulate: bool, name: str) -> Tensor:
    """Write ``values`` at ``places`` of ``x``, in place."""
    return rebind(x, replaced(x, places, values, accumulate), name)


def replaced(x: Tensor, places: Places, values: Tensor, accumulate: bool) -> Tensor:
    """``x`` with ``values`` written at ``places``."""
    if values.dtype is not x.dtype:
        if values.ndim:
            raise DtypeError(
                "Index put requires the source and destination dtypes match, got "
                f"{x.dtype.name} for the destination and {values.dtype.name} for the source."
            )
        values = to_dtype(values, x.dtype)
    shape = places.result_shape(x)
    values = _trim(values, len(shape))
    fits = values.ndim <= len(shape) and all(
        n in (1, m) for n, m in zip(reversed(values.shape), reversed(shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
            f"indexing result of shape {list(shape)}"
        )
    return _index_put(x, places.index, values, places.order, places.dim, places.count, accumulate)


@op(name="copy", public=False)
def _copied(input: Tensor, src: Tensor) -> Tensor:
    made = expanded(src.to(input.dtype), tuple(input.shape))
    return made.clone() if made is src else made


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write ``src``, broadcast and converted, into the tensor."""
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' must be Tensor, not {type(src).__name__}.")
    target, given = tuple(self.shape), tuple(src.shape)
    fits = len(given) <= len(target) and all(
        n in (1, m) for n, m in zip(reversed(given), reversed(target), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"copy_: the source of shape {list(given)} cannot be broadcast to the tensor of shape "
            f"{list(target)}; its sizes must match or be 1."
        )
    return rebind(self, _copied(self, src), "copy_")


def _places_of(name: str, input: Tensor, indices: Any) -> Places:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"{name}(): argument 'indices' must be tuple of Tensors.")
    parsed = Parsed(tuple(input.shape), tuple([slice(None) if i is None else i for i in indices]))
    if len(parsed.advanced) != sum(i is not None for i in indices) or parsed.basic:
        advanced = [
            (d, i if isinstance(i, Tensor) else as_tensor(i))
            for d, i in enumerate(indices)
            if i is not None
        ]
        return Places(input, advanced)
    if not parsed.advanced:
        raise ArgumentError(f"{name}(): at least one index must be provided.")
    return Places(input, parsed.advanced)


@plain()
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``values`` written (or added) at ``indices``.

    >>> import backlit
    >>> x = backlit.zeros(3)
    >>> x.index_put((backlit.tensor([0, 0]),), backlit.tensor([1.0, 2.0]), accumulate=True)
    tensor([3., 0., 0.])
    """
    return replaced(input, _places_of("index_put", input, indices), values, accumulate)


@plain(name="index_put_")
def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put` into the tensor itself."""
    return put(input, _places_of("index_put_", input, indices), values, accumulate, "index_put_")


METHODS: dict[str, Any] = {"__getitem__": getitem, "__setitem__": setitem, "copy_": copy_}
