"""Reading tensors: numbers, arrays, text; and what Python's protocols ask of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core import printing
from backlit.core.create import from_array
from backlit.core.dtypes import (
    as_dtype,
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from backlit.core.era import local, realize
from backlit.core.inplace import is_leaf, to_dtype
from backlit.core.op import OpName, op
from backlit.core.primitive import primitive
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.sparse import SparseTensor
from backlit.core.tensor import Tensor, extra
from backlit.core.value import Result
from backlit.errors import ArgumentError, DtypeError, GradientError

clone_card = primitive(
    "clone",
    "x",
    shape=lambda x: (tuple(x.shape), x.dtype),
    numpy="np.array({x})",
    vjp=(lambda g: g,),
    maths="a copy of x",
    local="1",
)


@op
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with its own memory; gradients flow through it."""
    return clone_card(input)


def item(self: Tensor) -> Any:
    """The only element, as a Python number.

    Raises:
        RuntimeError: if there is more than one element, or none.
    """
    if self._var.numel != 1:
        raise ArgumentError(
            f"a Tensor with {self._var.numel} elements cannot be converted to Scalar; index one "
            f"element first, or use "
            ".tolist()."
        )
    return realize(self).item()


def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers."""
    return realize(self).tolist()


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The values as a NumPy array that shares the tensor's memory.

    Raises:
        GradientError: if the tensor requires grad (use ``.detach().numpy()`` or ``force=True``).
    """
    if self.requires_grad and not force:
        raise GradientError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    return share(self)


def share(t: Tensor) -> Any:
    """The array of ``t``, from now on treated as visible to others."""
    x = extra(t)
    if x.view is not None:
        base = x.view.base
        share(base)
        x.exported = True
        array = realize(t)
        if not np.may_share_memory(array, realize(base)):
            from backlit.core.views import moved

            t._data = array = moved(realize(base), base._var.meta, x.view.moves)
        return array
    array = realize(t)
    if t._era is local.era:
        t._era.flush()  # whoever gets the array may write to it; what is pending reads it before
    if not x.exported:
        if array.base is not None or not array.flags.writeable:
            t._data = array = np.array(array)
        x.exported = True
        for reference in x.views or ():
            view = reference()
            if view is not None:
                extra(view).exported = True
    return array


def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: N807
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return np.array(array) if copy else array


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dimension."""
    from backlit.core.size import wrap_dim

    return self.shape if dim is None else self.shape[wrap_dim(dim, self._var.ndim, "size")]


def _bool(self: Tensor) -> bool:
    if self._var.numel != 1:
        raise ArgumentError(
            f"Boolean value of Tensor with {'more than one' if self._var.numel else 'no'} "
            f"value{'' if self._var.numel else 's'} is ambiguous; use .any() or .all()."
        )
    return bool(realize(self).item())


def _index(self: Tensor) -> int:
    if self.dtype.is_floating_point or self._var.numel != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(realize(self).item())


def _iter(self: Tensor) -> Any:
    if not self.shape:
        raise TypeError("iteration over a 0-d tensor")
    select = PUBLIC["select"]
    return (select(self, 0, i) for i in range(self._var.shape[0]))


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype; devices are accepted and must be the CPU."""
    from backlit.core.device import check_device

    target = kwargs.pop("dtype", None)
    check_device(kwargs.pop("device", None))
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() got unexpected keyword arguments {sorted(kwargs)}.")
    for a in args:
        if isinstance(a, Tensor):
            target = a.dtype
        elif isinstance(a, (dtype, type)):
            target = as_dtype(a)
        elif not isinstance(a, bool):
            check_device(a)
    target = as_dtype(target) if target is not None else self.dtype
    if target is self.dtype:
        return clone(self) if copy else self
    return to_dtype(self, target)


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Turn the collection of gradients in ``.grad`` on (or off) for a leaf."""
    from backlit.core.create import set_requires_grad

    return set_requires_grad(self, requires_grad)


def _repr(self: Tensor) -> str:
    array = realize(self)
    name = grad_fn_name(self)
    return printing.tensor_repr(
        array.astype(np.float32) if self.dtype is bfloat16 else array,
        dtype_name=repr(self.dtype),
        default_float_dtype_name=repr(get_default_dtype()),
        requires_grad=self.requires_grad and name is None,
        grad_fn_name=name,
    )


def grad_fn_name(t: Tensor) -> str | None:
    """The name of the public op that made ``t`` as PyTorch prints it, such as ``GeluBackward0``."""
    if not t.requires_grad or is_leaf(t):
        return None
    x = t._x
    value = x.edge[1] if x is not None and x.edge is not None else t._var
    if not isinstance(value, Result):
        return "Backward0"
    node = value.node
    called = (name for name in node.where.scope if isinstance(name, OpName))
    name = next(called, node.primitive.name).rpartition(".")[2]
    return "".join(part.capitalize() for part in name.split("_")) + "Backward0"


def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Tensor:  # noqa: N807
    if not is_leaf(self):
        raise GradientError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment; "
            "use .detach().clone()."
        )
    if id(self) in memo:
        found: Tensor = memo[id(self)]
        return found
    made = remake(type(self), np.array(realize(self)), self.requires_grad)
    memo[id(self)] = made
    if self._x is not None and self._x.grad is not None:
        extra(made).grad = __deepcopy__(self._x.grad, memo)
    for k, v in self.__dict__.items():
        from copy import deepcopy

        made.__dict__[k] = deepcopy(v, memo)
    return made


def remake(kind: type[Tensor], array: Any, requires_grad: bool) -> Tensor:
    """A leaf of class ``kind`` that holds ``array``."""
    from backlit.core.create import set_requires_grad

    made = from_array(array)
    if kind is not Tensor:
        made = as_subclass(made, kind)
    return set_requires_grad(made, requires_grad)


def as_subclass(t: Tensor, kind: type[Tensor]) -> Tensor:
    """``t``, which must be realized, as an instance of ``kind`` that holds the same array."""
    made = object.__new__(kind)
    made._era, made._var, made._data, made._x = None, t._var, realize(t), None
    return made


def __reduce_ex__(self: Tensor, protocol: Any) -> Any:  # noqa: N807
    array = realize(self)
    if not is_leaf(self):
        raise GradientError("Only leaf tensors can be pickled; use .detach() first.")
    if self.dtype is bfloat16:
        return _unpickle_bfloat16, (type(self), array.view(np.uint16), self.requires_grad)
    return remake, (type(self), np.array(array), self.requires_grad)


def _unpickle_bfloat16(kind: type[Tensor], bits: Any, requires_grad: bool) -> Tensor:
    return remake(kind, bits.view(bfloat16.numpy), requires_grad)


def _data(self: Tensor) -> Tensor:
    return PUBLIC["detach"](self)


def set_data(self: Tensor, new: Tensor) -> None:
    """``t.data = new``: hold other values, without history."""
    if not isinstance(new, Tensor):
        raise TypeError(f"data must be a Tensor, not {type(new).__name__}.")
    if self.requires_grad and not new.dtype.is_floating_point:
        raise DtypeError(
            f"data of a tensor that requires grad must be floating, not {new.dtype.name}."
        )
    from backlit.core.value import meta_of, outside

    array = realize(new)
    self._era, self._data = None, array
    self._var = outside(meta_of(array.shape, new.dtype, self.requires_grad))
    if new._x is not None and new._x.exported:
        extra(self).exported = True
    if self._x is not None:
        self._x.edge = self._x.view = None


def _set_grad(self: Tensor, g: Any) -> None:
    if g is not None and not isinstance(g, (Tensor, SparseTensor)):
        raise TypeError(
            f"assigned grad expected to be a Tensor or None but got {type(g).__name__}."
        )
    if g is not None and g.shape != self.shape:
        raise ArgumentError(
            f"assigned grad has data of a different size: the tensor is {tuple(self.shape)}, the "
            f"grad {tuple(g.shape)}."
        )
    extra(self).grad = g


def _converter(d: dtype) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return to(self, d)

    method.__doc__ = f"The tensor with elements of {d.name}."
    return method


def _format(self: Tensor, spec: str) -> str:
    return format(item(self), spec) if not self.shape and spec else repr(self)


def _self(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor itself: there is one device, and memory is always contiguous."""
    return self


METHODS.update({
    "item": item, "tolist": tolist, "numpy": numpy, "__array__": __array__, "size": size,
    "__bool__": _bool, "__index__": _index, "__int__": lambda self: int(item(self)),
    "__float__": lambda self: float(item(self)), "__iter__": _iter, "to": to,
    "requires_grad_": requires_grad_, "__repr__": _repr, "__deepcopy__": __deepcopy__,
    "__reduce_ex__": __reduce_ex__, "cpu": _self, "numel": lambda self: self._var.numel,
    "nelement": lambda self: self._var.numel, "dim": lambda self: self._var.ndim,
    "is_floating_point": lambda self: self.dtype.is_floating_point,
    "is_complex": lambda self: False,
    "element_size": lambda self: self.dtype.itemsize,
    "__format__": _format,
    "ndim": property(lambda self: self._var.ndim),
    "is_leaf": property(is_leaf),
    "grad": property(lambda self: self._x.grad if self._x is not None else None, _set_grad),
    "data": property(_data, set_data),
    "is_cuda": property(lambda self: False),
    "is_sparse": property(lambda self: False),
    "is_quantized": property(lambda self: False),
    "itemsize": property(lambda self: self.dtype.itemsize),
    "nbytes": property(lambda self: self.dtype.itemsize * self._var.numel),
    "_version": property(lambda self: self._x.version if self._x is not None else 0),
    "float": _converter(float32), "double": _converter(float64), "half": _converter(float16),
    "bfloat16": _converter(bfloat16), "long": _converter(int64), "int": _converter(int32),
    "short": _converter(int16), "char": _converter(int8), "byte": _converter(uint8),
    "bool": _converter(bool_),
})  # fmt: skip
