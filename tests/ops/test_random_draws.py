"""Draws from distributions with parameters follow them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F
from backlit.core.op import op
from backlit.core.tensor import Tensor
from backlit.errors import BacklitError

N = 20_000
# What is drawn, and P(x ≤ 1) of it.
DRAWS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "exponential": (lambda x: x.exponential_(2.0), 1 - np.exp(-2.0)),
    "exponential by name": (lambda x: x.exponential_(lambd=0.5), 1 - np.exp(-0.5)),
    "geometric": (lambda x: x.geometric_(0.3), 0.3),
    "geometric by name": (lambda x: x.geometric_(p=1e-3), 1e-3),
    "cauchy": (lambda x: x.cauchy_(median=1.0, sigma=3.0), 0.5),
    "cauchy of its scale": (lambda x: x.cauchy_(-1.0, 2.0), 0.75),
    "log_normal": (lambda x: x.log_normal_(0.5, 0.5), 0.15866),
    "poisson": (lambda x: backlit.poisson(x * 2.0), 3 * np.exp(-2.0)),
    "binomial": (lambda x: backlit.binomial(x * 3.0, x * 0.5), 0.5),
    "binomial, broadcast": (lambda x: backlit.binomial(x * 2.0, backlit.tensor([0.1])), 0.99),
}


@pytest.mark.parametrize("name", DRAWS)
def test_share_up_to_one(name: str) -> None:
    """The share of numbers up to 1 is within five standard deviations of its probability."""
    draw, p = DRAWS[name]
    backlit.manual_seed(0)
    share = (draw(backlit.ones(N)) <= 1).float().mean().item()
    assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / N)


def test_binomial_at_the_edges() -> None:
    """No trials, probabilities beyond 0 and 1, and NaN, which stays NaN."""
    nan = float("nan")
    count = backlit.tensor([-1.0, 3.0, 3.0, nan, 2.0])
    prob = backlit.tensor([0.5, 1.5, -0.5, 0.5, nan])
    np.testing.assert_array_equal(backlit.binomial(count, prob).numpy(), [0, 3, 0, nan, nan])


def test_integers_filled_with_trials() -> None:
    """Integers take a geometric distribution, too."""
    x = backlit.ones(100, dtype=backlit.int64).geometric_(0.9)
    assert x.dtype is backlit.int64
    assert x.min().item() == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: F.rrelu(-x, training=True),
        lambda x: F.rrelu(-x, training=True, inplace=True),
        F.gumbel_softmax,
        lambda x: F.gumbel_softmax(x, tau=0.1, hard=True).argmax(),
        F.dropout,
        lambda x: F.alpha_dropout(x, training=True),
        backlit.rand_like,
        lambda x: backlit.bernoulli(x / 2),
    ],
)
def test_each_call_draws_anew(draw: Any) -> None:
    """Calls that are recorded at the same place differ; from the same seed they are the same."""

    def drawn(seed: int) -> list[Any]:
        backlit.manual_seed(seed)
        x = backlit.ones(40)
        backlit.flush()
        return [draw(x).tolist() for _ in range(8)]

    one = drawn(0)
    assert len({repr(numbers) for numbers in one}) > 4
    np.testing.assert_allclose(drawn(0), one, rtol=1e-4)  # the tiers agree to rounding


def test_the_body_of_an_op_draws_nothing() -> None:
    """It runs once, so that its numbers would come back at every call."""

    @op(name="_draws", method=False)
    def draws(x: Any) -> Any:
        return x * backlit.rand_like(x)

    with pytest.raises(BacklitError) as caught:
        draws(backlit.ones(2))
    assert str(caught.value) == (
        "random numbers drawn in the body of an op would be the same at every call; draw them "
        "before the op, and pass them to it."
    )
