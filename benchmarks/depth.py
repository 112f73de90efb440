"""Deep and long programs: how soon a training step is at its speed, and what it takes then."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import networks as nets
from benchmarks.measure import (
    COMPILE,
    COMPILE_ALL,
    Times,
    measured,
    microseconds,
    ratio,
    table,
    times_faster,
    turns,
)
from benchmarks.programs import until_native

FIRST_CALLS = 4  # a peer compiles in its first calls, and again when state has been made
NARROW = nets.Network((64,) * 100 + (10,), "Tanh", 32)
LENGTH, WIDTH, BATCH = 200, 32, 16  # of the recurrent loop


def sequence() -> tuple[Any, Any]:
    """Inputs of every time step, and the target of the last state."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(LENGTH, BATCH, WIDTH)).astype(np.float32)
    return x, rng.normal(size=(BATCH, WIDTH)).astype(np.float32)


def recurrent_loss(torch: Any) -> tuple[nets.Call, Any]:
    """A cell of two linear layers, unrolled, in PyTorch or in Backlit; its parameters."""
    torch.manual_seed(0)
    take, keep = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
    x, y = (torch.tensor(a) for a in sequence())

    def loss_of() -> object:
        h = torch.zeros(BATCH, WIDTH)
        for t in range(LENGTH):
            h = torch.tanh(take(x[t]) + keep(h))
        return ((h - y) ** 2).mean()

    return loss_of, [*take.parameters(), *keep.parameters()]


def jax_recurrent_step() -> nets.Call:
    """The same loop in JAX."""
    from jax import numpy as jnp

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        (w, b), (u, c) = parameters
        h = jnp.zeros((BATCH, WIDTH), jnp.float32)
        for t in range(LENGTH):
            h = jnp.tanh(x[t] @ w + b + h @ u + c)
        return jnp.mean((h - y) ** 2)

    x, y = (jnp.asarray(a) for a in sequence())
    return nets.jax_training(loss_of, nets.jax_parameters((WIDTH, WIDTH, WIDTH)), (x, y))


class Workload(NamedTuple):
    """How to make the losses, and JAX's step."""

    loss: Callable[[Any], tuple[nets.Call, Any]]
    jax_step: Callable[[], nets.Call]


WORKLOADS = {
    "MLP of 100 layers, 64 wide": Workload(
        lambda torch: nets.torch_loss(torch, NARROW), lambda: nets.jax_step(NARROW)
    ),
    "recurrent cell, 200 steps": Workload(recurrent_loss, jax_recurrent_step),
}


def first_calls(step: nets.Call) -> float:
    """Seconds of the calls in which a peer compiles."""
    start = time.perf_counter()
    for _ in range(FIRST_CALLS):
        step()
    return time.perf_counter() - start


def start_compilers() -> None:
    """Compile a tiny step everywhere, so that no figure has the compilers' own start in it."""
    import backlit

    tiny = nets.Network((2, 2), "ReLU", 2)
    until_native(nets.plain_step(backlit, *nets.torch_loss(backlit, tiny)))
    if nets.HAS_TORCH:
        import torch

        for step in nets.compiled_steps(*nets.torch_loss(torch, tiny)).values():
            first_calls(step)
    if nets.HAS_JAX:
        first_calls(nets.jax_step(tiny))


def measure(workload: Workload) -> tuple[dict[str, float], Times]:
    """Seconds until each step is at its speed, and its times from then on."""
    import backlit

    plain, captured = (nets.plain_step(backlit, *workload.loss(backlit)) for _ in range(2))
    steps: dict[str, nets.Call] = {"backlit": plain, "captured": backlit.capture(captured)}
    ready = {"backlit": until_native(plain)[1]}
    until_native(steps["captured"])
    if nets.HAS_TORCH:
        import torch

        steps["torch eager"] = nets.plain_step(torch, *workload.loss(torch))
        compiled = nets.compiled_steps(*workload.loss(torch))
        steps |= compiled
        ready[COMPILE] = first_calls(compiled[COMPILE])
        ready[COMPILE_ALL] = ready[COMPILE] + first_calls(compiled[COMPILE_ALL])
    if nets.HAS_JAX:
        steps["jax.jit"] = workload.jax_step()
        ready["jax.jit"] = first_calls(steps["jax.jit"])
    return ready, turns(steps, calls=3, repeats=7, warmup=3)


def depth() -> str:
    """Both tables, with every cache empty at the start."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BACKLIT_CACHE_DIR"] = f"{folder}/backlit"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
        start_compilers()
        found = {name: measure(workload) for name, workload in WORKLOADS.items()}
    compiles: list[tuple[object, ...]] = []
    steps: list[tuple[object, ...]] = []
    peers: tuple[str, ...] = ()
    for name, (ready, times) in found.items():
        peers = measured(times)
        cells = [f"{ready[n]:.2f}" if n in ready else "" for n in (*peers, "backlit")]
        theirs = ready.get(COMPILE)
        faster = times_faster(theirs / ready["backlit"] if theirs else None)
        compiles.append((name, *cells, faster, "≥ 5"))
        cells = microseconds(times, *peers, "backlit", "captured")
        of_compile = times_faster(ratio(times, "backlit", (COMPILE, COMPILE_ALL)))
        of_best = [times_faster(ratio(times, ours)) for ours in ("backlit", "captured")]
        steps.append((name, *cells, of_compile, "≥ 1.5", *of_best))
    compile_head = ("s until fast", *peers, "backlit", "torch.compile ÷ backlit", "asked")
    step_head = (
        "µs per step", *peers, "backlit", "captured",
        "torch.compile ÷ backlit", "asked", "best peer ÷ backlit", "best peer ÷ captured",
    )  # fmt: skip
    return (
        f"Until fast: for the peers, their first {FIRST_CALLS} calls; for Backlit, all calls up to "
        "and with the first in which no program runs as NumPy source, so with all compiling in the "
        "background. Caches on disk are empty; each compiler has compiled a tiny step before.\n\n"
        f"{table(compile_head, compiles)}\n\n{table(step_head, steps)}"
    )


SECTIONS = {"depth": depth}
