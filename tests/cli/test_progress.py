"""The progress bar of `backlit train`."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from backlit.cli import progress
from backlit.cli.job import Options, plan, prepare, train_network
from tests.cli.conftest import Command


def test_bar_fits_into_80_columns(folder: Any) -> None:
    """Epoch, loss, validation score, speed and time left are all there, none of them cut off."""
    screen = io.StringIO()
    bar = progress.CommandBar(Console(file=screen, width=80, force_terminal=True))
    options = Options("iris", epochs=30)
    prepared = prepare(options, {}, lambda text: None)
    train_network(options, prepared, plan(options, prepared), bar, resume=False)
    last = [line for line in screen.getvalue().splitlines() if "epoch" in line][-1]
    for text in ("epoch", "/30", "loss", "val_accuracy", "samples/s", ":"):
        assert text in last
    assert "…" not in last


def test_lines_where_there_is_no_terminal(backlit_command: Command) -> None:
    """In a log, the last epoch is a line."""
    out = backlit_command("train", "iris", "--epochs", "3").out
    (line,) = [line for line in out.splitlines() if line.startswith("epoch 3/3")]
    assert "val_accuracy" in line
    assert "samples/s" in line
