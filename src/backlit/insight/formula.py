"""Formulas as text: what a card's scalar function and its derivatives look like in given names.

A card is called with `Formula`s instead of numbers, as `core.expression` calls it for NumPy source.
Here numbers are gathered in front and equal factors become powers, so that ½·2·(y - t) reads
``(y - t)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from backlit.core.primitive import Elementwise

ATOM, POWER, PRODUCT, QUOTIENT, SUM, COMPARISON = 100, 11, 10, 9, 8, 3
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
SYMBOLS = {"sigmoid": "σ", "lgamma": "ln Γ", "digamma": "ψ"}
_AS_WRITTEN = frozenset(
    ("add", "sub", "mul", "div", "neg", "square", "lt", "le", "gt", "ge", "eq", "ne")
)
_SAME = frozenset({"clone", "convert", "detach"})
_LONGEST = 48  # characters of a derivative before its card's one-line mathematics reads better


def number(x: float) -> str:
    """``x`` with up to four decimals, as the decks print numbers.

    >>> [number(x) for x in (3.0, -0.53444, 1e-7, 123456.0)]
    ['3', '-0.5344', '1e-07', '123456']
    """
    x = float(x)
    if abs(x) < 1e15 and x == int(x):
        return str(int(x))
    if 1e-3 <= abs(x) < 1e5:
        return f"{x:.4f}".rstrip("0").rstrip(".")
    return f"{x:.4g}"


class Formula:
    """A number times factors; each factor is text with the precedence of its outermost operator."""

    __slots__ = ("coefficient", "factors")

    def __init__(self, coefficient: float, factors: Sequence[tuple[str, int]] = ()) -> None:
        self.coefficient = coefficient
        self.factors = tuple(factors) if coefficient else ()

    @classmethod
    def name(cls, text: str, level: int = ATOM) -> Formula:
        return cls(1, [(text, level)])

    def rendered(self, dot: str = "·") -> tuple[str, int]:
        """The text, and the precedence of its outermost operator."""
        c = self.coefficient
        if not self.factors:
            return number(c), ATOM if c >= 0 else PRODUCT
        counts = Counter(self.factors)
        alone = len(counts) == 1 and c in (1, -1)
        parts = [number(abs(c))] if abs(c) != 1 else []
        for (text, level), times in counts.items():
            if times > 1:
                text = closed(text, level, ATOM) + str(times).translate(_SUPERSCRIPT)
                level = POWER
            least = (0 if c == 1 else QUOTIENT) if alone else PRODUCT
            parts.append(closed(text, level, least))
        text = f" {dot} ".join(parts)
        if c < 0:
            return f"-{text}", QUOTIENT if alone else PRODUCT
        if len(parts) > 1:
            return text, PRODUCT
        ((_, level), times) = next(iter(counts.items()))
        return text, level if times == 1 else POWER

    def __str__(self) -> str:
        return self.rendered()[0]

    def __neg__(self) -> Formula:
        return Formula(-self.coefficient, self.factors)

    def __invert__(self) -> Formula:
        return Formula.name(f"not {_at(self, ATOM)}", COMPARISON)

    def __mul__(self, other: Any) -> Formula:
        other = formula(other)
        return Formula(self.coefficient * other.coefficient, (*self.factors, *other.factors))

    def __rmul__(self, other: Any) -> Formula:
        return formula(other) * self

    def __truediv__(self, other: Any) -> Formula:
        other = formula(other)
        if not other.factors:
            if not self.factors:
                return Formula(self.coefficient / other.coefficient)
            return Formula.name(f"{_at(self, PRODUCT)} / {_at(other, POWER)}", QUOTIENT)
        rest = Formula(1, self.factors)
        below = _at(Formula(1, other.factors), POWER)
        c = self.coefficient / other.coefficient
        if not self.factors and c in (1, -1):
            return Formula(c, [(f"1 / {below}", QUOTIENT)])
        if not self.factors:
            return Formula.name(f"{_at(Formula(c), PRODUCT)} / {below}", QUOTIENT)
        return Formula(c, [(f"{_at(rest, PRODUCT)} / {below}", QUOTIENT)])

    def __rtruediv__(self, other: Any) -> Formula:
        return formula(other) / self


def formula(x: Any) -> Formula:
    return x if isinstance(x, Formula) else Formula(float(x))


def closed(text: str, level: int, least: int) -> str:
    return text if level >= least else f"({text})"


def _at(x: Any, least: int) -> str:
    """``x`` as text, in parentheses where its operator binds less tightly than ``least``."""
    return closed(*formula(x).rendered(), least)


def _sum(x: Any, y: Any, sign: str) -> Formula:
    a, b = formula(x), formula(y)
    if not a.factors and not b.factors:
        return Formula(a.coefficient + (b.coefficient if sign == "+" else -b.coefficient))
    if b.coefficient < 0 and len(b.factors) > 0:
        b, sign = -b, "-" if sign == "+" else "+"
    least = SUM if sign == "+" else PRODUCT
    return Formula.name(f"{_at(a, SUM)} {sign} {_at(b, least)}", SUM)


def _compared(symbol: str) -> Any:
    def compare(x: Formula, y: Any) -> Formula:
        return Formula.name(f"{_at(x, SUM)} {symbol} {_at(y, SUM)}", COMPARISON)

    return compare


def _power(x: Any, y: Any) -> Formula:
    text = _at(y, ATOM)
    if text.isdigit():
        return Formula.name(_at(x, ATOM) + text.translate(_SUPERSCRIPT), POWER)
    return Formula.name(f"{_at(x, ATOM)}^{text}", POWER)


for _name, _method in {
    "__add__": lambda x, y: _sum(x, y, "+"),
    "__radd__": lambda x, y: _sum(y, x, "+"),
    "__sub__": lambda x, y: _sum(x, y, "-"),
    "__rsub__": lambda x, y: _sum(y, x, "-"),
    "__pow__": _power,
    "__lt__": _compared("<"),
    "__le__": _compared("≤"),
    "__gt__": _compared(">"),
    "__ge__": _compared("≥"),
    "__eq__": _compared("="),
    "__ne__": _compared("≠"),
    "__and__": _compared("and"),
    "__or__": _compared("or"),
}.items():
    setattr(Formula, _name, _method)
setattr(Formula, "__hash__", object.__hash__)  # noqa: B010 - __eq__ makes a formula, not a bool


class FormulaMath:
    """``m`` for formulas: ``m.exp(x)`` becomes ``exp(x)``."""

    def __getattr__(self, name: str) -> Any:
        if name in ("pow", "power"):
            return _power

        def call(*args: Any) -> Formula:
            inside = ", ".join(_at(a, 0) for a in args)
            return Formula.name(f"{SYMBOLS.get(name, name)}({inside})")

        return call


_math = FormulaMath()


def computed_by(card: Any, attrs: dict[str, Any], operands: Sequence[Formula]) -> Formula:
    """What ``card`` computes from ``operands``, such as ``w · x``, ``σ(z)`` or ``X @ W``."""
    if card.name in _AS_WRITTEN:
        return formula(card.scalar(_math, *operands))
    if card.name == "pow":
        return _power(*operands)
    if card.name in _SAME:
        return operands[0]
    if card.name == "matmul":
        return Formula.name(" @ ".join(_at(x, POWER) for x in operands), PRODUCT)
    if card.name == "permute" and attrs.get("dims") == (1, 0):
        return Formula.name(_at(operands[0], ATOM) + "ᵀ")
    given = [_at(x, 0) for x in operands]
    return Formula.name(f"{SYMBOLS.get(card.name, card.name)}({', '.join(given)})")


def derivative_of(card: Elementwise, i: int, operands: Sequence[Formula], out: Formula) -> Formula:
    """The local derivative of ``card`` by operand ``i``, in the names of operands and output.

    Conditions are put in brackets that mean 1 where they hold and 0 elsewhere: ``[h > 0]``.
    """
    rule = card.derivatives[i]
    assert rule is not None
    known = dict(zip(card.operands, operands, strict=True)) | {"out": out}
    try:
        found = formula(rule(_math, *(known[k] for k in card.rule_names[i])))
    except (AttributeError, KeyError, TypeError):  # a rule that needs true tensors
        return _as_told(card, i)
    text, level = found.rendered()
    if level == COMPARISON or "condition" in card.operands:
        return Formula.name(f"[{text}]")
    return found if len(text) <= _LONGEST else _as_told(card, i)


def _as_told(card: Elementwise, i: int) -> Formula:
    """The card's own one-line mathematics of its local derivative."""
    told = card.local if isinstance(card.local, str) else card.local[i]
    return Formula.name(told or f"{card.name}'", SUM)
