"""Calls of built-in modules are repeated without running them, and only while nothing changed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.nn.shortcut import Shortcuts

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def network() -> nn.Sequential:
    backlit.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.LeakyReLU(), nn.Sequential(nn.Linear(5, 2)))


def count_forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the calls of ``nn.Linear.forward`` from here on."""
    calls = [0]
    original = nn.Linear.forward

    def forward(self: nn.Linear, input: backlit.Tensor) -> backlit.Tensor:
        calls[0] += 1
        return original(self, input)

    monkeypatch.setattr(nn.Linear, "forward", forward)
    return calls


def train(model: nn.Module, steps: int, also: Callable[[int], Any] = lambda i: None) -> list[float]:
    """The losses of a plain loop; ``also`` is called before each step."""
    optimizer = backlit.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, losses = backlit.tensor(X), []
    for i in range(steps):
        also(i)
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_repeated_steps_do_not_run_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the path is known, a network of built-in layers costs no calls of its layers."""
    calls = count_forwards(monkeypatch)
    train(network(), 10)
    assert 2 <= calls[0] <= 8


def test_changes_of_other_modules_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module somewhere else that counts in an attribute leaves known calls known."""
    other = nn.Linear(1, 1)
    calls = count_forwards(monkeypatch)
    before: list[int] = []

    def change(i: int) -> None:
        other.count = i
        before.append(calls[0])

    train(network(), 12, change)
    assert before[6] == calls[0] > 0


def test_a_layer_used_at_many_places_is_known_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recurrent loop's cell, called once per time step, is not run again in later steps."""
    cell = nn.Linear(3, 3)
    optimizer = backlit.optim.SGD(cell.parameters(), lr=0.1)
    x = backlit.tensor(X)

    def step() -> None:
        optimizer.zero_grad()
        h = x
        for _ in range(200):
            h = cell(h).tanh()
        h.sum().backward()
        optimizer.step()

    for _ in range(4):
        step()
    calls = count_forwards(monkeypatch)
    step()
    assert calls[0] == 0


def test_same_losses_as_running_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortcuts change no bit of what is computed."""
    with_shortcuts = train(network(), 12)
    monkeypatch.setattr(Shortcuts, "call", lambda self, module, args: module.forward(*args))
    assert with_shortcuts == train(network(), 12)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m[1], "negative_slope", 0.5),
        lambda m: setattr(m[0], "weight", nn.Parameter(backlit.ones(5, 3))),
        lambda m: m[0].weight.data.fill_(0.25),
        lambda m: m[0].weight.requires_grad_(False),
        lambda m: m.__setitem__(1, nn.Tanh()),
        lambda m: m.append(nn.Tanh()),
        lambda m: m[2].__delitem__(0),
        lambda m: setattr(m[1], "forward", lambda x: x * 3),
        lambda m: m[1].register_forward_hook(lambda module, args, out: out + 1),
        lambda m: m.double().float(),
        lambda m: nn.init.zeros_(m[0].bias),
        lambda m: m[0].register_parameter("bias", None),
        lambda m: m[0]._parameters.update(bias=nn.Parameter(backlit.ones(5))),
    ],
)
def test_changes_are_noticed(change: Callable[[Any], Any]) -> None:
    """After a change, a network that has learnt shortcuts computes what one without them does."""
    model, reference = network(), network()
    x = backlit.tensor(X)
    for _ in range(4):
        model(x).sum().item()
    change(model)
    change(reference)
    for _ in range(3):
        found, expected = model(x), reference.forward(x)
        assert found.requires_grad is expected.requires_grad
        assert found.tolist() == expected.tolist()


def test_copies_learn_for_themselves() -> None:
    """Copies and unpickled modules have shortcuts of their own."""
    model = network()
    x = backlit.tensor(X)
    for _ in range(3):
        model(x).sum().item()
    expected = model(x).tolist()
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model)):
        assert made._shortcuts is not model._shortcuts
        for _ in range(3):
            assert made(x).tolist() == expected
    made = copy.deepcopy(model)
    backlit.nn.init.zeros_(made[0].weight)
    assert made(x).tolist() != expected
    assert model(x).tolist() == expected


def test_data_that_a_module_makes_is_no_shortcut() -> None:
    """What a call computes at once from its argument is not taken from an earlier call."""
    model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(3, 1, bias=False))
    sums = []
    for k in range(4):
        x = backlit.full((2, 3, 1), float(k))
        sums.append(model(x).sum().item())
    one = sums[1]
    assert sums == pytest.approx([0, one, 2 * one, 3 * one])


@pytest.mark.usefixtures("one_tier")
def test_gradients_through_shortcuts() -> None:
    """Gradients are those of the first, fully run call."""
    model = network()
    x = backlit.tensor(X)
    found = []
    for _ in range(4):
        model.zero_grad()
        model(x).sum().backward()
        found.append([p.grad.tolist() for p in model.parameters() if p.grad is not None])
    assert found[1:] == found[:-1]


def test_other_argument_positions() -> None:
    """Arguments that are not tensors, and keywords, go the ordinary way."""
    loss = nn.MSELoss()
    a, b = backlit.tensor([1.0, 2.0]), backlit.tensor([3.0, 3.0])
    for _ in range(3):
        assert loss(a, b).item() == 2.5
        assert loss(input=a, target=b).item() == 2.5
        assert loss(a, target=b).item() == 2.5
    with pytest.raises(TypeError):
        loss(a)
