"""Making tensors: from data, filled, counted, and the legacy constructor."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core import dtypes
from backlit.core.dtypes import as_dtype, dtype, from_numpy_dtype, get_default_dtype
from backlit.core.era import adopt, local, realize
from backlit.core.tensor import Tensor, extra, realized
from backlit.core.value import meta_of, outside
from backlit.errors import DtypeError, ShapeError


def set_requires_grad(t: Tensor, flag: bool = True) -> Tensor:
    """Turn the collection of gradients for a leaf on or off."""
    from backlit.core.inplace import is_leaf, leaf_

    if t.requires_grad == flag:
        return t
    if flag and not t.dtype.is_floating_point:
        raise DtypeError(
            f"only Tensors of floating point dtype can require gradients, got {t.dtype.name}; use "
            f".float() first."
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
    check_device(device)
    made = from_array(_array(data, dtype), copy=False)
    return set_requires_grad(made) if requires_grad else made


def _array(data: Any, d: dtype | None) -> np.ndarray[Any, Any]:
    """``data`` as a fresh array of dtype ``d`` (inferred if None)."""
    if isinstance(data, Tensor):
        data = realize(data)
    if isinstance(data, (list, tuple)):
        data = _unwrap(data)
    if not isinstance(data, (np.ndarray, np.generic)):
        found = np.array(data) if not _is_empty(data) else np.zeros(_empty_shape(data))
        if found.dtype == object:
            raise _ragged(data)
        if d is None and found.dtype == np.float64:
            d = get_default_dtype()
    else:
        found = np.asarray(data)
    target = as_dtype(d) if d is not None else from_numpy_dtype(found.dtype)
    if found.dtype.kind == "c":
        from_numpy_dtype(found.dtype)
    with np.errstate(all="ignore"):
        return np.array(found, dtype=target.numpy, order="C")


def _is_empty(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and 0 in _empty_shape(data)


def _empty_shape(data: Any) -> tuple[int, ...]:
    return (
        (len(data), *(_empty_shape(data[0]) if len(data) else ()))
        if isinstance(data, (list, tuple))
        else ()
    )


def _unwrap(data: Any) -> Any:
    """Nested lists with tensors in them as nested lists of numbers and arrays."""
    return [
        realize(x) if isinstance(x, Tensor) else _unwrap(x) if isinstance(x, (list, tuple)) else x
        for x in data
    ]


def _ragged(data: Any) -> Exception:
    lengths = (
        [len(x) if isinstance(x, (list, tuple)) else 0 for x in data]
        if isinstance(data, (list, tuple))
        else []
    )
    if len(set(lengths)) > 1:
        return ShapeError(
            f"tensor(): expected sequences of equal length at dim 1, got lengths {lengths[:6]}; "
            f"pad or truncate them."
        )
    return TypeError(
        f"tensor(): cannot make a tensor of {type(data).__name__} data; expected numbers."
    )


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
    made = from_array(array)
    extra(made).exported = True
    return made


def full_constant(shape: tuple[int, ...], x: Any, d: dtype) -> Tensor:
    """A realized tensor filled with one number."""
    return realized(np.full(shape, x, d.numpy), d)


def check_device(device: Any) -> None:
    """Only the CPU exists here; any other device is an error that says so."""
    if device is None:
        return
    name = str(device).split(":")[0]
    if name not in ("cpu", "meta"):
        raise RuntimeError(
            f"device {str(device)!r} is not available: backlit runs on the CPU; use device='cpu'."
        )


def legacy_tensor(*args: Any, **kwargs: Any) -> Tensor:
    """``Tensor(2, 3)`` (uninitialised, here zeros), ``Tensor([1, 2])`` and ``Tensor(other)``: default dtype."""
    check_device(kwargs.pop("device", None))
    d = get_default_dtype()
    if not args:
        return full_constant((0,), 0, d)
    if all(isinstance(a, int) for a in args):
        return full_constant(args, 0, d)
    if isinstance(args[0], dtypes.dtype) or len(args) > 1:
        raise TypeError(
            "Tensor(): expected sizes, or one sequence of data; use backlit.tensor(data) for data."
        )
    if isinstance(args[0], Tensor):
        return realized(realize(args[0]).astype(d.numpy), d)
    return tensor(args[0], dtype=d)


__all__ = ["from_numpy", "tensor"]
