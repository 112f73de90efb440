"""What can be wrong with data: a file that cannot be read, or a worker that cannot load it."""

from __future__ import annotations

from backlit.errors import BacklitError


class DataError(BacklitError, ValueError):
    """A file or a table does not hold what it should; the message says where."""


class DataNotFoundError(DataError, FileNotFoundError):
    """There is no such file, folder or data set."""


class DownloadError(BacklitError, OSError):
    """A file could not be fetched, or is not the one that was expected."""


class WorkerError(BacklitError, RuntimeError):
    """A DataLoader worker died, hung, or raised something that cannot be raised again."""
