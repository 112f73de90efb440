"""What classifier and regressor share: parameters, fitting, attributes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from backlit.compiler.tiers import compiled_first
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.ops.generator import get_rng_state, manual_seed, set_rng_state
from backlit.sklearn.batches import Batches, Samples
from backlit.sklearn.network import (
    Array,
    activations_of,
    build,
    forward,
    initial_weights,
    weights_of,
)
from backlit.sklearn.training import Trainer, optimizer_class

LARGEST_BATCH = 200
SKLEARN_NAMES = {"logistic": "sigmoid"}


class MLPEstimator(BaseEstimator):  # type: ignore[misc]  # untyped base
    """Base of both estimators; see `MLPClassifier` for the parameters."""

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's protocol, never changed
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": ["array-like", Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout

    # -- what the subclasses say -----------------------------------------------------------------

    def _encode(self, y: Array, keeps_classes: bool) -> Array:
        """Targets as the loss wants them; checks them, and sets `n_outputs_`."""
        raise NotImplementedError(f"{type(self).__name__}: define _encode(y, keeps_classes).")

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        """One loss per sample."""
        raise NotImplementedError(f"{type(self).__name__}: define _loss(output, target).")

    def _strata(self, y: Array) -> Array | None:
        """What a split into training and validation samples should keep in proportion."""
        return None

    # -- fitting -----------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        self._validate_params()
        optimizer_class("adam" if self.solver == "lbfgs" else self.solver)
        goes_on = hasattr(self, "coefs_") and (incremental or self.warm_start)
        X, y = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=not hasattr(self, "_estimator_classes"),
            reset=not (goes_on and incremental),
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        targets = self._encode(y, goes_on or incremental)
        activations, dropout = self._layers()
        rng = check_random_state(self.random_state)
        dtype = self.coefs_[0].dtype if goes_on else self._dtype(X)
        samples = Samples(
            np.ascontiguousarray(X, dtype=dtype),
            targets if targets.dtype.kind == "i" else targets.astype(dtype),
            None if sample_weight is None else sample_weight.astype(dtype),
        )
        # With a seed, no timing decides which of two equivalent programs makes a step.
        is_seeded = self.random_state is not None
        with own_generator(), compiled_first() if is_seeded else contextlib.nullcontext():
            trainer = self._trainer(X.shape[1], activations, dropout, rng, dtype, goes_on)
            if not incremental:
                trainer.optimizer = None  # `fit` begins without momentum, also from earlier weights
            if any(dropout):
                manual_seed(int(rng.randint(2**31 - 1)))
            if self.solver == "lbfgs":
                trainer.minimise(samples)
            else:
                self._fit_batches(trainer, samples, y, incremental)
        self._take_over(trainer)
        return self

    def _fit_batches(self, trainer: Trainer, samples: Samples, y: Array, incremental: bool) -> None:
        """Train in batches, with some samples held back if early stopping asks for it."""
        score: Callable[[], float] | None = None
        if self.early_stopping and not incremental:
            kept, held = train_test_split(
                np.arange(len(samples.x)),
                test_size=self.validation_fraction,
                random_state=trainer.rng,
                stratify=self._strata(y),
            )
            x_held, y_held = samples.x[held].astype(np.float64), y[held]
            w_held = None if samples.weight is None else samples.weight[held]
            samples = samples.at(kept)

            def score() -> float:
                self._trained = trainer
                self.coefs_, self.intercepts_ = weights_of(trainer.network)
                return float(self.score(x_held, y_held, w_held))

        epochs = 1 if incremental else self.max_iter
        batches = Batches(samples, self._batch(len(samples.x)), self.shuffle)
        trainer.run(batches, epochs, score, incremental)

    def _trainer(
        self,
        n_features: int,
        activations: list[Any],
        dropout: list[float],
        rng: np.random.RandomState,
        dtype: Any,
        goes_on: bool,
    ) -> Trainer:
        """A trainer with fresh weights, or with those that there are."""
        if goes_on:
            trainer: Trainer = self._trained
            trainer.settings, trainer.loss_of = self, self._loss
            trainer.waited, trainer.best_loss = 0, np.inf
            return trainer
        sizes = [n_features, *self._hidden(), self.n_outputs_]
        coefs, intercepts = initial_weights(sizes, activations, rng, dtype)
        network = build(coefs, intercepts, activations, dropout)
        return Trainer(network, self._loss, self, rng)

    def _dtype(self, X: Array) -> Any:
        """The precision of training: the data's where all samples are one batch, else single."""
        is_whole = self.solver == "lbfgs" or len(X) <= self._batch(len(X))
        return X.dtype if is_whole else np.float32

    def _batch(self, n: int) -> int:
        """Samples per step, of n."""
        return min(LARGEST_BATCH if self.batch_size == "auto" else self.batch_size, n)

    def _hidden(self) -> list[int]:
        """The sizes of the hidden layers."""
        sizes = [int(n) for n in np.atleast_1d(self.hidden_layer_sizes)]
        if any(n < 1 for n in sizes):
            raise ArgumentError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _layers(self) -> tuple[list[Any], list[float]]:
        """Activation and dropout of every hidden layer."""
        n = len(self._hidden())
        chosen = {"activation": self.activation, "dropout": self.dropout}
        found = {}
        for name, value in chosen.items():
            values = list(value) if isinstance(value, list | tuple) else [value] * n
            if len(values) != n:
                raise ArgumentError(
                    f"{name}: {len(values)} values for {n} hidden layers; give one for all, or one "
                    "each."
                )
            found[name] = values
        named = [SKLEARN_NAMES.get(f, f) if isinstance(f, str) else f for f in found["activation"]]
        return named, found["dropout"]

    def _take_over(self, trainer: Trainer) -> None:
        """Set the attributes that scikit-learn's estimators have."""
        self.coefs_, self.intercepts_ = weights_of(trainer.network)
        if not all(np.isfinite(array).all() for array in [*self.coefs_, *self.intercepts_]):
            raise ArgumentError(
                "training produced weights that are infinite or NaN; scale the data (such as with "
                "StandardScaler), or lower learning_rate_init."
            )
        trainer.settings = trainer.loss_of = None  # type: ignore[assignment]  # no cycles to copy
        self._trained = trainer
        self.n_iter_ = trainer.n_iter
        self.t_ = trainer.t
        self.n_layers_ = len(self.coefs_) + 1
        self.loss_curve_ = trainer.losses
        self.loss_ = trainer.losses[-1]
        uses_scores = self.early_stopping and self.solver != "lbfgs"
        self.best_loss_ = None if uses_scores else trainer.best_loss
        self.validation_scores_ = trainer.scores if uses_scores else None
        self.best_validation_score_ = trainer.best_score if uses_scores else None

    # -- using -------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Array:
        """The network's outputs before the last activation."""
        check_is_fitted(self, "coefs_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        activations = activations_of(self._trained.network)
        return forward(X, self.coefs_, self.intercepts_, activations)


@contextlib.contextmanager
def own_generator() -> Iterator[None]:
    """Leave Backlit's own random numbers as they were: estimators follow `random_state`."""
    before = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(before)
