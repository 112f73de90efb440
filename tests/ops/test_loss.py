"""Losses, softmax and normalisation: identities of information theory and of regularised risk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
import backlit.nn.functional as F
from backlit.core.tensor import Tensor

RANDOM = np.random.default_rng(11)
SEEDS = st.integers(0, 10_000)


def probabilities(seed: int, n: int = 5) -> Tensor:
    return backlit.tensor(np.random.default_rng(seed).dirichlet(np.ones(n)))


def logits(seed: int, *shape: int) -> Tensor:
    return backlit.tensor(3 * np.random.default_rng(seed).normal(size=shape))


def close(x: Any, y: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(
        np.asarray(x.detach().numpy() if isinstance(x, Tensor) else x),
        np.asarray(y.detach().numpy() if isinstance(y, Tensor) else y),
        rtol=tolerance,
        atol=tolerance,
    )


# -- information -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10])
def test_entropy_of_certainty_and_of_ignorance(n: int) -> None:
    """Entropy is 0 for a one-hot distribution and ln n, its maximum, for the uniform one."""
    assert F.entropy(backlit.eye(n)[0]).item() == 0
    close(F.entropy(backlit.full((n,), 1 / n, dtype=backlit.float64)), math.log(n))


@given(seed=SEEDS)
def test_cross_entropy_is_entropy_plus_divergence(seed: int) -> None:
    """H(P, Q) = H(P) + KL(P‖Q), and KL is 0 only from a distribution to itself."""
    p, q = probabilities(seed), probabilities(seed + 1)
    divergence = F.kl_div(q.log(), p, reduction="sum")
    close(F.cross_entropy(q.log(), p), F.entropy(p) + divergence)
    assert divergence.item() > 0
    close(F.kl_div(p.log(), p, reduction="sum"), 0)
    close(F.kl_div(q.log(), p.log(), reduction="sum", log_target=True), divergence)


@given(seed=SEEDS)
def test_index_and_one_hot_targets_agree(seed: int) -> None:
    """For class y, cross entropy is -ln softmax(s)_y; so it is for the one-hot row of y."""
    s = logits(seed, 4, 3)
    y = backlit.tensor([0, 2, 1, 2])
    expected = -backlit.log_softmax(s, 1).gather(1, y.unsqueeze(1)).mean()
    close(F.cross_entropy(s, y), expected)
    close(F.cross_entropy(s, F.one_hot(y, 3).double()), expected)
    close(F.nll_loss(F.log_softmax(s, 1), y), expected)


@given(seed=SEEDS, smoothing=st.floats(0, 1))
def test_smoothing_mixes_in_the_uniform_distribution(seed: int, smoothing: float) -> None:
    """Smoothed targets (1 - ε) one-hot + ε/C give the same loss either way."""
    s = logits(seed, 4, 3)
    y = backlit.tensor([0, 2, 1, 2])
    mixed = F.one_hot(y, 3).double() * (1 - smoothing) + smoothing / 3
    close(F.cross_entropy(s, y, label_smoothing=smoothing), F.cross_entropy(s, mixed))
    hard = F.one_hot(y, 3).double()
    close(F.cross_entropy(s, hard, label_smoothing=smoothing), F.cross_entropy(s, mixed))


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_loss_of_equal_scores_is_log_of_the_classes(classes: int) -> None:
    """A network that knows nothing starts at ln C."""
    s = backlit.zeros(3, classes, dtype=backlit.float64)
    close(F.cross_entropy(s, backlit.tensor([0, 1, 1])), math.log(classes))


@pytest.mark.parametrize("scale", [1e4, -1e4, 1e38])
def test_huge_scores_neither_overflow_nor_turn_nan(scale: float) -> None:
    """Shifted by their maximum, softmax and cross entropy stay finite or exact."""
    s = backlit.tensor([[scale, 0.0]], requires_grad=True)
    right = 0 if scale > 0 else 1
    loss = F.cross_entropy(s, backlit.tensor([right]))
    loss.backward()
    assert loss.item() == 0
    assert s.grad.tolist() == [[0.0, 0.0]]
    assert backlit.softmax(s.detach(), 1).sum().item() == 1


@given(seed=SEEDS, shift=st.floats(-100, 100))
def test_softmax_ignores_shifts_and_sums_to_one(seed: int, shift: float) -> None:
    """softmax(s + c) = softmax(s), its parts sum to 1, and log_softmax is its logarithm."""
    s = logits(seed, 3, 4)
    p = F.softmax(s, dim=-1)
    close(F.softmax(s + shift, dim=-1), p)
    close(p.sum(-1), np.ones(3))
    close(F.log_softmax(s, dim=-1), p.log())
    close(F.softmin(s, dim=-1), F.softmax(-s, dim=-1))


@given(seed=SEEDS)
def test_gradient_of_cross_entropy_is_softmax_minus_one_hot(seed: int) -> None:
    """∂L/∂s = (softmax(s) - onehot(y)) / N, and 0 for ignored rows."""
    s = logits(seed, 4, 3).requires_grad_()
    y = backlit.tensor([0, 2, -100, 1])
    F.cross_entropy(s, y).backward()
    expected = F.softmax(s.detach(), 1) - F.one_hot(y.clamp(min=0), 3)
    expected[2] = 0
    close(s.grad, expected / 3)


def test_probability_one_costs_nothing_and_zero_costs_everything() -> None:
    """-ln p: 0 at p = 1, infinite at p = 0; the gradient at p = 0 is finite, not NaN."""
    certain = backlit.tensor([[1.0, 0.0]]).log()
    assert F.nll_loss(certain, backlit.tensor([0])).item() == 0
    assert F.nll_loss(certain, backlit.tensor([1])).item() == math.inf
    p = backlit.tensor([0.0], requires_grad=True)
    loss = F.binary_cross_entropy(p, backlit.tensor([1.0]))
    loss.backward()
    assert loss.item() == 100  # the logarithm is cut off there
    assert p.grad.isfinite().all().item()


# -- binary and multi-label ------------------------------------------------------------------------


@given(seed=SEEDS)
def test_logits_form_equals_sigmoid_form(seed: int) -> None:
    """Binary cross entropy of logits equals that of their sigmoid."""
    s, y = logits(seed, 6), backlit.tensor([0.0, 1, 1, 0, 1, 0.5], dtype=backlit.float64)
    close(F.binary_cross_entropy_with_logits(s, y), F.binary_cross_entropy(s.sigmoid(), y))


@given(seed=SEEDS)
def test_k_outputs_are_k_losses(seed: int) -> None:
    """The sum over K independent sigmoid outputs is K times the mean loss of one number."""
    s = logits(seed, 4, 3)
    y = backlit.tensor(np.random.default_rng(seed).integers(0, 2, (4, 3)).astype(float))
    double_sum = F.binary_cross_entropy_with_logits(s, y, reduction="sum") / 4
    close(double_sum, 3 * F.binary_cross_entropy_with_logits(s, y))
    close(F.multilabel_soft_margin_loss(s, y), double_sum / 3)


@pytest.mark.parametrize("x", [-1000.0, 0.0, 1000.0])
def test_binary_logits_loss_and_gradient_stay_finite(x: float) -> None:
    """At ±1000 the loss is |x| or 0; at 0 its gradient is ½ - y."""
    s = backlit.tensor([x], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(s, backlit.tensor([1.0]))
    loss.backward()
    assert loss.item() == pytest.approx(max(0.0, -x) + (math.log(2) if x == 0 else 0))
    assert s.grad.item() == pytest.approx(-1 if x < 0 else -0.5 if x == 0 else 0)


@given(seed=SEEDS, penalty=st.floats(0, 10))
def test_any_loss_and_any_regularizer_compose(seed: int, penalty: float) -> None:
    """∂(L + λ/2m ΣW²)/∂W = ∂L/∂W + λW/m, whatever the loss; biases are left out."""
    x = logits(seed, 8, 3)
    y = backlit.tensor(np.random.default_rng(seed).integers(0, 2, (8, 2)).astype(float))
    for loss in (F.mse_loss, F.l1_loss, F.binary_cross_entropy_with_logits):
        w = logits(seed + 1, 2, 3).requires_grad_()
        b = logits(seed + 2, 2).requires_grad_()
        data = loss(F.linear(x, w, b), y)
        alone = backlit.autograd.grad(data, (w, b), retain_graph=True)
        total = data + penalty / (2 * 8) * w.square().sum()
        both = backlit.autograd.grad(total, (w, b))
        close(both[0], alone[0] + penalty / 8 * w)
        close(both[1], alone[1])


# -- regression ------------------------------------------------------------------------------------


def test_squared_error_is_more_sensitive_to_outliers() -> None:
    """One residual of 100 among 1s moves the squared error far more than the absolute one."""
    target = backlit.zeros(10)
    clean, dirty = backlit.ones(10), backlit.ones(10).index_fill(0, backlit.tensor([0]), 100.0)
    squared = F.mse_loss(dirty, target) / F.mse_loss(clean, target)
    absolute = F.l1_loss(dirty, target) / F.l1_loss(clean, target)
    assert squared.item() == pytest.approx(1000.9)
    assert absolute.item() == pytest.approx(10.9)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss])
def test_losses_grow_with_distance_and_vanish_at_the_target(loss: Any) -> None:
    """A loss is 0 at its target with gradient 0 there, and grows with the distance."""
    x = backlit.zeros(1, requires_grad=True)
    loss(x, backlit.zeros(1)).backward()
    assert x.grad.item() == 0
    values = [loss(backlit.tensor([d]), backlit.zeros(1)).item() for d in (0.0, 0.5, 1.0, 3.0)]
    assert values == sorted(values)
    assert values[0] == 0
    assert len(set(values)) == 4


def test_huber_joins_square_and_line_smoothly() -> None:
    """Huber's loss and its slope are continuous at δ; scaled, it is smooth L1."""
    for delta in (0.5, 1.0, 2.0):
        near = backlit.tensor([delta * (1 - 1e-9)], dtype=backlit.float64, requires_grad=True)
        far = backlit.tensor([delta * (1 + 1e-9)], dtype=backlit.float64, requires_grad=True)
        zero = backlit.zeros(1, dtype=backlit.float64)
        for x in (near, far):
            F.huber_loss(x, zero, delta=delta).backward()
        close(near.grad, far.grad)
        close(
            F.huber_loss(far.detach() * 3, zero, delta=delta) / delta,
            F.smooth_l1_loss(far.detach() * 3, zero, beta=delta),
        )


def test_sizes_that_differ_are_warned_about() -> None:
    """A target that would be broadcast is most likely a mistake."""
    with pytest.warns(UserWarning, match="is different to the input size"):
        F.mse_loss(backlit.zeros(3, 1), backlit.zeros(3))


@pytest.mark.parametrize(
    ("legacy", "reduction"),
    [
        ({"reduce": False}, "none"),
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"reduce": True}, "mean"),
        ({"size_average": False, "reduce": False}, "none"),
    ],
)
def test_old_reduction_arguments(legacy: dict[str, bool], reduction: str) -> None:
    """`size_average` and `reduce` mean what they meant."""
    x, y = backlit.tensor([1.0, 3.0]), backlit.zeros(2)
    assert F.mse_loss(x, y, **legacy).tolist() == F.mse_loss(x, y, reduction=reduction).tolist()


def test_topk_error_counts_misses() -> None:
    """A row counts as an error unless its class is among the k best."""
    scores = backlit.tensor([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    target = backlit.tensor([1, 2])
    assert [F.topk_error(scores, target, k).item() for k in (1, 2, 3)] == [1.0, 0.5, 0.0]


# -- normalisation and tables ----------------------------------------------------------------------


@given(seed=SEEDS)
def test_normalised_values_have_mean_zero_and_variance_one(seed: int) -> None:
    """Layer, group, instance and batch normalisation standardise over their own dimensions."""
    x = logits(seed, 4, 6, 5)
    for out, dims in (
        (F.layer_norm(x, (5,), eps=0.0), (2,)),
        (F.layer_norm(x, (6, 5), eps=0.0), (1, 2)),
        (F.instance_norm(x, eps=0.0), (2,)),
        (F.batch_norm(x, None, None, training=True, eps=1e-14), (0, 2)),
        (F.group_norm(x, 2, eps=0.0).reshape(4, 2, 15), (2,)),
    ):
        array = out.numpy()
        np.testing.assert_allclose(array.mean(dims), 0, atol=1e-9)
        np.testing.assert_allclose(array.var(dims), 1, rtol=1e-6)
    rms = F.rms_norm(x, (5,), eps=0.0).square().mean(-1)
    close(rms, np.ones((4, 6)))
    close(F.normalize(x, dim=2).norm(dim=2), np.ones((4, 6)))


def test_running_statistics_follow_in_place() -> None:
    """r ← (1 - m) r + m · new, with the unbiased variance; evaluation then uses them."""
    x = logits(3, 8, 2)
    mean, var = backlit.zeros(2, dtype=backlit.float64), backlit.ones(2, dtype=backlit.float64)
    same = mean
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    assert same is mean
    close(mean, 0.25 * x.numpy().mean(0))
    close(var, 0.75 + 0.25 * x.numpy().var(0, ddof=1))
    out = F.batch_norm(x, mean, var, eps=0.0)
    close(out, (x - mean) / var.sqrt())
    assert not mean.requires_grad


def test_embedding_looks_up_rows_and_collects_their_gradients() -> None:
    """The gradient of a row is the sum over its uses; padding collects none; frequency divides."""
    w = backlit.tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
    index = backlit.tensor([[1, 3], [1, 0]])
    out = F.embedding(index, w)
    assert out.tolist() == [[[2.0, 3.0], [6.0, 7.0]], [[2.0, 3.0], [0.0, 1.0]]]
    (g,) = backlit.autograd.grad(out.sum(), w)
    assert g[:, 0].tolist() == [1.0, 2.0, 0.0, 1.0]
    (g,) = backlit.autograd.grad(F.embedding(index, w, padding_idx=0).sum(), w)
    assert g[:, 0].tolist() == [0.0, 2.0, 0.0, 1.0]
    (g,) = backlit.autograd.grad(F.embedding(index, w, scale_grad_by_freq=True).sum(), w)
    assert g[:, 0].tolist() == [1.0, 1.0, 0.0, 1.0]


def test_embedding_renormalises_the_rows_it_uses() -> None:
    """max_norm rescales the rows looked up, in place, and no others."""
    w = backlit.tensor([[3.0, 4.0], [30.0, 40.0], [0.3, 0.4]])
    F.embedding(backlit.tensor([0, 2]), w, max_norm=1.0)
    np.testing.assert_allclose(w.numpy(), [[0.6, 0.8], [30.0, 40.0], [0.3, 0.4]], rtol=1e-5)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_samples_the_distribution(hard: bool) -> None:
    """Samples are distributions (one-hot if hard); their winners occur with probability softmax."""
    backlit.manual_seed(0)
    p = backlit.tensor([0.7, 0.2, 0.1])
    drawn = F.gumbel_softmax(p.log().expand(4000, 3), tau=0.5, hard=hard)
    close(drawn.sum(-1), np.ones(4000), 1e-5)
    share = np.bincount(drawn.argmax(-1).numpy(), minlength=3) / 4000
    np.testing.assert_allclose(share, p.numpy(), atol=0.03)
    assert not hard or set(drawn.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("target", [3, -1])
def test_classes_out_of_range_are_refused(target: int) -> None:
    """A class index outside 0 … C-1 is an error when the loss is computed, not a silent wrap."""
    with pytest.raises(IndexError, match="out of bounds"):
        F.cross_entropy(backlit.zeros(1, 3), backlit.tensor([target])).item()
    with pytest.raises(IndexError, match="out of"):
        F.embedding(backlit.tensor([target]), backlit.zeros(3, 2)).tolist()
