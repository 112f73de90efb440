"""How an estimator's network is trained: epochs of steps, or L-BFGS on all samples at once."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from backlit import nn, optim
from backlit.core.capture import capture
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.nn.parameter import Parameter
from backlit.optim import Optimizer
from backlit.sklearn.batches import Batch, Batches, Samples
from backlit.sklearn.network import Array, linear_layers

SMALLEST_RATE = 1e-6  # where the adaptive schedule gives up
LossOf = Callable[[Tensor, Tensor], Tensor]  # outputs and targets → one loss per sample


@dataclass
class Trainer:
    """Trains a network by the estimator's parameters.

    Attributes:
        loss_of: one loss per sample.
        settings: the estimator.
        t: samples seen; losses: the loss after every epoch.
    """

    network: nn.Module
    loss_of: LossOf
    settings: Any
    rng: np.random.RandomState
    optimizer: Optimizer | None = None
    t: int = 0
    n_iter: int = 0
    losses: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    waited: int = 0
    scores: list[float] = field(default_factory=list)
    best_score: float = -math.inf
    best_weights: list[Array] | None = None
    captured: Any = None

    @functools.cached_property
    def weights(self) -> list[Parameter]:
        """The weights of all layers, in order."""
        return [layer.weight for layer in linear_layers(self.network)]

    # -- the loss -----------------------------------------------------------------------------

    def mean_loss(self, x: Tensor, y: Tensor, weight: Tensor | None, total: Any) -> Tensor:
        """The (weighted) mean loss of a batch."""
        losses = self.loss_of(self.network(x), y)
        return losses.mean() if weight is None else (losses * weight).sum() / total

    def penalty(self) -> Tensor:
        """½ Σ W² over all weights."""
        terms = [w.square().sum() for w in self.weights]
        return sum(terms[1:], terms[0]) * 0.5

    # -- steps --------------------------------------------------------------------------------

    def make_optimizer(self) -> Optimizer:
        """The optimizer that `solver` names or makes."""
        s = self.settings
        biases = [layer.bias for layer in linear_layers(self.network)]
        groups = [{"params": self.weights}, {"params": biases}]
        rate = s.learning_rate_init
        if s.solver == "adam":
            return optim.Adam(groups, lr=rate, betas=(s.beta_1, s.beta_2), eps=s.epsilon)
        if s.solver == "sgd":
            nesterov = bool(s.nesterovs_momentum and s.momentum > 0)
            return optim.SGD(groups, lr=rate, momentum=s.momentum, nesterov=nesterov)
        made = optimizer_class(s.solver)(groups)
        if not callable(s.solver):
            for group in made.param_groups:
                group["lr"] = rate
        return made

    @property
    def decays(self) -> bool:
        """Whether the optimizer's weight decay is the gradient of the penalty."""
        return self.settings.solver in ("adam", "sgd")

    def step(self, batch: Batch, total: float) -> Tensor:
        """One optimizer step; returns the loss."""
        assert self.optimizer is not None
        if self.decays:
            self.optimizer.param_groups[0]["weight_decay"] = self.settings.alpha / total
        if self.captured is None:
            self.captured = capture(self.whole_step)
        if batch.weight is None:
            loss: Tensor = self.captured(*batch.tensors)
        else:
            sum_of_weights = from_array(np.array(total, batch.weight.dtype))
            loss = self.captured(*batch.tensors, sum_of_weights)
        return loss.detach() if loss.requires_grad else loss

    def whole_step(
        self, x: Tensor, y: Tensor, weight: Tensor | None = None, total: Tensor | None = None
    ) -> Tensor:
        """Gradients and update: one program, whose Python need not run every time."""
        optimizer = self.optimizer
        assert optimizer is not None
        optimizer.zero_grad()
        loss = self.mean_loss(x, y, weight, total)
        if self.decays:
            loss.backward()
        else:
            share = len(x) if total is None else total
            (loss + self.penalty() * (self.settings.alpha / share)).backward()
        optimizer.step()
        return loss

    def epoch(self, batches: Batches) -> float:
        """All samples once; the mean loss, the penalty included."""
        n = len(batches.samples.x)
        order = self.rng.permutation(n) if self.settings.shuffle else None
        losses: list[tuple[Tensor, int, float]] = []
        for batch in batches.epoch(order):
            total = float(batch.size if batch.weight is None else batch.weight.sum())
            if total == 0:
                continue
            losses.append((self.step(batch, total), batch.size, total))
        self.t += n
        # Read only now: a loss read in the loop would split every step in two programs.
        decay = self.settings.alpha * self.penalty_now()
        return sum((float(realize(l)) + decay / total) * c for l, c, total in losses) / n

    def penalty_now(self) -> float:
        """`penalty` as a number, without a program of its own."""
        arrays = map(realize, self.weights)
        return 0.5 * sum(float(np.vdot(w, w)) for w in arrays)

    def run(
        self,
        batches: Batches,
        epochs: int,
        score: Callable[[], float] | None,
        incremental: bool,
    ) -> None:
        """Epochs until they are done or nothing improves; `score` judges on validation samples."""
        s = self.settings
        self.network.train()
        if self.optimizer is None:
            self.optimizer = self.make_optimizer()
        try:
            for _ in range(epochs):
                self.n_iter += 1
                self.losses.append(self.epoch(batches))
                self.note_progress(score)
                if s.solver == "sgd" and s.learning_rate == "invscaling":
                    self.set_rate(s.learning_rate_init / (self.t + 1) ** s.power_t)
                if self.waited > s.n_iter_no_change and self.give_up():
                    break
            else:
                if not incremental:
                    not_converged(s.max_iter)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if s.early_stopping and self.best_weights is not None:
            self.restore()
        self.network.eval()

    # -- between epochs -------------------------------------------------------------------------

    def note_progress(self, score: Callable[[], float] | None) -> None:
        """Count the epochs without improvement, of the validation score or of the loss."""
        s = self.settings
        loss = self.losses[-1]
        if s.verbose:
            print(f"Iteration {self.n_iter}, loss = {loss:.8f}")  # noqa: T201 - `verbose` asks for it
        if score is not None:
            self.scores.append(score())
            if s.verbose:
                print(f"Validation score: {self.scores[-1]:f}")  # noqa: T201
            self.waited = 0 if self.scores[-1] >= self.best_score + s.tol else self.waited + 1
            if self.scores[-1] > self.best_score:
                self.best_score = self.scores[-1]
                self.best_weights = [np.array(realize(p)) for p in self.network.parameters()]
        else:
            self.waited = 0 if loss <= self.best_loss - s.tol else self.waited + 1
        self.best_loss = min(self.best_loss, loss)

    def give_up(self) -> bool:
        """Whether to stop; the adaptive schedule first tries smaller steps."""
        s = self.settings
        assert self.optimizer is not None
        rate = self.optimizer.param_groups[0]["lr"]
        is_last = not (s.solver == "sgd" and s.learning_rate == "adaptive")
        if is_last or rate <= SMALLEST_RATE:
            if s.verbose:
                what = "Validation score" if s.early_stopping else "Training loss"
                print(  # noqa: T201
                    f"{what} did not improve more than tol={s.tol:f} for {s.n_iter_no_change} "
                    "consecutive epochs. Stopping."
                )
            return True
        self.set_rate(rate / 5)
        self.waited = 0
        return False

    def set_rate(self, rate: float) -> None:
        """Change the learning rate."""
        assert self.optimizer is not None
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def restore(self) -> None:
        """Put the weights with the best validation score back."""
        assert self.best_weights is not None
        for parameter, array in zip(self.network.parameters(), self.best_weights, strict=True):
            parameter.data = from_array(array.copy())

    # -- all samples at once --------------------------------------------------------------------

    def minimise(self, samples: Samples) -> None:
        """L-BFGS with a line search on the loss of all samples."""
        s = self.settings
        self.network.train()
        x, y = from_array(samples.x), from_array(samples.y)
        weight, total = None, float(len(samples.x))
        if samples.weight is not None:
            weight, total = from_array(samples.weight), float(samples.weight.sum())
        optimizer = optim.LBFGS(
            self.network.parameters(),
            max_iter=s.max_iter,
            max_eval=s.max_fun,
            tolerance_grad=s.tol,
            tolerance_change=1e-12,
            history_size=10,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.mean_loss(x, y, weight, total) + self.penalty() * (s.alpha / total)
            loss.backward()
            return loss

        optimizer.step(closure)
        first = next(iter(self.network.parameters()))
        self.n_iter = int(optimizer.state[first]["n_iter"])
        self.losses.append(float(realize(closure().detach())))
        self.best_loss = self.losses[-1]
        self.t += len(samples.x) * self.n_iter
        if self.n_iter >= s.max_iter:
            not_converged(s.max_iter)
        self.network.eval()


def optimizer_class(solver: Any) -> Callable[[Any], Optimizer]:
    """What makes the optimizer, from its name or as it is.

    Raises:
        ArgumentError: there is no such optimizer.
    """
    if callable(solver):
        return solver
    known = {
        name.lower(): value
        for name, value in vars(optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }
    if str(solver).lower() not in known:
        raise ArgumentError(
            f"solver {solver!r} is not known; give 'lbfgs', 'sgd', 'adam', a function of the "
            f"parameters, or one of {', '.join(sorted(known))}."
        )
    return known[str(solver).lower()]


def not_converged(iterations: int) -> None:
    """Warn as scikit-learn does."""
    warnings.warn(
        f"Maximum iterations ({iterations}) reached and the optimization hasn't converged yet; "
        "raise max_iter or scale the data.",
        ConvergenceWarning,
        stacklevel=4,
    )
