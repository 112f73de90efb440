"""Peak memory of five training steps of the large network, beyond what the imports take."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from benchmarks import networks as nets
from benchmarks.limits import parameter_bytes
from benchmarks.measure import table

ROUNDS = 3
STEPS = 5
# (imports, how the step is made)
CODE = {
    "backlit": (
        "import backlit", "nets.plain_step(backlit, *nets.torch_loss(backlit, nets.MLP_2048))"
    ),
    "captured": (
        "import backlit",
        "backlit.capture(nets.plain_step(backlit, *nets.torch_loss(backlit, nets.MLP_2048)))",
    ),
    "torch eager": (
        "import torch", "nets.plain_step(torch, *nets.torch_loss(torch, nets.MLP_2048))"
    ),
    "jax.jit": ("import jax", "nets.jax_step(nets.MLP_2048)"),
}  # fmt: skip


def peak(code: str) -> float:
    """Peak memory, in MiB, of a Python process that runs ``code``."""
    code = (
        f"import resource\nfrom benchmarks import networks as nets\n{code}\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    )
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return int(done.stdout) * unit / 2**20


def memory() -> str:
    """The table."""
    has = {"torch eager": nets.HAS_TORCH, "jax.jit": nets.HAS_JAX}
    peaks: dict[str, tuple[float, float]] = {}
    for name, (imports, make) in CODE.items():
        if has.get(name, True):
            steps = f"{imports}\nstep = {make}\nfor _ in range({STEPS}): step()"
            before, after = (median(peak(c) for _ in range(ROUNDS)) for c in (imports, steps))
            peaks[name] = before, after - before
    torch = peaks.get("torch eager")
    rows: list[tuple[object, ...]] = []
    for name, (before, more) in peaks.items():
        against = f"{more / torch[1]:.2f}" if torch else ""
        asked = "≤ 1" if name in ("backlit", "captured") else ""
        rows.append((name, f"{before:,.0f}", f"{more:,.0f}", against, asked))
    least = 3 * parameter_bytes(nets.MLP_2048) / 2**20
    head = (
        "mlp 2048×3-10, peak memory", "imports, MiB", f"{STEPS} steps more, MiB",
        "÷ torch eager", "asked",
    )  # fmt: skip
    return f"{table(head, rows)}\n\nParameters, gradients and momentum are {least:.0f} MiB."


SECTIONS = {"memory": memory}
