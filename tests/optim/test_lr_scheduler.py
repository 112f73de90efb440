"""Schedulers by numbers worked out by hand, and every message they can give."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backlit.errors import ArgumentError
from backlit.optim import lr_scheduler as sched


class Optimizer:
    """The least a scheduler needs."""

    def __init__(self, *rates: float, **defaults: Any) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = [{"lr": rate, **defaults} for rate in rates]


class CheckedOptimizer(Optimizer):
    """An optimizer that tells whether it has stepped."""

    _opt_called = False

    def step(self) -> None:
        self._opt_called = True


def rates(schedule: Any, steps: int) -> list[float]:
    """The first group's rate before each of `steps` steps."""
    seen = []
    for _ in range(steps):
        seen.append(round(schedule.get_last_lr()[0], 9))
        schedule.step()
    return seen


NUMBERS: list[tuple[Callable[[Any], Any], list[float]]] = [
    (lambda o: sched.StepLR(o, 2, 0.5), [0.8, 0.8, 0.4, 0.4, 0.2]),
    (lambda o: sched.MultiStepLR(o, [1, 3, 3], 0.5), [0.8, 0.4, 0.4, 0.1, 0.1]),
    (lambda o: sched.ConstantLR(o, 0.5, 2), [0.4, 0.4, 0.8, 0.8]),
    (lambda o: sched.ConstantLR(o, 0.0, 2), [0.0, 0.0, 0.8, 0.8]),
    (lambda o: sched.LinearLR(o, 0.25, 1.0, 3), [0.2, 0.4, 0.6, 0.8, 0.8]),
    (lambda o: sched.ExponentialLR(o, 0.5), [0.8, 0.4, 0.2, 0.1]),
    (lambda o: sched.PolynomialLR(o, 4, 1.0), [0.8, 0.6, 0.4, 0.2, 0.0, 0.0]),
    (lambda o: sched.PolynomialLR(o, 2, 2.0), [0.8, 0.2, 0.0]),
    (lambda o: sched.CosineAnnealingLR(o, 2), [0.8, 0.4, 0.0, 0.4, 0.8, 0.4]),
    (lambda o: sched.CosineAnnealingWarmRestarts(o, 2, 2), [0.8, 0.4, 0.8, 0.682842712, 0.4]),
    (lambda o: sched.LambdaLR(o, lambda t: 1 / (1 + t)), [0.8, 0.4, 0.266666667, 0.2]),
    (lambda o: sched.MultiplicativeLR(o, lambda _: 0.5), [0.8, 0.4, 0.2]),
    (
        lambda o: sched.CyclicLR(o, 0.2, 0.6, 2, cycle_momentum=False, mode="triangular2"),
        [0.2, 0.4, 0.6, 0.4, 0.2, 0.3, 0.4, 0.3, 0.2],
    ),
    (
        lambda o: sched.OneCycleLR(
            o,
            1.0,
            10,
            pct_start=0.3,
            anneal_strategy="linear",
            div_factor=5.0,
            final_div_factor=2.0,
            cycle_momentum=False,
        ),
        [0.2, 0.6, 1.0, 0.871428571],
    ),
    (
        lambda o: sched.SequentialLR(
            o, [sched.LinearLR(o, 0.5, 1.0, 2), sched.ExponentialLR(o, 0.5)], [2]
        ),
        [0.4, 0.6, 0.8, 0.4, 0.2],
    ),
    (
        lambda o: sched.ChainedScheduler(
            [sched.ConstantLR(o, 0.5, 2), sched.ExponentialLR(o, 0.5)]
        ),
        [0.4, 0.2, 0.2, 0.1],
    ),
    (
        lambda o: sched.SequentialLR(
            o,
            [
                sched.StepLR(o, 1, 0.5),
                sched.ChainedScheduler([sched.ExponentialLR(o, 0.5), sched.ConstantLR(o, 1.0, 2)]),
            ],
            [2],
        ),
        [0.8, 0.4, 0.8, 0.4, 0.2],
    ),
]


@pytest.mark.parametrize("make, expected", NUMBERS)
def test_rates_are_those_worked_out_by_hand(
    make: Callable[[Any], Any], expected: list[float]
) -> None:
    """From a base rate of 0.8 every schedule takes the values of its formula."""
    assert rates(make(Optimizer(0.8)), len(expected)) == expected


@pytest.mark.parametrize("make, expected", NUMBERS)
def test_state_survives_json(make: Callable[[Any], Any], expected: list[float]) -> None:
    """A state is plain data: through JSON and into a new scheduler, it continues the same."""
    optimizer = Optimizer(0.8)
    schedule = make(optimizer)
    rates(schedule, 2)
    groups = json.loads(json.dumps(optimizer.param_groups))
    saved = json.loads(json.dumps(schedule.state_dict()))
    resumed_optimizer = Optimizer(0.8)
    resumed = make(resumed_optimizer)
    resumed_optimizer.param_groups = groups
    resumed.load_state_dict(saved)
    assert rates(resumed, len(expected) - 2) == expected[2:]


def test_groups_keep_their_own_rates() -> None:
    """Every group is scaled from its own base rate."""
    optimizer = Optimizer(0.8, 0.4)
    schedule = sched.ExponentialLR(optimizer, 0.5)
    schedule.step()
    assert schedule.get_last_lr() == [0.4, 0.2]
    assert schedule.base_lrs == [0.8, 0.4]
    assert schedule.last_epoch == 1


def test_cyclic_momentum_runs_against_the_rate() -> None:
    """Momentum is lowest where the rate is highest."""
    optimizer = Optimizer(0.1, momentum=0.5)
    schedule = sched.CyclicLR(optimizer, 0.2, 0.6, 2, base_momentum=0.8, max_momentum=0.9)
    momenta = []
    for _ in range(5):
        momenta.append(round(optimizer.param_groups[0]["momentum"], 9))
        schedule.step()
    assert momenta == [0.9, 0.85, 0.8, 0.85, 0.9]


def test_one_cycle_turns_the_first_beta_of_adam() -> None:
    """With Adam the first beta is cycled and the second left alone."""
    optimizer = Optimizer(0.1, betas=(0.9, 0.999))
    schedule = sched.OneCycleLR(optimizer, 1.0, 10)
    for _ in range(2):
        schedule.step()
    assert optimizer.param_groups[0]["betas"] == (pytest.approx(0.85), 0.999)


def test_plateau_waits_reduces_and_cools_down() -> None:
    """The rate falls after more than `patience` bad epochs and not again while cooling down."""
    optimizer = Optimizer(0.8)
    schedule = sched.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, min_lr=0.3)
    seen = []
    for loss in [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, float("nan"), 1.0]:
        schedule.step(loss)
        seen.append((schedule.get_last_lr()[0], schedule.in_cooldown))
    assert [rate for rate, _ in seen] == [0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3]
    assert [cooling for _, cooling in seen[:5]] == [False, False, True, True, False]


def test_plateau_serves_groups_added_later() -> None:
    """A single `min_lr` holds for groups that come later; a list must be set anew."""
    optimizer = Optimizer(0.8)
    schedule = sched.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.3)
    listed = sched.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=[0.3])
    optimizer.param_groups.append({"lr": 0.4})
    for _ in range(2):
        schedule.step(1.0)
    assert schedule.get_last_lr() == [0.4, 0.3]
    listed.step(1.0)
    with pytest.raises(ArgumentError) as caught:
        listed.step(1.0)
    assert str(caught.value) == (
        "ReduceLROnPlateau: the optimizer now has 2 parameter groups, but min_lr was given for 1; "
        "set `scheduler.min_lrs` to one value for each group."
    )


class Decay:
    """A callable with state."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, epoch: float) -> float:
        return self.rate**epoch


def test_callable_objects_are_saved_by_their_attributes() -> None:
    """A callable object's attributes are in the state; a function is not."""
    schedule = sched.LambdaLR(Optimizer(1.0, 1.0), [Decay(0.5), lambda _: 1.0])
    state = schedule.state_dict()
    assert state["lr_lambdas"] == [{"rate": 0.5}, None]
    other = sched.LambdaLR(Optimizer(1.0, 1.0), [Decay(0.9), lambda _: 1.0])
    other.load_state_dict(state)
    other.step()
    assert other.get_last_lr() == [0.5, 1.0]
    cyclic = sched.CyclicLR(Optimizer(1.0), 0.0, 1.0, 1, scale_fn=Decay(0.5), cycle_momentum=False)
    changed = sched.CyclicLR(Optimizer(1.0), 0.0, 1.0, 1, scale_fn=Decay(1.0), cycle_momentum=False)
    changed.load_state_dict(cyclic.state_dict())
    changed.step()
    assert changed.get_last_lr() == [0.5]


def test_wrong_order_is_told_once() -> None:
    """Stepping before the optimizer warns, if the optimizer tells; the right order is silent."""
    schedule = sched.ExponentialLR(CheckedOptimizer(0.8), 0.5)
    with pytest.warns(UserWarning, match="step") as caught:
        schedule.step()
    assert str(caught[0].message) == (
        "scheduler.step() was called before the first optimizer.step(): the first learning rate "
        "of the schedule is skipped; call optimizer.step() first."
    )
    schedule.step()
    optimizer = CheckedOptimizer(0.8)
    inner = sched.SequentialLR(
        optimizer, [sched.StepLR(optimizer, 2), sched.StepLR(optimizer, 2)], [3]
    )
    schedule = sched.SequentialLR(optimizer, [inner, sched.StepLR(optimizer, 2)], [5])
    optimizer.step()
    schedule.step()


def test_epoch_and_get_lr_warn() -> None:
    """`step(epoch)` and calling `get_lr` by hand say what to do instead."""
    schedule = sched.StepLR(Optimizer(0.8), 2, 0.5)
    with pytest.warns(UserWarning, match="step") as caught:
        schedule.step(4)
    assert str(caught[0].message) == (
        "scheduler.step(epoch) is deprecated: it replaces the rate by the closed form, which "
        "undoes other schedulers on this optimizer; call scheduler.step() without an argument."
    )
    assert schedule.get_last_lr() == [0.2]
    with pytest.warns(UserWarning, match="step") as caught:
        schedule.get_lr()
    assert str(caught[0].message) == (
        "get_lr() computes the next learning rate and is called by step(); "
        "to read the current one, use get_last_lr()."
    )
    plateau = sched.ReduceLROnPlateau(Optimizer(0.8))
    with pytest.warns(UserWarning, match=r"scheduler.step\(epoch\) is deprecated"):
        plateau.step(1.0, 3)
    assert plateau.last_epoch == 3


def sequence(*schedulers: Any, milestones: list[int]) -> Any:
    """A SequentialLR on the first member's optimizer."""
    return sched.SequentialLR(schedulers[0].optimizer, list(schedulers), milestones)


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: sched.StepLR(3, 2),  # type: ignore[arg-type]
        TypeError,
        (
            "StepLR: int is not an Optimizer: it has no param_groups; "
            "pass the optimizer as first argument."
        ),
    ),
    (
        lambda: sched.StepLR(Optimizer(0.1), 2, last_epoch=4),
        KeyError,
        (
            "StepLR: last_epoch=4 resumes a schedule, but param_groups[0] has no 'initial_lr'; "
            "load the optimizer's state before making the scheduler, or leave last_epoch at -1."
        ),
    ),
    (
        lambda: sched.LRScheduler(Optimizer(0.1)),
        NotImplementedError,
        (
            "LRScheduler: a scheduler must define get_lr(), "
            "returning one learning rate per parameter group."
        ),
    ),
    (
        lambda: sched.LambdaLR(Optimizer(0.1), 0.5),  # type: ignore[arg-type]
        TypeError,
        "LambdaLR: lr_lambda must be a function of the epoch, got float.",
    ),
    (
        lambda: sched.LambdaLR(Optimizer(0.1), [lambda _: 1.0] * 2),
        ArgumentError,
        (
            "LambdaLR: lr_lambda has 2 values for 1 parameter groups; "
            "give one value, or one for each group."
        ),
    ),
    (
        lambda: sched.ConstantLR(Optimizer(0.1), factor=2.0),
        ArgumentError,
        "ConstantLR: factor must lie between 0 and 1, got 2.0.",
    ),
    (
        lambda: sched.LinearLR(Optimizer(0.1), start_factor=0.0),
        ArgumentError,
        "LinearLR: start_factor must be greater than 0 and at most 1, got 0.0.",
    ),
    (
        lambda: sched.LinearLR(Optimizer(0.1), end_factor=1.5),
        ArgumentError,
        "LinearLR: end_factor must lie between 0 and 1, got 1.5.",
    ),
    (
        lambda: sched.CosineAnnealingWarmRestarts(Optimizer(0.1), T_0=2.5),  # type: ignore[arg-type]
        ArgumentError,
        "CosineAnnealingWarmRestarts: T_0 must be a positive integer, got 2.5.",
    ),
    (
        lambda: sched.CosineAnnealingWarmRestarts(Optimizer(0.1), T_0=2, T_mult=0),
        ArgumentError,
        "CosineAnnealingWarmRestarts: T_mult must be an integer of at least 1, got 0.",
    ),
    (
        lambda: sched.CosineAnnealingWarmRestarts(Optimizer(0.1), T_0=2, eta_min="0"),  # type: ignore[arg-type]
        ArgumentError,
        "CosineAnnealingWarmRestarts: eta_min must be a number, got str '0'.",
    ),
    (
        lambda: sched.CosineAnnealingWarmRestarts(Optimizer(0.1), T_0=2).step(-1),
        ArgumentError,
        "CosineAnnealingWarmRestarts: epoch must not be negative, got -1.",
    ),
    (
        lambda: sched.CyclicLR(Optimizer(0.1), 0.1, 0.2, mode="square"),  # type: ignore[arg-type]
        ArgumentError,
        (
            "CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', got 'square'; "
            "for another shape pass scale_fn."
        ),
    ),
    (
        lambda: sched.CyclicLR(Optimizer(0.1), 0.1, 0.2),
        ArgumentError,
        (
            "CyclicLR: cycle_momentum=True needs an optimizer with momentum or betas, "
            "and Optimizer has neither; pass cycle_momentum=False."
        ),
    ),
    (
        lambda: sched.OneCycleLR(Optimizer(0.1), 0.1, epochs=3),
        ArgumentError,
        "OneCycleLR: give total_steps, or both epochs and steps_per_epoch.",
    ),
    (
        lambda: sched.OneCycleLR(Optimizer(0.1), 0.1, total_steps=0),
        ArgumentError,
        "OneCycleLR: total_steps must be a positive integer, got 0.",
    ),
    (
        lambda: sched.OneCycleLR(Optimizer(0.1), 0.1, epochs=3, steps_per_epoch=1.5),  # type: ignore[arg-type]
        ArgumentError,
        "OneCycleLR: steps_per_epoch must be a positive integer, got 1.5.",
    ),
    (
        lambda: sched.OneCycleLR(Optimizer(0.1), 0.1, 10, pct_start=2),
        ArgumentError,
        "OneCycleLR: pct_start must be a number between 0 and 1, got 2.",
    ),
    (
        lambda: sched.OneCycleLR(Optimizer(0.1), 0.1, 10, anneal_strategy="log"),  # type: ignore[arg-type]
        ArgumentError,
        "OneCycleLR: anneal_strategy must be 'cos' or 'linear', got 'log'.",
    ),
    (
        lambda: rates(sched.OneCycleLR(Optimizer(0.1), 0.1, 3, cycle_momentum=False), 4),
        ArgumentError,
        (
            "OneCycleLR: step 4 is past total_steps=3; "
            "make the schedule as long as the training, or stop stepping it."
        ),
    ),
    (
        lambda: sched.ReduceLROnPlateau(Optimizer(0.1), factor=1.0),
        ArgumentError,
        "ReduceLROnPlateau: factor must be below 1 to reduce the rate, got 1.0.",
    ),
    (
        lambda: sched.ReduceLROnPlateau(Optimizer(0.1), mode="low"),  # type: ignore[arg-type]
        ArgumentError,
        "ReduceLROnPlateau: mode must be 'min' or 'max', got 'low'.",
    ),
    (
        lambda: sched.ReduceLROnPlateau(Optimizer(0.1), threshold_mode="x"),  # type: ignore[arg-type]
        ArgumentError,
        "ReduceLROnPlateau: threshold_mode must be 'rel' or 'abs', got 'x'.",
    ),
    (
        lambda: sched.ChainedScheduler([]),
        ArgumentError,
        "ChainedScheduler: expected at least one scheduler, got an empty list.",
    ),
    (
        lambda: sched.ChainedScheduler(["x"]),  # type: ignore[list-item]
        TypeError,
        (
            "ChainedScheduler: schedulers[0] is a str without an `optimizer` attribute, "
            "so not a scheduler."
        ),
    ),
    (
        lambda: sequence(sched.ReduceLROnPlateau(Optimizer(0.1)), milestones=[]),
        ArgumentError,
        (
            "SequentialLR: schedulers[0] is a ReduceLROnPlateau, "
            "which needs a metric at every step; step it on its own."
        ),
    ),
    (
        lambda: sequence(
            sched.StepLR(Optimizer(0.1), 1), sched.StepLR(Optimizer(0.1), 1), milestones=[1]
        ),
        ArgumentError,
        (
            "SequentialLR: schedulers[1], a StepLR, belongs to another optimizer; "
            "all must schedule the same one."
        ),
    ),
    (
        lambda: sequence(sched.StepLR(Optimizer(0.1), 1), milestones=[1]),
        ArgumentError,
        "SequentialLR: 1 schedulers need 0 milestones between them, got 1.",
    ),
    (
        lambda: sched.StepLR(Optimizer(0.1), 1).load_state_dict(
            sched.CosineAnnealingLR(Optimizer(0.1), 3).state_dict()
        ),
        ArgumentError,
        (
            "StepLR.load_state_dict: the state lacks gamma, step_size; "
            "it was not saved by a StepLR with the same options."
        ),
    ),
    (
        lambda: sequence(sched.StepLR(Optimizer(0.1), 1), milestones=[]).load_state_dict(
            {
                "_schedulers": [],
                "_milestones": [],
                "last_epoch": 0,
                "_last_lr": [],
                "_step_count": 0,
            }
        ),
        ArgumentError,
        (
            "SequentialLR.load_state_dict: the state has 0 schedulers, this one has 1; "
            "build it as it was saved."
        ),
    ),
]


@pytest.mark.parametrize("act, kind, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error names the scheduler, what is wrong and what to do."""
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.args[0] == message
