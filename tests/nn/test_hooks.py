"""Forward, backward and registration hooks."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import backlit
from backlit import nn
from backlit.errors import ArgumentError
from backlit.nn import hooks


class Scale(nn.Module):
    def forward(self, x: Any, by: float = 2.0) -> Any:
        return x * by


def one() -> Any:
    return backlit.tensor([1.0], requires_grad=True)


def test_forward_hooks_run_in_order_and_may_change_things() -> None:
    """Pre-hooks replace arguments, hooks the output; `prepend` puts one first."""
    m = Scale()
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)
    m.register_forward_hook(lambda module, args, out: out * 10)
    m.register_forward_hook(lambda module, args, out: out + args[0], prepend=True)
    assert m(backlit.tensor([1.0])).item() == (2 * 2 + 2) * 10


def test_hooks_with_kwargs() -> None:
    """They see keyword arguments and may change them."""
    m = Scale()
    m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"by": 5.0}), with_kwargs=True)
    m.register_forward_hook(lambda module, args, kwargs, out: out + kwargs["by"], with_kwargs=True)
    assert m(backlit.tensor([1.0]), by=3.0).item() == 10.0


def test_a_pre_hook_with_kwargs_returns_both() -> None:
    """The message shows what came."""
    m = Scale()
    m.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(ArgumentError) as error:
        m(backlit.tensor([1.0]))
    assert str(error.value) == (
        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got 3."
    )


def test_handles_remove() -> None:
    """By call, at the end of a with block, and twice without harm."""
    m = Scale()
    handle = m.register_forward_hook(lambda *args: backlit.tensor([0.0]))
    assert m(one()).item() == 0.0
    handle.remove()
    handle.remove()
    with m.register_forward_hook(lambda *args: backlit.tensor([7.0])):
        assert m(one()).item() == 7.0
    assert m(one()).item() == 2.0


def test_always_called_hooks_run_after_an_error() -> None:
    """The error is still the one raised; a hook's own error becomes a warning."""
    m = nn.Identity()
    seen: list[str] = []
    m.register_forward_hook(lambda *args: seen.append("plain"))
    m.register_forward_hook(lambda *args: seen.append("always"), always_call=True)
    with pytest.raises(TypeError):
        m(1, 2)
    assert seen == ["always"]

    def fails(*args: Any) -> None:
        raise ValueError("hook")

    m.register_forward_hook(fails, always_call=True)
    with (
        pytest.warns(UserWarning, match="always_call=True raised an exception that was silenced"),
        pytest.raises(TypeError),
    ):
        m(1, 2)


def test_global_hooks_run_for_every_module_until_removed() -> None:
    """First the global hooks, then the module's own."""
    seen: list[str] = []
    m = nn.Sequential(Scale(), Scale())
    handles = [
        hooks.register_module_forward_pre_hook(lambda mod, args: seen.append("pre")),
        hooks.register_module_forward_hook(lambda mod, args, out: seen.append(type(mod).__name__)),
    ]
    m[0].register_forward_hook(lambda *args: seen.append("own"))
    m(one())
    for handle in handles:
        handle.remove()
    m(one())
    assert seen == ["pre", "pre", "Scale", "own", "pre", "Scale", "Sequential", "own"]


def test_registration_hook_may_replace_the_child() -> None:
    """Every submodule that is assigned passes through it."""
    handle = hooks.register_module_module_registration_hook(
        lambda module, name, child: nn.Identity() if name == "x" else None
    )
    try:
        m = nn.Module()
        m.x = Scale()
        m.y = Scale()
    finally:
        handle.remove()
    assert type(m.x) is nn.Identity
    assert type(m.y) is Scale


def test_full_backward_hook_sees_gradients_at_both_ends() -> None:
    """grad_input and grad_output of y = 2x under 3y: 6 and 3."""
    m = Scale()
    seen: list[Any] = []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi[0].tolist(), go[0].tolist())))
    x = one()
    (m(x) * 3).backward()
    assert seen == [([6.0], [3.0])]
    assert x.grad is not None
    assert x.grad.tolist() == [6.0]


def test_backward_hooks_may_change_gradients() -> None:
    """A pre-hook the upstream gradient, a hook the gradient of the input."""
    m = Scale()
    m.register_full_backward_pre_hook(lambda mod, go: (go[0] * 10,))
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0] + go[0],))
    x = one()
    m(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [30.0]


def test_backward_hook_of_a_module_whose_input_needs_no_gradient() -> None:
    """It is called with None for the input, when the gradient of the output is known."""
    m = nn.Linear(1, 1)
    seen: list[Any] = []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi, go[0].tolist())))
    m(backlit.tensor([[1.0]])).sum().backward()
    assert seen == [((None,), [[1.0]])]
    assert m.weight.grad is not None


def test_several_inputs_and_outputs() -> None:
    """All gradients arrive in one call; what needs none is None."""

    class Two(nn.Module):
        def forward(self, a: Any, n: int, b: Any) -> Any:
            return a * n, b + a

    m = Two()
    seen: list[Any] = []
    m.register_full_backward_hook(
        lambda mod, gi, go: seen.append(
            ([g if g is None else g.item() for g in gi], [g.item() for g in go])
        )
    )
    a, b = one(), one()
    y, z = m(a, 3, b)
    (y + 5 * z).backward()
    assert seen == [([8.0, None, 5.0], [1.0, 5.0])]


@pytest.mark.parametrize(
    "register, message",
    [
        (
            lambda m: m.register_full_backward_pre_hook(lambda mod, go: (go[0], go[0])),
            "backward pre hook returned an invalid number of grad_output, got 2, but expected 1.",
        ),
        (
            lambda m: m.register_full_backward_hook(lambda mod, gi, go: (gi[0], gi[0])),
            "Backward hook returned an invalid number of grad_input, got 2, but expected 1.",
        ),
    ],
)
def test_wrong_numbers_of_gradients(register: Any, message: str) -> None:
    """A hook returns as many gradients as it was given."""
    m = Scale()
    register(m)
    with pytest.raises(ArgumentError) as error:
        m(one()).backward()
    assert str(error.value) == message


def test_no_gradient_can_be_given_to_an_input_that_needs_none() -> None:
    """PyTorch's message."""
    m = nn.Linear(1, 1)
    m.register_full_backward_hook(lambda mod, gi, go: (go[0],))
    with pytest.raises(ArgumentError) as error:
        m(backlit.tensor([[1.0]])).sum().backward()
    assert str(error.value) == (
        "Backward hook for Modules where no input requires gradient should always return None or "
        "None for all gradients."
    )


def test_outputs_that_cannot_be_watched_are_warned_about() -> None:
    """A dictionary hides its tensors from backward hooks."""

    class Dictionary(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"y": x * 2}

    m = Dictionary()
    m.register_full_backward_hook(lambda *args: None)
    with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple of Tensors"):
        m(one())


def test_global_backward_hooks() -> None:
    """They fire for every module, outputs before inputs."""
    seen: list[str] = []
    handles = [
        hooks.register_module_full_backward_pre_hook(lambda mod, go: seen.append("pre")),
        hooks.register_module_full_backward_hook(lambda mod, gi, go: seen.append("hook")),
    ]
    nn.Sequential(Scale(), Scale())(one()).backward()
    for handle in handles:
        handle.remove()
    assert seen.count("pre") == 3
    assert seen.count("hook") == 3
    assert seen[:2] == ["pre", "pre"]


def test_hooks_are_copied_with_the_module() -> None:
    """A deep copy has its own hooks; PyTorch's private names work too."""
    m = Scale()
    m.register_forward_hook(lambda mod, args, out: out + 1)
    other = copy.deepcopy(m)
    m._forward_hooks.clear()
    assert m(one()).item() == 2.0
    assert other(one()).item() == 3.0
    assert len(other._forward_pre_hooks) == len(other._backward_hooks) == 0
