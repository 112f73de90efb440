"""MLPRegressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import column_or_1d

from backlit.core.tensor import Tensor
from backlit.sklearn.base import MLPEstimator
from backlit.sklearn.network import Array


class MLPRegressor(RegressorMixin, MLPEstimator):  # type: ignore[misc]  # untyped base
    """A multilayer perceptron that predicts numbers, minimising ½ mean (ŷ − y)² + α/2n Σ W².

    The parameters are those of `MLPClassifier`. y may have several columns.

    Attributes:
        loss_, loss_curve_, best_loss_: the loss at the end, after each epoch, and at its best.
        coefs_, intercepts_: weights (inputs, outputs) and biases of every layer.
        n_iter_, t_: epochs, and samples seen.
        validation_scores_, best_validation_score_: R², with `early_stopping`.

    >>> from backlit.sklearn import MLPRegressor
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> y = np.sin(3 * x[:, 0])
    >>> model = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=1).fit(x, y)
    >>> bool(model.score(x, y) > 0.99)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Fit the model to samples X (n, features) and y (n,) or (n, outputs)."""
        fitted: MLPRegressor = self._fit(X, y, sample_weight, incremental=False)
        return fitted

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One more epoch over these samples."""
        fitted: MLPRegressor = self._fit(X, y, sample_weight, incremental=True)
        return fitted

    def predict(self, X: Any) -> Array:
        """The predicted numbers, (n,) or (n, outputs)."""
        found = self._outputs(X)
        return found.ravel() if found.shape[1] == 1 else found

    def _encode(self, y: Array, keeps_classes: bool) -> Array:
        columns = np.asarray(y, dtype=np.float64)
        if columns.ndim == 1 or columns.shape[1] == 1:
            columns = column_or_1d(columns, warn=True)[:, None]
        self.n_outputs_ = columns.shape[1]
        self.out_activation_ = "identity"
        return columns

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().sum(1) * 0.5
