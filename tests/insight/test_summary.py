"""Summaries: counts by hand, arithmetic node by node, models left as they were."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import insight, nn
from backlit.insight.text import number, seconds, table
from backlit.nn import functional as F


class TwoLayers(nn.Module):
    """Written with functions, as in PyTorch's tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(100, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Any) -> Any:
        return self.fc2(F.relu(self.fc1(x)))


def test_functions_between_layers_are_counted_as_the_models_own_code() -> None:
    """Layers have the counts of their formulas; the ReLU in `forward` counts for the model."""
    found = insight.summary(TwoLayers(), np.ones((8, 100), np.float32), time=False)
    rows = {layer.path: (layer.parameters, layer.flops, layer.output) for layer in found.layers}
    assert rows == {
        "fc1": (5050, 8 * (2 * 100 * 50 + 50), (8, 50)),
        "fc2": (510, 8 * (2 * 50 * 10 + 10), (8, 10)),
        "": (0, 8 * 50, (8, 10)),
    }
    assert (found.parameters, found.trainable, found.buffers) == (5560, 5560, 0)
    assert found.memory == 4 * 5560
    assert math.isnan(found.seconds)


def test_shared_layers_are_counted_once_and_worked_twice() -> None:
    """Parameters exist once, arithmetic is done at every call; frozen ones are told apart."""
    shared = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    shared.requires_grad_(False)
    found = insight.summary(model, backlit.ones(2, 4))
    (row,) = [layer for layer in found.layers if layer.kind == "Linear"]
    assert (row.parameters, row.calls, row.flops) == (16, 2, 2 * 2 * 2 * 4 * 4)
    assert (found.parameters, found.trainable) == (16, 0)
    assert "Linear ×2" in str(found)
    assert "(16 frozen)" in str(found)


def test_the_model_is_left_as_it_was() -> None:
    """Modes, running means, gradients and hooks; and training goes on with the same programs."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[2].eval()
    before = {name: t.tolist() for name, t in model.state_dict().items()}
    found = insight.summary(model)
    assert found.buffers == 9
    assert found.input == ((32, 3),)
    assert {name: t.tolist() for name, t in model.state_dict().items()} == before
    assert [m.training for m in model] == [True, True, False]
    assert model[0].weight.grad is None
    assert not model[0]._forward_hooks
    assert backlit.source(model(backlit.ones(2, 3))).count("Sequential/0") > 0


def test_softmax_and_sums_have_their_passes() -> None:
    """Five passes for softmax, one for a sum, none for moving data about."""

    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.T.reshape(4, 3).softmax(1).sum(1)

    assert insight.summary(Odd(), backlit.ones(3, 4), time=False).flops == 5 * 12 + 12


def test_printed_summary() -> None:
    """A table that reads from the input to the output."""
    lines = str(insight.summary(nn.MLP([3, 5, 2]), backlit.ones(7, 3))).split("\n")
    assert lines[0] == "MLP, input 7 × 3"
    assert lines[2].split() == ["layer", "kind", "output", "parameters", "FLOPs", "time", "alone"]
    assert lines[4].split()[:7] == ["layers.0", "Linear", "7", "×", "5", "20", "245"]
    assert lines[5].startswith("activations.0  ReLU      7 × 5")
    assert lines[-1] == "memory: 128 bytes for 32 parameters"
    assert lines[-2].startswith("forward pass as a whole: ")


def test_printed_comparison() -> None:
    """Each model has a column, with its ratio to the first."""
    models = {"small": nn.Linear(10, 10, bias=False), "large": nn.Linear(10, 30, bias=False)}
    lines = str(insight.compare(models, backlit.ones(1, 10))).split("\n")
    assert lines[0].split() == ["small", "large"]
    assert lines[2].split() == ["parameters", "100", "300", "(3×)"]
    assert lines[3].split() == ["FLOPs,", "forward", "200", "600", "(3×)"]
    assert lines[-1].startswith("input 1 × 10; large has the most parameters, ")
    unnamed = insight.compare([nn.Linear(2, 1), nn.Linear(2, 2)], time=False)
    assert [s.name for s in unnamed.summaries] == ["1 Linear", "2 Linear"]


@pytest.mark.parametrize(
    "act, message",
    [
        (
            lambda: insight.summary(nn.ReLU()),
            (
                "summary: no layer of ReLU tells how wide its input is; give an input, as in "
                "summary(model, x)."
            ),
        ),
        (
            lambda: insight.compare([]),
            "compare: there are no models to compare; give at least one.",
        ),
    ],
)
def test_what_is_refused(act: Any, message: str) -> None:
    """Nothing to run, nothing to compare."""
    with pytest.raises(ValueError) as error:
        act()
    assert str(error.value) == message


def test_numbers_times_and_tables() -> None:
    """Thousands apart, a unit that suits, columns under each other."""
    assert [number(n) for n in (7, 1234567, 0.5, 12345.678)] == [
        "7",
        "1 234 567",
        "0.5",
        "1.235e+04",
    ]
    assert [seconds(t) for t in (2.0, 0.0123, 4.56e-5, math.nan)] == [
        "2 s",
        "12.3 ms",
        "45.6 µs",
        "",
    ]
    assert table([("a", "b"), ("ccc", "1")]) == ["a    b", "ccc  1"]
