"""`doctor.check`: one look at a network, its data and its loss."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from backlit.autograd import enable_grad
from backlit.core.era import realize
from backlit.data import Table
from backlit.insight.doctor import gradient_rules, signal_rules
from backlit.insight.doctor.examination import examine, first_batch, undone
from backlit.insight.doctor.findings import Checkup, Finding, worst_first
from backlit.insight.text import number
from backlit.nn import CrossEntropyLoss, Module, MSELoss
from backlit.optim import Optimizer
from backlit.train.metrics import as_tensor
from backlit.train.state import optimizer_state

RULES = (
    signal_rules.not_finite,
    gradient_rules.no_gradient,
    gradient_rules.symmetric_units,
    signal_rules.saturated_units,
    signal_rules.dead_relus,
    gradient_rules.vanishing_or_exploding,
    gradient_rules.stacked_linear,
    signal_rules.raw_data,
    signal_rules.positive_inputs,
    signal_rules.loss_at_start,
)
STEPS = 10  # of the learning-rate rule


def check(
    model: Module, data: Any, loss: Any = None, optimizer: Optimizer | None = None
) -> Checkup:
    """Run one batch forward and backward, and say what is in the way of learning.

    Looked for are: NaN and infinities, activations without gradient (sign, step), units that are
    copies of each other, saturated units (|z| > 5 for sigmoid, > 3 for tanh), dead ReLUs,
    vanishing and exploding gradients, parameters that the loss does not depend on, linear layers
    stacked without activation, data that are not standardised or all positive, and a
    cross-entropy far from log C. With an optimizer, ten steps on the batch show whether its
    learning rate is too small or too large.

    Everything is seen at the level of primitives, so activations called as functions inside
    `forward` count like modules. The model, its gradients, the optimizer and the random state are
    left as they were.

    Args:
        data: (x, y), a Table, a Dataset, a DataLoader, or batches (input, …, target); the first
            batch of up to 256 rows is looked at.
        loss: a function of (output, target); by default cross-entropy for whole numbers as
            targets, squared error for others.
        optimizer: of this model's parameters, as it is about to train them.

    Returns:
        the findings, the worst first, each with what, where, why and what to do; printed, a report
        with the gradient of each layer.

    Raises:
        ArgumentError: the data gave no batches.

    Sources: LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998); Glorot and Bengio,
    "Understanding the difficulty of training deep feedforward neural networks" (2010).

    >>> from backlit import nn
    >>> from backlit.insight import doctor
    >>> _ = backlit.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    >>> found = doctor.check(model, backlit.data.iris())
    >>> [(finding.rule, finding.where) for finding in found]
    [('stacked Linear', '1'), ('raw data', 'data'), ('inputs all positive', '0')]
    """
    inputs, target = first_batch(data)
    return check_batch(model, inputs, target, loss or default_loss(target), optimizer)


def check_batch(
    model: Module, inputs: Any, target: Any, loss_of: Any, optimizer: Optimizer | None = None
) -> Checkup:
    """`check` for a batch that is at hand."""
    seen = examine(model, inputs, target, loss_of)
    findings = without_echoes([finding for rule in RULES for finding in rule(seen)])
    if optimizer is not None and math.isfinite(seen.loss):
        findings += learning_rate(model, inputs, target, loss_of, optimizer)
    if seen.interrupted:
        findings.append(INTERRUPTED)
    rows = len(target) if target.shape else 1
    name = getattr(loss_of, "_get_name", lambda: getattr(loss_of, "__name__", "a loss"))()
    return Checkup(
        f"{type(model).__name__} on {number(rows)} rows with {name}",
        seen.loss,
        worst_first(findings),
        gradient_rules.layer_gradients(seen),
        {path: type(module).__name__ for path, module in model.named_modules() if path},
    )


def without_echoes(findings: list[Finding]) -> list[Finding]:
    """Without vanishing gradients, if there is a finding that says why they vanish."""
    causes = {"zero gradient", "symmetric units", "NaN or infinity"}
    if not causes & {finding.rule for finding in findings}:
        return findings
    return [finding for finding in findings if finding.rule != "vanishing gradient"]


INTERRUPTED = Finding(
    "values looked at", 1, "forward reads a value (.item(), print, if) before it ends.",
    "the model's own code",
    "What ran before that reading has been computed already and could not be looked at here.",
    "Take the reading out for the checkup, or check the parts separately.",
)  # fmt: skip


def default_loss(target: Any) -> Any:
    """Cross-entropy for class numbers, squared error for anything else."""
    return MSELoss() if target.dtype.is_floating_point else CrossEntropyLoss()


def learning_rate(
    model: Module, inputs: Any, target: Any, loss_of: Any, optimizer: Optimizer
) -> list[Finding]:
    """Ten steps on one batch: does the loss fall, stand still, or rise?"""
    losses = trial_losses(model, inputs, target, loss_of, optimizer, STEPS)
    rate = number(float(optimizer.param_groups[0]["lr"]))
    path = " → ".join(number(losses[i]) for i in sorted({0, 1, 2, len(losses) - 1}))
    rises = sum(b > a for a, b in itertools.pairwise(losses))
    if not math.isfinite(losses[-1]) or losses[-1] > losses[0] or rises >= STEPS // 2:
        return [
            Finding(
                "learning rate", 2,
                f"with lr = {rate} the loss of one batch goes {path} in {len(losses) - 1} steps, "
                f"rising {rises} times.", "optimizer",
                "A step beyond the valley's other side climbs it: the loss oscillates, or escapes "
                "to infinity.",
                "Divide the learning rate by 3 to 10; train.lr_range_test finds a good one.",
            )
        ]  # fmt: skip
    if losses[0] - losses[-1] < 1e-3 * abs(losses[0]) and losses[0] > 1e-6:
        return [
            Finding(
                "learning rate", 2,
                f"with lr = {rate} the loss of one batch goes {path} in {len(losses) - 1} steps: "
                "less than a thousandth.", "optimizer",
                "Steps so small need tens of thousands of repetitions (or nothing can be learned: "
                "see the other findings).",
                "Multiply the learning rate by 10; train.lr_range_test finds a good one.",
            )
        ]  # fmt: skip
    return []


def trial_losses(
    model: Module, inputs: Any, target: Any, loss_of: Any, optimizer: Optimizer, steps: int
) -> list[float]:
    """The losses of some steps on one batch, which are then undone."""
    state = optimizer_state(optimizer)
    losses: list[float] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(*inputs), target)
        loss.backward()
        return loss

    with undone(model), enable_grad():
        model.train()
        try:
            for _ in range(steps + 1):
                losses.append(float(realize(optimizer.step(closure))))
                if not math.isfinite(losses[-1]):
                    break
        finally:
            optimizer.load_state_dict(state)
    return losses


def dead_units(model: Module, x: Any) -> dict[str, float]:
    """The share of ReLU units that put out 0 for every row of x, by module path.

    >>> from backlit import nn
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
    >>> model[0].weight.data = backlit.tensor([[1.0], [-1.0]])
    >>> dead_units(model, backlit.ones(10, 1))
    {'1': 0.5}
    """
    return {step.path: float((signal_rules.per_unit(step.out) == 0).all(axis=0).mean())
            for step in forward_steps(model, x) if step.name == "relu"}  # fmt: skip


def saturated_share(model: Module, x: Any) -> dict[str, float]:
    """The share of sigmoid (|z| > 5) and tanh (|z| > 3) values that are saturated, by module path.

    >>> from backlit import nn
    >>> saturated_share(nn.Sequential(nn.Tanh()), backlit.tensor([[-4.0, 0.5, 1.0, 9.0]]))
    {'0': 0.5}
    """
    limits = signal_rules.SATURATION
    return {
        step.path: float((np.abs(step.inputs[0]) > limits[step.name]).mean())
        for step in forward_steps(model, x)
        if step.name in limits and step.inputs[0] is not None
    }


def gradient_norms(model: Module, data: Any, loss: Any = None) -> dict[str, float]:
    """The root mean square of the gradient of each weight, from the input to the output.

    >>> from backlit import nn
    >>> model = nn.MLP([4, 8, 3])
    >>> list(gradient_norms(model, backlit.data.iris()))
    ['layers.0.weight', 'layers.1.weight']
    """
    inputs, target = first_batch(data)
    seen = examine(model, inputs, target, loss or default_loss(target))
    return {layer.path: layer.gradient for layer in gradient_rules.layer_gradients(seen)}


def forward_steps(model: Module, x: Any) -> Any:
    """The primitives of one forward pass over x, with their values."""
    x = as_tensor(x.x if isinstance(x, Table) else x)
    return examine(model, [x], as_tensor(np.zeros(())), lambda output, _: output.sum()).steps


__all__ = ["check", "dead_units", "gradient_norms", "saturated_share"]
