"""Section 1.1 of the checklist: threshold units, perceptrons, Boolean networks."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.data import toys
from backlit.insight import doctor
from backlit.optim import SGD

BITS = backlit.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SIGNS = backlit.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
AND, OR, XOR = ([0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0])


def all_signs(n: int) -> Any:
    return np.array(list(itertools.product((-1.0, 1.0), repeat=n)), np.float32)


def outputs(net: nn.Module, x: Any) -> Any:
    return net(backlit.tensor(np.asarray(x, np.float32))).numpy().reshape(-1)


def test_P01_linear_classifier_changes_sign_at_its_boundary() -> None:
    """T(w·x + w₀) in 1-D, 2-D and 5-D: 1 on one side of the hyperplane, 0 on the other."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        unit = nn.Perceptron(n)
        w, w0 = rng.normal(size=n), rng.normal()
        unit.load_state_dict({"weight": backlit.tensor(w), "bias": backlit.tensor(w0)})
        found = unit.boundary()
        normal, distance = (np.sign(w), found * np.sign(w[0])) if n == 1 else found
        on_plane = rng.normal(size=(50, n))
        on_plane += (distance - on_plane @ normal)[:, None] * normal
        assert (outputs(unit, on_plane + 0.01 * normal) == 1).all()
        assert (outputs(unit, on_plane - 0.01 * normal) == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_P02_built_in_sets_are_told_apart(seed: int) -> None:
    """The two built-in sets of blobs: one that a line separates, one that none does."""
    for separable in (True, False):
        table = toys.two_blobs(100, separable=separable, seed=seed)
        assert nn.separability(table.x, table.y).separable is separable


def test_P02_tool_tells_separable_sets_from_others() -> None:
    """Two clouds on either side of a line; a cloud within a ring."""
    rng = np.random.default_rng(0)
    clouds = rng.normal(size=(100, 2)) + np.repeat([[4.0, 4.0], [-4.0, -4.0]], 50, 0)
    labels = np.repeat([0, 1], 50)
    assert nn.separability(backlit.tensor(clouds), backlit.tensor(labels)).separable
    angle = rng.uniform(0, 2 * np.pi, 50)
    ring = 5 * np.stack([np.cos(angle), np.sin(angle)], 1)
    mixed = np.concatenate([rng.normal(size=(50, 2)), ring])
    verdict = nn.separability(backlit.tensor(mixed), backlit.tensor(labels))
    assert not verdict.separable
    assert verdict.reason.startswith("not separable: the convex hulls of the classes meet at (")


def test_P03_rule_is_the_formula_bit_for_bit() -> None:
    """w_i ← w_i + η(t - o)x_i in float32, for random weights, inputs and rates."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        w, x = rng.normal(size=(2, 7)).astype(np.float32)
        lr, t, o = float(rng.uniform(0.01, 2)), *map(int, rng.integers(0, 2, 2))
        new = nn.perceptron_step(backlit.tensor(w), backlit.tensor(x), t, o, lr).numpy()
        assert (new == w + np.float32(lr * (t - o)) * x).all()


@pytest.mark.parametrize("targets", [AND, OR])
@pytest.mark.parametrize("seed", range(10))
def test_P03_and_or_are_learned_from_any_start(targets: list[float], seed: int) -> None:
    """The perceptron reaches 0 errors on AND and OR."""
    backlit.manual_seed(seed)
    unit = nn.Perceptron(2)
    unit.reset_parameters()
    history = unit.fit(BITS, backlit.tensor(targets), lr=0.5)
    assert history[-1] == 0
    assert unit(BITS).tolist() == targets


def test_P04_quiz_a_right_answer_changes_nothing() -> None:
    """Answer 3: o = t gives Δw = 0."""
    w, x = backlit.tensor([0.3, -0.7]), backlit.tensor([1.0, 1.0])
    for o in (0, 1):
        assert nn.perceptron_step(w, x, target=o, output=o).tolist() == w.tolist()
    unit = nn.Perceptron(2)
    unit.load_state_dict({"weight": w, "bias": backlit.tensor(0.5)})
    assert not unit.step(x, 1.0)
    assert unit.weight.tolist() == w.tolist()


def test_P05_quiz_too_small_an_output_raises_the_active_weights() -> None:
    """Answers 2 and 1: Δw = x(t - o); the new activation is larger by the number of active
    inputs, and by one more for the bias."""
    unit = nn.Perceptron(4)
    start = backlit.tensor([-1.0, -2.0, 0.5, 0.25])
    unit.load_state_dict({"weight": start, "bias": backlit.tensor(-1.0)})
    x = backlit.tensor([1.0, 0.0, 1.0, 0.0])
    before = unit.activation(x).item()
    assert unit(x).item() == 0.0
    assert unit.step(x, target=1.0, lr=1.0)
    assert (unit.weight - start).tolist() == x.tolist()
    assert unit.activation(x).item() == before + 2 + 1


def test_P06_xor_is_not_learnable_by_one_unit_and_the_tool_says_why() -> None:
    """At least one of four examples stays wrong; the class hulls meet in the middle; two layers
    do it."""
    targets = backlit.tensor(XOR)
    for seed in range(5):
        backlit.manual_seed(seed)
        unit = nn.Perceptron(2)
        unit.reset_parameters()
        for _ in range(100):
            unit.fit(BITS, targets, lr=0.1, max_epochs=1)
            assert np.mean(outputs(unit, BITS.numpy()) != np.array(XOR)) >= 0.25
    verdict = nn.separability(BITS, targets)
    assert verdict.reason == "not separable: the convex hulls of the classes meet at (0.5, 0.5)"
    assert nn.separability(BITS, backlit.tensor(OR)).separable
    solved = nn.boolean_mlp("a ^ b")
    assert (outputs(solved, 2 * BITS.numpy() - 1) > 0).tolist() == [bool(t) for t in XOR]


def test_P07_mcculloch_pitts_units() -> None:
    """OR = [x₁ + x₂ ≥ 1], AND = [x₁ + x₂ ≥ 2], NOT by an inhibitory input."""
    assert nn.MPUnit(threshold=1)(BITS).tolist() == OR
    assert nn.MPUnit(threshold=2)(BITS).tolist() == AND
    negation = nn.MPUnit(threshold=0, inhibitory=[0])
    assert negation(backlit.tensor([[0.0], [1.0]])).tolist() == [1.0, 0.0]


def test_P08_algebra_of_signs() -> None:
    """NOT z = -z, AND = sign(z₁ + z₂ - 1.5), OR = sign(z₁ + z₂ + 1.5): all ten rows."""
    for name, bias, truth in (("a & b", -1.5, [1, -1, -1, -1]), ("a | b", 1.5, [1, 1, 1, -1])):
        z = SIGNS.numpy()
        assert np.sign(z.sum(1) + bias).tolist() == truth
        net = nn.boolean_mlp(name, deep=True)
        assert net[0].weight.tolist() == [[1.0, 1.0]]
        assert net[0].bias.tolist() == [bias]
        assert outputs(net, z).tolist() == truth
    negation = nn.boolean_mlp("~a", deep=True)
    assert outputs(negation, [[1.0], [-1.0]]).tolist() == [-1.0, 1.0]


def test_P09_xor_network() -> None:
    """g = OR(AND(h₁, ¬h₂), AND(¬h₁, h₂)), in closed form and as one sign network."""
    truth = [-1.0, 1.0, 1.0, -1.0]
    h1, h2 = SIGNS.numpy().T
    closed = np.sign(np.sign(h1 - h2 - 1.5) + np.sign(-h1 + h2 - 1.5) + 1.5)
    assert closed.tolist() == truth
    for deep in (False, True):
        net = nn.boolean_mlp("(h1 & ~h2) | (~h1 & h2)", deep=deep)
        assert sorted(net[0].weight.tolist()) == [[-1.0, 1.0], [1.0, -1.0]]
        assert net[0].bias.tolist() == [-1.5, -1.5]
        assert net[2].weight.tolist() == [[1.0, 1.0]]
        assert net[2].bias.tolist() == [1.5]
        assert outputs(net, SIGNS.numpy()).tolist() == truth


@pytest.mark.parametrize("n", [1, 3, 6, 10])
def test_P10_any_boolean_function_is_a_network_exactly(n: int) -> None:
    """A random truth table of n inputs, written as an expression, on all 2ⁿ inputs."""
    rng = np.random.default_rng(n)
    x = all_signs(n)
    names = [f"x{i}" for i in range(n)]
    true_rows = [row for row in x if rng.random() < 0.05 + 0.5 / n]
    terms = [
        " & ".join(name if v > 0 else f"~{name}" for name, v in zip(names, row, strict=True))
        for row in true_rows
    ]
    net = nn.boolean_mlp(" | ".join(f"({t})" for t in terms) or "False", names)
    truth = {tuple(row) for row in true_rows}
    assert (outputs(net, x) > 0).tolist() == [tuple(row) in truth for row in x]
    assert sum(isinstance(m, nn.Linear) for m in net) == 2


def test_P10_a_union_of_polygons_is_a_network_exactly() -> None:
    """A triangle or a square but not a second square, on a grid off the boundaries."""
    parts = [
        [(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)],
        [(2.0, 2.0), (4.0, 2.0), (4.0, 4.0), (2.0, 4.0)],
        [(0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)],
    ]
    halfplanes = [h for part in parts for h in nn.polygon_halfplanes(part)]
    net = nn.region_mlp(halfplanes, "(h0 & h1 & h2 | h3 & h4 & h5 & h6) & ~(h7 & h8 & h9 & h10)")
    axis = np.arange(-0.95, 4.5, 0.1)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    triangle = (x >= 0) & (y >= 0) & (x + y <= 3)
    square = (x >= 2) & (x <= 4) & (y >= 2) & (y <= 4)
    hole = (x >= 0.5) & (x <= 1) & (y >= 0.5) & (y <= 1)
    expected = (triangle | square) & ~hole
    assert 0.1 < expected.mean() < 0.9
    assert ((outputs(net, np.stack([x, y], 1)) > 0) == expected).all()
    assert sum(isinstance(m, nn.Linear) for m in net) == 3


def test_P11_more_perceptrons_approximate_a_circle_better() -> None:
    """k tangents enclose k tan(π/k): the area error falls, as 1/k²."""
    axis = (np.arange(400) + 0.5) / 400 * 3 - 1.5
    grid = np.stack([a.ravel() for a in np.meshgrid(axis, axis)], 1)
    errors = []
    for k in (4, 8, 16, 32):
        angles = 2 * np.pi * np.arange(k) / k
        halfplanes = [((-math.cos(a), -math.sin(a)), 1.0) for a in angles]
        area = (outputs(nn.region_mlp(halfplanes), grid) > 0).mean() * 9
        assert area == pytest.approx(k * math.tan(math.pi / k), abs=0.02)
        errors.append(area - math.pi)
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < errors[0] / 10


@pytest.mark.parametrize("n", range(2, 11))
def test_P12_parity_needs_exponentially_many_units_in_one_layer(n: int) -> None:
    """2ⁿ⁻¹ hidden units in one layer, 3(n - 1) gates in a tree; both right on all 2ⁿ inputs."""
    x = all_signs(n)
    truth = ((x > 0).sum(1) % 2 == 1).tolist()
    shallow, deep = nn.parity_mlp(n, deep=False), nn.parity_mlp(n)
    assert (outputs(shallow, x) > 0).tolist() == truth
    assert (outputs(deep, x) > 0).tolist() == truth
    assert shallow[0].out_features == 2 ** (n - 1)
    units = sum(layer.out_features for layer in deep if isinstance(layer, nn.Linear))
    passing = units - 3 * (n - 1)
    assert 0 <= passing <= n * math.ceil(math.log2(n))


def test_P13_depth_is_cheaper_than_width_on_parity() -> None:
    """Håstad 1986, Delalleau and Bengio 2011: O(n) units deep against exponentially many shallow.

    The theorem is theirs; what is shown is parity, for which units grow linearly with n in a tree
    and double with each further input in one layer.
    """

    def units(net: nn.Sequential) -> int:
        return sum(layer.out_features for layer in net if isinstance(layer, nn.Linear))

    sizes = (2, 4, 8)
    deep = [units(nn.parity_mlp(n)) for n in sizes]
    shallow = [units(nn.parity_mlp(n, deep=False)) for n in sizes]
    assert deep == [3, 9, 21]
    assert shallow == [3, 9, 129]
    assert all(units < 3 * n for units, n in zip(deep, sizes, strict=True))
    for text in ("Håstad", "Delalleau"):
        assert text in (nn.parity_mlp.__doc__ or "")


def test_P14_a_sum_of_steps_approximates_a_curve() -> None:
    """The staircase of k steps is within half a step of sin, and each hidden unit is a step."""
    x = np.linspace(0, 2 * np.pi, 1000)
    errors = []
    for k in (4, 16, 64):
        edges = np.linspace(0, 2 * np.pi, k + 2)[1:-1]
        middles = np.concatenate([[0], (edges[1:] + edges[:-1]) / 2, [2 * np.pi]])
        net = nn.staircase(edges.tolist(), np.sin(middles).tolist())
        errors.append(float(np.abs(outputs(net, x[:, None]) - np.sin(x)).max()))
        hidden = net[:2](backlit.tensor(x[:, None].astype(np.float32))).numpy()
        off_edge = np.abs(x[:, None] - edges) > 1e-6
        assert (hidden == (x[:, None] >= edges))[off_edge].all()
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.11


def test_P15_polynomial_features_give_several_thresholds() -> None:
    """[1, x] has one boundary point, [1, x, x²] two: the real roots of ax² + bx + c."""
    line, parabola = nn.Perceptron(1), nn.Perceptron(2)
    line.load_state_dict({"weight": backlit.tensor([2.0]), "bias": backlit.tensor(-1.0)})
    assert line.boundary(polynomial=True) == pytest.approx([0.5])
    parabola.load_state_dict({"weight": backlit.tensor([-3.0, 1.0]), "bias": backlit.tensor(2.0)})
    assert parabola.boundary(polynomial=True) == pytest.approx([1.0, 2.0])
    x = backlit.tensor([0.0, 0.99, 1.01, 1.99, 2.01, 5.0])
    assert parabola(nn.polynomial_features(x, 2)).tolist() == [1, 1, 0, 0, 1, 1]
    parabola.load_state_dict({"weight": backlit.tensor([0.0, 1.0]), "bias": backlit.tensor(1.0)})
    assert parabola.boundary(polynomial=True) == []
    cubic = nn.polynomial_features(backlit.tensor([2.0]), 3)
    assert cubic.tolist() == [[2.0, 4.0, 8.0]]


def test_P15_a_perceptron_learns_an_interval_from_polynomial_features() -> None:
    """Not separable in x, separable in [x, x²]."""
    x = backlit.tensor([-2.0, -1.5, -0.5, 0.0, 0.5, 1.5, 2.0])
    inside = backlit.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    assert not nn.separability(x.unsqueeze(1), inside).separable
    features = nn.polynomial_features(x, 2)
    assert nn.separability(features, inside).separable
    unit = nn.Perceptron(2)
    assert unit.fit(features, inside)[-1] == 0
    low, high = unit.boundary(polynomial=True)
    assert -1.5 <= low <= -0.5
    assert 0.5 <= high <= 1.5


def test_P17_the_regression_version_has_no_output_activation() -> None:
    """The same network with identity output learns real targets under squared error."""
    backlit.manual_seed(0)
    model = nn.MLP([1, 8, 1], activation="sigmoid")
    assert type(model.activations[-1]) is nn.Identity
    x = backlit.linspace(-1, 1, 20).unsqueeze(1)
    y = 3 * x + 1
    loss_of = nn.MSELoss()
    before = loss_of(model(x), y).item()
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    assert loss_of(model(x), y).item() < 0.1 * before


def test_P18_a_step_lets_nothing_below_it_learn() -> None:
    """The gradient of sign and step is 0 almost everywhere; sigmoid's is not."""
    backlit.manual_seed(0)
    x = backlit.randn(20, 2)
    for activation, learns in ((nn.Sign(), False), (nn.Step(), False), (nn.Sigmoid(), True)):
        model = nn.Sequential(nn.Linear(2, 4), activation, nn.Linear(4, 1))
        model(x).square().sum().backward()
        assert (float(model[0].weight.grad.abs().sum()) > 0) is learns
        assert float(model[2].weight.grad.abs().sum()) > 0
        report = doctor.check(model, (x, backlit.zeros(20, 1)), nn.MSELoss())
        found = [(finding.rule, finding.where) for finding in report if finding.severity == 3]
        assert found == ([] if learns else [("zero gradient", "1")])


def test_P18_heaviside_and_sign_as_functions() -> None:
    """Without modules too: the doctor sees the op inside a model's own `forward`."""

    class Threshold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(2, 4), nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            return self.outer(self.inner(x).sign())

    report = doctor.check(Threshold(), (backlit.randn(20, 2), backlit.zeros(20, 1)))
    (finding,) = report.of("zero gradient")
    assert finding.where.startswith("the model's own code (test_threshold_units.py:")
    hard = (backlit.randn(5, requires_grad=True) > 0).float()
    assert not hard.requires_grad
