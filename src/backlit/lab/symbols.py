"""Symbolic differentiation in small: expressions of one variable, and the rules of calculus."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "exp": math.exp, "log": math.log, "sin": math.sin, "cos": math.cos, "tanh": math.tanh,
}  # fmt: skip
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda u, v: u + v,
    "-": lambda u, v: u - v,
    "*": lambda u, v: u * v,
    "/": lambda u, v: u / v,
    "**": lambda u, v: u**v,
}


class Symbol:
    """An expression of the variable x; ``Symbol()`` is x itself.

    Written with ``+ - * / **`` (numbers as exponents) and the methods ``exp log sin cos tanh``.

    >>> f = Symbol() * Symbol().exp()
    >>> print(f.derivative)
    (exp(x) + (x * exp(x)))
    >>> f.size, f.derivative.size, f.derivative.at(0.0)
    (2, 4, 1.0)
    """

    def __init__(self, op: str = "x", parts: tuple[Symbol, ...] = (), number: float = 0.0) -> None:
        self.op = op  # "x", "number", an operator or a function
        self.parts = parts
        self.number = number

    def __add__(self, other: Symbol | float) -> Symbol:
        x, y = self, _symbol(other)
        return y if x.equals(0) else x if y.equals(0) else Symbol("+", (x, y))

    def __sub__(self, other: Symbol | float) -> Symbol:
        x, y = self, _symbol(other)
        return x if y.equals(0) else Symbol("-", (x, y))

    def __mul__(self, other: Symbol | float) -> Symbol:
        x, y = self, _symbol(other)
        if x.equals(0) or y.equals(1):
            return x
        return y if y.equals(0) or x.equals(1) else Symbol("*", (x, y))

    def __truediv__(self, other: Symbol | float) -> Symbol:
        return Symbol("/", (self, _symbol(other)))

    def __pow__(self, n: float) -> Symbol:
        return self if n == 1 else Symbol("**", (self, _symbol(n)))

    def __neg__(self) -> Symbol:
        return _symbol(-1) * self

    def __radd__(self, other: float) -> Symbol:
        return _symbol(other) + self

    def __rsub__(self, other: float) -> Symbol:
        return _symbol(other) - self

    def __rmul__(self, other: float) -> Symbol:
        return _symbol(other) * self

    def __rtruediv__(self, other: float) -> Symbol:
        return _symbol(other) / self

    def exp(self) -> Symbol:
        return Symbol("exp", (self,))

    def log(self) -> Symbol:
        return Symbol("log", (self,))

    def sin(self) -> Symbol:
        return Symbol("sin", (self,))

    def cos(self) -> Symbol:
        return Symbol("cos", (self,))

    def tanh(self) -> Symbol:
        return Symbol("tanh", (self,))

    def equals(self, number: float) -> bool:
        """Whether this is that constant."""
        return self.op == "number" and self.number == number

    @functools.cached_property
    def derivative(self) -> Symbol:
        """d(self)/dx, by the rules for sums, products, quotients, powers and functions."""
        if not self.parts:
            return _symbol(float(self.op == "x"))
        u = self.parts[0]
        v = self.parts[-1]
        rules: dict[str, Callable[[], Symbol]] = {
            "+": lambda: u.derivative + v.derivative,
            "-": lambda: u.derivative - v.derivative,
            "*": lambda: u.derivative * v + u * v.derivative,
            "/": lambda: (u.derivative * v - u * v.derivative) / v**2,
            "**": lambda: v * u ** (v.number - 1) * u.derivative,
            "exp": lambda: self * u.derivative,
            "log": lambda: u.derivative / u,
            "sin": lambda: u.cos() * u.derivative,
            "cos": lambda: -u.sin() * u.derivative,
            "tanh": lambda: (1 - self**2) * u.derivative,
        }
        return rules[self.op]()

    @functools.cached_property
    def size(self) -> int:
        """The operations in the expression written out, equal parts counted every time."""
        return bool(self.parts) + sum(part.size for part in self.parts)

    def at(self, x: float) -> float:
        """The value at ``x``."""
        known: dict[Symbol, float] = {}

        def value(e: Symbol) -> float:
            if e not in known:
                parts = [value(part) for part in e.parts]
                if not parts:
                    known[e] = x if e.op == "x" else e.number
                else:
                    known[e] = (_OPERATORS if len(parts) == 2 else _FUNCTIONS)[e.op](*parts)
            return known[e]

        return value(self)

    def __str__(self) -> str:
        if not self.parts:
            return "x" if self.op == "x" else f"{self.number:g}"
        if len(self.parts) == 1:
            return f"{self.op}({self.parts[0]})"
        return f"({self.parts[0]} {self.op} {self.parts[1]})"


def _symbol(x: Symbol | float) -> Symbol:
    return x if isinstance(x, Symbol) else Symbol("number", number=float(x))
