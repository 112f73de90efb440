"""Memory that large results leave behind is used for the next ones."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")

from backlit.native.machine.allocation import keep_freed_memory

PROGRAM = """
import os, resource
os.environ["BACKLIT_TIER"] = "hot"
import backlit
x = backlit.ones(2000, 2000)
backlit.flush()
faults = []
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    results = [x + 1.0, x + 2.0, x + 3.0]
    backlit.flush()
    del results
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(max(faults[3:]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_large_results_cost_no_page_faults() -> None:
    """From the third run on, 48 MB of results come from memory that the process has."""
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True
    )
    assert int(told.stdout) < 500  # of 4096 pages each; without it more than 1000


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library is not glibc nothing is asked of it."""
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory.__wrapped__() is False
