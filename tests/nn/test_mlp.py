"""MLP and collapse_linear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.errors import ArgumentError
from backlit.nn.mlp import as_activation


def test_activations_by_name_class_object_or_list() -> None:
    """One for all hidden layers, or one per layer."""
    shared = nn.Tanh()
    assert [type(f) for f in nn.MLP([1, 2, 3, 1]).activations] == [nn.ReLU, nn.ReLU, nn.Identity]
    assert nn.MLP([1, 2, 1], shared).activations[0] is shared
    kinds = [type(f) for f in nn.MLP([1, 2, 3, 1], ["leaky_relu", nn.ELU], "sigmoid").activations]
    assert kinds == [nn.LeakyReLU, nn.ELU, nn.Sigmoid]
    kinds = [type(f) for f in nn.MLP([1, 2, 1], ["gaussian", "softmax"]).activations]
    assert kinds == [nn.Gaussian, nn.Softmax]
    assert type(as_activation(None)) is nn.Identity


def test_without_bias() -> None:
    """Only weights."""
    model = nn.MLP([3072, 100, 10], bias=False)
    assert [p.numel() for p in model.parameters()] == [307_200, 1_000]


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: nn.MLP([3]),
            (
                "MLP: the architecture [3] must list at least the numbers of inputs and of "
                "outputs, "
                "all positive."
            ),
        ),
        (
            lambda: nn.MLP([3, 4, 5], ["relu"] * 4),
            (
                "MLP: 4 activations for 1 hidden layers; give one each, and optionally one "
                "more for "
                "the output."
            ),
        ),
    ],
)
def test_what_mlp_refuses(call: Any, message: str) -> None:
    """Architectures and activations that do not fit together."""
    with pytest.raises(ArgumentError) as error:
        call()
    assert str(error.value) == message


def test_an_unknown_activation_lists_the_known() -> None:
    """By name."""
    with pytest.raises(ArgumentError) as error:
        nn.MLP([1, 2, 1], "swoosh")
    text = "activation 'swoosh' is not known; give a module, or one of celu, elu, gaussian, "
    assert str(error.value).startswith(text)


def test_collapse_refuses_what_is_not_linear() -> None:
    """It names the first module that is not."""
    with pytest.raises(ArgumentError) as error:
        nn.collapse_linear(nn.MLP([1, 2, 1]))
    assert str(error.value) == (
        "collapse_linear: ReLU() is not linear, so the stack is not one linear map."
    )
    with pytest.raises(ArgumentError) as empty:
        nn.collapse_linear(nn.Sequential())
    assert str(empty.value) == (
        "collapse_linear: an empty model is not linear, so the stack is not one linear map."
    )


def test_collapse_keeps_dtype_and_absence_of_bias() -> None:
    """Of one layer, too."""
    layer = nn.collapse_linear(nn.Linear(2, 3, bias=False, dtype=backlit.float64))
    assert layer.bias is None
    assert layer.weight.dtype is backlit.float64


def test_augmented_without_bias_has_a_row_of_zeros() -> None:
    """W is (d_in + 1) × d_out whatever the layer."""
    (w,) = nn.MLP([2, 3], bias=False).augmented()
    assert np.array(w.tolist()).shape == (3, 3)
    assert w[0].tolist() == [0.0, 0.0, 0.0]
