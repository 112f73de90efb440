"""Both tiers mean the same: every card on every sample, and random programs.

`compare` runs NumPy source beside the native code at every flush; it raises where values differ,
and where an array that anyone still holds was written to.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import backlit
from backlit import config
from backlit.core.primitive import PRIMITIVES, Primitive
from backlit.ops.samples import Sample, samples_of
from tests.laws.cards import ENGINE, apply, tensors
from tests.laws.programs import programs
from tests.laws.running import differences, run

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed"
)
SAMPLES = [
    pytest.param(card, sample, id=f"{name}-{i}", marks=[pytest.mark.slow] if i else [])
    for name, card in sorted(PRIMITIVES.items())
    for i, sample in enumerate(samples_of(card))
]


@pytest.mark.parametrize("dtype", [backlit.float32, backlit.float64])
@pytest.mark.parametrize(("card", "sample"), SAMPLES)
def test_cards_agree(card: Primitive, sample: Sample, dtype: Any) -> None:
    """A card, and its gradient, between elementwise ops before and after."""
    with config.flags(tier="hot", compare=True):
        backlit.flush()
        operands = tensors(card, sample, dtype, requires_grad=card.name not in ENGINE)
        moved = [
            t * 1.0 if isinstance(t, backlit.Tensor) and t.dtype.is_floating_point else t
            for t in operands
        ]
        found = apply(card, moved, sample)
        floating = [t for t in found if t.dtype.is_floating_point]
        total = sum(((t + 1.0).sum() for t in floating), backlit.zeros((), dtype=dtype))
        if total.requires_grad:
            total.backward()
        for t in (*found, *(t.grad for t in operands if isinstance(t, backlit.Tensor))):
            if t is not None:
                t.tolist()


@given(programs())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_programs_agree(source: str) -> None:
    """A random program, with its gradients and its errors, is the same in both tiers."""
    with config.flags(tier="cold"):
        backlit.flush()
        expected = run(source, backlit)
    with config.flags(tier="hot", compare=True):
        backlit.flush()
        for turn in ("first run", "second run"):
            found = run(source, backlit)
            told = differences(source, f"hot, {turn}", found, "cold", expected)
            if told:
                pytest.fail("\n".join(["this program differs:", "", source, "", *told]))


def test_a_wrong_kernel_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A native function that is a little off fails the law of the tiers."""
    from backlit.errors import VerificationError
    from backlit.native.kernels import scalar

    call = scalar.call
    monkeypatch.setattr(
        scalar,
        "call",
        lambda n, *x: call("mul", call(n, *x), 1.001) if n == "tanh" else call(n, *x),
    )
    sample = Sample((np.array([0.5, 1.0]),), {})
    with pytest.raises(VerificationError, match="the tiers differ"):
        test_cards_agree(PRIMITIVES["tanh"], sample, backlit.float64)
