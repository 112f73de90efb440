"""What the elementwise families share: operands of one dtype, other names, in-place activations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.dtypes import dtype, get_default_dtype, of_number
from backlit.core.era import local
from backlit.core.inplace import check_inplace, rebind
from backlit.core.op import Op
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor, handle
from backlit.core.trace import convert, result_dtype
from backlit.core.value import Constant, Number, Value
from backlit.errors import DtypeError

Samples = Callable[[], list[tuple[Any, ...]]]


# -- operands, inside the body of an op -----------------------------------------------------------


def value_of(x: Tensor | Number) -> Value:
    """The value of an operand; a Python number becomes a weak constant."""
    if isinstance(x, Tensor):
        return x._var
    if not isinstance(x, (bool, int, float)):
        raise TypeError(f"expected a tensor or a number, not {type(x).__name__}.")
    return Constant(local.era.number(), np.asarray(x), of_number(x), True)


def typed(x: Tensor | Number, d: dtype) -> Tensor:
    """An operand in dtype ``d``, and from now on a full participant in promotion."""
    tracer: Any = local.era
    return handle(tracer, convert(tracer, value_of(x), d))


def common_dtype(*operands: Tensor | Number, floating: bool = False) -> dtype:
    """The dtype that operands combine to; with ``floating``, a floating one."""
    d = result_dtype([value_of(x) for x in operands])
    return get_default_dtype() if floating and not d.is_floating_point else d


def common(*operands: Tensor | Number, floating: bool = False) -> tuple[Tensor, ...]:
    """The operands, all in the dtype they combine to.

    Raises:
        TypeError: if none of them is a tensor.
    """
    if all(is_number(x) for x in operands):
        raise TypeError("one of the operands must be a tensor; all are numbers.")
    d = common_dtype(*operands, floating=floating)
    return tuple(typed(x, d) for x in operands)


def is_number(x: Any) -> bool:
    """Whether an operand came as a Python number."""
    return not isinstance(x, Tensor) or x._var.weak


def tensors(name: str, *operands: Any) -> tuple[Tensor, ...]:
    """The operands of an op that takes no numbers, in the dtype they combine to."""
    for x in operands:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): the operands must be tensors, not {type(x).__name__}; "
                "wrap a number in backlit.tensor()."
            )
    return common(*operands)


def floating(name: str, x: Any) -> Tensor:
    """``x``, which must be a floating tensor.

    Raises:
        TypeError: if it is no tensor.
        DtypeError: if its elements are not floating.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}.")
    if not x.dtype.is_floating_point:
        raise DtypeError(
            f'"{name}" not implemented for {x.dtype.name} tensors; convert the input with .float().'
        )
    return x


# -- making public --------------------------------------------------------------------------------


def public(name: str, call: Callable[..., Any], like: Callable[..., Any]) -> None:
    """Make ``call`` the public op ``name``, with the event and operator method of ``like``."""
    made: Op = like.op  # type: ignore[attr-defined]
    call.op = made  # type: ignore[attr-defined]
    if hasattr(like, "method") and not hasattr(call, "method"):
        call.method = like.method  # type: ignore[attr-defined]
    PUBLIC[name] = call


def alias(call: Callable[..., Any], *names: str) -> None:
    """Other public names of an op."""
    for name in names:
        PUBLIC[name] = call


def activation(body: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An op of ``nn.functional`` whose last parameter, ``inplace``, overwrites its input."""
    made = Op(f"nn.functional.{body.__name__}", body)
    last = len(made.parameters) - 1

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        from backlit.core.op import record

        inplace = kwargs.pop("inplace", False)
        if len(args) > last:
            args, inplace = args[:last], args[last]
        result: Tensor = record(made, args, kwargs)
        return overwritten(body.__name__, args[0] if args else kwargs["input"], result, inplace)

    made.call = call
    call.op = made  # type: ignore[attr-defined]
    PUBLIC[made.name] = call
    return call


def overwritten(name: str, input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    """``result``, stored in ``input`` where that was asked for."""
    if not inplace:
        return result
    return rebind(input, check_inplace(name + "_", input, result), name + "_")


def overwriting(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The variant ``name_`` of an activation, which stores the result in its input."""
    name = call.__name__ + "_"

    def variant(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwritten(call.__name__, input, call(input, *args, **kwargs), True)

    variant.__name__ = variant.__qualname__ = name
    variant.__doc__ = f"In-place version of ``{call.__name__}``."
    variant.op = Op(name, variant)  # type: ignore[attr-defined]
    return variant


# -- sample operands of cards ---------------------------------------------------------------------


def within(low: float, high: float, operands: int = 1) -> Samples:
    """Samples strictly between ``low`` and ``high``: a matrix (with a broadcast row), and 0-d."""

    def samples() -> list[tuple[Any, ...]]:
        rng = np.random.default_rng(0)
        shapes = [((3, 4), (4,), (3, 1))[:operands], ((), (), ())[:operands]]
        return [tuple(rng.uniform(low, high, s) for s in row) for row in shapes]

    return samples


def whole(low: int, high: int, operands: int = 2) -> Samples:
    """Samples of whole numbers from ``low`` to ``high``."""

    def samples() -> list[tuple[Any, ...]]:
        rng = np.random.default_rng(0)
        shapes = ((3, 4), (4,))[:operands]
        return [tuple(rng.integers(low, high, s, endpoint=True) for s in shapes)]

    return samples
