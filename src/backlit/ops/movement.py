"""Primitives that move data about: reshape, permute, expand, slice, strided, flip, concatenate."""

from __future__ import annotations

from operator import mul
from typing import Any

from backlit.core.dtypes import dtype
from backlit.core.era import local
from backlit.core.primitive import Primitive, Spec, primitive
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.errors import GradientError

Steps = tuple[tuple[int, ...], ...]  # per dimension of a view, its steps along the dimensions of x


def _slices(node: Node, fields: dict[str, Any]) -> str:
    """``a:b:c`` for every dimension, from the operands that are the starts."""
    parts = [":"] * node.args[0].ndim
    operands = fields["rest"][-len(node.attrs["dims"]) :] if node.attrs["dims"] else []
    for dim, length, step, start in zip(
        node.attrs["dims"], node.attrs["lengths"], node.attrs["steps"], operands, strict=True
    ):
        stop = (
            f"{start} + {length * step}" if not start.isdigit() else str(int(start) + length * step)
        )
        parts[dim] = f"{start}:{stop}" + (f":{step}" if step != 1 else "")
    return ", ".join(parts)


def _index_tuple(node: Node, fields: dict[str, Any]) -> str:
    parts = [
        f"slice({p.replace(':', ', ')})" if p != ":" else "slice(None)"
        for p in _slices(node, fields).split(", ")
    ]
    return f"({', '.join(parts)},)"


def _slice_shape(x: Value, *starts: Value, dims: Any, lengths: Any, steps: Any) -> Spec:
    shape = list(x.shape)
    for dim, length in zip(dims, lengths, strict=True):
        shape[dim] = length
    return tuple(shape), x.dtype


reshape_card: Primitive = primitive(
    "reshape",
    "x",
    shape=lambda x, shape: (shape, x.dtype),
    numpy="{x}.reshape({shape})",
    vjp=(lambda g, x_shape: g.reshape(x_shape),),
    write=lambda base, new, shape: new.reshape(base.shape),
    maths="x reshaped",
)
permute_card: Primitive = primitive(
    "permute",
    "x",
    shape=lambda x, dims: (tuple(x.shape[d] for d in dims), x.dtype),
    numpy="{x}.transpose({dims})",
    vjp=(lambda g, dims: g.permute(inverse(dims)),),
    write=lambda base, new, dims: new.permute(inverse(dims)),
    maths="x with its dimensions permuted",
)
expand_card: Primitive = primitive(
    "expand",
    "x",
    shape=lambda x, shape: (shape, x.dtype),
    numpy="np.broadcast_to({x}, {shape})",
    vjp=(lambda g, x_shape: sum_to(g, x_shape),),  # noqa: PLW0108 - the names say what is saved
    write=lambda base, new, shape: new,
    maths="x repeated along new or singleton dimensions",
)
slice_card: Primitive = primitive(
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
slice_write_card: Primitive = primitive(
    "slice_write",
    "base new starts*",
    shape=lambda base, new, *starts, dims, lengths, steps: (tuple(base.shape), base.dtype),
    numpy=lambda node, fields: (
        f"ref.slice_write({fields['base']}, {fields['new']}, {_index_tuple(node, fields)})"
    ),
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
strided_card: Primitive = primitive(
    "strided",
    "x",
    shape=lambda x, size, offset, steps: (size, x.dtype),
    numpy="ref.strided({x}, {size}, {offset}, {steps})",
    vjp=(
        lambda g, x_shape, offset, steps: strided_write_card(
            zeros(x_shape, g.dtype), g, offset=offset, steps=steps, accumulate=True
        ),
    ),
    write=lambda base, new, size, offset, steps: _strided_replace(base, new, offset, steps),
    maths="x[offset + Σ iₖ stepsₖ]",
)
strided_write_card: Primitive = primitive(
    "strided_write",
    "base new",
    shape=lambda base, new, offset, steps, accumulate: (tuple(base.shape), base.dtype),
    numpy="ref.strided_write({base}, {new}, {offset}, {steps}, {accumulate})",
    vjp=(
        lambda g, new_shape, offset, steps, accumulate: (
            g
            if accumulate
            else strided_write_card(
                g, zeros(new_shape, g.dtype), offset=offset, steps=steps, accumulate=False
            )
        ),
        lambda g, new_shape, offset, steps: strided_card(
            g, size=tuple(new_shape), offset=offset, steps=steps
        ),
    ),
    maths="base with new written (or added) at offset + Σ iₖ stepsₖ",
)
flip_card: Primitive = primitive(
    "flip",
    "x",
    shape=lambda x, dims: (tuple(x.shape), x.dtype),
    numpy="np.flip({x}, {dims})",
    vjp=(lambda g, dims: flip_card(g, dims=dims),),
    maths="x reversed along dims",
)


def _cat_part(g: Tensor, dim: int, node: Node, position: int) -> Tensor:
    start = sum(a.shape[dim] for a in node.args[:position])
    length = node.args[position].shape[dim]
    return slice_card(g, start, dims=(dim,), lengths=(length,), steps=(1,))


cat_card: Primitive = primitive(
    "cat",
    "x*",
    shape=lambda *x, dim: (
        (*x[0].shape[:dim], sum(v.shape[dim] for v in x), *x[0].shape[dim + 1 :]),
        x[0].dtype,
    ),
    numpy="np.concatenate(({x}), {dim})",
    vjp=(_cat_part,),
    maths="the operands one after the other",
)
full_card: Primitive = primitive(
    "full",
    "value",
    shape=lambda value, shape: (shape, value.dtype),
    numpy="np.full({shape}, {value})",
    vjp=(lambda g: g.sum(),),
    maths="one value everywhere",
)
convert_card: Primitive = primitive(
    "convert",
    "x",
    shape=lambda x, dtype: (tuple(x.shape), dtype),
    numpy="{x}.astype({dtype})",
    vjp=(lambda g, x_dtype: g.to(x_dtype),),
    maths="x in another dtype",
)
detach_card: Primitive = primitive(
    "detach",
    "x",
    shape=lambda x: (tuple(x.shape), x.dtype),
    numpy="{x}",
    write=lambda base, new: new,
    maths="x without its history",
)
leaf_card: Primitive = primitive(
    "leaf",
    "x",
    shape=lambda x: (tuple(x.shape), x.dtype),
    numpy="{x}",
    maths="x, where gradients are collected",
)
with_history_card: Primitive = primitive(
    "with_history",
    "new old",
    shape=lambda new, old: (tuple(new.shape), new.dtype),
    numpy="{new}",
    vjp=(None, lambda g: g),
    maths="new, with the history of old",
)
overwrite_card: Primitive = primitive(
    "overwrite",
    "new old",
    shape=lambda new, old: (tuple(new.shape), new.dtype),
    numpy="{new}",
    vjp=(lambda g: g, lambda g: zeros(tuple(g.shape), g.dtype)),
    maths="new, which took the place of old",
    local=("1", "0"),
)


def _strided_replace(base: Tensor, new: Tensor, offset: tuple[int, ...], steps: Steps) -> Tensor:
    """``base`` with the part that a strided view shows replaced; each element must occur once."""
    if overlaps(tuple(new.shape), tuple(base.shape), steps):
        raise GradientError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
    return strided_write_card(base, new, offset=offset, steps=steps, accumulate=False)


def overlaps(size: tuple[int, ...], x_shape: tuple[int, ...], steps: Steps) -> bool:
    """Whether a strided view of a tensor of shape ``x_shape`` may show an element twice."""
    if 0 in size:
        return False
    unit = [1] * len(x_shape)
    for i in reversed(range(len(x_shape) - 1)):
        unit[i] = unit[i + 1] * max(x_shape[i + 1], 1)
    flat = sorted(
        (sum(map(mul, row, unit)), n) for row, n in zip(steps, size, strict=True) if n > 1
    )
    reach = 0
    for step, n in flat:
        if step <= reach:
            return True
        reach += step * (n - 1)
    return False


def inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes ``dims``."""
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


def zeros(shape: tuple[int, ...], d: dtype) -> Tensor:
    """Zeros inside a rule or a composite."""
    return full_card(_typed(0, d), shape=tuple(shape))


def _typed(x: Any, d: dtype) -> Any:
    return local.era.constant(x, d)


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``g`` summed over the dimensions along which ``shape`` was broadcast."""
    shape = tuple(shape)
    if tuple(g.shape) == shape:
        return g
    lead = g.ndim - len(shape)
    dims = (
        *range(lead),
        *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1),
    )
    from backlit.ops.reduce import sum_card

    summed = sum_card(g, dims=dims, keepdim=False) if dims else g
    return summed if tuple(summed.shape) == shape else reshape_card(summed, shape=shape)
