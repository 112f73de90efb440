"""What one sees while training: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from backlit.compiler.tiers import worker

if TYPE_CHECKING:
    from backlit.train.run import Run

READ_EVERY_S = 0.1  # how often the loss is read and the bar drawn
LINE_EVERY_S = 5.0  # how often a line is written where there is no terminal


class Progress:
    """Base of the displays, and the silent one: only notes are written, to the error stream."""

    def begin(self, run: Run) -> None:
        """Before the first step."""

    def step(self, run: Run) -> None:
        """At a bounded rate between steps."""

    def epoch(self, run: Run, row: dict[str, Any]) -> None:
        """After an epoch."""

    def note(self, text: str) -> None:
        """Something to know, such as how to resume."""
        sys.stderr.write(f"{text}\n")

    def end(self, run: Run) -> None:
        """After the last step."""


class Lines(Progress):
    """For logs and pipes: the last epoch's line, and before it one every few seconds."""

    def __init__(self) -> None:
        self._written = time.monotonic()
        self._pending = ""

    def epoch(self, run: Run, row: dict[str, Any]) -> None:
        self._pending = f"epoch {run.epoch}/{run.epochs}  {summary(row)}{time_left(run)}"
        if time.monotonic() - self._written >= LINE_EVERY_S:
            self._write()

    def _write(self) -> None:
        if self._pending:
            sys.stdout.write(f"{self._pending}\n")
            sys.stdout.flush()
        self._pending = ""
        self._written = time.monotonic()

    def end(self, run: Run) -> None:
        self._write()


class Bar(Progress):
    """For terminals: one bar over all epochs, by rich."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task = self._bar.add_task("train", total=None, epoch="", text="")
        self._scores = ""

    def begin(self, run: Run) -> None:
        total = run.epochs * run.batches_per_epoch if run.batches_per_epoch else None
        self._bar.update(self._task, total=total, completed=run.step)
        self._bar.start()

    def step(self, run: Run) -> None:
        text = f"loss {run.losses.mean():.4f}  {self._scores}{pace(run)}"
        epoch = f"{min(run.epoch + 1, run.epochs)}/{run.epochs}"
        self._bar.update(self._task, completed=run.step, epoch=epoch, text=text)

    def epoch(self, run: Run, row: dict[str, Any]) -> None:
        self._scores = scores(row, "val_") or scores(row, "")
        epoch = f"{run.epoch}/{run.epochs}"
        self._bar.update(self._task, completed=run.step, epoch=epoch, text=summary(row))

    def note(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def end(self, run: Run) -> None:
        self._bar.stop()


def as_progress(progress: Any) -> Progress:
    """The display for True (chosen by what stdout is), False, or one of your own."""
    if isinstance(progress, Progress):
        return progress
    if not progress:
        return Progress()
    if not sys.stdout.isatty():
        return Lines()
    from rich.console import Console

    return Bar(Console())


def scores(row: dict[str, Any], prefix: str) -> str:
    """The first metric with this prefix, as text to put before something else."""
    for name, value in row.items():
        is_metric = name not in NOT_METRICS and name.removeprefix("val_") != "loss"
        if is_metric and name.startswith(prefix) and isinstance(value, float):
            return f"{name} {value:.4f}  "
    return ""


NOT_METRICS = frozenset({"epoch", "step", "seconds", "samples_per_s", "lr", "data_loss", "penalty"})


def summary(row: dict[str, Any]) -> str:
    """An epoch in one line.

    >>> summary({"epoch": 3, "loss": 0.25, "accuracy": 0.9, "lr": 0.1, "samples_per_s": 1234.5})
    'loss 0.2500  accuracy 0.9000  1,234 samples/s'
    """
    skipped = NOT_METRICS - {"data_loss", "penalty"}
    shown = [
        f"{name} {value:.4f}"
        for name, value in row.items()
        if name not in skipped and isinstance(value, float)
    ]
    return "  ".join([*shown, f"{row['samples_per_s']:,.0f} samples/s"])


def pace(run: Run) -> str:
    """Samples per second; while programs are being compiled, that they are: it will get faster."""
    is_over = run.epoch >= run.epochs
    if worker.is_busy and not is_over:
        return "compiling"
    return f"{run.samples_per_s():,.0f} samples/s"


def time_left(run: Run) -> str:
    """How long the remaining epochs will take, at the pace so far."""
    done = run.epoch - run.first_epoch
    if not done or run.epoch >= run.epochs:
        return ""
    seconds = run.seconds_here() / done * (run.epochs - run.epoch)
    return f"  {seconds:.0f} s left" if seconds < 120 else f"  {seconds / 60:.0f} min left"
