"""Run folders, TensorBoard events, the learning-rate range test, and regularizers."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim, train
from backlit.train.run_folder import as_json, read_rows

RNG = np.random.default_rng(0)
X = backlit.tensor(RNG.normal(size=(40, 3)).astype(np.float32))
Y = X[:, :1] * 2


def fit(model: nn.Module, **options: Any) -> train.History:
    made = optim.SGD(model.parameters(), lr=0.1)
    options = {"epochs": 3, "progress": False, **options}
    return train.fit(model, (X, Y), nn.MSELoss(), made, **options)


def test_a_run_folder_holds_config_and_rows(tmp_path: Path) -> None:
    """One line per epoch, equal to the history; the configuration names what was trained."""
    folder = train.RunFolder(tmp_path / "run", config={"note": "first"})
    history = fit(nn.Linear(3, 1), run_folder=folder, seed=4, metrics=["confusion"][:0])
    assert read_rows(folder.metrics_path) == history.rows
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"] == "Linear(in_features=3, out_features=1, bias=True)"
    assert (config["parameters"], config["optimizer"], config["seed"]) == (4, "SGD", 4)
    assert (config["note"], config["epochs"]) == ("first", 3)
    assert config["optimizer_options"]["lr"] == 0.1


def test_rows_are_flushed_at_once(tmp_path: Path) -> None:
    """Whoever looks while it trains sees every finished epoch but the one in progress."""
    seen = []

    class Look(train.Callback):
        def on_epoch_begin(self, run: train.Run) -> None:
            seen.append(len(read_rows(tmp_path / "metrics.jsonl")))

    fit(nn.Linear(3, 1), run_folder=tmp_path, callbacks=[Look()])
    assert seen == [0, 1, 2]


def test_a_new_run_begins_a_new_file(tmp_path: Path) -> None:
    """Only a resume keeps lines."""
    fit(nn.Linear(3, 1), run_folder=tmp_path)
    fit(nn.Linear(3, 1), run_folder=tmp_path, epochs=1)
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1


def test_a_cut_line_is_left_out(tmp_path: Path) -> None:
    """A crash in the middle of a line costs that line only."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epo')
    assert read_rows(path) == [{"epoch": 1}]


def test_json_has_no_nan() -> None:
    """NaN and infinities become null, arrays lists, other things their text."""
    value = {"a": [math.nan, math.inf, 1.5], "b": np.eye(2), 3: (True, None), "c": nn.ReLU()}
    assert as_json(value) == {
        "a": [None, None, 1.5],
        "b": [[1.0, 0.0], [0.0, 1.0]],
        "3": [True, None],
        "c": "ReLU()",
    }


def test_without_tensorboard_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError) as error:
        train.TensorBoard(tmp_path)
    assert str(error.value) == (
        "train.TensorBoard needs tensorboard, which is not installed; install it with: "
        "pip install backlit[tensorboard]"
    )


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_events(tmp_path: Path) -> None:
    """Every number of every epoch can be read back."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    history = fit(nn.Linear(3, 1), callbacks=[train.TensorBoard(tmp_path)])
    (path,) = tmp_path.iterdir()
    found = {}
    for event in loader.LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert [step for step, _ in found["loss"]] == [1, 2, 3]
    assert [loss for _, loss in found["loss"]] == pytest.approx(history["loss"], rel=1e-6)


def test_the_range_test_finds_the_rates_that_work() -> None:
    """Its suggestion trains well; a thousandth hardly moves, 300 times as much diverges."""
    backlit.manual_seed(0)
    model = nn.Linear(3, 1)
    before = [p.tolist() for p in model.parameters()]
    optimizer = optim.SGD(model.parameters(), lr=0.123, momentum=0.5)
    state = backlit.get_rng_state().tolist()
    found = train.lr_range_test(
        model, (X, Y), nn.MSELoss(), optimizer, start=1e-5, end=100.0, batch_size=10
    )
    assert [p.tolist() for p in model.parameters()] == before
    assert optimizer.param_groups[0]["lr"] == 0.123
    assert not optimizer.state
    assert backlit.get_rng_state().tolist() == state
    assert found.diverged_at is not None
    assert found.rates[0] < found.suggestion < found.diverged_at

    def loss_with(rate: float) -> float:
        copy = nn.Linear(3, 1)
        copy.load_state_dict(model.state_dict())
        sgd = optim.SGD(copy.parameters(), lr=rate, momentum=0.5)
        for _ in range(30):
            sgd.zero_grad()
            loss = nn.MSELoss()(copy(X), Y)
            loss.backward()
            sgd.step()
        return loss.item()  # type: ignore[no-any-return]

    start = nn.MSELoss()(model(X), Y).item()
    assert loss_with(found.suggestion) < 0.3 * start
    assert loss_with(found.suggestion / 1000) > 0.7 * start
    assert not loss_with(found.suggestion * 300) < start


def test_range_test_refusals() -> None:
    """An empty range, no data, and a loss that is NaN from the start."""
    model = nn.Linear(3, 1)
    sgd = optim.SGD(model.parameters())
    with pytest.raises(ValueError) as error:
        train.lr_range_test(model, (X, Y), nn.MSELoss(), sgd, start=1.0, end=0.1)
    assert str(error.value) == (
        "lr_range_test: expected 0 < start < end and steps ≥ 5, got 1.0, 0.1, 100."
    )
    with pytest.raises(ValueError) as error:
        train.lr_range_test(model, (X * math.nan, Y), nn.MSELoss(), sgd)
    assert str(error.value) == (
        "lr_range_test: the loss is nan before the first step; look at the data and the initial "
        "weights."
    )

    class Nothing:
        def __iter__(self) -> Any:
            return iter([])

    with pytest.raises(ValueError) as error:
        train.lr_range_test(model, Nothing(), nn.MSELoss(), sgd)
    assert str(error.value) == (
        "lr_range_test: the data gave no batches in epoch 1; is the set empty?"
    )


def test_regularizers_leave_biases_out() -> None:
    """Weights only, unless asked; frozen parameters and models without any count nothing."""
    model = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    for p in model.parameters():
        p.data = backlit.full(p.shape, 2.0)
    assert train.l2(model).item() == 3 * 4.0
    assert train.l2(model, bias=True).item() == 5 * 4.0
    assert train.l1(model).item() == 3 * 2.0
    train.l2(model).backward()
    assert model[0].weight.grad.tolist() == [[4.0, 4.0]]
    assert model[0].bias.grad is None
    model[0].requires_grad_(False)
    assert train.l2(model).item() == 4.0
    assert train.l2(nn.ReLU()).item() == 0.0
