"""Scalar expressions: what elementwise cards are written in.

A card's function receives a namespace ``m`` of scalar functions and its operands. Called with
`numpy_math` and `Expression` operands it yields NumPy source text; the compiler calls it with
operands of its own; the gradient rules call it with tensors.
"""

from __future__ import annotations

import math
from typing import Any

_ATOM = 100
_BINARY = {  # operator → precedence in Python's grammar
    "|": 4, "^": 5, "&": 6, "<<": 7, ">>": 7, "+": 8, "-": 8, "*": 9, "/": 9, "//": 9, "%": 9,
    "**": 11,
    "<": 3, "<=": 3, ">": 3, ">=": 3, "==": 3, "!=": 3,
}  # fmt: skip


class Expression:
    """A piece of Python source with the precedence of its outermost operator."""

    __slots__ = ("level", "text")

    def __init__(self, text: str, level: int = _ATOM) -> None:
        self.text = text
        self.level = level

    @classmethod
    def name(cls, text: str) -> Expression:
        return cls(text)

    def __str__(self) -> str:
        return self.text

    def __neg__(self) -> Expression:
        return Expression(f"-{_inside(self, 10)}", 10)

    def __invert__(self) -> Expression:
        return Expression(f"~{_inside(self, 10)}", 10)


def _inside(x: Any, level: int) -> str:
    """``x`` as text, in parentheses where its operator binds less tightly than ``level``."""
    if not isinstance(x, Expression):
        text = repr(x) if not isinstance(x, float) or math.isfinite(x) else f"float('{x}')"
        return f"({text})" if text.startswith("-") else text
    return x.text if x.level >= level else f"({x.text})"


def _binary(symbol: str) -> tuple[Any, Any]:
    level = _BINARY[symbol]
    left_level, right_level = (level + 1, level) if symbol == "**" else (level, level + 1)
    if level == 3:  # comparisons chain in Python: parenthesise on both sides
        left_level = right_level = 4

    def forward(self: Expression, other: Any) -> Expression:
        return Expression(
            f"{_inside(self, left_level)} {symbol} {_inside(other, right_level)}", level
        )

    def reflected(self: Expression, other: Any) -> Expression:
        return Expression(
            f"{_inside(other, left_level)} {symbol} {_inside(self, right_level)}", level
        )

    return forward, reflected


for _name, _symbol in {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>",
}.items():  # fmt: skip
    _forward, _reflected = _binary(_symbol)
    setattr(Expression, f"__{_name}__", _forward)
    setattr(Expression, f"__r{_name}__", _reflected)
for _name, _symbol in {
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}.items():
    setattr(Expression, f"__{_name}__", _binary(_symbol)[0])


class NumpyMath:
    """``m`` for NumPy text: ``m.exp(x)`` becomes ``np.exp(x)``.

    Functions that NumPy lacks live in `backlit.ops.reference` and print as ``ref.erf(x)``.
    """

    own = frozenset(
        ("digamma", "erf", "erfc", "erfcx", "erfinv", "floor_divide", "fmod", "gammainc",
         "gammaincc", "lgamma", "ndtri", "power", "remainder", "zeta")
    )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        prefix = "ref" if name in self.own else "np"

        def call(*args: Any) -> Expression:
            return Expression(f"{prefix}.{name}({', '.join(_inside(a, 0) for a in args)})")

        return call


numpy_math = NumpyMath()
