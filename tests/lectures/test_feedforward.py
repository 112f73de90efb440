"""Section 1.2 of the checklist: feed-forward networks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import insight, nn, optim, train
from backlit.insight import doctor
from backlit.nn import functional as F
from backlit.optim import SGD


def values(t: Any) -> Any:
    return t.detach().numpy()


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def descend(
    model: nn.Module, loss_of: Any, x: Any, y: Any, steps: int = 400, lr: float = 0.5
) -> float:
    """Plain gradient descent; the last loss."""
    optimizer = SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    return loss_of(model(x), y).item()  # type: ignore[no-any-return]


def test_F01_linear_scores() -> None:
    """s = W x; ∂(g·s)/∂W = g xᵀ, compared with central differences."""
    layer = nn.Linear(4, 3, bias=False, dtype=backlit.float64)
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=4), rng.normal(size=3)
    w = values(layer.weight).copy()
    assert np.allclose(values(layer(backlit.tensor(x))), w @ x)
    (layer(backlit.tensor(x)) * backlit.tensor(g)).sum().backward()
    h = 1e-6
    numeric = np.zeros_like(w)
    for i in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[i] = h
        numeric[i] = (g @ ((w + step) @ x) - g @ ((w - step) @ x)) / (2 * h)
    assert layer.weight.grad is not None
    assert np.allclose(layer.weight.grad.numpy(), numeric, atol=1e-8)
    assert np.allclose(layer.weight.grad.numpy(), np.outer(g, x))


def test_F02_two_layers_by_hand_and_by_nn() -> None:
    """f = W₂ max(0, W₁x), 3072 → 100 → 10: 307 200 and 1 000 parameters, the same scores."""
    model = nn.MLP([3072, 100, 10], bias=False)
    w1, w2 = (layer.weight for layer in model.layers)
    assert (w1.numel(), w2.numel()) == (307_200, 1_000)
    x = backlit.randn(3072)
    by_hand = w2 @ (w1 @ x).clamp(min=0)
    assert np.allclose(values(model(x)), values(by_hand), atol=1e-5)


def test_F03_three_layers() -> None:
    """f = W₃ max(0, W₂ max(0, W₁x))."""
    model = nn.MLP([6, 5, 4, 3], bias=False)
    w1, w2, w3 = (values(layer.weight) for layer in model.layers)
    x = np.random.default_rng(0).normal(size=6).astype(np.float32)
    expected = w3 @ np.maximum(0, w2 @ np.maximum(0, w1 @ x))
    assert np.allclose(values(model(backlit.tensor(x))), expected, atol=1e-5)


def test_F04_layers_have_learnable_biases() -> None:
    """bias=True is the default; its gradient is the sum of the upstream gradient."""
    layer = nn.Linear(2, 3)
    assert layer.bias is not None
    g = backlit.randn(5, 3)
    (layer(backlit.randn(5, 2)) * g).sum().backward()
    assert layer.bias.grad is not None
    assert np.allclose(layer.bias.grad.numpy(), g.numpy().sum(0), atol=1e-5)


def test_F05_sigmoid_network() -> None:
    """f(x) = W₂ g(W₁x) with g = σ elementwise."""
    model = nn.MLP([4, 6, 2], "sigmoid", bias=False)
    w1, w2 = (values(layer.weight) for layer in model.layers)
    x = np.random.default_rng(0).normal(size=4).astype(np.float32)
    assert np.allclose(values(model(backlit.tensor(x))), w2 @ sigmoid(w1 @ x), atol=1e-5)


def test_F06_generic_mlp_with_an_activation_per_layer() -> None:
    """h_{i+1} = f_i(W_i h_i), y = uᵀh_L: any list of functions; 24 layers run."""
    functions = ["relu", "tanh", "sigmoid", "gaussian"]
    model = nn.MLP([3, 4, 4, 4, 4, 1], functions)
    h = np.random.default_rng(0).normal(size=3).astype(np.float32)
    x = backlit.tensor(h)
    by_hand: list[Any] = [
        lambda z: np.maximum(z, 0),
        np.tanh,
        sigmoid,
        lambda z: np.exp(-z * z / 2),
        lambda z: z,
    ]
    for layer, f in zip(model.layers, by_hand, strict=True):
        h = f(values(layer.weight) @ h + values(layer.bias))
    assert np.allclose(values(model(x)), h, atol=1e-5)
    deep = nn.MLP([3, *[8] * 23, 2], [functions[i % 4] for i in range(23)])
    assert len(deep.layers) == 24
    out = deep(backlit.randn(5, 3))
    assert tuple(out.shape) == (5, 2)
    out.sum().backward()
    assert deep.layers[0].weight.grad is not None


def test_F07_column_form_returns_every_layer_and_equals_the_batch() -> None:
    """z^l = W^l h^{l-1}, h^l = σ(z^l) for one column at a time = the rows of a batch."""
    model = nn.MLP([3, 5, 4, 2], "sigmoid", bias=False)
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    batched = model.trace(backlit.tensor(x))
    for row in range(6):
        h = x[row]
        for level, layer in enumerate(model.layers):
            z = values(layer.weight) @ h
            h = sigmoid(z) if level < 2 else z
            assert np.allclose(values(batched.z[level])[row], z, atol=1e-5)
            assert np.allclose(values(batched.h[level + 1])[row], h, atol=1e-5)


def test_F08_batched_form_with_the_shapes_of_the_slide() -> None:
    """T = X(W¹)ᵀ, H = σ(T), S = H(W²)ᵀ, Ŷ = softmax(S), for 3-5-2."""
    model = nn.MLP([3, 5, 2], "sigmoid", nn.Softmax(-1), bias=False)
    w1, w2 = (values(layer.weight) for layer in model.layers)
    assert w1.shape == (5, 3)
    assert w2.shape == (2, 5)
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    t = x @ w1.T
    s = sigmoid(t) @ w2.T
    y = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    trace = model.trace(backlit.tensor(x))
    assert [a.shape for a in map(values, trace.z)] == [(7, 5), (7, 2)]
    for ours, expected in ((trace.z[0], t), (trace.z[1], s), (trace.h[2], y)):
        assert np.allclose(values(ours), expected, atol=1e-5)


def test_F09_augmented_form() -> None:
    """x^(l) = [1; θ(s^(l))], s^(l) = W^(l)ᵀx^(l-1), W (d_{l-1} + 1) × d_l: the same network."""
    model = nn.MLP([3, 5, 2], "tanh")
    weights = [np.array(w.tolist()) for w in model.augmented()]
    assert [w.shape for w in weights] == [(4, 5), (6, 2)]
    x = np.random.default_rng(0).normal(size=3)
    trace = model.trace(backlit.tensor(x, dtype=backlit.float32))
    augmented = np.concatenate([[1], x])
    for level, w in enumerate(weights):
        s = w.T @ augmented
        assert np.allclose(values(trace.z[level]), s, atol=1e-5)
        augmented = np.concatenate([[1], np.tanh(s)])


def test_F10_forward_propagation_shows_every_layer() -> None:
    """trace gives x^(1) … x^(L) without hooks, and its last output is the model's."""
    model = nn.MLP([2, 3, 4, 1])
    x = backlit.randn(5, 2)
    trace = model.trace(x)
    assert trace.h[0] is x
    assert [tuple(h.shape) for h in trace.h] == [(5, 2), (5, 3), (5, 4), (5, 1)]
    assert trace.h[-1].tolist() == model(x).tolist()
    trace.h[-1].sum().backward()
    assert model.layers[0].weight.grad is not None


@pytest.mark.parametrize("d", [[2, 1], [2, 10, 3], [5, 4, 3, 2, 1]])
def test_F11_architecture_round_trips(d: list[int]) -> None:
    """d = [d₀ … d_L] is what the network was made with."""
    model = nn.MLP(d)
    assert model.architecture == d
    assert sum(p.numel() for p in model.parameters()) == sum(
        (m + 1) * n for m, n in itertools.pairwise(d)
    )


@pytest.mark.usefixtures("one_tier")
def test_F12_quiz_a_network_is_its_architecture_and_its_parameters() -> None:
    """The same parameters in another architecture: another function; in one that does not fit: a
    clear error."""
    model = nn.MLP([2, 5, 3], "tanh")
    state = model.state_dict()
    same, other = nn.MLP([2, 5, 3], "tanh"), nn.MLP([2, 5, 3], "relu")
    same.load_state_dict(state)
    other.load_state_dict(state)
    x = backlit.randn(4, 2)
    assert same(x).tolist() == model(x).tolist()
    assert other(x).tolist() != model(x).tolist()
    with pytest.raises(RuntimeError) as error:
        nn.MLP([2, 4, 3], "tanh").load_state_dict(state)
    assert (
        "size mismatch for layers.0.weight: copying a param with shape Size([5, 2]) from "
        "checkpoint, the shape in current model is Size([4, 2])." in str(error.value)
    )


def test_F13_quiz_which_has_more_parameters_and_which_takes_longer() -> None:
    """Per layer and for two models side by side: parameters, arithmetic, measured time."""
    deep, wide = nn.MLP([10, *[20] * 8, 2]), nn.MLP([10, 400, 2])
    x = backlit.randn(64, 10)
    found = insight.summary(wide, x)
    rows = {layer.path: layer for layer in found.layers}
    assert (rows["layers.0"].parameters, rows["layers.1"].parameters) == (10 * 400 + 400, 802)
    assert rows["layers.0"].flops == 64 * (2 * 10 * 400 + 400)
    assert rows["activations.0"].flops == 64 * 400
    assert found.flops == 64 * (2 * 10 * 400 + 400 + 400 + 2 * 400 * 2 + 2)
    assert all(layer.seconds > 0 for layer in found.layers)
    assert found.seconds > 0
    side_by_side = insight.compare({"deep": deep, "wide": wide}, x)
    first, second = side_by_side.summaries
    assert (first.parameters, second.parameters) == (10 * 20 + 20 + 7 * 420 + 42, 5202)
    assert side_by_side.most_parameters == "wide"
    assert side_by_side.slowest == ("deep" if first.seconds > second.seconds else "wide")


@pytest.mark.parametrize("kind", ["real", "vector", "binary", "classes"])
def test_F14_each_kind_of_target_trains(kind: str) -> None:
    """Real numbers, vectors, {0, 1}^d and discrete classes from X = [0, 1]²."""
    backlit.manual_seed(0)
    x = backlit.rand(60, 2)
    a, b = x[:, :1], x[:, 1:]
    target: Any
    loss_of: Any
    if kind == "real":
        target, loss_of, n = a * 2 - b, nn.MSELoss(), 1
    elif kind == "vector":
        target, loss_of, n = backlit.cat([a + b, a - b, a * 3], 1), nn.MSELoss(), 3
    elif kind == "binary":
        target = backlit.cat([(a > 0.5).float(), (b > 0.5).float()], 1)
        loss_of, n = nn.BCEWithLogitsLoss(), 2
    else:
        target = (a > 0.5).squeeze(1).long() + (b > 0.5).squeeze(1).long()
        loss_of, n = nn.CrossEntropyLoss(), 3
    model = nn.MLP([2, 8, n], "tanh")
    before = loss_of(model(x), target).item()
    assert descend(model, loss_of, x, target) < 0.5 * before


def test_F15_a_shared_representation_needs_fewer_parameters() -> None:
    """One network with two outputs against two networks."""

    def count(*sizes: int) -> int:
        return sum(p.numel() for p in nn.MLP(sizes).parameters())

    assert count(4, 20, 2) == 142
    assert 2 * count(4, 20, 1) == 242


def test_F16_classes_as_binary_vectors() -> None:
    """y = 2 is [0, 0, 1, 0]; cross-entropy takes indices and rows of probabilities alike."""
    y = backlit.tensor([2, 0])
    rows = F.one_hot(y, 4)
    assert rows.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    scores = backlit.randn(2, 4)
    loss_of = nn.CrossEntropyLoss()
    assert loss_of(scores, y).item() == pytest.approx(loss_of(scores, rows.float()).item())


@pytest.mark.parametrize("saturating", [False, True])
def test_F17_several_yes_or_no_answers_at_once(saturating: bool) -> None:
    """Image tagging: binary cross-entropy of scores, or squared error of sigmoid outputs."""
    backlit.manual_seed(1)
    x = backlit.randn(80, 3)
    tags = (x @ backlit.tensor([[1.0, 0, 1, -1], [0, 1, -1, 0], [0.5, 0, 0, 1]]) > 0).float()
    model = nn.MLP([3, 12, 4], "tanh", "sigmoid" if saturating else None)
    loss_of: Any = nn.MSELoss() if saturating else nn.BCEWithLogitsLoss()
    descend(model, loss_of, x, tags, steps=600, lr=2.0)
    threshold = 0.5 if saturating else 0.0
    assert ((model(x) > threshold).float() == tags).float().mean().item() > 0.95


def test_F18_four_classes_of_images() -> None:
    """Pedestrian, car, motorcycle or truck, as a vector of four: learned from drawn shapes."""
    images, kinds = drawn_vehicles(480)
    assert F.one_hot(kinds[:1], 4).sum().item() == 1
    backlit.manual_seed(0)
    model = nn.MLP([64, 32, 4])
    adam = optim.Adam(model.parameters(), lr=0.02)
    loss_of = nn.CrossEntropyLoss()
    train.fit(model, (images[:360], kinds[:360]), loss_of, adam, epochs=30, progress=False)
    scores = train.predict(model, images[360:])
    assert (scores.argmax(1) == kinds[360:]).float().mean().item() > 0.9


def drawn_vehicles(n: int) -> tuple[Any, Any]:
    """8 × 8 images of a tall bar, a low box, a thin line and a large box, moved and noisy."""
    rng = np.random.default_rng(0)
    kinds = np.arange(n) % 4
    images = rng.normal(0, 0.1, (n, 8, 8))
    sizes = {0: (5, 1), 1: (2, 4), 2: (1, 3), 3: (5, 5)}
    for image, kind in zip(images, kinds, strict=True):
        height, width = sizes[int(kind)]
        top, left = rng.integers(0, 8 - height), rng.integers(0, 8 - width)
        image[top : top + height, left : left + width] += 1
    flat = images.reshape(n, 64).astype(np.float32)
    return backlit.tensor(flat), backlit.tensor(kinds.astype(np.int64))


def test_F19_quiz_without_activation_the_network_is_linear() -> None:
    """W₂(W₁x + b₁) + b₂ = W₃x + b₃; θ(x) = Cx is linear too."""
    model = nn.Sequential(nn.Linear(4, 9), nn.Identity(), nn.Linear(9, 6), nn.Linear(6, 2))
    single = nn.collapse_linear(model)
    assert single.weight.shape == (2, 4)
    x = backlit.randn(10, 4)
    assert np.allclose(values(single(x)), values(model(x)), atol=1e-5)
    mlp = nn.MLP([3, 5, 2], None, bias=False)
    w1, w2 = (values(layer.weight) for layer in mlp.layers)
    collapsed = nn.collapse_linear(mlp)
    assert collapsed.bias is None
    assert np.allclose(values(collapsed.weight), w2 @ w1, atol=1e-5)
    cx = nn.MLP([3, 5, 2], None, bias=False)  # θ(x) = Cx changes nothing
    first, second = cx.layers
    c = np.diag(np.arange(1.0, 6.0)).astype(np.float32)
    with_c = nn.Sequential(first, nn.Linear(5, 5, bias=False), second)
    with_c[1].weight.data = backlit.tensor(c)
    expected = values(second.weight) @ c @ values(first.weight)
    assert np.allclose(values(nn.collapse_linear(with_c).weight), expected, atol=1e-5)
    data = (backlit.randn(30, 4), backlit.zeros(30, 2))
    found = doctor.check(model, data).of("stacked Linear")
    assert [finding.where for finding in found] == ["2", "3"]
    good = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))
    assert doctor.check(good, data).of("stacked Linear") == []


def test_F20_more_hidden_units_fit_a_curve_better() -> None:
    """One hidden layer on sin 3x: the largest error falls with the width, for σ and tanh.

    Hidden weights are random and only the (linear) output layer is solved for, so that what is
    seen is capacity and not the patience of an optimizer.
    """
    x = np.linspace(-1, 1, 200)[:, None]
    y = np.sin(3 * x)
    for f in (sigmoid, np.tanh):
        errors = []
        for p in (1, 4, 16, 64):
            rng = np.random.default_rng(p)
            hidden = f(x @ rng.normal(0, 4, (1, p)) + rng.uniform(-3, 3, p))
            features = np.concatenate([hidden, np.ones_like(x)], 1)
            output = np.linalg.lstsq(features, y, rcond=None)[0]
            model = nn.MLP([1, p, 1], "tanh" if f is np.tanh else "sigmoid", dtype=backlit.float64)
            rng = np.random.default_rng(p)
            first, last = model.layers
            first.weight.data = backlit.tensor(rng.normal(0, 4, (1, p)).T)
            first.bias.data = backlit.tensor(rng.uniform(-3, 3, p))
            last.weight.data = backlit.tensor(output[:-1].T)
            last.bias.data = backlit.tensor(output[-1])
            errors.append(float(np.abs(values(model(backlit.tensor(x))) - y).max()))
        assert errors[0] > errors[1] > errors[2]
        assert errors[-1] < 1e-3
