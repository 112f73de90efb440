"""Primitives that address elements by integer tensors: index, gather, and their writes."""

from __future__ import annotations

from typing import Any

from backlit.core.dtypes import int64
from backlit.core.primitive import Primitive, Spec, primitive
from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import DtypeError
from backlit.ops.movement import zeros


def _check_index(name: str, index: Value) -> None:
    if index.dtype.is_floating_point or index.dtype.name == "bool":
        raise DtypeError(
            f"{name}: Expected dtype int32 or int64 for index, got {index.dtype.name}; convert it "
            "with .long()."
        )


def _index_shape(x: Value, index: Value, dim: int) -> Spec:
    _check_index("index", index)
    return (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]), x.dtype


def _gather_shape(x: Value, index: Value, dim: int) -> Spec:
    _check_index("gather", index)
    return tuple(index.shape), x.dtype


def _zero(g: Tensor, shape: Any) -> Tensor:
    return zeros(tuple(shape), g.dtype)


wrap_index_card: Primitive = primitive(
    "wrap_index",
    "index",
    shape=lambda index, n: (tuple(index.shape), int64),
    numpy="ref.wrap_index({index}, {n})",
    maths="index + n where index < 0; checked to be within n",
)
index_card: Primitive = primitive(
    "index",
    "x index",
    shape=_index_shape,
    numpy="ref.index({x}, {index}, {dim})",
    vjp=(
        lambda g, x_shape, index, dim: index_write_card(
            _zero(g, x_shape), index, g, dim=dim, accumulate=True
        ),
        None,
    ),
    maths="x[index] along dim",
)
index_write_card: Primitive = primitive(
    "index_write",
    "base index new",
    shape=lambda base, index, new, dim, accumulate: (tuple(base.shape), base.dtype),
    numpy="ref.index_write({base}, {index}, {new}, {dim}, {accumulate})",
    vjp=(
        lambda g, index, new_shape, dim, accumulate: (
            g
            if accumulate
            else index_write_card(g, index, _zero(g, new_shape), dim=dim, accumulate=False)
        ),
        None,
        lambda g, index, dim: index_card(g, index, dim=dim),
    ),
    maths="base with new written (or added) at [index] along dim",
)
gather_card: Primitive = primitive(
    "gather",
    "x index",
    shape=_gather_shape,
    numpy="ref.gather({x}, {index}, {dim})",
    vjp=(
        lambda g, x_shape, index, dim: scatter_card(
            _zero(g, x_shape), index, g, dim=dim, reduce="sum"
        ),
        None,
    ),
    maths="x[…, index[…, i, …], …] along dim",
)


def _scatter_base(
    g: Tensor, base: Tensor, index: Tensor, new: Tensor, out: Tensor, dim: int, reduce: str
) -> Tensor:
    """The gradient of scatter with respect to the tensor that is written into."""
    from backlit.ops.scatter import extreme_share, product_base

    if reduce == "prod":
        return product_base(g, base, index, new, dim)
    return extreme_share(g, base, index, new, out, dim)[0]


def _scatter_new(
    g: Tensor, base: Tensor, index: Tensor, new: Tensor, out: Tensor, dim: int, reduce: str
) -> Tensor:
    """The gradient of scatter with respect to the values that are written."""
    from backlit.ops.scatter import extreme_share, product_new

    if reduce == "prod":
        return product_new(g, base, index, new, out, dim)
    return extreme_share(g, base, index, new, out, dim)[1]


scatter_card: Primitive = primitive(
    "scatter",
    "base index new",
    shape=lambda base, index, new, dim, reduce: (tuple(base.shape), base.dtype),
    numpy="ref.scatter({base}, {index}, {new}, {dim}, {reduce})",
    vjp=(
        lambda g, index, new_shape, dim, reduce: (
            g
            if reduce == "sum"
            else scatter_card(g, index, _zero(g, new_shape), dim=dim, reduce="set")
        ),
        None,
        lambda g, index, dim: gather_card(g, index, dim=dim),
    ),
    maths="base[…, index[…, i, …], …] = new (or +=) along dim",
)
scatter_reduce_card: Primitive = primitive(
    "scatter_reduce",
    "base index new",
    shape=lambda base, index, new, dim, reduce: (tuple(base.shape), base.dtype),
    numpy="ref.scatter({base}, {index}, {new}, {dim}, {reduce})",
    vjp=(_scatter_base, None, _scatter_new),
    maths="base combined with new at index along dim, by prod, amax or amin",
)
