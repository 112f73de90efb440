"""Metrics: their definitions, and that batches make no difference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
from backlit import train
from backlit.train.metrics import as_metrics

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(60, 5)).astype(np.float32)
CLASSES = RNG.integers(0, 5, 60)
LOGITS = RNG.normal(size=60).astype(np.float32)
BITS = RNG.integers(0, 2, 60)
VALUES = (RNG.normal(size=(60, 2)) + 1e4).astype(np.float64)
GUESSES = VALUES + RNG.normal(size=(60, 2)) * [0.1, 3.0]

METRICS: list[tuple[train.Metric, Any, Any]] = [
    (train.Accuracy(), SCORES, CLASSES),
    (train.Accuracy(), LOGITS, BITS),
    (train.TopKError(2), SCORES, CLASSES),
    (train.ConfusionMatrix(), SCORES, CLASSES),
    (train.Precision(), SCORES, CLASSES),
    (train.Recall("weighted"), SCORES, CLASSES),
    (train.F1("micro"), SCORES, CLASSES),
    (train.F1("binary"), LOGITS, BITS),
    (train.MSE(), GUESSES, VALUES),
    (train.MAE(), GUESSES, VALUES),
    (train.R2(), GUESSES, VALUES),
]


@pytest.mark.parametrize("metric, output, target", METRICS, ids=lambda m: getattr(m, "name", ""))
@given(cuts=st.lists(st.integers(1, 59), max_size=4))
def test_batches_make_no_difference(
    metric: train.Metric, output: Any, target: Any, cuts: list[int]
) -> None:
    """Any way of cutting the samples into batches gives the value of all at once."""
    streamed = metric.clone()
    for rows in np.split(np.arange(60), sorted(set(cuts))):
        streamed.update(backlit.tensor(output[rows]), backlit.tensor(target[rows]))
    expected = metric(output, target)
    assert np.allclose(streamed.compute(), expected, rtol=1e-12, atol=0)


def test_accuracy_of_all_kinds_of_targets() -> None:
    """Class numbers, one-hot rows, images of class numbers, and bits with logits or chances."""
    scores = backlit.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    assert train.accuracy(scores, backlit.tensor([0, 1])) == 0.5
    assert train.accuracy(scores, backlit.tensor([[1.0, 0, 0], [0, 0, 1.0]])) == 1.0
    assert train.accuracy(scores.T[None], backlit.tensor([[0, 1]])) == 0.5
    assert train.accuracy(backlit.tensor([1.0, -1.0]), backlit.tensor([1.0, 1.0])) == 0.5
    assert train.accuracy(backlit.tensor([[0.6], [0.4]]), backlit.tensor([1, 0]), 0.5) == 1.0


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Nothing is broadcast by accident; the message has both shapes."""
    with pytest.raises(ValueError) as error:
        train.accuracy(backlit.zeros(4, 3), backlit.zeros(5))
    assert str(error.value) == (
        "Accuracy: outputs (4, 3) do not fit targets (5,); expected scores (N, C) with class "
        "numbers (N,) or rows (N, C), or one score per sample with targets of 0 and 1."
    )
    with pytest.raises(ValueError) as error:
        train.MSE()(backlit.zeros(4), backlit.zeros(4, 2))
    assert str(error.value) == "MSE: outputs (4,) and targets (4, 2) must have one shape."
    with pytest.raises(ValueError) as error:
        train.topk_error(backlit.zeros(4), backlit.zeros(4))
    assert str(error.value) == (
        "TopKError: expected scores (N, C) and class numbers (N,), got (4,) and (4,)."
    )
    assert train.MSE()(backlit.zeros(4, 1), backlit.ones(4)) == 1.0


def test_top_k_follows_the_order_of_scores() -> None:
    """Against sorting in NumPy, for every k."""
    order = np.argsort(-SCORES, axis=1)
    for k in range(1, 6):
        wrong = np.mean([c not in row[:k] for c, row in zip(CLASSES, order, strict=True)])
        assert train.topk_error(SCORES, CLASSES, k) == pytest.approx(wrong)


def test_top_k_of_a_constant_or_broken_model_is_not_perfect() -> None:
    """Ties go by class number; a NaN score is no hit."""
    classes = backlit.tensor(np.arange(10))
    assert train.topk_error(backlit.zeros(10, 10), classes, 5) == 0.5
    assert train.topk_error(backlit.full((10, 10), math.nan), classes, 5) == 1.0


def test_averages_by_hand() -> None:
    """Counts [[2, 1, 0], [0, 1, 1], [0, 0, 0]]: class 2 is predicted but never true."""
    guesses = np.eye(3)[[0, 0, 1, 1, 2]]
    true = np.array([0, 0, 0, 1, 1])
    assert train.confusion_matrix(guesses, true).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert train.Precision("none")(guesses, true).tolist() == [1.0, 0.5, 0.0]
    assert train.Recall("none")(guesses, true).tolist() == [2 / 3, 0.5, 0.0]
    assert train.Precision("macro")(guesses, true) == pytest.approx(0.5)
    assert train.Recall("weighted")(guesses, true) == pytest.approx((3 * 2 / 3 + 2 * 0.5) / 5)
    for metric in (train.Precision, train.Recall, train.F1):
        assert metric("micro")(guesses, true) == pytest.approx(0.6)
    with pytest.raises(ValueError) as error:
        train.F1("binary")(guesses, true)
    assert str(error.value) == (
        "F1: average='binary' needs two classes, got 3; use 'macro', 'micro', 'weighted' or 'none'."
    )


def test_scores_agree_with_scikit_learn() -> None:
    """All averages, on random predictions of which some classes never occur."""
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, true = SCORES[:, :5].copy(), np.minimum(CLASSES, 3)
    scores[:, 2] = -9  # never predicted
    guess = scores.argmax(1)
    for average in ("macro", "micro", "weighted"):
        expected = sklearn.precision_recall_fscore_support(
            true, guess, average=average, zero_division=0
        )
        found = [m(average)(scores, true) for m in (train.Precision, train.Recall, train.F1)]
        assert np.allclose(found, expected[:3])
    assert train.R2()(GUESSES, VALUES) == pytest.approx(sklearn.r2_score(VALUES, GUESSES))


def test_r2_of_special_targets() -> None:
    """A constant target counts 1 if met exactly, else 0; a large mean costs no digits."""
    five = backlit.full((4,), 0.1, dtype=backlit.float64)
    assert train.R2()(five, five) == 1.0
    assert train.R2()(five + 1, five) == 0.0
    y = np.array([0.0, 1.0, 2.0]) + 1e9
    assert train.R2()(y + [0.5, 0.0, -0.5], y) == pytest.approx(1 - 0.5 / 2)


def test_nothing_seen_is_nan() -> None:
    """Before any sample there is no value."""
    for metric in (train.Accuracy(), train.TopKError(), train.MSE(), train.MAE(), train.R2()):
        assert math.isnan(metric.compute())
    assert train.ConfusionMatrix(2).compute().tolist() == [[0, 0], [0, 0]]


def test_names_and_metrics_are_taken_unknown_ones_refused() -> None:
    """fit gets metrics by name, as objects, alone or in lists; clones have their own sums."""
    own = train.Accuracy()
    own.update(backlit.tensor([1.0]), backlit.tensor([1.0]))
    found = as_metrics(["f1", own, "top5_error"])
    assert [metric.name for metric in found] == ["f1", "accuracy", "top5_error"]
    assert math.isnan(found[1].compute())
    assert as_metrics("mae")[0].name == "mae"
    assert as_metrics(None) == []
    with pytest.raises(ValueError) as error:
        as_metrics(["acc"])
    assert str(error.value) == (
        "metric 'acc' is not known; give a Metric or one of accuracy, confusion, f1, mae, mse, "
        "precision, r2, recall, top5_error."
    )


def test_options_are_checked() -> None:
    """k and the average."""
    with pytest.raises(ValueError) as error:
        train.TopKError(0)
    assert str(error.value) == "TopKError: k must be a positive integer, got 0."
    with pytest.raises(ValueError) as error:
        train.Recall("mean")
    assert str(error.value) == (
        "Recall: average must be one of macro, micro, weighted, binary, none, got 'mean'."
    )


def test_a_metric_of_ones_own_must_define_both_methods() -> None:
    """The messages say what is missing."""

    class Empty(train.Metric):
        pass

    with pytest.raises(NotImplementedError) as error:
        Empty().update(backlit.zeros(1), backlit.zeros(1))
    assert str(error.value) == "Empty: a Metric must define add(output, target)."
    with pytest.raises(NotImplementedError) as error:
        Empty().compute()
    assert str(error.value) == "Empty: a Metric must define compute()."

    class Odd(train.Precision):
        def score(self, hits: Any, predicted: Any, actual: Any) -> Any:
            return super(train.Precision, self).score(hits, predicted, actual)

    with pytest.raises(NotImplementedError) as error:
        Odd()(SCORES, CLASSES)
    assert str(error.value) == "Odd: define score(hits, predicted, actual)."
