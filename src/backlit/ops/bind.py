"""Binding ops to `Tensor`: methods, operators, in-place variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.core.dtypes import (
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from backlit.core.inplace import before, check_inplace, rebind
from backlit.core.methods import TensorMethods
from backlit.core.op import PUBLIC, Op
from backlit.core.operators import operator, reflected
from backlit.core.tensor import Tensor
from backlit.ops import access, convert, index, random, shape_inplace, shape_memory

OPERATORS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
    "matmul": "matmul",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
COMPARISONS = {"lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne"}
UNARY = {"neg": "neg", "abs": "abs", "invert": "bitwise_not", "pos": "positive"}
DTYPE_METHODS = {
    "float": float32,
    "double": float64,
    "half": float16,
    "bfloat16": bfloat16,
    "long": int64,
    "int": int32,
    "short": int16,
    "char": int8,
    "byte": uint8,
    "bool": bool_,
}

_MODULES = (access, random, convert, index, shape_inplace, shape_memory)


def make_inplace(name: str, call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place variant of an op: compute, check, and bind the tensor to the result."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = call(before(self, args), *args, **kwargs)
        return rebind(self, check_inplace(name + "_", self, result), name + "_")

    method.__name__ = name + "_"
    method.__doc__ = f"In-place version of ``{name}``."
    return method


def _in_operator(name: str, call: Callable[..., Tensor]) -> Callable[..., Any]:
    method = make_inplace(name, call)

    def operator(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, bool, int, float)) and not hasattr(other, "__array__"):
            return NotImplemented
        return method(self, other)

    return operator


def bind() -> None:
    """Give `Tensor` its methods; called once, when the ops have been defined."""
    for name, call in PUBLIC.items():
        made: Op = call.op  # type: ignore[attr-defined]
        if "." in name or not made.method or made.parameters[:1] != ("input",):
            continue
        setattr(TensorMethods, name, call)
        if made.inplace:
            setattr(TensorMethods, name + "_", make_inplace(name, call))
    for python, name in {**OPERATORS, **COMPARISONS}.items():
        if name not in PUBLIC:
            continue
        made = PUBLIC[name].op  # type: ignore[attr-defined]
        setattr(TensorMethods, f"__{python}__", getattr(PUBLIC[name], "method", operator(made)))
        if python in OPERATORS:
            setattr(TensorMethods, f"__r{python}__", reflected(made))
            setattr(TensorMethods, f"__i{python}__", _in_operator(name, PUBLIC[name]))
    for python, name in UNARY.items():
        if name in PUBLIC:
            setattr(TensorMethods, f"__{python}__", PUBLIC[name])
    for name, d in DTYPE_METHODS.items():
        setattr(TensorMethods, name, access._converter(d))
    for name, method in (item for module in _MODULES for item in module.METHODS.items()):
        setattr(TensorMethods, name, method)
