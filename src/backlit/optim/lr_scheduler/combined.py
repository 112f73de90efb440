"""Schedulers made of schedulers: one after the other, or all at once."""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from backlit.errors import ArgumentError
from backlit.optim.lr_scheduler.base import (
    ORDER_WARNING,
    LRScheduler,
    Schedulable,
    current_rates,
    write_rate,
)
from backlit.optim.lr_scheduler.plateau import ReduceLROnPlateau


class _Composite(LRScheduler):
    """What SequentialLR and ChainedScheduler share: checks and the states of their members."""

    _not_saved = (*LRScheduler._not_saved, "_schedulers")
    _schedulers: list[LRScheduler]

    def _adopt(self, schedulers: Sequence[LRScheduler], optimizer: Schedulable | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ArgumentError(f"{name}: expected at least one scheduler, got an empty list.")
        owner = getattr(schedulers[0], "optimizer", None) if optimizer is None else optimizer
        for index, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(
                    f"{name}: schedulers[{index}] is a {type(scheduler).__name__} without an "
                    "`optimizer` attribute, so not a scheduler."
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name}: schedulers[{index}] is a ReduceLROnPlateau, which needs a metric "
                    "at every step; step it on its own."
                )
            if scheduler.optimizer is not owner:
                raise ArgumentError(
                    f"{name}: schedulers[{index}], a {type(scheduler).__name__}, belongs to "
                    "another optimizer; all must schedule the same one."
                )
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)

    def _initial_step(self) -> None:
        # The members step once more before any optimizer step: right here, so no warning.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=re.escape(ORDER_WARNING))
            super()._initial_step()

    def state_dict(self) -> dict[str, Any]:
        """The state, with the states of the members."""
        members = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": members}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            ArgumentError: the state lacks entries, or has another number of members.
        """
        self._check_state(state_dict)
        members = state_dict["_schedulers"]
        if len(members) != len(self._schedulers):
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: the state has {len(members)} schedulers, "
                f"this one has {len(self._schedulers)}; build it as it was saved."
            )
        vars(self).update({k: v for k, v in state_dict.items() if k not in self._not_saved})
        for scheduler, member in zip(self._schedulers, members, strict=True):
            scheduler.load_state_dict(member)


class SequentialLR(_Composite):
    """Runs one scheduler after the other, changing at the milestones.

    Args:
        schedulers: the schedulers, all on `optimizer`.
        milestones: the epochs at which the next one takes over, one fewer than schedulers.

    Raises:
        TypeError, ArgumentError: no schedulers, a foreign one, one that needs a metric, or the
            wrong number of milestones.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> warmup = backlit.optim.lr_scheduler.LinearLR(sgd, start_factor=0.5, total_iters=2)
    >>> decay = backlit.optim.lr_scheduler.ExponentialLR(sgd, gamma=0.5)
    >>> schedule = SequentialLR(sgd, [warmup, decay], milestones=[2])
    >>> for _ in range(4):
    ...     print(round(schedule.get_last_lr()[0], 6)); sgd.step(); schedule.step()
    0.4
    0.6
    0.8
    0.4
    """

    def __init__(
        self,
        optimizer: Schedulable,
        schedulers: Sequence[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self._adopt(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} "
                f"milestones between them, got {len(milestones)}."
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # Every member has put its first rate into the groups when it was made: start over.
        for group in optimizer.param_groups:
            write_rate(group, group["initial_lr"])
        take_back_first_step(self._schedulers)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]  # PyTorch's signature: no epoch to jump to
        """Step the scheduler whose turn it is; at a milestone the next one starts."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Steps several schedulers at once, so that their factors multiply.

    Args:
        schedulers: the schedulers, all on one optimizer.

    Raises:
        TypeError, ArgumentError: no schedulers, a foreign one, or one that needs a metric.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> half = backlit.optim.lr_scheduler.ConstantLR(sgd, factor=0.5, total_iters=2)
    >>> decay = backlit.optim.lr_scheduler.ExponentialLR(sgd, gamma=0.5)
    >>> schedule = ChainedScheduler([half, decay])
    >>> sgd.step(); schedule.step(); schedule.get_last_lr()
    [0.2]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Schedulable | None = None
    ) -> None:
        self._adopt(schedulers, optimizer)
        self._last_lr = current_rates(self.optimizer)

    def step(self) -> None:  # type: ignore[override]  # PyTorch's signature: no epoch to jump to
        """Step every scheduler, in order."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = current_rates(self.optimizer)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Start all members at once, when a SequentialLR hands over to this chain."""
        for scheduler in self._schedulers:
            scheduler._update_lr(epoch)
        self._last_lr = current_rates(self.optimizer)


def take_back_first_step(schedulers: list[LRScheduler]) -> None:
    """Undo the counting of the step every scheduler makes when it is built."""
    for scheduler in schedulers:
        if isinstance(scheduler, _Composite):
            take_back_first_step(scheduler._schedulers)
        else:
            scheduler.last_epoch -= 1
