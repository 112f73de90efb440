"""Indexing: ``x[…]`` and ``x[…] = value`` with every kind of key that PyTorch takes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from backlit.core.create import as_tensor
from backlit.core.era import Era, local
from backlit.core.holders import shared
from backlit.core.inplace import rebind, to_dtype
from backlit.core.op import op, plain
from backlit.core.registry import METHODS
from backlit.core.tensor import Tensor, extra, realized
from backlit.core.trace import Tracer
from backlit.core.value import Number
from backlit.core.views import rows
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.index_cards import index_card, index_write_card
from backlit.ops.index_parse import Parsed, Places
from backlit.ops.movement import expand_card, inverse, permute_card, reshape_card, slice_write_card
from backlit.ops.shape_join import expanded, merged


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
    if type(key) is int or type(key) is slice:
        found = rows(self, key)
        if found is not None:
            return found
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
    if not parsed.advanced and not _is_part(self, value):
        _set_slices(self, parsed, value)
        return
    x = parsed.view(self) if parsed.basic or not parsed.advanced else self
    if isinstance(value, Tensor) and not parsed.advanced and _same_place(x, value):
        return  # x[key] += v has written there already
    new = _value("setitem", value, x)
    if not parsed.advanced:
        copy_(x, _trim(new, x.ndim))
        return
    put(x, Places(x, parsed.advanced), new, False, "index_put_")


def _is_part(self: Tensor, value: Any) -> bool:
    """Whether ``self`` is a view, or ``value`` a view of it, so that their places matter."""
    if self._x is not None and self._x.view is not None:
        return True
    x = value._x if isinstance(value, Tensor) else None
    return x is not None and x.view is not None and x.view.base is self


def _set_slices(self: Tensor, parsed: Parsed, value: Any) -> None:
    """Write ``value`` into slices of a tensor that is no view."""
    if isinstance(value, (bool, int, float)):
        if self._data is not None and not self._var.requires_grad and _is_private(self):
            self._data[parsed.slices(self._var.ndim)] = value
            extra(self).version += 1
            return
        new: Any = value
    else:
        new = _trim(_value("setitem", value, self), len(parsed.shape))
        check_fits("copy_", new, tuple(parsed.shape))
    made = _with_slices(
        self,
        new,
        tuple(parsed.starts),
        tuple(parsed.dims),
        tuple(parsed.lengths),
        tuple(parsed.steps),
        tuple(parsed.shape),
    )
    rebind(self, made, "copy_")


def _is_private(t: Tensor) -> bool:
    """Whether the array of ``t`` is held by nothing else: no view, no recording, no user."""
    return isinstance(local.era, Era) and not shared(t) and t._data.flags.writeable  # type: ignore[union-attr]


@op(name="copy_slices", public=False)
def _with_slices(
    input: Tensor, value: Number, starts: tuple[Number, ...], dims: Any, lengths: Any, steps: Any,
    shape: Any,
) -> Tensor:  # fmt: skip
    given = value if isinstance(value, Tensor) else local.era.constant(value, input.dtype)
    new = expand_card(to_dtype(given, input.dtype), shape=shape)
    part = list(input.shape)
    for dim, length in zip(dims, lengths, strict=True):
        part[dim] = length
    new = reshape_card(new, shape=tuple(part))
    if not dims:
        return new.clone()
    return slice_write_card(input, new, *starts, dims=dims, lengths=lengths, steps=steps)


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
    check_fits("copy_", src, tuple(self.shape))
    return rebind(self, _copied(self, src), "copy_")


def check_fits(name: str, src: Tensor, target: tuple[int, ...]) -> None:
    """Raise unless ``src`` broadcasts to the shape ``target``."""
    given = tuple(src.shape)
    fits = len(given) <= len(target) and all(
        n in (1, m) for n, m in zip(reversed(given), reversed(target), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"{name}: the source of shape {list(given)} cannot be broadcast to the tensor of shape "
            f"{list(target)}; its sizes must match or be 1."
        )


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


METHODS.update({"__getitem__": getitem, "__setitem__": setitem, "copy_": copy_})
