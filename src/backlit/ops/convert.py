"""What kind of tensor: dtypes, bits, sizes in place, legacy names, exchange of memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backlit.core.create import legacy_tensor
from backlit.core.device import check_device, cpu, strided
from backlit.core.dtypes import (
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    of_number,
    uint8,
)
from backlit.core.era import local, realize
from backlit.core.op import plain
from backlit.core.registry import METHODS
from backlit.core.tensor import Tensor, extra, realized
from backlit.core.trace import result_dtype
from backlit.core.value import Constant, Value, meta_of, outside
from backlit.core.views import mark_stale
from backlit.errors import ArgumentError, GradientError, ShapeError
from backlit.ops.create import sizes_of

# -- what kind of tensor ------------------------------------------------------------------------


@plain(method=False)
def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


@plain(method=False)
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._var.numel


@plain(method=False)
def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floats."""
    return input.dtype.is_floating_point


@plain(method=False)
def is_complex(input: Tensor) -> bool:
    """Whether the elements are complex numbers (never)."""
    return input.dtype.is_complex


@plain()
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    return bool(input)


@plain()
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.shape == other.shape


def _value_of(x: Any) -> Value:
    if isinstance(x, Tensor):
        return x._var
    return Constant(-1, np.asarray(x), of_number(x), True)


@plain(method=False)
def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype that an operation on two tensors or numbers computes in.

    >>> import backlit
    >>> backlit.result_type(backlit.tensor([1]), 1.5)
    backlit.float32
    """
    return result_dtype([_value_of(tensor1), _value_of(tensor2)])


@plain()
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of ``other``."""
    return input.to(other.dtype)


# -- the same memory as another dtype or shape --------------------------------------------------


def view_as_dtype(input: Tensor, d: dtype) -> Tensor:
    """The bits of ``input`` read as elements of ``d``; the memory is shared."""
    from backlit.ops.access import share

    if input.requires_grad and local.era.here.grad:
        raise GradientError(
            "view(dtype): gradients do not flow through reinterpreted bits; use .detach() first."
        )
    array = share(input)
    if d.itemsize != input.dtype.itemsize and not _fits(array, d):
        raise ShapeError(
            f"view: to view {input.dtype.name} as {d.name} (different element sizes) the last "
            f"dimension must be contiguous and its bytes divisible by {d.itemsize}, but the tensor "
            f"has shape {list(input.shape)}."
        )
    made = realized(array.view(d.numpy), d)
    extra(made).exported = True
    return made


def _fits(array: Any, d: dtype) -> bool:
    """Whether the last dimension of ``array`` can be read as whole elements of ``d``."""
    if not array.ndim or array.strides[-1] != array.itemsize:
        return False
    return bool(array.shape[-1] * array.itemsize % d.itemsize == 0)


@plain(name="resize_")
def resize_(input: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Make the tensor another size in place: elements are kept in memory order, new ones are 0."""
    shape = sizes_of("resize_", sizes)
    if input.requires_grad:
        raise GradientError("cannot resize variables that require grad; use .detach() first.")
    old = np.ascontiguousarray(realize(input)).reshape(-1)
    n = math.prod(shape)
    flat = old[:n] if n <= old.size else np.concatenate([old, np.zeros(n - old.size, old.dtype)])
    input._era, input._data = None, flat.reshape(shape)
    input._var = outside(meta_of(shape, input.dtype, False))
    x = extra(input)
    x.version += 1
    x.view = None
    mark_stale(input)
    return input


@plain(name="resize_as_")
def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the size of another tensor."""
    return resize_(input, tuple(the_template.shape))


# -- legacy names -------------------------------------------------------------------------------


class LegacyType:
    """``FloatTensor`` and its kin: constructors that fix the dtype.

    >>> import backlit
    >>> backlit.LongTensor([1, 2])
    tensor([1, 2])
    """

    def __init__(self, name: str, d: dtype) -> None:
        self.__name__ = name
        self.dtype = d

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return legacy_tensor(*args, dtype=self.dtype, **kwargs)

    def __repr__(self) -> str:
        return f"<class 'torch.{self.__name__}'>"


LEGACY = {
    name: LegacyType(name, d)
    for name, d in {
        "FloatTensor": float32, "DoubleTensor": float64, "HalfTensor": float16,
        "BFloat16Tensor": bfloat16, "LongTensor": int64, "IntTensor": int32,
        "ShortTensor": int16, "CharTensor": int8, "ByteTensor": uint8, "BoolTensor": bool_,
    }.items()
}  # fmt: skip
for _name, _made in LEGACY.items():
    plain(_name, method=False)(_made)


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The legacy name of the tensor's type; given one (or a dtype), the tensor converted to it."""
    if dtype is None:
        return next(f"torch.{k}" for k, made in LEGACY.items() if made.dtype is self.dtype)
    if isinstance(dtype, str):
        found = LEGACY.get(dtype.rsplit(".", 1)[-1])
        if found is None:
            raise ArgumentError(
                f"type(): invalid type: '{dtype}'; expected one such as 'torch.FloatTensor'."
            )
        dtype = found
    return self.to(dtype.dtype if isinstance(dtype, LegacyType) else dtype)


# -- exchange -----------------------------------------------------------------------------------


def __dlpack__(self: Tensor, **options: Any) -> Any:  # noqa: N807
    """A DLPack capsule over the tensor's memory, for other array libraries."""
    from backlit.ops.access import numpy

    options.pop("stream", None)
    return numpy(self).__dlpack__(**options)


def _cuda(self: Tensor, device: Any = None, **_: Any) -> Tensor:
    check_device(device if device is not None else "cuda")
    return self


def _data_ptr(self: Tensor) -> int:
    from backlit.ops.access import share

    return int(share(self).ctypes.data)


def _same(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor itself: there is one kind of memory."""
    return self


METHODS.update({
    "type": type_, "__dlpack__": __dlpack__,
    "__dlpack_device__": lambda self: (1, 0), "cuda": _cuda, "data_ptr": _data_ptr,
    "pin_memory": _same, "share_memory_": _same, "is_pinned": lambda self: False,
    "is_shared": lambda self: False, "get_device": lambda self: -1,
    "is_inference": lambda self: False, "device": property(lambda self: cpu),
    "layout": property(lambda self: strided), "dense_dim": lambda self: self._var.ndim,
    "names": property(lambda self: (None,) * self._var.ndim),
})  # fmt: skip
