"""Elements in another order or number: flips, rolls, triangles, repetitions, diagonal matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core import create
from backlit.core.dtypes import dtype as Dtype
from backlit.core.dtypes import int64
from backlit.core.era import local, realize
from backlit.core.op import op, plain
from backlit.core.size import wrap_dim, wrap_dims
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.index_cards import index_card
from backlit.ops.movement import (
    cat_card,
    expand_card,
    flip_card,
    permute_card,
    reshape_card,
    slice_card,
    strided_write_card,
    zeros,
)
from backlit.ops.shape import check_matrix, flatten, ints, unsqueeze
from backlit.ops.shape_split import diagonal, unit

# -- flips and rolls ----------------------------------------------------------------------------


@op
def flip(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """The order of elements reversed along ``dims``.

    >>> import backlit
    >>> backlit.arange(3).flip(0)
    tensor([2, 1, 0])
    """
    given = ints(sizes if dims is None else (tuple(dims),))
    found = wrap_dims(given, input.ndim, "flip") if given else ()
    return flip_card(input, dims=found if input.ndim else ())


@op
def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse order."""
    check_matrix("fliplr", input, 2)
    return flip_card(input, dims=(1,))


@op
def flipud(input: Tensor) -> Tensor:
    """Rows in reverse order."""
    check_matrix("flipud", input, 1)
    return flip_card(input, dims=(0,))


def _rolled(x: Tensor, shift: int, dim: int) -> Tensor:
    n = x.shape[dim]
    cut = (n - shift) % n if n else 0
    if not cut:
        return x
    back = slice_card(x, cut, dims=(dim,), lengths=(n - cut,), steps=(1,))
    front = slice_card(x, 0, dims=(dim,), lengths=(cut,), steps=(1,))
    return cat_card(back, front, dim=dim)


@op
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements shifted along ``dims``; those pushed out come in again at the other end.

    >>> import backlit
    >>> backlit.arange(4).roll(1)
    tensor([3, 0, 1, 2])
    """
    by = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    along = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if not by:
        raise ArgumentError("roll: `shifts` required; give one shift per dim.")
    if not along and len(by) == 1:
        flat = reshape_card(input, shape=(input.numel(),))
        return reshape_card(_rolled(flat, by[0], 0), shape=tuple(input.shape)).clone()
    if len(along) != len(by):
        raise ArgumentError(
            f"roll: shifts and dimensions must align. shifts: {len(by)}, dims: {len(along)}."
        )
    if not input.ndim:
        raise IndexOutOfRange(
            f"roll: Dimension specified as {along[0]} but tensor has no dimensions."
        )
    out = input
    for shift, dim in zip(by, along, strict=True):
        out = _rolled(out, shift, wrap_dim(dim, input.ndim, "roll"))
    return out.clone() if out is input else out


@op
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotated by ``k`` times 90° in the plane of two dimensions.

    >>> import backlit
    >>> backlit.tensor([[1, 2], [3, 4]]).rot90()
    tensor([[2, 4],
            [1, 3]])
    """
    if len(dims) != 2:
        raise ArgumentError(
            f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}."
        )
    if input.ndim < 2:
        raise ArgumentError(f"rot90: expected total dims >= 2, but got total dims = {input.ndim}.")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == input.ndim:
        raise ArgumentError(
            f"rot90: expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = "
            f"{dims[1]}."
        )
    a, b = (wrap_dim(d, input.ndim, "rot90") for d in dims)
    order = list(range(input.ndim))
    order[a], order[b] = b, a
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip_card(input, dims=(a, b))
    if turns == 1:
        return permute_card(flip_card(input, dims=(b,)), dims=tuple(order))
    return flip_card(permute_card(input, dims=tuple(order)), dims=(b,))


# -- triangles ----------------------------------------------------------------------------------


def _triangle(input: Tensor, mask: Any) -> Tensor:
    from backlit.core.primitive import PRIMITIVES

    zero = zeros((), input.dtype)
    kept: Tensor = PRIMITIVES["where"](local.era.constant(mask), input, zero)
    return kept


def _below(input: Tensor, diagonal: int) -> Any:
    n, m = input.shape[-2:]
    return np.tri(n, m, diagonal, dtype=np.bool_)


@op(out=True, inplace=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Elements on and below a diagonal; zero above.

    >>> import backlit
    >>> backlit.ones(2, 2).tril()
    tensor([[1., 0.],
            [1., 1.]])
    """
    check_matrix("tril", input, 2)
    return _triangle(input, _below(input, diagonal))


@op(out=True, inplace=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Elements on and above a diagonal; zero below."""
    check_matrix("triu", input, 2)
    return _triangle(input, ~_below(input, diagonal - 1))


def _triangle_indices(name: str, row: int, col: int, found: Any, d: Any, more: Any) -> Tensor:
    if row < 0 or col < 0:
        raise ArgumentError(f"{name}: row and col must be non-negative, got {row} and {col}.")
    d = d or int64
    if d.is_floating_point or d.name == "bool":
        raise DtypeError(f'"{name}" not implemented for {d.name}; use an integer dtype.')
    return create.finish(np.stack(found).astype(d.numpy), d, **more)


@plain(method=False)
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Dtype | None = None, **more: Any
) -> Tensor:
    """Rows and columns of the elements on and below a diagonal, as a (2, n) tensor."""
    found = np.tril_indices(max(row, 0), offset, max(col, 0))
    return _triangle_indices("tril_indices", row, col, found, dtype, more)


@plain(method=False)
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Dtype | None = None, **more: Any
) -> Tensor:
    """Rows and columns of the elements on and above a diagonal, as a (2, n) tensor."""
    found = np.triu_indices(max(row, 0), offset, max(col, 0))
    return _triangle_indices("triu_indices", row, col, found, dtype, more)


# -- diagonal matrices --------------------------------------------------------------------------


@op
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension on a diagonal of two new dimensions; zero elsewhere.

    >>> import backlit
    >>> backlit.tensor([1, 2]).diag_embed()
    tensor([[1, 0],
            [0, 2]])
    """
    if not input.ndim:
        raise IndexOutOfRange("diag_embed: Dimension specified as -1 but tensor has no dimensions.")
    ndim = input.ndim + 1
    a, b = wrap_dim(dim1, ndim, "diag_embed"), wrap_dim(dim2, ndim, "diag_embed")
    if a == b:
        raise ArgumentError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}.")
    n = input.shape[-1] + abs(offset)
    rest = iter(input.shape[:-1])
    shape = tuple([n if d in (a, b) else next(rest) for d in range(ndim)])
    start = [0] * ndim
    start[b if offset >= 0 else a] = abs(offset)
    along = tuple([int(d in (a, b)) for d in range(ndim)])
    steps = (*(unit(ndim, d) for d in range(ndim) if d not in (a, b)), along)
    return strided_write_card(
        zeros(shape, input.dtype), input, offset=tuple(start), steps=steps, accumulate=False
    )


@plain()
def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """A vector as a diagonal matrix; the diagonal of a matrix as a vector (a copy)."""
    if input.ndim not in (1, 2):
        raise ShapeError(
            f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D; use diagonal or diag_embed."
        )
    found = diag_embed(input, diagonal) if input.ndim == 1 else _diagonal_copy(input, diagonal)
    return create.into(out, found, "diag")


def _diagonal_copy(input: Tensor, offset: int) -> Tensor:
    return diagonal(input, offset).clone()


@plain()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements, in order, on the diagonal of a matrix."""
    return diag_embed(flatten(input), offset)


# -- repetitions --------------------------------------------------------------------------------


def _repeated(input: Tensor, times: tuple[int, ...]) -> Tensor:
    lead = len(times) - input.ndim
    shape = (*(1,) * lead, *input.shape)
    apart = reshape_card(input, shape=tuple([n for s in shape for n in (1, s)]))
    wide = expand_card(apart, shape=tuple([n for p in zip(times, shape, strict=True) for n in p]))
    whole = reshape_card(wide, shape=tuple([k * n for k, n in zip(times, shape, strict=True)]))
    return whole.clone() if all(k == 1 for k in times) else whole


@op
def repeat(input: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """The tensor repeated along its dimensions (and new leading ones), as a copy.

    >>> import backlit
    >>> backlit.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = ints(sizes if repeats is None else (tuple(repeats),))
    if len(times) < input.ndim:
        raise ShapeError(
            "repeat: Number of dimensions of repeat dims can not be smaller than number of "
            f"dimensions of tensor: {len(times)} < {input.ndim}."
        )
    if min(times, default=0) < 0:
        raise ShapeError(f"repeat: Trying to create tensor with negative dimension: {list(times)}.")
    return _repeated(input, times)


@op
def tile(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """`repeat` with missing leading counts taken as 1."""
    times = ints(sizes if dims is None else (tuple(dims),))
    return _repeated(input, (*(1,) * (input.ndim - len(times)), *times))


@op(name="repeat_interleave", public=False)
def _interleaved(input: Tensor, times: int, dim: int) -> Tensor:
    shape = tuple(input.shape)
    wide = unsqueeze(input, dim + 1)
    wide = expand_card(wide, shape=(*shape[: dim + 1], times, *shape[dim + 1 :]))
    return reshape_card(wide, shape=(*shape[:dim], shape[dim] * times, *shape[dim + 1 :])).clone()


@op(name="repeat_interleave", public=False)
def _chosen(input: Tensor, where: Tensor, dim: int) -> Tensor:
    return index_card(input, where, dim=dim)


@plain()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated: a number of times, or as often as ``repeats`` says for it.

    >>> import backlit
    >>> backlit.tensor([1, 2]).repeat_interleave(2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        counts = _counts(input, input.shape[0] if input.ndim == 1 else -1)
        return create.from_array(np.repeat(np.arange(len(counts)), counts))
    x = flatten(input) if dim is None or not input.ndim else input
    at = 0 if dim is None else wrap_dim(dim, x.ndim, "repeat_interleave")
    if isinstance(repeats, Tensor) and repeats._var.numel == 1:
        repeats = repeats.item()
    if isinstance(repeats, int):
        if repeats < 0:
            raise ArgumentError(
                f"repeat_interleave: repeats has to be non-negative, got {repeats}."
            )
        return _interleaved(x, repeats, at)
    counts = _counts(repeats, x.shape[at])
    where = create.from_array(np.repeat(np.arange(x.shape[at]), counts))
    return _chosen(x, where, at)


def _counts(repeats: Any, n: int) -> Any:
    """``repeats`` as an array of ``n`` counts."""
    found = realize(repeats) if isinstance(repeats, Tensor) else np.asarray(repeats, np.int64)
    if found.dtype not in (np.int32, np.int64):
        raise DtypeError(f"repeat_interleave: repeats has to be int or long, got {found.dtype}.")
    if found.ndim != 1:
        raise ShapeError(
            f"repeat_interleave only accept 1D vector as repeat, got {found.ndim} dimensions."
        )
    if n >= 0 and len(found) != n:
        raise ShapeError(
            f"repeat_interleave: repeats must have the same size as input along dim, but "
            f"repeats.size(0) = {len(found)} and input.size(dim) = {n}."
        )
    if found.size and found.min() < 0:
        raise ArgumentError("repeat_interleave: repeats can not be negative.")
    return found
