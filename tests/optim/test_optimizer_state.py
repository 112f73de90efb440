"""Parameter groups, hooks, gradients cleared, and what is saved of an optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit import optim


def pair() -> tuple[Any, Any]:
    return (
        backlit.tensor([1.0, 2.0], requires_grad=True),
        backlit.tensor([3.0], requires_grad=True),
    )


def test_groups_have_options_of_their_own() -> None:
    """A group's options win over the defaults; parameters without gradient stay."""
    a, b = pair()
    still = backlit.tensor([5.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [a, still]}, {"params": b, "lr": 0.5}], lr=0.1)
    (a.sum() + b.sum()).backward()
    optimizer.step()
    np.testing.assert_allclose(a.tolist(), [0.9, 1.9], rtol=1e-6)
    assert b.tolist() == [2.5]
    assert still.tolist() == [5.0]
    optimizer.add_param_group({"params": [backlit.ones(1, requires_grad=True)], "lr": 2.0})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5, 2.0]


def test_rate_may_change_between_steps() -> None:
    """``param_groups[i]["lr"]`` is read at every step."""
    a, _ = pair()
    optimizer = optim.SGD([a], lr=0.5)
    for rate in (0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        a.sum().backward()
        optimizer.step()
    assert a.tolist() == [0.25, 1.25]


def test_zero_grad_forgets_or_clears() -> None:
    """Gradients become None, or zeros where ``set_to_none`` is False."""
    a, _ = pair()
    optimizer = optim.SGD([a], lr=0.5)
    a.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is not None
    assert a.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert a.grad is None


def test_closure_is_called_with_gradients_on() -> None:
    """``step(closure)`` computes the loss itself, and returns it."""
    a, _ = pair()
    optimizer = optim.SGD([a], lr=0.5)

    def closure() -> Any:
        assert backlit.is_grad_enabled()
        optimizer.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    with backlit.no_grad():
        assert float(optimizer.step(closure)) == 5.0
    assert a.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["SGD", "LBFGS"])
def test_step_hooks_run_around_the_step(kind: str) -> None:
    """Pre-hooks see the parameters before, post-hooks after; removed hooks do not run."""
    a, _ = pair()
    optimizer = getattr(optim, kind)([a], lr=0.5)
    seen: list[Any] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    before = optimizer.register_step_pre_hook(lambda o, args, kw: seen.append(a.tolist()))
    after = optimizer.register_step_post_hook(lambda o, args, kw: seen.append("after"))
    optimizer.step(closure)
    assert seen == [[1.0, 2.0], "after"]
    before.remove()
    after.remove()
    optimizer.step(closure)
    assert len(seen) == 2


def test_state_dict_hooks_see_and_change_what_is_saved() -> None:
    """Hooks run before and after saving and loading, in order; they may return another dict."""
    a, _ = pair()
    optimizer = optim.Adam([a])
    calls: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("pre"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: calls.append("second"))
    optimizer.register_load_state_dict_pre_hook(lambda o, d: calls.append("first"), prepend=True)
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    saved = optimizer.state_dict()
    assert saved["extra"] == 1
    optimizer.load_state_dict(saved)
    assert calls == ["pre", "first", "second", "loaded"]


def test_named_parameters_are_saved_with_their_names() -> None:
    """(name, tensor) pairs are accepted; the names are kept in the group."""
    a, b = pair()
    optimizer = optim.SGD([("a", a), ("b", b)], lr=0.1)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    assert optimizer.param_groups[0]["params"] == [a, b]


def test_repr_lists_the_options_of_each_group() -> None:
    """The text is PyTorch's: class, group number, options in alphabetical order."""
    assert repr(optim.EMAMomentum([pair()[0]], lr=0.5)).splitlines()[:5] == [
        "EMAMomentum (",
        "Parameter Group 0",
        "    dampening: 0.9",
        "    differentiable: False",
        "    foreach: None",
    ]
