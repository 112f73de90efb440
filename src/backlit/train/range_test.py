"""The learning-rate range test: which rates are too small, which too large (Smith, 2017)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.errors import ArgumentError
from backlit.nn import Module
from backlit.optim import Optimizer
from backlit.train.evaluation import as_loader, parts_of
from backlit.train.state import optimizer_state, random_state, set_random_state
from backlit.train.stopping import set_weights, weights_of


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: the learning rates tried, rising.
        losses: the loss of the batch at each, before its step.
        smoothed: the losses as an exponential mean, noise taken out.
        suggestion: a tenth of the rate with the lowest smoothed loss: large, and not too large.
        diverged_at: the rate at which the loss broke away; None if it did not.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float
    diverged_at: float | None


def lr_range_test(
    model: Module,
    data: Any,
    loss: Any,
    optimizer: Optimizer,
    *,
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    batch_size: int = 32,
) -> RangeTest:
    """Train with a learning rate that grows from `start` to `end`, then undo everything.

    Too small a rate leaves the loss where it is, too large a one throws it up; good ones lie in
    between. Weights, optimizer and random state are as before afterwards.

    Raises:
        ArgumentError: the range is empty, or there are fewer than five steps.

    >>> from backlit import nn
    >>> iris = backlit.data.iris()
    >>> _ = backlit.manual_seed(0)
    >>> model = nn.Linear(4, 3)
    >>> sgd = backlit.optim.SGD(model.parameters())
    >>> found = lr_range_test(model, iris, nn.CrossEntropyLoss(), sgd, steps=60)
    >>> 1e-4 < found.suggestion < 2
    True
    """
    if not 0 < start < end or steps < 5:
        raise ArgumentError(
            f"lr_range_test: expected 0 < start < end and steps ≥ 5, got {start}, {end}, {steps}."
        )
    weights, state, before = weights_of(model), optimizer_state(optimizer), random_state()
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        rates = np.geomspace(start, end, steps).tolist()
        losses = sweep(model, as_loader(data, batch_size, True), loss, optimizer, rates)
    finally:
        set_weights(model, weights)
        optimizer.load_state_dict(state)
        optimizer.zero_grad()
        set_random_state(before)
        for module, training in modes:
            module.training = training
    return judge(rates[: len(losses)], losses, smoothing)


def sweep(
    model: Module, loader: Any, loss_of: Any, optimizer: Optimizer, rates: list[float]
) -> list[float]:
    """The losses, one step per rate, until they are more than four times the lowest."""
    losses: list[float] = []
    for rate, batch in zip(rates, endless(loader), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs, target = parts_of(batch)
        optimizer.zero_grad()
        loss = loss_of(model(*inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]) or losses[-1] > 4 * max(min(losses), 1e-12) + losses[0]:
            break
    return losses


def endless(loader: Any) -> Iterator[Any]:
    """Batches, epoch after epoch."""
    for epoch in itertools.count():
        is_empty = True
        for batch in loader:
            is_empty = False
            yield batch
        if is_empty:
            raise ArgumentError(
                f"lr_range_test: the data gave no batches in epoch {epoch + 1}; is the set empty?"
            )


def judge(rates: list[float], losses: list[float], smoothing: float) -> RangeTest:
    """Smooth the losses and find their lowest point."""
    smoothed: list[float] = []
    mean = 0.0
    for n, value in enumerate(losses, 1):
        mean = smoothing * mean + (1 - smoothing) * value
        smoothed.append(mean / (1 - smoothing**n))  # as Adam's means: not drawn towards 0
    if not math.isfinite(losses[0]):
        raise ArgumentError(
            f"lr_range_test: the loss is {losses[0]} before the first step; look at the data and "
            "the initial weights."
        )
    lowest = int(np.nanargmin(smoothed))
    broke = not math.isfinite(losses[-1]) or losses[-1] > 2 * smoothed[lowest]
    return RangeTest(rates, losses, smoothed, rates[lowest] / 10, rates[-1] if broke else None)
