"""Costs, symbols and comparisons of the lab."""

from __future__ import annotations

import pytest

import backlit
from backlit import lab
from backlit.errors import ArgumentError, ShapeError
from backlit.lab import Symbol


@pytest.mark.parametrize("x", [0.3, 1.7])
def test_symbolic_rules(x: float) -> None:
    """Sums, differences, products, quotients, powers and functions: the engine agrees."""

    def f(x: Symbol) -> Symbol:
        y = x.sin() * x.exp() - x.cos() / (1 + x**2)
        return (y + x.log() - 3) ** 3 / 2 + (2 - x).tanh() * -x + 1 / x

    leaf = backlit.tensor(x, dtype=backlit.float64, requires_grad=True)
    out = f(leaf)
    out.backward()
    assert f(Symbol()).at(x) == pytest.approx(out.item())
    assert f(Symbol()).derivative.at(x) == pytest.approx(leaf.grad.item())


def test_symbols_as_text() -> None:
    """Zeros and ones vanish, as one would write it."""
    x = Symbol()
    assert str((3 * x + 0 * x.exp()).derivative) == "3"
    assert str((x * x).derivative) == "(x + x)"
    assert str(x.log().derivative) == "(1 / x)"
    assert str((x - 0).derivative) == "1"


def test_comparison_of_a_constant_slope() -> None:
    """A linear function is exact in all three ways; the table names them."""
    found = lab.compare_derivatives(lambda x: 3 * x, 1.0)
    assert [way.name for way in found] == ["numerical", "symbolic", "automatic"]
    assert found["automatic"].value == found[1].value == 3.0
    assert "automatic" in str(found).splitlines()[3]


def test_cost_report_counts_each_delta() -> None:
    """Without a cache, δ⁽ˡ⁾ is computed for each of the l layers below it; with one, once."""
    assert lab.cost_report(4, memoize=False).deltas == {4: 4, 3: 3, 2: 2, 1: 1}
    assert lab.cost_report(4, memoize=True).deltas == {4: 1, 3: 1, 2: 1, 1: 1}


def test_memoization_as_a_table() -> None:
    """One line per node, the totals last."""
    x = backlit.tensor(2.0, requires_grad=True)
    y = x * x
    z = y * y
    lines = str(lab.memoization(z)).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["z", "1", "4"],
        ["y", "1", "2"],
        ["x", "1", "1"],
        ["all", "3", "7"],
    ]


def test_difference_errors_of_given_steps() -> None:
    """The central difference of a square is exact; the forward one is off by h."""
    ((h, forward, central),) = lab.difference_errors(lambda x: x * x, 1.0, [0.25])
    assert (h, forward, central) == (0.25, 0.25, 0.0)


def test_no_layer() -> None:
    """A chain has at least one layer."""
    with pytest.raises(ArgumentError) as caught:
        lab.cost_report(0, memoize=True)
    assert str(caught.value) == "cost_report: the chain must have at least one layer, got 0."


def test_word_losses_refuse_scores_of_other_words() -> None:
    """A column for each word, and a place at least."""
    for shape in ((2, 3), (0, 2)):
        gold = backlit.zeros(2, dtype=backlit.int64)
        with pytest.raises(ShapeError) as caught:
            lab.word_losses(backlit.zeros(*shape), gold, ["a", "b"])
        assert str(caught.value) == (
            "word_losses: scores must have a row for each of at least one place and a column for "
            f"each of the 2 words, got {shape}."
        )


def test_product_times_refuse_what_cannot_be_multiplied() -> None:
    """The inner sizes are one."""
    with pytest.raises(ShapeError) as caught:
        lab.product_times(backlit.zeros(2, 3), backlit.zeros(2, 3))
    assert str(caught.value) == (
        "product_times: a must be (n, k) and b (k, m), got (2, 3) and (2, 3)."
    )
