"""Hyperparameter search without dependencies: all combinations of a grid, or random draws.

The objective receives a `Trial` and returns the validation score; `tune` takes the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backlit.data.seeds import rng_of
from backlit.errors import ArgumentError
from backlit.train.interrupt import Interrupt


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, evenly or by their logarithms, whole or not."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high or (self.log and self.low <= 0):
            raise ArgumentError(
                f"a range must run upwards, and above 0 if logarithmic; got {self.low} to "
                f"{self.high}."
            )

    def draw(self, u: float) -> float:
        """The number at quantile u."""
        low, high = self.low, self.high + (1 if self.whole else 0)
        if self.log:
            value = low * (high / low) ** u
        else:
            value = low + (high - low) * u
        return min(int(value), int(self.high)) if self.whole else value


def uniform(low: float, high: float) -> Range:
    """Any number between low and high.

    >>> uniform(0, 0.5).draw(0.5)
    0.25
    """
    return Range(low, high)


def log_uniform(low: float, high: float) -> Range:
    """Any number between low and high, every power of ten as likely: for rates and penalties.

    >>> round(log_uniform(1e-4, 1e-2).draw(0.5), 6)
    0.001
    """
    return Range(low, high, log=True)


def integers(low: int, high: int, log: bool = False) -> Range:
    """A whole number from low to high, both included.

    >>> integers(1, 6).draw(0.999)
    6
    """
    return Range(low, high, log, whole=True)


Space = Mapping[str, Range | Sequence[Any]]


@dataclass
class Trial:
    """One combination: its parameters by name, and its score once there is one."""

    number: int
    params: dict[str, Any]
    score: float = math.nan
    reports: list[float] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.params[name]

    def report(self, score: float) -> None:
        """Tell how it goes, epoch by epoch; under `tune`, this is where hopeless trials end."""
        self.reports.append(float(score))


Objective = Callable[[Trial], float]


@dataclass
class SearchResult:
    """All trials, and which was best.

    Attributes:
        trials: in the order they were made.
        maximize: whether higher scores are better.
        interrupted: whether Ctrl-C ended the search.
    """

    trials: list[Trial]
    maximize: bool = False
    interrupted: bool = False

    @property
    def best(self) -> Trial:
        """The trial with the best score; NaN never wins.

        Raises:
            ArgumentError: no trial was finished.
        """
        scored = [trial for trial in self.trials if not math.isnan(trial.score)]
        if not scored:
            raise ArgumentError("the search has no finished trial with a score; none can be best.")
        return (max if self.maximize else min)(scored, key=lambda trial: trial.score)

    @property
    def best_params(self) -> dict[str, Any]:
        """The parameters of the best trial."""
        return self.best.params


def grid_search(objective: Objective, space: Space, *, maximize: bool = False) -> SearchResult:
    """Try every combination; the last parameter varies fastest.

    Args:
        objective: from a `Trial` to its validation score.
        space: a list of values for each parameter.

    Raises:
        ArgumentError: a parameter has a range instead of a list.

    >>> found = grid_search(lambda t: (t["a"] - 2) ** 2 + t["b"], {"a": [1, 2, 3], "b": [0, 1]})
    >>> found.best_params, len(found.trials)
    ({'a': 2, 'b': 0}, 6)
    """
    for name, values in space.items():
        if isinstance(values, Range):
            raise ArgumentError(
                f"grid_search: {name!r} is a range; give a list of values, or use random_search."
            )
    combinations = itertools.product(*space.values())  # type: ignore[arg-type]  # no ranges here
    return run_trials(objective, (dict(zip(space, c, strict=True)) for c in combinations), maximize)


def random_search(
    objective: Objective, space: Space, trials: int, *, seed: int = 0, maximize: bool = False
) -> SearchResult:
    """Try random combinations; a better use of few trials than a grid (Bergstra, Bengio 2012).

    Args:
        space: for each parameter a list of values, or `uniform`, `log_uniform`, `integers`.
        trials: how many.

    >>> space = {"lr": log_uniform(1e-4, 1), "width": [8, 16]}
    >>> found = random_search(lambda t: abs(t["lr"] - 0.01) + t["width"], space, trials=50)
    >>> 0.001 < found.best_params["lr"] < 0.1, found.best_params["width"]
    (True, 8)
    """
    if trials < 1:
        raise ArgumentError(f"random_search: trials must be at least 1, got {trials}.")
    rng = rng_of(seed)

    def draws() -> Iterator[dict[str, Any]]:
        for _ in range(trials):
            yield {name: draw(values, rng.random()) for name, values in space.items()}

    return run_trials(objective, draws(), maximize)


def draw(values: Range | Sequence[Any], u: float) -> Any:
    """The value at quantile u."""
    return values.draw(u) if isinstance(values, Range) else values[int(u * len(values))]


def run_trials(
    objective: Objective, combinations: Iterator[dict[str, Any]], maximize: bool
) -> SearchResult:
    """Score combinations one by one; Ctrl-C ends the search with the trials made so far.

    A trial whose `fit` took the Ctrl-C was cut short and does not count.
    """
    result = SearchResult([], maximize)
    try:
        for number, params in enumerate(combinations):
            trial = Trial(number, params)
            with Interrupt() as interrupt:
                trial.score = float(objective(trial))
            if not interrupt.cut_short:
                result.trials.append(trial)
            if interrupt.requested:
                result.interrupted = True
                break
    except KeyboardInterrupt:
        result.interrupted = True
    return result
