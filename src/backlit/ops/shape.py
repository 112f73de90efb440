"""Ops that show the same elements in another shape: views wherever PyTorch makes views."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any

from backlit.core.dtypes import dtype as Dtype
from backlit.core.era import local
from backlit.core.op import op, plain
from backlit.core.size import Size, broadcast, wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.trace import Tracer
from backlit.errors import ArgumentError, ShapeError
from backlit.ops.movement import detach_card, expand_card, permute_card, reshape_card
from backlit.ops.shape_strides import layout_of, viewed_strides

# -- arguments ----------------------------------------------------------------------------------


def ints(args: Any) -> tuple[int, ...]:
    """Sizes given as separate integers or as one tuple or list.

    >>> ints((2, 3)), ints(((2, 3),))
    ((2, 3), (2, 3))
    """
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    return tuple([index(a) for a in args])


def infer_shape(op_name: str, shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """``shape`` with its -1, if any, filled in.

    >>> infer_shape("view", (2, -1), 6)
    (2, 3)
    """
    if shape.count(-1) > 1:
        raise ShapeError(f"{op_name}: only one dimension can be inferred (-1), got {list(shape)}.")
    known = prod(n for n in shape if n != -1)
    if -1 in shape and known == 0 and numel == 0:
        raise ShapeError(
            f"{op_name}: cannot reshape tensor of 0 elements into shape {list(shape)} because the "
            "unspecified dimension size -1 can be any value and is ambiguous; give every size."
        )
    valid = numel % known == 0 if -1 in shape and known > 0 else known == numel
    if not valid or min(shape, default=0) < -1:
        raise ShapeError(
            f"{op_name}: shape '{list(shape)}' is invalid for input of size {numel}; the sizes "
            "must multiply to it."
        )
    return tuple(numel // known if n == -1 else n for n in shape)


def check_matrix(op_name: str, input: Tensor, least: int) -> None:
    """Raise unless ``input`` has at least ``least`` dimensions."""
    if input.ndim < least:
        raise ArgumentError(
            f"{op_name}: input tensor must have at least {least} dimensions, got {input.ndim}."
        )


# -- reshape ------------------------------------------------------------------------------------


@op(name="view", view=True, public=False)
def _view(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    return reshape_card(input, shape=shape)


@op(name="reshape", public=False)
def reshaped_copy(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    return reshape_card(input, shape=shape)


@op(name="view", view=True, public=False)
def alias(input: Tensor) -> Tensor:
    """A new view of all of ``input``."""
    return reshape_card(input, shape=tuple(input.shape))


def _can_view(input: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether ``input`` can be shown in ``shape`` without moving elements."""
    x = input._x
    if x is None or (x.view is None and not x.exported):
        return True
    return viewed_strides(tuple(input.shape), layout_of(input)[0], shape) is not None


def shape_to(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``input`` in ``shape``: a view where its memory allows, otherwise a copy."""
    if isinstance(local.era, Tracer):
        return reshape_card(input, shape=shape)
    return _view(input, shape) if _can_view(input, shape) else reshaped_copy(input, shape)


@plain()
def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape; one size may be -1.

    >>> import backlit
    >>> backlit.reshape(backlit.arange(6), (2, -1)).shape
    Size([2, 3])
    """
    found = ints(sizes if shape is None else (tuple(shape),))
    return shape_to(input, infer_shape("reshape", found, input._var.numel))


@plain()
def view(input: Tensor, *shape: Any, dtype: Dtype | None = None) -> Tensor:
    """The same memory in another shape, or read as another dtype of the same size.

    Raises:
        ShapeError: if the elements do not lie in memory in the order that the shape needs.

    >>> import backlit
    >>> backlit.arange(6).view(3, -1).shape
    Size([3, 2])
    """
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], Dtype)):
        from backlit.ops.convert import view_as_dtype

        return view_as_dtype(input, dtype or shape[0])
    found = infer_shape("view", ints(shape), input._var.numel)
    if isinstance(local.era, Tracer):
        return reshape_card(input, shape=found)
    if not _can_view(input, found):
        raise ShapeError(
            f"view: view size is not compatible with input tensor's size {list(input.shape)} and "
            f"stride {list(layout_of(input)[0])} (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return _view(input, found)


@plain()
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` viewed in the shape of ``other``."""
    return view(input, tuple(other.shape))


@plain()
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` in the shape of ``other``."""
    return reshape(input, tuple(other.shape))


@plain()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` merged into one.

    >>> import backlit
    >>> backlit.zeros(2, 3, 4).flatten(1).shape
    Size([2, 12])
    """
    start = wrap_dim(start_dim, input.ndim, "flatten")
    end = wrap_dim(end_dim, input.ndim, "flatten")
    if start > end:
        raise ShapeError(
            "flatten() has invalid args: start_dim cannot come after end_dim, got "
            f"start_dim={start_dim} and end_dim={end_dim}."
        )
    shape = tuple(input.shape)
    if not shape:
        return reshape(input, (1,))
    if start == end:
        return input
    return shape_to(input, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


@plain()
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension ``dim`` split into dimensions of ``sizes`` (one may be -1).

    >>> import backlit
    >>> backlit.zeros(2, 12).unflatten(1, (3, -1)).shape
    Size([2, 3, 4])
    """
    if not len(sizes):
        raise ShapeError("unflatten: sizes must be non-empty; give the sizes to split into.")
    at = wrap_dim(dim, input.ndim, "unflatten")
    shape = tuple(input.shape)
    found = tuple(index(n) for n in sizes)
    known = prod(n for n in found if n != -1)
    whole = shape[at]
    fits = (whole == known) if -1 not in found else known != 0 and whole % known == 0
    if not fits or found.count(-1) > 1 or min(found) < -1:
        raise ShapeError(
            f"unflatten: Provided sizes {list(found)} don't multiply up to the size of dim {dim} "
            f"({whole}) in the input tensor."
        )
    found = tuple(whole // known if n == -1 else n for n in found)
    return view(input, (*shape[:at], *found, *shape[at + 1 :]))


@plain()
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return shape_to(input, (input._var.numel,))


# -- order of dimensions ------------------------------------------------------------------------


@op(name="permute", view=True, public=False)
def _permute(input: Tensor, dims: tuple[int, ...]) -> Tensor:
    return permute_card(input, dims=dims)


@plain()
def permute(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """The dimensions in the order ``dims``.

    >>> import backlit
    >>> backlit.zeros(2, 3, 4).permute(2, 0, 1).shape
    Size([4, 2, 3])
    """
    given = ints(sizes if dims is None else (tuple(dims),))
    found = tuple([wrap_dim(d, input.ndim, "permute") for d in given])
    if len(set(found)) < len(found):
        raise ShapeError(f"permute(): duplicate dims are not allowed, got {list(given)}.")
    if len(found) != input.ndim:
        raise ShapeError(
            "permute: number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not "
            f"equal to len(dims) = {len(found)}."
        )
    return _permute(input, found)


@plain(inplace=False)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Dimensions ``dim0`` and ``dim1`` exchanged.

    >>> import backlit
    >>> backlit.zeros(2, 3, 4).transpose(0, -1).shape
    Size([4, 3, 2])
    """
    a, b = wrap_dim(dim0, input.ndim, "transpose"), wrap_dim(dim1, input.ndim, "transpose")
    if not input.ndim:
        return alias(input)
    dims = list(range(input.ndim))
    dims[a], dims[b] = dims[b], dims[a]
    return _permute(input, tuple(dims))


@plain()
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """NumPy's name for `transpose`."""
    return transpose(input, axis0, axis1)


@plain()
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Another name for `transpose`."""
    return transpose(input, dim0, dim1)


@plain()
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix (a vector is returned as it is).

    >>> import backlit
    >>> backlit.zeros(2, 3).t().shape
    Size([3, 2])
    """
    if input.ndim > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D; use .mT or "
            "permute."
        )
    return _permute(input, (1, 0)) if input.ndim == 2 else alias(input)


@plain()
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged (tensors are real)."""
    if input.ndim < 2:
        raise ShapeError(
            f"adjoint: tensor.adjoint() is only supported on matrices or batches of matrices. "
            f"Got {input.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


@plain()
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions ``source`` moved to the places ``destination``; the others keep their order.

    >>> import backlit
    >>> backlit.zeros(2, 3, 4).movedim(0, -1).shape
    Size([3, 4, 2])
    """
    sources = (source,) if isinstance(source, int) else tuple(source)
    destinations = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(sources) != len(destinations):
        raise ShapeError(
            f"movedim: Invalid source or destination dims: source ({list(sources)} dims) should "
            f"contain the same number of dims as destination ({list(destinations)} dims)."
        )
    src = [wrap_dim(d, input.ndim, "movedim") for d in sources]
    dst = [wrap_dim(d, input.ndim, "movedim") for d in destinations]
    for name, dims in (("source", src), ("destination", dst)):
        if len(set(dims)) < len(dims):
            raise ShapeError(f"movedim: repeated dim in `{name}` ({list(dims)}).")
    if not input.ndim:
        return alias(input)
    order = [-1] * input.ndim
    for s, d in zip(src, dst, strict=True):
        order[d] = s
    rest = iter([d for d in range(input.ndim) if d not in src])
    return _permute(input, tuple([d if d >= 0 else next(rest) for d in order]))


@plain()
def moveaxis(input: Tensor, source: Any, destination: Any) -> Tensor:
    """NumPy's name for `movedim`."""
    return movedim(input, source, destination)


@op(view=True)
def detach(input: Tensor) -> Tensor:
    """The same values without history: no gradient flows back through the result."""
    return detach_card(input)


# -- dimensions of size 1 -----------------------------------------------------------------------


@plain()
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without its dimensions of size 1 (those in ``dim`` only, if given).

    >>> import backlit
    >>> backlit.zeros(1, 3, 1).squeeze(0).shape
    Size([3, 1])
    """
    if dim is None:
        drop = set(range(input.ndim))
    else:
        given = (dim,) if isinstance(dim, int) else tuple(dim)
        wrapped = [wrap_dim(d, input.ndim, "squeeze") for d in given]
        drop = set(wrapped)
        if len(drop) < len(wrapped):
            raise ShapeError(f"squeeze: dims {list(given)} name a dimension twice.")
    return _kept(input, tuple([n for i, n in enumerate(input.shape) if n != 1 or i not in drop]))


def _kept(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A view that adds or drops dimensions of size 1 only, which any memory allows."""
    return _view(input, shape)


@plain()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at place ``dim``.

    >>> import backlit
    >>> backlit.zeros(3).unsqueeze(1).shape
    Size([3, 1])
    """
    at = wrap_dim(dim, input.ndim + 1, "unsqueeze")
    shape = tuple(input.shape)
    return _kept(input, (*shape[:at], 1, *shape[at:]))


# -- repetition without copies ------------------------------------------------------------------


@op(name="expand", view=True, public=False)
def _expand(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    return expand_card(input, shape=shape)


@plain()
def expand(input: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Singleton (and new leading) dimensions repeated without copying; -1 keeps a size.

    >>> import backlit
    >>> backlit.zeros(3, 1).expand(2, -1, 4).shape
    Size([2, 3, 4])
    """
    shape = list(ints(sizes if size is None else (tuple(size),)))
    lead = len(shape) - input.ndim
    if lead < 0:
        raise ShapeError(
            f"expand: the number of sizes provided ({len(shape)}) must be greater or equal to the "
            f"number of dimensions in the tensor ({input.ndim})."
        )
    for i, n in enumerate(shape):
        old = input.shape[i - lead] if i >= lead else None
        if n == -1 and old is not None:
            shape[i] = old
        elif n < 0:
            raise ShapeError(
                f"expand: The expanded size of the tensor ({n}) isn't allowed in a leading, "
                f"non-existing dimension {i}; give its size."
            )
        elif old not in (None, 1, n):
            raise ShapeError(
                f"expand: The expanded size of the tensor ({n}) must match the existing size "
                f"({old}) at non-singleton dimension {i}. Target sizes: {shape}. Tensor sizes: "
                f"{list(input.shape)}."
            )
    return _expand(input, tuple(shape))


@plain()
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, tuple(other.shape))


@plain()
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``input`` expanded to ``size``."""
    return expand(input, tuple(size))


@plain(method=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes broadcast to.

    >>> import backlit
    >>> backlit.broadcast_shapes((2, 1), (3,))
    Size([2, 3])
    """
    found = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    for shape in found:
        if min(shape, default=0) < 0:
            raise ShapeError(
                f"broadcast_shapes: Trying to create tensor with negative dimension: {list(shape)}."
            )
    return Size(broadcast("broadcast_shapes", *found))


@plain(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors, each expanded to the shape they broadcast to.

    >>> import backlit
    >>> a, b = backlit.broadcast_tensors(backlit.zeros(2, 1), backlit.zeros(3))
    >>> a.shape, b.shape
    (Size([2, 3]), Size([2, 3]))
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    for x in given:
        if not isinstance(x, Tensor):
            raise TypeError(f"broadcast_tensors(): expected Tensors, got {type(x).__name__}.")
    shape = broadcast("broadcast_tensors", *(tuple(x.shape) for x in given))
    return tuple([_expand(x, shape) for x in given])
