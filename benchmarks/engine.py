"""Recording, import time, and a small training step in the cold tier, beside PyTorch."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import micro, rounds, table

HAS_TORCH = importlib.util.find_spec("torch") is not None


def peers() -> list[Any]:
    """Backlit, and PyTorch if it is installed."""
    import backlit

    found: list[Any] = [backlit]
    if HAS_TORCH:
        import torch

        found.append(torch)
    return found


def recording() -> str:
    """Python time of 20 elementwise and matmul ops on 4 × 4 tensors that require gradients."""
    import backlit

    rows: list[tuple[object, ...]] = []
    for torch in peers():
        a = torch.ones(4, 4).requires_grad_()
        b = torch.ones(4, 4).requires_grad_()

        def chain(a: Any = a, b: Any = b) -> Any:
            x = a
            for _ in range(4):
                x = x * b
                x = x + a
                x = x.tanh()
                x = x @ b
                x = x - a
            return x

        samples = []
        for i in range(3000):
            start = time.perf_counter()
            x = chain()
            stop = time.perf_counter()
            if i >= 500:
                samples.append((stop - start) / 20)
            if torch is backlit:
                backlit.flush()
            del x
        label = "backlit, recording a repeated path" if torch is backlit else "torch, eager forward"
        rows.append((label, micro(statistics.median(samples))))
    return table(("20 ops on 4 × 4 tensors", "µs per op"), rows)


def importing() -> str:
    """Wall time of importing the package in a fresh process."""
    rows: list[tuple[object, ...]] = []
    for module in ("numpy", *[m.__name__ for m in peers()]):
        code = (
            f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
        )
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, check=True, text=True
                ).stdout
            )
            for _ in range(7)
        ]
        rows.append((module, f"{statistics.median(seconds):.3f}"))
    return table(("import", "s"), rows)


def iris_step(torch: Any) -> Callable[[], object]:
    """One step of 2-10-3 with sigmoid on a batch of 150, SGD with momentum, as a plain loop writes
    it."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(150, 2)), dtype=torch.float32)
    y = torch.tensor(rng.integers(0, 3, 150))
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 10), nn.Sigmoid(), nn.Linear(10, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> object:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def small_step() -> str:
    """The Iris-sized training step."""
    import backlit

    with backlit.config.flags(tier="cold"):
        times = rounds({m.__name__: iris_step(m) for m in peers()}, calls=200)
    rows: list[tuple[object, ...]] = [(name, micro(t)) for name, t in times.items()]
    if HAS_TORCH:
        rows.append(("torch ÷ backlit", f"{times['torch'] / times['backlit']:.2f}"))
    return table(("iris 2-10-3, batch 150, plain loop, cold tier", "µs per step"), rows)


def endurance(steps: int = 1_000_000) -> str:
    """Memory and trie over many steps with varying learning rate and random indices."""
    import resource

    import backlit
    from backlit.core.position import trie

    rng = np.random.default_rng(0)
    x = backlit.tensor(rng.normal(size=(64, 2)), dtype=backlit.float32)
    w = backlit.tensor([0.1, -0.1], requires_grad=True)
    optimizer = backlit.optim.SGD([w], lr=0.1)
    rows: list[tuple[object, ...]] = []
    start = time.perf_counter()
    for i in range(steps + 1):
        if i in (1000, steps // 10, steps // 2, steps):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append((f"{i:,}", f"{peak:.1f}", trie.count, f"{time.perf_counter() - start:.0f}"))
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
        optimizer.zero_grad()
        one = x[int(rng.integers(64))]
        loss = ((one * w).sum() - 1.0) ** 2
        loss.backward()
        optimizer.step()
    return table(("steps", "peak memory, MiB", "positions in the trie", "s"), rows)


SECTIONS = {
    "recording": recording,
    "import": importing,
    "small step": small_step,
    "endurance": endurance,
}
