"""Callbacks: code of yours that `fit` calls at certain moments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backlit.train.stopping import Condition

if TYPE_CHECKING:
    from backlit.train.run import Run


class Callback:
    """Base class: define the hooks you need; `run` gives everything, `run.stop(why)` ends it.

    State that must survive a resume goes through `state_dict` and `load_state_dict`.

    >>> class Shout(Callback):
    ...     def on_epoch_end(self, run, row):
    ...         if row["loss"] < 0.1:
    ...             run.stop("good enough")
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first step, and after a resume."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before the first batch of an epoch."""

    def on_step_end(self, run: Run) -> None:
        """After every optimizer step; `run.loss` is the batch's loss, a tensor."""

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """After an epoch and its validation; `row` may be added to."""

    def on_checkpoint(self, run: Run, path: Path) -> None:
        """After a checkpoint was written."""

    def on_train_end(self, run: Run) -> None:
        """At the end, also after Ctrl-C or an error."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""


class StopWhen(Callback):
    """Ends training as soon as a condition holds.

    >>> from backlit.train import improvement_below, max_steps
    >>> StopWhen(max_steps(1000) | improvement_below(1e-4, over=5))
    StopWhen(max_steps(1000) | improvement_below(0.0001, over=5))
    """

    def __init__(self, condition: Condition) -> None:
        if not isinstance(condition, Condition):
            raise TypeError(
                f"StopWhen: expected a condition such as max_steps(1000), got {condition!r}."
            )
        self.condition = condition

    def on_train_begin(self, run: Run) -> None:
        self._look(run, {})

    def on_step_end(self, run: Run) -> None:
        self._look(run, {})

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        self._look(run, row)

    def _look(self, run: Run, row: dict[str, Any]) -> None:
        if self.condition(run.moment(row)):
            run.stop(self.condition.why())

    def state_dict(self) -> dict[str, Any]:
        return self.condition.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.condition.load_state_dict(state)

    def __repr__(self) -> str:
        return f"StopWhen({self.condition!r})"


class OnEpochEnd(Callback):
    """Calls a function with the run and the row of every finished epoch.

    >>> OnEpochEnd(lambda run, row: None).on_epoch_end(None, {})
    """

    def __init__(self, function: Any) -> None:
        self.function = function

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        self.function(run, row)
