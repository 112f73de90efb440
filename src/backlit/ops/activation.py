"""Activation functions: the pointwise part of `nn.functional`."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.dtypes import bool_
from backlit.core.op import op, plain
from backlit.core.operators import unary
from backlit.core.primitive import elementwise
from backlit.core.registry import PUBLIC
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.comparison import where
from backlit.ops.elementwise import (
    activation,
    alias,
    floating,
    overwriting,
    overwritten,
    public,
    typed,
    within,
)
from backlit.ops.mathematics import logaddexp_card
from backlit.ops.mathematics_trig import tanh
from backlit.ops.movement import slice_card

# -- primitives -----------------------------------------------------------------------------------

sigmoid_card = elementwise(
    "sigmoid",
    lambda m, x: 1 / (1 + m.exp(-x)),
    lambda m, out: out * (1 - out),
    kinds="f",
    maths="σ(x) = 1/(1 + e⁻ˣ)",
    local="σ(x)(1 - σ(x))",
    samples=within(-3, 3),
)
relu_card = elementwise(
    "relu",
    lambda m, x: m.maximum(x, 0),
    lambda m, out: out > 0,
    kinds="if",
    maths="max(0, x)",
    local="1 if x > 0 else 0",
    samples=within(-2, 2),
)

sigmoid = unary(sigmoid_card)
relu = unary(relu_card)
alias(sigmoid, "special.expit")

alias(sigmoid, "nn.functional.sigmoid")
alias(tanh, "nn.functional.tanh")


def _relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x).

    >>> import backlit.nn
    >>> backlit.nn.functional.relu(backlit.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return overwritten("relu", input, relu(input), inplace)


_relu.__name__ = _relu.__qualname__ = "relu"
public("nn.functional.relu", _relu, relu)

# -- rectifiers -----------------------------------------------------------------------------------


@activation
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(0, x), 6)."""
    return _between(input, 0, 6)


@activation
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x between ``min_val`` and ``max_val``, else the nearer of the two."""
    if min_val > max_val:
        raise ArgumentError(
            f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}."
        )
    if input.dtype is bool_:
        raise DtypeError("Bool inputs not supported for hardtanh; use .float() first.")
    return _between(input, typed(min_val, input.dtype), typed(max_val, input.dtype))


def _between(x: Tensor, low: Any, high: Any) -> Tensor:
    """``x`` kept within bounds; unlike `clamp`, no gradient flows at the bounds themselves."""
    return where(x <= low, low, where(x >= high, high, x))


@activation
def leaky_relu(input: Tensor, negative_slope: Number = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else ``negative_slope`` · x."""
    x = floating("leaky_relu", input)
    return where(x > 0, x, x * negative_slope)


@op(name="nn.functional.prelu")
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight · x, with one weight or one for each channel (dimension 1)."""
    x = floating("prelu", input)
    if x.dtype is not weight.dtype:
        raise DtypeError(
            "prelu: Type promoting not supported. Got "
            f"{input.dtype.name} and {weight.dtype.name}; convert one of them."
        )
    if weight.ndim > 1:
        raise ShapeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}."
        )
    if weight.numel() != 1:
        if x.ndim == 0:
            raise ShapeError("prelu: Not allow zero-dim input tensor with more than one weight.")
        channels = x.shape[1] if x.ndim > 1 else 1
        if channels != weight.numel():
            raise ShapeError(
                "prelu: Mismatch of parameter numbers and input channel size. Found parameter "
                f"numbers = {weight.numel()} and channel size = {channels}."
            )
    shape = [1] * x.ndim
    if x.ndim > 1:
        shape[1] = weight.numel()
    return where(x > 0, x, x * weight.reshape(tuple(shape)))


@plain("nn.functional.rrelu")
def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Leaky ReLU with a slope drawn for each element in training, and the mean slope otherwise.

    Xu et al., Empirical evaluation of rectified activations in convolutional network (2015).
    """
    x = floating("rrelu", input)
    if lower > upper:
        raise ArgumentError(
            "rrelu: Lower bound should be less than or equal to the upper bound, "
            f"got {lower} and {upper}."
        )
    slope: Any = (lower + upper) / 2
    if training:  # drawn here: the body of an op runs once per place in the trie
        slope = PUBLIC["rand_like"](x) * (upper - lower) + lower
    return overwritten("rrelu", input, where(x > 0, x, x * slope), inplace)


@activation
def threshold(input: Tensor, threshold: Number, value: Number, inplace: bool = False) -> Tensor:
    """x where above ``threshold``, else ``value``."""
    if input.dtype is bool_:
        raise DtypeError('"threshold" not implemented for bool tensors; use .float() first.')
    return where(input <= threshold, value, input)


# -- exponential units ----------------------------------------------------------------------------


def _expm1_below_zero(x: Tensor) -> Tensor:
    """eˣ - 1 where x ≤ 0, else 0: the exponential never overflows, nor does its gradient."""
    return PUBLIC["expm1"](where(x > 0, 0, x))


@activation
def elu(input: Tensor, alpha: Number = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else α(eˣ - 1). Clevert et al. (2016)."""
    x = floating("elu", input)
    return where(x > 0, x, _expm1_below_zero(x) * alpha)


@activation
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else α(e^(x/α) - 1). Barron (2017).

    Raises:
        ArgumentError: if ``alpha`` is 0.
    """
    x = floating("celu", input)
    if alpha == 0:
        raise ArgumentError("celu: ZeroDivisionError: alpha cannot be 0 for CELU.")
    low = where(x > 0, 0, x)
    return where(x > 0, x, PUBLIC["expm1"](low / alpha) * alpha)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@activation
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """λ times ELU with the α that keeps mean 0 and variance 1. Klambauer et al. (2017)."""
    x = floating("selu", input)
    return where(x > 0, x, _expm1_below_zero(x) * _SELU_ALPHA) * _SELU_SCALE


# -- smooth units ---------------------------------------------------------------------------------


@op(name="nn.functional.gelu")
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """x Φ(x), with Φ the standard normal distribution. Hendrycks and Gimpel (2016).

    Args:
        input: any floating tensor.
        approximate: "none", or "tanh" for x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))).

    >>> import backlit.nn
    >>> backlit.nn.functional.gelu(backlit.tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """
    x = floating("gelu", input)
    if approximate == "none":
        return x * 0.5 * (1 + PUBLIC["erf"](x * math.sqrt(0.5)))
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + tanh(inner))
    raise ArgumentError(
        f"gelu: approximate argument must be either none or tanh, got {approximate!r}."
    )


@activation
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x σ(x)."""
    x = floating("silu", input)
    return x * sigmoid(x)


@activation
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus x). Misra (2019)."""
    x = floating("mish", input)
    return x * tanh(logaddexp_card(x, 0))


@op(name="nn.functional.softplus")
def softplus(input: Tensor, beta: Number = 1.0, threshold: Number = 20.0) -> Tensor:
    """ln(1 + e^(βx))/β, and x itself where βx > ``threshold``.

    >>> import backlit.nn
    >>> backlit.nn.functional.softplus(backlit.tensor([-1000.0, 1000.0])).tolist()
    [0.0, 1000.0]
    """
    x = floating("softplus", input)
    scaled = x * beta
    return where(scaled > threshold, x, logaddexp_card(scaled, 0) / beta)


@op(name="nn.functional.logsigmoid")
def logsigmoid(input: Tensor) -> Tensor:
    """ln σ(x), without overflow."""
    x = floating("logsigmoid", input)
    return -logaddexp_card(-x, 0)


@op(name="nn.functional.softsign")
def softsign(input: Tensor) -> Tensor:
    """x/(1 + |x|)."""
    return input / (input.abs() + 1)


@op(name="nn.functional.tanhshrink")
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x."""
    return input - tanh(input)


@op(name="nn.functional.gaussian")
def gaussian(input: Tensor) -> Tensor:
    """exp(-x²/2), the Gaussian bump as an activation (PyTorch has none).

    >>> import backlit.nn
    >>> backlit.nn.functional.gaussian(backlit.tensor([0.0])).item()
    1.0
    """
    x = floating("gaussian", input)
    return PUBLIC["exp"](x * x * -0.5)


# -- piecewise linear units -----------------------------------------------------------------------


@activation
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(0, x + 3), 6)/6."""
    x = floating("hardsigmoid", input)
    return _between(x + 3, 0, 6) / 6


@activation
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(0, x + 3), 6)/6. Howard et al. (2019)."""
    x = floating("hardswish", input)
    return x * _between(x + 3, 0, 6) / 6


@op(name="nn.functional.hardshrink")
def hardshrink(input: Tensor, lambd: Number = 0.5) -> Tensor:
    """x where |x| > ``lambd``, else 0."""
    x = floating("hardshrink", input)
    return where(x.abs() <= lambd, 0, x)


@op(name="nn.functional.softshrink")
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by ``lambd``, and 0 where |x| ≤ ``lambd``.

    Raises:
        ArgumentError: if ``lambd`` is negative.
    """
    x = floating("softshrink", input)
    if lambd < 0:
        raise ArgumentError(
            f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}."
        )
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0))


@op(name="nn.functional.glu")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a σ(b), with a and b the halves of ``input`` along ``dim``. Dauphin et al. (2017).

    >>> import backlit.nn
    >>> backlit.nn.functional.glu(backlit.tensor([2.0, 0.0])).tolist()
    [1.0]
    """
    x = floating("glu", input)
    if x.ndim == 0:
        raise ShapeError("glu does not support 0-dimensional tensors.")
    dim = wrap_dim(dim, x.ndim, "glu")
    size = x.shape[dim]
    if size % 2:
        raise ShapeError(
            f"glu: Halving dimension must be even, but dimension {dim} is size {size}."
        )
    a, b = (
        slice_card(x, start, dims=(dim,), lengths=(size // 2,), steps=(1,))
        for start in (0, size // 2)
    )
    return a * sigmoid(b)


# -- names at the top level, and the variants that overwrite their input --------------------------

for _call in (celu, prelu, relu, rrelu, selu, threshold, hardshrink):
    alias(_call, _call.__name__)
for _call in (celu, elu, hardtanh, leaky_relu, relu, rrelu, selu, threshold):
    _in_place = overwriting(PUBLIC[f"nn.functional.{_call.__name__}"])
    alias(_in_place, f"nn.functional.{_call.__name__}_")
    if _call not in (elu, hardtanh, leaky_relu):
        alias(_in_place, f"{_call.__name__}_")
