"""Parameters and buffers: the tensors that belong to a module's state."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from backlit.core.create import full_constant
from backlit.core.device import check_device
from backlit.core.dtypes import as_dtype, dtype, get_default_dtype
from backlit.core.era import realize
from backlit.core.tensor import Tensor, extra
from backlit.core.value import meta_of, outside
from backlit.errors import DtypeError, ShapeError


def wrap(data: Tensor | None, kind: type[Any], requires_grad: bool) -> Any:
    """The array of ``data`` in a leaf of class ``kind``, without copying it."""
    if data is None:
        data = Tensor(0)
    if not isinstance(data, Tensor):
        raise TypeError(
            f"{kind.__name__}(): argument 'data' must be Tensor, not {type(data).__name__}; "
            "make one with backlit.tensor(data)."
        )
    if requires_grad and not data.dtype.is_floating_point:
        raise DtypeError(
            f"only Tensors of floating point dtype can require gradients, got {data.dtype.name}; "
            "use .float() first, or requires_grad=False."
        )
    made: Any = object.__new__(kind)
    made._era, made._x = None, None
    made._data = realize(data)
    made._var = outside(meta_of(tuple(data.shape), data.dtype, requires_grad))
    made.__dict__.update(data.__dict__)
    if data._x is not None and data._x.exported:
        extra(made).exported = True
    return made


class Parameter(Tensor):
    """A tensor that a module learns: assigned to an attribute, it is among `Module.parameters`.

    Args:
        data: the initial values, which are not copied; empty if None.
        requires_grad: whether gradients are collected for it.

    >>> from backlit import nn
    >>> nn.Parameter(backlit.tensor([1.0, 2.0]))
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Self:
        made: Self = wrap(data, cls, requires_grad)
        return made

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that is part of a module's state without being learned.

    Args:
        data: the initial values, which are not copied; empty if None.
        persistent: whether it is saved in the module's `state_dict`.

    >>> from backlit import nn
    >>> nn.Buffer(backlit.tensor([1.0])).persistent
    True
    """

    __slots__ = ()

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Self:
        made: Self = wrap(data, cls, data is not None and data.requires_grad)
        made.persistent = persistent
        return made


class Uninitialized(Tensor):
    """A tensor whose shape is not known yet; `materialize` gives it one."""

    __slots__ = ()

    becomes: type[Tensor]  # what it is once it has a shape

    @classmethod
    def _make(cls, requires_grad: bool, device: Any, dtype: dtype | None) -> Any:
        check_device(device)
        d = as_dtype(dtype) if dtype is not None else get_default_dtype()
        made: Any = object.__new__(cls)
        made._era, made._x = None, None
        made._data = np.empty(0, d.numpy)
        made._var = outside(meta_of((0,), d, requires_grad))
        return made

    @property
    def shape(self) -> Any:
        raise ShapeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` once to initialize the parameters of lazy modules."
        )

    def materialize(self, shape: Any, device: Any = None, dtype: dtype | None = None) -> None:
        """Give this tensor a shape, filled with zeros; it becomes a `Parameter` or `Buffer`."""
        check_device(device)
        d = as_dtype(dtype) if dtype is not None else self.dtype
        self._data = np.zeros(tuple(shape), d.numpy)
        self._var = outside(meta_of(tuple(shape), d, self.requires_grad))
        self.__class__ = self.becomes  # type: ignore[assignment]

    def convert(self, dtype: dtype) -> None:
        """Change the dtype it will have."""
        self._data = np.empty(0, dtype.numpy)
        self._var = outside(meta_of((0,), dtype, self.requires_grad))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = self._make(self.requires_grad, None, self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._make, (self.requires_grad, None, self.dtype)


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter of a lazy module, before the first input has told its shape.

    >>> from backlit import nn
    >>> p = nn.UninitializedParameter()
    >>> p.materialize((2, 3))
    >>> type(p).__name__, tuple(p.shape)
    ('Parameter', (2, 3))
    """

    __slots__ = ()

    becomes = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: dtype | None = None
    ) -> Self:
        made: Self = cls._make(requires_grad, device, dtype)
        return made


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer of a lazy module, before the first input has told its shape."""

    __slots__ = ()

    becomes = Buffer

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: dtype | None = None,
        persistent: bool = True,
    ) -> Self:
        made: Self = cls._make(requires_grad, device, dtype)
        made.persistent = persistent
        return made


def new_parameter(
    shape: tuple[int, ...], device: Any = None, dtype: dtype | None = None, fill: float = 0
) -> Parameter:
    """A parameter of this shape, filled with one number."""
    check_device(device)
    if min(shape, default=0) < 0:
        raise ShapeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    d = as_dtype(dtype) if dtype is not None else get_default_dtype()
    return Parameter(full_constant(tuple(shape), fill, d))


def is_lazy(t: Any) -> bool:
    """Whether ``t`` is a parameter or buffer without a shape."""
    return isinstance(t, Uninitialized)


__all__ = [
    "Buffer", "Parameter", "Uninitialized", "UninitializedBuffer", "UninitializedParameter",
    "is_lazy", "new_parameter",
]  # fmt: skip
