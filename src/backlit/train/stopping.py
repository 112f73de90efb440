"""When to stop: conditions that combine with & and |, and early stopping with the best weights.

No single sign of convergence is safe: gradients are small on plateaus too, and a loss can rest for
a while. Conditions are therefore made to be combined: `max_steps(5000) | improvement_below(1e-4)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.errors import ArgumentError
from backlit.nn import Module
from backlit.nn.utils import get_total_norm
from backlit.train.history import is_rising


@dataclass
class Moment:
    """What conditions look at.

    Attributes:
        step, epoch: optimizer steps made, and epochs finished.
        seconds: since the start of training.
        row: the finished epoch's losses and metrics; empty in the middle of an epoch.
        model: the model, for conditions on its gradients.
    """

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    row: Mapping[str, Any] = field(default_factory=dict)
    model: Module | None = None


class Condition:
    """Base of all conditions; `a & b` holds when both do, `a | b` when at least one does.

    A condition on losses or metrics changes at the end of epochs and keeps its state in between.

    >>> rule = max_steps(100) | improvement_below(0.01)
    >>> rule
    max_steps(100) | improvement_below(0.01)
    >>> [rule(Moment(step, row={"loss": loss})) for step, loss in [(1, 0.9), (2, 0.5), (3, 0.499)]]
    [False, False, True]
    """

    def __call__(self, moment: Moment) -> bool:
        """Whether the condition holds now."""
        raise NotImplementedError(f"{type(self).__name__}: a Condition must define __call__.")

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other)

    def __bool__(self) -> bool:
        raise TypeError(
            "a stopping condition has no truth value of its own; combine with & and |, not with "
            "'and' and 'or'."
        )

    def why(self) -> str:
        """The part that holds, for the report."""
        return repr(self)

    def state_dict(self) -> dict[str, Any]:
        """What the condition remembers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` gave."""


class Pair(Condition):
    """Two conditions; both always look, so that each keeps up with the run."""

    sign = ""

    def __init__(self, left: Condition, right: Condition) -> None:
        for part in (left, right):
            if not isinstance(part, Condition):
                raise TypeError(
                    f"stopping conditions combine with each other, not with {part!r}; "
                    "use max_steps(n), max_seconds(s), improvement_below(…) and the like."
                )
        self.left, self.right = left, right
        self.held = (False, False)

    def __call__(self, moment: Moment) -> bool:
        self.held = (self.left(moment), self.right(moment))
        return self.decide(*self.held)

    def decide(self, left: bool, right: bool) -> bool:
        """Whether the pair holds."""
        raise NotImplementedError(f"{type(self).__name__}: a Pair must define decide().")

    def __repr__(self) -> str:
        parts = [
            f"({part!r})" if isinstance(part, Pair) and part.sign != self.sign else repr(part)
            for part in (self.left, self.right)
        ]
        return f" {self.sign} ".join(parts)

    def state_dict(self) -> dict[str, Any]:
        return {"left": self.left.state_dict(), "right": self.right.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.left.load_state_dict(state["left"])
        self.right.load_state_dict(state["right"])


class Both(Pair):
    """Holds when both parts do."""

    sign = "&"

    def decide(self, left: bool, right: bool) -> bool:
        return left and right

    def why(self) -> str:
        return f"{self.left.why()} and {self.right.why()}"


class Either(Pair):
    """Holds when at least one part does."""

    sign = "|"

    def decide(self, left: bool, right: bool) -> bool:
        return left or right

    def why(self) -> str:
        parts = zip(self.held, (self.left, self.right), strict=True)
        return " and ".join(part.why() for held, part in parts if held)


class Limit(Condition):
    """Holds once a counter of the run has reached a number."""

    def __init__(self, name: str, counter: str, limit: float) -> None:
        if not limit >= 0:
            raise ArgumentError(f"{name}: the limit must not be negative, got {limit}.")
        self.name, self.counter, self.limit = name, counter, limit

    def __call__(self, moment: Moment) -> bool:
        return bool(getattr(moment, self.counter) >= self.limit)

    def __repr__(self) -> str:
        return f"{self.name}({self.limit:g})"


def max_steps(steps: int) -> Condition:
    """Holds from the given number of optimizer steps on.

    >>> max_steps(10)(Moment(step=10))
    True
    """
    return Limit("max_steps", "step", steps)


def max_epochs(epochs: int) -> Condition:
    """Holds from the given number of finished epochs on.

    >>> max_epochs(3)(Moment(epoch=2))
    False
    """
    return Limit("max_epochs", "epoch", epochs)


def max_seconds(seconds: float) -> Condition:
    """Holds from the given training time on.

    >>> max_seconds(60)(Moment(seconds=61.5))
    True
    """
    return Limit("max_seconds", "seconds", seconds)


class Watching(Condition):
    """Base of conditions on a reported quantity: looks once per epoch, holds until the next."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.holds = False

    def __call__(self, moment: Moment) -> bool:
        if moment.row:
            if self.monitor not in moment.row:
                raise ArgumentError(
                    f"{self!r}: there is no {self.monitor!r} to watch; the epochs report "
                    f"{', '.join(moment.row)}."
                )
            self.holds = self.look(float(moment.row[self.monitor]))
        return self.holds

    def look(self, value: float) -> bool:
        """Whether the condition holds, given the epoch's value."""
        raise NotImplementedError(f"{type(self).__name__}: define look(value).")

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


class improvement_below(Watching):  # noqa: N801 - reads as the condition it is
    """Holds when a quantity improved by less than `amount` over the last epochs.

    Args:
        amount: in the quantity's units, over all `over` epochs together.
        over: how many epochs back to compare with.
        monitor: a column of the history.

    >>> rule = improvement_below(0.1, over=2)
    >>> [rule(Moment(row={"loss": loss})) for loss in (1.0, 0.95, 0.85, 0.84)]
    [False, False, False, False]
    >>> rule(Moment(row={"loss": 0.83}))
    True
    """

    def __init__(self, amount: float, over: int = 1, monitor: str = "loss") -> None:
        super().__init__(monitor)
        if over < 1:
            raise ArgumentError(f"improvement_below: over must be at least 1, got {over}.")
        self.amount, self.over = amount, over
        self.values: list[float] = []

    def look(self, value: float) -> bool:
        self.values = [*self.values, value][-self.over - 1 :]
        if len(self.values) <= self.over:
            return False
        gain = self.values[0] - value
        return not (-gain if is_rising(self.monitor) else gain) >= self.amount

    def __repr__(self) -> str:
        over = f", over={self.over}" if self.over != 1 else ""
        monitor = f", monitor={self.monitor!r}" if self.monitor != "loss" else ""
        return f"improvement_below({self.amount:g}{over}{monitor})"


class value_below(Watching):  # noqa: N801 - reads as the condition it is
    """Holds while a quantity is below `bound`.

    >>> value_below(0.1)(Moment(row={"loss": 0.05}))
    True
    """

    def __init__(self, bound: float, monitor: str = "loss") -> None:
        super().__init__(monitor)
        self.bound = bound

    def look(self, value: float) -> bool:
        return value < self.bound

    def __repr__(self) -> str:
        return f"value_below({self.bound:g}, monitor={self.monitor!r})"


class value_above(Watching):  # noqa: N801 - reads as the condition it is
    """Holds while a quantity is above `bound`.

    >>> value_above(0.99, monitor="accuracy")(Moment(row={"accuracy": 1.0}))
    True
    """

    def __init__(self, bound: float, monitor: str = "accuracy") -> None:
        super().__init__(monitor)
        self.bound = bound

    def look(self, value: float) -> bool:
        return value > self.bound

    def __repr__(self) -> str:
        return f"value_above({self.bound:g}, monitor={self.monitor!r})"


class gradient_below(Condition):  # noqa: N801 - reads as the condition it is
    """Holds when the gradient of the epoch's last batch is shorter than `length`.

    Alone this is a bad rule: gradients are small on plateaus and saddle points too.

    >>> gradient_below(1e-3)
    gradient_below(0.001)
    """

    def __init__(self, length: float) -> None:
        self.length = length
        self.holds = False

    def __call__(self, moment: Moment) -> bool:
        if moment.row and moment.model is not None:
            gradients = [p.grad for p in moment.model.parameters() if p.grad is not None]
            self.holds = bool(gradients) and get_total_norm(gradients).item() < self.length
        return self.holds

    def __repr__(self) -> str:
        return f"gradient_below({self.length:g})"

    def state_dict(self) -> dict[str, Any]:
        return {"holds": self.holds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.holds = state["holds"]


class EarlyStopping:
    """Keeps the weights of the best epoch, and stops when no better one has come for a while.

    Args:
        patience: epochs without improvement that are let pass.
        monitor: what should improve; None is "val_loss", or "loss" without validation data.
        min_delta: how much better counts as an improvement.
        mode: "min", "max", or "auto" (by the name).
        restore_best: put the best weights back at the end.

    For `fit(early_stopping=…)`; and for a plain loop:

    >>> from backlit import nn
    >>> model, stopper = nn.Linear(1, 1), EarlyStopping(patience=1)
    >>> for epoch, loss in enumerate([0.5, 0.4, 0.6, 0.7, 0.1], 1):
    ...     if stopper.update(loss, model, epoch):
    ...         break
    >>> epoch, stopper.best, stopper.best_epoch
    (4, 0.4, 2)
    >>> stopper.restore(model)
    """

    def __init__(
        self,
        patience: int = 10,
        monitor: str | None = None,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        if patience < 0 or min_delta < 0:
            raise ArgumentError(
                "EarlyStopping: patience and min_delta must not be negative, got "
                f"{patience} and {min_delta}."
            )
        is_rising("loss", mode)
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self.mode = mode
        self.restore_best = restore_best
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self.best: float | None = None
        self.best_epoch = 0
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def update(self, value: float, model: Module, epoch: int | None = None) -> bool:
        """Take in the value of an epoch; True if training should stop."""
        epoch = self.best_epoch + self.waited + 1 if epoch is None else epoch
        rising = is_rising(self.monitor or "loss", self.mode)
        gain = math.inf if self.best is None else value - self.best
        if (
            not math.isnan(value)
            and (gain if rising or self.best is None else -gain) > self.min_delta
        ):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            if self.restore_best:
                self.weights = weights_of(model)
            return False
        self.waited += 1
        return self.is_exhausted

    @property
    def is_exhausted(self) -> bool:
        """Whether more epochs than `patience` have brought nothing."""
        return self.waited > self.patience

    def restore(self, model: Module) -> None:
        """Put the best weights back."""
        if self.weights is not None:
            set_weights(model, self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Everything seen, the best weights included."""
        names = ("best", "best_epoch", "waited", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        vars(self).update(state)


def weights_of(model: Module) -> dict[str, Any]:
    """Copies of the model's parameters and buffers, as arrays."""
    return {name: np.array(realize(t)) for name, t in model.state_dict().items()}


def set_weights(model: Module, weights: Mapping[str, Any]) -> None:
    """Give the model what `weights_of` kept."""
    model.load_state_dict({name: from_array(np.array(array)) for name, array in weights.items()})
