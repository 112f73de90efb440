"""Resuming: the same bits as without the interruption, in mid-epoch too."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, optim, train
from backlit.data import DataLoader, TensorDataset
from backlit.optim import lr_scheduler

RNG = np.random.default_rng(0)
X = backlit.tensor(RNG.normal(size=(50, 4)).astype(np.float32))
Y = backlit.tensor(RNG.integers(0, 3, 50))
EPOCHS = 3


class Crash(train.Callback):
    """Fails after a number of steps, as a power cut would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, run: train.Run) -> None:
        if run.step == self.at:
            raise OSError("the power is gone")


class Noisy:
    """Batches in an order of Python's generator, noise from NumPy's: no DataLoader."""

    def __iter__(self) -> Iterator[Any]:
        x, y = np.array(X.numpy()), np.array(Y.numpy())
        for start in random.sample(range(0, 50, 10), 5):
            noise = np.random.normal(size=(10, 4)).astype(np.float32)  # noqa: NPY002
            yield (
                backlit.tensor(x[start : start + 10] + noise),
                backlit.tensor(y[start : start + 10]),
            )


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: optim.NAdam(p, lr=0.01),
    "rprop": lambda p: optim.Rprop(p, lr=0.01),
    "asgd": lambda p: optim.ASGD(p, lr=0.01),
}
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "none": lambda o: None,
    "multistep": lambda o: lr_scheduler.MultiStepLR(o, [1, 2]),
    "onecycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=15),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 3),
}


def run(
    folder: Path,
    crash_at: int | None,
    resume: bool,
    optimizer: str = "adam",
    schedule: str = "none",
    data: Any = "loader",
) -> tuple[list[Any], list[Any]]:
    """One training: the final weights, and the rows without times."""
    backlit.manual_seed(7)
    model = network()
    made = OPTIMIZERS[optimizer](model.parameters())
    loader: Any = (X, Y)
    if data == "loader":
        loader = DataLoader(TensorDataset(X, Y), 10, shuffle=True)
    elif data == "generator":
        own = backlit.Generator().manual_seed(3)
        loader = DataLoader(TensorDataset(X, Y), 10, shuffle=True, generator=own)
    elif data == "iterable":
        loader = Noisy()
    history = train.fit(
        model,
        loader,
        nn.CrossEntropyLoss(),
        made,
        epochs=EPOCHS,
        val_data=(X, Y),
        metrics=["accuracy", "f1"],
        callbacks=[Crash(crash_at or 0)],
        scheduler=SCHEDULES[schedule](made),
        penalty=lambda m: 1e-3 * train.l2(m),
        clip_grad=1.0,
        early_stopping=2,
        checkpoint=train.Checkpoint(folder, every_steps=2),
        resume=resume,
        batch_size=10,
        seed=11,
        progress=False,
    )
    weights = [np.array(t.numpy()) for t in model.state_dict().values()]
    rows = [
        {k: v for k, v in row.items() if k not in ("seconds", "samples_per_s")} for row in history
    ]
    return weights, rows


def crash_and_resume(folder: Path, at: int, **options: Any) -> tuple[list[Any], list[Any]]:
    with pytest.raises(OSError, match="the power is gone"):
        run(folder, at, False, **options)
    random.seed(99)  # what another process would hold
    np.random.seed(99)  # noqa: NPY002
    return run(folder, None, True, **options)


def same(a: tuple[list[Any], list[Any]], b: tuple[list[Any], list[Any]]) -> bool:
    weights = all(x.tobytes() == y.tobytes() for x, y in zip(a[0], b[0], strict=True))
    return weights and a[1] == b[1]


@pytest.mark.parametrize("at", [1, 5, 8, 14])
def test_a_crash_at_any_step_changes_no_bit(tmp_path: Path, at: int) -> None:
    """Weights, statistics and rows equal those of the uninterrupted run."""
    expected = run(tmp_path / "whole", None, False)
    assert same(crash_and_resume(tmp_path / "cut", at), expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_kind_of_optimizer_resumes(tmp_path: Path, optimizer: str) -> None:
    """Momenta, running averages and Python numbers of the state keep every bit."""
    expected = run(tmp_path / "whole", None, False, optimizer=optimizer)
    assert same(crash_and_resume(tmp_path / "cut", 7, optimizer=optimizer), expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_kind_of_schedule_resumes(tmp_path: Path, schedule: str) -> None:
    """Schedules by epoch, by step, and by validation loss go on where they were."""
    options = {"schedule": schedule, "optimizer": "sgd"}
    expected = run(tmp_path / "whole", None, False, **options)
    assert same(crash_and_resume(tmp_path / "cut", 7, **options), expected)


@pytest.mark.parametrize("data", ["tensors", "generator", "iterable"])
def test_every_kind_of_data_resumes(tmp_path: Path, data: str) -> None:
    """The order goes on: of a loader with its own generator, and of any repeatable iterable."""
    expected = run(tmp_path / "whole", None, False, data=data)
    assert same(crash_and_resume(tmp_path / "cut", 7, data=data), expected)


def test_a_changed_bit_would_be_seen(tmp_path: Path) -> None:
    """The comparison can fail: another seed of the data order gives other weights."""
    expected = run(tmp_path / "a", None, False)
    other = run(tmp_path / "b", None, False, data="generator")
    assert not same(expected, other)


def test_resuming_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    """The weights are those of the end, the best ones put back again."""
    expected = run(tmp_path, None, False)
    assert same(run(tmp_path, 1, True), expected)


def test_resume_without_a_checkpoint_starts_afresh(tmp_path: Path) -> None:
    """The same command line serves the first start and every later one."""
    assert same(run(tmp_path / "a", None, True), run(tmp_path / "b", None, False))


def test_resume_needs_a_place() -> None:
    """resume=True alone does not say where from."""
    model = nn.Linear(4, 3)
    with pytest.raises(ValueError) as error:
        train.fit(
            model,
            (X, Y),
            nn.CrossEntropyLoss(),
            optim.SGD(model.parameters()),
            epochs=1,
            resume=True,
            progress=False,
        )
    assert str(error.value) == (
        "fit: resume=True needs checkpoint=folder to say where from; or pass resume=path."
    )


def test_another_set_up_is_refused(tmp_path: Path) -> None:
    """All differences are told at once."""
    run(tmp_path, None, False)
    model = network()
    with pytest.raises(train.CheckpointError) as error:
        train.fit(
            model,
            Noisy(),
            nn.CrossEntropyLoss(),
            optim.Adam(model.parameters()),
            epochs=1,
            checkpoint=tmp_path,
            resume=True,
            progress=False,
        )
    assert str(error.value) == (
        "the checkpoint is of a run with another set-up: early stopping (now no, then yes), "
        "a DataLoader (now no, then yes), metrics (now 0, then 2), callbacks (now 0, then 1); "
        "call fit with the same arguments as before."
    )


def test_resume_from_a_named_file(tmp_path: Path) -> None:
    """A path continues from that very checkpoint, here one in the middle of an epoch."""
    expected = run(tmp_path / "whole", None, False)
    with pytest.raises(OSError, match="the power is gone"):
        run(tmp_path / "cut", 9, False)
    middle = train.checkpoints_in(tmp_path / "cut")[-2]
    assert middle.name == "step-000000006.safetensors"
    backlit.manual_seed(7)
    model = network()
    train.fit(
        model,
        DataLoader(TensorDataset(X, Y), 10, shuffle=True),
        nn.CrossEntropyLoss(),
        OPTIMIZERS["adam"](model.parameters()),
        epochs=EPOCHS,
        val_data=(X, Y),
        metrics=["accuracy", "f1"],
        callbacks=[Crash(0)],
        penalty=lambda m: 1e-3 * train.l2(m),
        clip_grad=1.0,
        early_stopping=2,
        resume=middle,
        reproducible=True,
        progress=False,
    )
    found = [np.array(t.numpy()) for t in model.state_dict().values()]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, expected[0], strict=True))
