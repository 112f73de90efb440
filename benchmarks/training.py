"""One training step (forward, loss, backward, SGD with momentum) beside PyTorch and JAX."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import micro, rounds, table

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_JAX = importlib.util.find_spec("jax") is not None

# name → (sizes, activation, batch size, steps per round, whether it classifies)
WORKLOADS: dict[str, tuple[tuple[int, ...], str, int, int, bool]] = {
    "iris 2-10-3": ((2, 10, 3), "Sigmoid", 150, 200, True),
    "mcycle 1-10-1": ((1, 10, 1), "Sigmoid", 133, 200, False),
    "cifar 3072-100-10": ((3072, 100, 10), "ReLU", 64, 40, True),
    "mnist 784-128-64-10": ((784, 128, 64, 10), "ReLU", 64, 60, True),
    "mlp 512×4-10": ((512, 512, 512, 512, 10), "ReLU", 128, 15, True),
    "mlp 2048×3-10": ((2048, 2048, 2048, 10), "ReLU", 256, 3, True),
}
LR, MOMENTUM = 0.01, 0.9


def data(sizes: tuple[int, ...], batch: int, classifies: bool) -> tuple[Any, Any]:
    """Inputs and targets, the same for every contender."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    if classifies:
        return x, rng.integers(0, sizes[-1], batch)
    return x, rng.normal(size=(batch, sizes[-1])).astype(np.float32)


def torch_step(torch: Any, name: str, compiled: bool = False) -> Callable[[], object]:
    """The plain PyTorch loop, for PyTorch and for Backlit alike."""
    sizes, activation, batch, _, classifies = WORKLOADS[name]
    nn = torch.nn
    torch.manual_seed(0)
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), getattr(nn, activation)()]
    model = nn.Sequential(*layers[:-1])
    forward = torch.compile(model) if compiled else model
    criterion = nn.CrossEntropyLoss() if classifies else nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    x, y = (torch.tensor(a) for a in data(sizes, batch, classifies))

    def step() -> object:
        optimizer.zero_grad()
        loss = criterion(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def jax_step(name: str) -> Callable[[], object]:
    """The same step as one jitted function with donated parameters."""
    import jax
    from jax import numpy as jnp

    sizes, activation, batch, _, classifies = WORKLOADS[name]
    rng = np.random.default_rng(0)
    parameters = [
        (
            jnp.asarray(rng.uniform(-1, 1, (n, m)).astype(np.float32) / np.sqrt(n)),
            jnp.zeros(m, jnp.float32),
        )
        for n, m in itertools.pairwise(sizes)
    ]
    act = jax.nn.sigmoid if activation == "Sigmoid" else jax.nn.relu
    x, y = (jnp.asarray(a) for a in data(sizes, batch, classifies))

    def loss_of(ps: Any, x: Any, y: Any) -> Any:
        for w, b in ps[:-1]:
            x = act(x @ w + b)
        w, b = ps[-1]
        out = x @ w + b
        if classifies:
            return -jnp.mean(jax.nn.log_softmax(out)[jnp.arange(len(y)), y])
        return jnp.mean((out - y) ** 2)

    def update(ps: Any, buffers: Any, x: Any, y: Any) -> Any:
        loss, gs = jax.value_and_grad(loss_of)(ps, x, y)
        buffers = jax.tree.map(lambda m, g: MOMENTUM * m + g, buffers, gs)
        return jax.tree.map(lambda p, m: p - LR * m, ps, buffers), buffers, loss

    jitted = jax.jit(update, donate_argnums=(0, 1))
    state = [parameters, jax.tree.map(jnp.zeros_like, parameters)]

    def step() -> object:
        state[0], state[1], loss = jitted(state[0], state[1], x, y)
        return loss.block_until_ready()

    return step


def steps() -> str:
    """The table: microseconds per step, and the best peer's time over ours."""
    import backlit
    from backlit.compiler.tiers import worker

    rows: list[tuple[object, ...]] = []
    for name, (_, _, _, calls, _) in WORKLOADS.items():
        contenders = {"backlit": torch_step(backlit, name)}
        if HAS_TORCH:
            import torch

            contenders["torch"] = torch_step(torch, name)
            contenders["compile"] = torch_step(torch, name, compiled=True)
        if HAS_JAX:
            contenders["jax"] = jax_step(name)
        for step in contenders.values():  # compile everything before anything is timed
            for _ in range(4):
                step()
        worker.wait()
        times = rounds(contenders, calls=calls, repeats=5, warmup=3)
        peers = [times[p] for p in ("torch", "compile", "jax") if p in times]
        ratio = f"{min(peers) / times['backlit']:.2f}" if peers else ""
        cells = [
            micro(times[p]) if p in times else "" for p in ("torch", "compile", "jax", "backlit")
        ]
        rows.append((name, *cells, ratio))
    head = ("step", "torch eager", "torch.compile", "jax.jit", "backlit", "best peer ÷ backlit")
    return "Microseconds per step, plain loop.\n\n" + table(head, rows)


SECTIONS = {"training": steps}
