"""The decks' graphs, gates and explanations of backpropagation (rows of section 1.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
from backlit.insight import emit_flat_backprop, explain, graph

F64 = backlit.float64


def leaf(x: Any) -> backlit.Tensor:
    return backlit.tensor(x, dtype=F64, requires_grad=True)


def lines(text: object) -> list[str]:
    """Lines with single spaces."""
    return [" ".join(line.split()) for line in str(text).splitlines()]


def neuron_inputs() -> list[backlit.Tensor]:
    return [leaf(v) for v in (2.0, -1.0, -3.0, -2.0, -3.0)]


def test_G02_node_by_node() -> None:
    """Every value and gradient of 1/(1 + exp(-(w0 x0 + w1 x1 + w2))), and of the fused gate."""
    w0, x0, w1, x1, w2 = neuron_inputs()
    f = 1 / (1 + backlit.exp(-(w0 * x0 + w1 * x1 + w2)))
    told = lines(explain(f))
    for line in (
        "v1 = w0 · x0 = -2",
        "v2 = w1 · x1 = 6",
        "v3 = v1 + v2 = 4",
        "v4 = v3 + w2 = 1",
        "v5 = -v4 = -1",
        "v6 = exp(v5) = 0.3679",
        "v7 = 1 + v6 = 1.3679",
        "f = 1 / v7 = 0.7311",
        "∂f/∂v7 = (-0.5344) · 1 = -0.5344 ∂f/∂v7 = -1 / v7² ∂f/∂f",
        "∂f/∂v6 = 1 · (-0.5344) = -0.5344 ∂v7/∂v6 = 1 ∂f/∂v7",
        "∂f/∂v5 = 0.3679 · (-0.5344) = -0.1966 ∂v6/∂v5 = v6 ∂f/∂v6",
        "∂f/∂v4 = (-1) · (-0.1966) = 0.1966 ∂v5/∂v4 = -1 ∂f/∂v5",
        "∂f/∂w2 = 1 · 0.1966 = 0.1966 ∂v4/∂w2 = 1 ∂f/∂v4",
        "∂f/∂x1 = (-3) · 0.1966 = -0.5898 ∂v2/∂x1 = w1 ∂f/∂v2",
        "∂f/∂w1 = (-2) · 0.1966 = -0.3932 ∂v2/∂w1 = x1 ∂f/∂v2",
        "∂f/∂x0 = 2 · 0.1966 = 0.3932 ∂v1/∂x0 = w0 ∂f/∂v1",
        "∂f/∂w0 = (-1) · 0.1966 = -0.1966 ∂v1/∂w0 = x0 ∂f/∂v1",
    ):
        assert line in told
    f = backlit.sigmoid(w0 * x0 + w1 * x1 + w2)
    fused = lines(explain(f))
    assert "f = σ(v4) = 0.7311" in fused
    assert "∂f/∂v4 = 0.1966 · 1 = 0.1966 ∂f/∂v4 = f · (1 - f) ∂f/∂f" in fused
    assert fused[-8:] == told[-8:]


def test_G03_local_times_upstream() -> None:
    """f = (x1 + x2) x3 - x4 at (5, 4, 3, 2): each gradient as L×U, in the order of the slide."""
    x1, x2, x3, x4, x5 = (leaf(v) for v in (5.0, 4.0, 3.0, 2.0, 1.0))
    a = x1 + x2
    b = a * x3
    f = b - x4
    assert lines(explain(f, inputs=[x5])) == [
        "Given x1 = 5, x2 = 4, x3 = 3, x4 = 2",
        "",
        "Forward",
        "a = x1 + x2 = 9",
        "b = a · x3 = 27",
        "f = b - x4 = 25",
        "",
        "Backward",
        "gradient = local · upstream = value local upstream",
        "∂f/∂f = 1",
        "∂f/∂x4 = (-1) · 1 = -1 ∂f/∂x4 = -1 ∂f/∂f",
        "∂f/∂b = 1 · 1 = 1 ∂f/∂b = 1 ∂f/∂f",
        "∂f/∂x3 = 9 · 1 = 9 ∂b/∂x3 = a ∂f/∂b",
        "∂f/∂a = 3 · 1 = 3 ∂b/∂a = x3 ∂f/∂b",
        "∂f/∂x2 = 1 · 3 = 3 ∂a/∂x2 = 1 ∂f/∂a",
        "∂f/∂x1 = 1 · 3 = 3 ∂a/∂x1 = 1 ∂f/∂a",
        "∂f/∂x5 = 0 not used",
    ]


def test_G05_bar_notation() -> None:
    """L̄ = 1, ȳ = L̄ (y - t), z̄ = ȳ σ'(z), w̄ = z̄ x, b̄ = z̄."""
    w, b, x, t = leaf(0.7), leaf(-0.3), backlit.tensor(1.5), backlit.tensor(0.2)
    z = w * x + b
    y = backlit.sigmoid(z)
    L = 0.5 * (y - t).square()
    told = lines(explain(L, style="bar"))
    assert told[told.index("Forward") :] == [
        "Forward",
        "z = w · x + b = 0.75",
        "y = σ(z) = 0.6792",
        "L = 0.5 · (y - t)² = 0.1148",
        "",
        "Backward",
        "L̄ = 1",
        "ȳ = L̄ · (y - t) = 0.4792",
        "z̄ = ȳ · σ'(z) = 0.1044",
        "b̄ = z̄ = 0.1044",
        "w̄ = z̄ · x = 0.1566",
        "",
        "σ'(z) = y · (1 - y) = 0.2179",
    ]


def test_G06_primitive_decomposition() -> None:
    """L = (1/(1 + exp(-(w x + b))) - t)²/2 is t1 = w x … L = t7/2."""
    w, b = leaf(0.7), leaf(-0.3)
    x, t = backlit.tensor(1.5), backlit.tensor(0.2)
    L = ((1 + (-(w * x + b)).exp()).reciprocal() - t).square() / 2
    ops = [
        gate.op
        for gate in graph(L).nodes_topologically_sorted()
        if gate.inputs and gate.differentiable
    ]
    assert ops == ["mul", "add", "neg", "exp", "add", "div", "sub", "square", "div"]


@pytest.mark.parametrize(
    "op, label, values, expected",
    [
        (lambda x, y: x + y, "distributor", (3.0, 5.0), (2.0, 2.0)),
        (lambda x, y: x * y, "swap multiplier", (3.0, 5.0), (10.0, 6.0)),
        (backlit.maximum, "router", (3.0, 5.0), (0.0, 2.0)),
    ],
)
def test_G07_gate_patterns(op: Any, label: str, values: Any, expected: Any) -> None:
    """add distributes, mul swaps, max routes: as labels in the view, and in numbers."""
    x, y = (leaf(v) for v in values)
    gate = graph(op(x, y)).output
    assert gate.pattern == label
    assert tuple(g.item() for g in gate.backward(2.0)) == expected


def test_G07_copies_add() -> None:
    """A value that goes two ways is labelled as copied: the gradients of both ways add up."""
    x = leaf(3.0)
    found = graph(x * 2 + x * 5)
    assert found.gate(x).is_copied
    assert found.gate(x).grad.item() == 2 + 5
    assert "copied ×2: adder" in str(found)


def test_G08_flat_backprop_code() -> None:
    """The sigmoid neuron's code as printed, forward s0 … L and backward grad_L … grad_x0, runs."""

    def f(w0: Any, x0: Any, w1: Any, x1: Any, w2: Any) -> Any:
        s0 = w0 * x0
        s1 = w1 * x1
        s2 = s0 + s1
        s3 = s2 + w2
        L = backlit.sigmoid(s3)
        return L  # noqa: RET504 - the deck names the result

    source = emit_flat_backprop(f, *neuron_inputs())
    assert [line.strip() for line in source.splitlines()[3:]] == [
        "def f(w0, x0, w1, x1, w2):",
        "# forward",
        "s0 = w0 * x0",
        "s1 = w1 * x1",
        "s2 = s0 + s1",
        "s3 = s2 + w2",
        "L = 1 / (1 + np.exp(-s3))",
        "# backward",
        "grad_L = 1.0",
        "grad_s3 = grad_L * (L * (1.0 - L))",
        "grad_s2 = grad_s3",
        "grad_s1 = grad_s2",
        "grad_s0 = grad_s2",
        "grad_w2 = grad_s3",
        "grad_w1 = grad_s1 * x1",
        "grad_x1 = grad_s1 * w1",
        "grad_w0 = grad_s0 * x0",
        "grad_x0 = grad_s0 * w0",
        "return L, (grad_w0, grad_x0, grad_w1, grad_x1, grad_w2)",
    ]
    made: dict[str, Any] = {}
    exec(source, made)
    value, gradients = made["f"](2.0, -1.0, -3.0, -2.0, -3.0)
    assert value == pytest.approx(0.73106, abs=5e-6)
    assert gradients == pytest.approx((-0.1966, 0.3932, -0.3932, -0.5898, 0.1966), abs=5e-5)


class ComputationalGraph:
    """As the deck prints it."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def forward(self, inputs: dict[str, float]) -> Any:
        # 1. [pass inputs to input gates...]
        for gate in self.graph.leaves:
            gate.forward(inputs[gate.name])
        # 2. forward the computational graph:
        for gate in self.graph.nodes_topologically_sorted():
            loss = gate.forward()
        return loss  # the final gate in the graph outputs the loss

    def backward(self) -> Any:
        for gate in reversed(self.graph.nodes_topologically_sorted()):
            gate.backward()  # little piece of backprop (chain rule applied)
        return [gate.grad.item() for gate in self.graph.leaves]  # inputs_gradients


class MultiplyGate:
    """As the deck prints it."""

    def forward(self, x: Any, y: Any) -> Any:
        z = x * y
        self.x = x  # must keep these around!
        self.y = y
        return z

    def backward(self, dz: Any) -> Any:
        dx = self.y * dz  # [dz/dx * dL/dz]
        dy = self.x * dz  # [dz/dy * dL/dz]
        return [dx, dy]


def test_G09_graph_and_gates_as_printed() -> None:
    """The printed loops over a graph's gates; a recorded gate does what the printed one does."""
    x, y, z = leaf(1.0), leaf(1.0), leaf(1.0)
    recorded = graph((x + y) * z)
    net = ComputationalGraph(recorded)
    assert net.forward({"x": -2.0, "y": 5.0, "z": -4.0}).item() == -12.0
    assert net.backward() == [-4.0, -4.0, 3.0]
    assert recorded.forward(x=-2.0, y=5.0, z=-4.0).item() == -12.0
    assert {k: g.item() for k, g in recorded.backward().items()} == {"x": -4, "y": -4, "z": 3}
    printed, gate = MultiplyGate(), graph(x * z).output
    assert gate.forward(3.0, -4.0).item() == printed.forward(3.0, -4.0)
    assert [g.item() for g in gate.backward(2.0)] == printed.backward(2.0)


def test_G14_graphs_are_directed_and_acyclic() -> None:
    """Each gate comes after its inputs, whatever was done in place; what cannot be is refused."""
    x = leaf([1.0, 2.0])
    y = x * 1
    y += y
    y[0] = y[1]
    loss = (y * y).sum()
    order = graph(loss).nodes_topologically_sorted()
    for place, gate in enumerate(order):
        assert all(order.index(source) < place for source in gate.inputs)
    loss.backward()
    assert x.grad.tolist() == [0.0, 4 * 4.0 * 2]
    y = x * 1
    y.mul_(y)  # needs for its gradient what it overwrites
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        y.sum().backward()


def test_G15_local_upstream_and_gradient_at_every_node() -> None:
    """Each node exposes value, local_grad, upstream and grad; downstream = local · upstream."""
    x, y = leaf(0.5), leaf(-1.5)
    z = x * y
    loss = (z.tanh() + x).exp()
    found = graph(loss)
    seen: dict[int, float] = {}
    for gate in reversed(found.nodes_topologically_sorted()):
        if gate.inputs:
            assert gate.upstream.item() == gate.grad.item()
            for source, local, down in zip(
                gate.inputs, gate.local_grad, gate.downstream, strict=True
            ):
                assert down.item() == pytest.approx(local.item() * gate.upstream.item())
                seen[id(source)] = seen.get(id(source), 0) + down.item()
    for t in (x, y, z):
        assert seen[id(found.gate(t))] == pytest.approx(found.gate(t).grad.item())
        (g,) = backlit.autograd.grad(loss, [t], retain_graph=True)
        assert found.gate(t).grad.item() == pytest.approx(g.item())
        assert found.gate(t).value.item() == t.item()


def test_G22_matrix_shapes() -> None:
    """dX [N×D] = dY [N×M] Wᵀ [M×D]; dW [D×M] = Xᵀ [D×N] dY [N×M]."""
    rng = np.random.default_rng(0)
    X, W = leaf(rng.standard_normal((4, 3))), leaf(rng.standard_normal((3, 2)))
    Y = X @ W
    L = Y.square().sum()
    told = "\n".join(lines(explain(L)))
    assert "Y [4×2] = X @ W (norm " in told
    assert "∂L/∂X [4×3] = ∂L/∂Y [4×2] · Wᵀ [2×3] (norm " in told
    assert "∂L/∂W [3×2] = Xᵀ [3×4] · ∂L/∂Y [4×2] (norm " in told
    told = "\n".join(lines(explain(L, "bar")))
    assert "X̄ [4×3] = Ȳ [4×2] · Wᵀ [2×3] (norm " in told
    assert "W̄ [3×2] = Xᵀ [3×4] · Ȳ [4×2] (norm " in told


def test_G30_saved_intermediates() -> None:
    """What forward keeps for backward is listed by name, with its bytes."""
    X, W = leaf(np.ones((4, 3))), leaf(np.ones((3, 2)))
    h = X @ W
    y = backlit.sigmoid(h)
    loss = (y + 1).sum()
    found = graph(loss)
    saved = {
        gate.op: [(s.name, s.nbytes) for s in gate.saved]
        for gate in found.nodes_topologically_sorted()
    }
    assert saved["matmul"] == [("W", 3 * 2 * 8), ("X", 4 * 3 * 8)]
    assert saved["sigmoid"] == [("y", 4 * 2 * 8)]
    assert saved["add"] == saved["sum"] == []


def test_G31_gradient_of_any_tensor_after_backward() -> None:
    """Parameters are not special: after backward, the gradient of any tensor can be asked for."""
    x = leaf(2.0)
    h = x * 3
    loss = h * h
    loss.backward()
    assert h.grad is None
    assert graph(loss).gate(h).grad.item() == 12.0


def test_G38_the_loss_is_a_node() -> None:
    """The loss appears in the graph as its last node, with local gradients of its own."""
    scores = leaf([[1.0, 2.0, 3.0]])
    loss = backlit.nn.functional.mse_loss(scores, backlit.zeros(1, 3, dtype=F64))
    last = graph(loss).nodes_topologically_sorted()[-1]
    assert (last.name, last.grad.item()) == ("loss", 1.0)
    assert last.value.item() == pytest.approx(14 / 3)
