"""Where extremes are: argmax and argmin, and max and min in their three forms."""

from __future__ import annotations

from typing import Any

from backlit.core.dtypes import bool_, int64
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.errors import DtypeError
from backlit.ops.index_cards import gather_card
from backlit.ops.reduce import amax_card, amin_card, nonempty_dims, reduced_shape, unspecified
from backlit.ops.returns import named

_AMinMax = named("aminmax", "min max")


@op(out=True)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest element, as a named tuple (min, max).

    >>> backlit.tensor([3, 1, 2]).aminmax().max
    tensor(3)
    """
    dims = nonempty_dims("aminmax", input, dim)
    return _AMinMax(
        amin_card(input, dims=dims, keepdim=keepdim), amax_card(input, dims=dims, keepdim=keepdim)
    )


# -- places of extremes ---------------------------------------------------------------------------


def _place(x: Value, dim: int, keepdim: bool) -> Spec:
    return reduced_shape(x, (dim,), keepdim), int64


def _place_text(node: Node, fields: dict[str, Any]) -> str:
    x, dim = node.args[0], node.attrs["dim"]
    keepdims = ", keepdims=True" if node.attrs["keepdim"] and x.ndim else ""
    axis = None if x.ndim < 2 else dim
    return f"np.{node.primitive.name}({fields['x']}, axis={axis}{keepdims})"


argmax_card = primitive(
    "argmax", "x", shape=_place, numpy=_place_text, maths="index of the first largest element"
)
argmin_card = primitive(
    "argmin", "x", shape=_place, numpy=_place_text, maths="index of the first smallest element"
)


def _arg_extreme(card: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    name = card.name
    if input.dtype is bool_:
        raise DtypeError(
            f'{name}(): "{name}" is not implemented for bool tensors; use x.int().{name}().'
        )
    nonempty_dims(name, input, dim)
    if dim is not None:
        found: Tensor = card(input, dim=wrap_dim(dim, input.ndim, name), keepdim=keepdim)
        return found
    found = card(input.reshape(-1), dim=0, keepdim=False)
    return found.reshape((1,) * input.ndim) if keepdim else found


@op(out=True)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first largest element along ``dim`` (of the flattened input by default).

    >>> backlit.tensor([[1, 5], [3, 4]]).argmax(dim=1)
    tensor([1, 1])
    """
    return _arg_extreme(argmax_card, input, dim, keepdim)


@op(out=True)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first smallest element along ``dim`` (of the flattened input by default).

    >>> backlit.tensor([[1, 5], [3, 4]]).argmin()
    tensor(0)
    """
    return _arg_extreme(argmin_card, input, dim, keepdim)


# -- max and min in their three forms -------------------------------------------------------------

_Max = named("max", "values indices")
_Min = named("min", "values indices")


def picked(x: Tensor, indices: Tensor, dim: int) -> Tensor:
    """The elements at ``indices`` along ``dim``; a 0-d tensor has one, at 0."""
    found: Tensor = gather_card(x, indices, dim=dim) if x.ndim else x.clone()
    return found


def taken(x: Tensor, indices: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The elements at ``indices``, which have ``dim`` as a singleton, and the indices."""
    values = picked(x, indices, dim)
    if keepdim or not x.ndim:
        return values, indices
    return values.squeeze(dim), indices.squeeze(dim)


def _extreme_along(op_name: str, card: Any, x: Tensor, dim: int, keepdim: bool) -> Any:
    nonempty_dims(op_name, x, dim)
    d = wrap_dim(dim, x.ndim, op_name)
    return taken(x, card(x, dim=d, keepdim=True), d, keepdim)


@op(out=True)
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along ``dim``, with its index; or of two tensors, elementwise.

    Along ``dim`` the gradient goes to the element at the index; of all elements, ties share it.

    >>> backlit.tensor([[1, 5], [3, 4]]).max(dim=0).indices
    tensor([1, 0])
    >>> backlit.max(backlit.tensor([1, 5]), backlit.tensor([3, 4]))
    tensor([3, 5])
    """
    other = dim if isinstance(dim, Tensor) else other
    if other is not None:
        return input.maximum(other)
    if dim is None:
        return _extreme_of_all("max", amax_card, input)
    return _Max(*_extreme_along("max", argmax_card, input, dim, keepdim))


@op(out=True)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along ``dim``, with its index; or of two tensors, elementwise.

    Along ``dim`` the gradient goes to the element at the index; of all elements, ties share it.

    >>> backlit.tensor([[1, 5], [3, 4]]).min(dim=0).values
    tensor([1, 4])
    """
    other = dim if isinstance(dim, Tensor) else other
    if other is not None:
        return input.minimum(other)
    if dim is None:
        return _extreme_of_all("min", amin_card, input)
    return _Min(*_extreme_along("min", argmin_card, input, dim, keepdim))


def _extreme_of_all(op_name: str, card: Any, x: Tensor) -> Tensor:
    if 0 in x.shape:
        raise unspecified(op_name, x)
    found: Tensor = card(x, dims=tuple(range(x.ndim)), keepdim=False)
    return found
