"""Making tensors without data: filled, counted, like another; and conversions between kinds."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from backlit.core.create import finish, tensor
from backlit.core.dtypes import (
    as_dtype,
    dtype,
    get_default_dtype,
    int64,
    of_number,
)
from backlit.core.era import Era, local, realize
from backlit.core.op import plain
from backlit.core.primitive import PRIMITIVES
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError

# -- one value everywhere -----------------------------------------------------------------------


def sizes_of(name: str, args: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """Sizes given as separate integers, one sequence, or the keyword ``size``."""
    given: Any = args if size is None else (size,)
    if len(given) == 1 and not hasattr(given[0], "__index__"):
        given = given[0]
    if isinstance(given, (str, float)) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"{name}(): argument 'size' must be tuple of ints, not {type(given).__name__}."
        )
    try:
        found = tuple([index(n) for n in given])
    except TypeError:
        kinds = ", ".join(type(n).__name__ for n in given)
        raise TypeError(
            f"{name}(): argument 'size' must be tuple of ints, but found {kinds}."
        ) from None
    if min(found, default=0) < 0:
        raise ShapeError(f"{name}: Trying to create tensor with negative dimension: {list(found)}.")
    return found


def _filled(name: str, shape: tuple[int, ...], value: Any, d: dtype | None, more: Any) -> Tensor:
    """A tensor of one value; inside a composite it is a `full` node rather than an array."""
    d = as_dtype(d) if d is not None else get_default_dtype()
    if not isinstance(local.era, Era):
        made: Tensor = PRIMITIVES["full"](local.era.constant(value, d), shape=shape)
        return made
    array = np.zeros(shape, d.numpy) if value == 0 else np.full(shape, value, d.numpy)
    return finish(array, d, name=name, **more)


@plain(method=False)
def zeros(*size: Any, dtype: dtype | None = None, **more: Any) -> Tensor:
    """A tensor of zeros.

    >>> import backlit
    >>> backlit.zeros(2, 2)
    tensor([[0., 0.],
            [0., 0.]])
    """
    return _filled("zeros", sizes_of("zeros", size, more.pop("size", None)), 0, dtype, more)


@plain(method=False)
def ones(*size: Any, dtype: dtype | None = None, **more: Any) -> Tensor:
    """A tensor of ones."""
    return _filled("ones", sizes_of("ones", size, more.pop("size", None)), 1, dtype, more)


@plain(method=False)
def empty(*size: Any, dtype: dtype | None = None, **more: Any) -> Tensor:
    """A tensor whose values do not matter (zeros, so that runs repeat exactly)."""
    return _filled("empty", sizes_of("empty", size, more.pop("size", None)), 0, dtype, more)


def _number(name: str, x: Any) -> Any:
    if isinstance(x, Tensor) and x._var.numel == 1:
        return realize(x).item()
    if not isinstance(x, (bool, int, float, np.generic)):
        raise TypeError(f"{name} must be Number, not {type(x).__name__}.")
    return x


@plain(method=False)
def full(size: Any, fill_value: Any, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """A tensor of one value; the dtype is the value's unless given.

    >>> import backlit
    >>> backlit.full((2,), 7)
    tensor([7, 7])
    """
    value = _number("full(): argument 'fill_value' (position 2)", fill_value)
    if dtype is None and more.get("out") is not None:
        dtype = more["out"].dtype
    d = dtype if dtype is not None else of_number(value)
    return _filled("full", sizes_of("full", (size,)), value, d, more)


def _like(name: str, x: Any, value: Any, d: dtype | None, more: dict[str, Any]) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}.")
    more.pop("memory_format", None)
    return _filled(name, tuple(x._var.shape), value, d or x._var.dtype, more)


@plain(method=False)
def zeros_like(input: Tensor, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Zeros in the shape and dtype of ``input``."""
    return _like("zeros_like", input, 0, dtype, more)


@plain(method=False)
def ones_like(input: Tensor, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Ones in the shape and dtype of ``input``."""
    return _like("ones_like", input, 1, dtype, more)


@plain(method=False)
def empty_like(input: Tensor, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Values that do not matter, in the shape and dtype of ``input``."""
    return _like("empty_like", input, 0, dtype, more)


@plain(method=False)
def full_like(input: Tensor, fill_value: Any, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """One value in the shape and dtype of ``input``."""
    value = _number("full_like(): argument 'fill_value' (position 2)", fill_value)
    return _like("full_like", input, value, dtype, more)


@plain()
def new_zeros(input: Tensor, *size: Any, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Zeros of the dtype of the tensor."""
    shape = sizes_of("new_zeros", size, more.pop("size", None))
    return _filled("new_zeros", shape, 0, dtype or input.dtype, more)


@plain()
def new_ones(input: Tensor, *size: Any, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Ones of the dtype of the tensor."""
    shape = sizes_of("new_ones", size, more.pop("size", None))
    return _filled("new_ones", shape, 1, dtype or input.dtype, more)


@plain()
def new_empty(input: Tensor, *size: Any, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Values that do not matter, of the dtype of the tensor."""
    shape = sizes_of("new_empty", size, more.pop("size", None))
    return _filled("new_empty", shape, 0, dtype or input.dtype, more)


@plain()
def new_full(
    input: Tensor, size: Any, fill_value: Any, *, dtype: dtype | None = None, **more: Any
) -> Tensor:
    """One value, of the dtype of the tensor."""
    value = _number("new_full(): argument 'fill_value' (position 2)", fill_value)
    return _filled("new_full", sizes_of("new_full", (size,)), value, dtype or input.dtype, more)


@plain()
def new_tensor(input: Tensor, data: Any, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """A copy of ``data`` in the dtype of the tensor."""
    return tensor(data, dtype=dtype or input.dtype, **more)


@plain(method=False)
def scalar_tensor(s: Any, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """A number as a 0-d tensor of the default dtype."""
    return _filled("scalar_tensor", (), _number("scalar_tensor(): argument 's'", s), dtype, more)


@plain(method=False)
def empty_strided(size: Any, stride: Any, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """Values that do not matter, with the given strides (counted in elements)."""
    shape, steps = tuple(size), tuple(stride)
    reach = 0 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, steps, strict=False)) + 1
    from backlit.ops.shape_split import as_strided

    base = _filled("empty_strided", (reach,), 0, dtype, more)
    return as_strided(base, shape, steps, 0)


@plain()
def new_empty_strided(
    input: Tensor, size: Any, stride: Any, *, dtype: dtype | None = None, **more: Any
) -> Tensor:
    """`empty_strided` of the dtype of the tensor."""
    return empty_strided(size, stride, dtype=dtype or input.dtype, **more)


@plain(method=False)
def empty_permuted(size: Any, physical_layout: Any, **more: Any) -> Tensor:
    """Values that do not matter; dimensions lie in memory in the order ``physical_layout``."""
    order = [index(d) for d in physical_layout]
    if sorted(order) != list(range(len(size))):
        raise ArgumentError(
            f"empty_permuted: Number of dimensions in size does not match the length of the "
            f"physical_layout, or a dim is missing or repeated: {list(size)} and {order}."
        )
    base = empty(*(size[d] for d in order), **more)
    return base.permute([order.index(d) for d in range(len(order))])


# -- counted ------------------------------------------------------------------------------------


@plain(method=False)
def arange(
    start: Any = None, end: Any = None, step: Any = 1, *, dtype: dtype | None = None, **more: Any
) -> Tensor:
    """The numbers from ``start`` (0) up to, and without, ``end``.

    >>> import backlit
    >>> backlit.arange(1, 2, 0.5)
    tensor([1.0000, 1.5000])
    """
    if end is None:
        start, end = 0, more.pop("end", start)
    first, last, by = (_number("arange(): arguments", x) for x in (start, end, step))
    if dtype is None and more.get("out") is not None:
        dtype = more["out"].dtype
    if dtype is not None and not as_dtype(dtype).is_floating_point:
        first, last, by = int(first), int(last), int(by)
    if by == 0:
        raise ArgumentError("arange: step must be nonzero.")
    if not all(math.isfinite(x) for x in (first, last)):
        raise ArgumentError(f"arange: unsupported range: {first} -> {last}; both must be finite.")
    if (last - first) * by < 0:
        raise ArgumentError(
            f"arange: upper bound and lower bound inconsistent with step sign: {first} to {last} "
            f"by {by}."
        )
    whole = all(isinstance(x, (int, np.integer)) for x in (first, last, by))
    d = as_dtype(dtype) if dtype is not None else int64 if whole else get_default_dtype()
    if whole:
        array = np.arange(first, last, by, dtype=np.int64).astype(d.numpy)
    else:
        n = math.ceil((last - first) / by)
        array = (first + np.arange(n) * by).astype(d.numpy)
    return finish(array, d, name="arange", **more)


@plain(method=False, name="range")
def range_(
    start: Any = 0, end: Any = None, step: Any = 1, *, dtype: dtype | None = None, **more: Any
) -> Tensor:
    """The numbers from ``start`` to ``end``, both included (PyTorch's deprecated range)."""
    n = math.floor((end - start) / step) + 1
    d = as_dtype(dtype) if dtype is not None else get_default_dtype()
    return finish((start + np.arange(n) * step).astype(d.numpy), d, name="range", **more)


def _spaced(name: str, start: Any, end: Any, steps: int, d: dtype) -> Any:
    """``steps`` numbers from start to end, computed from both ends as PyTorch does.

    For an integer dtype the ends are rounded towards zero first.
    """
    if index(steps) < 0:
        raise ArgumentError(f"{name}: number of steps must be non-negative, got {steps}.")
    for x in (start, end):
        if isinstance(x, Tensor) and x.ndim:
            raise ArgumentError(
                f"{name} only supports 0-dimensional start and end tensors, but got {x.ndim} dims."
            )
    first, last = (float(_number(f"{name}(): start and end", x)) for x in (start, end))
    if not d.is_floating_point:
        first, last = math.trunc(first), math.trunc(last)
    if steps == 1:
        return np.array([first])
    i = np.arange(steps)
    by = (last - first) / max(steps - 1, 1)
    return np.where(i < steps // 2, first + by * i, last - by * (steps - 1 - i))


@plain(method=False)
def linspace(
    start: Any, end: Any, steps: int, *, dtype: dtype | None = None, **more: Any
) -> Tensor:
    """``steps`` numbers at equal distances from ``start`` to ``end``, both included.

    >>> import backlit
    >>> backlit.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    d = as_dtype(dtype) if dtype is not None else get_default_dtype()
    return finish(
        _spaced("linspace", start, end, steps, d).astype(d.numpy), d, name="linspace", **more
    )


@plain(method=False)
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: dtype | None = None, **more: Any
) -> Tensor:
    """``base`` to the power of numbers at equal distances from ``start`` to ``end``."""
    d = as_dtype(dtype) if dtype is not None else get_default_dtype()
    with np.errstate(all="ignore"):
        root = float(base) if d.is_floating_point else float(math.trunc(base))
        array = np.power(root, _spaced("logspace", start, end, steps, d)).astype(d.numpy)
    return finish(array, d, name="logspace", **more)


@plain(method=False)
def eye(n: int, m: int | None = None, *, dtype: dtype | None = None, **more: Any) -> Tensor:
    """The identity matrix, or its first rows or columns.

    >>> import backlit
    >>> backlit.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    for size, letter in ((n, "n"), (m or 0, "m")):
        if size < 0:
            raise ArgumentError(f"eye: {letter} must be greater or equal to 0, got {size}.")
    d = as_dtype(dtype) if dtype is not None else get_default_dtype()
    return finish(np.eye(n, m, dtype=d.numpy), d, name="eye", **more)


@plain(method=False, name="complex")
def complex_(real: Tensor, imag: Tensor, *, out: Any = None) -> Tensor:
    """Complex tensors do not exist here."""
    raise DtypeError(
        "complex: complex dtypes are not supported by backlit; keep real and imaginary parts apart."
    )
