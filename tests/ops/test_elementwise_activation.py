"""Activations: stability, limits, boundaries, in-place forms."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import backlit
import backlit.nn.functional as F

vectors = hnp.arrays(np.float64, 4, elements=st.floats(-50, 50))
SMOOTH = [
    F.sigmoid,
    F.tanh,
    F.softplus,
    F.logsigmoid,
    F.silu,
    F.mish,
    F.gelu,
    F.elu,
    F.selu,
    F.celu,
]


def values_and_slopes(fn: Any, data: list[float]) -> tuple[list[float], list[float]]:
    x = backlit.tensor(data, dtype=backlit.float64, requires_grad=True)
    y = fn(x)
    y.sum().backward()
    return y.tolist(), x.grad.tolist()


@pytest.mark.parametrize("fn", SMOOTH, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [backlit.float32, backlit.float64], ids=repr)
def test_large_inputs_give_finite_values_and_slopes(fn: Any, dtype: Any) -> None:
    """At ±1000 nothing overflows, warns or becomes NaN, neither forward nor backward."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = backlit.tensor([-1000.0, -100.0, 0.0, 100.0, 1000.0], dtype=dtype, requires_grad=True)
        y = fn(x)
        y.sum().backward()
        assert np.isfinite(y.detach().numpy()).all()
        assert np.isfinite(x.grad.numpy()).all()


@given(vectors)
def test_sigmoid_is_symmetric_and_a_tanh(a: Any) -> None:
    """σ(x) + σ(-x) = 1 and σ(x) = (1 + tanh(x/2))/2."""
    x = backlit.tensor(a)
    assert np.allclose((x.sigmoid() + (-x).sigmoid()).numpy(), 1)
    assert np.allclose(x.sigmoid().numpy(), ((1 + (x / 2).tanh()) / 2).numpy())


@given(vectors)
def test_softplus_is_minus_logsigmoid_of_minus_x(a: Any) -> None:
    """ln(1 + eˣ) = -ln σ(-x), and softplus(x) - softplus(-x) = x."""
    x = backlit.tensor(a)
    soft = F.softplus(x, threshold=1e9)
    assert np.allclose(soft.numpy(), -F.logsigmoid(-x).numpy())
    assert np.allclose((soft - F.softplus(-x, threshold=1e9)).numpy(), a)


@given(vectors)
def test_gelu_splits_the_identity(a: Any) -> None:
    """x Φ(x) + x Φ(-x) = x, and the tanh form is within 1e-3 of it."""
    x = backlit.tensor(a)
    assert np.allclose((F.gelu(x) - F.gelu(-x)).numpy(), a)
    assert np.allclose(F.gelu(x).numpy(), F.gelu(x, approximate="tanh").numpy(), atol=1e-3)


def test_relu_has_slope_zero_at_zero() -> None:
    """The subgradient at 0 is 0."""
    assert values_and_slopes(F.relu, [-1.0, 0.0, 2.0]) == ([0.0, 0.0, 2.0], [0.0, 0.0, 1.0])


def test_leaky_slopes() -> None:
    """The slope below 0 is the argument, one per channel for prelu, the mean for rrelu."""
    assert values_and_slopes(lambda x: F.leaky_relu(x, 0.1), [-1.0, 2.0]) == ([-0.1, 2.0], [0.1, 1])
    x = backlit.tensor([[-1.0, -1.0]], requires_grad=True)
    w = backlit.tensor([0.5, 0.25], requires_grad=True)
    F.prelu(x, w).sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([[0.5, 0.25]], [-1.0, -1.0])
    assert values_and_slopes(lambda x: F.rrelu(x, 0.25, 0.75), [-1.0]) == ([-0.5], [0.5])


def test_random_slopes_stay_within_their_bounds() -> None:
    """rrelu in training draws a slope for each element."""
    backlit.manual_seed(0)
    found = F.rrelu(-backlit.ones(100), 0.2, 0.4, training=True)
    assert bool(((found <= -0.2) & (found >= -0.4)).all())
    assert len(set(found.tolist())) > 90


def test_elu_is_continuous_with_slope_alpha_at_zero() -> None:
    """The slope at 0 is that from the left."""
    values, slopes = values_and_slopes(lambda x: F.elu(x, 2.0), [-1000.0, 0.0, 3.0])
    assert values == [-2.0, 0.0, 3.0]
    assert slopes == [0.0, 2.0, 1.0]


def test_bounded_units_have_no_slope_at_their_bounds() -> None:
    """hardtanh, relu6 and hardsigmoid, as in PyTorch."""
    assert values_and_slopes(F.hardtanh, [-1.0, 0.5, 1.0]) == ([-1.0, 0.5, 1.0], [0.0, 1.0, 0.0])
    assert values_and_slopes(F.relu6, [0.0, 3.0, 6.0])[1] == [0.0, 1.0, 0.0]
    assert values_and_slopes(F.hardsigmoid, [-3.0, 3.0]) == ([0.0, 1.0], [0.0, 0.0])


def test_shrinking_units() -> None:
    """hardshrink cuts, softshrink moves, tanhshrink subtracts the tanh."""
    data = [-2.0, 0.25, 0.75]
    assert values_and_slopes(F.hardshrink, data) == ([-2.0, 0.0, 0.75], [1.0, 0.0, 1.0])
    assert values_and_slopes(F.softshrink, data) == ([-1.5, 0.0, 0.25], [1.0, 0.0, 1.0])
    assert values_and_slopes(F.tanhshrink, [0.5])[0] == pytest.approx([0.5 - math.tanh(0.5)])


def test_gaussian_bump() -> None:
    """exp(-x²/2), with slope -x exp(-x²/2)."""
    values, slopes = values_and_slopes(F.gaussian, [0.0, 1.0])
    assert values == pytest.approx([1.0, math.exp(-0.5)])
    assert slopes == pytest.approx([0.0, -math.exp(-0.5)])


def test_glu_gates_one_half_by_the_other() -> None:
    """a σ(b) along any dimension."""
    x = backlit.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert F.glu(x, 0).tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("name", ["relu", "elu", "selu", "celu", "leaky_relu", "hardtanh"])
def test_in_place_forms_agree_with_the_plain_one(name: str) -> None:
    """``inplace=True`` and ``name_`` overwrite the input and return it."""
    plain = getattr(F, name)(backlit.tensor([-2.0, 0.5])).tolist()
    for call in (lambda x: getattr(F, name)(x, inplace=True), getattr(F, name + "_")):
        x = backlit.tensor([-2.0, 0.5])
        assert call(x) is x
        assert x.tolist() == plain


def test_inplace_may_be_given_by_position() -> None:
    """As in ``F.leaky_relu(x, 0.1, True)``."""
    x = backlit.tensor([-1.0])
    assert F.leaky_relu(x, 0.5, True) is x
    assert x.tolist() == [-0.5]
    assert F.relu(x, True) is x


def test_in_place_activation_passes_gradients() -> None:
    """The history goes through the overwritten tensor."""
    x = backlit.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    F.relu(y, inplace=True)
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]


def test_second_derivatives_exist() -> None:
    """d²/dx² of the smooth activations agrees with differences of the first derivative."""
    for fn in (F.gelu, F.silu, F.mish, F.softplus, F.logsigmoid, F.gaussian, F.sigmoid):
        x = backlit.tensor([-0.7, 0.4], dtype=backlit.float64, requires_grad=True)
        (first,) = backlit.autograd.grad(fn(x).sum(), x, create_graph=True)
        (second,) = backlit.autograd.grad(first.sum(), x)
        h = 1e-6
        up, down = (values_and_slopes(fn, [-0.7 + d, 0.4 + d])[1] for d in (h, -h))
        assert second.tolist() == pytest.approx(
            (np.subtract(up, down) / (2 * h)).tolist(), abs=1e-7
        )
