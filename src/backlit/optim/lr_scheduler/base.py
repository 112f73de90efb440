"""What every learning-rate scheduler shares: counting epochs and writing `lr` into the groups.

A scheduler holds no tensors. It reads and writes `optimizer.param_groups`, a list of dicts with a
key "lr", so anything with such a list can be scheduled.

Most schedules exist in two forms. The *chainable* form computes the next rate from the current
one, so several schedulers can act on one optimizer and their factors multiply. The *closed* form
computes it from the base rate and the epoch; it serves `step(epoch)` and restarts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from backlit.errors import ArgumentError


class Schedulable(Protocol):
    """What a scheduler needs of an optimizer."""

    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]


ORDER_WARNING = (
    "scheduler.step() was called before the first optimizer.step(): the first learning rate of "
    "the schedule is skipped; call optimizer.step() first."
)
EPOCH_WARNING = (
    "scheduler.step(epoch) is deprecated: it replaces the rate by the closed form, which undoes "
    "other schedulers on this optimizer; call scheduler.step() without an argument."
)
GET_LR_WARNING = (
    "get_lr() computes the next learning rate and is called by step(); "
    "to read the current one, use get_last_lr()."
)


class LRScheduler:
    """Base of all schedulers; subclasses say the next rates in `get_lr`.

    Args:
        optimizer: the optimizer whose `param_groups` are scheduled.
        last_epoch: index of the last epoch done; -1 starts afresh and records every group's
            present rate as its `initial_lr`.

    Raises:
        TypeError: `optimizer` has no parameter groups.
        KeyError: `last_epoch` ≥ 0 and a group has no `initial_lr`.

    >>> class Halving(LRScheduler):
    ...     def get_lr(self):
    ...         return [base * 0.5**self.last_epoch for base in self.base_lrs]
    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.8)
    >>> schedule = Halving(sgd)
    >>> sgd.step(); schedule.step(); schedule.get_last_lr()
    [0.4]
    """

    # Everything else in `__dict__` is state; see `state_dict`.
    _not_saved: tuple[str, ...] = ("optimizer", "_get_lr_called_within_step", "_is_initial")
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Schedulable, last_epoch: int = -1) -> None:
        check_optimizer(self, optimizer)
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", as_float(group["lr"]))
        else:
            self._check_initial_lrs(last_epoch)
        self.base_lrs = [as_float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _check_initial_lrs(self, last_epoch: int) -> None:
        for index, group in enumerate(self.optimizer.param_groups):
            if "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} resumes a schedule, but "
                    f"param_groups[{index}] has no 'initial_lr'; load the optimizer's state "
                    "before making the scheduler, or leave last_epoch at -1."
                )

    def _initial_step(self) -> None:
        """Put the rates of epoch 0 (or of the resumed epoch) into the groups."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, as plain numbers, strings, lists and dicts."""
        return {key: value for key, value in vars(self).items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            ArgumentError: the state lacks entries, so it is another scheduler's.
        """
        self._check_state(state_dict)
        vars(self).update(state_dict)

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        missing = sorted(self.state_dict().keys() - state_dict.keys())
        if missing:
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: the state lacks {', '.join(missing)}; "
                f"it was not saved by a {type(self).__name__} with the same options."
            )

    def get_last_lr(self) -> list[float]:
        """The rates written by the last `step`, one per parameter group."""
        return self._last_lr

    def get_lr(self) -> Sequence[float]:
        """The rates for `self.last_epoch`, one per parameter group; called by `step`."""
        if not self._get_lr_called_within_step:
            warnings.warn(GET_LR_WARNING, UserWarning, stacklevel=2)
        return self._next_lrs()

    def _next_lrs(self) -> list[float]:
        raise NotImplementedError(
            f"{type(self).__name__}: a scheduler must define get_lr(), "
            "returning one learning rate per parameter group."
        )

    def step(self, epoch: int | None = None) -> None:
        """Move to the next epoch (or to `epoch`, deprecated) and write its rates."""
        # Optimizers that do not tell whether they have stepped leave `_opt_called` undefined.
        if self._step_count == 1 and getattr(self.optimizer, "_opt_called", None) is False:
            warnings.warn(ORDER_WARNING, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Write the rates of the next epoch, or of `epoch` by the closed form if there is one."""
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
                rates = closed_form()
        finally:
            self._get_lr_called_within_step = False
        self._write(rates)

    def _write(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            write_rate(group, rate)
        self._last_lr = current_rates(self.optimizer)

    def _scaled(self, factor: float) -> list[float]:
        """Every group's present rate times `factor`."""
        return [rate * factor for rate in current_rates(self.optimizer)]

    def _from_base(self, factor: float) -> list[float]:
        """Every group's base rate times `factor`."""
        return [base * factor for base in self.base_lrs]


def as_float(value: Any) -> Any:
    """A rate as a Python number; a rate kept in a one-element tensor is read."""
    return value.item() if hasattr(value, "item") else value


def write_rate(group: dict[str, Any], rate: float) -> None:
    """Set a group's rate; a rate kept in a tensor is overwritten in place."""
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def current_rates(optimizer: Schedulable) -> list[float]:
    """Every group's present rate."""
    return [as_float(group["lr"]) for group in optimizer.param_groups]


def per_group(scheduler: object, name: str, value: Any, groups: int) -> list[Any]:
    """`value` repeated for every parameter group, or the list given with one value per group."""
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ArgumentError(
            f"{type(scheduler).__name__}: {name} has {len(value)} values for {groups} parameter "
            "groups; give one value, or one for each group."
        )
    return list(value)


def check_optimizer(scheduler: object, optimizer: Any) -> None:
    """Raise unless `optimizer` has parameter groups to schedule."""
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        raise TypeError(
            f"{type(scheduler).__name__}: {type(optimizer).__name__} is not an Optimizer: "
            "it has no param_groups; pass the optimizer as first argument."
        )


def is_count(value: Any) -> bool:
    """Whether `value` is a positive integer."""
    return isinstance(value, int) and value > 0


def is_number(value: Any) -> bool:
    """Whether `value` is a Python number (a NumPy float64 is one)."""
    return isinstance(value, int | float)
