"""Schedules that multiply the rate by a factor: lambdas, steps, ramps and decays."""

from __future__ import annotations

import types
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from backlit.errors import ArgumentError
from backlit.optim.lr_scheduler.base import LRScheduler, Schedulable, check_optimizer, per_group

Lambda = Callable[[int], float]


class _FunctionLR(LRScheduler):
    """A schedule given by a user's function of the epoch, or one function per group."""

    _not_saved = (*LRScheduler._not_saved, "lr_lambdas")

    def __init__(
        self, optimizer: Schedulable, lr_lambda: Lambda | Sequence[Lambda], last_epoch: int = -1
    ) -> None:
        check_optimizer(self, optimizer)
        self.lr_lambdas = per_group(self, "lr_lambda", lr_lambda, len(optimizer.param_groups))
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"{type(self).__name__}: lr_lambda must be a function of the epoch, "
                    f"got {type(function).__name__}."
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The state; functions are not saved, callable objects by their attributes."""
        state = super().state_dict()
        state["lr_lambdas"] = [attributes_of(function) for function in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; callable objects get their attributes back."""
        self._check_state(state_dict)
        vars(self).update(
            {key: value for key, value in state_dict.items() if key not in self._not_saved}
        )
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)


class LambdaLR(_FunctionLR):
    """Base rate times a function of the epoch: η_t = η_0 λ(t).

    Args:
        lr_lambda: λ, or a list with one function per parameter group.

    Raises:
        TypeError: a λ is not callable.
        ArgumentError: the list's length is not the number of groups.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = LambdaLR(sgd, lambda epoch: 0.5**epoch)
    >>> sgd.step(); schedule.step(); schedule.get_last_lr()
    [0.4]
    """

    def _next_lrs(self) -> list[float]:
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]


class MultiplicativeLR(_FunctionLR):
    """Present rate times a function of the epoch: η_t = η_{t-1} λ(t).

    Args:
        lr_lambda: λ, or a list with one function per parameter group.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = MultiplicativeLR(sgd, lambda epoch: 0.5)
    >>> sgd.step(); schedule.step(); schedule.get_last_lr()
    [0.4]
    """

    def _next_lrs(self) -> list[float]:
        rates = self._scaled(1.0)
        if self._is_initial:
            return rates
        return [
            rate * function(self.last_epoch)
            for rate, function in zip(rates, self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """Multiplies the rate by `gamma` every `step_size` epochs.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = StepLR(sgd, step_size=2, gamma=0.5)
    >>> for _ in range(3):
    ...     sgd.step(); schedule.step(); print(schedule.get_last_lr())
    [0.8]
    [0.4]
    [0.4]
    """

    def __init__(
        self, optimizer: Schedulable, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        due = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma if due else 1.0)

    def _get_closed_form_lr(self) -> list[float]:
        return self._from_base(self.gamma ** (self.last_epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """Multiplies the rate by `gamma` at each milestone; a milestone given twice counts twice.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = MultiStepLR(sgd, milestones=[1, 3], gamma=0.5)
    >>> for _ in range(3):
    ...     sgd.step(); schedule.step(); print(schedule.get_last_lr())
    [0.4]
    [0.4]
    [0.2]
    """

    def __init__(
        self,
        optimizer: Schedulable,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The state, with the milestones as a sorted list."""
        return {**super().state_dict(), "milestones": sorted(self.milestones.elements())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        super().load_state_dict(state_dict)
        self.milestones = Counter(self.milestones)

    def _next_lrs(self) -> list[float]:
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return self._from_base(self.gamma**passed)


class ConstantLR(LRScheduler):
    """The base rate times `factor` until epoch `total_iters`, then the base rate.

    Raises:
        ArgumentError: `factor` is outside [0, 1].

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = ConstantLR(sgd, factor=0.5, total_iters=2)
    >>> for _ in range(3):
    ...     print(schedule.get_last_lr()); sgd.step(); schedule.step()
    [0.4]
    [0.4]
    [0.8]
    """

    def __init__(
        self,
        optimizer: Schedulable,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR: factor must lie between 0 and 1, got {factor}.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch == self.total_iters:
            # From factor 0 no quotient leads back; the base rate is what is meant.
            return self._scaled(1.0 / self.factor) if self.factor else self._from_base(1.0)
        return self._scaled(1.0)

    def _get_closed_form_lr(self) -> list[float]:
        return self._from_base(1.0 if self.last_epoch >= self.total_iters else self.factor)


class LinearLR(LRScheduler):
    """A straight ramp from `start_factor` to `end_factor` times the base rate: linear warm-up.

    Args:
        total_iters: the number of epochs after which `end_factor` is reached.

    Raises:
        ArgumentError: `start_factor` is outside (0, 1] or `end_factor` outside [0, 1].

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = LinearLR(sgd, start_factor=0.5, total_iters=2)
    >>> for _ in range(3):
    ...     print(round(schedule.get_last_lr()[0], 6)); sgd.step(); schedule.step()
    0.4
    0.6
    0.8
    """

    def __init__(
        self,
        optimizer: Schedulable,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(
                f"LinearLR: start_factor must be greater than 0 and at most 1, got {start_factor}."
            )
        if not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR: end_factor must lie between 0 and 1, got {end_factor}.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._scaled(1.0)
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)

    def _get_closed_form_lr(self) -> list[float]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return self._from_base(self.start_factor + (self.end_factor - self.start_factor) * done)


class ExponentialLR(LRScheduler):
    """Multiplies the rate by `gamma` every epoch.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = ExponentialLR(sgd, gamma=0.5)
    >>> sgd.step(); schedule.step(); schedule.get_last_lr()
    [0.4]
    """

    def __init__(self, optimizer: Schedulable, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        return self._scaled(1.0 if self._is_initial else self.gamma)

    def _get_closed_form_lr(self) -> list[float]:
        return self._from_base(self.gamma**self.last_epoch)


class PolynomialLR(LRScheduler):
    """Decays to 0 in `total_iters` epochs: η_t = η_0 (1 - t/T)^power.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = PolynomialLR(sgd, total_iters=4)
    >>> sgd.step(); schedule.step(); round(schedule.get_last_lr()[0], 6)
    0.6
    """

    def __init__(
        self,
        optimizer: Schedulable,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._scaled(1.0)
        left = 1.0 - self.last_epoch / self.total_iters
        left_before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((left / left_before) ** self.power)

    def _get_closed_form_lr(self) -> list[float]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return self._from_base((1.0 - done) ** self.power)


def attributes_of(function: Any) -> dict[str, Any] | None:
    """What to save of a user's callable: nothing of a function, the attributes of an object."""
    is_function = isinstance(function, types.FunctionType | types.BuiltinFunctionType)
    return None if is_function or not hasattr(function, "__dict__") else dict(vars(function))


__all__ = [
    "ConstantLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
]
