"""Lowers the rate when a watched quantity stops improving."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal, SupportsFloat

from backlit.errors import ArgumentError
from backlit.optim.lr_scheduler.base import (
    EPOCH_WARNING,
    LRScheduler,
    Schedulable,
    as_float,
    check_optimizer,
    current_rates,
    per_group,
    write_rate,
)


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` after more than `patience` epochs without improvement.

    Args:
        mode: "min" if the quantity should fall, "max" if it should rise.
        patience: epochs without improvement that are let pass.
        threshold, threshold_mode: how much better counts as an improvement, as a share of the
            best value ("rel") or in its units ("abs").
        cooldown: epochs after a reduction during which none is counted as bad.
        min_lr: the lowest rate, one for all groups or one for each.
        eps: a reduction smaller than this is not made.

    Raises:
        ArgumentError: `factor` ≥ 1, an unknown mode, or the wrong number of `min_lr`.
        TypeError: `optimizer` has no parameter groups.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = ReduceLROnPlateau(sgd, factor=0.5, patience=1)
    >>> for loss in [1.0, 1.0, 1.0]:
    ...     schedule.step(loss); print(schedule.get_last_lr())
    [0.8]
    [0.8]
    [0.4]
    """

    def __init__(
        self,
        optimizer: Schedulable,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ArgumentError(
                f"ReduceLROnPlateau: factor must be below 1 to reduce the rate, got {factor}."
            )
        if mode not in ("min", "max"):
            raise ArgumentError(f"ReduceLROnPlateau: mode must be 'min' or 'max', got {mode!r}.")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau: threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}."
            )
        check_optimizer(self, optimizer)
        self.optimizer = optimizer
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = per_group(self, "min_lr", min_lr, len(optimizer.param_groups))
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = current_rates(optimizer)

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]  # PyTorch's signature: this schedule alone needs the quantity
        """Note the epoch's `metrics` and reduce the rate if it is time."""
        current = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = current_rates(self.optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was made less than `cooldown` epochs ago."""
        return self.cooldown_counter > 0

    def _is_better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        margin = sign * self.threshold
        bar = self.best * (1.0 + margin) if self.threshold_mode == "rel" else self.best + margin
        return value > bar if self.mode == "max" else value < bar

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau: the optimizer now has {len(groups)} parameter groups, "
                    f"but min_lr was given for {len(self.min_lrs)}; set `scheduler.min_lrs` to "
                    "one value for each group."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            old = as_float(group["lr"])
            new = max(old * self.factor, lowest)
            if old - new > self.eps:
                write_rate(group, new)
