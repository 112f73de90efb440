"""Tensor: a light handle on a value that is either realized or still to be computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from backlit.core.dtypes import dtype
from backlit.core.methods import TensorMethods
from backlit.core.size import Size
from backlit.core.value import Value, meta_of, outside

if TYPE_CHECKING:
    from backlit.core.era import Era
    from backlit.core.views import View

Array = np.ndarray[Any, np.dtype[Any]]


class Extra:
    """What only some tensors have: gradient, history, views, hooks."""

    __slots__ = (
        "edge",
        "exported",
        "grad",
        "hooks",
        "post_hooks",
        "retains",
        "version",
        "view",
        "views",
    )

    def __init__(self) -> None:
        self.grad: Any = None  # a Tensor, or the sparse gradient of a table
        self.edge: tuple[Era, Value] | None = (
            None  # history, once the recording it is in was flushed
        )
        self.view: View | None = None
        self.views: list[Any] | None = None  # weak references to the views of this tensor
        self.version = 0  # in-place changes so far
        self.exported = False  # NumPy arrays that share the memory may exist outside
        self.hooks: dict[int, Any] | None = None
        self.post_hooks: dict[int, Any] | None = None
        self.retains = False


class Tensor(TensorMethods):
    """An n-dimensional array that records what is done with it.

    ``_var`` says shape, dtype and requires_grad at any time. While ``_era`` is the recording in
    progress, ``_var`` is also the tensor's value in it. ``_data`` is the NumPy array, or None while
    the value is pending.
    """

    __slots__ = ("__dict__", "__weakref__", "_data", "_era", "_var", "_x")

    _data: Array | None
    _era: Era | None
    _var: Value
    _x: Extra | None

    __array_priority__ = 1000  # NumPy operators defer to ours

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if cls is Tensor or not args:
            from backlit.core.create import legacy_tensor

            return legacy_tensor(*args, **kwargs)  # type: ignore[return-value]
        return object.__new__(cls)

    @property
    def shape(self) -> Size:
        return self._var.shape

    @property
    def dtype(self) -> dtype:
        return self._var.dtype

    @property
    def requires_grad(self) -> bool:
        return self._var.requires_grad

    def __len__(self) -> int:
        if not self._var.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._var.shape[0]

    __hash__ = object.__hash__  # __eq__ compares elements; as a key, a tensor is itself


def extra(t: Tensor) -> Extra:
    """The `Extra` of ``t``, made if it has none."""
    x = t._x
    if x is None:
        x = t._x = Extra()
    return x


_new = object.__new__


def handle(era: Era | None, value: Value) -> Tensor:
    """A new tensor for ``value`` of ``era``."""
    t: Tensor = _new(Tensor)
    t._era = era
    t._var = value
    t._data = None
    t._x = None
    return t


def realized(array: Array, d: dtype, requires_grad: bool = False) -> Tensor:
    """A new tensor that holds ``array``."""
    t: Tensor = _new(Tensor)
    t._era = None
    t._var = outside(meta_of(array.shape, d, requires_grad))
    t._data = array
    t._x = None
    return t
