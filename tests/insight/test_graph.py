"""The computation graph as an object: its gates, their gradients, and stepping through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
from backlit import nn
from backlit.errors import ArgumentError
from backlit.insight import Graph, graph


def leaf(x: Any) -> backlit.Tensor:
    return backlit.tensor(x, dtype=backlit.float64, requires_grad=True)


def test_every_gradient_is_the_engines() -> None:
    """The gradient of each gate equals what `autograd.grad` gives for the same tensor."""
    x, w = leaf([[0.5, -1.0], [2.0, 0.1]]), leaf([[1.0], [-2.0]])
    h = (x @ w).tanh()
    loss = (h * h + x.sum()).mean()
    found = graph(loss)
    for t, g in zip((x, w, h), backlit.autograd.grad(loss, (x, w, h)), strict=True):
        gate = found.gate(t)
        assert gate.value.tolist() == t.tolist()
        np.testing.assert_allclose(gate.grad.numpy(), g.numpy(), rtol=1e-12)


def test_a_gradient_is_the_sum_of_what_the_users_pass_back() -> None:
    """downstream is local times upstream, and adds up over the uses of a value."""
    x, y = leaf(3.0), leaf(-2.0)
    f = (x * y + x.exp()) / y
    found = graph(f)
    for gate in found.nodes_topologically_sorted():
        for local, down in zip(gate.local_grad, gate.downstream, strict=True):
            assert down.item() == pytest.approx(local.item() * gate.upstream.item())
    arrived: dict[str, float] = {}
    for gate in found.nodes_topologically_sorted():
        for source, down in zip(gate.inputs, gate.downstream, strict=True):
            arrived[source.name] = arrived.get(source.name, 0) + down.item()
    assert arrived["x"] == pytest.approx(found.gate(x).grad.item())
    assert arrived["y"] == pytest.approx(found.gate(y).grad.item())


def test_jacobian_of_an_op_that_mixes_elements() -> None:
    """The local gradient of a matrix product is its Jacobian, of shape value × input."""
    x, w = leaf([[1.0, 2.0]]), leaf([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
    gate = graph((x @ w).sum()).nodes_topologically_sorted()[2]
    by_x, by_w = gate.local_grad
    assert (gate.op, by_x.shape, by_w.shape) == ("matmul", (1, 3, 1, 2), (1, 3, 2, 3))
    np.testing.assert_allclose(by_x.numpy()[0, :, 0, :], w.detach().numpy().T)


def test_looking_changes_nothing() -> None:
    """The loss can still be differentiated, and values still be asked for, after a look."""
    x = leaf(2.0)
    y = x * x
    loss = y.exp()
    graph(loss)
    loss.backward()
    assert x.grad.item() == pytest.approx(4 * np.exp(4))
    assert y.item() == 4.0


@pytest.mark.parametrize("when", ["pending", "computed", "after backward", "retained"])
def test_at_any_time(when: str) -> None:
    """A graph can be looked at before and after its values were, and after the backward pass."""
    x = leaf(2.0)
    y = x.sin()
    loss = y * x
    if when == "computed":
        assert loss.item() == pytest.approx(2 * np.sin(2))
    if when in ("after backward", "retained"):
        loss.backward(retain_graph=when == "retained")
        assert x.grad.item() == pytest.approx(np.sin(2) + 2 * np.cos(2))
    found = graph(loss)
    assert [g.op for g in found.nodes_topologically_sorted()] == ["leaf", "sin", "mul"]
    assert found.gate(y).grad.item() == 2.0
    assert found.gate(x).grad.item() == pytest.approx(np.sin(2) + 2 * np.cos(2))


def test_in_eager_mode() -> None:
    """Each op its own recording: the history goes through all of them."""
    with backlit.eager():
        x = leaf(2.0)
        loss = (x * 3).exp()
        found = graph(loss)
    assert [g.op for g in found.nodes_topologically_sorted()] == ["leaf", "mul", "exp"]
    assert found.gate(x).grad.item() == pytest.approx(3 * np.exp(6))


def test_in_place_ops_make_no_cycle() -> None:
    """An in-place op binds the tensor to a new node; the old one stays where it was."""
    x = leaf(1.5)
    y = x * 2
    y += y
    y.mul_(x)
    order = graph(y).nodes_topologically_sorted()
    for place, gate in enumerate(order):
        assert all(order.index(source) < place for source in gate.inputs)
    assert graph(y).gate(x).grad.item() == pytest.approx(8 * 1.5)


class Multiply(backlit.autograd.Function):
    """A function of the user's own."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, y = ctx.saved_tensors
        return y * g, x * g


def test_a_users_own_function_is_a_gate() -> None:
    """`autograd.Function`s appear by their class's name, with their own backward."""
    x, y = leaf(3.0), leaf(-4.0)
    loss = Multiply.apply(x, y) * 2
    found = graph(loss)
    gate = found.nodes_topologically_sorted()[-2]
    assert gate.op == "Multiply"
    assert [s.value.item() for s in gate.saved] == [3.0, -4.0]
    assert (found.gate(x).grad.item(), found.gate(y).grad.item()) == (-8.0, 6.0)


def test_forward_with_other_values() -> None:
    """The graph is a function of its leaves, by name."""
    x, w = leaf(2.0), leaf(3.0)
    found = graph((w * x).square())
    assert found.forward(x=4.0).item() == 144.0
    assert {k: v.item() for k, v in found.backward().items()} == {"w": 96.0, "x": 72.0}
    assert found.forward(x=2.0).item() == 36.0


def test_names() -> None:
    """Variables, containers, modules, a tensor's own name, and numbers for what has none."""
    net = nn.Linear(2, 1)
    weights = [leaf([[1.0, 2.0]])]
    other = leaf([[1.0]])
    other.name = "offset"
    y = net(weights[0].float()).double()
    loss = (y + other).square().sum()
    names = [gate.name for gate in graph(loss, names={"total": loss}).nodes_topologically_sorted()]
    assert {"weights[0]", "net.weight", "net.bias", "offset", "y", "net.weightᵀ"} < set(names)
    assert names[-1] == "total"
    assert [n for n in names if n.startswith("v")] == ["v1", "v2", "v3", "v4", "v5"]


def test_view_as_text() -> None:
    """One line per gate; the where column has the user's line."""
    x = leaf(2.0)
    y = x * x
    lines = str(graph(y)).splitlines()
    assert lines[0].split() == [
        "node", "op", "gate", "value", "gradient", "saved", "for", "backward", "where",
    ]  # fmt: skip
    assert lines[1].split() == ["x", "leaf", "copied", "×2:", "adder", "2", "4"]
    assert lines[2].startswith("y     x²    swap multiplier   4      1         x 8 B")
    assert "test_graph.py:" in lines[2]


@given(seed=st.integers(0, 10_000))
def test_random_graphs(seed: int) -> None:
    """On random graphs, the gradients of the leaves are those of `backward`."""
    rng = np.random.default_rng(seed)
    leaves = [leaf(rng.uniform(0.5, 1.5, size=int(rng.integers(1, 3)) or ())) for _ in range(3)]
    leaves = [t[:1].detach().requires_grad_() for t in leaves]
    pool = list(leaves)
    for _ in range(12):
        a, b = (pool[int(rng.integers(len(pool)))] for _ in range(2))
        kind = int(rng.integers(5))
        ops = (a + b, a * b, a - b, a.tanh(), backlit.maximum(a, b))
        pool.append(ops[kind])
    loss = sum((t.sum() for t in pool[-3:]), leaf(0.0))
    found = graph(loss)
    loss.backward()
    for t in leaves:
        if t.grad is not None:
            np.testing.assert_allclose(found.gate(t).grad.numpy(), t.grad.numpy(), rtol=1e-9)


# -- what is refused ------------------------------------------------------------------------------


def refused(message: str, call: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


def test_without_history() -> None:
    """A tensor that was given has no graph."""
    refused(
        "the tensor of shape (2,) has no recorded history: it was given, or computed from nothing "
        "that requires grad and already looked at; set requires_grad=True on what it depends on.",
        lambda: graph(leaf([1.0, 2.0])),
    )


def test_leaf_changed_since() -> None:
    """After an optimizer's step, computing anew would give another loss."""
    x = leaf(2.0)
    loss = x + 1
    assert loss.item() == 3.0
    loss.backward()
    backlit.optim.SGD([x], lr=0.5).step()
    refused(
        "graph: a tensor that the computation began with was changed in place since (an "
        "optimizer's step?); computed anew, the result would be another. Look at a loss before "
        "the next step.",
        lambda: graph(loss),
    )


def test_leaf_given_up_since() -> None:
    """A leaf whose value is being replaced has none to compute with."""
    x = leaf(2.0)
    y = x + 1
    loss = y + 1
    assert loss.item() == 4.0
    with backlit.no_grad():
        x.mul_(2)
        refused(
            "the float64 tensor of shape () that the computation began with has been changed or "
            "given up since; look at a loss before the next change to what it was computed from.",
            lambda: graph(loss),
        )


def test_several_elements() -> None:
    """Only one number can be differentiated without an upstream gradient."""
    x = leaf([1.0, 2.0])
    y = x * 2
    refused(
        "the gradient of y can only begin with 1 if it has one element, but its shape is (2,); "
        "reduce it with .sum() or .mean().",
        lambda: graph(y),
    )


def test_wrong_uses_of_gates() -> None:
    """Names, counts and shapes are checked."""
    x, y = leaf(2.0), leaf([1.0])
    found: Graph = graph((x * y).sum())
    refused(
        "graph.forward: there is no leaf called 'z'; the leaves are x, y.",
        lambda: found.forward(z=1.0),
    )
    refused(
        "graph.gate: the tensor of shape (3,) plays no part in this graph.",
        lambda: found.gate(leaf([1.0, 2.0, 3.0])),
    )
    refused(
        "mul.forward takes 2 values, one for each of x, y; got 1.",
        lambda: found.nodes_topologically_sorted()[2].forward(1.0),
    )
    refused(
        "y.forward: expected a value of shape (1,), got ().",
        lambda: found.forward(y=1.0),
    )
