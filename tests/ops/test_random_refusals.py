"""What random numbers, generators and dropout refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit import Generator, ones, tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.nn import functional

THREE: Any = ones(3)
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: backlit.rand(2, dtype=backlit.int64),
        DtypeError,
        '"rand" is not implemented for int64; use randint for integers.',
    ),
    (
        lambda: backlit.randn(2, -3),
        ShapeError,
        "randn: Trying to create tensor with negative dimension -3: [2, -3].",
    ),
    (
        lambda: ones(2).long().uniform_(),
        DtypeError,
        '"uniform_" is not implemented for int64; use randint for integers.',
    ),
    (
        lambda: backlit.randint(10),
        TypeError,
        "randint(): argument 'size' must be a tuple of ints, such as randint(0, 10, (3,)).",
    ),
    (
        lambda: backlit.randint(5, 3, (2,)),
        ArgumentError,
        "randint expects 'from' to be less than 'to', but got from=5 >= to=3.",
    ),
    (
        lambda: ones(2).random_(5, 5),
        ArgumentError,
        "random_ expects 'from' to be less than 'to', but got from=5 >= to=5.",
    ),
    (lambda: backlit.randperm(-1), ArgumentError, "randperm: n must be non-negative, got -1."),
    (
        lambda: backlit.normal(0.0, -1.0, (2,)),
        ArgumentError,
        "normal expects std >= 0.0, but found std -1.0.",
    ),
    (
        lambda: backlit.normal(0.0, tensor([1.0, -1.0])),
        ArgumentError,
        "normal expects all elements of std >= 0.0.",
    ),
    (
        lambda: backlit.multinomial(tensor([1, 2]), 1),
        DtypeError,
        "multinomial only supports floating-point dtypes for input, got: int64.",
    ),
    (
        lambda: backlit.multinomial(ones(2, 2, 2), 1),
        ShapeError,
        "multinomial: prob_dist must be 1 or 2 dim, got shape (2, 2, 2).",
    ),
    (
        lambda: backlit.multinomial(ones(2), 0),
        ArgumentError,
        "multinomial: cannot sample n_sample <= 0 samples, got num_samples=0.",
    ),
    (
        lambda: backlit.multinomial(ones(2), 3),
        ArgumentError,
        (
            "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without "
            "replacement, got num_samples=3 for 2 weights; use replacement=True."
        ),
    ),
    (
        lambda: backlit.multinomial(tensor([1.0, -1.0]), 1),
        ArgumentError,
        "multinomial: probability tensor contains either `inf`, `nan` or element < 0.",
    ),
    (
        lambda: backlit.multinomial(tensor([1.0, float("nan")]), 1),
        ArgumentError,
        "multinomial: probability tensor contains either `inf`, `nan` or element < 0.",
    ),
    (
        lambda: backlit.multinomial(tensor([0.0, 0.0]), 1),
        ArgumentError,
        (
            "multinomial: invalid multinomial distribution (sum of probabilities <= 0); each "
            "row needs a weight above 0."
        ),
    ),
    (
        lambda: ones(2).uniform_(1.0, 0.0),
        ArgumentError,
        "uniform_ expects to return a [from, to) range, but found from=1.0 > to=0.0.",
    ),
    (
        lambda: ones(2).normal_(0.0, -1.0),
        ArgumentError,
        "normal_ expects std >= 0.0, but found std -1.0.",
    ),
    (
        lambda: Generator().manual_seed("seven"),
        TypeError,
        "manual_seed expected an integer, got str.",
    ),
    (
        lambda: Generator().set_state(backlit.zeros(3, dtype=backlit.uint8)),
        ArgumentError,
        (
            "set_state: expected the 24 bytes (uint8) that get_state returns, got 3 elements "
            "of uint8."
        ),
    ),
    (
        lambda: Generator().set_state(backlit.zeros(24)),
        ArgumentError,
        (
            "set_state: expected the 24 bytes (uint8) that get_state returns, got 24 "
            "elements of float32."
        ),
    ),
    (
        lambda: functional.dropout(ones(2), 1.5),
        ArgumentError,
        "dropout: dropout probability has to be between 0 and 1, but got 1.5.",
    ),
    (
        lambda: functional.alpha_dropout(ones(2), -0.5),
        ArgumentError,
        "alpha_dropout: dropout probability has to be between 0 and 1, but got -0.5.",
    ),
    (
        lambda: backlit.bernoulli(ones(2), 1.5),
        ArgumentError,
        "bernoulli expects p to be in [0, 1], but got p=1.5.",
    ),
    (
        lambda: backlit.bernoulli(ones(2).long()),
        DtypeError,
        "bernoulli: not implemented for int64; probabilities are floats.",
    ),
    (
        lambda: ones(2).bernoulli_(-0.5),
        ArgumentError,
        "bernoulli_ expects p to be in [0, 1], but got p=-0.5.",
    ),
    (
        lambda: backlit.poisson(ones(2).long()),
        DtypeError,
        "poisson: not implemented for int64; convert the rates with .float().",
    ),
    (
        lambda: backlit.poisson(tensor([1.0, float("nan")])),
        ArgumentError,
        "poisson: invalid Poisson rate, expected rate to be non-negative.",
    ),
    (
        lambda: backlit.binomial(ones(2).long(), ones(2)),
        DtypeError,
        "binomial only supports floating-point dtypes for count, got: int64.",
    ),
    (
        lambda: backlit.binomial(ones(2), ones(2).double()),
        DtypeError,
        "binomial: Found dtype float64 for prob but expected float32, that of count.",
    ),
    (
        lambda: ones(2).long().cauchy_(),
        DtypeError,
        (
            "Cauchy distribution is a continuous probability distribution. dtype must be a "
            "floating point but you specified int64."
        ),
    ),
    (
        lambda: ones(2).cauchy_(0.0, 0.0),
        ArgumentError,
        "cauchy_ expects sigma > 0.0, but found sigma=0.0.",
    ),
    (
        lambda: ones(2).bool().exponential_(),
        DtypeError,
        (
            "Exponential distribution is a continuous probability distribution. dtype must be a "
            "floating point but you specified bool."
        ),
    ),
    (
        lambda: ones(2).exponential_(-1.0),
        ArgumentError,
        "exponential_ expects lambda > 0.0, but found lambda=-1.0.",
    ),
    (
        lambda: ones(2).bool().geometric_(0.5),
        DtypeError,
        "geometric_: not implemented for bool; fill integers or floats.",
    ),
    (
        lambda: ones(2).geometric_(1.0),
        ArgumentError,
        "geometric_ expects p to be in (0, 1), but got p=1.0.",
    ),
    (
        lambda: ones(2).log_normal_(0.0, float("nan")),
        ArgumentError,
        "log_normal_ expects std > 0.0, but found std=nan.",
    ),
    (
        lambda: ones(2).long().log_normal_(),
        DtypeError,
        '"log_normal_" is not implemented for int64; use randint for integers.',
    ),
    (
        lambda: backlit.randperm(THREE),
        TypeError,
        "only integer tensors of a single element can be converted to an index",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_a_refused_draw_leaves_the_generator_as_it_was() -> None:
    """Sizes that are no numbers of elements do not spoil later draws."""
    calls: list[Callable[[], Any]] = [
        lambda: backlit.randperm(THREE),
        lambda: backlit.randint(0, 5, THREE.reshape(1, 3)),
    ]
    for call in calls:
        with pytest.raises((TypeError, ArgumentError)):
            call()
        assert backlit.rand(2).tolist() != backlit.rand(2).tolist()
