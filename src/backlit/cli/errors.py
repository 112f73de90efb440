"""What the command line tells its user in one line before it gives up."""

from __future__ import annotations

from backlit.errors import BacklitError


class CommandError(BacklitError):
    """The command cannot be carried out; the message says why and what to do."""
