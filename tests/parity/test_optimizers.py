"""Every optimizer takes PyTorch's path: 100 steps in float64 on a small network.

LBFGS is compared over its first 10 steps: it enlarges a difference in the last digit a hundredfold
every 5 steps, so that PyTorch itself, started 1e-15 beside, is elsewhere after 25.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

STEPS = 100
CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.2}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.01}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1}),
    ("Adadelta", {"rho": 0.8, "weight_decay": 0.01}),
    ("RMSprop", {"lr": 0.005, "momentum": 0.5, "centered": True}),
    ("RMSprop", {"lr": 0.005, "alpha": 0.9}),
    ("Rprop", {"lr": 0.01, "etas": (0.4, 1.3)}),
    ("ASGD", {"lr": 0.05, "t0": 50, "lambd": 0.01}),
    ("Adafactor", {"lr": 0.05, "weight_decay": 0.1}),
    ("Muon", {"lr": 0.02}),
    ("LBFGS", {"lr": 0.1, "max_iter": 2}),
    ("LBFGS", {"max_iter": 4, "line_search_fn": "strong_wolfe", "history_size": 3}),
]
CONFIGURATIONS += [
    (name, {"maximize": True, "lr": 1e-3})
    for name in ("SGD", "Adam", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop", "Rprop", "ASGD")
]


def path(library: Any, name: str, options: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    """The parameters after training a 4-6-2 network (without biases for Muon)."""
    random = np.random.default_rng(5)
    w1, b1, w2, x, y = (
        library.tensor(random.standard_normal(s)) for s in ((6, 4), (6,), (2, 6), (12, 4), (12, 2))
    )
    params = [w1, w2] if name == "Muon" else [w1, b1, w2]
    for p in params:
        p.requires_grad_()
    optimizer = getattr(library.optim, name)(params, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (((x @ w1.T + b1).tanh() @ w2.T - y) ** 2).mean() + 0.01 * (w1 * w1).sum()
        loss.backward()
        return loss

    for _ in range(10 if name == "LBFGS" else STEPS):
        optimizer.step(closure)
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_path_is_pytorchs(name: str, options: dict[str, Any]) -> None:
    """At the end all parameters equal PyTorch's to 1e-6."""
    for ours, theirs in zip(path(backlit, name, options), path(torch, name, options), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
def test_sparse_adam_path_is_pytorchs() -> None:
    """After 100 sparse gradients with repeated places the table equals PyTorch's to 1e-6."""
    found = []
    for library in (backlit, torch):
        random = np.random.default_rng(6)
        table = library.tensor(random.standard_normal((8, 3))).requires_grad_()
        optimizer = library.optim.SparseAdam([table], lr=0.01)
        for _ in range(STEPS):
            rows = library.tensor(random.integers(0, 8, (1, 4)))
            values = library.tensor(random.standard_normal((4, 3)))
            table.grad = library.sparse_coo_tensor(rows, values, (8, 3))
            optimizer.step()
        found.append(table.detach().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_states_are_exchanged_with_pytorch() -> None:
    """PyTorch loads the state that Backlit saves, and goes on along the same path."""
    for name in ("SGD", "Adam", "NAdam", "ASGD", "RMSprop", "Adafactor"):
        options = {"momentum": 0.9} if name == "SGD" else {}
        ours, theirs = (
            library.tensor(np.arange(6.0).reshape(2, 3)).requires_grad_()
            for library in (backlit, torch)
        )
        first = getattr(backlit.optim, name)([ours], **options)
        for _ in range(3):
            first.zero_grad()
            (ours * ours).sum().backward()
            first.step()
        second = getattr(torch.optim, name)([theirs], **options)
        saved = first.state_dict()
        saved["state"] = {
            i: {k: torch.tensor(v.numpy()) for k, v in own.items()}
            for i, own in saved["state"].items()
        }
        second.load_state_dict(saved)
        theirs.data = torch.tensor(ours.detach().numpy())
        for x, optimizer in ((ours, first), (theirs, second)):
            optimizer.zero_grad()
            (x * x).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)
