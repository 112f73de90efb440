"""Normalisation: activations rescaled by their own statistics.

All are one primitive, `standardize` (x - mean) / √(variance + ε) over some dimensions, between
reshapes.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from backlit.core.dtypes import finfo
from backlit.core.inplace import rebind
from backlit.core.op import op, plain
from backlit.core.primitive import Spec, primitive
from backlit.core.registry import PUBLIC
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import ArgumentError, ShapeError
from backlit.ops.linalg_factor import is_zero
from backlit.ops.linalg_norm import vector_norm_card
from backlit.ops.movement import zeros


def _standardize_shape(x: Value, dims: tuple[int, ...], eps: float) -> list[Spec]:
    kept = tuple(1 if i in dims else n for i, n in enumerate(x.shape))
    return [(tuple(x.shape), x.dtype), (kept, x.dtype), (kept, x.dtype)]


def _standardize_gradient(
    g: Tensor, out: Tensor, out2: Tensor, g1: Tensor, g2: Tensor, dims: Any, eps: float
) -> Tensor:
    """x̄ = (ḡ - mean ḡ - x̂ mean(ḡ x̂)) / σ (Ioffe and Szegedy 2015), and those of the statistics."""
    n = prod(out.shape[d] for d in dims)
    rate = (out2 + eps).rsqrt()
    found: Tensor | None = None
    if not is_zero(g):
        shift = g.sum(dims, keepdim=True) / n
        slope = (g * out).sum(dims, keepdim=True) / n
        found = (g - shift - out * slope) * rate
    if not is_zero(g1):
        through = (g1 / n).expand(tuple(out.shape))
        found = through if found is None else found + through
    if not is_zero(g2):
        through = out * (g2 * (2 / n) / rate)
        found = through if found is None else found + through
    return out * 0 if found is None else found


standardize_card = primitive(
    "standardize",
    "x",
    shape=_standardize_shape,
    numpy="ref.standardize({x}, {dims}, {eps})",
    vjp=(_standardize_gradient,),
    upcast=True,
    maths="(x - mean) / √(variance + ε)",
    local="(ḡ - mean ḡ - x̂ mean(ḡ x̂)) / σ",
    samples=lambda: [((np.arange(6.0).reshape(2, 3) ** 2,), {"dims": (1,), "eps": 1e-5})],
)


def _affine(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]
) -> Tensor:
    if weight is not None:
        x = x * weight.reshape(shape)
    return x + bias.reshape(shape) if bias is not None else x


def _check_normalized(
    name: str, x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None
) -> None:
    if not shape:
        raise ShapeError(f"{name}: Expected normalized_shape to be at least 1-dimensional, got ().")
    for what, w in (("weight", weight), ("bias", bias)):
        if w is not None and tuple(w.shape) != shape:
            raise ShapeError(
                f"{name}: Expected {what} to be of same shape as normalized_shape, but got {what} "
                f"{tuple(w.shape)} and normalized_shape {shape}."
            )
    if tuple(x.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"{name}: Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size {list(x.shape)}."
        )


@op(name="nn.functional.layer_norm")
def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(variance + ε) · weight + bias over the last dimensions (Ba et al. 2016).

    >>> import backlit.nn.functional as F
    >>> F.layer_norm(backlit.tensor([[1.0, 3.0]]), (2,), eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    shape = tuple(int(n) for n in normalized_shape)
    _check_normalized("layer_norm", input, shape, weight, bias)
    dims = tuple(range(input.ndim - len(shape), input.ndim))
    out = standardize_card(input, dims=dims, eps=float(eps))[0]
    return _affine(out, weight, bias, shape)


@op(name="nn.functional.rms_norm")
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / √(mean x² + ε) · weight over the last dimensions (Zhang and Sennrich 2019)."""
    shape = tuple(int(n) for n in normalized_shape)
    _check_normalized("rms_norm", input, shape, weight, None)
    dims = tuple(range(input.ndim - len(shape), input.ndim))
    eps = finfo(input.dtype).eps if eps is None else eps
    rate = (input.square().mean(dims, keepdim=True) + eps).rsqrt()
    return _affine(input * rate, weight, None, shape)


@op(name="nn.functional.group_norm")
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample standardised over groups of channels (Wu and He 2018)."""
    if input.ndim < 2:
        raise ShapeError(
            "group_norm: Expected at least 2 dimensions for input tensor but received "
            f"{input.ndim}."
        )
    n, c = input.shape[:2]
    if num_groups <= 0 or c % num_groups:
        raise ArgumentError(
            "group_norm: Expected number of channels in input to be divisible by num_groups, but "
            "got "
            f"input of shape {list(input.shape)} and num_groups={num_groups}."
        )
    for what, w in (("weight", weight), ("bias", bias)):
        if w is not None and tuple(w.shape) != (c,):
            raise ShapeError(
                f"group_norm: Expected {what} to be a vector of size equal to the number of "
                "channels in "
                f"input, but got {what} of shape {list(w.shape)} and input of shape "
                f"{list(input.shape)}."
            )
    grouped = input.reshape(n, num_groups, prod(input.shape[1:]) // num_groups)
    out = standardize_card(grouped, dims=(2,), eps=float(eps))[0].reshape(tuple(input.shape))
    return _affine(out, weight, bias, (1, c, *(1,) * (input.ndim - 2)))


# -- statistics that are remembered ----------------------------------------------------------------


@op(name="nn.functional.batch_norm")
def _batch_norm_train(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
    dims: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """The output, and the new running statistics."""
    shape = tuple(1 if d in dims else n for d, n in enumerate(input.shape))
    out, mean, variance = standardize_card(input, dims=dims, eps=eps)
    found = [_affine(out, weight, bias, shape)]
    n = prod(input.shape[d] for d in dims)
    for running, now in ((running_mean, mean), (running_var, variance * (n / max(n - 1, 1)))):
        if running is not None:
            now = now.detach().to(running.dtype).reshape(tuple(running.shape))
            found.append(running * (1 - momentum) + now * momentum)
    return tuple(found)


@op(name="nn.functional.batch_norm")
def _batch_norm_evaluate(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    shape = (1, input.shape[1], *(1,) * (input.ndim - 2))
    rate = (running_var + eps).rsqrt()
    scale = rate if weight is None else rate * weight
    out = (input - running_mean.reshape(shape)) * scale.reshape(shape)
    return out + bias.reshape(shape) if bias is not None else out


def _check_channels(name: str, input: Tensor, **parameters: Tensor | None) -> None:
    if input.ndim < 2 and input.numel():
        raise ShapeError(
            f"{name}: expected at least 2 dimensions (N, C, …), got {tuple(input.shape)}."
        )
    for what, w in parameters.items():
        if w is not None and input.ndim > 1 and w.numel() != input.shape[1]:
            raise ShapeError(
                f"{name}: {what} should contain {input.shape[1]} elements not {w.numel()}, one for "
                "each "
                f"channel of input {tuple(input.shape)}."
            )


@plain("nn.functional.batch_norm", method=False)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel standardised over the batch (Ioffe and Szegedy 2015).

    In training the running statistics are updated in place: r ← (1 - momentum) r + momentum · new
    (the variance that is remembered is the unbiased one). Otherwise they are what is used.
    """
    _check_channels(
        "batch_norm",
        input,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if eps < 0 or (training and not eps > 0):
        raise ArgumentError(
            f"batch_norm: eps must be {'positive during training' if training else 'non-negative'},"
            f" but got {eps}."
        )
    if input.ndim < 2:  # empty: there are no channels
        return input * 1
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: Expected running_mean and running_var to be defined when "
                "training=False."
            )
        evaluated: Tensor = _batch_norm_evaluate(
            input, running_mean, running_var, weight, bias, float(eps)
        )
        return evaluated
    dims = (0, *range(2, input.ndim))
    if prod(input.shape[d] for d in dims) == 1:
        raise ArgumentError(
            f"batch_norm: Expected more than 1 value per channel when training, got input size "
            f"{list(input.shape)}."
        )
    out, *new = _batch_norm_train(
        input, weight, bias, running_mean, running_var, momentum, float(eps), dims
    )
    if not prod(input.shape[d] for d in dims):  # nothing was seen: the statistics stay
        return out
    for running in (running_mean, running_var):
        if running is not None:
            rebind(running, new.pop(0), "batch_norm")
    return out


@op(name="nn.functional.instance_norm")
def _instance_norm_train(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    shape = (1, input.shape[1], *(1,) * (input.ndim - 2))
    out, mean, variance = standardize_card(input, dims=tuple(range(2, input.ndim)), eps=eps)
    found = [_affine(out, weight, bias, shape)]
    n = prod(input.shape[2:])
    for running, now in ((running_mean, mean), (running_var, variance * (n / max(n - 1, 1)))):
        if running is not None:
            now = now.detach().reshape(tuple(input.shape[:2])).mean(0).to(running.dtype)
            found.append(running * (1 - momentum) + now * momentum)
    return tuple(found)


@plain("nn.functional.instance_norm", method=False)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample standardised by itself (Ulyanov et al. 2016)."""
    _check_channels(
        "instance_norm",
        input,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "instance_norm: Expected running_mean and running_var to be defined when "
                "use_input_stats=False."
            )
        evaluated: Tensor = _batch_norm_evaluate(
            input, running_mean, running_var, weight, bias, float(eps)
        )
        return evaluated
    if prod(input.shape[2:]) == 1:
        raise ArgumentError(
            f"instance_norm: Expected more than 1 spatial element when training, got input size "
            f"{list(input.shape)}."
        )
    out, *new = _instance_norm_train(
        input, weight, bias, running_mean, running_var, momentum, float(eps)
    )
    for running in (running_mean, running_var):
        if running is not None:
            rebind(running, new.pop(0), "instance_norm")
    return out


# -- normalisation by neighbours and by length -----------------------------------------------------


@op(name="nn.functional.local_response_norm")
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + α mean of x² over ``size`` neighbouring channels)^β (Krizhevsky et al. 2012)."""
    if input.ndim < 3:
        raise ShapeError(
            f"local_response_norm: Expected 3D or higher dimensionality input (got {input.ndim} "
            "dimensions)."
        )
    if not input.numel():
        return input * 1
    n, c = input.shape[:2]
    edges = [(n, width, *input.shape[2:]) for width in (size // 2, (size - 1) // 2)]
    before, after = (zeros(shape, input.dtype) for shape in edges)
    padded = PUBLIC["cat"]((before, input.square(), after), 1)
    total = padded[:, :c]
    for shift in range(1, size):
        total = total + padded[:, shift : shift + c]
    found: Tensor = input / (total * (alpha / size) + k).pow(beta)
    return found


@op(name="nn.functional.normalize", out=True)
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, ε) along ``dim``: vectors of length 1."""
    dims = (
        (wrap_dim(dim, input.ndim, "normalize"),)
        if isinstance(dim, int)
        else tuple(wrap_dim(d, input.ndim, "normalize") for d in dim)
    )
    if not input.ndim:
        dims = ()
    length = vector_norm_card(input, p=float(p), dims=dims, keepdim=True)
    found: Tensor = input / length.clamp(min=eps)
    return found
