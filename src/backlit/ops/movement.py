"""Moving data about: reshape, permute, expand, slice, flip, concatenate."""

from __future__ import annotations

from math import prod
from typing import Any

from backlit.core.dtypes import dtype
from backlit.core.op import op
from backlit.core.primitive import Spec, primitive
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.errors import ShapeError


def _slices(node: Node, fields: dict[str, Any]) -> str:
    """``a:b:c`` for every dimension, from the operands that are the starts."""
    parts = [":"] * node.args[0].ndim
    operands = fields["rest"][-len(node.attrs["dims"]) :] if node.attrs["dims"] else []
    for dim, length, step, start in zip(
        node.attrs["dims"], node.attrs["lengths"], node.attrs["steps"], operands, strict=True
    ):
        stop = f"{start} + {length * step}" if not start.isdigit() else str(int(start) + length * step)
        parts[dim] = f"{start}:{stop}" + (f":{step}" if step != 1 else "")
    return ", ".join(parts)


def _index_tuple(node: Node, fields: dict[str, Any]) -> str:
    parts = [f"slice({p.replace(':', ', ')})" if p != ":" else "slice(None)" for p in _slices(node, fields).split(", ")]
    return f"({', '.join(parts)},)"


def _slice_shape(x: Value, *starts: Value, dims: Any, lengths: Any, steps: Any) -> Spec:
    shape = list(x.shape)
    for dim, length in zip(dims, lengths, strict=True):
        shape[dim] = length
    return tuple(shape), x.dtype


reshape_card = primitive(
    "reshape",
    "x",
    shape=lambda x, shape: (shape, x.dtype),
    numpy="{x}.reshape({shape})",
    vjp=(lambda g, x_shape: g.reshape(x_shape),),
    write=lambda base, new, shape: new.reshape(base.shape),
    maths="x reshaped",
)
permute_card = primitive(
    "permute",
    "x",
    shape=lambda x, dims: (tuple(x.shape[d] for d in dims), x.dtype),
    numpy="{x}.transpose({dims})",
    vjp=(lambda g, dims: g.permute(inverse(dims)),),
    write=lambda base, new, dims: new.permute(inverse(dims)),
    maths="x with its dimensions permuted",
)
expand_card = primitive(
    "expand",
    "x",
    shape=lambda x, shape: (shape, x.dtype),
    numpy="np.broadcast_to({x}, {shape})",
    vjp=(lambda g, x_shape: sum_to(g, x_shape),),
    write=lambda base, new, shape: new,
    maths="x repeated along new or singleton dimensions",
)
slice_card = primitive(
    "slice",
    "x starts*",
    shape=_slice_shape,
    numpy=lambda node, fields: f"{fields['x']}[{_slices(node, fields)}]",
    vjp=(
        lambda g, x_shape, node_starts, dims, lengths, steps: slice_write_card(
            zeros(x_shape, g.dtype), g, *node_starts, dims=dims, lengths=lengths, steps=steps
        ),
        None,
    ),
    write=lambda base, new, *starts, dims, lengths, steps: slice_write_card(
        base, new, *starts, dims=dims, lengths=lengths, steps=steps
    ),
    maths="x[start : start + length·step : step]",
)
slice_write_card = primitive(
    "slice_write",
    "base new starts*",
    shape=lambda base, new, *starts, dims, lengths, steps: (tuple(base.shape), base.dtype),
    numpy=lambda node, fields: f"ref.slice_write({fields['base']}, {fields['new']}, {_index_tuple(node, fields)})",
    vjp=(
        lambda g, new_shape, node_starts, dims, lengths, steps: slice_write_card(
            g, zeros(new_shape, g.dtype), *node_starts, dims=dims, lengths=lengths, steps=steps
        ),
        lambda g, node_starts, dims, lengths, steps: slice_card(
            g, *node_starts, dims=dims, lengths=lengths, steps=steps
        ),
        None,
    ),
    maths="base with x[start : …] replaced by new",
)
flip_card = primitive(
    "flip",
    "x",
    shape=lambda x, dims: (tuple(x.shape), x.dtype),
    numpy="np.flip({x}, {dims})",
    vjp=(lambda g, dims: flip_card(g, dims=dims),),
    maths="x reversed along dims",
)
cat_card = primitive(
    "cat",
    "x*",
    shape=lambda *x, dim: (
        (*x[0].shape[:dim], sum(v.shape[dim] for v in x), *x[0].shape[dim + 1 :]),
        x[0].dtype,
    ),
    numpy="np.concatenate(({x}), {dim})",
    vjp=(lambda g, dim, node, position: _cat_part(g, dim, node, position),),
    maths="the operands one after the other",
)
full_card = primitive(
    "full",
    "value",
    shape=lambda value, shape: (shape, value.dtype),
    numpy="np.full({shape}, {value})",
    vjp=(lambda g: g.sum(),),
    maths="one value everywhere",
)
convert_card = primitive(
    "convert",
    "x",
    shape=lambda x, dtype: (tuple(x.shape), dtype),
    numpy="{x}.astype({dtype})",
    vjp=(lambda g, x_dtype: g.to(x_dtype),),
    maths="x in another dtype",
)
detach_card = primitive(
    "detach",
    "x",
    shape=lambda x: (tuple(x.shape), x.dtype),
    numpy="{x}",
    write=lambda base, new: new,
    maths="x without its history",
)
leaf_card = primitive(
    "leaf", "x", shape=lambda x: (tuple(x.shape), x.dtype), numpy="{x}", maths="x, where gradients are collected"
)
with_history_card = primitive(
    "with_history",
    "new old",
    shape=lambda new, old: (tuple(new.shape), new.dtype),
    numpy="{new}",
    vjp=(None, lambda g: g),
    maths="new, with the history of old",
)


def inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes ``dims``."""
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


def _cat_part(g: Tensor, dim: int, node: Node, position: int) -> Tensor:
    start = sum(a.shape[dim] for a in node.args[:position])
    length = node.args[position].shape[dim]
    return slice_card(g, start, dims=(dim,), lengths=(length,), steps=(1,))


def zeros(shape: tuple[int, ...], d: dtype) -> Tensor:
    """Zeros inside a rule or a composite."""
    return full_card(_typed(0, d), shape=tuple(shape))


def _typed(x: Any, d: dtype) -> Any:
    from backlit.core.era import local

    return local.era.constant(x, d)


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``g`` summed over the dimensions along which ``shape`` was broadcast."""
    shape = tuple(shape)
    if tuple(g.shape) == shape:
        return g
    lead = g.ndim - len(shape)
    dims = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1))
    from backlit.ops.reduce import sum_card

    summed = sum_card(g, dims=dims, keepdim=False) if dims else g
    return summed if tuple(summed.shape) == shape else reshape_card(summed, shape=shape)


def infer_shape(op_name: str, shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """``shape`` with its -1, if any, filled in."""
    if shape.count(-1) > 1:
        raise ShapeError(f"{op_name}: only one dimension can be inferred (-1), got {shape}.")
    known = prod(n for n in shape if n != -1)
    if -1 in shape:
        if known == 0 or numel % known:
            raise ShapeError(f"{op_name}: shape '{list(shape)}' is invalid for input of size {numel}.")
        return tuple(numel // known if n == -1 else n for n in shape)
    if known != numel or min(shape, default=0) < 0:
        raise ShapeError(f"{op_name}: shape '{list(shape)}' is invalid for input of size {numel}.")
    return shape


def ints(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given as separate integers or as one tuple."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(int(a) for a in args)


@op(view=True)
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    found = infer_shape("reshape", ints(shape), input.numel())
    return input if found == tuple(input.shape) else reshape_card(input, shape=found)


@op(view=True)
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in the order ``dims``."""
    found = tuple(wrap_dim(d, input.ndim, "permute") for d in ints(dims))
    if sorted(found) != list(range(input.ndim)):
        raise ShapeError(
            f"permute: dims {found} must name each of the {input.ndim} dimensions of input {tuple(input.shape)} once."
        )
    return permute_card(input, dims=found)


@op(view=True)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Dimensions ``dim0`` and ``dim1`` exchanged."""
    dims = list(range(input.ndim))
    a, b = wrap_dim(dim0, input.ndim, "transpose"), wrap_dim(dim1, input.ndim, "transpose")
    if not dims:
        return detach_free(input)
    dims[a], dims[b] = dims[b], dims[a]
    return permute_card(input, dims=tuple(dims))


def detach_free(input: Tensor) -> Tensor:
    """A new view of all of ``input``."""
    return reshape_card(input, shape=tuple(input.shape))


@op(view=True)
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix (a vector is returned as it is)."""
    if input.ndim > 2:
        raise ShapeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D; use .mT or permute.")
    return permute_card(input, dims=(1, 0)) if input.ndim == 2 else detach_free(input)


@op(view=True)
def detach(input: Tensor) -> Tensor:
    """The same values without history: no gradient flows back through the result."""
    return detach_card(input)


@op(view=True)
def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Singleton (and new leading) dimensions repeated without copying; -1 keeps a size."""
    shape = list(ints(sizes))
    lead = len(shape) - input.ndim
    if lead < 0:
        raise ShapeError(
            f"expand: the number of sizes provided ({len(shape)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({input.ndim})."
        )
    for i, n in enumerate(shape):
        old = input.shape[i - lead] if i >= lead else None
        if n == -1 and old is not None:
            shape[i] = old
        elif old not in (None, 1, n) or n < 0:
            raise ShapeError(
                f"expand: the expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton "
                f"dimension {i}. Target sizes: {shape}. Tensor sizes: {list(input.shape)}."
            )
    return expand_card(input, shape=tuple(shape))
