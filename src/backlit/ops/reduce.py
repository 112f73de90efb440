"""Reductions: sums, products, extremes, truth, counts."""

from __future__ import annotations

from math import prod as product
from typing import Any

from backlit.core.dtypes import bool_, dtype, int64
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.size import wrap_dims
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.comparison import where_card
from backlit.ops.movement import inverse, permute_card

Dims = int | tuple[int, ...] | list[int] | None  # one dimension, several, or (None) all of them


# -- what reductions share ------------------------------------------------------------------------


def reduced_shape(x: Value, dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing ``dims``."""
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(x.shape))
    return tuple(n for i, n in enumerate(x.shape) if i not in dims)


def reduced_dims(op_name: str, x: Tensor, dim: Dims) -> tuple[int, ...]:
    """``dim`` as checked dimensions counted from the front; a 0-d tensor has none."""
    dims = wrap_dims(dim, x.ndim, op_name)
    return dims if x.ndim else ()


def keep(g: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """``g``, of the shape of a reduction over ``dims``, with those dimensions as singletons."""
    if keepdim:
        return g
    kept: Tensor = g.reshape(tuple(1 if i in dims else n for i, n in enumerate(shape)))
    return kept


def spread(g: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """``g``, the gradient of a reduction over ``dims``, repeated to ``shape``."""
    repeated: Tensor = keep(g, shape, dims, keepdim).expand(shape)
    return repeated


def _same(x: Value, dims: tuple[int, ...], keepdim: bool) -> Spec:
    return reduced_shape(x, dims, keepdim), x.dtype


def _widened(x: Value, dims: tuple[int, ...], keepdim: bool) -> Spec:
    """Sums and products of integers and truth values are int64."""
    return reduced_shape(x, dims, keepdim), x.dtype if x.dtype.is_floating_point else int64


def _reduce_text(ufunc: str, for_bool: str = "") -> Any:
    """NumPy source for a reduction by ``ufunc``; ``reduce`` skips the overhead of np.sum."""

    def text(node: Node, fields: dict[str, Any]) -> str:
        dims, x = node.attrs["dims"], node.args[0]
        name = for_bool if for_bool and x.dtype is bool_ else ufunc
        axis = None if len(dims) == x.ndim else dims[0] if len(dims) == 1 else dims
        keepdims = ", keepdims=True" if node.attrs["keepdim"] else ""
        wide = ", dtype=np.int64" if node.outs[0].dtype is not x.dtype else ""
        return f"np.{name}.reduce({fields['x']}, axis={axis}{keepdims}{wide})"

    return text


# -- sums -----------------------------------------------------------------------------------------


def _sum_vjp(g: Tensor, x_shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return spread(g, x_shape, dims, keepdim)


sum_card = primitive(
    "sum",
    "x",
    shape=_widened,
    numpy=_reduce_text("add"),
    vjp=(_sum_vjp,),
    upcast=True,
    maths="Σ x",
    local="1",
)


@op(out=True)
def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The sum over ``dim`` (all dimensions by default); integers are summed in int64.

    >>> backlit.tensor([[1, 2], [3, 4]]).sum(0)
    tensor([4, 6])
    """
    dims = reduced_dims("sum", input, dim)
    x = input if dtype is None else input.to(dtype)
    total: Tensor = sum_card(x, dims=dims, keepdim=keepdim)
    return total if dtype is None else total.to(dtype)


@op(out=True)
def nansum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The sum over ``dim`` with NaN counted as zero.

    >>> backlit.tensor([1.0, float("nan"), 2.0]).nansum()
    tensor(3.)
    """
    return sum(_zero_for_nan(input), dim, keepdim, dtype=dtype)


def _zero_for_nan(x: Tensor) -> Tensor:
    filled: Tensor = where_card(x != x, 0, x) if x.dtype.is_floating_point else x
    return filled


@op(out=True)
def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The mean over ``dim`` (all dimensions by default).

    >>> backlit.tensor([[1.0, 2.0], [3.0, 6.0]]).mean(1)
    tensor([1.5000, 4.5000])

    Raises:
        DtypeError: for integers and truth values, unless ``dtype`` is floating.
    """
    x = input if dtype is None else input.to(dtype)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            "mean(): could not infer output dtype. Input dtype must be a floating point dtype. "
            f"Got: {x.dtype.name}; convert the input first, as in x.float().mean()."
        )
    dims = reduced_dims("mean", x, dim)
    count = product(x.shape[d] for d in dims)
    total: Tensor = sum_card(x, dims=dims, keepdim=keepdim)
    return total / float(count) if count else total * float("nan")


@op(out=True)
def nanmean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The mean over ``dim`` of the elements that are not NaN.

    >>> backlit.tensor([1.0, float("nan"), 2.0]).nanmean()
    tensor(1.5000)
    """
    if not input.dtype.is_floating_point:
        raise DtypeError(
            "nanmean(): expected input to have floating point dtype but got "
            f"{input.dtype.name}; convert the input first, as in x.float().nanmean()."
        )
    count = sum(input == input, dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


# -- products -------------------------------------------------------------------------------------


def _prod_vjp(
    g: Tensor, x: Tensor, x_shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool
) -> Tensor:
    """Each element's factor is the product of all others, taken without dividing by it."""
    from backlit.ops.scan import product_of_others

    if not dims:
        return g
    if len(dims) == 1:
        others = product_of_others(x, dims[0])
    else:  # the reduced dimensions as one, and back
        order = (*(i for i in range(len(x_shape)) if i not in dims), *dims)
        rows = permute_card(x, dims=order)
        flat = rows.reshape((*rows.shape[: -len(dims)], product(rows.shape[-len(dims) :])))
        rows = product_of_others(flat, flat.ndim - 1).reshape(rows.shape)
        others = permute_card(rows, dims=inverse(order))
    return spread(g, x_shape, dims, keepdim) * others


prod_card = primitive(
    "prod",
    "x",
    shape=_widened,
    numpy=_reduce_text("multiply"),
    vjp=(_prod_vjp,),
    upcast=True,
    maths="Π x",
    local="product of the other elements",
)


@op(out=True)
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The product over ``dim`` (all dimensions by default).

    >>> backlit.tensor([[1, 2], [3, 4]]).prod(1)
    tensor([ 2, 12])
    """
    dims = reduced_dims("prod", input, dim)
    x = input if dtype is None else input.to(dtype)
    found: Tensor = prod_card(x, dims=dims, keepdim=keepdim)
    return found if dtype is None else found.to(dtype)


# -- extremes -------------------------------------------------------------------------------------


def _extreme_vjp(
    g: Tensor,
    x: Tensor,
    out: Tensor,
    x_shape: tuple[int, ...],
    dims: tuple[int, ...],
    keepdim: bool,
) -> Tensor:
    """Elements that tie for the extreme share its gradient equally."""
    reached = (x == keep(out, x_shape, dims, keepdim)).to(g.dtype)
    shared: Tensor = keep(g, x_shape, dims, keepdim) * reached
    return shared / sum_card(reached, dims=dims, keepdim=True)


amax_card = primitive(
    "amax",
    "x",
    shape=_same,
    numpy=_reduce_text("maximum", for_bool="logical_or"),
    vjp=(_extreme_vjp,),
    upcast=True,
    maths="max x",
    local="1 / number of ties where x is largest, else 0",
)
amin_card = primitive(
    "amin",
    "x",
    shape=_same,
    numpy=_reduce_text("minimum", for_bool="logical_and"),
    vjp=(_extreme_vjp,),
    upcast=True,
    maths="min x",
    local="1 / number of ties where x is smallest, else 0",
)


def nonempty_dims(op_name: str, x: Tensor, dim: Dims) -> tuple[int, ...]:
    """The dimensions to reduce by an op that has no value for no elements."""
    dims = reduced_dims(op_name, x, dim)
    if any_empty(x.shape, dims):
        if dim is None or (not isinstance(dim, int) and not dim):
            raise unspecified(op_name, x)
        raise IndexOutOfRange(
            f"{op_name}(): Expected reduction dim {dim} to have non-zero size, but input is "
            f"{tuple(x.shape)}."
        )
    return dims


def unspecified(op_name: str, x: Tensor) -> Exception:
    return ArgumentError(
        f"{op_name}(): Expected reduction dim to be specified for input.numel() == 0 "
        f"(input {tuple(x.shape)}). Specify the reduction dim with the 'dim' argument, and choose "
        "one of size at least 1."
    )


def any_empty(shape: tuple[int, ...], dims: tuple[int, ...]) -> bool:
    """Whether a reduction over ``dims`` combines no elements at all."""
    return product(shape[d] for d in dims) == 0


@op(out=True)
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest element over ``dim``; ties share the gradient.

    >>> backlit.tensor([[1, 5], [3, 4]]).amax(1)
    tensor([5, 4])
    """
    dims = nonempty_dims("amax", input, dim)
    found: Tensor = amax_card(input, dims=dims, keepdim=keepdim)
    return found


@op(out=True)
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest element over ``dim``; ties share the gradient.

    >>> backlit.tensor([[1, 5], [3, 4]]).amin(1)
    tensor([1, 3])
    """
    dims = nonempty_dims("amin", input, dim)
    found: Tensor = amin_card(input, dims=dims, keepdim=keepdim)
    return found


# -- truth and counts -----------------------------------------------------------------------------


def _truth(op_name: str, card: Any, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    dims = reduced_dims(op_name, input, dim)
    x = input if input.dtype is bool_ else input != 0
    found: Tensor = card(x, dims=dims, keepdim=keepdim)
    return found.to(input.dtype) if input.dtype.name == "uint8" else found


@op(out=True)
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether every element over ``dim`` is true (not zero).

    >>> backlit.tensor([[1, 0], [3, 4]]).all(dim=1)
    tensor([False,  True])
    """
    return _truth("all", amin_card, input, dim, keepdim)


@op(out=True)
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether some element over ``dim`` is true (not zero).

    >>> backlit.tensor([[0, 0], [3, 4]]).any(dim=1)
    tensor([False,  True])
    """
    return _truth("any", amax_card, input, dim, keepdim)


@op
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements over ``dim`` are not zero.

    >>> backlit.tensor([[1, 0], [3, 4]]).count_nonzero()
    tensor(3)
    """
    return sum(input != 0, dim)


@op
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix.

    >>> backlit.tensor([[1, 2], [3, 4]]).trace()
    tensor(5)
    """
    if input.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}.")
    return sum(input.diagonal())


# -- log-sum-exp ----------------------------------------------------------------------------------


@op(out=True)
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """``ln Σ exp(x)`` over ``dim``, without overflow.

    >>> backlit.tensor([1000.0, 1000.0]).logsumexp(0)
    tensor(1000.6932)
    """
    x = input if input.dtype.is_floating_point else input.to(_default())
    dims = reduced_dims("logsumexp", x, dim)
    if any_empty(x.shape, dims):
        return sum(x.exp(), dims, keepdim).log()
    largest: Tensor = amax_card(x, dims=dims, keepdim=True).detach()
    largest = where_card(largest.abs() == float("inf"), 0, largest)
    total: Tensor = sum_card((x - largest).exp(), dims=dims, keepdim=keepdim).log()
    return total + (largest if keepdim else largest.reshape(total.shape))


def _default() -> dtype:
    from backlit.core.dtypes import get_default_dtype

    return get_default_dtype()
