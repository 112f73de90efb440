"""What compiling takes: every function that a training step needs, on an empty cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.measure import table

NETWORKS = ("IRIS", "MCYCLE", "CIFAR", "MNIST", "MLP_512", "MLP_2048")
ASKED_MS = 25
STEP = """
import json, sys, time
import backlit
from backlit.native import plan  # and all that it imports
from backlit.native.machine import jit
from backlit.native.products import gemm
from benchmarks import networks as nets

found, inner, build = [], [0.0], jit.Engine._build
def timed(engine, key, text, source, exports, imports):
    before, around = time.thread_time(), inner[0]
    inner[0] = 0.0  # libraries that are built on the way count for themselves
    library = build(engine, key, text, source, exports, imports)
    whole = time.thread_time() - before
    if library.origin == "compiled":
        found.append((whole - inner[0], list(exports)[0]))
    inner[0] = around + whole
    return library
jit.Engine._build = timed
step = nets.plain_step(backlit, *nets.torch_loss(backlit, getattr(nets, sys.argv[1])))
for _ in range(3):
    step()
print(json.dumps(found))
"""


def built(network: str) -> list[tuple[float, str]]:
    """Seconds of processor time of each library that a step compiles, and its first function."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", STEP, network],
            env={**os.environ, "BACKLIT_CACHE_DIR": folder, "BACKLIT_TIER": "hot"},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    found: list[list[Any]] = json.loads(done.stdout)
    return [(seconds, name) for seconds, name in found]


def compile_time() -> str:
    """One row per network."""
    rows: list[tuple[object, ...]] = []
    for name in NETWORKS:
        found = built(name)
        longest, which = max(found)
        total = sum(seconds for seconds, _ in found)
        rows.append(
            (
                name.lower(), len(found), f"{total * 1e3:.0f}", f"{total / len(found) * 1e3:.1f}",
                f"{longest * 1e3:.1f}", f"≤ {ASKED_MS}", which,
            )
        )  # fmt: skip
    head = ("processor time, ms", "libraries", "in all", "each, mean", "longest", "asked", "of")
    return (
        "Machine code that one training step needs in a process with an empty cache: kernels and "
        "the parts that they share, the native loop, and what makes the weights. Compiled at once "
        "here (tier hot), so that nothing else runs beside it; in the background otherwise.\n\n"
        + table(head, rows)
    )


SECTIONS = {"compile time": compile_time}
