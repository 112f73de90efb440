"""kill -9 at random moments of training and of writing checkpoints."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import backlit
from backlit import train

SRC = Path(backlit.__file__).parents[1]
PROGRAM = Path(__file__).with_name("killed_run.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix notion")


def start(folder: Path, result: Path) -> subprocess.Popen[str]:
    """The program, from where it was killed."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), str(result)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a good end."""
    process.communicate(timeout=120)
    assert process.returncode == 0


def kill_after(process: subprocess.Popen[str], steps: int, seconds: float) -> bool:
    """Kill it without warning some time after some steps; False if it had ended by itself.

    Counting steps, not seconds, hits training and saving however slow the machine is.
    """
    assert process.stdout is not None
    for _ in range(steps):
        process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def check_folder(folder: Path, finished: list[str]) -> list[str]:
    """Every numbered file is whole, and the newest is no older than before; returns the names."""
    found = train.checkpoints_in(folder)
    for path in found:
        assert "model" in train.load_state(path)
    names = [path.name for path in found]
    if finished:
        assert names
        assert names[-1] >= finished[-1]
    best = folder / "best.safetensors"
    if best.exists():
        train.load_state(best)
    return names


def survive(tmp_path: Path, kills: int, seed: int) -> None:
    """Train once undisturbed and once killed again and again; the results must be equal."""
    finish(start(tmp_path / "whole", tmp_path / "expected"))
    rng = random.Random(seed)
    done = hits = kept = 0
    while done < kills:
        folder, result = tmp_path / f"killed-{done}", tmp_path / f"result-{done}"
        names: list[str] = []
        while done < kills and not result.exists():
            steps, wait = rng.randrange(1, 25), rng.choice([0.0, 0.001, 0.003, 0.01])
            hits += kill_after(start(folder, result), steps, wait)
            done += 1
            names = check_folder(folder, names)
            kept += bool(names)
        if not result.exists():
            finish(start(folder, result))
        assert result.read_bytes() == (tmp_path / "expected").read_bytes()
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert hits > kills // 2, "most kills came too late; the test shows nothing"
    assert kept > kills // 2, "most kills came before any checkpoint; the test shows nothing"


@pytest.mark.timeout(180)
def test_kills_lose_no_checkpoint_and_change_no_bit(tmp_path: Path) -> None:
    """Ten kills: finished checkpoints are whole and stay, and the result has the same bits."""
    survive(tmp_path, kills=10, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills(tmp_path: Path) -> None:
    """The same with two hundred."""
    survive(tmp_path, kills=200, seed=1)
