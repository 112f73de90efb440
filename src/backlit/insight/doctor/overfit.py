"""`doctor.overfit_check`: a network that cannot learn twenty samples by heart is broken."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.autograd import enable_grad, no_grad
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.data import Table
from backlit.errors import ArgumentError
from backlit.insight.doctor.checkup import check_batch, default_loss
from backlit.insight.doctor.examination import check_loss, first_batch, undone
from backlit.insight.doctor.findings import Finding, worst_first
from backlit.insight.doctor.gradient_rules import rms
from backlit.insight.text import number
from backlit.nn import CrossEntropyLoss, Module
from backlit.optim import Adam, Optimizer
from backlit.train.state import optimizer_state

MOST_SAMPLES = 29
CLOSE_ENOUGH = 0.01  # of the targets' variance, for real-valued targets
LOOK_EVERY = 10  # steps between two looks at accuracy and gradients
USUAL_RATES = (0.01, 0.1, 1e-3, 1.0, 1e-4)  # tried if the one given does not do
CAUSES = ("zero gradient", "symmetric units", "NaN or infinity", "dead ReLUs", "saturated units")


@dataclass(frozen=True)
class Attempt:
    """Training on the few samples, once.

    Attributes:
        score: share of samples that are right; for real-valued targets R², what is explained of
            their variance.
        losses: the loss before each step.
        broke: "exploding" or "vanishing" if gradients did, else "".
        where: the first parameter whose gradients did.
    """

    score: float
    losses: tuple[float, ...]
    broke: str
    where: str


@dataclass(frozen=True)
class OverfitCheck:
    """What came of learning a few samples by heart.

    Attributes:
        passed: whether all of them are right (real-valued targets: to 1 % of their variance).
        score: share of right samples, or R².
        steps: optimizer steps made.
        samples: how many samples there were.
        losses: the loss before each step.
        diagnosis: why it failed, the likeliest cause first; empty if it passed.
    """

    passed: bool
    score: float
    steps: int
    samples: int
    losses: tuple[float, ...]
    diagnosis: tuple[Finding, ...]

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        path = f"{number(self.losses[0])} → {number(self.losses[-1])}"
        share = f"{self.score:.0%} of {self.samples} samples"
        lines = [f"Overfit check {verdict}: {share} after {self.steps} steps, loss {path}"]
        told: set[str] = set()
        for i, finding in enumerate(self.diagnosis, 1):
            again = finding.why in told
            lines += ["", f"{i}. {finding.told(finding.where, again)}"]
            told.add(finding.why)
        return "\n".join(lines)

    __repr__ = __str__


def overfit_check(
    model: Module,
    data: Any,
    loss: Any = None,
    optimizer: Optimizer | None = None,
    *,
    samples: int = 20,
    steps: int = 1000,
) -> OverfitCheck:
    """Learn fewer than 30 samples by heart; if that fails, find out why.

    Any network that is set up correctly reaches 100 % accuracy on so few training samples. If it
    does not: NaN or infinite gradients mean that it explodes; zeros, that gradients vanish; else
    other learning rates and fresh initial weights are tried, and contradictory samples looked for.
    Everything is undone afterwards: weights, optimizer, gradients, random state.

    Args:
        data: (x, y), a Table, a Dataset, a DataLoader or batches; the first `samples` are used.
        loss: a function of (output, target); by default cross-entropy for whole numbers as
            targets, squared error for others.
        optimizer: of this model's parameters; by default Adam with lr = 0.01.
        samples: how many, at most 29.
        steps: most optimizer steps, all samples in each.

    Returns:
        whether it passed, and if not the diagnosis.

    Raises:
        ArgumentError: the number of samples is not between 1 and 29, or there are no parameters.

    Source: the sanity check of A. Karpathy, "A recipe for training neural networks" (2019).

    >>> from backlit import nn
    >>> from backlit.insight import doctor
    >>> _ = backlit.manual_seed(0)
    >>> doctor.overfit_check(nn.MLP([4, 16, 3]), backlit.data.iris()).passed
    True
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise ArgumentError(
            f"overfit_check: samples must be between 1 and {MOST_SAMPLES}, got {samples}; the "
            "point is to learn few by heart."
        )
    learnt = [p for p in model.parameters() if p.requires_grad]
    if not learnt:
        raise ArgumentError(
            f"overfit_check: {type(model).__name__} has no parameter that requires a gradient."
        )
    inputs, target = few(data, samples)
    loss_of = loss or default_loss(target)
    own = Adam(learnt, lr=0.01) if optimizer is None else optimizer
    trial = Trial(model, inputs, target, loss_of, own, steps)
    attempt = trial.run()
    passed = trial.good_enough(attempt)
    return OverfitCheck(
        passed,
        attempt.score,
        len(attempt.losses),
        len(target),
        attempt.losses,
        () if passed else diagnose(trial, attempt),
    )


def few(data: Any, samples: int) -> tuple[list[Any], Any]:
    """The first samples, of as many classes as there are: sorted tables would give one class."""
    if isinstance(data, Table):
        data = (data.x, data.y)
    if isinstance(data, tuple | list) and len(data) == 2 and hasattr(data[1], "shape"):
        x, y = (np.asarray(realize(a)) if hasattr(a, "_var") else np.asarray(a) for a in data)
        chosen = np.linspace(0, len(y) - 1, min(samples, len(y))).round().astype(int)
        return [from_array(np.ascontiguousarray(x[chosen]))], from_array(y[chosen])
    inputs, target = first_batch(data, samples)
    return [x[:samples] for x in inputs], target[:samples]


@dataclass
class Trial:
    """A set-up that can be tried again and again from the same start."""

    model: Module
    inputs: list[Any]
    target: Any
    loss_of: Any
    optimizer: Optimizer
    steps: int

    def run(
        self, rate: float | None = None, prepare: Callable[[Module], object] | None = None
    ) -> Attempt:
        """Train after `prepare`, perhaps with another learning rate; then undo it."""
        state = optimizer_state(self.optimizer)
        with undone(self.model), enable_grad():
            if prepare is not None:
                prepare(self.model)
            for group in self.optimizer.param_groups:
                group["lr"] = group["lr"] if rate is None else rate
            try:
                return self._train()
            finally:
                self.optimizer.load_state_dict(state)

    def _train(self) -> Attempt:
        losses: list[float] = []
        score, broke, where = 0.0, "", ""
        self.model.train()
        first = self.loss()
        check_loss(first)
        if not first.requires_grad:
            return Attempt(self.score(), (float(realize(first)),), "vanishing", "")
        for step in range(self.steps):
            losses.append(float(realize(self.optimizer.step(self.closure))))
            is_last = step == self.steps - 1
            if step % LOOK_EVERY == 0 or is_last or not math.isfinite(losses[-1]):
                broke, where = self.gradients()
                if broke == "exploding" or not math.isfinite(losses[-1]):
                    return Attempt(0.0, tuple(losses), "exploding", where)
                score = self.score()
                if self.is_good(score):
                    broke, where = "", ""
                    break
        return Attempt(score, tuple(losses), broke, where)

    def loss(self) -> Any:
        """The loss of all samples."""
        return self.loss_of(self.model(*self.inputs), self.target)

    def closure(self) -> Any:
        """The loss, with its gradients: what optimizers call."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def gradients(self) -> tuple[str, str]:
        """Whether a gradient is NaN or infinite, or all zero; and whose."""
        zero = ""
        for name, p in self.model.named_parameters():
            if p.grad is None:
                continue
            size = rms(np.asarray(realize(p.grad)))
            if not math.isfinite(size):
                return "exploding", name
            if size == 0 and p.ndim >= 2 and not zero:
                zero = name
        return ("vanishing", zero) if zero else ("", "")

    @property
    def classifies(self) -> bool:
        """Whether targets are class numbers, or yes-or-no answers under a loss for them."""
        kind = type(self.loss_of).__name__
        return not self.target.dtype.is_floating_point or "BCE" in kind

    def score(self) -> float:
        """The share of right answers, or R²."""
        with no_grad():
            found = np.asarray(realize(self.model(*self.inputs)))
        true = np.asarray(realize(self.target))
        if not np.isfinite(found).all():
            return 0.0
        if not self.classifies:
            error = float(((found - true.reshape(found.shape)) ** 2).mean())
            return 1 - error / max(float(true.var()), 1e-12)
        if found.shape == true.shape or found.shape[-1] == 1:
            threshold = 0.5 if type(self.loss_of).__name__ == "BCELoss" else 0.0
            answers = found.reshape(true.shape) > threshold
            return float((answers == (true > 0.5)).mean())
        return float((found.argmax(axis=1) == true).mean())

    def is_good(self, score: float) -> bool:
        """Whether everything is right."""
        return score >= (1.0 if self.classifies else 1 - CLOSE_ENOUGH)

    def good_enough(self, attempt: Attempt) -> bool:
        """Whether the attempt ended with everything right."""
        return self.is_good(attempt.score)


def diagnose(trial: Trial, attempt: Attempt) -> tuple[Finding, ...]:
    """Why the samples could not be learned: gradients, then learning rate, then initial weights."""
    contradicted = contradictions(trial)
    found = [*contradicted]
    if attempt.broke:
        found.append((exploding if attempt.broke == "exploding" else vanishing)(attempt))
    report = check_batch(trial.model, trial.inputs, trial.target, trial.loss_of)
    told = {f.rule for f in found}
    found += [f for f in report if f.severity == 3 or f.rule in CAUSES if f.rule not in told]
    if not contradicted and "zero gradient" not in report.rules:
        found += other_rates(trial)
        if trial.good_enough(trial.run(prepare=fresh)):
            found.append(other_start())
    return worst_first(found) or (too_small(trial, attempt),)


def other_rates(trial: Trial) -> list[Finding]:
    """A usual learning rate that does it, if there is one."""
    present = float(trial.optimizer.param_groups[0]["lr"])
    for rate in USUAL_RATES:
        if not 0.5 < rate / present < 2 and trial.good_enough(trial.run(rate)):
            return [other_rate(trial, present, rate)]
    return []


def fresh(model: Module) -> None:
    """New initial weights, as each layer draws them."""
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()


def contradictions(trial: Trial) -> list[Finding]:
    """Equal inputs with different targets: nobody could learn them."""
    rows: dict[bytes, int] = {}
    target = np.asarray(realize(trial.target))
    x = [np.asarray(realize(part)) for part in trial.inputs]
    pairs = []
    for i in range(len(target)):
        key = b"".join(part[i].tobytes() for part in x)
        first = rows.setdefault(key, i)
        if (target[first] != target[i]).any():
            pairs.append((first, i))
    if not pairs:
        return []
    return [
        Finding(
            "contradictory data", 3,
            f"samples {pairs[0][0]} and {pairs[0][1]} have the same input and different targets "
            f"({len(pairs)} such pairs).", "data",
            "No function gives two answers to one question, so 100 % is out of reach.",
            "Look at how inputs and targets were paired: a shuffle of one of them alone does this.",
        )
    ]  # fmt: skip


def exploding(attempt: Attempt) -> Finding:
    """NaN or infinity turned up."""
    return Finding(
        "exploding gradient", 3,
        f"NaN or infinite values in step {len(attempt.losses)}; the loss went "
        f"{number(attempt.losses[0])} → {number(attempt.losses[-1])}.",
        attempt.where or "loss",
        "Steps are larger than the valley is wide: each makes the next one larger, until numbers "
        "overflow.",
        "Lower the learning rate, standardise the data, clip the gradients (clip_grad=1.0).",
    )  # fmt: skip


def vanishing(attempt: Attempt) -> Finding:
    """Gradients are zero."""
    return Finding(
        "vanishing gradient", 3,
        "the gradient is exactly 0" + ("." if attempt.where else ": none flows from the loss."),
        attempt.where or "the model's own code",
        "A weight whose gradient is 0 never changes: units are dead or saturated, a step function "
        "is in the way, or the weights above are 0.",
        "See the other findings; use ReLU or LeakyReLU, Kaiming's initial weights, standardised "
        "data.",
    )  # fmt: skip


def other_rate(trial: Trial, present: float, rate: float) -> Finding:
    """The same network learns the samples with another learning rate."""
    return Finding(
        "learning rate", 2,
        f"lr = {number(present)} is too {'small' if rate > present else 'large'}: with lr = "
        f"{number(rate)} the same network from the same start learns all {len(trial.target)} "
        "samples.", "optimizer",
        "Too small a rate does not arrive in time; too large a one oscillates across the valley.",
        f"Use lr = {number(rate)}, or find one with train.lr_range_test.",
    )  # fmt: skip


def other_start() -> Finding:
    """The same network learns the samples from fresh weights."""
    return Finding(
        "initial weights", 2,
        "with fresh weights, as each layer draws them, the same network learns all samples.",
        "the weights",
        "Zeros and constants keep units equal; large weights saturate them; weights from an "
        "earlier training may sit in a bad place.",
        "Call reset_parameters() of the layers, or use nn.init.xavier_normal_ (tanh, sigmoid) and "
        "nn.init.kaiming_normal_ (ReLU).",
    )  # fmt: skip


def too_small(trial: Trial, attempt: Attempt) -> Finding:
    """Nothing helps: too few units, too little time, or a loss that does not fit."""
    n = sum(p.numel() for p in trial.model.parameters())
    loss = "CrossEntropyLoss" if isinstance(trial.loss_of, CrossEntropyLoss) else "the loss"
    return Finding(
        "capacity", 2,
        f"{n} parameters reached {attempt.score:.0%} in {len(attempt.losses)} steps; other "
        "learning rates and fresh weights did no better.", "the model",
        "A network with enough units can fit any finite number of different samples.",
        f"Use more hidden units, or more steps; check that {loss} fits the output (scores, not "
        "probabilities) and that targets are what you think they are.",
    )  # fmt: skip


__all__ = ["Attempt", "OverfitCheck", "overfit_check"]
