"""The doctor: each rule finds its sickness, and nothing in the healthy; nothing is changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim
from backlit.data import DataLoader, Standardize, TensorDataset, iris, toys
from backlit.insight import doctor

TABLE = iris()
DATA = (Standardize().fit_transform(TABLE.x), TABLE.y)


def mlp(*sizes: int, activation: Any = "relu", seed: int = 0) -> Any:
    backlit.manual_seed(seed)
    return nn.MLP(sizes, activation)


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "gelu"])
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_network_has_no_findings(activation: str, seed: int) -> None:
    """Standardised data, ordinary weights, an ordinary rate."""
    model = mlp(4, 16, 16, 3, activation=activation, seed=seed)
    adam = optim.Adam(model.parameters(), lr=0.003)
    report = doctor.check(model, DATA, nn.CrossEntropyLoss(), adam)
    assert report.findings == ()
    assert report.healthy
    assert "nothing found" in str(report)
    assert [x.path for x in report.layers] == [f"layers.{i}.weight" for i in range(3)]


def test_nothing_is_changed() -> None:
    """Weights, running means, gradients, modes, optimizer and random numbers are as before."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model.eval()
    adam = optim.Adam(model.parameters(), lr=0.01)
    nn.CrossEntropyLoss()(model(DATA[0]), DATA[1]).backward()
    adam.step()
    grads = [p.grad.tolist() for p in model.parameters()]
    state = {name: t.tolist() for name, t in model.state_dict().items()}
    steps = [adam.state[p]["step"] for p in model.parameters()]
    backlit.manual_seed(7)
    expected = backlit.rand(3).tolist()
    backlit.manual_seed(7)
    doctor.check(model, DATA, nn.CrossEntropyLoss(), adam)
    doctor.overfit_check(model, DATA, None, adam, steps=20)
    assert backlit.rand(3).tolist() == expected
    assert {name: t.tolist() for name, t in model.state_dict().items()} == state
    assert [p.grad.tolist() for p in model.parameters()] == grads
    assert [float(adam.state[p]["step"]) for p in model.parameters()] == [float(n) for n in steps]
    assert not model.training
    assert [group["lr"] for group in adam.param_groups] == [0.01]
    assert model[0]._scope == "0"


def test_it_works_in_eager_mode_and_without_gradients() -> None:
    """In `eager()` and `no_grad()` blocks the same is found, and the modes stay."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Sign(), nn.Linear(8, 3))
    with backlit.eager():
        assert doctor.check(model, DATA).rules == ["zero gradient"]
        assert (backlit.ones(2) + 1)._data is not None
    with backlit.no_grad():
        assert doctor.check(model, DATA).rules == ["zero gradient"]
        assert not backlit.is_grad_enabled()


class Batches:
    """Something that gives batches, as the data of a loop of one's own may."""

    def __init__(self, *batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


@pytest.mark.parametrize("kind", ["table", "pair", "dataset", "loader", "batches"])
def test_data_of_every_kind(kind: str) -> None:
    """What `fit` takes, the doctor takes."""
    data: Any = {
        "table": TABLE,
        "pair": (TABLE.x, TABLE.y),
        "dataset": TensorDataset(TABLE.x, TABLE.y),
        "loader": DataLoader(TensorDataset(TABLE.x, TABLE.y), batch_size=50),
        "batches": Batches((TABLE.x[:50], TABLE.y[:50])),
    }[kind]
    report = doctor.check(mlp(4, 8, 3), data)
    assert "raw data" in report.rules
    rows = 150 if kind in ("table", "pair", "dataset") else 50
    assert report.subject == f"MLP on {rows} rows with CrossEntropyLoss"


def test_nan_is_traced_to_where_it_begins() -> None:
    """In the data, in a weight, or at the op that made it of finite numbers."""
    x = DATA[0].clone()
    x[3, 1] = math.nan
    (finding,) = doctor.check(mlp(4, 8, 3), (x, DATA[1])).of("NaN or infinity")
    assert (finding.where, finding.what) == ("data", "1 of 150 rows hold NaN or infinite values.")
    model = mlp(4, 8, 3)
    model.layers[1].weight.data[0, 0] = math.inf
    (finding,) = doctor.check(model, DATA).of("NaN or infinity")
    assert finding.where == "layers.1.weight"

    class Log(nn.Module):
        def forward(self, x: Any) -> Any:
            return (x * x).log()

    zero = DATA[0] * backlit.tensor([1.0, 0.0, 1.0, 1.0])
    model = nn.Sequential(Log(), nn.Linear(4, 3))
    (finding,) = doctor.check(model, (zero, DATA[1])).of("NaN or infinity")
    assert finding.where.startswith("0 (test_doctor.py:")
    assert finding.what.startswith("log makes infinity of finite inputs (0 … ")


def test_an_infinite_slope_is_traced_to_its_op() -> None:
    """√0 is finite and its slope is not: the gradient, not the loss, is what breaks."""

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(backlit.zeros(4))

        def forward(self, x: Any) -> Any:
            return (x * self.w).abs().sum(1, keepdim=True).sqrt()

    report = doctor.check(Root(), (DATA[0], DATA[0][:, :1]))
    assert math.isfinite(report.loss)
    (finding,) = report.of("exploding gradient")
    assert "sqrt on: its slope is infinite here" in finding.what
    assert "test_doctor.py:" in finding.where


def test_parameters_that_take_no_part() -> None:
    """One that forward does not use, and a whole network behind argmax."""

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return self.used(x)

    found = doctor.check(Unused(), DATA).of("not connected")
    assert [finding.where for finding in found] == ["unused.weight", "unused.bias"]

    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return self.layer(x).argmax(1, keepdim=True).float()

    (finding,) = doctor.check(Choice(), (DATA[0], DATA[0][:, :1])).findings[:1]
    assert finding.rule == "zero gradient"
    assert "an argmax" in finding.what
    frozen = mlp(4, 3).requires_grad_(False)
    (finding,) = doctor.check(frozen, DATA).of("zero gradient")
    assert finding.what == "the model has no parameter that requires a gradient."


def test_a_last_layer_of_zeros_is_healthy() -> None:
    """Its rows are equal and their gradients are not: one step makes them different."""
    model = mlp(4, 16, 3)
    nn.init.zeros_(model.layers[1].weight)
    assert doctor.check(model, DATA).of("symmetric units") == []


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_units_saturate_on_either_side(side: float, activation: str) -> None:
    """A bias of ±20 pushes every unit to one of the two flat ends."""
    model = mlp(4, 8, 3, activation=activation)
    model.layers[0].bias.data = model.layers[0].bias.data + side * 20
    (finding,) = doctor.check(model, DATA).of("saturated units")
    assert finding.what.startswith(f"100% of the {activation} inputs have |z| > ")
    assert "8 of 8 units for all samples" in finding.what
    assert doctor.saturated_share(model, DATA[0]) == {"activations.0": 1.0}


def test_vanishing_and_exploding_gradients() -> None:
    """Thirty tanh layers at the usual start vanish; large weights without a limit explode; both
    are seen layer by layer."""
    deep = mlp(4, *[16] * 30, 3, activation="tanh")
    report = doctor.check(deep, DATA)
    (finding,) = report.of("vanishing gradient")
    assert finding.where == "layers.0.weight"
    sizes = [x.gradient for x in report.layers]
    assert len(sizes) == 31
    assert sizes[0] < 1e-6 * sizes[-1]
    large = mlp(4, *[16] * 30, 3, activation="leaky_relu")
    for layer in large.layers:
        nn.init.normal_(layer.weight, 0, 1)
    assert doctor.check(large, DATA).of("exploding gradient")


def test_learning_rates_are_tried() -> None:
    """Too small a rate does nothing in ten steps, too large a one climbs; a good one passes."""
    for rate, words in ((1e-7, "less than a thousandth"), (1e3, "rising"), (0.1, "")):
        model = mlp(4, 16, 3)
        sgd = optim.SGD(model.parameters(), lr=rate)
        found = doctor.check(model, DATA, None, sgd).of("learning rate")
        assert len(found) == bool(words)
        assert all(words in finding.what for finding in found)


def test_values_that_are_looked_at_on_the_way_are_reported() -> None:
    """A print in forward cuts the recording; the rest is still looked at."""

    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            h = self.first(x).relu()
            h.sum().item()
            return self.second(h)

    report = doctor.check(Peeking(), DATA)
    assert report.rules == ["values looked at"]
    assert len(report.layers) == 2
    assert all(x.gradient > 0 for x in report.layers)


class Parts(nn.Module):
    """Two inputs, and a dictionary of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(1, 4)

    def forward(self, x: Any, y: Any) -> Any:
        return {"sum": self.a(x) + self.b(y)}


def test_models_of_other_forms() -> None:
    """Several inputs, outputs in a dictionary, embeddings of whole numbers, LBFGS."""
    backlit.manual_seed(0)
    x, y = DATA[0][:, :3], DATA[0][:, 3:]
    batches = Batches((x, y, DATA[1]))
    report = doctor.check(
        Parts(), batches, lambda output, target: nn.CrossEntropyLoss()(output["sum"], target)
    )
    assert report.findings == ()
    assert [layer.path for layer in report.layers] == ["a.weight", "b.weight"]
    words = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 3))
    ids = backlit.tensor(np.random.default_rng(0).integers(0, 10, (30, 3)))
    assert doctor.check(words, (ids, DATA[1][:30])).findings == ()
    model = mlp(4, 8, 3, activation="tanh")
    lbfgs = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    assert doctor.check(model, DATA, None, lbfgs).of("learning rate") == []
    assert doctor.overfit_check(model, DATA, None, lbfgs).passed


def test_loss_of_a_trained_network_is_a_note() -> None:
    """Below log C the network knows something: no sickness."""
    model = mlp(4, 16, 3)
    adam = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        adam.zero_grad()
        nn.CrossEntropyLoss()(model(DATA[0]), DATA[1]).backward()
        adam.step()
    report = doctor.check(model, DATA)
    (finding,) = report.of("loss at start")
    assert finding.severity == 1
    assert report.healthy


def test_a_report_reads_well() -> None:
    """Numbered, the worst first, each rule explained once, and the gradients at the end."""
    model = mlp(4, 8, 8, 3, activation="sigmoid")
    for p in model.parameters():
        p.data = p.data * 100
    text = str(doctor.check(model, TABLE))
    assert text.startswith("Checkup of MLP on 150 rows with CrossEntropyLoss: loss ")
    assert "1. S" in text
    assert "saturated units, in activations.0 (Sigmoid)" in text
    assert text.count("There the curve is flat") == 1
    assert "weight           its size  its gradient  gradient, log scale" in text
    assert max(map(len, text.splitlines())) <= 100


# -- learning a few samples by heart -------------------------------------------------------------


def test_overfit_check_passes_and_says_so() -> None:
    """All twenty samples in a few hundred steps; a regression to 1 % of its variance."""
    found = doctor.overfit_check(mlp(4, 16, 3), DATA)
    assert found.passed
    assert (found.score, found.samples) == (1.0, 20)
    assert found.diagnosis == ()
    assert str(found).startswith("Overfit check passed: 100% of 20 samples after ")
    table = toys.plane(100)
    assert doctor.overfit_check(mlp(2, 16, 1, activation="tanh"), table).passed


def test_yes_or_no_targets_are_scored_as_such() -> None:
    """BCEWithLogitsLoss: an output is right on its side of 0."""
    y = (DATA[1] == 0).float().unsqueeze(1)
    assert doctor.overfit_check(mlp(4, 8, 1), (DATA[0], y), nn.BCEWithLogitsLoss()).score == 1
    batches = Batches((DATA[0][::8], DATA[1][::8]))
    assert doctor.overfit_check(mlp(4, 8, 3), batches, samples=15).samples == 15


@pytest.mark.parametrize(
    "sickness, rule",
    [
        ("small rate", "learning rate"),
        ("large rate", "exploding gradient"),
        ("zeros", "vanishing gradient"),
        ("saturated", "initial weights"),
        ("sign", "zero gradient"),
        ("contradiction", "contradictory data"),
        ("capacity", "capacity"),
    ],
)
def test_overfit_check_finds_the_cause(sickness: str, rule: str) -> None:
    """Learning rate, initial weights, gradients that explode or vanish, data, capacity."""
    model, data, rate = mlp(4, 16, 3), DATA, 0.1
    if sickness == "small rate":
        rate = 1e-6
    elif sickness == "large rate":
        rate = 1e6
    elif sickness == "zeros":
        for p in model.parameters():
            nn.init.zeros_(p)
    elif sickness == "saturated":
        model = mlp(4, 16, 3, activation="sigmoid")
        for p in model.layers[0].parameters():
            p.data = p.data * 1e6
        model.layers[1].weight.data = model.layers[1].weight.data * 1e6
    elif sickness == "sign":
        backlit.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 2), nn.Sign(), nn.Linear(2, 3))
    elif sickness == "contradiction":
        data = (DATA[0] * 0, DATA[1])
    else:
        model = mlp(4, 1, 3, activation="tanh")
        data = (DATA[0], backlit.tensor(np.random.default_rng(0).integers(0, 3, 150)))
    make: Any = optim.Adam if sickness == "saturated" else optim.SGD
    optimizer = make(model.parameters(), lr=rate)
    found = doctor.overfit_check(model, data, None, optimizer, steps=400)
    assert not found.passed
    assert rule in [finding.rule for finding in found.diagnosis]
    assert str(found).startswith("Overfit check FAILED: ")


@pytest.mark.parametrize(
    "act, message",
    [
        (
            lambda: doctor.overfit_check(mlp(4, 3), DATA, samples=30),
            (
                "overfit_check: samples must be between 1 and 29, got 30; the point is to learn "
                "few by heart."
            ),
        ),
        (
            lambda: doctor.overfit_check(nn.ReLU(), DATA),
            "overfit_check: ReLU has no parameter that requires a gradient.",
        ),
        (
            lambda: doctor.check(mlp(4, 3), DATA, nn.CrossEntropyLoss(reduction="none")),
            (
                "doctor: the loss must be a tensor of one number, got shape (150,); reduce it with "
                ".mean() or .sum()."
            ),
        ),
        (
            lambda: doctor.overfit_check(mlp(4, 3), DATA, lambda output, target: 1.0),
            (
                "doctor: the loss must be a tensor of one number, got float; reduce it with "
                ".mean() or .sum()."
            ),
        ),
        (
            lambda: doctor.check(nn.Sequential(nn.LazyLinear(3)), DATA),
            (
                "doctor: Sequential has parameters whose shapes are not known yet; call it once "
                "with some input first."
            ),
        ),
        (
            lambda: doctor.check(mlp(4, 3), Batches()),
            "doctor: the data gave no batches; is the data set empty?",
        ),
    ],
)
def test_what_is_refused(act: Any, message: str) -> None:
    """Too many samples, nothing to learn, nothing to learn from."""
    with pytest.raises(ValueError) as error:
        act()
    assert str(error.value) == message
