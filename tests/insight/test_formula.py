"""Formulas as text: precedence, signs, powers, and derivatives of every elementwise card."""

from __future__ import annotations

import math

import numpy as np
import pytest

import backlit
from backlit.core.primitive import PRIMITIVES, Elementwise
from backlit.insight.formula import Formula, computed_by, derivative_of, number
from backlit.insight.tables import shown

X, Y = Formula.name("x"), Formula.name("y")
ELEMENTWISE = [card for card in PRIMITIVES.values() if isinstance(card, Elementwise)]


@pytest.mark.parametrize(
    "formula, text",
    [
        (0.5 * (2 * (X - Y)), "x - y"),
        (-1 * X * -1, "x"),
        (X * X * X, "x³"),
        ((X - Y) * (X - Y), "(x - y)²"),
        (1 - (X - 1), "1 - (x - 1)"),
        (X + -Y, "x - y"),
        (-X / (Y * Y), "-x / y²"),
        (X / (Y / X), "x / (y / x)"),
        ((X + 1) / 2, "(x + 1) / 2"),
        (1 / X * Y, "(1 / x) · y"),
        ((X + Y) ** 3, "(x + y)³"),
        (0 * X, "0"),
        (X > 0, "x > 0"),
    ],
)
def test_text(formula: Formula, text: str) -> None:
    """Parentheses where precedence asks for them, and no others."""
    assert str(formula) == text


@pytest.mark.parametrize("card", ELEMENTWISE, ids=lambda card: card.name)
def test_every_elementwise_card_has_formulas(card: Elementwise) -> None:
    """What a card computes, and each derivative it has, can be written."""
    names = [Formula.name(f"a{i}") for i in range(len(card.operands))]
    assert "a0" in str(computed_by(card, {}, names))
    for i, rule in enumerate(card.derivatives):
        if rule is not None:
            text = str(derivative_of(card, i, names, Formula.name("out")))
            assert text
            assert "object at" not in text


@pytest.mark.parametrize("name", ["sin", "tanh", "exp", "div", "hypot", "log1p", "square"])
def test_derivative_text_means_the_derivative(name: str) -> None:
    """Evaluated as Python, the text of a derivative gives the gradient."""
    card = PRIMITIVES[name]
    assert isinstance(card, Elementwise)
    values = [backlit.tensor(v, dtype=backlit.float64) for v in (0.7, 1.3)][: len(card.operands)]
    leaves = [v.requires_grad_() for v in values]
    out = card(*leaves)
    found = backlit.autograd.grad(out, leaves)
    terms = [Formula.name(n) for n in ("a", "b")][: len(leaves)]
    scope = {"a": 0.7, "b": 1.3, "out": out.item(), "exp": math.exp, "cos": math.cos}
    for i, g in enumerate(found):
        text = str(derivative_of(card, i, terms, Formula.name("out")))
        python = text.replace("·", "*").replace("²", "**2")
        assert eval(python, scope) == pytest.approx(g.item())


def test_numbers() -> None:
    """Whole numbers as such, four decimals, and very small and large ones in powers of ten."""
    cases = (3.0, -0.5, 1 / 3, 2e-5, 1.5e7, math.nan, -math.inf)
    assert [number(x) for x in cases] == ["3", "-0.5", "0.3333", "2e-05", "15000000", "nan", "-inf"]


def test_arrays() -> None:
    """Few numbers are printed, many give their norm."""
    assert shown(np.array([[1.0, 2.0]])) == "[[1, 2]]"
    assert shown(np.ones((2, 3))) == "norm 2.4495"
    assert shown(np.ones((1, 1, 1))) == "norm 1"
    assert shown(None) == ""
