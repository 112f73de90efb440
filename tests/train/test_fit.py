"""`fit`: what it does to the model, what it reports, and how it ends."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim, train
from backlit.compiler.tiers import Tiered, worker
from backlit.core.position import trie
from backlit.data import DataLoader, IterableDataset, Subset, TensorDataset, iris
from backlit.optim import lr_scheduler
from backlit.train.progress import Bar, Lines, Progress, as_progress, pace, summary

RNG = np.random.default_rng(0)
X = backlit.tensor(RNG.normal(size=(40, 3)).astype(np.float32))
Y = backlit.tensor((X.numpy() @ [1.0, -2.0, 0.5] + 0.3).astype(np.float32)[:, None])
MSE = nn.MSELoss()


def linear(seed: int = 0) -> Any:
    backlit.manual_seed(seed)
    return nn.Linear(3, 1)


def sgd(model: nn.Module, lr: float = 0.05) -> optim.SGD:
    return optim.SGD(model.parameters(), lr=lr)


def fit(model: nn.Module, data: Any = (X, Y), **options: Any) -> train.History:
    options = {"epochs": 2, "progress": False, "batch_size": 10, **options}
    made = options.pop("optimizer", None) or sgd(model, options.pop("lr", 0.05))
    return train.fit(model, data, options.pop("loss", MSE), made, **options)


def values(model: nn.Module) -> list[Any]:
    return [p.tolist() for p in model.parameters()]


def test_fit_is_the_plain_loop() -> None:
    """The same five lines by hand give the same weights, bit for bit."""
    by_hand = linear()
    optimizer = sgd(by_hand)
    backlit.manual_seed(5)
    loader = DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True)
    with backlit.config.flags(tier="hot"):
        for _ in range(3):
            for x, y in loader:
                optimizer.zero_grad()
                MSE(by_hand(x), y).backward()
                optimizer.step()
    fitted = linear()
    fit(fitted, epochs=3, seed=5)
    assert values(fitted) == values(by_hand)


@pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None, reason="needs llvmlite")
def test_seeded_runs_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run with a seed finds the programs of the first, and both run natively alone."""
    compiled: list[Any] = []
    compile = Tiered.compile
    with backlit.config.flags(tier="auto"):
        trie.clear()
        backlit.flush()
        one, two = linear(), linear()  # their weights are drawn outside of the runs
        worker.wait()
        monkeypatch.setattr(Tiered, "compile", lambda t: (compiled.append(t), compile(t)))
        fit(one, epochs=1, seed=5)
        assert len(compiled) == len(set(compiled)) > 0
        assert all(t.plan is not None and t.runs == 1 for t in compiled)
        compiled.clear()
        fit(two, epochs=1, seed=5)
        assert compiled == []


def test_rows_report_the_epoch() -> None:
    """Losses are means over samples, also where the last batch is smaller."""
    model = linear()
    history = fit(model, epochs=1, lr=0.0, batch_size=32, val_data=(X, Y), metrics=["mae"])
    (row,) = history
    error = (model(X) - Y).detach().numpy()
    assert row["loss"] == pytest.approx(float((error**2).mean()), rel=1e-6)
    assert row["val_loss"] == pytest.approx(row["loss"], rel=1e-6)
    assert row["mae"] == row["val_mae"] == pytest.approx(float(np.abs(error).mean()), rel=1e-6)
    assert (row["epoch"], row["step"], row["lr"]) == (1, 2, 0.0)
    assert row["seconds"] > 0
    assert row["samples_per_s"] > 0


def test_a_summed_loss_is_reported_per_sample() -> None:
    """reduction="sum" changes the gradient, not what the row means."""
    history = fit(linear(), epochs=1, lr=0.0, loss=nn.MSELoss(reduction="sum"), batch_size=32)
    assert history["loss"] == pytest.approx(fit(linear(), epochs=1, lr=0.0)["loss"], rel=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (np.array(X.numpy()), np.array(Y.numpy())),
        TensorDataset(X, Y),
        Subset(TensorDataset(X, Y), range(40)),
        DataLoader(TensorDataset(X, Y), 10),
    ],
    ids=["tensors", "arrays", "dataset", "subset", "loader"],
)
def test_kinds_of_data(data: Any) -> None:
    """All of them train."""
    history = fit(linear(), data, epochs=5)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history.last["step"] == 20


def test_table_and_stream() -> None:
    """A bundled table; a stream, whose length nobody knows."""

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(zip(X, Y, strict=True))

    table = iris()
    model = nn.Linear(4, 3)
    history = fit(model, table, loss=nn.CrossEntropyLoss(), metrics="accuracy")
    assert history.last["step"] == 2 * 15
    assert fit(linear(), Stream()).last["step"] == 8


def test_several_inputs() -> None:
    """All parts of a batch but the last are given to the model."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(backlit.tensor(0.0))

        def forward(self, a: Any, b: Any) -> Any:
            return (a + b) * self.scale

    model = Sum()
    fit(model, (X, X, 2 * X), epochs=60, lr=0.1)
    assert model.scale.item() == pytest.approx(1.0, abs=1e-3)


def test_modes_of_modules_survive_validation() -> None:
    """Training runs in training mode, validation in evaluation mode."""
    seen = []

    class Spy(nn.Module):
        def forward(self, x: Any) -> Any:
            seen.append(self.training)
            return x

    model = nn.Sequential(linear(), Spy())
    fit(model, epochs=1, val_data=(X, Y), batch_size=20)
    assert seen == [True, True, False]
    assert model.training
    model[1].eval()
    train.evaluate(model, (X, Y), MSE)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)


def test_a_step_is_one_recording() -> None:
    """After the first steps nothing new is recorded, metrics and sums included."""
    sizes: list[int] = []
    count = train.OnEpochEnd(lambda run, row: sizes.append(trie.count))
    fit(linear(), epochs=5, metrics=["mae"], callbacks=[count], clip_grad=1.0, val_data=(X, Y))
    assert sizes[1:] == [sizes[1]] * 4


def test_clipping_and_penalty() -> None:
    """clip_grad bounds the step; a penalty is added and reported in parts."""
    model = linear()
    before = values(model)
    fit(model, epochs=1, batch_size=40, clip_grad=1e-3, lr=1.0)
    moved = np.sqrt(sum(np.sum(np.subtract(a, b) ** 2) for a, b in zip(values(model), before)))  # noqa: B905
    assert moved == pytest.approx(1e-3, rel=1e-3)
    model = linear()
    row = fit(model, epochs=1, lr=0.0, penalty=lambda m: 0.1 * train.l2(m)).last
    assert row["penalty"] == pytest.approx(0.1 * float((model.weight**2).sum()), rel=1e-6)
    assert row["loss"] == pytest.approx(row["data_loss"] + row["penalty"], rel=1e-12)


def test_schedules_by_epoch_and_by_step() -> None:
    """StepLR steps per epoch, OneCycleLR per step, a plateau by validation loss."""
    model = linear()
    optimizer = sgd(model)
    step = lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    rates = fit(model, optimizer=optimizer, scheduler=step, epochs=3)["lr"]
    assert rates == pytest.approx([0.05, 0.005, 0.0005])
    optimizer = sgd(model)
    cycle = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12)
    fit(model, optimizer=optimizer, scheduler=cycle, epochs=3)
    assert cycle.last_epoch == 12
    optimizer = sgd(model, 0.0)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    optimizer.param_groups[0]["lr"] = 1e-9
    fit(model, optimizer=optimizer, scheduler=plateau, val_data=(X, Y), epochs=2)
    assert plateau.last_epoch == 2
    with pytest.raises(ValueError) as error:
        fit(model, schedule_by="batch")
    assert str(error.value) == "fit: schedule_by must be 'auto', 'epoch' or 'step', got 'batch'."


def test_lbfgs() -> None:
    """The closure may be called often; each batch counts once."""
    model = linear()
    made = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    history = fit(model, optimizer=made, batch_size=40, epochs=3, metrics=["mae"])
    assert history["loss"][-1] < 1e-6
    assert history["step"] == [1, 2, 3]


def test_hooks_are_called_in_order() -> None:
    """Each at its moment, with the run."""
    calls: list[str] = []

    class Log(train.Callback):
        def on_train_begin(self, run: train.Run) -> None:
            calls.append("begin")

        def on_epoch_begin(self, run: train.Run) -> None:
            calls.append(f"epoch {run.epoch + 1}")

        def on_step_end(self, run: train.Run) -> None:
            assert run.loss is not None
            calls.append(f"step {run.step}")

        def on_epoch_end(self, run: train.Run, row: dict[str, Any]) -> None:
            row["mine"] = 1.0
            calls.append("row")

        def on_train_end(self, run: train.Run) -> None:
            calls.append("end")

    log = Log()
    history = fit(linear(), batch_size=20, callbacks=[log])
    step = ["step 1", "step 2", "row", "epoch 2", "step 3", "step 4", "row"]
    assert calls == ["begin", "epoch 1", *step, "end"]
    assert history["mine"] == [1.0, 1.0]


def test_on_train_end_comes_after_an_error_too() -> None:
    """So that files are closed."""
    ended = []

    class Fails(train.Callback):
        def on_step_end(self, run: train.Run) -> None:
            raise RuntimeError("mine")

        def on_train_end(self, run: train.Run) -> None:
            ended.append(True)

    with pytest.raises(RuntimeError, match="mine"):
        fit(linear(), callbacks=[Fails()])
    assert ended == [True]


def test_stopping() -> None:
    """By a condition in mid-epoch, by a callback, by early stopping: the history says why."""
    history = fit(linear(), epochs=9, callbacks=[train.max_steps(6)])
    assert (len(history), history.last["step"]) == (2, 6)
    assert history.stopped == "max_steps(6)"
    good = train.OnEpochEnd(lambda run, row: run.stop("good enough"))
    assert fit(linear(), callbacks=[good]).stopped == "good enough"
    history = fit(linear(), epochs=50, lr=0.0, early_stopping=2, val_data=(X, Y))
    assert len(history) == 4
    assert history.stopped.startswith("no better val_loss than ")
    assert history.stopped.endswith(" (epoch 1) for 3 epochs")


def test_early_stopping_restores_the_best_epoch() -> None:
    """A rate that throws the weights up: the first epoch was best."""
    model = linear()
    weights: list[Any] = []
    keep = train.OnEpochEnd(lambda run, row: weights.append(values(run.model)))
    history = fit(model, epochs=4, lr=1.2, early_stopping=1, callbacks=[keep], val_data=(X, Y))
    best = history.best("val_loss")["epoch"]
    assert history.best_epoch == best
    assert values(model) == weights[best - 1]
    assert values(model) != weights[-1]


def test_divergence_stops_and_is_said() -> None:
    """NaN ends training with a warning, and is never saved."""
    with pytest.warns(train.DivergedWarning) as caught:
        history = fit(linear(), epochs=300, lr=1e6)
    assert history.stopped.startswith("the loss became ")
    assert str(caught[0].message).endswith(
        "; lower the learning rate, standardize the data, or clip the gradients (clip_grad=1.0)."
    )
    assert len(history) < 300


def test_nan_is_not_saved(tmp_path: Path) -> None:
    """The checkpoints before the divergence stay the newest."""
    with pytest.warns(train.DivergedWarning):
        fit(linear(), epochs=300, lr=1e6, checkpoint=tmp_path)
    found = train.load_latest(tmp_path)
    if found is not None:
        assert all(np.isfinite(w.numpy()).all() for w in found[1]["model"].values())


class PressCtrlC(train.Callback):
    """Sends SIGINT, as the keyboard does."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_step_end(self, run: train.Run) -> None:
        for _ in range(self.steps.count(run.step)):
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The state is that after the step; resuming gives the bits of the uninterrupted run."""
    expected = linear()
    fit(expected, epochs=3, seed=1, callbacks=[PressCtrlC()])
    model = linear()
    handler = signal.getsignal(signal.SIGINT)
    history = fit(model, epochs=3, seed=1, callbacks=[PressCtrlC(6)], checkpoint=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert history.interrupted
    assert (history.stopped, len(history)) == ("Ctrl-C after step 6", 1)
    assert capsys.readouterr().err == (
        "Interrupted after step 6, in epoch 2 of 3. To resume, call fit as before with "
        f"checkpoint={str(tmp_path)!r}, resume=True. The best epoch so far is in "
        f"{tmp_path}/best.safetensors.\n"
    )
    resumed = linear(9)
    history = fit(
        resumed, epochs=3, seed=1, callbacks=[PressCtrlC()], checkpoint=tmp_path, resume=True
    )
    assert not history.interrupted
    assert len(history) == 3
    assert values(resumed) == values(expected)


def test_ctrl_c_without_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    """The best weights are put back all the same; what is missing for a resume is said."""
    history = fit(linear(), epochs=3, callbacks=[PressCtrlC(5)], early_stopping=3)
    assert history.best_epoch == 1
    assert capsys.readouterr().err == (
        "Interrupted after step 5, in epoch 2 of 3. Nothing was saved: give fit a "
        "checkpoint=folder to be able to resume. The model now has the weights of epoch 1, the "
        "best.\n"
    )


def test_a_second_ctrl_c_stops_at_once() -> None:
    """KeyboardInterrupt comes out, and the handler is as before."""
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(linear(), callbacks=[PressCtrlC(3, 3)])
    assert signal.getsignal(signal.SIGINT) is handler


def test_refused_arguments() -> None:
    """What makes no sense is said before training."""
    with pytest.raises(ValueError) as error:
        fit(linear(), epochs=-1)
    assert str(error.value) == "fit: epochs must not be negative, got -1."
    with pytest.raises(ValueError) as error:
        fit(linear(), callbacks=[print])
    assert str(error.value) == (
        "fit: <built-in function print> is not a callback; derive it from train.Callback, or wrap "
        "a function of (run, row) in train.OnEpochEnd."
    )
    with pytest.raises(ValueError) as error:
        fit(linear(), X)
    assert str(error.value).startswith("a batch must be (input, …, target), got ")
    with pytest.raises(ValueError) as error:
        fit(linear(), 5)
    assert str(error.value) == (
        "cannot take batches from int; give (x, y), a Dataset, a DataLoader, or something that "
        "can be iterated over once per epoch and gives batches."
    )
    with pytest.raises(ValueError) as error:
        fit(linear(), TensorDataset(X[:0], Y[:0]), batch_size=4)
    assert "empty" in str(error.value)
    with pytest.raises(ValueError) as error:
        train.evaluate(linear(), (X[:0], Y[:0]), MSE)
    assert str(error.value) == "evaluate: the data gave no batches; is the data set empty?"
    with pytest.raises(ValueError) as error:
        fit(linear(), early_stopping=train.EarlyStopping(monitor="val_loss"))
    assert str(error.value).startswith(
        "EarlyStopping: there is no 'val_loss' to monitor; the epochs report epoch, step, loss"
    )


def test_no_epochs_is_no_training() -> None:
    """An empty history, and untouched weights."""
    model = linear()
    before = values(model)
    assert len(fit(model, epochs=0)) == 0
    assert values(model) == before


def test_empty_batches_of_an_iterable_are_an_error() -> None:
    """A generator function's emptiness is not taken for success."""

    class Nothing:
        def __iter__(self) -> Iterator[Any]:
            return iter([])

    with pytest.raises(ValueError) as error:
        fit(linear(), Nothing())
    assert str(error.value) == ("fit: the training data gave no batches; is the data set empty?")


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A short run writes one line, at its end."""
    fit(linear(), progress=True)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert out[0].startswith("epoch 2/2  loss ")
    assert isinstance(as_progress(True), Lines)
    assert type(as_progress(False)) is Progress
    own = Lines()
    assert as_progress(own) is own


def test_bar_in_a_terminal() -> None:
    """Loss, metric, speed and time left are there; notes are printed above."""
    import io

    from rich.console import Console

    text = io.StringIO()
    bar = Bar(Console(file=text, force_terminal=True, width=120))
    fit(linear(), progress=bar, metrics=["mae"], epochs=3)
    bar.note("a [note]")
    assert "epoch 3/3" in text.getvalue()
    assert "samples/s" in text.getvalue()
    assert "mae" in text.getvalue()
    assert "a [note]" in text.getvalue()


def test_bar_says_that_programs_are_being_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the compiler works, the bar names it instead of a speed that will not last."""
    worker.wait()
    run: Any = SimpleNamespace(epoch=1, epochs=3, samples_per_s=lambda: 1234.5)
    monkeypatch.setattr(worker, "_working", True)
    assert pace(run) == "compiling"
    run.epoch = 3  # what is said last is what was reached
    assert pace(run) == "1,234 samples/s"
    monkeypatch.setattr(worker, "_working", False)
    run.epoch = 1
    assert pace(run) == "1,234 samples/s"


def test_summary_leaves_out_what_is_no_number() -> None:
    """Confusion matrices have no place in a line."""
    row = {"loss": 0.5, "confusion": np.eye(2), "samples_per_s": 10.0, "penalty": 0.25}
    assert summary(row) == "loss 0.5000  penalty 0.2500  10 samples/s"


def test_history() -> None:
    """Columns, the best row, and an unknown column."""
    history = train.History()
    for epoch, loss in enumerate([0.5, math.nan, 0.4], 1):
        history.append({"epoch": epoch, "loss": loss, "accuracy": 1 - loss})
    assert history.best("loss")["epoch"] == history.best("accuracy")["epoch"] == 3
    assert history.columns == ["epoch", "loss", "accuracy"]
    with pytest.raises(KeyError) as error:
        history["val_loss"]
    assert error.value.args[0] == (
        "the history has no column 'val_loss'; it has epoch, loss, accuracy."
    )
    assert repr(train.History()) == "History(0 epochs)"


def test_predict_and_evaluate_in_batches() -> None:
    """The size of the batches makes no difference."""
    model = linear()
    whole = train.predict(model, X)
    parts = train.predict(model, X, batch_size=7)
    assert np.allclose(whole.numpy(), parts.numpy(), atol=1e-6)
    a = train.evaluate(model, (X, Y), MSE, ["r2"])
    b = train.evaluate(model, (X, Y), MSE, ["r2"], batch_size=7)
    assert a == pytest.approx(b, rel=1e-6)
