"""What can go wrong around training: checkpoints, repeated test evaluation, diverged losses."""

from __future__ import annotations

from backlit.errors import BacklitError


class CheckpointError(BacklitError, ValueError, OSError):
    """A checkpoint cannot be written, or a file is not one or is damaged; the message names it."""


class TestSetReused(BacklitError, RuntimeError):
    """The test set was to be used a second time, which makes its score worthless."""

    __test__ = False  # the name begins with Test, but pytest has nothing to collect here


class DivergedWarning(UserWarning):
    """Training stopped because the loss became NaN or infinite."""
