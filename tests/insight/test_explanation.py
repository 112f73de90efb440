"""Explanations beyond the decks' examples: several uses, tensors, layers, names, refusals."""

from __future__ import annotations

from typing import Any

import pytest

import backlit
import backlit.nn.functional as F
from backlit import nn
from backlit.errors import ArgumentError
from backlit.insight import explain


def leaf(x: Any) -> backlit.Tensor:
    return backlit.tensor(x, dtype=backlit.float64, requires_grad=True)


def lines(text: object) -> list[str]:
    return [" ".join(line.split()) for line in str(text).splitlines()]


def test_a_value_used_twice() -> None:
    """Its gradient is a sum over the ways back, each with its local and upstream."""
    x, y = leaf(2.0), leaf(3.0)
    p = x * y
    q = x + p
    f = p * q
    told = lines(explain(f))
    assert "∂f/∂p = 8 · 1 + 1 · 6 = 14 ∂f/∂p = q ∂f/∂f" in told
    assert "∂q/∂p = 1 ∂f/∂q" in told
    assert "∂f/∂x = 1 · 6 + 3 · 14 = 48 ∂q/∂x = 1 ∂f/∂q" in told
    assert "x̄ = q̄ + p̄ · y = 48" in lines(explain(f, "bar"))


def test_columns_are_aligned() -> None:
    """Equal signs stand below each other, bars over letters counted as no room."""
    w, x = leaf(0.5), leaf(12.0)
    product = w * x
    loss = product.sigmoid()
    for style in ("local", "bar"):
        story = str(explain(loss, style)).splitlines()  # type: ignore[arg-type]
        start = story.index("Backward") + 2
        places = set()
        for line in story[start : start + 3]:
            plain = "".join(c for c in line if c not in "\u0304\u0305")
            places.add(plain.index("="))
        assert len(places) == 1


def test_elementwise_and_broadcasting() -> None:
    """Small arrays are shown as numbers with ⊙; what was broadcast is summed."""
    b = leaf([1.0, 2.0])
    s = leaf(3.0)
    y = b * s
    loss = y.sum()
    told = lines(explain(loss))
    assert "∂loss/∂y [2] = 1 · ∂loss/∂loss, to every element = [1, 1] ∂loss/∂loss" in told
    assert "∂loss/∂s = [1, 2] ⊙ 1, summed to a number = 3 ∂y/∂s = b ∂loss/∂y" in told
    assert "∂loss/∂b [2] = 3 ⊙ 1 = [3, 3] ∂y/∂b = s ∂loss/∂y" in told


def test_a_network() -> None:
    """Parameters have the names of their modules, transposes and shapes are shown."""
    X = backlit.ones(4, 3)
    model = nn.Linear(3, 2)
    for p in model.parameters():  # the module says more than the loop's variable
        assert p.requires_grad
    loss = F.cross_entropy(model(X).relu(), backlit.tensor([0, 1, 1, 0]))
    told = "\n".join(lines(explain(loss)))
    for piece in (
        "v2 [4×2] = X @ model.weightᵀ",
        "∂loss/∂model.weightᵀ [3×2] = Xᵀ [3×4] · ∂loss/∂v2 [4×2]",
        "∂loss/∂model.weight [2×3] = ∂loss/∂model.weightᵀ [3×2] transposed",
        " / sum(v1 ≠ -100) = ",
        "put back at the index, 0 elsewhere",
        ", summed to [2]",
        "∂v4/∂v3 = [v4 > 0]",
        "∂loss/∂v5 - softmax(v4) Σ ∂loss/∂v5",
    ):
        assert piece in told


def test_movement() -> None:
    """Reshapes, slices, joins, extremes and softmax have their rule in words."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    parts = backlit.cat([x[0], x.reshape(4)[:1].expand(2), x.amax(0), x.softmax(1)[0]])
    told = "\n".join(lines(explain((parts * parts).sum())))
    for piece in (
        "its part of",
        "put back in its place, 0 elsewhere",
        "summed",
        "reshaped",
        "where x is largest, else 0",
        " Σ ",
    ):
        assert piece in told


class Double(backlit.autograd.Function):
    """A function of the user's own."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.factor = 2
        return x * ctx.factor

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.factor


def test_a_users_own_function() -> None:
    """Its backward is named."""
    x = leaf(2.0)
    f = Double.apply(x)
    assert "∂f/∂x = Double.backward(∂f/∂f) = 2 ∂f/∂f" in lines(explain(f))


def test_names_can_be_given() -> None:
    """Given names go before those of variables; a number's name avoids theirs."""
    x, v1 = leaf(1.0), leaf(2.0)
    loss = (x * v1).exp()
    told = lines(explain(loss, names={"θ": x}))
    assert "v2 = θ · v1 = 2" in told


def test_refusals() -> None:
    """An unknown style is refused."""
    x = leaf(1.0)
    with pytest.raises(ArgumentError) as caught:
        explain(x * x, "prose")  # type: ignore[arg-type]
    assert str(caught.value) == 'explain: the style must be "local" or "bar", got \'prose\'.'
