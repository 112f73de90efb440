"""The command line: train, predict, eval and info, for any table."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Args:
        arguments: instead of those of the process.
    """
    from backlit.cli.app import run

    return run(arguments)
