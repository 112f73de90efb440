"""The watch on global state in tests/conftest.py sees what a test leaves behind."""

from __future__ import annotations

import threading

import pytest

from backlit import config
from backlit.core import printing
from tests import conftest


def test_nothing_changed_is_no_leak() -> None:
    """State compared with itself, and a thread that has ended, are fine."""
    state, threads = conftest.library_state(), set(threading.enumerate())
    threading.Thread(target=lambda: None).start()
    assert conftest.leaks(state, threads) == []


def test_changed_setting_is_a_leak() -> None:
    """The report names the setting, its value before and its value now."""
    state, threads = conftest.library_state(), set(threading.enumerate())
    with printing.printoptions(precision=9):
        (leak,) = conftest.leaks(state, threads)
    assert leak.startswith("get_printoptions was {'precision': 4,")
    assert " and is {'precision': 9," in leak


def test_running_thread_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that outlives the grace period is named."""
    monkeypatch.setattr(conftest, "THREAD_GRACE_S", 0.01)
    state, threads = conftest.library_state(), set(threading.enumerate())
    finish = threading.Event()
    thread = threading.Thread(target=finish.wait, name="loader")
    thread.start()
    try:
        assert conftest.leaks(state, threads) == ["thread 'loader' is still running"]
    finally:
        finish.set()
        thread.join()


def test_changed_flag_is_a_leak() -> None:
    """Every flag of the registry is watched."""
    state, threads = conftest.library_state(), set(threading.enumerate())
    with config.flags(zero_upstream=True):
        leaks = conftest.leaks(state, threads)
    assert leaks == ["config.zero_upstream was False and is True"]
