"""From the scalar function of an elementwise card to a kernel's expression.

A card's function runs once over `Term`s: operators and the functions of ``m`` build the expression
instead of computing anything. What kernels cannot compute raises `NotLowered`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backlit.core.primitive import Elementwise
from backlit.native.kernels.expression import Call, Const, Expression
from backlit.native.kernels.vecmath import FUNCTIONS

FLOATS = ("float32", "float64")
_ALIASES = {
    "power": "pow",
    "absolute": "abs",
    "arctan2": "atan2",
    "logical_not": "not",
    "logical_and": "and",
    "logical_or": "or",
    "rint": "round",
}
_MOST_MULTIPLICATIONS = 4  # exponents up to this become products


class NotLowered(Exception):
    """This part of a program has no native form; it runs as NumPy source."""


class Term:
    """An expression with its dtype, under Python's operators."""

    __slots__ = ("dtype", "expression")

    def __init__(self, expression: Expression, dtype: str) -> None:
        self.expression = expression
        self.dtype = dtype

    def __neg__(self) -> Term:
        return call("neg", self)

    def __invert__(self) -> Term:
        return call("not", self)

    def __pow__(self, exponent: Any) -> Term:
        if isinstance(exponent, int) and 1 <= exponent <= _MOST_MULTIPLICATIONS:
            found = self
            for _ in range(exponent - 1):
                found = found * self
            return found
        return call("pow", self, exponent)

    def __add__(self, other: Any) -> Term:
        return call("add", self, other)

    def __radd__(self, other: Any) -> Term:
        return call("add", other, self)

    def __sub__(self, other: Any) -> Term:
        return call("sub", self, other)

    def __rsub__(self, other: Any) -> Term:
        return call("sub", other, self)

    def __mul__(self, other: Any) -> Term:
        return call("mul", self, other)

    def __rmul__(self, other: Any) -> Term:
        return call("mul", other, self)

    def __truediv__(self, other: Any) -> Term:
        return call("div", self, other)

    def __rtruediv__(self, other: Any) -> Term:
        return call("div", other, self)

    def __lt__(self, other: Any) -> Term:
        return call("lt", self, other)

    def __le__(self, other: Any) -> Term:
        return call("le", self, other)

    def __gt__(self, other: Any) -> Term:
        return call("gt", self, other)

    def __ge__(self, other: Any) -> Term:
        return call("ge", self, other)

    def __eq__(self, other: object) -> Term:  # type: ignore[override]
        return call("eq", self, other)

    def __ne__(self, other: object) -> Term:  # type: ignore[override]
        return call("ne", self, other)

    def __and__(self, other: Any) -> Term:
        return call("and", self, other)

    def __or__(self, other: Any) -> Term:
        return call("or", self, other)

    __hash__ = object.__hash__


def call(name: str, *operands: Any) -> Term:
    """A function of the kernel language, with Python numbers in the dtype of the other operands."""
    name = _ALIASES.get(name, name)
    if name not in FUNCTIONS or FUNCTIONS[name].arity != len(operands):
        raise NotLowered(name)
    values = operands[1:] if name == "where" else operands
    kinds = {o.dtype for o in values if isinstance(o, Term)}
    if len(kinds) != 1:
        raise NotLowered(f"{name} of {sorted(kinds)}")
    (kind,) = kinds
    logical = name in ("and", "or", "not")
    if (kind == "bool") is not logical:
        raise NotLowered(f"{name} of {kind}")
    parts = tuple(o.expression if isinstance(o, Term) else Const(float(o), kind) for o in operands)
    result = (
        "bool"
        if name in ("lt", "le", "gt", "ge", "eq", "ne", "isnan", "and", "or", "not")
        else kind
    )
    return Term(Call(name, parts), result)


class KernelMath:
    """``m`` for kernels."""

    def __getattr__(self, name: str) -> Callable[..., Term]:
        return lambda *operands: call(name, *operands)


_math = KernelMath()


def lower(card: Elementwise, operands: Sequence[Term], dtype: str) -> Term:
    """What ``card`` computes from ``operands``, a value of ``dtype``."""
    if card.name == "where":
        return call("where", *operands)
    assert card.scalar is not None
    found = card.scalar(_math, *operands)
    if not isinstance(found, Term) or found.dtype != dtype:
        raise NotLowered(f"{card.name} gives {getattr(found, 'dtype', type(found).__name__)}")
    return found
