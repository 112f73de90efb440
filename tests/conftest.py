"""What every test runs under: Hypothesis profiles, and a watch on process-wide state."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

# `ci` draws the same few examples on every run: a failure is a change in the code, not bad luck.
settings.register_profile(
    "ci", derandomize=True, max_examples=25, deadline=None, database=None, print_blob=True
)
settings.register_profile("full", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell that runs a command in the background has it ignore Ctrl-C, and tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

THREAD_GRACE_S = 2.0
"""How long a thread that is already finishing may take to be gone."""


def library_state() -> dict[str, Any]:
    """Every process-wide setting of Backlit, by the name under which a user would change it."""
    import backlit
    from backlit import config
    from backlit.core import printing

    probes: dict[str, Callable[[], Any]] = {
        name: getattr(backlit, name)
        for name in ("is_grad_enabled", "is_inference_mode_enabled", "get_default_dtype")
        if hasattr(backlit, name)
    }
    state = {name: probe() for name, probe in probes.items()}
    state["get_printoptions"] = printing.get_printoptions()
    state.update({f"config.{name}": config.get(name) for name in config.FLAGS})
    return state


# These belong to the process: started when first needed and never stopped.
PROCESS_THREADS = ("backlit-compiler", "backlit-worker-")


def threads_left(before: set[threading.Thread]) -> list[str]:
    """Names of the threads that were started since and do not finish within the grace period."""
    deadline = time.monotonic() + THREAD_GRACE_S
    started = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith(PROCESS_THREADS)
    ]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    return sorted(thread.name for thread in started if thread.is_alive())


def leaks(state_before: dict[str, Any], threads_before: set[threading.Thread]) -> list[str]:
    """One line for each thing that is not as it was."""
    after = library_state()
    found = [
        f"{name} was {value!r} and is {after.get(name)!r}"
        for name, value in state_before.items()
        if after.get(name) != value
    ]
    return found + [f"thread {name!r} is still running" for name in threads_left(threads_before)]


@pytest.fixture(autouse=True)
def no_leaked_state() -> Iterator[None]:
    """A test leaves grad mode, default dtype, print options, flags and threads as it found them.

    Nor does any of its programs fail to compile for a reason that no rule foresees.
    """
    from backlit.compiler import tiers

    state_before = library_state()
    threads_before = set(threading.enumerate())
    tiers.unexpected.clear()
    yield
    found = leaks(state_before, threads_before)
    if found:
        pytest.fail("the test leaks global state:\n  " + "\n  ".join(found))
    if tiers.unexpected:
        pytest.fail("programs failed to compile:\n  " + "\n  ".join(tiers.unexpected))


@pytest.fixture
def one_tier() -> Iterator[None]:
    """Each program runs as NumPy source however often it repeats: its results are always the same
    to the bit, where otherwise the last bit depends on when native code is ready."""
    from backlit import config

    with config.flags(tier="cold"):
        yield
