"""Every scheduler writes the rates and momenta that PyTorch's writes, also after a resume.

The optimizers are PyTorch's own: schedulers need nothing but their parameter groups.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from backlit.optim import lr_scheduler as ours

torch = pytest.importorskip("torch")
theirs = torch.optim.lr_scheduler
# PyTorch warns of the wrong order where a sequence holds a sequence, whatever the order.
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")

Make = Callable[[ModuleType, Any], Any]


def plain(name: str, **options: Any) -> Make:
    """A maker of the scheduler `name`."""
    return lambda module, optimizer: getattr(module, name)(optimizer, **options)


def sequential(module: ModuleType, optimizer: Any) -> Any:
    """Warm-up, then decay, then restarts."""
    parts = [
        module.LinearLR(optimizer, 0.1, total_iters=5),
        module.ExponentialLR(optimizer, 0.9),
        module.CosineAnnealingWarmRestarts(optimizer, T_0=4),
    ]
    return module.SequentialLR(optimizer, parts, [5, 17])


def nested(module: ModuleType, optimizer: Any) -> Any:
    """A sequence whose first member is a sequence."""
    inner = module.SequentialLR(
        optimizer,
        [module.ConstantLR(optimizer, 0.5, 3), module.StepLR(optimizer, 4, 0.7)],
        [6],
    )
    return module.SequentialLR(optimizer, [inner, module.PolynomialLR(optimizer, 20)], [15])


def chained(module: ModuleType, optimizer: Any) -> Any:
    """A warm-up multiplied with a decay."""
    parts = [module.ConstantLR(optimizer, 0.1, 4), module.ExponentialLR(optimizer, 0.9)]
    return module.ChainedScheduler(parts, optimizer=optimizer)


def chain_first(module: ModuleType, optimizer: Any) -> Any:
    """A sequence that begins with a chain."""
    chain = chained(module, optimizer)
    return module.SequentialLR(optimizer, [chain, module.StepLR(optimizer, 3)], [9])


def tent(step: float) -> float:
    """A height for CyclicLR."""
    return 1 / (1 + step)


CASES: dict[str, Make] = {
    "step": plain("StepLR", step_size=7, gamma=0.3),
    "milestones": plain("MultiStepLR", milestones=[5, 11, 11, 30], gamma=0.2),
    "constant": plain("ConstantLR", factor=0.25, total_iters=6),
    "constant to the end": plain("ConstantLR", total_iters=100),
    "linear": plain("LinearLR", start_factor=0.1, total_iters=12),
    "linear down": plain("LinearLR", start_factor=1.0, end_factor=0.0, total_iters=9),
    "exponential": plain("ExponentialLR", gamma=0.93),
    "cosine": plain("CosineAnnealingLR", T_max=13, eta_min=0.001),
    "cosine of one epoch": plain("CosineAnnealingLR", T_max=1),
    "polynomial": plain("PolynomialLR", total_iters=20, power=2.0),
    "restarts": plain("CosineAnnealingWarmRestarts", T_0=6, T_mult=2, eta_min=0.01),
    "equal restarts": plain("CosineAnnealingWarmRestarts", T_0=7),
    "cyclic": plain("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=5),
    "cyclic halving": plain(
        "CyclicLR", base_lr=0.01, max_lr=[0.3, 0.5], step_size_up=5, mode="triangular2"
    ),
    "cyclic shrinking": plain(
        "CyclicLR",
        base_lr=[0.01, 0.02],
        max_lr=0.3,
        step_size_up=5,
        step_size_down=9,
        mode="exp_range",
        gamma=0.97,
    ),
    "cyclic by hand": plain(
        "CyclicLR",
        base_lr=0.01,
        max_lr=0.3,
        step_size_up=5,
        scale_fn=tent,
        scale_mode="iterations",
    ),
    "cyclic, steady momentum": plain(
        "CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=4, cycle_momentum=False
    ),
    "one cycle": plain("OneCycleLR", max_lr=0.5, total_steps=60),
    "one cycle by epochs": plain(
        "OneCycleLR", max_lr=[0.5, 0.1], epochs=5, steps_per_epoch=11, pct_start=0.4
    ),
    "one cycle, three phases": plain(
        "OneCycleLR", max_lr=0.5, total_steps=60, anneal_strategy="linear", three_phase=True
    ),
    "one cycle, steady momentum": plain(
        "OneCycleLR", max_lr=0.5, total_steps=51, cycle_momentum=False
    ),
    "lambda": plain("LambdaLR", lr_lambda=lambda epoch: 0.95**epoch),
    "lambdas": plain(
        "LambdaLR", lr_lambda=[lambda epoch: 0.95**epoch, lambda epoch: 1 / (1 + epoch)]
    ),
    "multiplicative": plain("MultiplicativeLR", lr_lambda=lambda epoch: 0.97),
    "sequential": sequential,
    "nested": nested,
    "chained": chained,
    "chain first": chain_first,
}


def optimizer_of(kind: str) -> Any:
    """A PyTorch optimizer with two groups of different rates."""
    weights = [torch.ones(3, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.full((3,), 0.01)
    groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.4}]
    if kind == "Adam":
        return torch.optim.Adam(groups, lr=0.2)
    return torch.optim.SGD(groups, lr=0.2, momentum=0.9)


def trajectory(
    module: ModuleType, make: Make, kind: str, resume_at: int = -1
) -> Iterator[list[float]]:
    """Rates and momenta before each of 50 steps; at `resume_at` everything is rebuilt."""
    optimizer = optimizer_of(kind)
    schedule = make(module, optimizer)
    for step in range(50):
        if step == resume_at:
            saved = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
            optimizer = optimizer_of(kind)
            schedule = make(module, optimizer)
            optimizer.load_state_dict(saved[0])
            schedule.load_state_dict(saved[1])
        groups = optimizer.param_groups
        momenta = [group["betas"][0] if "betas" in group else group["momentum"] for group in groups]
        yield [group["lr"] for group in groups] + momenta + schedule.get_last_lr()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("case", CASES)
def test_rates_equal_pytorch(case: str, kind: str) -> None:
    """Over 50 steps every rate and momentum is PyTorch's to 1e-12."""
    want = list(trajectory(theirs, CASES[case], kind))
    got = list(trajectory(ours, CASES[case], kind))
    for step, (row, expected) in enumerate(zip(got, want, strict=True)):
        assert row == pytest.approx(expected, abs=1e-12), f"step {step}"


@pytest.mark.parametrize("resume_at", [1, 20])
@pytest.mark.parametrize("case", CASES)
def test_rates_equal_pytorch_after_resume(case: str, resume_at: int) -> None:
    """A scheduler rebuilt from its state goes on as if nothing had happened."""
    straight = list(trajectory(ours, CASES[case], "SGD"))
    resumed = list(trajectory(ours, CASES[case], "SGD", resume_at))
    assert resumed == straight
    want = list(trajectory(theirs, CASES[case], "SGD", resume_at))
    for row, expected in zip(resumed, want, strict=True):
        assert row == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_pytorch_state_loads(case: str) -> None:
    """A state saved by PyTorch's scheduler continues in ours."""
    optimizer = optimizer_of("SGD")
    schedule = CASES[case](theirs, optimizer)
    for _ in range(20):
        optimizer.step()
        schedule.step()
    other = optimizer_of("SGD")
    continued = CASES[case](ours, other)
    other.load_state_dict(optimizer.state_dict())
    continued.load_state_dict(copy.deepcopy(schedule.state_dict()))
    for _ in range(20):
        for pair in ((optimizer, schedule), (other, continued)):
            pair[0].step()
            pair[1].step()
        assert continued.get_last_lr() == pytest.approx(schedule.get_last_lr(), abs=1e-12)


@pytest.mark.parametrize("epochs", [[3, 7, 2, 30], [0, 1]])
@pytest.mark.parametrize("case", CASES)
def test_jumps_equal_pytorch(case: str, epochs: list[int]) -> None:
    """`step(epoch)` goes to the closed form where PyTorch does."""
    if case in ("sequential", "nested", "chained", "chain first"):
        pytest.skip("composites take no epoch")
    pair = [(module, optimizer_of("SGD")) for module in (ours, theirs)]
    schedules = [CASES[case](module, optimizer) for module, optimizer in pair]
    for epoch in epochs:
        rates = []
        for (_, optimizer), schedule in zip(pair, schedules, strict=True):
            optimizer.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                schedule.step(epoch)
            rates.append(schedule.get_last_lr())
        assert rates[0] == pytest.approx(rates[1], abs=1e-12)


@pytest.mark.parametrize("fraction", [0.5, 5.9, 6.0, 17.25, 18.0, 40.5])
def test_fractions_of_an_epoch_equal_pytorch(fraction: float) -> None:
    """Warm restarts may be stepped to a fraction of an epoch, and go on from there."""
    rates = []
    for module in (ours, theirs):
        optimizer = optimizer_of("SGD")
        schedule = module.CosineAnnealingWarmRestarts(optimizer, T_0=6, T_mult=2)
        optimizer.step()
        schedule.step(fraction)
        seen = [schedule.get_last_lr()]
        for _ in range(9):
            schedule.step()
            seen.append(schedule.get_last_lr())
        rates.append(seen)
    for got, want in zip(*rates, strict=True):
        assert got == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 3, "factor": 0.4, "cooldown": 2},
        {"patience": 0, "factor": 0.5, "mode": "max"},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "mode": "max"},
        {"patience": 2, "min_lr": [0.05, 0.3], "factor": 0.5},
        {"patience": 0, "factor": 0.1, "eps": 0.01},
    ],
)
def test_plateau_equals_pytorch(options: dict[str, Any]) -> None:
    """Reductions happen at PyTorch's epochs and by PyTorch's amounts, also after a resume."""
    runs = []
    for module in (ours, theirs):
        optimizer = optimizer_of("SGD")
        schedule = module.ReduceLROnPlateau(optimizer, **options)
        seen = []
        for step in range(50):
            if step == 20:
                saved = copy.deepcopy(schedule.state_dict())
                schedule = module.ReduceLROnPlateau(optimizer, **options)
                schedule.load_state_dict(saved)
            schedule.step(1.0 / (1 + min(step, 6)) + (step % 3) * 0.01)
            seen.append(schedule.get_last_lr() + [schedule.num_bad_epochs])
        runs.append(seen)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("case", ["step", "cosine", "linear", "exponential", "polynomial"])
def test_resuming_by_last_epoch_equals_pytorch(case: str) -> None:
    """`last_epoch` ≥ 0 continues from the groups of a loaded optimizer, without a state dict."""
    arguments: dict[str, dict[str, Any]] = {
        "step": {"step_size": 4, "gamma": 0.5},
        "cosine": {"T_max": 10},
        "linear": {"start_factor": 0.1, "total_iters": 9},
        "exponential": {"gamma": 0.9},
        "polynomial": {"total_iters": 20},
    }
    names = {
        "step": "StepLR",
        "cosine": "CosineAnnealingLR",
        "linear": "LinearLR",
        "exponential": "ExponentialLR",
        "polynomial": "PolynomialLR",
    }
    rates = []
    for module in (ours, theirs):
        optimizer = optimizer_of("SGD")
        for group in optimizer.param_groups:
            group["initial_lr"] = 0.8
        schedule = getattr(module, names[case])(optimizer, **arguments[case], last_epoch=6)
        for _ in range(8):
            optimizer.step()
            schedule.step()
        rates.append(schedule.get_last_lr())
    assert rates[0] == pytest.approx(rates[1], abs=1e-12)


@pytest.mark.parametrize("case", ["step", "cyclic", "one cycle", "sequential", "restarts"])
def test_rate_in_a_tensor_is_written_in_place(case: str) -> None:
    """A rate kept in a tensor stays the same tensor and takes PyTorch's values."""
    rates = []
    for module in (ours, theirs):
        weight = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=torch.tensor(0.2), momentum=0.9)
        holder = optimizer.param_groups[0]["lr"]
        options = CASES[case](module, optimizer)
        for _ in range(12):
            optimizer.step()
            options.step()
        assert optimizer.param_groups[0]["lr"] is holder
        rates.append(holder.item())
    assert rates[0] == pytest.approx(rates[1], rel=1e-5)
