"""Every card with every sample, as pytest parameters; and tensors made from samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.core.primitive import PRIMITIVES, Elementwise, Primitive
from backlit.core.tensor import Tensor
from backlit.ops.samples import Sample, samples_of

# Cards of the engine itself, whose gradients are not derivatives of what they compute.
ENGINE = {
    "detach": "has no history, on purpose",
    "leaf": "marks where gradients are collected",
    "with_history": "passes the history of another tensor on",
    "function": "runs a user's Python function",
    "convert": "rounds; its gradient is that of the unrounded value",
}
Test = Callable[[Primitive, Sample], None]


def cards(test: Callable[[Primitive], bool] = lambda card: True) -> pytest.MarkDecorator:
    """Parametrizes a test with (card, sample) for each card that passes ``test``."""
    found = [
        pytest.param(card, sample, id=f"{name}-{i}")
        for name, card in sorted(PRIMITIVES.items())
        if test(card)
        for i, sample in enumerate(samples_of(card))
    ]
    return pytest.mark.parametrize(("card", "sample"), found)


def differentiable(card: Primitive) -> bool:
    return card.differentiable and card.name not in ENGINE


def elementwise(card: Primitive) -> bool:
    return isinstance(card, Elementwise)


def tensors(
    card: Primitive, sample: Sample, dtype: Any = None, *, requires_grad: bool = False
) -> list[Any]:
    """The operands as tensors: floating ones in ``dtype``, requiring grad where there is a rule."""
    made: list[Any] = []
    for i, a in enumerate(sample.operands):
        if not isinstance(a, np.ndarray):
            made.append(a)
            continue
        t = backlit.tensor(a)
        if t.dtype.is_floating_point:
            t = t.to(dtype) if dtype is not None else t
            made.append(t.requires_grad_(requires_grad and card.rule_of(i)[0] is not None))
        else:
            made.append(t)
    return made


def outputs(found: Any) -> list[Tensor]:
    return list(found) if isinstance(found, tuple) else [found]


# Cards that read one triangle of a symmetric matrix: their gradient is along symmetric changes.
SYMMETRIC = {"cholesky", "eigh"}


def apply(card: Primitive, operands: list[Any], sample: Sample) -> list[Tensor]:
    """The outputs of ``card`` on ``operands`` with the attributes of ``sample``."""
    if card.name in SYMMETRIC:
        operands = [(x + x.mT) / 2 for x in operands]
    return outputs(card(*operands, **sample.attributes))  # type: ignore[operator]
