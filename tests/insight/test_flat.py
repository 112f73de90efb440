"""Flat backprop code runs on its own, and gives the engine's gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F
from backlit.errors import ArgumentError
from backlit.insight import emit_flat_backprop

LABELS = backlit.tensor([0, 2, 1])


def tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[backlit.Tensor]:
    rng = np.random.default_rng(seed)
    return [backlit.tensor(rng.uniform(0.2, 1.5, size=s)) for s in shapes]


def classifier(X: Any, W1: Any, b1: Any, W2: Any) -> Any:
    hidden = backlit.relu(X @ W1 + b1)
    return F.cross_entropy(hidden @ W2, LABELS)


def shared(x: Any, y: Any) -> Any:
    z = x * y
    return (z.tanh() * z + backlit.maximum(x, y)).mean()


def in_place(x: Any) -> Any:
    y = x * 2
    y *= x
    return y[1:].sum() + y.max()


def powers(x: Any, w: Any) -> Any:
    scale = 0.5
    return scale * ((x**3 / w).log() - w.sqrt()).sum() / 7


@pytest.mark.parametrize(
    "f, shapes",
    [
        (classifier, [(3, 4), (4, 5), (5,), (5, 3)]),
        (shared, [(3,), (3,)]),
        (in_place, [(4,)]),
        (powers, [(2, 3), (3,)]),
        (lambda x: x.sum(), [(2, 2)]),
        (lambda a: F.softmax(a, -1).square().sum(), [(2, 3)]),
    ],
)
def test_gradients_are_the_engines(f: Callable[..., Any], shapes: list[tuple[int, ...]]) -> None:
    """Called with other numbers of the same shapes, the source gives value and gradients."""
    source = emit_flat_backprop(f, *tensors(*shapes))
    made: dict[str, Any] = {}
    exec(source, made)
    inputs = tensors(*shapes, seed=1)
    name = f.__name__ if f.__name__ != "<lambda>" else "f"
    value, gradients = made[name](*(t.numpy() for t in inputs))
    leaves = [t.requires_grad_() for t in inputs]
    loss = f(*leaves)
    loss.backward()
    assert float(value) == pytest.approx(loss.item())
    for g, t in zip(gradients, leaves, strict=True):
        assert np.shape(g) == t.shape
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-10)


def test_only_numpy_is_needed() -> None:
    """Where NumPy has all functions, the source imports nothing else."""
    source = emit_flat_backprop(shared, *tensors((3,), (3,)))
    assert [line for line in source.splitlines() if "import" in line] == ["import numpy as np"]
    assert "z = x * y" in source
    assert "grad_z = " in source


def test_data_from_outside_is_written_out() -> None:
    """Small tensors that the function takes from outside become arrays in the source."""
    source = emit_flat_backprop(classifier, *tensors((3, 4), (4, 5), (5,), (5, 3)))
    assert "LABELS = np.array([0, 2, 1], dtype=np.int64)" in source


def test_an_input_that_plays_no_part() -> None:
    """Its gradient is zero."""
    source = emit_flat_backprop(lambda x, unused: x * x, *tensors((), (2,)))
    made: dict[str, Any] = {}
    exec(source, made)
    value, (by_x, by_unused) = made["f"](3.0, np.ones(2))
    assert (value, by_x, by_unused.tolist()) == (9.0, 6.0, [0.0, 0.0])


def test_recording_in_progress_is_left_alone() -> None:
    """What the caller was computing goes on as if nothing had happened."""
    x = backlit.tensor(2.0, requires_grad=True)
    y = x * x
    emit_flat_backprop(lambda a: a * a, x)
    y.backward()
    assert x.grad.item() == 4.0


def refused(message: str, f: Callable[..., Any], *inputs: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        emit_flat_backprop(f, *inputs)
    assert str(caught.value) == message


def test_inputs_that_have_no_gradient() -> None:
    """Only floating-point tensors can be inputs."""
    refused(
        "emit_flat_backprop: the inputs must be floating-point tensors, got a int64 tensor; let "
        "the function take other values from outside.",
        lambda x: x,
        backlit.tensor(1),
    )


def test_functions_that_are_no_straight_line() -> None:
    """One number must come out, without looking at values, and it must depend on the inputs."""
    (x,) = tensors((2,))
    refused(
        "emit_flat_backprop: the function must return one number as a tensor, got a tensor of "
        "shape (2,); reduce it with .sum() or .mean().",
        lambda x: x * 2,
        x,
    )
    refused(
        "emit_flat_backprop: the function looks at values (if, print, .item()) or computes too "
        "much at a time, so there is no one straight line of statements; take that out.",
        lambda x: x.sum() if x.sum() > 0 else -x.sum(),
        x,
    )
    refused(
        "emit_flat_backprop: the function's result does not depend on its inputs in a way that "
        "has a gradient.",
        lambda x: x.detach().sum(),
        x,
    )


def test_large_data_from_outside() -> None:
    """More than a thousand numbers are not written out."""
    large = backlit.zeros(2000, dtype=backlit.float64)
    refused(
        "emit_flat_backprop: the function takes a tensor of shape (2000,) from outside, which is "
        "too large to be written out; make it one of the inputs.",
        lambda x: (x * large).sum(),
        *tensors(()),
    )
