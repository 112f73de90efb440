"""Networks built from formulas: exact on every input."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
from backlit import nn
from backlit.errors import ArgumentError, ShapeError
from backlit.nn.boolean import _names, evaluate, parse

NAMES = ["a", "b", "c", "d"]

expressions = st.recursive(
    st.sampled_from([*NAMES, "True", "False"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&", "|", "^", "and", "or"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        )
        | inner.map(lambda e: f"(not {e})")
    ),
    max_leaves=8,
)


def all_inputs(n: int) -> Any:
    return np.array(list(itertools.product((-1.0, 1.0), repeat=n)), np.float32)


@given(expressions, st.booleans())
def test_network_equals_expression_on_every_input(expression: str, deep: bool) -> None:
    """Python's own evaluation is the truth; all 16 inputs agree."""
    net = nn.boolean_mlp(expression, NAMES, deep=deep)
    x = all_inputs(4)
    truth = [eval(expression, dict(zip(NAMES, row > 0, strict=True))) for row in x]
    assert (net(backlit.tensor(x)).numpy()[:, 0] > 0).tolist() == [bool(t) for t in truth]
    assert set(np.abs(net(backlit.tensor(x)).numpy()).ravel()) == {1.0}


def test_variables_are_alphabetical_unless_given() -> None:
    """The order of the inputs."""
    x = backlit.tensor([[1.0, -1.0]])
    assert nn.boolean_mlp("b & ~a")(x).item() == -1.0
    assert nn.boolean_mlp("b & ~a", ["b", "a"])(x).item() == 1.0


def test_terms_are_merged() -> None:
    """a | b needs two hidden units, not one per true row; (a & b) | (a & ~b) is a."""
    assert nn.boolean_mlp("a | b")[0].out_features == 2
    assert nn.boolean_mlp("(a & b) | (a & ~b)")[0].out_features == 1


def test_formula_helpers() -> None:
    """Names in order of appearance; evaluation."""
    formula = parse("x ^ (y and not z)")
    assert _names(formula) == ["x", "y", "z"]
    assert evaluate(formula, {"x": False, "y": True, "z": False})


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: nn.boolean_mlp("a &"),
            ArgumentError,
            "boolean expression 'a &' cannot be read; write it like '(a & ~b) | c'.",
        ),
        (
            lambda: nn.boolean_mlp("a + b"),
            ArgumentError,
            "boolean expression: 'a + b' is not one of &, |, ^, ~, names, True, False.",
        ),
        (
            lambda: nn.boolean_mlp("a & q", ["a"]),
            ArgumentError,
            "boolean_mlp: q is not among the variables ['a'].",
        ),
        (
            lambda: nn.parity_mlp(20, deep=False),
            ArgumentError,
            (
                "boolean_mlp: one hidden layer for 20 variables may need 2^19 units; at most 16 "
                "variables are taken. Use deep=True."
            ),
        ),
        (
            lambda: nn.region_mlp([(1.0, 2.0)]),
            ShapeError,  # type: ignore[list-item]
            "region_mlp: expected half-planes (w, b) with w a sequence of one number per input.",
        ),
        (
            lambda: nn.polygon_halfplanes([(0, 0), (2, 0), (0.1, 0.1), (0, 2)]),
            ArgumentError,
            (
                "polygon_halfplanes: the polygon is not convex; give the corners in order, "
                "and unite "
                "convex parts in the formula of region_mlp."
            ),
        ),
        (
            lambda: nn.staircase([0.0], [1.0]),
            ShapeError,
            "staircase: 1 knots need 2 values, got 1.",
        ),
    ],
)
def test_what_the_builders_refuse(call: Any, kind: type[Exception], message: str) -> None:
    """What is wrong, and how it should be."""
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message


@pytest.mark.parametrize("order", [1, -1])
def test_polygon_halfplanes_in_either_order(order: int) -> None:
    """The triangle (0,0), (2,0), (0,2)."""
    net = nn.region_mlp(nn.polygon_halfplanes([(0, 0), (2, 0), (0, 2)][::order]))
    x = backlit.tensor([[0.5, 0.5], [1.5, 1.5], [-0.1, 0.5], [0.5, -0.1]])
    assert net(x).flatten().tolist() == [1.0, -1.0, -1.0, -1.0]
