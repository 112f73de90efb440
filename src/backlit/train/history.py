"""History: what a training run reports, one row per epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from backlit.errors import ArgumentError

Row = dict[str, Any]

# Quantities of which more is better; of all others (losses, errors) less is.
RISING = frozenset({"accuracy", "precision", "recall", "f1", "r2"})


def is_rising(name: str, mode: str = "auto") -> bool:
    """Whether larger values of the quantity `name` are better.

    Raises:
        ArgumentError: `mode` is not "auto", "min" or "max".
    """
    if mode not in ("auto", "min", "max"):
        raise ArgumentError(f"mode must be 'auto', 'min' or 'max', got {mode!r}.")
    return mode == "max" if mode != "auto" else name.removeprefix("val_") in RISING


class History:
    """The rows of a run and why it ended.

    Attributes:
        rows: one dict per finished epoch: "epoch", "step", "loss", metrics, "val_loss", "lr", ….
        stopped: why training ended before the last epoch; empty if it did not.
        interrupted: whether Ctrl-C ended it.
        best_epoch: the epoch whose weights were kept or restored, if one was singled out.

    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.7, "val_loss": 0.8})
    >>> history.append({"epoch": 2, "loss": 0.5, "val_loss": 0.9})
    >>> history["loss"], history.best("val_loss")["epoch"]
    ([0.7, 0.5], 1)
    >>> history
    History(2 epochs, loss 0.5, val_loss 0.9)
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.stopped = ""
        self.interrupted = False
        self.best_epoch: int | None = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Add the row of a finished epoch."""
        self.rows.append(dict(row))

    def __getitem__(self, name: str) -> list[Any]:
        """The values of one column, epoch by epoch.

        Raises:
            KeyError: no epoch reports it.
        """
        values = [row[name] for row in self.rows if name in row]
        if not values:
            known = ", ".join(self.columns) or "none, since no epoch was finished"
            raise KeyError(f"the history has no column {name!r}; it has {known}.")
        return values

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def columns(self) -> list[str]:
        """The names of all reported quantities, in the order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def last(self) -> Row:
        """The row of the last finished epoch; empty if there is none."""
        return self.rows[-1] if self.rows else {}

    def best(self, name: str, mode: str = "auto") -> Row:
        """The row with the best value of `name`; NaN never wins.

        Args:
            mode: "min", "max", or "auto": largest for accuracies and the like, else smallest.
        """
        sign = -1.0 if is_rising(name, mode) else 1.0
        self[name]  # says what is missing
        return min(
            (row for row in self.rows if name in row),
            key=lambda row: math.inf if math.isnan(row[name]) else sign * row[name],
        )

    def __repr__(self) -> str:
        shown = [
            f"{name} {value:.4g}"
            for name, value in self.last.items()
            if isinstance(value, float) and name.removeprefix("val_") in SHOWN | RISING
        ]
        count = f"{len(self.rows)} epoch{'' if len(self.rows) == 1 else 's'}"
        ending = [f"stopped: {self.stopped}"] if self.stopped else []
        return f"History({', '.join([count, *shown, *ending])})"

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain numbers and strings."""
        return {"rows": [dict(row) for row in self.rows], "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.rows = [dict(row) for row in state["rows"]]
        self.best_epoch = state["best_epoch"]


SHOWN = frozenset({"loss", "mse", "mae", "top5_error"})
