"""MLPClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.nn import functional as F
from backlit.sklearn.base import MLPEstimator
from backlit.sklearn.network import Array


class MLPClassifier(ClassifierMixin, MLPEstimator):  # type: ignore[misc]  # untyped base
    """A multilayer perceptron that predicts classes, minimising cross entropy + α/2n Σ W².

    The parameters are scikit-learn's, with more choice in some:

    Args:
        hidden_layer_sizes: units of every hidden layer.
        activation: "identity", "logistic", "tanh", "relu", or any other activation of
            `backlit.nn`; a list gives one per hidden layer.
        solver: "lbfgs", "sgd", "adam", the name of any other optimizer of `backlit.optim`, or a
            function that makes one from the parameters.
        alpha: strength of the L2 penalty on weights.
        batch_size: samples per step; "auto" is 200, or all if there are fewer.
        learning_rate: for "sgd": "constant", "invscaling" or "adaptive".
        learning_rate_init, power_t: the first learning rate, and how it falls with "invscaling".
        max_iter, max_fun: epochs at most (iterations for "lbfgs"), and for it losses computed.
        shuffle: whether every epoch has a new order.
        random_state: of initial weights, order and dropout.
        tol, n_iter_no_change: stop when so many epochs have improved by less than this.
        verbose: print the loss of every epoch.
        warm_start: go on from the weights of the last `fit`.
        momentum, nesterovs_momentum: of "sgd".
        early_stopping, validation_fraction: judge by the score on held-back samples, and keep the
            best weights.
        beta_1, beta_2, epsilon: of "adam".
        dropout: share of hidden values that training drops; a list gives one per hidden layer.

    Training is in single precision; in that of the data if all samples are one batch ("lbfgs").

    Attributes:
        classes_, n_outputs_, out_activation_: the classes, and the form of the output.
        loss_, loss_curve_, best_loss_: the loss at the end, after each epoch, and at its best.
        coefs_, intercepts_: weights (inputs, outputs) and biases of every layer.
        n_iter_, t_: epochs, and samples seen.
        validation_scores_, best_validation_score_: accuracies, with `early_stopping`.

    >>> from backlit.sklearn import MLPClassifier
    >>> iris = backlit.data.iris()
    >>> x, y = iris.x.numpy(), iris.y.numpy()
    >>> model = MLPClassifier((10,), solver="lbfgs", alpha=0.1, random_state=0).fit(x, y)
    >>> bool(model.score(x, y) > 0.95), model.predict_proba(x[:2]).shape
    (True, (2, 3))
    """

    _estimator_classes = True

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Fit the model to samples X (n, features) and classes y (n,) or labels y (n, classes)."""
        fitted: MLPClassifier = self._fit(X, y, sample_weight, incremental=False)
        return fitted

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """One more epoch over these samples; the first call names all `classes`."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ArgumentError(
                    "partial_fit: the first call must name all classes: classes=np.unique(y)."
                )
            self.classes_ = unique_labels(classes)
        fitted: MLPClassifier = self._fit(X, y, sample_weight, incremental=True)
        return fitted

    def predict(self, X: Any) -> Array:
        """The most probable class of each sample; or the labels that are more likely than not."""
        found = self._outputs(X)
        if self._is_multilabel:
            return (found > 0).astype(np.int64)
        chosen = (found[:, 0] > 0).astype(int) if self._is_binary else found.argmax(axis=1)
        predicted: Array = self.classes_[chosen]
        return predicted

    def predict_proba(self, X: Any) -> Array:
        """The probability of every class, (n, classes), in the order of `classes_`."""
        found = self._outputs(X)
        if not self._is_multilabel and not self._is_binary:
            powers = np.exp(found - found.max(axis=1, keepdims=True))
            shares: Array = powers / powers.sum(axis=1, keepdims=True)
            return shares
        likely = 0.5 * (1 + np.tanh(0.5 * found))  # the logistic function, without overflow
        return likely if self._is_multilabel else np.hstack([1 - likely, likely])

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _encode(self, y: Array, keeps_classes: bool) -> Array:
        check_classification_targets(y)
        has_columns = y.ndim == 2 and y.shape[1] > 1
        self._is_multilabel = has_columns and type_of_target(y).startswith("multilabel")
        if self._is_multilabel:
            self.classes_ = np.arange(y.shape[1])
            self._is_binary = False
            self.n_outputs_, self.out_activation_ = y.shape[1], "logistic"
            return y.astype(np.float64)
        y = column_or_1d(y, warn=True)
        if keeps_classes:
            self._check_known(y)
        else:
            self.classes_ = np.unique(y)
        self._is_binary = len(self.classes_) == 2
        self.n_outputs_ = 1 if self._is_binary else len(self.classes_)
        self.out_activation_ = "logistic" if self._is_binary else "softmax"
        codes = np.searchsorted(self.classes_, y).astype(np.int64)
        return codes[:, None].astype(np.float64) if self._is_binary else codes

    def _check_known(self, y: Array) -> None:
        """Raise if there are classes in y that have not been named."""
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ArgumentError(
                f"y holds classes that were not there before: {unknown.tolist()}; the classes are "
                f"{self.classes_.tolist()}."
            )

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        if self.out_activation_ == "softmax":
            losses: Tensor = F.cross_entropy(output, target, reduction="none")
            return losses
        each = F.binary_cross_entropy_with_logits(output, target, reduction="none")
        return each.sum(1)

    def _strata(self, y: Array) -> Array | None:
        return None if self._is_multilabel else y

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn needs to know: several labels at once are possible."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
