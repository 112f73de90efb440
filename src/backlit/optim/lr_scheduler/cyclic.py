"""Cyclic rates: CyclicLR and OneCycleLR, which also turn the momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from backlit.errors import ArgumentError
from backlit.optim.lr_scheduler.base import (
    LRScheduler,
    Schedulable,
    check_optimizer,
    is_count,
    is_number,
    per_group,
    write_rate,
)
from backlit.optim.lr_scheduler.factors import attributes_of

Rates = float | Sequence[float]


class _MomentumCycler(LRScheduler):
    """A schedule that cycles the momentum (or Adam's first beta) against the rate."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(self, base: Rates, highest: Rates, last_epoch: int) -> None:
        """Choose momentum or beta1, and note both ends of its range in every group."""
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ArgumentError(
                f"{type(self).__name__}: cycle_momentum=True needs an optimizer with momentum or "
                f"betas, and {type(self.optimizer).__name__} has neither; "
                "pass cycle_momentum=False."
            )
        self.use_beta1 = "betas" in defaults
        groups = self.optimizer.param_groups
        lows = per_group(self, "base_momentum", base, len(groups))
        highs = per_group(self, "max_momentum", highest, len(groups))
        if last_epoch == -1:
            for group, low, high in zip(groups, lows, highs, strict=True):
                self._write_momentum(group, high)
                group["max_momentum"] = high
                group["base_momentum"] = low

    def _write_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_MomentumCycler):
    """The rate runs from `base_lr` up to `max_lr` and back, again and again (Smith 2017).

    Step it after every batch.

    Args:
        step_size_up, step_size_down: steps of the rising and falling half.
        mode: "triangular"; "triangular2" halves the height every cycle; "exp_range" scales it by
            `gamma`^step.
        scale_fn, scale_mode: your own height, a function of the cycle ("cycle") or of the step
            ("iterations"); `mode` is then ignored.
        cycle_momentum: run the momentum from `max_momentum` down to `base_momentum` and back.

    Raises:
        ArgumentError: an unknown mode, lists of the wrong length, or cycling the momentum of an
            optimizer that has none.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.1)
    >>> schedule = CyclicLR(sgd, base_lr=0.2, max_lr=0.6, step_size_up=2, cycle_momentum=False)
    >>> for _ in range(4):
    ...     sgd.step(); schedule.step(); print(round(schedule.get_last_lr()[0], 6))
    0.4
    0.6
    0.4
    0.2
    """

    _not_saved = (*LRScheduler._not_saved, "_scale_fn_custom")

    def __init__(
        self,
        optimizer: Schedulable,
        base_lr: Rates,
        max_lr: Rates,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Rates = 0.8,
        max_momentum: Rates = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ArgumentError(
                "CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', "
                f"got {mode!r}; for another shape pass scale_fn."
            )
        self.optimizer = optimizer
        groups = optimizer.param_groups
        base_lrs = per_group(self, "base_lr", base_lr, len(groups))
        if last_epoch == -1:
            for group, rate in zip(groups, base_lrs, strict=True):
                write_rate(group, rate)
        self.max_lrs = per_group(self, "max_lr", max_lr, len(groups))
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
            self.base_momentums = per_group(self, "base_momentum", base_momentum, len(groups))
            self.max_momentums = per_group(self, "max_momentum", max_momentum, len(groups))
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of cycle `x` (or at step `x`, see `scale_mode`), 1 being full height."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return float(0.5 ** (x - 1) if self.mode == "triangular2" else self.gamma**x)

    def _next_lrs(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle  # position in the cycle, 0 … 1
        rising = x <= self.step_ratio
        height = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ranges = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, ranges, strict=True):
                self._write_momentum(group, high - (high - low) * height)
        return [
            low + (high - low) * height
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """The state; a `scale_fn` is saved only if it is an object, by its attributes."""
        custom = self._scale_fn_custom
        saved = None if custom is None else attributes_of(custom)
        return {**super().state_dict(), "_scale_fn_custom": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        custom = self._scale_fn_custom
        super().load_state_dict(state_dict)
        self._scale_fn_custom = custom
        if custom is not None and state_dict["_scale_fn_custom"] is not None:
            vars(custom).update(state_dict["_scale_fn_custom"])


class OneCycleLR(_MomentumCycler):
    """One rise to `max_lr` and one long fall far below the start (Smith and Topin 2018).

    Step it after every batch, `total_steps` times in all.

    Args:
        total_steps: the length, or give `epochs` and `steps_per_epoch`.
        pct_start: share of the steps spent rising.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: run the momentum from `max_momentum` down to `base_momentum` and back.
        div_factor: the first rate is `max_lr / div_factor`.
        final_div_factor: the last rate is the first one divided by this.
        three_phase: fall back to the first rate as fast as it rose, and then to the last.

    Raises:
        ArgumentError: a length or share that makes no sense, or more steps than `total_steps`.

    >>> sgd = backlit.optim.SGD([backlit.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    >>> schedule = OneCycleLR(sgd, max_lr=0.5, total_steps=10, anneal_strategy="linear")
    >>> for _ in range(2):
    ...     sgd.step(); schedule.step(); print(round(schedule.get_last_lr()[0], 6))
    0.26
    0.5
    """

    def __init__(
        self,
        optimizer: Schedulable,
        max_lr: Rates,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: Rates = 0.85,
        max_momentum: Rates = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        self.optimizer = optimizer
        self.total_steps = count_steps(total_steps, epochs, steps_per_epoch)
        if not is_number(pct_start) or not 0 <= pct_start <= 1:
            raise ArgumentError(
                f"OneCycleLR: pct_start must be a number between 0 and 1, got {pct_start!r}."
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}."
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = phases(self.total_steps, pct_start, three_phase)
        highest = per_group(self, "max_lr", max_lr, len(optimizer.param_groups))
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _next_lrs(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: step {self.last_epoch} is past total_steps={self.total_steps}; "
                "make the schedule as long as the training, or stop stepping it."
            )
        phase, share = self._locate()
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                start, end = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._write_momentum(group, self._anneal(start, end, share))
        return rates

    def _locate(self) -> tuple[dict[str, Any], float]:
        """The phase the present step lies in, and how much of that phase is done."""
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        return phase, (self.last_epoch - start) / (phase["end_step"] - start)

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2.0 * (1 + math.cos(math.pi * share))


def count_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The length of a one-cycle schedule."""
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ArgumentError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch.")
    named = {"total_steps": total_steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    used = ["total_steps"] if total_steps is not None else ["epochs", "steps_per_epoch"]
    length = 1
    for name in used:
        value = named[name]
        if value is None or not is_count(value):
            raise ArgumentError(f"OneCycleLR: {name} must be a positive integer, got {value!r}.")
        length *= value
    return length


def phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    """The phases of a one-cycle schedule: where each ends, and between which values it runs.

    The values are named by the keys under which a parameter group holds them.
    """
    rise_end = pct_start * total_steps - 1
    last = total_steps - 1
    points = [("initial_lr", "max_momentum"), ("max_lr", "base_momentum")]
    if three_phase:
        ends = [rise_end, 2 * pct_start * total_steps - 2, last]
        points += [("initial_lr", "max_momentum"), ("min_lr", "max_momentum")]
    else:
        ends = [rise_end, last]
        points += [("min_lr", "max_momentum")]
    return [
        {
            "end_step": end,
            "start_lr": start[0],
            "end_lr": stop[0],
            "start_momentum": start[1],
            "end_momentum": stop[1],
        }
        for end, start, stop in zip(ends, points[:-1], points[1:], strict=True)
    ]
