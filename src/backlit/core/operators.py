"""Public ops of one and two operands, by the shortest path: what Python's operators call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.era import local
from backlit.core.inner import inner
from backlit.core.op import Op, record
from backlit.core.primitive import Primitive
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor


def unary(card: Primitive, name: str = "", *, inplace: bool = True) -> Callable[..., Tensor]:
    """The public op of a one-operand card: the shortest path there is."""
    name = name or card.name

    def body(input: Tensor) -> Tensor:
        return local.era.emit(card, (_tensor(name, input),), {})

    made = Op(name, body, inplace=inplace)

    def call(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if out is not None:
            from backlit.core.inplace import write_out

            return write_out(name, out, call(input))
        era = local.era
        if isinstance(input, Tensor):
            if input._era is not era:
                era.enter(input)
            child = era.here.children.get((made, input._var))
            if child is not None:
                era.here = child
                return inner.pend(era, era.pending, child.out)
        return record(made, (input,), {})

    _dress(call, name, made, body)
    return call


def binary(
    card: Primitive, name: str = "", *, inplace: bool = True, numbers: str = "either"
) -> Callable[..., Tensor]:
    """The public op of a two-operand card.

    Args:
        card: what it computes.
        name: the public name, by default that of the card.
        inplace: whether there is an in-place variant.
        numbers: which operands may be Python numbers when the op is called by its name: "both" at
            the same time, "either", or only the "second".
    """
    name = name or card.name

    def body(input: Tensor, other: Tensor) -> Tensor:
        pair = (input, other)
        if numbers != "both" and all(not isinstance(x, Tensor) or x._var.weak for x in pair):
            raise TypeError(f"{name}(): one of the operands must be a tensor; both are numbers.")
        return local.era.emit(card, (_operand(name, input), _operand(name, other)), {})

    made = Op(name, body, inplace=inplace)
    made.numbers = frozenset(made.parameters)
    made.positions = (True, True)
    method = operator(made)

    def call(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
        if out is not None:
            from backlit.core.inplace import write_out

            return write_out(name, out, call(input, other))
        if isinstance(input, Tensor):
            found = method(input, other)
            if found is not NotImplemented:
                return found
        elif numbers == "second":
            _tensor(name, input)
        return record(made, (input, other), {})

    _dress(call, name, made, body)
    call.method = method  # type: ignore[attr-defined]
    return call


def operator(made: Op) -> Callable[[Tensor, Any], Any]:
    """A binary op as Python's operator calls it: NotImplemented for operands it does not know."""

    def method(self: Tensor, other: Any) -> Any:
        era = local.era
        if self._era is not era:
            era.enter(self)
        if isinstance(other, Tensor):
            if other._era is not era:
                era.enter(other)
            child = era.here.children.get((made, self._var, other._var))
        else:
            kind = type(other)
            if kind is not float and kind is not int and kind is not bool:
                return _unusual(made, self, other)
            child = era.here.children.get((made, self._var, kind))
            if child is not None:
                era.scalars.append(other)
        if child is None:
            return record(made, (self, other), {})
        era.here = child
        return inner.pend(era, era.pending, child.out)

    return method


def reflected(made: Op) -> Callable[[Tensor, Any], Any]:
    """A binary op as Python calls it with the tensor on the right."""

    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, (Tensor, bool, int, float)):
            return record(made, (other, self), {})
        if isinstance(other, np.ndarray):
            return record(made, (_from_numpy(other), self), {})
        return NotImplemented

    return method


def _unusual(made: Op, self: Tensor, other: Any) -> Any:
    """An operand that is neither a tensor nor a plain Python number."""
    if isinstance(other, (np.ndarray, np.generic)):
        return record(made, (self, _from_numpy(other) if other.ndim else other.item()), {})
    if isinstance(other, (int, float)):  # bool, IntEnum, numpy.float64 …
        return record(made, (self, float(other) if isinstance(other, float) else int(other)), {})
    return NotImplemented


def _from_numpy(array: Any) -> Tensor:
    from backlit.core.create import from_array

    return from_array(array, copy=True)


def _dress(call: Any, name: str, made: Op, body: Any) -> None:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = body.__doc__
    call.op = made
    made.call = call
    PUBLIC[name] = call


def _tensor(op_name: str, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{op_name}(): argument 'input' must be Tensor, not {type(x).__name__}.")
    return x


def _operand(op_name: str, x: Any) -> Any:
    if not isinstance(x, (Tensor, bool, int, float)):
        raise TypeError(
            f"{op_name}(): operands must be tensors or numbers, not {type(x).__name__}."
        )
    return x
