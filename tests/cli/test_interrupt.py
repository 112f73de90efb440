"""Ctrl-C: once ends well and can be resumed, twice ends at once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backlit.cli import progress
from backlit.interop import read_model
from tests.cli.conftest import Command

TRAIN = ("train", "iris", "--epochs", "6", "--patience", "6")


class CtrlC(progress.SilentNotes):
    """Presses Ctrl-C so many times at the end of an epoch."""

    def __init__(self, epoch: int, times: int) -> None:
        self.at, self.times = epoch, times

    def epoch(self, run: Any, row: dict[str, Any]) -> None:
        if run.epoch == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def press(monkeypatch: pytest.MonkeyPatch, epoch: int, times: int = 1) -> None:
    monkeypatch.setattr(progress, "shown_progress", lambda: CtrlC(epoch, times))


def test_first_press_saves_and_says_how_to_resume(
    folder: Path, backlit_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best model so far is saved, with all that a resume needs beside it."""
    with monkeypatch.context() as patch:
        press(patch, epoch=3)
        result = backlit_command(*TRAIN, "-o", "part.safetensors", "--force")
    assert (result.code, result.err) == (130, "")
    assert result.out.endswith(
        "\nInterrupted. The best model so far is in part.safetensors. To resume:\n"
        "  backlit train iris --epochs 6 --patience 6 -o part.safetensors --resume\n"
    )
    assert read_model("part.safetensors").training["stopped"].startswith("Ctrl-C after step")
    assert Path("part.safetensors.resume").is_dir()


def test_resumed_run_has_the_same_bits(
    folder: Path, backlit_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after three of six epochs and resumed, or in one go: the same weights."""
    assert backlit_command(*TRAIN, "-o", "whole.safetensors").code == 0
    with monkeypatch.context() as patch:
        press(patch, epoch=3)
        assert backlit_command(*TRAIN, "-o", "part.safetensors").code == 130
    result = backlit_command(*TRAIN, "-o", "part.safetensors", "--resume")
    assert result.code == 0, result.err
    assert not Path("part.safetensors.resume").exists()
    whole, part = read_model("whole.safetensors").weights, read_model("part.safetensors").weights
    assert all(np.array_equal(whole[name], part[name]) for name in whole)


def test_resume_with_other_options(
    folder: Path, backlit_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume that would mix two runs is refused."""
    with monkeypatch.context() as patch:
        press(patch, epoch=2)
        assert backlit_command(*TRAIN).code == 130
    result = backlit_command(*TRAIN, "--resume", "--batch-size", "16")
    assert (result.code, result.err) == (
        1,
        (
            "backlit: iris.safetensors.resume: the interrupted run had another --batch-size "
            "(None); resume with the same options.\n"
        ),
    )


def test_second_press_stops_at_once(
    folder: Path, backlit_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, and it is said so in one line."""
    with monkeypatch.context() as patch:
        press(patch, epoch=2, times=2)
        result = backlit_command(*TRAIN)
    assert result.code == 130
    # A line end first, after the ^C of the terminal.
    assert result.err == "\nbacklit: stopped at once; nothing was written.\n"
    assert list(folder.iterdir()) == []
