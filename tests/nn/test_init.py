"""Initial values: their moments, bounds and structure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.nn import init

N = 200_000


def drawn(fill: Callable[..., Any], shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Any:
    generator = backlit.Generator().manual_seed(1)
    t = backlit.zeros(*shape, dtype=backlit.float64)
    assert fill(t, *args, generator=generator, **kwargs) is t
    return t.numpy()


def assert_moments(values: Any, mean: float, std: float) -> None:
    """Mean and standard deviation within 5 standard errors."""
    n = values.size
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(values.std() - std) < 5 * std / math.sqrt(n)


def test_uniform() -> None:
    """Mean (a + b)/2, σ = (b - a)/√12, nothing outside."""
    x = drawn(init.uniform_, (N,), -1.0, 3.0)
    assert_moments(x, 1.0, 4 / math.sqrt(12))
    assert x.min() >= -1
    assert x.max() < 3


def test_normal() -> None:
    """The given mean and σ; 68.3 % within one σ."""
    x = drawn(init.normal_, (N,), 2.0, 0.5)
    assert_moments(x, 2.0, 0.5)
    assert abs((np.abs(x - 2) < 0.5).mean() - 0.6827) < 0.005


def test_truncated_normal() -> None:
    """All within [a, b]; the moments of the truncated distribution."""
    x = drawn(init.trunc_normal_, (N,), 0.0, 1.0, -1.0, 1.0)
    assert x.min() >= -1
    assert x.max() <= 1
    assert_moments(x, 0.0, math.sqrt(0.29112))


def test_truncation_far_from_the_mean_warns() -> None:
    """PyTorch's warning."""
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        init.trunc_normal_(backlit.zeros(3), mean=10.0)


def test_constants() -> None:
    """One number everywhere, in place, without history."""
    p = nn.Parameter(backlit.zeros(2, 2))
    assert init.constant_(p, 3.5) is p
    assert p.tolist() == [[3.5, 3.5], [3.5, 3.5]]
    assert init.ones_(p).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert init.zeros_(p).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert p.is_leaf
    assert p.requires_grad


def test_eye() -> None:
    """The identity also of matrices that are not square."""
    assert init.eye_(backlit.zeros(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_dirac() -> None:
    """A convolution with these weights returns its input channels, per group."""
    w = init.dirac_(backlit.zeros(4, 2, 3), groups=2).numpy()
    expected = np.zeros((4, 2, 3))
    for group in (0, 2):
        expected[group, 0, 1] = expected[group + 1, 1, 1] = 1
    assert (w == expected).all()


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_xavier(gain: float) -> None:
    """σ² = gain² 2 / (fan_in + fan_out), for both distributions."""
    shape, fans = (200, 100, 2, 2), (400, 800)
    std = gain * math.sqrt(2 / sum(fans))
    uniform = drawn(init.xavier_uniform_, shape, gain)
    assert_moments(uniform, 0.0, std)
    assert np.abs(uniform).max() <= std * math.sqrt(3)
    assert_moments(drawn(init.xavier_normal_, shape, gain), 0.0, std)


@pytest.mark.parametrize("mode, fan", [("fan_in", 400), ("fan_out", 800)])
def test_kaiming(mode: str, fan: int) -> None:
    """σ = gain / √fan, for both distributions."""
    shape = (200, 100, 2, 2)
    std = math.sqrt(2) / math.sqrt(fan)
    kwargs = {"mode": mode, "nonlinearity": "relu"}
    uniform = drawn(init.kaiming_uniform_, shape, **kwargs)
    assert_moments(uniform, 0.0, std)
    assert np.abs(uniform).max() <= std * math.sqrt(3)
    assert_moments(drawn(init.kaiming_normal_, shape, **kwargs), 0.0, std)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    """Rows or columns are orthogonal, of length gain."""
    w = drawn(init.orthogonal_, shape, 2.0)
    flat = w.reshape(shape[0], -1)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    assert np.allclose(gram, 4 * np.eye(len(gram)))


def test_orthogonal_matrices_are_uniform() -> None:
    """The sign correction makes every entry symmetric about 0 (QR alone does not)."""
    generator = backlit.Generator().manual_seed(0)
    corners = [
        init.orthogonal_(backlit.zeros(2, 2), generator=generator)[0, 0].item() for _ in range(200)
    ]
    assert 60 < sum(c > 0 for c in corners) < 140


def test_sparse() -> None:
    """⌈share · rows⌉ zeros in every column, the rest normal."""
    w = drawn(init.sparse_, (1000, 200), 0.1, 0.3)
    assert ((w == 0).sum(0) == 100).all()
    assert_moments(w[w != 0], 0.0, 0.3)


@pytest.mark.parametrize(
    "name, param, gain",
    [
        ("linear", None, 1.0), ("conv2d", None, 1.0), ("conv_transpose3d", None, 1.0),
        ("sigmoid", None, 1.0), ("tanh", None, 5 / 3), ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))), ("leaky_relu", 1, 1.0),
        ("selu", None, 0.75),
    ],
)  # fmt: skip
def test_gains(name: str, param: Any, gain: float) -> None:
    """PyTorch's table."""
    assert init.calculate_gain(name, param) == pytest.approx(gain)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: init.calculate_gain("nope"), "Unsupported nonlinearity nope"),
        (lambda: init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
        (
            lambda: init.xavier_normal_(backlit.zeros(3)),
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
        ),
        (
            lambda: init.kaiming_normal_(backlit.zeros(3, 3), mode="fan"),
            "Mode fan not supported, please use one of ['fan_in', 'fan_out']",
        ),
        (lambda: init.eye_(backlit.zeros(3)), "Only tensors with 2 dimensions are supported"),
        (
            lambda: init.sparse_(backlit.zeros(3), 0.5),
            "Only tensors with 2 dimensions are supported",
        ),
        (
            lambda: init.dirac_(backlit.zeros(3, 3)),
            "Only tensors with 3, 4, or 5 dimensions are supported",
        ),
        (lambda: init.dirac_(backlit.zeros(3, 3, 3), 2), "dim 0 must be divisible by groups"),
        (
            lambda: init.orthogonal_(backlit.zeros(3)),
            "Only tensors with 2 or more dimensions are supported",
        ),
    ],
)
def test_what_init_refuses(call: Callable[[], Any], message: str) -> None:
    """Shapes and names that the formulas do not cover."""
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message


def test_empty_weights_are_left_alone() -> None:
    """With PyTorch's warning where the formula would divide by zero."""
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_uniform_(backlit.zeros(2, 0))
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_normal_(backlit.zeros(2, 0))
    assert tuple(init.orthogonal_(backlit.zeros(2, 0)).shape) == (2, 0)


def test_the_same_seed_gives_the_same_weights() -> None:
    """Initialisation is reproducible."""
    first = [drawn(init.normal_, (5,)).tolist() for _ in range(2)]
    assert first[0] == first[1]
    backlit.manual_seed(3)
    a = nn.Linear(4, 4).weight.tolist()
    backlit.manual_seed(3)
    assert nn.Linear(4, 4).weight.tolist() == a
    assert nn.Linear(4, 4).weight.tolist() != a


@pytest.mark.parametrize(
    "layer, parameter, bound",
    [
        (lambda: nn.Linear(400, 300), "weight", 1 / math.sqrt(400)),
        (lambda: nn.Linear(400, 30000), "bias", 1 / math.sqrt(400)),
        (lambda: nn.Bilinear(400, 30, 20), "weight", 1 / math.sqrt(400)),
    ],
)
def test_layers_start_uniform(layer: Any, parameter: str, bound: float) -> None:
    """PyTorch's distributions: uniform in ±1/√fan_in."""
    backlit.manual_seed(0)
    values = getattr(layer(), parameter).detach().numpy()
    assert np.abs(values).max() <= bound
    assert_moments(values, 0.0, bound / math.sqrt(3))


def test_embeddings_start_normal_with_a_zero_row() -> None:
    """N(0, 1), and 0 where padding_idx points."""
    backlit.manual_seed(0)
    w = nn.Embedding(400, 300, padding_idx=-1).weight.detach().numpy()
    assert (w[-1] == 0).all()
    assert_moments(w[:-1], 0.0, 1.0)
