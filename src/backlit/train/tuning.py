"""`tune`: hyperparameter search by Optuna, which learns from trials and ends hopeless ones."""

from __future__ import annotations

import math
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from backlit.errors import ArgumentError
from backlit.train.extras import require
from backlit.train.interrupt import Interrupt
from backlit.train.search import Objective, Range, SearchResult, Space, Trial

_ATTEMPTS, _PAUSE_S = 5, 0.3  # at opening a database


def tune(
    objective: Objective,
    space: Space,
    trials: int,
    *,
    storage: str | Path = "tune.journal",
    study: str = "backlit",
    maximize: bool = False,
    prune: bool = True,
    seed: int | None = None,
) -> SearchResult:
    """Search with Optuna; a study on disk goes on where it stopped.

    Args:
        objective: from a `Trial` to its validation score; it may `trial.report(score)` after each
            epoch.
        space: for each parameter a list of values, or `uniform`, `log_uniform`, `integers`.
        trials: how many to make now.
        storage: a local journal file, or a database URL ("postgresql://…", which needs the extra
            ``postgresql``) through which many machines work on one study.
        study: its name in the storage.
        prune: end trials whose reports are worse than the median of the others at that epoch.
        seed: makes a fresh study of one process repeatable.

    Ctrl-C ends the search; finished trials are in the storage and in the result.

    Raises:
        MissingExtra: Optuna is not installed.
        ArgumentError: a value of a list is neither a number, text, bool nor None; the database
            cannot be used.
    """
    optuna = require("optuna", "tune", "train.tune")
    check_space(space)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(
        storage=open_storage(storage),
        study_name=study,
        direction="maximize" if maximize else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    interrupted: list[bool] = []
    try:
        made.optimize(
            lambda trial: score(objective, space, trial, optuna, interrupted), n_trials=trials
        )
    except KeyboardInterrupt:
        interrupted.append(True)
    return SearchResult([from_optuna(trial) for trial in made.trials], maximize, bool(interrupted))


class PrunedTrial(Trial):
    """A trial whose reports go to Optuna."""

    def __init__(self, trial: Any, params: dict[str, Any], optuna: Any) -> None:
        super().__init__(trial.number, params)
        self._trial = trial
        self._optuna = optuna

    def report(self, score: float) -> None:
        """Pass the score on; ends the trial if it is hopeless."""
        self._trial.report(float(score), len(self.reports))
        super().report(score)
        if self._trial.should_prune():
            raise self._optuna.TrialPruned


def score(
    objective: Objective, space: Space, trial: Any, optuna: Any, interrupted: list[bool]
) -> float:
    """One trial: ask for parameters, run the objective; Ctrl-C makes it the last."""
    params = {name: suggest(trial, name, values) for name, values in space.items()}
    with Interrupt() as interrupt:
        found = float(objective(PrunedTrial(trial, params, optuna)))
    if interrupt.requested:  # what was cut short has no score
        if interrupt.cut_short:
            raise KeyboardInterrupt
        interrupted.append(True)
        trial.study.stop()
    return found


def suggest(trial: Any, name: str, values: Any) -> Any:
    """Optuna's next value of a parameter."""
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, list(values))
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def check_space(space: Space) -> None:
    """Raise if a list holds values that a storage cannot keep."""
    for name, values in space.items():
        if isinstance(values, Range):
            continue
        odd = [v for v in values if v is not None and not isinstance(v, bool | int | float | str)]
        if odd:
            raise ArgumentError(
                f"tune: {name!r} has the value {odd[0]!r}; the storage keeps numbers, texts, bools "
                "and None, so give names and look the objects up in the objective."
            )


def open_storage(storage: str | Path) -> Any:
    """A journal file, or a database."""
    if isinstance(storage, str) and "://" in storage:
        return open_database(storage)
    storages = require("optuna.storages", "tune", "train.tune")
    journal = require("optuna.storages.journal", "tune", "train.tune")
    path = Path(storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    return storages.JournalStorage(journal.JournalFileBackend(str(path)))


def open_database(url: str) -> Any:
    """The database at ``url``, with Optuna's tables.

    Processes that begin at the same time on an empty database get in each other's way when they
    make the tables: who comes second tries again.
    """
    storages = require("optuna.storages", "tune", "train.tune")
    kind, _, rest = url.partition("://")
    if kind in ("postgresql", "postgres"):
        require("psycopg", "postgresql", "train.tune with a PostgreSQL storage")
        url = f"postgresql+psycopg://{rest}"
    failure = import_module("sqlalchemy.exc").DBAPIError
    attempts = 0
    while True:
        try:
            return storages.RDBStorage(url)
        except failure as error:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise ArgumentError(
                    f"tune: the storage {kind}://{rest.rpartition('@')[2]} cannot be used: "
                    f"{str(error.orig).splitlines()[0]}; check the URL and whether the database "
                    "runs, or leave `storage` out for a local file."
                ) from None
        time.sleep(_PAUSE_S)


def from_optuna(trial: Any) -> Trial:
    """A trial of the study as ours; without a score unless it was finished."""
    is_complete = trial.state.name == "COMPLETE"
    reports = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    return Trial(
        trial.number, dict(trial.params), trial.value if is_complete else math.nan, reports
    )
