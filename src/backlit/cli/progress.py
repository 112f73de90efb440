"""The progress bar, without the hints that are meant for callers of `fit`."""

from __future__ import annotations

import sys

from backlit.train.progress import Bar, Lines, Progress


class SilentNotes(Progress):
    """Says nothing; the command has its own words for how to resume."""

    def note(self, text: str) -> None:
        """Nothing: `backlit train` says it."""


class CommandLines(SilentNotes, Lines):
    """For logs and pipes."""


class CommandBar(SilentNotes, Bar):
    """For terminals."""


def shown_progress() -> Progress:
    """A bar on a terminal, lines elsewhere."""
    if not sys.stdout.isatty():
        return CommandLines()
    from rich.console import Console

    return CommandBar(Console())


def quiet_progress() -> Progress:
    """Nothing at all."""
    return SilentNotes()
