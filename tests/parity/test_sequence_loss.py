"""CTC and adaptive softmax equal PyTorch's: values, gradients, lengths, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F
from backlit import nn
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError

torch = pytest.importorskip("torch")


def of_both(run: Callable[[Any], tuple[Any, ...]]) -> None:
    """Both libraries give the same arrays."""
    for ours, theirs in zip(run(backlit), run(torch), strict=True):
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-10
        )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("in_a_row", [False, True])
@pytest.mark.parametrize("sizes", [(5, 2, 4, 3), (12, 3, 5, 4), (3, 2, 4, 0), (1, 1, 3, 1)])
def test_ctc(sizes: tuple[int, int, int, int], in_a_row: bool, reduction: str) -> None:
    """Losses and gradients, for targets padded or in one row, of any lengths."""
    frames, n, classes, labels = sizes
    rng = np.random.default_rng(sum(sizes))
    x = rng.standard_normal((frames, n, classes))
    lengths = rng.integers(0, labels + 1, n)
    frames_of = rng.integers(max(frames - 2, 1), frames + 1, n)
    targets = rng.integers(1, classes, (n, labels))
    if in_a_row:
        targets = np.concatenate([row[:k] for row, k in zip(targets, lengths, strict=True)])

    def run(library: Any) -> tuple[Any, ...]:
        scores = library.tensor(x, requires_grad=True)
        log_probs = scores.log_softmax(-1)
        log_probs.retain_grad()
        loss = library.nn.functional.ctc_loss(
            log_probs,
            library.tensor(targets, dtype=library.int64),
            library.tensor(frames_of),
            library.tensor(lengths),
            reduction=reduction,
            zero_infinity=True,
        )
        loss.sum().backward()
        return loss, log_probs.grad, scores.grad

    of_both(run)


def test_ctc_is_the_sum_over_all_paths() -> None:
    """Every way to time the labels, listed: their probabilities sum to exp(-loss)."""
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    total = 0.0
    for path in itertools.product(range(3), repeat=4):
        told = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in told if c] == [1, 1]:
            total += float(np.prod([p[t, c] for t, c in enumerate(path)]))
    loss = F.ctc_loss(backlit.tensor(p).log(), backlit.tensor([1, 1]), (4,), (2,), reduction="sum")
    assert loss.item() == pytest.approx(-np.log(total), rel=1e-12)


def test_ctc_of_the_impossible() -> None:
    """Too few frames: infinite, its gradient NaN; or 0 on request. The others are not touched."""
    targets = [[1, 2, 3], [1, 1, 2]]

    def run(library: Any) -> tuple[Any, ...]:
        x = library.tensor(np.linspace(-1, 1, 40).reshape(5, 2, 4), requires_grad=True)
        loss = nn_of(library).CTCLoss(reduction="none")(
            x.log_softmax(-1), library.tensor(targets), [4, 3], [3, 3]
        )
        loss.sum().backward()
        return loss, x.grad

    of_both(run)
    x = backlit.zeros(3, 2, 4, requires_grad=True)
    loss = nn.CTCLoss(reduction="none", zero_infinity=True)(
        x, backlit.tensor(targets), [3, 3], [3, 3]
    )
    assert loss[1].item() == 0
    loss.sum().backward()
    assert x.grad is not None
    assert x.grad[:, 1].tolist() == np.zeros((3, 4)).tolist()


def nn_of(library: Any) -> Any:
    return library.nn


def test_ctc_without_batch_and_frames() -> None:
    """(T, C) gives one loss; no frames are certain of no labels."""
    x = np.random.default_rng(1).standard_normal((5, 2, 4))

    def run(library: Any) -> tuple[Any, ...]:
        loss = library.nn.functional.ctc_loss
        log_probs = library.tensor(x).log_softmax(-1)
        label = library.tensor([1, 2, 3])
        one = loss(log_probs[:, 0], label, (5,), (3,), reduction="none")
        both = loss(log_probs, label[None].repeat(2, 1), [5, 0], [3, 0], reduction="none")
        return one, both, loss(log_probs, label[None].repeat(2, 1), [5, 5], [2, 1], 2)

    of_both(run)


def test_ctc_gradient_of_normalised_scores() -> None:
    """After log_softmax the gradient is the derivative."""
    x = backlit.tensor(np.random.default_rng(2).standard_normal((4, 1, 3)), requires_grad=True)
    target = backlit.tensor([[1, 1]])
    assert backlit.autograd.gradcheck(
        lambda x: F.ctc_loss(x.log_softmax(-1), target, [4], [2]), (x,)
    )


CUTOFFS: list[tuple[list[int], float, bool]] = [([3, 6], 2.0, False), ([2], 3.0, True)]


@pytest.mark.parametrize(("cutoffs", "divide", "bias"), CUTOFFS)
@pytest.mark.parametrize("target", [[0, 9, 4, 4, 2], [8, 8], [1], 7, []], ids=str)
def test_adaptive_softmax(cutoffs: list[int], divide: float, bias: bool, target: Any) -> None:
    """Outputs, loss, gradients, all log-probabilities and predictions, from the same weights."""
    shape = (*np.shape(target), 8)
    x = np.random.default_rng(0).standard_normal(shape)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs, divide, bias).double()
    ours = nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs, divide, bias).double()
    ours.load_state_dict({k: backlit.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)

    def run(library: Any) -> tuple[Any, ...]:
        layer = ours if library is backlit else theirs
        inputs = library.tensor(x, requires_grad=True)
        found = layer(inputs, library.tensor(target, dtype=library.int64))
        assert found._fields == ("output", "loss")
        found.output.sum().backward()
        rows = inputs.reshape(-1, 8)
        return (
            *found,
            inputs.grad,
            layer.head.weight.grad,
            layer.log_prob(rows),
            layer.predict(rows),
        )

    of_both(run)


def test_adaptive_softmax_starts_anew() -> None:
    """`reset_parameters` draws every weight again."""
    layer = nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 6])
    before = [p.detach().numpy().copy() for p in layer.parameters()]
    layer.reset_parameters()
    after = [p.detach().numpy() for p in layer.parameters()]
    assert not any((a == b).any() for a, b in zip(before, after, strict=True))


def ints(*rows: Any) -> Tensor:
    return backlit.tensor(rows, dtype=backlit.int64)


def loss_of(
    shape: tuple[int, ...] = (5, 2, 4), targets: Any = None, frames: Any = (5, 5),
    labels: Any = (3, 3), **options: Any,
) -> Tensor:  # fmt: skip
    given = ints([1, 2, 3], [1, 1, 2]) if targets is None else targets
    return F.ctc_loss(backlit.zeros(*shape), given, frames, labels, **options)


def adaptive(shape: tuple[int, ...], target: Any) -> Any:
    return nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3])(backlit.zeros(*shape), ints(*target))


CUTS = (
    "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
    "where each value is between 1 and n_classes-1, got {} for 10 classes"
)
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: loss_of(frames=(5,)),
        ShapeError,
        "ctc_loss: input_lengths must be of size batch_size, 2 here, got 1.",
    ),
    (
        lambda: loss_of(labels=(3.0, 2.0)),
        DtypeError,
        "ctc_loss: target_lengths must be integral, got float64.",
    ),
    (
        lambda: loss_of(labels=(3, -1)),
        ArgumentError,
        "ctc_loss: Expected target_lengths to have value at least 0, but got value -1.",
    ),
    (
        lambda: loss_of(frames=(6, 5)),
        ArgumentError,
        "ctc_loss: Expected input_lengths to have value at most 5, but got value 6.",
    ),
    (
        lambda: loss_of((5, 2, 4, 1)),
        ShapeError,
        "ctc_loss: Expected log_probs (T, N, C) or (T, C), but got a tensor of shape (5, 2, 4, 1).",
    ),
    (
        lambda: loss_of((5, 0, 4)),
        ShapeError,
        "ctc_loss: log_probs tensor must not be empty, got shape (5, 0, 4).",
    ),
    (
        lambda: F.ctc_loss(ints([[1, 2]]), ints([1]), (1,), (1,)),
        DtypeError,
        "ctc_loss: not implemented for int64; log_probs are logarithms, such as log_softmax gives.",
    ),
    (
        lambda: loss_of(blank=4),
        ArgumentError,
        "ctc_loss: blank must be in label range, from 0 to 3, got 4.",
    ),
    (
        lambda: loss_of(labels=(4, 3)),
        ShapeError,
        (
            "ctc_loss: Expected targets of shape (N, S) with N = 2 and S at least 4, the largest "
            "target length, but got (2, 3)."
        ),
    ),
    (
        lambda: loss_of(targets=ints([[1]], [[2]])),
        ShapeError,
        "ctc_loss: Expected targets of 1 to 2 dimensions, but got a tensor of shape (2, 1, 1).",
    ),
    (
        lambda: loss_of(targets=ints(1, 2, 3, 1)),
        ShapeError,
        (
            "ctc_loss: Expected targets in one row of 6 labels, the sum of the target lengths, but "
            "got 4."
        ),
    ),
    (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, []),
        ArgumentError,
        "cutoffs should be a sequence of length larger than 0",
    ),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, [6, 3]), ArgumentError, CUTS.format("[6, 3]")),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, [10]), ArgumentError, CUTS.format("[10]")),
    (
        lambda: adaptive((2, 4), [0, 10]),
        ArgumentError,
        "Target values should be in [0, 9], but values in range [0, 10] were found.",
    ),
    (
        lambda: adaptive((2, 4), [[0], [1]]),
        ShapeError,
        "0D or 1D target tensor expected, multi-target not supported; got shape (2, 1).",
    ),
    (
        lambda: adaptive((3, 4), [0, 1]),
        ShapeError,
        (
            "Input and target should have the same size in the batch dimension, got input (3, 4) "
            "and target (2,)."
        ),
    ),
    (
        lambda: adaptive((2,), [0, 1]),
        ShapeError,
        "1D target tensor expects 2D input tensors, but found inputs with size (2,).",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """The class and every word of the error."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
