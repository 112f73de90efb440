"""The teaching engine gives what the real engine gives."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
from backlit.lab.scalar_engine import Tensor

STEPS = st.lists(
    st.tuples(st.sampled_from("+-*/te2"), st.integers(0, 99), st.integers(0, 99)), max_size=25
)


def run(leaves: list[Any], steps: list[tuple[str, int, int]]) -> Any:
    """A graph over the leaves: each step takes two earlier values and keeps results moderate."""
    pool = list(leaves)
    for op, i, j in steps:
        x, y = pool[i % len(pool)], pool[j % len(pool)]
        pool.append(
            {
                "+": lambda x=x, y=y: (x + y) * 0.5,
                "-": lambda x=x, y=y: x - 0.3 * y,
                "*": lambda x=x, y=y: (x * y).tanh(),
                "/": lambda x=x, y=y: x / (y * y + 1),
                "t": lambda x=x, y=y: x.tanh(),
                "e": lambda x=x, y=y: (x.tanh() + y.tanh()).exp() * 0.2,
                "2": lambda x=x, y=y: (0.4 * x) ** 2,
            }[op]()
        )
    return sum(pool[1:], pool[0])


@given(
    values=st.lists(st.floats(-2, 2), min_size=1, max_size=4),
    steps=STEPS,
)
def test_random_graphs(values: list[float], steps: list[tuple[str, int, int]]) -> None:
    """Value and gradients are the real engine's, on graphs with sharing and several uses."""
    small = [Tensor(v) for v in values]
    large = [backlit.tensor(v, dtype=backlit.float64, requires_grad=True) for v in values]
    a, b = run(small, steps), run(large, steps)
    a.backward()
    b.backward()
    assert a.value == pytest.approx(b.item(), rel=1e-9, abs=1e-12)
    for x, y in zip(small, large, strict=True):
        assert x.grad == pytest.approx(y.grad.item(), rel=1e-9, abs=1e-12)


def test_gradients_of_leaves_accumulate() -> None:
    """A second backward pass adds to the leaves, and only to those."""
    x = Tensor(3.0)
    y = x * x
    z = y + x
    z.backward()
    z.backward()
    assert (x.grad, y.grad) == (14.0, 1.0)


def test_deep_chain() -> None:
    """The search for the order needs no recursion."""
    x = Tensor(1.0, label="x")
    y = x
    for _ in range(20_000):
        y = y + x
    y.backward()
    assert x.grad == 20_001
    assert repr(x) == "Tensor(x = 1.0, grad=20001.0)"


def test_a_cycle_is_refused() -> None:
    """A graph must be acyclic; one made by hand that is not is told."""
    x = Tensor(1.0)
    y = x + x
    x._prev = (y,)
    message = "the graph has a cycle through Tensor(2.0, grad=0.0); there must be none."
    with pytest.raises(ValueError, match=re.escape(message)):
        y.backward()
