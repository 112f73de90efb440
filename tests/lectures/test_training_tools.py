"""Section 1.6 of the checklist: the rows for which Backlit has a tool of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import insight, nn, optim, train
from backlit.data import DataLoader, Standardize, TensorDataset, digits, iris
from backlit.insight import doctor

F64 = backlit.float64
TABLE = iris()
DATA = (Standardize().fit_transform(TABLE.x), TABLE.y)


def values(t: Any) -> Any:
    return t.detach().numpy()


def test_O05_sample_forward_backward_step_repeat() -> None:
    """The loop of stochastic gradient descent on images of digits, batch by batch.

    The slide's network is convolutional. Convolutions are still to come; the loop is the same for
    any network, and runs here with a dense one.
    """
    table = digits()
    train_set = TensorDataset(table.x[:1400] / 16, table.y[:1400])
    backlit.manual_seed(0)
    loader = DataLoader(train_set, batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    loss_of = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    means = []
    for _ in range(6):
        losses = []
        for x, y in loader:  # sample
            loss = loss_of(model(x), y)  # forward
            optimizer.zero_grad()
            loss.backward()  # backward
            optimizer.step()  # step, and repeat
            losses.append(loss.detach())
        means.append(float(backlit.stack(losses).mean().item()))
    assert means[0] > 3 * means[-1]
    found = train.evaluate(model, (table.x[1400:] / 16, table.y[1400:]), metrics="accuracy")
    assert found["accuracy"] > 0.9


@pytest.mark.parametrize(
    "rate, verdict", [(1e-6, "less than a thousandth"), (0.1, ""), (300.0, "rising")]
)
def test_O09_the_doctor_judges_the_step_size(rate: float, verdict: str) -> None:
    """Too small is slow, too large oscillates: ten steps show it."""
    backlit.manual_seed(0)
    model = nn.MLP([4, 16, 3])
    report = doctor.check(model, DATA, None, optim.SGD(model.parameters(), lr=rate))
    what = [finding.what for finding in report.of("learning rate")]
    assert len(what) == bool(verdict)
    assert all(verdict in text for text in what)


def test_O09_the_sweet_spot_by_trial() -> None:
    """Two dimensions with curvatures 1 and 10: rates beyond 2/10 climb, below they arrive sooner
    the larger they are. A range test finds such a rate for a network."""

    def bowl(t: Any) -> Any:
        return (t[0] ** 2 + 10 * t[1] ** 2) / 2

    ends = {rate: insight.descent(bowl, [4.0, 1.0], rate, 40) for rate in (0.01, 0.1, 0.18, 0.21)}
    assert ends[0.01].values[-1] > ends[0.1].values[-1] > ends[0.18].values[-1]
    assert ends[0.21].values[-1] > ends[0.21].values[0]
    assert (np.diff(np.sign(ends[0.18].points[:, 1])) != 0).all()  # it crosses the valley each time
    backlit.manual_seed(0)
    model = nn.MLP([4, 16, 3])
    sgd = optim.SGD(model.parameters(), lr=0.1)
    found = train.lr_range_test(model, DATA, nn.CrossEntropyLoss(), sgd, end=1e3)
    assert found.diverged_at is not None
    assert 1e-3 < found.suggestion < found.diverged_at / 5


def test_O12_the_doctor_names_symmetric_units() -> None:
    """Constant weights: hidden units are copies; small random numbers: they are not."""
    model = nn.MLP([4, 8, 3], "tanh")
    for constant in (0.0, 0.3):
        for p in model.parameters():
            nn.init.constant_(p, constant)
        found = doctor.check(model, DATA).of("symmetric units")
        assert "layers.0.weight" in [finding.where for finding in found]
    for p in model.parameters():
        nn.init.normal_(p, 0, 0.01)
    assert doctor.check(model, DATA).of("symmetric units") == []


def test_O15_the_test_set_is_handed_out_once() -> None:
    """Validation as often as you like; a second test is refused with the reason, and granted only
    if it is asked for."""
    splits = train.split(TABLE, seed=0)
    study = train.Study(splits, metrics="accuracy")
    model = nn.Linear(4, 3)
    for _ in range(3):
        study.validate(model)
    first = study.test(model)
    with pytest.raises(train.TestSetReused) as error:
        study.test(model)
    assert "Choosing between models by their test scores fits the test set" in str(error.value)
    assert "compare on splits.validation" in str(error.value)
    assert study.test(model, again=True) == first
    assert splits.test_uses == 2
    parts = [set(part) for part in splits.indices]
    assert [len(part) for part in parts] == [90, 30, 30]
    assert not any(a & b for a, b in itertools.combinations(parts, 2))


def test_O18_underfit_good_fit_overfit() -> None:
    """Polynomials of degree 1, 3 and 15 through noisy points of sin 3x."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-1, 1, 40))
    y = np.sin(3 * x) + rng.normal(0, 0.25, 40)
    known, new = slice(0, 40, 2), slice(1, 40, 2)

    def losses(degree: int) -> tuple[float, float]:
        features = nn.polynomial_features(backlit.tensor(x), degree)
        model = nn.Linear(degree, 1, dtype=F64)
        design = np.concatenate([features.numpy(), np.ones((40, 1))], axis=1)
        solved = np.linalg.lstsq(design[known], y[known], rcond=None)[0]
        model.weight.data = backlit.tensor(solved[None, :-1])
        model.bias.data = backlit.tensor(solved[-1:])
        error = values(model(features))[:, 0] - y
        return float((error[known] ** 2).mean()), float((error[new] ** 2).mean())

    curve = train.validation_curve([1, 3, 15], losses)
    assert curve.verdicts == ("underfit", "good fit", "overfit")
    assert curve.best == 3
    assert curve.train[0] > curve.train[1] > curve.train[2]
    assert curve.validation[2] > 2 * curve.validation[1]


class Growing(nn.Module):
    """A chain whose gradient is multiplied by `factor` in each of a hundred layers."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3, bias=False, dtype=F64) for _ in range(100))
        for layer in self.layers:
            layer.weight.data = factor * backlit.eye(3, dtype=F64)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_O24_gradient_sizes_layer_by_layer(factor: float) -> None:
    """The gradient of layer l's weight is factor^(99) times its input's size: for the *outputs*
    0.9^100 = 2.7e-5 and 1.1^100 = 1.4e4; the spectral radius of the product decides."""
    model = Growing(factor)
    x = backlit.ones(4, 3, dtype=F64, requires_grad=True)
    out = model(x)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0].item() == pytest.approx({0.9: 2.7e-5, 1.1: 1.4e4}[factor], rel=0.02)
    product = np.linalg.matrix_power(values(model.layers[0].weight), 100)
    assert np.abs(np.linalg.eigvals(product)).max() == pytest.approx(factor**100)
    sizes = doctor.gradient_norms(model, (x.detach(), x.detach() * 0), lambda o, t: o.sum())
    assert list(sizes) == [f"layers.{i}.weight" for i in range(100)]
    assert np.allclose(list(sizes.values()), 4 * factor**99)
    rule = "vanishing gradient" if factor < 1 else "exploding gradient"
    deep = nn.MLP([4, *[8] * 60, 3], "tanh" if factor < 1 else "leaky_relu")
    backlit.manual_seed(0)
    for layer in deep.layers:
        nn.init.normal_(layer.weight, 0, 0.1 if factor < 1 else 1.0)
    assert rule in doctor.check(deep, DATA).rules


def failing(cause: str) -> tuple[Any, Any, float]:
    """A set-up that cannot learn: its model, its data, its learning rate."""
    backlit.manual_seed(0)
    model = nn.MLP([4, 16, 3])
    if cause == "zeros":
        for p in model.parameters():
            nn.init.zeros_(p)
    rates = {"exploding": 1e6, "learning rate": 1e-6}
    return model, DATA, rates.get(cause, 0.1)


@pytest.mark.parametrize(
    "cause, rule",
    [
        ("", ""),
        ("learning rate", "learning rate"),
        ("exploding", "exploding gradient"),
        ("zeros", "vanishing gradient"),
    ],
)
def test_O23_overfit_a_few_samples_first(cause: str, rule: str) -> None:
    """< 30 samples to 100 %; else the rate, the initial weights, the gradients: NaN or infinity
    mean that it explodes, zeros that it vanishes."""
    model, data, rate = failing(cause)
    sgd = optim.SGD(model.parameters(), lr=rate)
    found = doctor.overfit_check(model, data, nn.CrossEntropyLoss(), sgd, samples=29, steps=600)
    assert found.samples == 29
    assert found.passed is (cause == "")
    rules = [finding.rule for finding in found.diagnosis]
    assert (found.score == 1.0) is (cause == "")
    if cause:
        assert rule in rules
        assert ("initial weights" in rules) is (cause == "zeros")
        assert not math.isfinite(found.losses[-1]) or cause != "exploding"
    else:
        assert rules == []


def deep_tanh(skips: bool) -> Any:
    backlit.manual_seed(3)
    blocks: list[nn.Module] = []
    for _ in range(20):
        block = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        blocks.append(nn.Residual(block) if skips else block)
    return nn.Sequential(nn.Linear(4, 8), *blocks, nn.Linear(8, 3))


def test_O26_loss_landscape_with_and_without_skips() -> None:
    """A filter-normalised plane: with skips the loss falls and rises around the weights; without,
    twenty layers deep, it is a plain on which no direction leads anywhere."""
    spans = {}
    for skips in (True, False):
        model = deep_tanh(skips)
        found = insight.loss_landscape(model, DATA, nn.CrossEntropyLoss(), points=9, seed=0)
        assert found.losses.shape == (9, 9)
        assert found.centre == pytest.approx(nn.CrossEntropyLoss()(model(DATA[0]), DATA[1]).item())
        near = found.losses[3:6, 3:6]
        spans[skips] = float(near.max() - near.min())
    assert spans[True] > 10 * spans[False]


def test_O27_the_doctor_asks_for_standardised_data() -> None:
    """Raw features of other sizes are found, standardised ones are not; overflow is traced."""
    backlit.manual_seed(0)
    model = nn.MLP([4, 8, 3])
    raw = TABLE.x * backlit.tensor([1.0, 1000.0, 1.0, 1.0])
    (finding,) = doctor.check(model, (raw, TABLE.y)).of("raw data")
    assert "standard deviations run from" in finding.what
    assert "Standardize" in finding.what_to_do
    assert doctor.check(model, DATA).of("raw data") == []
    model.layers[0].weight.data = model.layers[0].weight.data * 20
    huge = doctor.check(model, (TABLE.x * 4e37, TABLE.y))
    (finding,) = huge.of("NaN or infinity")
    assert finding.where.startswith("layers.0 ")


@pytest.mark.parametrize(
    "make, axes, kept",
    [
        (lambda: nn.GroupNorm(2, 6, dtype=F64), (2,), (64, 2, 3)),
        (lambda: nn.InstanceNorm1d(6, affine=True, dtype=F64), (2,), (64, 6, 5)),
        (lambda: nn.RMSNorm(6, dtype=F64), (1,), (64, 6)),
    ],
    ids=["group", "instance", "rms"],
)
def test_O28_other_normalization_layers(make: Any, axes: Any, kept: Any) -> None:
    """Over groups of channels, over each channel, and by the root mean square alone."""
    layer = make()
    x = np.random.default_rng(0).normal(3, 5, size=(64, 6, 5) if len(kept) == 3 and kept[1] == 6
                                        else (64, 6))  # fmt: skip
    grouped = x.reshape(kept)
    if isinstance(layer, nn.RMSNorm):
        expected = x / np.sqrt((x**2).mean(1, keepdims=True) + np.finfo(np.float64).eps)
    else:
        mean, variance = grouped.mean(axes, keepdims=True), grouped.var(axes, keepdims=True)
        expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    assert np.allclose(values(layer(backlit.tensor(x))), expected)


def test_O28_running_statistics_are_used_in_evaluation() -> None:
    """BatchNorm: after training on batches, eval() uses their running mean and variance."""
    rng = np.random.default_rng(0)
    layer = nn.BatchNorm1d(3, dtype=F64)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(5):
        x = rng.normal(2, 3, (40, 3))
        layer(backlit.tensor(x))
        mean = 0.9 * mean + 0.1 * x.mean(0)
        variance = 0.9 * variance + 0.1 * x.var(0, ddof=1)
    layer.eval()
    x = rng.normal(size=(2, 3))
    assert np.allclose(values(layer(backlit.tensor(x))), (x - mean) / np.sqrt(variance + 1e-5))


def test_O34_downhill_with_eyes_closed() -> None:
    """Numbers of the three pictures: a curve, a convex bowl, a surface with two valleys. Of all
    directions the negative gradient falls fastest."""
    line = insight.descent(lambda t: t[0] ** 4 / 4 - t[0], [-1.0], 0.1, 60)
    assert line.points[-1, 0] == pytest.approx(1, abs=1e-3)
    assert line.turns == 0
    bowl = insight.descent(lambda t: (t * t).sum() / 2, [3.0, -2.0], 0.2, 40)
    assert np.allclose(bowl.points[1:] / bowl.points[:-1], 0.8)

    def valleys(t: Any) -> Any:
        return (t[0] ** 2 - 1) ** 2 + t[1] ** 2

    ends = [
        insight.descent(valleys, start, 0.05, 100).points[-1] for start in ([0.2, 1], [-0.2, 1])
    ]
    assert np.allclose(ends, [[1, 0], [-1, 0]], atol=1e-3)
    start, h = np.array([0.5, 1.0]), 1e-5
    path = insight.descent(valleys, start, 0.05, 1)
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    around = [valleys(backlit.tensor(start + h * np.array([np.cos(a), np.sin(a)]))) for a in angles]
    steepest = angles[int(np.argmin([v.item() for v in around]))]
    down = -path.gradients[0] / np.linalg.norm(path.gradients[0])
    assert np.allclose([np.cos(steepest), np.sin(steepest)], down, atol=0.02)


def test_O35_the_protocol_of_a_run() -> None:
    """Split, model, loss, optimizer, learning, choosing, judging: written from what happened."""
    splits = train.split(TABLE, seed=0)
    study = train.Study(splits, metrics="accuracy")
    protocol = train.Protocol(study)
    backlit.manual_seed(0)
    model = nn.MLP([4, 8, 3])
    adam = optim.Adam(model.parameters(), lr=0.02)
    train.fit(
        model, splits.train, nn.CrossEntropyLoss(), adam, epochs=12, val_data=splits.validation,
        early_stopping=3, callbacks=[protocol], progress=False,
    )  # fmt: skip
    study.validate(model)
    accuracy = study.test(model)["accuracy"]
    lines = str(protocol).split("\n")
    titles = ["Split", "Model", "Loss", "Minimise", "Learn", "Choose", "Judge"]
    assert [line.split()[1] for line in lines] == titles
    assert "90 to learn from, 30 to choose by, 30 to be judged by" in lines[0]
    assert "Adam, lr 0.02, batches of 32, at most 12 epochs, early stopping after 3" in lines[3]
    assert f"test set used once: accuracy {accuracy:.3g}" in lines[6]


@pytest.fixture
def thread_pool() -> Iterator[Any]:
    threads = pytest.importorskip("backlit.native.machine.threads")
    pool = threads.pool()
    before = pool.num_threads
    yield pool
    pool.set_num_threads(before)


def test_O37_any_number_of_threads_gives_the_same_bits(thread_pool: Any) -> None:
    """Products large enough to be shared among threads: three steps with 1, 2 and 3 of them."""
    results = []
    for count in (1, 2, 3):
        thread_pool.set_num_threads(count)
        with backlit.config.flags(tier="hot"):
            backlit.manual_seed(0)
            model = nn.MLP([300, 400, 400, 10])
            x, y = backlit.randn(256, 300), backlit.arange(256) % 10
            sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            for _ in range(3):
                sgd.zero_grad()
                nn.CrossEntropyLoss()(model(x), y).backward()
                sgd.step()
            results.append([values(p).tobytes() for p in model.parameters()])
    assert results[0] == results[1] == results[2]


def test_O40_early_in_training_there_are_fewer_layers_to_pass() -> None:
    """Residual blocks that start at zero pass everything on: the first and the last block get the
    same gradient. Without the skips the first gets next to none. Training brings blocks in."""

    def residual() -> Any:
        backlit.manual_seed(0)
        blocks = []
        for _ in range(20):
            inner, outer = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)
            nn.init.zeros_(outer.weight)
            blocks.append(nn.Residual(nn.Sequential(inner, nn.Tanh(), outer)))
        return nn.Sequential(nn.Linear(4, 8), *blocks, nn.Linear(8, 3))

    def share(model: Any) -> float:
        """How much the blocks add to what passes by them."""
        h = model[0](DATA[0])
        through = h
        for block in model[1:-1]:
            through = block(through)
        return float(((through - h).norm() / h.norm()).item())

    model = residual()
    sizes = doctor.gradient_norms(model, DATA)
    outer = [size for path, size in sizes.items() if path.endswith(".2.weight")]
    assert len(outer) == 20
    assert 0.2 < outer[0] / outer[-1] < 5
    plain = list(doctor.gradient_norms(deep_tanh(False), DATA).values())
    assert plain[0] < 1e-3 * plain[-1]
    assert share(model) == 0
    adam = optim.Adam(model.parameters(), lr=0.001)
    shares = [share(model)]
    for _ in range(3):
        train.fit(model, DATA, nn.CrossEntropyLoss(), adam, epochs=2, progress=False)
        shares.append(share(model))
    assert shares == sorted(shares)
    assert shares[-1] > 0.1
