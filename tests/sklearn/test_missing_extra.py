"""Without scikit-learn, importing the estimators says how to get it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.meta.sources import SRC


def test_error_names_the_extra() -> None:
    """The one-line message of MissingExtra."""
    code = "import sys; sys.modules['sklearn'] = None; import backlit.sklearn"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "backlit.errors.MissingExtra: backlit.sklearn needs sklearn, which is not installed; "
        "install it with: pip install backlit[sklearn]"
    )
