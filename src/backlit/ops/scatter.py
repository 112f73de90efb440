"""Writing elements by integer tensors or masks: scatter, index_add and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core import create
from backlit.core.dtypes import int64
from backlit.core.era import local, realize
from backlit.core.inplace import rebind, to_dtype
from backlit.core.op import op, plain
from backlit.core.registry import PUBLIC
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor, realized
from backlit.core.value import Number
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.gather import check_gather, check_index, check_known, check_mask, emptied, lifted
from backlit.ops.index_cards import (
    gather_card,
    index_write_card,
    scatter_card,
    scatter_reduce_card,
    wrap_index_card,
)
from backlit.ops.movement import expand_card, reshape_card, slice_card, zeros
from backlit.ops.shape_join import expanded

_COMBINE = {"add": "sum", "multiply": "prod"}
_REDUCE = ("sum", "prod", "mean", "amax", "amin")


def _where(condition: Tensor, x: Any, y: Any) -> Tensor:
    made: Tensor = PUBLIC["where"](condition, x, y)
    return made


# -- gradient rules of scatter_reduce -----------------------------------------------------------


def _product(base: Tensor, index: Tensor, new: Tensor, dim: int) -> Tensor:
    return scatter_reduce_card(base, index, new, dim=dim, reduce="prod")


def product_base(g: Tensor, base: Tensor, index: Tensor, new: Tensor, dim: int) -> Tensor:
    """The gradient of a product with respect to its first factor: the product of the others."""
    ones = spread_value(1, base, tuple(base.shape))
    return g * _product(ones, index, new, dim)


def product_new(
    g: Tensor, base: Tensor, index: Tensor, new: Tensor, out: Tensor, dim: int
) -> Tensor:
    """The gradient of a product with respect to each of its other factors.

    Where exactly one factor is 0 it alone has a gradient: the product of the others.
    """
    zero = new == 0
    none = zeros(tuple(base.shape), base.dtype)
    zeros_there = gather_card(
        scatter_card(none, index, zero.to(base.dtype), dim=dim, reduce="sum"), index, dim=dim
    )
    single = zero & (zeros_there == 1)
    others = _product(base, index, _where(single, 1, new), dim)
    at_single = gather_card(g * others, index, dim=dim)
    elsewhere = gather_card(g * out, index, dim=dim) / _where(zero, 1, new)
    return _where(single, at_single, elsewhere)


def extreme_share(
    g: Tensor, base: Tensor, index: Tensor, new: Tensor, out: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """The gradients of a maximum or minimum, shared equally among the elements that attain it."""
    own = (base == out).to(g.dtype)
    hit = (new == gather_card(out, index, dim=dim)).to(g.dtype)
    share = g / scatter_card(own, index, hit, dim=dim, reduce="sum")
    return share * own, gather_card(share, index, dim=dim) * hit


# -- scatter ------------------------------------------------------------------------------------


def _fitted(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``src`` cut to the shape of ``index``, once the shapes are known to fit."""
    check_index(name, index)
    if src.dtype is not input.dtype:
        raise DtypeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, got {input.dtype.name} and "
            f"{src.dtype.name}."
        )
    if not index.numel():
        return emptied(src, tuple(index.shape))
    check_gather(name, input, dim, index)
    if max(src.ndim, 1) != max(index.ndim, 1):
        raise ShapeError(
            f"{name}(): Index tensor must have the same number of dimensions as src tensor, got "
            f"{index.ndim} and {src.ndim}."
        )
    sizes = list(zip(src.shape, index.shape, strict=False))
    if any(n < m for n, m in sizes):
        raise ShapeError(
            f"{name}(): Expected index {list(index.shape)} to be no larger than src "
            f"{list(src.shape)}."
        )
    dims = tuple([d for d, (n, m) in enumerate(sizes) if n != m])
    if not dims:
        return src
    lengths = tuple([index.shape[d] for d in dims])
    return slice_card(src, *(0 for _ in dims), dims=dims, lengths=lengths, steps=(1,) * len(dims))


def _scattered(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    """Scatter inside a composite; 0-d operands count as vectors of one element."""
    if not index.numel():
        return input.clone()
    card = scatter_card if reduce in ("set", "sum") else scatter_reduce_card
    made = card(lifted(input), lifted(index), lifted(src), dim=dim, reduce=reduce)
    return made if input.ndim else reshape_card(made, shape=())


@op(name="scatter", public=False)
def _scatter(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    at = wrap_dim(dim, input.ndim, "scatter")
    return _scattered(input, at, index, _fitted("scatter", input, at, index, src), reduce)


@op(name="scatter", public=False)
def _scatter_value(input: Tensor, dim: int, index: Tensor, value: Number, reduce: str) -> Tensor:
    at = wrap_dim(dim, input.ndim, "scatter")
    check_index("scatter", index)
    if index.numel():
        check_gather("scatter", input, at, index)
    return _scattered(input, at, index, spread_value(value, input, tuple(index.shape)), reduce)


def spread_value(value: Any, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A number (or 0-d tensor) in the dtype of ``like``, expanded to ``shape``."""
    x = value if isinstance(value, Tensor) else local.era.constant(value, like.dtype)
    return expand_card(to_dtype(x, like.dtype), shape=shape)


@plain(inplace=True)
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``out[index[i, j], j] = src[i, j]`` (for dim 0).

    >>> import backlit
    >>> backlit.zeros(3).scatter(0, backlit.tensor([2]), 1.0)
    tensor([0., 0., 1.])
    """
    if reduce is not None and reduce not in _COMBINE:
        raise ArgumentError(
            f"scatter: reduce argument must be either add or multiply, got {reduce!r}."
        )
    how = _COMBINE[reduce] if reduce is not None else "set"
    given = value if src is None else src
    check_known("scatter", input, dim, index)
    if isinstance(given, Tensor):
        return create.into(out, _scatter(input, dim, index, given, how), "scatter")
    if not isinstance(given, (bool, int, float)):
        raise TypeError(
            f"scatter(): argument 'src' must be Tensor or a number, not {type(given).__name__}."
        )
    return create.into(out, _scatter_value(input, dim, index, given, how), "scatter")


@op(name="scatter_add", public=False)
def _scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    at = wrap_dim(dim, input.ndim, "scatter_add")
    return _scattered(input, at, index, _fitted("scatter_add", input, at, index, src), "sum")


@plain(inplace=True)
def scatter_add(
    input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """A copy of ``input`` with ``src[i, j]`` added to ``out[index[i, j], j]`` (for dim 0).

    >>> import backlit
    >>> backlit.zeros(2).scatter_add(0, backlit.tensor([1, 1]), backlit.ones(2))
    tensor([0., 2.])
    """
    check_known("scatter_add", input, dim, index)
    return create.into(out, _scatter_add(input, dim, index, src), "scatter_add")


_START = {"sum": 0, "mean": 0, "prod": 1}


def _identity(reduce: str, input: Tensor) -> Any:
    """The number that leaves ``reduce`` unchanged."""
    if reduce in _START:
        return _START[reduce]
    low = reduce == "amax"
    if input.dtype.is_floating_point:
        return -np.inf if low else np.inf
    if input.dtype.name == "bool":
        return not low
    limits = np.iinfo(input.dtype.numpy)
    return limits.min if low else limits.max


@op(out=True, inplace=True)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of ``input`` with ``src`` combined in by sum, prod, mean, amax or amin."""
    if reduce not in _REDUCE:
        raise ArgumentError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce!r}."
        )
    at = wrap_dim(dim, input.ndim, "scatter_reduce")
    part = _fitted("scatter_reduce", input, at, index, src)
    return _combined(input, at, index, part, reduce, include_self)


def _combined(
    input: Tensor, dim: int, index: Tensor, part: Tensor, reduce: str, include_self: bool
) -> Tensor:
    if not index.numel():
        return input.clone()
    shape = tuple(index.shape)
    base = input
    if not include_self:
        start = spread_value(_identity(reduce, input), input, shape)
        base = _scattered(input, dim, index, start, "set")
    if reduce != "mean":
        return _scattered(base, dim, index, part, reduce)
    total = _scattered(base, dim, index, part, "sum")
    ones = zeros(tuple(input.shape), input.dtype) + 1
    counted = (
        ones if include_self else _scattered(ones, dim, index, zeros(shape, ones.dtype), "set")
    )
    counts = _scattered(counted, dim, index, zeros(shape, ones.dtype) + 1, "sum")
    counts = _where(counts < 1, 1, counts)
    if input.dtype.is_floating_point:
        return total / counts
    floored: Tensor = PUBLIC["floor_divide"](total, counts)
    return floored


# -- whole slices along a dimension -------------------------------------------------------------


def _check_slices(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    check_index(name, index)
    if index.ndim > 1:
        raise IndexOutOfRange(
            f"{name}(): Index is supposed to be a vector, but got dim: {index.ndim}."
        )
    if source.dtype is not input.dtype:
        raise DtypeError(
            f"{name}(): self and source expected to have the same dtype, but got (self) "
            f"{input.dtype.name} and (source) {source.dtype.name}."
        )
    expected = (*input.shape[:dim], index.numel(), *input.shape[dim + 1 :]) if input.ndim else ()
    given = tuple(source.shape)
    single = index.numel() == source.numel() == 1 and (input.numel() == 1 or input.ndim == 1)
    if given != expected and not single:
        raise ShapeError(
            f"{name}(): Source/destination tensor must have same slice shapes. Expected source of "
            f"shape {list(expected)} for {index.numel()} indices at dim {dim}, got {list(given)}."
        )


def _write_slices(
    input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool
) -> Tensor:
    x, where = lifted(input), lifted(index)
    shape = (*x.shape[:dim], where.shape[0], *x.shape[dim + 1 :])
    new = reshape_card(source, shape=shape) if tuple(source.shape) != shape else source
    made = index_write_card(x, where, new, dim=dim, accumulate=accumulate)
    return made if input.ndim else reshape_card(made, shape=())


@op(out=True, inplace=True)
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1
) -> Tensor:
    """A copy of ``input`` with ``alpha * source`` added at ``index`` along ``dim``.

    >>> import backlit
    >>> backlit.zeros(3).index_add(0, backlit.tensor([1, 1]), backlit.ones(2))
    tensor([0., 2., 0.])
    """
    at = wrap_dim(dim, input.ndim, "index_add")
    _check_slices("index_add", input, at, index, source)
    plain_sum = not isinstance(alpha, Tensor) and alpha == 1
    scaled = source if plain_sum else (source * alpha).to(input.dtype)
    return _write_slices(input, at, index, scaled, True)


@op(out=True, inplace=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with ``source`` written at ``index`` along ``dim``."""
    at = wrap_dim(dim, input.ndim, "index_copy")
    _check_slices("index_copy", input, at, index, source)
    return _write_slices(input, at, index, source, False)


@op(inplace=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Number) -> Tensor:
    """A copy of ``input`` with one value written at ``index`` along ``dim``."""
    at = wrap_dim(dim, input.ndim, "index_fill")
    check_index("index_fill", index)
    if index.ndim > 1:
        raise IndexOutOfRange("index_fill(): Index has to be a vector/scalar.")
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    n = input.shape[at] if input.ndim else 1
    off = local.era.constant(np.zeros(n, np.bool_))
    chosen = wrap_index_card(lifted(index), n=n)
    on = expand_card(local.era.constant(True), shape=tuple(chosen.shape))
    mask = index_write_card(off, chosen, on, dim=0, accumulate=False)
    along = tuple([n if d == at else 1 for d in range(input.ndim)])
    return _where(reshape_card(mask, shape=along), spread_value(value, input, ()), input)


@op(out=True, inplace=True)
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
    include_self: bool = True,
) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``source`` combined in at ``index`` by prod, mean, amax or amin."""
    if reduce not in _REDUCE or reduce == "sum":
        raise ArgumentError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin, got "
            f"{reduce!r}."
        )
    at = wrap_dim(dim, input.ndim, "index_reduce")
    _check_slices("index_reduce", input, at, index, source)
    x, where = lifted(input), lifted(index)
    shape = (*x.shape[:at], where.shape[0], *x.shape[at + 1 :])
    column = tuple([where.shape[0] if d == at else 1 for d in range(x.ndim)])
    wide = expanded(reshape_card(where, shape=column), shape)
    new = reshape_card(source, shape=shape)
    made = _combined(x, at, wide, new, reduce, include_self)
    return made if input.ndim else reshape_card(made, shape=())


# -- all elements as one vector, and masks ------------------------------------------------------


@op(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``source`` written at ``index``, counted through all elements."""
    check_index("put", index)
    if source.dtype is not input.dtype:
        raise DtypeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.dtype.name} and source.dtype = {source.dtype.name}."
        )
    if index.numel() != source.numel():
        raise ShapeError(
            f"put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.numel()}, index.numel() = {index.numel()}."
        )
    n = input.numel()
    if n == 0 and index.numel():
        raise IndexOutOfRange("put_(): tried to put elements into an empty tensor.")
    flat = reshape_card(input, shape=(n,))
    where = wrap_index_card(reshape_card(index, shape=(index.numel(),)), n=n)
    new = reshape_card(source, shape=(source.numel(),))
    made = index_write_card(flat, where, new, dim=0, accumulate=accumulate)
    return reshape_card(made, shape=tuple(input.shape))


@op(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Number) -> Tensor:
    """A copy of ``input`` with ``value`` where ``mask`` (broadcast) is True.

    >>> import backlit
    >>> backlit.ones(2).masked_fill(backlit.tensor([True, False]), 7)
    tensor([7., 1.])
    """
    if not isinstance(mask, Tensor) or mask.dtype.name != "bool":
        found = mask.dtype.name if isinstance(mask, Tensor) else type(mask).__name__
        raise DtypeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {found}."
        )
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        if value.dtype.is_floating_point and not input.dtype.is_floating_point:
            raise DtypeError(
                f"masked_fill: value of dtype {value.dtype.name} cannot be converted to "
                f"{input.dtype.name} without overflow; give an integer."
            )
    return _where(mask, spread_value(value, input, ()), input)


@op(name="masked_scatter", public=False)
def _filled_from(input: Tensor, where: Tensor, source: Tensor, shape: tuple[int, ...]) -> Tensor:
    x = expanded(input, shape)
    flat = reshape_card(x, shape=(x.numel(),))
    given = reshape_card(source, shape=(source.numel(),))
    part = slice_card(given, 0, dims=(0,), lengths=(where.shape[0],), steps=(1,))
    made = index_write_card(flat, where, part, dim=0, accumulate=False)
    return reshape_card(made, shape=shape)


@plain(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with the elements of ``source``, in order, where ``mask`` is True."""
    from backlit.core.size import broadcast

    check_mask("masked_scatter", mask)
    if source.dtype is not input.dtype:
        raise DtypeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{input.dtype.name} and {source.dtype.name}."
        )
    shape = broadcast("masked_scatter", tuple(input.shape), tuple(mask.shape))
    where = np.flatnonzero(np.broadcast_to(realize(mask), shape))
    if len(where) > source._var.numel:
        raise ShapeError(
            "masked_scatter: Number of elements of source < number of ones in mask: "
            f"{source._var.numel} < {len(where)}."
        )
    return _filled_from(input, realized(where, int64), source, shape)


@op(out=True)
def fill(input: Tensor, value: Number) -> Tensor:
    """A tensor like ``input`` with one value everywhere."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value.ndim} dimensions."
        )
    return _where(local.era.constant(True), spread_value(value, input, ()), input)


@plain(name="fill_")
def fill_(input: Tensor, value: Any) -> Tensor:
    """Write one value everywhere."""
    return rebind(input, fill(input, value), "fill_")


@plain(name="zero_")
def zero_(input: Tensor) -> Tensor:
    """Write zeros everywhere."""
    return rebind(input, fill(input, 0), "zero_")
