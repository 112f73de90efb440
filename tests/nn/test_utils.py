"""Clipping, parameter vectors, padded sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.errors import ArgumentError, ShapeError
from backlit.nn import utils
from backlit.nn.utils import rnn


def with_gradients(*gradients: list[float]) -> list[nn.Parameter]:
    found = []
    for g in gradients:
        p = nn.Parameter(backlit.zeros(len(g)))
        p.grad = backlit.tensor(g)
        found.append(p)
    return found


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf, "inf"])
def test_total_norm(norm_type: Any) -> None:
    """The p-norm of all elements together."""
    tensors = [backlit.tensor([3.0, -4.0]), backlit.tensor([[12.0]])]
    expected = np.linalg.norm([3, -4, 12], float(norm_type))
    assert utils.get_total_norm(tensors, norm_type).item() == pytest.approx(expected)
    assert utils.get_total_norm(tensors[1], norm_type).item() == pytest.approx(12.0)


def test_nothing_has_norm_zero() -> None:
    """As in PyTorch."""
    assert utils.get_total_norm([]).item() == 0.0
    assert utils.clip_grad_norm_([nn.Parameter(backlit.zeros(2))], 1.0).item() == 0.0


def test_clip_grad_norm_scales_all_by_one_factor() -> None:
    """The direction stays; short gradients stay as they are."""
    a, b = with_gradients([3.0, 0.0], [4.0])
    assert utils.clip_grad_norm_((p for p in [a, b]), 1.0).item() == 5.0
    assert a.grad is not None
    assert b.grad is not None
    assert np.allclose(a.grad.numpy(), [0.6, 0.0])
    assert np.allclose(b.grad.numpy(), [0.8])
    before = b.grad.tolist()
    utils.clip_grad_norm_([a, b], 10.0)
    assert b.grad.tolist() == before


def test_clip_grad_value() -> None:
    """Each element is limited on its own."""
    (a,) = with_gradients([3.0, -0.5, -7.0])
    utils.clip_grad_value_(a, 1.0)
    assert a.grad is not None
    assert a.grad.tolist() == [1.0, -0.5, -1.0]


def test_a_norm_that_is_not_finite_can_be_an_error() -> None:
    """PyTorch's message; without the flag the gradients become NaN."""
    (a,) = with_gradients([math.inf, 1.0])
    with pytest.raises(ArgumentError) as error:
        utils.clip_grad_norm_([a], 1.0, error_if_nonfinite=True)
    assert str(error.value) == (
        "The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot "
        "be clipped. To disable this error and scale the gradients by the non-finite norm anyway, "
        "set `error_if_nonfinite=False`"
    )
    utils.clip_grad_norm_([a], 1.0)
    assert a.grad is not None
    assert np.isnan(a.grad.numpy()[0])


def test_parameters_to_vector_and_back() -> None:
    """A round trip gives the same parameters; gradients flow through the vector."""
    a, b = nn.Linear(2, 3), nn.Linear(2, 3)
    vector = utils.parameters_to_vector(a.parameters())
    vector.sum().backward()
    assert a.bias is not None
    assert a.bias.grad is not None
    assert a.bias.grad.tolist() == [1.0, 1.0, 1.0]
    utils.vector_to_parameters(vector, b.parameters())
    assert b.weight.tolist() == a.weight.tolist()
    assert b.weight.requires_grad
    assert b.weight.is_leaf
    with pytest.raises(TypeError, match=r"^expected torch\.Tensor, but got: list$"):
        utils.vector_to_parameters([1.0], b.parameters())  # type: ignore[arg-type]


def test_pad_sequence() -> None:
    """Both layouts, both sides, any filler, and back."""
    parts = [backlit.tensor([[1.0], [2.0]]), backlit.tensor([[3.0]])]
    assert tuple(rnn.pad_sequence(parts).shape) == (2, 2, 1)
    padded = rnn.pad_sequence(parts, batch_first=True, padding_value=-1, padding_side="left")
    assert padded.tolist() == [[[1.0], [2.0]], [[-1.0], [3.0]]]
    lengths = backlit.tensor([2, 1])
    back = rnn.unpad_sequence(rnn.pad_sequence(parts), lengths)
    assert [t.tolist() for t in back] == [[[1.0], [2.0]], [[3.0]]]


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: rnn.pad_sequence([]), ArgumentError, "received an empty list of sequences"),
        (
            lambda: rnn.pad_sequence([backlit.zeros(1)], padding_side="top"),
            ArgumentError,
            "padding_side should be either 'left' or 'right'",
        ),
        (
            lambda: rnn.pad_sequence([backlit.zeros(1, 2), backlit.zeros(1, 3)]),
            ShapeError,
            (
                "pad_sequence: sequences may differ in their first size only, got [(2,), "
                "(3,)] for the "
                "others."
            ),
        ),
    ],
)
def test_what_pad_sequence_refuses(call: Any, kind: type[Exception], message: str) -> None:
    """Nothing to pad, an unknown side, sequences that do not fit."""
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
