"""The progress bar, without the hints that are meant for callers of `fit`."""

from __future__ import annotations

import sys
from typing import Any

from backlit.train import Run
from backlit.train.progress import Bar, Lines, Progress

BAR_WIDTH = 14


class SilentNotes(Progress):
    """Says nothing; the command has its own words for how to resume."""

    def note(self, text: str) -> None:
        """Nothing: `backlit train` says it."""


class CommandLines(SilentNotes, Lines):
    """For logs and pipes."""


class CommandBar(SilentNotes, Bar):
    """For terminals, of 80 columns too: loss, validation score, samples/s and time left."""

    def __init__(self, console: Any) -> None:
        super().__init__(console)
        for column in self._bar.columns:
            if hasattr(column, "bar_width"):
                column.bar_width = BAR_WIDTH

    def epoch(self, run: Run, row: dict[str, Any]) -> None:
        super().epoch(run, row)
        self.step(run)


def shown_progress() -> Progress:
    """A bar on a terminal, lines elsewhere."""
    if not sys.stdout.isatty():
        return CommandLines()
    from rich.console import Console

    return CommandBar(Console())


def quiet_progress() -> Progress:
    """Nothing at all."""
    return SilentNotes()
