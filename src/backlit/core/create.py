"""Making tensors from data: numbers, lists, arrays, buffers; and the legacy constructor."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from backlit.core.device import (
    channels_last,
    channels_last_3d,
    check_device,
    contiguous_format,
    device,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from backlit.core.dtypes import (
    as_dtype,
    dtype,
    from_numpy_dtype,
    get_default_dtype,
    promote_types,
)
from backlit.core.era import Era, adopt, local, realize
from backlit.core.registry import PUBLIC
from backlit.core.size import Size
from backlit.core.tensor import Tensor, extra, realized
from backlit.core.value import meta_of, outside
from backlit.errors import ArgumentError, DtypeError, ShapeError

P = ParamSpec("P")
R = TypeVar("R")


class Factory(Generic[P, R]):
    """A function that some take for a module: an attribute that it lacks gets a hint.

    >>> import backlit
    >>> backlit.tensor.empty(3, 5)
    Traceback (most recent call last):
    AttributeError: 'tensor' is a function and has no attribute 'empty'; did you mean backlit.empty?
    """

    def __init__(self, make: Callable[P, R]) -> None:
        functools.update_wrapper(self, make)
        self._make = make

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._make(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        public = not name.startswith("_") and hasattr(sys.modules["backlit"], name)
        hint = f"; did you mean backlit.{name}?" if public else ""
        raise AttributeError(f"{self.__name__!r} is a function and has no attribute {name!r}{hint}")

    def __reduce__(self) -> str:
        return self.__name__  # pickled by name, as functions are

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"


def set_requires_grad(t: Tensor, flag: bool = True) -> Tensor:
    """Turn the collection of gradients for a leaf on or off."""
    from backlit.core.inplace import is_leaf, leaf_

    if t.requires_grad == flag:
        return t
    if flag and not t.dtype.is_floating_point:
        raise DtypeError(
            f"only Tensors of floating point dtype can require gradients, got {t.dtype.name}; use "
            ".float() first."
        )
    if not is_leaf(t):
        from backlit.errors import GradientError

        raise GradientError(
            "you can only change requires_grad flags of leaf variables; use var_no_grad = "
            "var.detach() to get a "
            "tensor without history."
        )
    if t._data is None:
        if flag:
            new = leaf_(t)
            if new._data is None:
                local.era.leaves[new._var.id] = t
            adopt(t, new)
            return t
        realize(t)
    t._era = None
    t._var = outside(meta_of(t.shape, t.dtype, flag))
    return t


def into(out: Tensor | None, found: Tensor, name: str) -> Tensor:
    """``found`` itself, or written into ``out`` where one is given (PyTorch's ``out=``)."""
    if out is None:
        return found
    from backlit.core.inplace import write_out

    made: Tensor = write_out(name, out, found)
    return made


def finish(
    array: Any,
    d: dtype,
    *,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    memory_format: Any = None,
    out: Tensor | None = None,
    name: str = "out",
) -> Tensor:
    """The tensor that a creation function returns for ``array``, given its common arguments."""
    if not isinstance(local.era, Era):
        made: Tensor = local.era.constant(array, d)
        return made
    check_device(device)
    found = realized(array, d)
    if out is not None:
        return into(out, found, name)
    return set_requires_grad(found) if requires_grad else found


@Factory
def tensor(
    data: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with a copy of ``data`` (numbers, nested lists, NumPy arrays).

    >>> import backlit
    >>> backlit.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    Size([2, 2])
    """
    array = data_array(data, dtype)
    d = as_dtype(dtype) if dtype is not None else from_numpy_dtype(array.dtype)
    return finish(array, d, device=device, requires_grad=requires_grad)


def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where it is a tensor or array of that dtype already.

    >>> import numpy as np, backlit
    >>> a = np.zeros(2); t = backlit.as_tensor(a); a[0] = 5
    >>> t[0].item()
    5.0
    """
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else to_dtype_of(data, as_dtype(dtype))
    if isinstance(data, np.ndarray) and data.ndim:
        d = from_numpy_dtype(data.dtype)
        if (dtype is None or as_dtype(dtype) is d) and isinstance(local.era, Era):
            return from_numpy(data)
    return tensor(data, dtype=dtype)


def to_dtype_of(t: Tensor, d: dtype) -> Tensor:
    """``t`` in dtype ``d``: itself if it has that dtype."""
    from backlit.core.inplace import to_dtype

    return t if t.dtype is d else to_dtype(t, d)


def asarray(
    obj: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """``obj`` as a tensor: copied if ``copy`` is True, shared if it is False, as needed if None."""
    check_device(device)
    if hasattr(obj, "__dlpack__") and not isinstance(obj, (Tensor, np.ndarray, np.generic)):
        obj = from_dlpack(obj)
    made = as_tensor(obj, dtype=dtype)
    shares = made is obj or (isinstance(obj, np.ndarray) and np.may_share_memory(made._data, obj))
    if copy is False and not shares:
        raise ArgumentError(
            f"asarray(): can't alias a {type(obj).__name__} as a tensor of this dtype; leave "
            "copy=None."
        )
    if copy and shares:
        made = realized(np.array(realize(made), order="C"), made.dtype)
    elif isinstance(obj, Tensor) and not requires_grad and made.requires_grad:
        made = PUBLIC["detach"](made)
    return set_requires_grad(made) if requires_grad else made


def data_array(data: Any, d: dtype | None) -> np.ndarray[Any, Any]:
    """``data`` as a fresh array of dtype ``d`` (inferred if None)."""
    if isinstance(data, Tensor):
        if d is None:
            d = data.dtype
        data = realize(data)
    if isinstance(data, (list, tuple)):
        if 0 in _nested_shape(data):
            return np.zeros(_nested_shape(data), as_dtype(d or get_default_dtype()).numpy)
        d = d or _tensor_dtype(data)
        data = _unwrap(data)
    if isinstance(data, (np.ndarray, np.generic)):
        found = np.asarray(data)
    else:
        found = _from_python(data)
        if d is None and found.dtype == np.float64 and not _has_numpy(data):
            d = get_default_dtype()
    target = as_dtype(d) if d is not None else from_numpy_dtype(found.dtype)
    if found.dtype.kind == "c":
        from_numpy_dtype(found.dtype)
    with np.errstate(all="ignore"):
        return np.array(found, dtype=target.numpy, order="C")


def _from_python(data: Any) -> np.ndarray[Any, Any]:
    """A Python number or nested list of numbers as an array."""
    try:
        found = np.array(data)
    except (ValueError, TypeError):
        raise _unusable(data) from None
    if found.dtype.kind not in "biufc":
        raise _unusable(data)
    return found


def _nested_shape(data: Any) -> tuple[int, ...]:
    if not isinstance(data, (list, tuple)):
        return ()
    return (len(data), *(_nested_shape(data[0]) if len(data) else ()))


def _first(data: Any) -> Any:
    while isinstance(data, (list, tuple)):
        data = data[0]
    return data


def _has_numpy(data: Any) -> bool:
    return isinstance(_first(data), (np.ndarray, np.generic))


def _tensor_dtype(data: Any) -> dtype | None:
    """The dtype that a list of tensors is converted to: PyTorch takes the promoted one."""
    if not all(isinstance(x, Tensor) for x in data):
        return None
    return functools.reduce(promote_types, (x.dtype for x in data))


def _unwrap(data: Any) -> Any:
    """Nested lists with tensors in them as nested lists of numbers and arrays."""
    if not any(isinstance(x, (Tensor, list, tuple)) for x in data):
        return data
    return [
        realize(x) if isinstance(x, Tensor) else _unwrap(x) if isinstance(x, (list, tuple)) else x
        for x in data
    ]


def _ragged(data: Any, dim: int = 0) -> tuple[int, int, int] | None:
    """(expected length, dim, other length) of the first two lists that differ in length."""
    if not isinstance(data, (list, tuple)) or not data:
        return None
    lengths = [len(x) if isinstance(x, (list, tuple)) else 0 for x in data]
    for n in lengths[1:]:
        if n != lengths[0]:
            return lengths[0], dim + 1, n
    return next((found for x in data if (found := _ragged(x, dim + 1)) is not None), None)


def _unusable(data: Any) -> Exception:
    if (found := _ragged(data)) is not None:
        return ShapeError(
            f"tensor(): expected sequence of length {found[0]} at dim {found[1]} (got {found[2]}); "
            "pad or truncate the lists."
        )
    kind = type(_first(data)).__name__
    return DtypeError(f"tensor(): invalid data type '{kind}'; expected numbers, lists or arrays.")


def from_array(array: Any, *, copy: bool = False) -> Tensor:
    """A tensor that holds ``array`` (not copied unless asked)."""
    d = from_numpy_dtype(array.dtype)
    if array.dtype != d.numpy or copy:
        array = np.array(array, dtype=d.numpy)
    return realized(array, d)


def from_numpy(array: Any) -> Tensor:
    """A tensor that shares the memory of a NumPy array.

    >>> import numpy as np, backlit
    >>> a = np.zeros(2); t = backlit.from_numpy(a); a[0] = 5
    >>> t[0].item()
    5.0
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy(): expected np.ndarray (got {type(array).__name__}).")
    if any(step < 0 for step in array.strides):
        raise ArgumentError(
            "from_numpy(): at least one stride in the given numpy array is negative, and tensors "
            "with negative strides are not currently supported; make a copy with array.copy()."
        )
    made = from_array(array)
    extra(made).exported = True
    return made


def full_constant(shape: tuple[int, ...], x: Any, d: dtype) -> Tensor:
    """A realized tensor filled with one number."""
    return realized(np.full(shape, x, d.numpy), d)


def frombuffer(
    buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A tensor that shares the memory of an object with Python's buffer protocol.

    >>> import backlit
    >>> backlit.frombuffer(bytearray([1, 2, 3]), dtype=backlit.uint8, offset=1)
    tensor([2, 3], dtype=backlit.uint8)
    """
    made = from_numpy(
        np.frombuffer(buffer, dtype=as_dtype(dtype).numpy, count=count, offset=offset)
    )
    return set_requires_grad(made) if requires_grad else made


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of an object with ``__dlpack__``, such as another array.

    >>> import numpy as np, backlit
    >>> backlit.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if isinstance(ext_tensor, Tensor):
        made: Tensor = PUBLIC["detach"](ext_tensor)
        return made
    return from_numpy(np.from_dlpack(ext_tensor))


def legacy_tensor(*args: Any, **kwargs: Any) -> Tensor:
    """``Tensor(2, 3)`` (here zeros), ``Tensor([1, 2])`` and ``Tensor(other)``: default dtype."""
    check_device(kwargs.pop("device", None))
    d = kwargs.pop("dtype", None) or get_default_dtype()
    if "size" in kwargs:
        args = tuple(kwargs.pop("size"))
    if kwargs:
        raise TypeError(
            f"Tensor(): unexpected keyword arguments {sorted(kwargs)}; use backlit.tensor(data)."
        )
    if not args:
        return full_constant((0,), 0, d)
    if all(isinstance(a, int) for a in args):
        return full_constant(args, 0, d)
    if len(args) > 1 or isinstance(args[0], (float, str)):
        raise TypeError(
            "Tensor(): expected sizes, or one sequence of data; use backlit.tensor(data) for data."
        )
    if isinstance(args[0], Size):
        return full_constant(args[0], 0, d)
    if isinstance(args[0], Tensor):
        if args[0].dtype is not d:
            raise TypeError(
                f"Tensor(): expected a {d.name} tensor, got {args[0].dtype.name}; use .to(dtype)."
            )
        return alias_of(args[0])
    return tensor(args[0], dtype=d)


def alias_of(t: Tensor) -> Tensor:
    """Another tensor over the same values, without history."""
    made: Tensor = PUBLIC["detach"](t)
    return made


__all__ = [
    "as_tensor",
    "asarray",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "device",
    "from_dlpack",
    "from_numpy",
    "frombuffer",
    "layout",
    "memory_format",
    "preserve_format",
    "strided",
    "tensor",
]
