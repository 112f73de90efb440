"""Reading elements by integer tensors or masks: select, gather, take, nonzero, one-hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core import create
from backlit.core.dtypes import int64
from backlit.core.era import Era, local, realize
from backlit.core.op import op, plain
from backlit.core.registry import PUBLIC
from backlit.core.size import broadcast, wrap_dim
from backlit.core.tensor import Tensor, realized
from backlit.core.trace import Tracer
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.index_cards import gather_card, index_card, wrap_index_card
from backlit.ops.movement import reshape_card, slice_card
from backlit.ops.shape_join import expanded


def check_index(name: str, index: Any) -> None:
    """Raise unless ``index`` is a tensor of int64 or int32."""
    if not isinstance(index, Tensor):
        raise TypeError(
            f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}; make one with "
            "backlit.tensor(...)."
        )
    if index.dtype.name not in ("int64", "int32"):
        raise DtypeError(
            f"{name}(): Expected dtype int64 for index, got {index.dtype.name}; convert it with "
            ".long()."
        )


def lifted(x: Tensor) -> Tensor:
    """A 0-d tensor as a vector of one element, inside a composite."""
    return x if x.ndim else reshape_card(x, shape=(1,))


def emptied(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """None of the elements of ``x``, as a tensor of a shape without elements."""
    flat = reshape_card(x, shape=(x.numel(),))
    return reshape_card(slice_card(flat, 0, dims=(0,), lengths=(0,), steps=(1,)), shape=shape)


@op(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The elements of ``dim`` at ``index``, a vector.

    >>> import backlit
    >>> backlit.tensor([5, 6, 7]).index_select(0, backlit.tensor([2, 0]))
    tensor([7, 5])
    """
    check_index("index_select", index)
    if index.ndim > 1:
        raise IndexOutOfRange(
            f"index_select(): Index is supposed to be a vector, got {index.ndim} dimensions."
        )
    at = wrap_dim(dim, input.ndim, "index_select")
    found = index_card(lifted(input), lifted(index), dim=at)
    return found if input.ndim else reshape_card(found, shape=())


def check_known(name: str, input: Tensor, dim: int, index: Any) -> None:
    """Raise at once where the values of ``index`` are known and outside of ``dim``."""
    check = isinstance(index, Tensor) and isinstance(local.era, Era) and index.ndim == input.ndim
    array = index._data if check else None
    if array is None or not array.size or not input.ndim or array.dtype.kind != "i":
        return
    at = wrap_dim(dim, input.ndim, name)
    n, low, high = input.shape[at], int(array.min()), int(array.max())
    if low < 0 or high >= n:
        raise IndexOutOfRange(
            f"{name}(): index {high if high >= n else low} is out of bounds for dimension {at} "
            f"with size {n}."
        )


def check_gather(name: str, input: Tensor, dim: int, index: Tensor) -> None:
    """Raise unless ``index`` has the rank of ``input`` and fits within its other dimensions."""
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise ShapeError(
            f"{name}(): Index tensor must have the same number of dimensions as input tensor, got "
            f"{index.ndim} and {input.ndim}."
        )
    for d, (n, m) in enumerate(zip(index.shape, input.shape, strict=False)):
        if d != dim and n > m:
            raise ShapeError(
                f"{name}(): Size does not match at dimension {d} expected index "
                f"{list(index.shape)} to be no larger than self {list(input.shape)} apart from "
                f"dimension {dim}."
            )


@op(name="gather", public=False)
def _gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    at = wrap_dim(dim, input.ndim, "gather")
    if isinstance(index, Tensor) and index.numel() == 0:
        return emptied(input, tuple(index.shape))
    check_index("gather", index)
    check_gather("gather", input, at, index)
    found = gather_card(lifted(input), lifted(index), dim=at)
    return found if index.ndim else reshape_card(found, shape=())


@plain()
def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None
) -> Tensor:
    """``out[i, j] = input[index[i, j], j]`` for dim 0, and so on.

    >>> import backlit
    >>> backlit.tensor([[1, 2], [3, 4]]).gather(1, backlit.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    if out is not None and out.dtype is not input.dtype:
        raise DtypeError(
            f"gather(): Expected out tensor to have dtype {input.dtype.name}, but got "
            f"{out.dtype.name} instead."
        )
    check_known("gather", input, dim, index)
    return create.into(out, _gather(input, dim, index), "gather")


@op(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at ``index``, counted through all of ``input``.

    >>> import backlit
    >>> backlit.tensor([[1, 2], [3, 4]]).take(backlit.tensor([3, 0]))
    tensor([4, 1])
    """
    check_index("take", index)
    n = input.numel()
    if n == 0 and index.numel():
        raise IndexOutOfRange("take(): tried to take from an empty tensor.")
    where = wrap_index_card(index, n=n)
    return index_card(reshape_card(input, shape=(n,)), where, dim=0)


@op(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` whose input and indices broadcast against each other."""
    check_index("take_along_dim", indices)
    if dim is None:
        return take(input, reshape_card(indices, shape=(indices.numel(),)))
    if input.ndim != indices.ndim:
        raise ShapeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices."
        )
    at = wrap_dim(dim, input.ndim, "take_along_dim")
    shape = broadcast("take_along_dim", _one(input, at), _one(indices, at))
    x = expanded(input, (*shape[:at], input.shape[at], *shape[at + 1 :]))
    where = expanded(indices, (*shape[:at], indices.shape[at], *shape[at + 1 :]))
    return gather(x, at, wrap_index_card(where, n=x.shape[at]))


def _one(x: Tensor, dim: int) -> tuple[int, ...]:
    return (*x.shape[:dim], 1, *x.shape[dim + 1 :])


# -- what depends on values ---------------------------------------------------------------------


@op(name="masked_select", public=False)
def _taken(input: Tensor, where: Tensor, shape: tuple[int, ...]) -> Tensor:
    x = expanded(input, shape)
    return index_card(reshape_card(x, shape=(x.numel(),)), where, dim=0)


@plain()
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where ``mask`` (broadcast) is True, in order, as a vector.

    >>> import backlit
    >>> x = backlit.tensor([1, 2, 3])
    >>> x.masked_select(backlit.tensor([True, False, True]))
    tensor([1, 3])
    """
    check_mask("masked_select", mask)
    shape = broadcast("masked_select", tuple(input.shape), tuple(mask.shape))
    where = np.flatnonzero(np.broadcast_to(realize(mask), shape))
    return create.into(out, _taken(input, realized(where, int64), shape), "masked_select")


def check_mask(name: str, mask: Any) -> None:
    """Raise unless ``mask`` is a bool tensor."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}(): argument 'mask' must be Tensor, not {type(mask).__name__}.")
    if mask.dtype.name != "bool":
        raise DtypeError(
            f"{name}: expected BoolTensor for mask, got {mask.dtype.name}; compare it, as in "
            "mask != 0."
        )


@plain()
def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The indices of the elements that are not zero, one row (or tuple of columns) each.

    >>> import backlit
    >>> backlit.tensor([0, 5, 6]).nonzero()
    tensor([[1],
            [2]])
    """
    array = realize(input)
    if as_tuple:
        found = np.nonzero(np.atleast_1d(array))
        return tuple([realized(i, int64) for i in found])
    return create.into(out, realized(np.argwhere(array), int64), "nonzero")


@plain()
def nonzero_static(
    input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None
) -> Tensor:
    """`nonzero` cut or filled up to ``size`` rows."""
    if size < 0:
        raise ArgumentError(f"nonzero_static: 'size' must be an non-negative integer, got {size}.")
    found = np.argwhere(realize(input))[:size]
    rows = np.full((size, input.ndim), fill_value, np.int64)
    rows[: len(found)] = found
    return create.into(out, realized(rows, int64), "nonzero_static")


@plain()
def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, one row each."""
    made: Tensor = nonzero(input)
    return made


@plain(name="nn.functional.one_hot", method=False)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the place that each class number names, 0 elsewhere; a new last dimension.

    >>> import backlit
    >>> one_hot(backlit.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not int64:
        raise DtypeError(
            f"one_hot is only applicable to index tensor of type LongTensor, got "
            f"{tensor.dtype.name}; convert it with .long()."
        )
    if isinstance(local.era, Tracer):
        classes = local.era.constant(np.arange(num_classes), int64)
        hit = PUBLIC["eq"](reshape_card(tensor, shape=(*tensor.shape, 1)), classes)
        made: Tensor = hit.to(int64)
        return made
    array = realize(tensor)
    if not array.size and num_classes <= 0:
        raise ArgumentError("one_hot: Can not infer total number of classes from empty tensor.")
    if array.size and array.min() < 0:
        raise ArgumentError("one_hot: Class values must be non-negative.")
    if num_classes == 0 or num_classes < -1:
        raise ArgumentError(f"one_hot: num_classes should be positive, got {num_classes}.")
    n = num_classes if num_classes > 0 else int(array.max()) + 1
    if array.size and array.max() >= n:
        raise ArgumentError(
            f"one_hot: Class values must be smaller than num_classes, got {array.max()} for "
            f"num_classes={n}."
        )
    return realized((array[..., None] == np.arange(n)).astype(np.int64), int64)
