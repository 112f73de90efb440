"""The main job on a large table: a CSV file of 1,000,000 × 20 read, trained on once, predicted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import table

ROWS, COLUMNS = 1_000_000, 20
ROWS_AT_ONCE = 50_000


def write_table(path: Path, rows: int) -> None:
    """Random numbers, and a class that depends on three of them."""
    rng = np.random.default_rng(0)
    form = ",".join(["%.4f"] * COLUMNS) + ",%s\n"
    with path.open("w") as file:
        file.write(",".join(f"x{i}" for i in range(COLUMNS)) + ",y\n")
        for _ in range(0, rows, ROWS_AT_ONCE):
            x = rng.normal(size=(ROWS_AT_ONCE, COLUMNS))
            up = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] > 0
            names = ["up" if is_up else "down" for is_up in up]
            file.writelines(
                form % (*row, name) for row, name in zip(x.tolist(), names, strict=True)
            )


def measured(arguments: list[str], folder: str) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a Python process of its own."""
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed with exit status {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def large_table() -> str:
    """Each part of the job in a process of its own, with its start and its imports."""
    jobs = {
        "read_csv": ["-c", "import backlit; backlit.data.read_csv('t.csv')"],
        "train, one epoch (with reading, split, test, baselines)": [
            "-m", "backlit", "train", "t.csv", "--target", "y", "--epochs", "1",
        ],
        "predict, with probabilities, to a file": [
            "-m", "backlit", "predict", "t.safetensors", "t.csv", "-o", "p.csv",
        ],
        "eval": ["-m", "backlit", "eval", "t.safetensors", "t.csv"],
    }  # fmt: skip
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        write_table(path, ROWS)
        for name, arguments in jobs.items():
            seconds, peak = measured(arguments, folder)
            rows.append((name, f"{seconds:.1f}", f"{peak:,.0f}"))
        size = path.stat().st_size / 2**20
    return table((f"CSV of {ROWS:,} × {COLUMNS}, {size:.0f} MiB", "s", "peak memory, MiB"), rows)


SECTIONS = {"large table": large_table}
