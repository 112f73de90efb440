"""What the methods of `Tensor` are: ops, their in-place variants, Python's operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.core.inplace import before, check_inplace, rebind
from backlit.core.operators import operator, reflected
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.tensor import Tensor

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


def method(name: str) -> Any:
    """What `Tensor` has under ``name``: a function or a property."""
    bare = name.strip("_")
    if name in METHODS:
        return METHODS[name]
    if name in PUBLIC:
        return PUBLIC[name]
    if not name.startswith("__"):
        return make_inplace(bare, PUBLIC[bare])
    if bare in UNARY:
        return PUBLIC[UNARY[bare]]
    if bare in OPERATORS or bare in COMPARISONS:
        call = PUBLIC[(OPERATORS | COMPARISONS)[bare]]
        return getattr(call, "method", operator(call.op))  # type: ignore[attr-defined]
    call = PUBLIC[OPERATORS[bare[1:]]]
    if bare.startswith("r"):
        return reflected(call.op)  # type: ignore[attr-defined]
    return _in_operator(OPERATORS[bare[1:]], call)


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
