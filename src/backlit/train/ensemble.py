"""Ensembles: several trials from different random weights, and what they say together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.data.seeds import seed_process
from backlit.errors import ArgumentError
from backlit.nn import Module
from backlit.optim import Optimizer
from backlit.train.evaluation import EVALUATION_BATCH, predict
from backlit.train.history import History
from backlit.train.loop import fit

COMBINATIONS = ("vote", "mean")


class Ensemble:
    """Models that differ in their random start only; together they err less than one.

    The loss surface has many local minima, and where a run ends depends on where it starts.

    Args:
        build: makes a new, randomly initialised model.
        combine: "vote" (classification: the class most members choose; a tie goes to the one with
            the higher mean probability) or "mean" (of the class probabilities, or of the outputs
            of a regression).
        task: "classification" (scores (N, C), or one logit per sample) or "regression".

    Raises:
        ArgumentError: an unknown combination or task.

    >>> from backlit import nn
    >>> iris = backlit.data.iris()
    >>> ensemble = Ensemble(lambda: nn.Linear(4, 3))
    >>> adam = lambda parameters: backlit.optim.Adam(parameters, lr=0.1)
    >>> histories = ensemble.fit(3, iris, nn.CrossEntropyLoss(), adam, epochs=20, progress=False)
    >>> (ensemble.predict(iris.x) == iris.y).float().mean().item() > 0.8
    True
    """

    def __init__(
        self,
        build: Callable[[], Module],
        combine: str = "vote",
        task: str = "classification",
    ) -> None:
        if combine not in COMBINATIONS or task not in ("classification", "regression"):
            raise ArgumentError(
                "Ensemble: combine must be 'vote' or 'mean' and task 'classification' or "
                f"'regression', got {combine!r} and {task!r}."
            )
        if combine == "vote" and task == "regression":
            raise ArgumentError("Ensemble: numbers cannot be voted on; use combine='mean'.")
        self.build = build
        self.combine = combine
        self.task = task
        self.members: list[Module] = []

    def fit(
        self,
        n: int,
        train_data: Any,
        loss: Any,
        optimizer: Callable[[Any], Optimizer],
        *,
        seed: int = 0,
        **options: Any,
    ) -> list[History]:
        """Build and train n members with the seeds seed, seed + 1, …; see `fit` for the options.

        Ctrl-C ends the training of all; members that were finished are kept.

        Args:
            optimizer: makes an optimizer for parameters, such as
                `lambda parameters: optim.Adam(parameters, lr=1e-3)`.
        """
        if n < 1:
            raise ArgumentError(f"Ensemble.fit: n must be at least 1, got {n}.")
        self.members = []
        histories: list[History] = []
        for number in range(n):
            seed_process(seed + number)
            model = self.build()
            made = optimizer(list(model.parameters()))
            history = fit(model, train_data, loss, made, seed=seed + number, **options)
            histories.append(history)
            if history.interrupted and self.members:
                break
            self.members.append(model)
        return histories

    def outputs(self, x: Any, *, batch_size: int = EVALUATION_BATCH) -> Any:
        """The outputs of all members, (members, N, …), as an array.

        Raises:
            ArgumentError: nothing has been trained.
        """
        if not self.members:
            raise ArgumentError("Ensemble: there are no members yet; call fit(n, …) first.")
        return np.stack([realize(predict(m, x, batch_size=batch_size)) for m in self.members])

    def predict_proba(self, x: Any) -> Tensor:
        """The mean of the members' class probabilities, (N, C)."""
        mean: Any = probabilities(self.outputs(x)).mean(axis=0)
        return from_array(mean)

    def predict(self, x: Any) -> Tensor:
        """Class numbers (N,); or for a regression the mean output."""
        outputs = self.outputs(x)
        if self.task == "regression":
            return from_array(outputs.mean(axis=0))
        chances = probabilities(outputs)
        if self.combine == "mean":
            return from_array(chances.mean(axis=0).argmax(axis=1))
        classes = np.arange(chances.shape[2])
        votes = (chances.argmax(axis=2)[:, :, None] == classes).sum(axis=0)  # (N, C)
        # Mean probabilities are at most 1: half of them never outweighs a vote.
        return from_array((votes + chances.mean(axis=0) / 2).argmax(axis=1))


def probabilities(outputs: Any) -> Any:
    """Class probabilities (members, N, C) from scores, or from one logit per sample."""
    scores = outputs.astype(np.float64)
    if scores.ndim == 2:
        scores = scores[:, :, None]
    if scores.shape[2] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=2)
    shifted = np.exp(scores - scores.max(axis=2, keepdims=True))
    return shifted / shifted.sum(axis=2, keepdims=True)
