"""Connectionist temporal classification: how likely a sequence of labels is, however it is timed.

Graves et al., "Connectionist Temporal Classification", 2006. A network says at each of T frames how
likely each class is; one class, the blank, means "nothing new". A timing of the labels is a path
through the states blank, l₁, blank, l₂, …, blank, and the loss is -ln of the sum over all paths of
their probabilities. The sum is taken frame by frame:

    αₜ(s) = pₜ(s) (αₜ₋₁(s) + αₜ₋₁(s - 1) + αₜ₋₁(s - 2) where label s differs from label s - 2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.dtypes import float64, int64
from backlit.core.era import local, realize
from backlit.core.op import op, plain
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor, realized
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.loss import reduced, reduction_of
from backlit.ops.movement import cat_card, expand_card, reshape_card, slice_card

# ln 0 as a finite number, so that no gradient is inf - inf; a path that exists is far above it.
_NEVER = -1e30
_IMPOSSIBLE = -1e29


def _span(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    made: Tensor = slice_card(x, start, dims=(dim,), lengths=(length,), steps=(1,))
    return made


def _states(targets: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """The labels with blanks around and between them: (N, S) → (N, 2 S + 1)."""
    n, width = targets.shape
    place = local.era.constant(np.arange(width), int64)
    inside = PUBLIC["lt"](place, lengths.reshape(n, 1))
    labels = targets.where(inside, blank).reshape(n, width, 1)  # (N, S, 1)
    blanks = local.era.constant(np.full((n, width, 1), blank), int64)
    pairs = cat_card(blanks, labels, dim=2)  # (N, S, 2)
    last = local.era.constant(np.full((n, 1), blank), int64)
    made: Tensor = cat_card(reshape_card(pairs, shape=(n, 2 * width)), last, dim=1)
    return made


def _forward(frames: Tensor, states: Tensor) -> Tensor:
    """ln αₜ(s) before the first frame and after each: (T, N, L) → (T + 1, N, L)."""
    steps, n, width = frames.shape
    constant, d = local.era.constant, frames.dtype
    never = constant(np.full((n, 2), _NEVER, d.numpy), d)
    first = np.full((n, width), _NEVER, d.numpy)
    first[:, 0] = 0  # before the first frame, in the first blank
    alpha: Tensor = constant(first, d)
    barrier = never
    if width > 2:
        same = PUBLIC["eq"](_span(states, 1, 2, width - 2), _span(states, 1, 0, width - 2))
        barrier = cat_card(never, same.to(d) * _NEVER, dim=1)
    barrier = _span(barrier, 1, 0, width)
    found = [alpha]
    for t in range(steps):
        padded = cat_card(never, alpha, dim=1)  # (N, 2 + L)
        moved = alpha.logaddexp(_span(padded, 1, 1, width))
        moved = moved.logaddexp(_span(padded, 1, 0, width) + barrier)
        alpha = moved + reshape_card(_span(frames, 0, t, 1), shape=(n, width))
        found.append(alpha)
    made: Tensor = cat_card(*(reshape_card(a, shape=(1, n, width)) for a in found), dim=0)
    return made


def _likelihood(
    x: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int
) -> Tensor:
    """The logarithm of the sum over all paths: (N,)."""
    steps, n, _ = x.shape
    states = _states(targets, target_lengths, blank)
    width = states.shape[1]
    index = expand_card(reshape_card(states, shape=(1, n, width)), shape=(steps, n, width))
    alphas = _forward(PUBLIC["gather"](x, 2, index), states)
    at = expand_card(input_lengths.reshape(1, n, 1), shape=(1, n, width))
    last = PUBLIC["gather"](alphas, 0, at).reshape(n, width)
    end = (target_lengths * 2).reshape(n, 1)
    in_blank = PUBLIC["gather"](last, 1, end).reshape(n)
    in_label = PUBLIC["gather"](last, 1, (end - 1).clamp(min=0)).reshape(n)
    made: Tensor = in_blank.logaddexp(in_label.where(target_lengths > 0, _NEVER))
    return made


@op(name="nn.functional.ctc_loss", public=False)
def _ctc(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: int,
    reduction: str,
    zero_infinity: bool,
) -> Tensor:
    steps = log_probs.shape[0]
    # In float64: a float32 logarithm of many frames' product keeps five digits of its probability
    known = log_probs.to(float64).clamp(min=_NEVER)
    found = _likelihood(known, targets, input_lengths, target_lengths, blank)
    # PyTorch's gradient is that of probabilities which keep their sum of 1 in each frame: p - γ
    # instead of -γ, for the posterior γ. The term that adds p is itself 0.
    inside = PUBLIC["lt"](
        local.era.constant(np.arange(steps).reshape(steps, 1), int64), input_lengths
    )
    mass = known.exp().sum(2).where(inside, 0).sum(0)
    loss = -found + (mass - mass.detach())
    possible = found > _IMPOSSIBLE
    if zero_infinity:
        loss = loss.where(possible, 0)
    else:  # an infinite loss has no gradient: NaN, as in PyTorch, not a number that means nothing
        factor = (found * 0).where(possible, float("nan")).detach() + 1
        loss = (loss * factor).where(possible, float("inf"))
    if reduction == "mean":
        loss = loss / target_lengths.clamp(min=1).to(loss.dtype)
    return reduced(loss, reduction).to(log_probs.dtype)


# -- arguments -------------------------------------------------------------------------------------


def _lengths(name: str, lengths: Any, n: int, most: int) -> Any:
    """The lengths as an array of N whole numbers from 0 to ``most``."""
    array = np.asarray(realize(lengths) if isinstance(lengths, Tensor) else lengths)
    if array.size and array.dtype.kind not in "iu":
        raise DtypeError(f"ctc_loss: {name} must be integral, got {array.dtype}.")
    array = array.reshape(-1).astype(np.int64)
    if len(array) != n:
        raise ShapeError(
            f"ctc_loss: {name} must be of size batch_size, {n} here, got {len(array)}."
        )
    if array.size and array.min() < 0:
        raise ArgumentError(
            f"ctc_loss: Expected {name} to have value at least 0, but got value {array.min()}."
        )
    if array.size and array.max() > most:
        raise ArgumentError(
            f"ctc_loss: Expected {name} to have value at most {most}, but got value {array.max()}."
        )
    return array


def _check_scores(log_probs: Tensor, blank: int) -> None:
    if log_probs.ndim not in (2, 3):
        raise ShapeError(
            "ctc_loss: Expected log_probs (T, N, C) or (T, C), but got a tensor of shape "
            f"{tuple(log_probs.shape)}."
        )
    if not log_probs.numel():
        raise ShapeError(
            f"ctc_loss: log_probs tensor must not be empty, got shape {tuple(log_probs.shape)}."
        )
    if not log_probs.dtype.is_floating_point:
        raise DtypeError(
            f"ctc_loss: not implemented for {log_probs.dtype.name}; log_probs are logarithms, such "
            "as log_softmax gives."
        )
    if not 0 <= blank < log_probs.shape[-1]:
        raise ArgumentError(
            f"ctc_loss: blank must be in label range, from 0 to {log_probs.shape[-1] - 1}, got "
            f"{blank}."
        )


def _padded(targets: Tensor, lengths: Any, n: int) -> Tensor:
    """The targets as (N, S), whether they were that or all in one row."""
    longest = int(lengths.max(initial=0))
    if targets.ndim == 2:
        if targets.shape[0] != n or targets.shape[1] < longest:
            raise ShapeError(
                f"ctc_loss: Expected targets of shape (N, S) with N = {n} and S at least "
                f"{longest}, the largest target length, but got {tuple(targets.shape)}."
            )
        return targets
    if targets.ndim != 1:
        raise ShapeError(
            "ctc_loss: Expected targets of 1 to 2 dimensions, but got a tensor of shape "
            f"{tuple(targets.shape)}."
        )
    if targets.shape[0] != lengths.sum():
        raise ShapeError(
            f"ctc_loss: Expected targets in one row of {lengths.sum()} labels, the sum of the "
            f"target lengths, but got {targets.shape[0]}."
        )
    if not targets.shape[0]:
        return realized(np.zeros((n, 0), np.int64), int64)
    start = np.cumsum(lengths) - lengths
    places = np.minimum(start[:, None] + np.arange(longest), targets.shape[0] - 1)
    found: Tensor = targets[realized(places, int64)]
    return found


@plain("nn.functional.ctc_loss", method=False)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-ln of the probability of the labels, summed over all ways to time them.

    Args:
        log_probs: logarithms of probabilities, (T, N, C), or (T, C) without a batch.
        targets: labels (N, S), or those of all sequences in one row.
        input_lengths: for each sequence, how many of the T frames it has.
        target_lengths: for each sequence, how many labels it has.
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by its number of labels, then averages.
        zero_infinity: whether sequences too short for their labels count as 0 instead of infinity.

    The gradient is PyTorch's: that of ``log_probs`` which stay normalised, as after `log_softmax`.
    A program has a node or ten for each frame.

    >>> import backlit.nn.functional as F
    >>> even = backlit.full((2, 1, 2), 0.5).log()  # three of the four paths give label 1
    >>> F.ctc_loss(even, backlit.tensor([[1]]), [2], [1]).exp()
    tensor(1.3333)
    """
    reduction = reduction_of("ctc_loss", None, None, reduction)
    _check_scores(log_probs, blank)
    batched = log_probs.ndim == 3
    x = log_probs if batched else log_probs.unsqueeze(1)
    if not batched and targets.ndim == 1:
        targets = targets.unsqueeze(0)
    steps, n, _ = x.shape
    inputs = _lengths("input_lengths", input_lengths, n, steps)
    lengths = _lengths("target_lengths", target_lengths, n, np.iinfo(np.int64).max)
    labels = _padded(targets, lengths, n).to(int64)
    loss = _ctc(
        x, labels, realized(inputs, int64), realized(lengths, int64), blank, reduction,
        zero_infinity,
    )  # fmt: skip
    return loss if batched or reduction != "none" else loss.squeeze(0)
