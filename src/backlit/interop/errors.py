"""What can go wrong with files that other programs write or read."""

from __future__ import annotations

from backlit.errors import BacklitError


class FileFormatError(BacklitError, ValueError, OSError):
    """A file is not what was expected, is damaged, or may not be written; the message names it."""
