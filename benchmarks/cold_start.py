"""Fresh processes: how soon the first training step is done, and when steps are native."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

from benchmarks import networks as nets
from benchmarks.measure import table

ROUNDS = 5
FIRST_STEP = {
    "backlit": "import backlit; nets.plain_step(backlit, *nets.torch_loss(backlit, nets.IRIS))()",
    "torch eager": "import torch; nets.plain_step(torch, *nets.torch_loss(torch, nets.IRIS))()",
    "jax.jit": "nets.jax_step(nets.IRIS)()",
}
UNTIL_NATIVE = """
import backlit
from benchmarks.programs import runs_natively
step = nets.plain_step(backlit, *nets.torch_loss(backlit, nets.IRIS))
native = [runs_natively(step) for _ in range(10)]
count = 10
while not runs_natively(step):
    count += 1
print(native[9], 10 if native[9] else count + 1)
"""


def process(code: str, **environment: str) -> tuple[float, str]:
    """Seconds from the start of a Python process to its last line, and what it printed."""
    code = f"from benchmarks import networks as nets\n{code}\nimport time; print(time.time())"
    start = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    *printed, stop = done.stdout.splitlines()
    return float(stop) - start, "\n".join(printed)


def first_steps() -> str:
    """From the start of the process to the end of the first step."""
    has = {"backlit": True, "torch eager": nets.HAS_TORCH, "jax.jit": nets.HAS_JAX}
    seconds: dict[str, list[float]] = {name: [] for name in FIRST_STEP if has[name]}
    for _ in range(ROUNDS):
        for name, times in seconds.items():
            times.append(process(FIRST_STEP[name])[0])
    asked = {"backlit": "≤ 0.5"}
    rows: list[tuple[object, ...]] = [
        (name, f"{median(times):.3f}", asked.get(name, "")) for name, times in seconds.items()
    ]
    return table(("first step of iris in a fresh process", "s", "asked"), rows)


def warm_cache() -> str:
    """Steps in a tight loop, with every kernel on disk from a process before."""
    counts, seconds, tenth = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        process(UNTIL_NATIVE, BACKLIT_CACHE_DIR=folder)
        for _ in range(ROUNDS):
            taken, printed = process(UNTIL_NATIVE, BACKLIT_CACHE_DIR=folder)
            is_native, count = printed.split()
            tenth += is_native == "True"
            counts.append(int(count))
            seconds.append(taken)
    row = (f"{tenth} of {ROUNDS}", "all", f"{median(counts):.0f}", f"{median(seconds):.3f}")
    head = ("tenth step native", "asked", "first native step, at most", "s from the start")
    return table(head, [row])


def cold_start() -> str:
    """Both tables."""
    return (
        "From the start of the process, so with Python's own; the step is a plain loop's.\n\n"
        f"{first_steps()}\n\nBacklit with a warm disk cache, steps in a tight loop:\n\n"
        f"{warm_cache()}"
    )


SECTIONS = {"cold start": cold_start}
