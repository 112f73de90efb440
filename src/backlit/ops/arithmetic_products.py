"""Sums of products and quotients, and points between two others."""

from __future__ import annotations

from typing import Any

from backlit.core.op import op
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import DtypeError
from backlit.ops.arithmetic import is_one
from backlit.ops.elementwise import common, is_number


@op(out=True, inplace=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """``input + value · tensor1 · tensor2``.

    >>> import backlit
    >>> backlit.addcmul(backlit.ones(2), backlit.tensor([1.0, 2.0]), backlit.tensor([3.0, 4.0]))
    tensor([4., 9.])
    """
    x, a, b = common(input, tensor1, tensor2)
    product = a * b
    return x + (product if is_one(value) else _whole_factor("addcmul", product, value))


@op(out=True, inplace=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """``input + value · tensor1 / tensor2``.

    Raises:
        DtypeError: if both tensors hold whole numbers.
    """
    x, a, b = common(input, tensor1, tensor2)
    if not tensor1.dtype.is_floating_point and not tensor2.dtype.is_floating_point:
        raise DtypeError(
            "addcdiv: Integer division with addcdiv is no longer supported; convert with .float()."
        )
    quotient = a / b
    return x + (quotient if is_one(value) else quotient * value)


def _whole_factor(name: str, x: Tensor, value: Any) -> Tensor:
    if not x.dtype.is_floating_point and value.dtype.is_floating_point:
        raise DtypeError(
            f"{name}: For integral input tensors, argument value must not be a floating point "
            "number; use a whole value, or .float()."
        )
    return x * value


@op(out=True, inplace=True)
def lerp(input: Tensor, end: Tensor, weight: Number | Tensor) -> Tensor:
    """``input + weight · (end - input)``: on the line from ``input`` to ``end``.

    >>> import backlit
    >>> backlit.lerp(backlit.tensor([0.0, 10.0]), backlit.tensor([1.0, 20.0]), 0.5).tolist()
    [0.5, 15.0]
    """
    for role, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and not is_number(x) and x.dtype is not input.dtype:
            raise DtypeError(
                f"lerp: expected dtype {input.dtype.name} for `{role}` "
                f"but got dtype {x.dtype.name}; convert it."
            )
    return input + weight * (end - input)
