"""Softmax and its kin: scores turned into probabilities along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.dtypes import dtype as Dtype
from backlit.core.dtypes import get_default_dtype
from backlit.core.op import op, plain
from backlit.core.primitive import primitive
from backlit.core.registry import PUBLIC
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError


def _samples() -> list[Any]:
    r = np.random.default_rng(2)
    return [
        ((r.normal(size=(3, 4)),), {"dim": 1}),
        ((1e4 * r.normal(size=(2, 3)),), {"dim": 0}),
        ((np.zeros((0, 2)),), {"dim": 1}),
    ]


def _softmax_gradient(g: Tensor, out: Tensor, dim: int) -> Tensor:
    """x̄ = p (p̄ - Σ p p̄)."""
    weighted = g * out
    return weighted - out * weighted.sum(dim, keepdim=True)


softmax_card = primitive(
    "softmax",
    "x",
    shape=lambda x, dim: (tuple(x.shape), x.dtype),
    numpy="ref.softmax({x}, {dim})",
    vjp=(_softmax_gradient,),
    upcast=True,
    maths="eˣ / Σ eˣ",
    local="p (p̄ - Σ p p̄)",
    samples=_samples,
)
log_softmax_card = primitive(
    "log_softmax",
    "x",
    shape=lambda x, dim: (tuple(x.shape), x.dtype),
    numpy="ref.log_softmax({x}, {dim})",
    vjp=(lambda g, out, dim: g - out.exp() * g.sum(dim, keepdim=True),),
    upcast=True,
    maths="x - ln Σ eˣ",
    local="ḡ - softmax(x) Σ ḡ",
    samples=_samples,
)


def _prepare(name: str, x: Any, dim: int | None, d: Dtype | None) -> tuple[Tensor, int]:
    """The operand in the dtype to compute in, and the dimension counted from the front."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}.")
    if d is not None:
        x = x.to(d)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            f'{name}: "{name}" is not implemented for {x.dtype.name} tensors; pass dtype=, for '
            f"example {get_default_dtype().name}, or convert the input with .float()."
        )
    if dim is None:  # PyTorch's rule from before dim had to be given
        dim = 0 if x.ndim in (0, 1, 3) else 1
    return x, wrap_dim(dim, x.ndim, name)


def probabilities(name: str, input: Tensor, dim: int | None, d: Dtype | None) -> Tensor:
    """exp(x) / Σ exp(x) along ``dim``."""
    x, dim = _prepare(name, input, dim, d)
    row = x if x.ndim else x.reshape(1)
    found: Tensor = softmax_card(row, dim=dim).reshape(tuple(x.shape))
    return found


def log_probabilities(name: str, input: Tensor, dim: int | None, d: Dtype | None = None) -> Tensor:
    """x - ln Σ exp(x) along ``dim``."""
    x, dim = _prepare(name, input, dim, d)
    row = x if x.ndim else x.reshape(1)
    found: Tensor = log_softmax_card(row, dim=dim).reshape(tuple(x.shape))
    return found


@op(out=True)
def softmax(input: Tensor, dim: int, dtype: Dtype | None = None) -> Tensor:
    """exp(x) / Σ exp(x) along ``dim``: positive, summing to 1, unchanged by shifts of x.

    >>> import backlit
    >>> backlit.softmax(backlit.tensor([0.0, 0.0]), dim=0).tolist()
    [0.5, 0.5]
    """
    return probabilities("softmax", input, dim, dtype)


@op(out=True)
def log_softmax(input: Tensor, dim: int, dtype: Dtype | None = None) -> Tensor:
    """ln softmax(x), without overflow: x - ln Σ exp(x)."""
    return log_probabilities("log_softmax", input, dim, dtype)


@op(name="nn.functional.softmax")
def functional_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Dtype | None = None
) -> Tensor:
    """exp(x) / Σ exp(x) along ``dim``: positive, summing to 1, unchanged by shifts of x."""
    return probabilities("softmax", input, dim, dtype)


@op(name="nn.functional.log_softmax")
def functional_log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Dtype | None = None
) -> Tensor:
    """ln softmax(x), without overflow: x - ln Σ exp(x)."""
    return log_probabilities("log_softmax", input, dim, dtype)


@op(name="nn.functional.softmin")
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Dtype | None = None
) -> Tensor:
    """softmax(-x): the smallest element gets the largest share."""
    return probabilities("softmin", -input, dim, dtype)


@plain("nn.functional.gumbel_softmax", method=False)
def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample from a categorical distribution, relaxed (Jang et al. 2017).

    softmax((logits + Gumbel noise) / tau); with ``hard`` it is one-hot, but differentiated as if it
    were not.
    """
    if not logits.dtype.is_floating_point:
        raise DtypeError(f"gumbel_softmax: logits must be floating, got {logits.dtype.name}.")
    dim = wrap_dim(dim, logits.ndim, "gumbel_softmax")
    # Drawn here: the body of an op runs once per place in the trie.
    return _gumbel_softmax(logits, PUBLIC["rand_like"](logits), tau, hard, dim)


@op(name="_gumbel_softmax", method=False)
def _gumbel_softmax(logits: Tensor, uniform: Tensor, tau: float, hard: bool, dim: int) -> Tensor:
    tiny = 1e-30 if logits.dtype.itemsize >= 4 else 1e-7
    noise = -(-(uniform + tiny).log()).log()
    soft = probabilities("gumbel_softmax", (logits + noise) / tau, dim, None)
    if not hard:
        return soft
    chosen = soft.argmax(dim, keepdim=True)
    one_hot = (soft * 0).detach().scatter(dim, chosen, 1.0)
    return one_hot - soft.detach() + soft


@op(name="nn.functional.entropy")
def entropy(input: Tensor, dim: int = -1) -> Tensor:
    """The entropy -Σ p ln p of probabilities along ``dim``, in nats; 0 ln 0 counts as 0.

    Shannon, "A mathematical theory of communication" (1948).

    >>> import backlit.nn.functional as F
    >>> F.entropy(backlit.tensor([1.0, 0.0])).item()
    0.0
    """
    if not input.dtype.is_floating_point:
        raise DtypeError(f"entropy: probabilities must be floating, got {input.dtype.name}.")
    dim = wrap_dim(dim, input.ndim, "entropy")
    found: Tensor = PUBLIC["special.entr"](input).sum(dim)
    return found


@op(name="nn.functional.topk_error")
def topk_error(input: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """The share of rows whose target class is not among the ``k`` highest scores.

    Args:
        input: scores (N, C).
        target: class indices (N,).
    """
    if input.ndim != 2 or target.ndim != 1 or input.shape[0] != target.shape[0]:
        raise ArgumentError(
            f"topk_error: expected scores (N, C) and class indices (N,), got {tuple(input.shape)} "
            "and "
            f"{tuple(target.shape)}."
        )
    if not 1 <= k <= input.shape[1]:
        raise ArgumentError(
            f"topk_error: k must be between 1 and {input.shape[1]} classes, got {k}."
        )
    best = input.topk(k, 1).indices
    missed = (best != target.unsqueeze(1)).all(1)
    found: Tensor = missed.to(input.dtype).mean()
    return found
