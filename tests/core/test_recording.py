"""Recordings that follow one another, and arrays that leave while something is pending."""

from __future__ import annotations

import numpy as np

import backlit
from backlit.core.era import local


def test_an_exported_array_does_not_change_what_is_pending() -> None:
    """Writing to the array from ``numpy()`` does not reach ops recorded before."""
    x = backlit.ones(3)
    y = x * 2
    array = x.numpy()
    array[0] = 100
    assert y.tolist() == [2, 2, 2]
    assert (x * 2).tolist() == [200, 2, 2]


def test_parameters_are_carried_into_the_next_recording() -> None:
    """After a step, the next recording begins with what the optimizer has rewritten."""
    w = backlit.ones(2, requires_grad=True)
    optimizer = backlit.optim.SGD([w], lr=0.5, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
    assert w._era is local.era
    assert len(local.era.handles) == 2
    before = w.detach().clone().tolist()
    assert (w * 2).tolist() == [2 * v for v in before]
    backlit.flush()


def test_carried_parameters_can_be_exported_and_rewritten() -> None:
    """Arrays of parameters read between steps are the values of that moment, and stay writable."""
    w = backlit.ones(2, requires_grad=True)
    optimizer = backlit.optim.SGD([w], lr=0.5)

    def step() -> None:
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    step()
    assert w.tolist() == [0, 0]
    array = w.detach().numpy()
    array[:] = [1, 3]
    step()
    assert w.tolist() == [0, 0]
    with backlit.no_grad():
        w.copy_(backlit.tensor([2.0, 4.0]))
    step()
    np.testing.assert_array_equal(w.detach().numpy(), [0, 0])
