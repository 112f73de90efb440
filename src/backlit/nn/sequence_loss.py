"""Losses for sequences of labels and for vocabularies of many classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import backlit.functions as ops
from backlit.core.dtypes import dtype, int64
from backlit.core.tensor import Tensor, realized
from backlit.errors import ArgumentError, ShapeError
from backlit.nn import functional as F
from backlit.nn.container import ModuleList, Sequential
from backlit.nn.linear import Linear
from backlit.nn.loss import _Loss
from backlit.nn.module import Module


class CTCLoss(_Loss):
    """-ln of the probability of labels whose timing is unknown (Graves et al., 2006).

    Args:
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by its number of labels, then averages.
        zero_infinity: whether sequences too short for their labels count as 0 instead of infinity.

    Shapes: log_probs (T, N, C), targets (N, S) or all in one row, lengths (N,).

    >>> from backlit import nn
    >>> even = backlit.full((2, 1, 2), 0.5).log()
    >>> nn.CTCLoss()(even, backlit.tensor([[1]]), [2], [1]).exp()
    tensor(1.3333)
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


class _ASMoutput(NamedTuple):
    """The log-probability of each target, and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over many classes, cheap for the frequent ones (Grave et al., 2017).

    Classes are sorted by frequency and cut into a shortlist and clusters. A head tells the classes
    of the shortlist and the clusters apart; a small network per cluster tells its classes apart.

    Args:
        in_features: size D of the last dimension of x.
        n_classes: the number of classes.
        cutoffs: where the clusters begin, ascending.
        div_value: each cluster's network is this many times narrower than the one before.
        head_bias: whether the head has a bias.

    Shapes: x (N, D), y (N,) → output (N,) and a loss; or x (D,), y ().

    >>> from backlit import nn
    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 6])
    >>> bool((layer.log_prob(backlit.ones(1, 4)).exp().sum() - 1).abs() < 1e-5)
    True
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        _check_cutoffs(cutoffs, n_classes)
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (start, end) in enumerate(pairwise(self.cutoffs)):
            width = int(in_features // (div_value ** (i + 1)))
            down = Linear(in_features, width, False, device, dtype)
            self.tail.append(Sequential(down, Linear(width, end - start, False, device, dtype)))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        _check_target(input_, target_)
        batched = target_.ndim > 0
        x = input_ if batched else input_.unsqueeze(0)
        classes = np.atleast_1d(target_.detach().numpy()).astype(np.int64)
        self._check_classes(classes)
        in_head = classes.copy()  # the shortlist's classes, then the clusters
        order, parts = [], []
        for i, (start, end) in enumerate(pairwise([0, *self.cutoffs])):
            rows = np.flatnonzero((classes >= start) & (classes < end))
            if i == 0:
                parts.append(x.new_zeros(len(rows)))
            elif len(rows):
                in_head[rows] = self.shortlist_size + i - 1
                chosen = F.log_softmax(self.tail[i - 1](x[realized(rows, int64)]), dim=1)
                parts.append(_picked(chosen, classes[rows] - start))
            order.append(rows)
        inner = ops.cat(parts)[realized(np.argsort(np.concatenate(order)), int64)]
        output = inner + _picked(F.log_softmax(self.head(x), dim=1), in_head)
        return _ASMoutput(output if batched else output.squeeze(0), (-output).mean())

    def _check_classes(self, classes: Any) -> None:
        if classes.size and (classes.min() < 0 or classes.max() >= self.n_classes):
            raise ArgumentError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{classes.min()}, {classes.max()}] were found."
            )

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, D) → (N, n_classes)."""
        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            of_cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(cluster(input), dim=1) + of_cluster)
        return ops.cat(parts, dim=1)

    def predict(self, input: Tensor) -> Tensor:
        """The most likely class of each row; a row whose head names a class is done with that."""
        first = self.head(input).argmax(dim=1)
        if not bool((first >= self.shortlist_size).any()):
            return first
        return self.log_prob(input).argmax(dim=1).where(first >= self.shortlist_size, first)


def _check_cutoffs(cutoffs: list[Any], n_classes: int) -> None:
    if not cutoffs:
        raise ArgumentError("cutoffs should be a sequence of length larger than 0")
    if (
        cutoffs != sorted(set(cutoffs))
        or min(cutoffs) <= 0
        or max(cutoffs) > n_classes - 1
        or any(int(c) != c for c in cutoffs)
    ):
        raise ArgumentError(
            "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
            f"order, where each value is between 1 and n_classes-1, got {cutoffs} for {n_classes} "
            "classes"
        )


def _check_target(input: Tensor, target: Tensor) -> None:
    if target.ndim > 1:
        raise ShapeError(
            "0D or 1D target tensor expected, multi-target not supported; got shape "
            f"{tuple(target.shape)}."
        )
    if target.ndim and input.shape[:1] != target.shape:
        raise ShapeError(
            "Input and target should have the same size in the batch dimension, got input "
            f"{tuple(input.shape)} and target {tuple(target.shape)}."
        )
    if input.ndim != target.ndim + 1:
        raise ShapeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with size {tuple(input.shape)}."
        )


def _picked(x: Tensor, columns: Any) -> Tensor:
    """One element of each row: (N, K), (N,) → (N,)."""
    return x.gather(1, realized(columns[:, None], int64)).squeeze(1)


__all__ = ["AdaptiveLogSoftmaxWithLoss", "CTCLoss"]
