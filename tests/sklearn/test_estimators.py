"""The estimators keep scikit-learn's conventions and reach its quality."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import backlit
from backlit.errors import ArgumentError
from backlit.sklearn import MLPClassifier, MLPRegressor
from backlit.sklearn.base import MLPEstimator
from backlit.sklearn.batches import Batches, Samples
from backlit.sklearn.network import build
from backlit.sklearn.training import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def digits() -> list[Any]:
    """Training and test images, training and test classes."""
    table = backlit.data.digits()
    x, y = table.x.numpy() / 16, table.y.numpy()
    return list(train_test_split(x, y, random_state=0, stratify=y))


@pytest.fixture(scope="module")
def patients() -> list[Any]:
    """A table like that of the diabetes study: ten features, a noisy and slightly curved target."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(442, 10))
    y = 150 + 40 * x[:, 0] + 25 * x[:, 1] + 15 * x[:, 0] * x[:, 2] + rng.normal(0, 30, 442)
    return list(train_test_split(x, y, random_state=0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_check_estimator(cls: Any) -> None:
    """scikit-learn's own checks of its interface all pass."""
    results = check_estimator(cls(max_iter=100), on_fail=None, on_skip=None)
    failed = [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")]
    assert failed == []
    assert sum(r["status"] == "passed" for r in results) > 40


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_classifier_is_as_good_as_theirs(digits: list[Any], solver: str) -> None:
    """On the digits, the test accuracy is within one per cent of scikit-learn's."""
    x, x_test, y, y_test = digits
    options = {"solver": solver, "hidden_layer_sizes": (40,), "max_iter": 40, "random_state": 0}
    if solver == "sgd":
        options["learning_rate_init"] = 0.05
    ours = MLPClassifier(**options).fit(x, y).score(x_test, y_test)
    theirs = TheirClassifier(**options).fit(x, y).score(x_test, y_test)
    assert ours >= theirs - 0.01
    assert ours > 0.9


def test_regressor_is_as_good_as_theirs(patients: list[Any]) -> None:
    """On a noisy table, R² is within 0.03 of scikit-learn's."""
    x, x_test, y, y_test = patients
    options = {"solver": "lbfgs", "hidden_layer_sizes": (10,), "alpha": 30.0, "max_iter": 200}
    ours = MLPRegressor(**options, random_state=0).fit(x, y)
    theirs = TheirRegressor(**options, random_state=0).fit(x, y)
    assert ours.score(x_test, y_test) >= theirs.score(x_test, y_test) - 0.03
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=0.1)


def test_same_steps_as_theirs(digits: list[Any]) -> None:
    """From the same weights, without shuffling, the loss curves agree: same loss, same updates."""
    x, _, y, _ = digits
    for solver in ("adam", "sgd"):
        options = {"solver": solver, "hidden_layer_sizes": (20,), "max_iter": 5, "shuffle": False}
        ours = MLPClassifier(**options, alpha=0.1, random_state=0).fit(x, y)
        theirs = TheirClassifier(**options, alpha=0.1, random_state=0).fit(x, y)
        assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=2e-3)
        assert np.allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=2e-3)


def test_attributes(digits: list[Any]) -> None:
    """What scikit-learn's estimators carry after fitting."""
    x, _, y, _ = digits
    model = MLPClassifier((12, 8), max_iter=3, random_state=0).fit(x, y)
    assert [w.shape for w in model.coefs_] == [(64, 12), (12, 8), (8, 10)]
    assert [b.shape for b in model.intercepts_] == [(12,), (8,), (10,)]
    assert (model.n_iter_, model.n_layers_, model.n_outputs_) == (3, 4, 10)
    assert (model.out_activation_, model.n_features_in_) == ("softmax", 64)
    assert model.t_ == 3 * len(x)
    assert len(model.loss_curve_) == 3
    assert model.loss_ == model.loss_curve_[-1] == model.best_loss_
    assert model.classes_.tolist() == list(range(10))


def test_early_stopping_keeps_the_best_weights(digits: list[Any]) -> None:
    """The score of every epoch is kept; training ends when it no longer rises."""
    x, x_test, y, y_test = digits
    model = MLPClassifier(
        (30,), early_stopping=True, n_iter_no_change=3, learning_rate_init=0.01, random_state=0
    ).fit(x, y)
    assert model.n_iter_ < 200
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    assert model.score(x_test, y_test) > 0.9


def test_pipeline_grid_search_clone_and_pickle(digits: list[Any]) -> None:
    """The estimator works where estimators are used."""
    x, x_test, y, _y_test = digits
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((10,), max_iter=5, random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2)
    search.fit(x[:300], y[:300])
    assert set(search.best_params_) == {"mlpclassifier__alpha"}
    fitted = search.best_estimator_
    copied = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copied.predict_proba(x_test), fitted.predict_proba(x_test))
    assert not hasattr(clone(fitted)[-1], "coefs_")


def test_partial_fit(digits: list[Any]) -> None:
    """One epoch per call; the classes are named once, and unknown ones are refused."""
    x, _, y, _ = digits
    model = MLPClassifier((20,), learning_rate_init=0.005, random_state=0)
    with pytest.raises(ArgumentError) as caught:
        model.partial_fit(x, y)
    assert str(caught.value) == (
        "partial_fit: the first call must name all classes: classes=np.unique(y)."
    )
    for _ in range(20):
        model.partial_fit(x, y, classes=np.arange(10))
    assert (model.n_iter_, len(model.loss_curve_)) == (20, 20)
    assert model.loss_curve_[-1] < model.loss_curve_[0] / 2
    with pytest.raises(ArgumentError) as caught:
        model.partial_fit(x[:2], np.array([3, 12]))
    assert str(caught.value) == (
        "y holds classes that were not there before: [12]; the classes are "
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]."
    )


def test_warm_start_goes_on(digits: list[Any]) -> None:
    """A second fit starts where the first one ended."""
    x, _, y, _ = digits
    model = MLPClassifier((20,), warm_start=True, max_iter=3, random_state=0).fit(x, y)
    first = model.loss_
    model.fit(x, y)
    assert model.loss_curve_[3] < first
    assert model.n_iter_ == 6


def test_sample_weights(digits: list[Any]) -> None:
    """A weight of 2 counts as a sample that is there twice, 0 as one that is not."""
    x, _, y, _ = digits
    x, y = x[:120].astype(np.float64), y[:120]
    weight = np.arange(120) % 3
    options = {"solver": "lbfgs", "hidden_layer_sizes": (8,), "alpha": 1.0, "random_state": 0}
    weighted = MLPClassifier(**options).fit(x, y, weight)
    repeated = MLPClassifier(**options).fit(x.repeat(weight, 0), y.repeat(weight))
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-3)
    assert np.allclose(weighted.predict_proba(x), repeated.predict_proba(x), atol=0.02)
    batches = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, y, weight)
    assert np.isfinite(batches.loss_)


@pytest.mark.parametrize(
    "solver", ["rmsprop", "AdamW", lambda groups: backlit.optim.NAdam(groups, 0.01)]
)
def test_any_optimizer_dropout_and_activations(digits: list[Any], solver: Any) -> None:
    """What scikit-learn does not have: other optimizers, dropout, an activation per layer."""
    x, x_test, y, y_test = digits
    state = backlit.get_rng_state().numpy().tolist()
    options: dict[str, Any] = {
        "activation": ["gelu", "tanh"], "dropout": [0.1, 0.0], "solver": solver, "max_iter": 12,
        "learning_rate_init": 0.005, "random_state": 0,
    }  # fmt: skip
    model = MLPClassifier((40, 20), **options).fit(x, y)
    again = MLPClassifier((40, 20), **options).fit(x, y)
    assert model.score(x_test, y_test) > 0.9
    assert np.array_equal(model.coefs_[0], again.coefs_[0])
    assert backlit.get_rng_state().numpy().tolist() == state


@pytest.mark.parametrize("activation", ["prelu", "rrelu"])
def test_predictions_are_the_networks(digits: list[Any], activation: str) -> None:
    """Slopes that were learned count in predictions, and drawn ones are their mean there."""
    x, x_test, y, _ = digits
    x_test = x_test.astype(np.float64)
    model = MLPClassifier((12,), activation, max_iter=5, random_state=0, learning_rate_init=0.01)
    model.fit(x, y)
    expected = model._trained.network(backlit.tensor(x_test.astype(np.float32))).softmax(1)
    found = model.predict_proba(x_test)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(model.predict_proba(x_test), found)


def test_scores_between_epochs_end_no_replay(
    digits: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With early stopping, too, the Python of a step runs only for the first batches."""
    x, _, y, _ = digits
    calls: list[int] = []
    step = Trainer.whole_step
    monkeypatch.setattr(Trainer, "whole_step", lambda *args: (calls.append(1), step(*args))[1])
    MLPClassifier((12,), early_stopping=True, max_iter=6, random_state=0).fit(x, y)
    assert len(calls) == 4  # two for whole batches, and two for the last of an epoch


def test_several_labels_and_several_outputs() -> None:
    """Labels that are not exclusive, and regressions with several columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    labels = (x[:, :2] > 0).astype(int)
    model = MLPClassifier((10,), solver="lbfgs", random_state=0).fit(x, labels)
    assert model.predict(x).shape == (200, 2)
    assert model.score(x, labels) > 0.95
    numbers = np.stack([x[:, 0] + x[:, 1], x[:, 2] ** 2], axis=1)
    regressor = MLPRegressor((20,), solver="lbfgs", random_state=0).fit(x, numbers)
    assert regressor.predict(x).shape == (200, 2)
    assert regressor.score(x, numbers) > 0.95


@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_learning_rates_fall(digits: list[Any], learning_rate: str) -> None:
    """Both schedules of "sgd" make later steps smaller."""
    x, _, y, _ = digits
    model = MLPClassifier(
        (10,), solver="sgd", learning_rate=learning_rate, learning_rate_init=0.1, max_iter=40,
        n_iter_no_change=2, tol=0.05, random_state=0,
    ).fit(x, y)  # fmt: skip
    assert model._trained.optimizer.param_groups[0]["lr"] < 0.05


def test_not_converged_is_told(digits: list[Any]) -> None:
    """Too few epochs give scikit-learn's warning."""
    x, _, y, _ = digits
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached and the optimi"):
        MLPClassifier((5,), max_iter=2).fit(x, y)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached and the optimi"):
        MLPClassifier((5,), max_iter=2, solver="lbfgs").fit(x, y)


def test_verbose_prints_every_epoch(digits: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The loss, the score, and why it stops."""
    x, _, y, _ = digits
    MLPClassifier(
        (5,), max_iter=9, verbose=True, early_stopping=True, tol=1.0, n_iter_no_change=1
    ).fit(x, y)
    out = capsys.readouterr().out
    assert "Iteration 1, loss = " in out
    assert "Validation score: " in out
    assert "Validation score did not improve more than tol=1.000000 for 1 consecutive epochs" in out


def test_ctrl_c_keeps_what_there_is(digits: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted fit warns and is usable."""
    from backlit.sklearn.training import Trainer

    def interrupt(self: Any, score: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "note_progress", interrupt)
    x, _, y, _ = digits
    with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
        model = MLPClassifier((5,)).fit(x, y)
    assert model.n_iter_ == 1


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"hidden_layer_sizes": (5, 0)},
            "hidden_layer_sizes must be > 0, got [5, 0].",
        ),
        (
            {"activation": ["relu", "tanh"]},
            "activation: 2 values for 1 hidden layers; give one for all, or one each.",
        ),
        (
            {"dropout": [0.1, 0.2]},
            "dropout: 2 values for 1 hidden layers; give one for all, or one each.",
        ),
    ],
)
def test_parameters_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    """The full message, when fitting begins."""
    with pytest.raises(ArgumentError) as caught:
        MLPClassifier(**{"hidden_layer_sizes": (5,), **options}).fit(np.eye(4), [0, 1, 0, 1])
    assert str(caught.value) == message


def test_unknown_solver() -> None:
    """The message lists every optimizer."""
    with pytest.raises(ArgumentError) as caught:
        MLPRegressor(solver="newton").fit(np.eye(4), [0.0, 1.0, 0.0, 1.0])
    message = str(caught.value)
    assert message.startswith(
        "solver 'newton' is not known; give 'lbfgs', 'sgd', 'adam', a function of the parameters, "
        "or one of adadelta, "
    )


def test_unscaled_data_that_blow_up() -> None:
    """Weights that are not numbers are an error with advice."""
    x = np.random.default_rng(0).normal(size=(50, 2)) * 1e15
    with pytest.raises(ArgumentError) as caught, np.errstate(all="ignore"):
        MLPRegressor(solver="sgd", learning_rate_init=1e9, max_iter=30, random_state=0).fit(
            x, x[:, 0]
        )
    assert str(caught.value) == (
        "training produced weights that are infinite or NaN; scale the data (such as with "
        "StandardScaler), or lower learning_rate_init."
    )


@pytest.mark.parametrize("is_weighted", [True, False])
@pytest.mark.parametrize("is_shuffled", [True, False])
@pytest.mark.parametrize("n", [1, 7, 64, 65, 200])
def test_batches_are_all_samples_in_order(n: int, is_shuffled: bool, is_weighted: bool) -> None:
    """Batches come in the order given, all full but the last, however many are gathered at once;
    each has the inputs, targets and weights of the same rows."""
    x, y, weight = np.arange(2.0 * n).reshape(n, 2), np.arange(n), np.linspace(0, 1, n)
    samples = Samples(x, y, weight if is_weighted else None)
    batches = Batches(samples, 2, is_shuffled)
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(n) if is_shuffled else np.arange(n)
        found: list[list[Any]] = []
        for batch in batches.epoch(rows if is_shuffled else None):
            found.append([t.numpy().copy() for t in batch.tensors])
            assert batch.size == len(found[-1][0])
            np.testing.assert_array_equal(batch.weight, found[-1][2] if is_weighted else None)
        assert [len(part[0]) for part in found] == [2] * (n // 2) + [1] * (n % 2)
        together = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        for array, expected in zip(together, samples.at(rows).arrays(), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_samples_stay_together() -> None:
    """Some of the samples have the inputs, targets and weights of the same rows."""
    x, y, weight = np.arange(10.0).reshape(5, 2), np.arange(5), np.linspace(0, 1, 5)
    for w in (weight, None):
        some = Samples(x, y, w).at(np.array([3, 0, 2]))
        np.testing.assert_array_equal(some.x, x[[3, 0, 2]])
        np.testing.assert_array_equal(some.y, [3, 0, 2])
        np.testing.assert_array_equal(some.weight, None if w is None else w[[3, 0, 2]])


def test_gathering_leaves_pending_values_as_they_were() -> None:
    """What a step has recorded of its batch, but not computed, reads the batch as it was, although
    the next epoch has other samples there."""
    samples = Samples(np.arange(6.0)[:, None], np.arange(6))
    batches = Batches(samples, 2, True)
    order = np.arange(6)
    pending = [batch.tensors[0].sum() for batch in batches.epoch(order)]
    list(batches.epoch(order[::-1]))
    assert [total.item() for total in pending] == [1.0, 5.0, 9.0]


def test_network_has_the_sizes_and_weights_given() -> None:
    """Layers say what they are, hold copies of the weights, and draw no random numbers."""
    before = backlit.get_rng_state().tolist()
    w, b = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    (layer,) = build([w], [b], [], [])
    assert backlit.get_rng_state().tolist() == before
    assert repr(layer) == "Linear(in_features=2, out_features=3, bias=True)"
    w[:], b[:] = 0, 0
    assert layer(backlit.ones(1, 2, dtype=backlit.float64)).tolist() == [[3.0, 6.0, 9.0]]


def test_base_class_says_what_is_missing() -> None:
    """A subclass must define its loss and its targets."""
    base = MLPEstimator()
    with pytest.raises(
        NotImplementedError, match=r"^MLPEstimator: define _encode\(y, keeps_classes\)\.$"
    ):
        base._encode(np.zeros(2), False)
    with pytest.raises(
        NotImplementedError, match=r"^MLPEstimator: define _loss\(output, target\)\.$"
    ):
        base._loss(backlit.zeros(1), backlit.zeros(1))
