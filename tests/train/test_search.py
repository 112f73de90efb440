"""Searches: grids, random draws, and Optuna where it is installed."""

from __future__ import annotations

import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import backlit
from backlit import nn, optim, train
from backlit.train.search import Range

SPACE = {"a": [1, 2, 3], "b": ["x", "y"]}


def test_a_grid_tries_every_combination_once() -> None:
    """In order, the last parameter varying fastest."""
    seen = []
    found = train.grid_search(lambda t: seen.append((t["a"], t["b"])) or t["a"], SPACE)  # type: ignore[func-returns-value]
    assert seen == [(a, b) for a in (1, 2, 3) for b in ("x", "y")]
    assert found.best.number == 0
    assert found.best_params == {"a": 1, "b": "x"}
    best = train.grid_search(lambda t: t["a"], SPACE, maximize=True).best
    assert best.score == 3.0


def test_nan_never_wins() -> None:
    """A diverged trial is no result; without any other there is no best."""
    found = train.grid_search(lambda t: math.nan if t["a"] == 1 else t["a"], SPACE)
    assert found.best_params["a"] == 2
    with pytest.raises(ValueError) as error:
        _ = train.grid_search(lambda t: math.nan, SPACE).best
    assert str(error.value) == ("the search has no finished trial with a score; none can be best.")


def test_random_draws_are_repeatable_and_in_range() -> None:
    """The seed decides; whole numbers include both ends; logarithms cover every decade."""
    space: Any = {
        "u": train.uniform(-1, 1),
        "l": train.log_uniform(1e-4, 1.0),
        "i": train.integers(1, 3),
        "c": ["x", "y"],
    }
    first, again, other = (
        [t.params for t in train.random_search(lambda t: 0.0, space, 200, seed=s).trials]
        for s in (0, 0, 1)
    )
    assert first == again != other
    assert all(-1 <= p["u"] <= 1 and 1e-4 <= p["l"] <= 1 for p in first)
    assert {p["i"] for p in first} == {1, 2, 3}
    assert {p["c"] for p in first} == {"x", "y"}
    decades = [math.floor(math.log10(p["l"])) for p in first]
    assert min(decades.count(d) for d in (-4, -3, -2, -1)) > 25


def test_refused_searches() -> None:
    """A range in a grid, no trials, a range that runs downwards or logarithmically from 0."""
    with pytest.raises(ValueError) as error:
        train.grid_search(lambda t: 0.0, {"lr": train.uniform(0, 1)})
    assert str(error.value) == (
        "grid_search: 'lr' is a range; give a list of values, or use random_search."
    )
    with pytest.raises(ValueError) as error:
        train.random_search(lambda t: 0.0, SPACE, 0)
    assert str(error.value) == "random_search: trials must be at least 1, got 0."
    for low, high, log in ((2, 1, False), (0, 1, True)):
        with pytest.raises(ValueError) as error:
            Range(low, high, log)
        assert str(error.value) == (
            f"a range must run upwards, and above 0 if logarithmic; got {low} to {high}."
        )


def press_ctrl_c(trial: train.Trial) -> float:
    if trial.number == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return float(trial["a"])


def fit_and_press(trial: train.Trial) -> float:
    """An objective whose `fit` takes the Ctrl-C."""
    model = nn.Linear(1, 1)
    x = backlit.ones(4, 1)

    def press(run: train.Run, row: dict[str, Any]) -> None:
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    history = train.fit(
        model,
        (x, x),
        nn.MSELoss(),
        optim.SGD(model.parameters(), lr=0.1),
        epochs=2,
        callbacks=[train.OnEpochEnd(press)],
        progress=False,
    )
    loss: float = history["loss"][-1]
    return loss


def test_ctrl_c_ends_a_search_with_what_there_is() -> None:
    """The trial in progress is finished; one that was cut short does not count."""
    found = train.grid_search(press_ctrl_c, SPACE)
    assert (found.interrupted, len(found.trials)) == (True, 3)
    found = train.grid_search(fit_and_press, SPACE)
    assert (found.interrupted, len(found.trials)) == (True, 2)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError) as error:
        train.tune(lambda t: 0.0, SPACE, 1, storage=tmp_path / "j")
    assert str(error.value) == (
        "train.tune needs optuna, which is not installed; install it with: "
        "pip install backlit[tune]"
    )


TUNE_SPACE: Any = {"x": train.uniform(-4, 4), "n": train.integers(1, 3), "c": ["a", "b"]}


def bowl(trial: train.Trial) -> float:
    return (trial["x"] - 1) ** 2 + trial["n"] + (trial["c"] == "a")  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
def test_tune_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The journal is a local file; a second call adds its trials to the study."""
    pytest.importorskip("optuna")
    path = tmp_path / "studies" / "bowl.journal"
    first = train.tune(bowl, TUNE_SPACE, 5, storage=path, seed=0)
    assert path.exists()
    found = train.tune(bowl, TUNE_SPACE, 15, storage=path, seed=1)
    assert len(found.trials) == 20
    assert [t.params for t in found.trials[:5]] == [t.params for t in first.trials]
    assert found.best.score == min(t.score for t in found.trials) < 5


@pytest.mark.filterwarnings("ignore")
def test_tune_prunes_hopeless_trials(tmp_path: Path) -> None:
    """A trial worse than the median of its predecessors ends early and has no score."""
    pytest.importorskip("optuna")
    epochs = []

    def objective(trial: train.Trial) -> float:
        level = 0.0 if trial.number < 8 else 100.0
        for epoch in range(10):
            epochs.append((trial.number, epoch))
            trial.report(level + trial["x"] ** 2)
        return level

    found = train.tune(objective, TUNE_SPACE, 9, storage=tmp_path / "j", seed=0)
    assert math.isnan(found.trials[-1].score)
    assert epochs.count((8, 9)) == 0
    assert found.trials[0].reports == [found.trials[0]["x"] ** 2] * 10


@pytest.mark.filterwarnings("ignore")
def test_tune_survives_ctrl_c(tmp_path: Path) -> None:
    """Finished trials are in the result and in the journal."""
    pytest.importorskip("optuna")
    space = {"a": [1, 2, 3]}
    for objective, finished in ((press_ctrl_c, 3), (fit_and_press, 2)):
        path = tmp_path / objective.__name__
        found = train.tune(objective, space, 9, storage=path, seed=0)
        assert found.interrupted
        assert sum(not math.isnan(t.score) for t in found.trials) == finished


@pytest.mark.filterwarnings("ignore")
def test_tune_refuses_what_it_cannot_store(tmp_path: Path) -> None:
    """Objects have names in the storage."""
    pytest.importorskip("optuna")
    with pytest.raises(ValueError) as error:
        train.tune(bowl, {"f": [print]}, 1, storage=tmp_path / "j")
    assert str(error.value) == (
        "tune: 'f' has the value <built-in function print>; the storage keeps numbers, texts, "
        "bools and None, so give names and look the objects up in the objective."
    )


@pytest.mark.filterwarnings("ignore")
def test_tune_in_a_database_that_others_set_up_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who loses the race for making the tables tries again, and works on the study of all."""
    optuna = pytest.importorskip("optuna")
    errors = pytest.importorskip("sqlalchemy.exc")
    start, calls = optuna.storages.RDBStorage.__init__, []

    def racing(self: Any, url: str) -> None:
        calls.append(url)
        if len(calls) < 3:
            raise errors.IntegrityError("CREATE TABLE", {}, Exception("duplicate key"))
        start(self, url)

    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", racing)
    monkeypatch.setattr("backlit.train.tuning._PAUSE_S", 0.0)
    url = f"sqlite:///{tmp_path}/study.db"
    for count in (3, 5):
        found = train.tune(bowl, TUNE_SPACE, count, storage=url, seed=0)
    assert len(found.trials) == 8
    assert calls == [url] * 4


@pytest.mark.filterwarnings("ignore")
def test_tune_says_what_is_wrong_with_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable one is named without the password; PostgreSQL's driver is an extra."""
    pytest.importorskip("optuna")
    monkeypatch.setattr("backlit.train.tuning._PAUSE_S", 0.0)
    with pytest.raises(ValueError) as error:
        train.tune(bowl, TUNE_SPACE, 1, storage=f"sqlite:///{tmp_path}/no/study.db")
    assert str(error.value) == (
        f"tune: the storage sqlite:///{tmp_path}/no/study.db cannot be used: unable to open "
        "database file; check the URL and whether the database runs, or leave `storage` out for a "
        "local file."
    )
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError) as missing:
        train.tune(bowl, TUNE_SPACE, 1, storage="postgresql://me:secret@host/db")
    assert str(missing.value) == (
        "train.tune with a PostgreSQL storage needs psycopg, which is not installed; install it "
        "with: pip install backlit[postgresql]"
    )
