"""The PyTorch names that the decks print work under the same names (rows A01 to A15)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit.core.primitive import PRIMITIVES


def test_A06_tensors_that_require_grad() -> None:
    """``tensor(-2.0, requires_grad=True)``, ``.backward()``, ``.grad``."""
    x = backlit.tensor(-2.0, requires_grad=True)
    (x * x).backward()
    assert x.grad.item() == -4.0


def test_A07_autograd_function() -> None:
    """``ctx.save_for_backward`` and ``ctx.saved_tensors`` carry values to backward."""

    class Square(backlit.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = backlit.tensor(3.0, requires_grad=True)
    Square.apply(x).backward()
    assert x.grad.item() == 6.0


def test_A08_rand_takes_every_keyword() -> None:
    """``rand`` draws from [0, 1) and accepts PyTorch's keywords."""
    generator = backlit.Generator()
    generator.manual_seed(0)
    x = backlit.rand(
        200,
        3,
        generator=generator,
        dtype=backlit.float64,
        device="cpu",
        requires_grad=True,
        pin_memory=False,
    )
    assert x.shape == (200, 3)
    assert x.requires_grad
    values = x.detach().numpy()
    assert values.min() >= 0
    assert values.max() < 1


def test_A09_loops_against_matmul() -> None:
    """``randn``, ``zeros_like``, ``.size(0)``, ``C[i, j] += …``: the triple loop is matmul."""
    a, b = backlit.randn(4, 4), backlit.randn(4, 4)
    c = backlit.zeros_like(a)
    for i in range(a.size(0)):
        for j in range(b.size(1)):
            for k in range(a.size(1)):
                c[i, j] += a[i, k] * b[k, j]
    np.testing.assert_allclose(c.numpy(), backlit.matmul(a, b).numpy(), rtol=1e-5, atol=1e-6)


def test_A10_empty() -> None:
    """``empty(3, 5)`` has that shape."""
    assert backlit.empty(3, 5).shape == (3, 5)


@pytest.mark.parametrize(
    "name", ["mul", "permute", "select", "sigmoid", "softmax", "stack", "sub", "tanh"]
)
def test_A13_named_operators(name: str) -> None:
    """Operators of the shader list exist under their names."""
    assert callable(getattr(backlit, name))


def test_A15_source_of_a_result() -> None:
    """The code that computes a result can be read."""
    x = backlit.tensor([1.0, 2.0])
    assert "np.tanh(" in str(backlit.source(x.tanh()))
    assert "tanh" in PRIMITIVES
