"""Parts of tensors (slices, splits, diagonals, windows), and tensors with a part replaced."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from backlit.core.inplace import to_dtype
from backlit.core.op import op, plain
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, IndexOutOfRange, ShapeError
from backlit.ops.movement import reshape_card, slice_card, strided_card
from backlit.ops.shape import alias
from backlit.ops.shape_strides import layout_of

Ints = tuple[int, ...]


@op(name="slice", view=True, public=False)
def take_slices(
    input: Tensor, starts: tuple[Number, ...], dims: Ints, lengths: Ints, steps: Ints, shape: Ints
) -> Tensor:
    """``lengths`` elements from ``starts`` along ``dims``, shown as ``shape``; starts may vary."""
    part = slice_card(input, *starts, dims=dims, lengths=lengths, steps=steps) if dims else input
    if dims and tuple(part.shape) == shape:
        return part
    return reshape_card(part, shape=shape)


def _without(shape: Sequence[int], dim: int) -> Ints:
    return (*shape[:dim], *shape[dim + 1 :])


def _with(shape: Sequence[int], dim: int, n: int) -> Ints:
    return (*shape[:dim], n, *shape[dim + 1 :])


def part(input: Tensor, dim: int, start: int, length: int, step: int = 1) -> Tensor:
    """``length`` elements of dimension ``dim`` from ``start`` on (arguments already checked)."""
    return take_slices(input, (start,), (dim,), (length,), (step,), _with(input.shape, dim, length))


def item(input: Tensor, dim: int, i: int) -> Tensor:
    """Element ``i`` of dimension ``dim``, which goes away (arguments already checked)."""
    return take_slices(input, (i,), (dim,), (1,), (1,), _without(input.shape, dim))


# -- slices -------------------------------------------------------------------------------------


@plain()
def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """Element ``index`` along ``dim``; the dimension goes away.

    >>> import backlit
    >>> backlit.tensor([[1, 2], [3, 4]]).select(1, 0)
    tensor([1, 3])
    """
    if not input.ndim:
        raise IndexOutOfRange("select() cannot be applied to a 0-dim tensor.")
    at = wrap_dim(dim, input.ndim, "select")
    i, n = int(index), input.shape[at]
    if not -n <= i < n:
        raise IndexOutOfRange(
            f"select(): index {i} out of range for tensor of size {list(input.shape)} at dimension "
            f"{at}."
        )
    return item(input, at, i % n)


@plain()
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """``length`` elements of ``dim`` from ``start`` on.

    >>> import backlit
    >>> backlit.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    if not input.ndim:
        raise ArgumentError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise ArgumentError(f"narrow(): length must be non-negative, got {length}.")
    if isinstance(start, Tensor) and (start.ndim or not start.dtype.is_integer):
        raise ArgumentError("narrow(): start must be a 0-dim integral Tensor.")
    at = wrap_dim(dim, input.ndim, "narrow")
    n, first = input.shape[at], int(start)
    if not -n <= first <= n:
        raise IndexOutOfRange(
            f"narrow(): start out of range (expected to be in range of [{-n}, {n}], but got "
            f"{first})."
        )
    first += n if first < 0 else 0
    if first + length > n:
        raise ArgumentError(
            f"narrow(): start ({first}) + length ({length}) exceeds dimension size ({n})."
        )
    return part(input, at, first, length)


@plain()
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow` into new memory."""
    return narrow(input, dim, start, length).clone()


def slice_bounds(n: int, start: Any, end: Any, step: Any) -> tuple[int, int, int]:
    """First index, number of elements and step of ``start:end:step`` over ``n`` elements."""
    by = 1 if step is None else index(step)
    if by <= 0:
        raise ArgumentError(f"slice step must be positive, got {by}; use .flip() to reverse.")
    first, last, _ = slice(
        None if start is None else index(start), None if end is None else index(end)
    ).indices(n)
    return first, max(0, -(-(last - first) // by)), by


# -- splits -------------------------------------------------------------------------------------


@op(name="split", view=True, public=False)
def _pieces(input: Tensor, starts: Ints, lengths: Ints, dim: int) -> tuple[Tensor, ...]:
    return tuple(
        slice_card(input, start, dims=(dim,), lengths=(length,), steps=(1,))
        for start, length in zip(starts, lengths, strict=True)
    )


def _cut(input: Tensor, lengths: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    starts, at = [], 0
    for n in lengths:
        starts.append(at)
        at += n
    return _pieces(input, tuple(starts), tuple(lengths), dim)


@plain()
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of a given size (the last may be smaller), or of a given list of sizes.

    >>> import backlit
    >>> [len(piece) for piece in backlit.arange(5).split(2)]
    [2, 2, 1]
    """
    sections = split_size_or_sections
    if isinstance(sections, (tuple, list)):
        return split_with_sizes(input, sections, dim)
    if not input.ndim:
        raise ShapeError("split expects at least a 1-dimensional tensor.")
    at, size = wrap_dim(dim, input.ndim, "split"), index(sections)
    n = input.shape[at]
    if size < 0:
        raise ArgumentError(f"split expects split_size be non-negative, but got split_size={size}.")
    if size == 0 and n:
        raise ArgumentError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}."
        )
    if size == 0 or n == 0:
        return _cut(input, (n,), at)
    return _cut(input, [min(size, n - i) for i in range(0, n, size)], at)


@plain()
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given sizes, which must sum to the size of ``dim``."""
    if not input.ndim:
        raise ShapeError("split_with_sizes expects at least a 1-dimensional tensor.")
    at = wrap_dim(dim, input.ndim, "split_with_sizes")
    sizes = [index(n) for n in split_sizes]
    if min(sizes, default=0) < 0 or sum(sizes) != input.shape[at]:
        raise ShapeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input.shape[at]} (input "
            f"tensor's size at dimension {at}) and to be non-negative, but got "
            f"split_sizes={sizes}."
        )
    return _cut(input, sizes, at)


@plain()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` pieces of equal size (the last may be smaller).

    >>> import backlit
    >>> [len(piece) for piece in backlit.arange(7).chunk(3)]
    [3, 3, 1]
    """
    if not input.ndim:
        raise ShapeError("chunk expects at least a 1-dimensional tensor.")
    if chunks <= 0:
        raise ArgumentError(f"chunk expects `chunks` to be greater than 0, got: {chunks}.")
    at = wrap_dim(dim, input.ndim, "chunk")
    n = input.shape[at]
    if n == 0:
        return _cut(input, (0,) * chunks, at)
    return split(input, -(-n // chunks), at)


@plain()
def tensor_split(
    input: Tensor, indices_or_sections: Any, dim: int = 0, *, indices: Any = None,
    sections: int | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Pieces as equal as possible, or cut before each of the given indices.

    >>> import backlit
    >>> [len(piece) for piece in backlit.arange(7).tensor_split(3)]
    [3, 2, 2]
    """
    given = indices_or_sections
    if not input.ndim:
        raise ShapeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims."
        )
    at = wrap_dim(dim, input.ndim, "tensor_split")
    n = input.shape[at]
    if isinstance(given, Tensor):
        if given.ndim > 1 or given.dtype.name != "int64":
            raise ArgumentError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                f"one-dimensional int64 tensor, but got {given.dtype.name} with {given.ndim} dims."
            )
        given = given.tolist()
    if isinstance(given, int):
        if given <= 0:
            raise ArgumentError(f"number of sections must be larger than 0, got {given}.")
        small, more = divmod(n, given)
        return _cut(input, [small + 1] * more + [small] * (given - more), at)
    bounds = [slice(None, index(i)).indices(n)[1] for i in given]
    starts = [0, *bounds]
    lengths = [max(0, stop - start) for start, stop in zip(starts, [*bounds, n], strict=True)]
    return _pieces(input, tuple(starts), tuple(lengths), at)


def _split_along(name: str, input: Tensor, given: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    if input.ndim < least:
        raise ShapeError(
            f"{name} requires a tensor with at least {least} dimension, but got a tensor with "
            f"{input.ndim} dimensions!"
        )
    n = input.shape[dim]
    if isinstance(given, int) and (given <= 0 or n % given):
        raise ShapeError(
            f"{name} attempted to split along dimension {dim}, but the size of the dimension {n} "
            f"is not divisible by the split_size {given}!"
        )
    return tensor_split(input, given, dim)


@plain()
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Split into columns."""
    return _split_along("torch.hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


@plain()
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Split into rows."""
    return _split_along("torch.vsplit", input, indices_or_sections, 0, 2)


@plain()
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Split along the third dimension."""
    return _split_along("torch.dsplit", input, indices_or_sections, 2, 3)


@op(name="unbind", view=True, public=False)
def _unbind(input: Tensor, dim: int) -> tuple[Tensor, ...]:
    shape = _without(input.shape, dim)
    parts = (
        slice_card(input, i, dims=(dim,), lengths=(1,), steps=(1,)) for i in range(input.shape[dim])
    )
    return tuple(reshape_card(x, shape=shape) for x in parts)


@plain()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, which goes away.

    >>> import backlit
    >>> backlit.tensor([[1, 2], [3, 4]]).unbind(1)
    (tensor([1, 3]), tensor([2, 4]))
    """
    if not input.ndim:
        raise IndexOutOfRange("Dimension specified as 0 but tensor has no dimensions.")
    return _unbind(input, wrap_dim(dim, input.ndim, "unbind"))


# -- strided views ------------------------------------------------------------------------------


@op(name="strided", view=True, public=False)
def strided_view(
    input: Tensor, size: Ints, offset: Ints, steps: tuple[Ints, ...], flat: bool = False
) -> Tensor:
    """A strided view; with ``flat``, one over the elements of ``input`` in memory order."""
    x = reshape_card(input, shape=(input.numel(),)) if flat else input
    return strided_card(x, size=size, offset=offset, steps=steps)


def unit(ndim: int, dim: int, step: int = 1) -> Ints:
    """The step of a dimension that runs along ``dim``."""
    return tuple([step if d == dim else 0 for d in range(ndim)])


@plain()
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of ``size`` elements, ``step`` apart, along a dimension; a new last dim.

    >>> import backlit
    >>> backlit.arange(5).unfold(0, 3, 1)
    tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]])
    """
    at = wrap_dim(dimension, input.ndim, "unfold")
    n = input.shape[at] if input.ndim else 1
    if size < 0 or size > n:
        raise ArgumentError(
            f"unfold: maximum size for tensor at dimension {at} is {n} but size is {size}."
        )
    if step <= 0:
        raise ArgumentError(f"unfold: step is {step} but must be > 0.")
    if not input.ndim:
        return alias(input).reshape(1).narrow(0, 0, size)
    rows = [unit(input.ndim, d, step if d == at else 1) for d in range(input.ndim)]
    shape = _with(input.shape, at, (n - size) // step + 1)
    return strided_view(input, (*shape, size), (0,) * input.ndim, (*rows, unit(input.ndim, at)))


@plain()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions as a new last dimension (a view).

    >>> import backlit
    >>> backlit.tensor([[1, 2], [3, 4]]).diagonal()
    tensor([1, 4])
    """
    first = wrap_dim(dim1, input.ndim, "diagonal")
    second = wrap_dim(dim2, input.ndim, "diagonal")
    if first == second:
        raise ArgumentError(
            f"diagonal dimensions cannot be identical {dim1}, {dim2}; give two different ones."
        )
    n, m = input.shape[first], input.shape[second]
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    ndim = input.ndim
    rest = [d for d in range(ndim) if d not in (first, second)]
    along = tuple([int(d in (first, second)) for d in range(ndim)])
    start = [0] * ndim
    if length:
        start[second if offset >= 0 else first] = abs(offset)
    size = (*(input.shape[d] for d in rest), length)
    return strided_view(input, size, tuple(start), (*(unit(ndim, d) for d in rest), along))


@plain()
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the memory of ``input`` with any size and strides, counted in elements.

    >>> import backlit
    >>> backlit.arange(4).as_strided((2, 2), (1, 1))
    tensor([[0, 1],
            [1, 2]])
    """
    shape, steps = tuple(map(index, size)), tuple(map(index, stride))
    view = input._x.view if input._x is not None else None
    base = view.base if view is not None else input
    offset = layout_of(input)[1] if storage_offset is None else storage_offset
    if len(shape) != len(steps):
        raise ShapeError(
            f"as_strided: mismatch in length of strides and shape: {len(steps)} and {len(shape)}."
        )
    if min(steps, default=0) < 0 or offset < 0:
        raise ArgumentError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(steps)} and offset {offset}."
        )
    reach = offset + sum((n - 1) * s for n, s in zip(shape, steps, strict=True)) + 1
    if 0 not in shape and reach > base._var.numel:
        raise ShapeError(
            f"as_strided: setStorage: sizes {list(shape)}, strides {list(steps)}, storage offset "
            f"{offset} need {reach} elements, which are out of bounds for storage of "
            f"{base._var.numel} elements."
        )
    return strided_view(
        base, shape, (min(offset, base._var.numel),), tuple((s,) for s in steps), True
    )


# -- tensors with a part replaced ---------------------------------------------------------------


def _scattered(name: str, input: Tensor, src: Tensor, take: Any) -> Tensor:
    """A copy of ``input`` whose part ``take(copy)`` is ``src``."""
    made = input.clone()
    place = take(made)
    if place.shape != src.shape:
        raise ShapeError(
            f"{name}: expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(place.shape)}."
        )
    place.copy_(to_dtype(src, input.dtype))
    return made


@plain()
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` at ``start:end:step`` of ``dim``."""
    at = wrap_dim(dim, input.ndim, "slice_scatter")
    first, length, by = slice_bounds(input.shape[at], start, end, step)
    return _scattered("slice_scatter", input, src, lambda x: part(x, at, first, length, by))


@plain()
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` at ``index`` of ``dim``."""
    return _scattered("select_scatter", input, src, lambda x: select(x, dim, index))


@plain()
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of ``input`` with ``src`` on the diagonal of two dimensions."""
    return _scattered("diagonal_scatter", input, src, lambda x: diagonal(x, offset, dim1, dim2))


@plain()
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of ``input`` with ``src`` at `as_strided` places."""
    offset = layout_of(input)[1] if storage_offset is None else storage_offset
    return _scattered(
        "as_strided_scatter", input, src, lambda x: as_strided(x, size, stride, offset)
    )
