"""Cosine annealing, with and without warm restarts (Loshchilov and Hutter 2017, SGDR)."""

from __future__ import annotations

import math

from backlit.errors import ArgumentError
from backlit.optim.lr_scheduler.base import LRScheduler, Schedulable, is_count, is_number


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate to `eta_min` in `T_max` epochs, and back in the next.

    η_t = η_min + (η_0 - η_min)(1 + cos(π t / T_max)) / 2

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = CosineAnnealingLR(sgd, T_max=2)
    >>> for _ in range(2):
    ...     sgd.step(); schedule.step(); print(round(schedule.get_last_lr()[0], 6))
    0.4
    0.0
    """

    def __init__(
        self, optimizer: Schedulable, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        if self._is_initial:
            return self._scaled(1.0)
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        rates = self._scaled(1.0)
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # At the minimum the chainable quotient is 0/0: leave it by the closed difference.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                rate + (base - self.eta_min) * rise
                for rate, base in zip(rates, self.base_lrs, strict=True)
            ]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [ratio * (rate - self.eta_min) + self.eta_min for rate in rates]

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def _get_closed_form_lr(self) -> list[float]:
        height = self._height(self.last_epoch) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that jumps back to the base rate after T_0, T_0 T_mult, … epochs.

    η_t = η_min + (η_0 - η_min)(1 + cos(π T_cur / T_i)) / 2, where T_cur counts epochs since the
    last restart and T_i is the length of the present cycle. `step(epoch)` takes fractions of an
    epoch too.

    Raises:
        ArgumentError: `T_0` is not a positive integer, `T_mult` not an integer ≥ 1, or `eta_min`
            not a number.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = CosineAnnealingWarmRestarts(sgd, T_0=2)
    >>> for _ in range(2):
    ...     sgd.step(); schedule.step(); print(round(schedule.get_last_lr()[0], 6))
    0.4
    0.8
    """

    def __init__(
        self,
        optimizer: Schedulable,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        if not is_count(T_0):
            raise ArgumentError(f"{name}: T_0 must be a positive integer, got {T_0!r}.")
        if not is_count(T_mult):
            raise ArgumentError(f"{name}: T_mult must be an integer of at least 1, got {T_mult!r}.")
        if not is_number(eta_min):
            raise ArgumentError(
                f"{name}: eta_min must be a number, got {type(eta_min).__name__} {eta_min!r}."
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Move to the next epoch, or to `epoch`, which may be a fraction.

        Raises:
            ArgumentError: `epoch` is negative.
        """
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ArgumentError(
                    f"{type(self).__name__}: epoch must not be negative, got {epoch}."
                )
            self._locate(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._write(rates)

    def _locate(self, epoch: float) -> None:
        """Find the cycle in which `epoch` lies: its length T_i, and the time T_cur since it began.

        Cycle k has length T_0 T_mult^k and begins at T_0 (T_mult^k - 1) / (T_mult - 1).
        """
        self.T_i = self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
            return
        self.T_cur = epoch
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
