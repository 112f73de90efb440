"""Initial values for weights: `torch.nn.init` in full.

All functions change the given tensor in place, without recording gradients, and return it.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.autograd import no_grad
from backlit.core.create import from_array, full_constant
from backlit.core.era import realize
from backlit.core.inplace import rebind
from backlit.core.tensor import Tensor
from backlit.ops.generator import Generator, default_generator
from backlit.ops.random import draw_normal


def _silent(fill: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run ``fill`` without recording gradients."""

    @functools.wraps(fill)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        with no_grad():
            return fill(*args, **kwargs)

    return call


def _put(tensor: Tensor, array: Any, name: str) -> Tensor:
    """Give ``tensor`` the values of a NumPy array."""
    new = from_array(np.asarray(array, tensor.dtype.numpy))
    return rebind(tensor, new.reshape(tuple(tensor.shape)), name)


_GAINS = {
    "linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
} | {f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)}  # fmt: skip


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The factor on the standard deviation of weights that an activation function asks for.

    Args:
        nonlinearity: the name of the function, such as "relu" or "tanh".
        param: the negative slope, for "leaky_relu" (default 0.01).

    >>> from backlit.nn import init
    >>> round(init.calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    """
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity != "leaky_relu":
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
        raise ValueError(f"negative_slope {param} not a valid number")
    slope = 0.01 if param is None else param
    return math.sqrt(2.0 / (1 + slope**2))


# -- simple fills ---------------------------------------------------------------------------------


@_silent
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers from the uniform distribution on [a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@_silent
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers from the normal distribution N(mean, std²)."""
    return tensor.normal_(mean, std, generator=generator)


@_silent
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with numbers from N(mean, std²), given that they lie in [a, b] (values, not σs)."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=3,
        )
    draw = (generator or default_generator).numpy()
    low, high = (math.erf((limit - mean) / (std * math.sqrt(2))) for limit in (a, b))
    u = draw.uniform(low, high, tuple(tensor.shape))
    values = mean + std * math.sqrt(2) * realize(from_array(u).erfinv())
    return _put(tensor, np.clip(values, a, b), "trunc_normal_")


@_silent
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    new = full_constant(tuple(tensor.shape), val, tensor.dtype)
    return rebind(tensor, new, "constant_")


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


@_silent
def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity: the layer passes its inputs on."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _put(tensor, np.eye(*tensor.shape), "eye_")


@_silent
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make convolution weights pass as many channels on, per group, as there are."""
    sizes = tuple(tensor.shape)
    if len(sizes) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if sizes[0] % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    out_channels = sizes[0] // groups
    values = np.zeros(sizes)
    centre = tuple(n // 2 for n in sizes[2:])
    for group in range(groups):
        for d in range(min(out_channels, sizes[1])):
            values[(group * out_channels + d, d, *centre)] = 1
    return _put(tensor, values, "dirac_")


# -- fills that keep the variance of signals ------------------------------------------------------


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output of weights (out, in, *kernel) has, and the other way round."""
    sizes = tuple(tensor.shape)
    if len(sizes) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(sizes[2:])
    return sizes[1] * field, sizes[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {list(modes)}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Glorot and Bengio, 2010: uniform in ±gain √(6 / (fan_in + fan_out)).

    >>> from backlit.nn import init
    >>> w = init.xavier_uniform_(backlit.zeros(3, 3))
    >>> bool((w.abs() <= 1).all())
    True
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Glorot and Bengio, 2010: normal with σ = gain √(2 / (fan_in + fan_out))."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def _is_empty(tensor: Tensor) -> bool:
    if 0 not in tensor.shape:
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return True


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """He et al., 2015: uniform in ±gain √(3 / fan).

    Args:
        tensor: the weights, (out, in, …).
        a: negative slope of the activation that follows.
        mode: "fan_in" keeps the variance going forward, "fan_out" that of gradients.
        nonlinearity: the activation that follows, for its gain.
        generator: where the random numbers come from.
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """He et al., 2015: normal with σ = gain / √fan; arguments as in `kaiming_uniform_`."""
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@_silent
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Saxe et al., 2013: rows (or columns, if fewer) orthogonal and of length ``gain``."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    cols = tensor.numel() // rows
    flat = realize(draw_normal((rows, cols), tensor.dtype, generator)).astype(np.float64)
    q, r = np.linalg.qr(flat.T if rows < cols else flat)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Mezzadri, 2007)
    return _put(tensor, gain * (q.T if rows < cols else q), "orthogonal_")


@_silent
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Martens, 2010: normal, with a share ``sparsity`` of each column zero."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor.shape
    zeros = math.ceil(sparsity * rows)
    draw = (generator or default_generator).numpy()
    values = draw.normal(0, std, (rows, cols))
    order = np.argsort(draw.random((rows, cols)), axis=0)
    np.put_along_axis(values, order[:zeros], 0.0, axis=0)
    return _put(tensor, values, "sparse_")


__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_",
    "normal_", "ones_", "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_",
    "xavier_uniform_", "zeros_",
]  # fmt: skip
