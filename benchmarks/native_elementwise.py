"""Softmax, layer norm, GELU and logsumexp as plain calls, beside PyTorch, and the memory's speed.

Every call makes its result anew, as user code does. The fraction of the bandwidth counts one read
of the operand and one write of the result, whatever an implementation moves in between, against a
copy of 256 MB by the same number of threads in the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.engine import HAS_TORCH, peers
from benchmarks.measure import micro, rounds, table
from benchmarks.programs import until_native

SHAPES = ((64, 1000), (4096, 4096))


def calls(torch: Any, x: Any) -> dict[str, Callable[[], Any]]:
    """The calls of one of the frameworks on its own tensor."""
    functional = torch.nn.functional
    weight, bias = torch.ones(x.shape[1]), torch.zeros(x.shape[1])
    return {
        "softmax": lambda: functional.softmax(x, 1),
        "layer_norm": lambda: functional.layer_norm(x, (x.shape[1],), weight, bias),
        "gelu": lambda: functional.gelu(x),
        "logsumexp": lambda: torch.logsumexp(x, 1),
    }


def computed(framework: Any, call: Callable[[], Any]) -> Callable[[], object]:
    """``call``, with its result computed when it returns."""
    if framework.__name__ != "backlit":
        return call

    def run() -> object:
        made = call()
        framework.flush()
        return made

    return run


def bandwidth() -> float:
    """Bytes per second, read and written, of a large copy by Backlit's threads."""
    import backlit

    source = backlit.tensor(np.zeros(32 * 2**20, np.float32))
    target = backlit.tensor(np.zeros(32 * 2**20, np.float32))
    backlit.flush()

    def copy() -> object:
        nonlocal target
        target = target * 0.0 + source  # reads both, writes one of them
        backlit.flush()
        return target

    seconds = rounds({"copy": copy}, calls=1, repeats=9, warmup=4)["copy"]
    return 3 * 4 * 32 * 2**20 / seconds


def microbenchmarks() -> str:
    """The table."""
    limit = bandwidth()
    rows: list[tuple[object, ...]] = []
    for shape in SHAPES:
        array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        frameworks = {m.__name__: m for m in peers()}
        made = {n: calls(m, m.tensor(array)) for n, m in frameworks.items()}
        small = array.size < 2**20
        for name in ("softmax", "layer_norm", "gelu", "logsumexp"):
            contenders = {n: computed(m, made[n][name]) for n, m in frameworks.items()}
            until_native(contenders["backlit"])
            times = rounds(contenders, calls=200 if small else 2, repeats=9, warmup=6)
            moved = 4 * array.size * (1 if name == "logsumexp" else 2)
            ours = times["backlit"]
            rows.append(
                (
                    f"{name} {shape[0]} × {shape[1]}", micro(ours),
                    micro(times["torch"]) if HAS_TORCH else "–",
                    f"{times['torch'] / ours:.2f}" if HAS_TORCH else "–",
                    f"{moved / ours / 1e9:.1f}", f"{moved / ours / limit:.0%}",
                )
            )  # fmt: skip
    head = ("plain call", "backlit, µs", "torch, µs", "torch ÷ backlit", "GB/s", "of bandwidth")
    return f"{table(head, rows)}\n\nBandwidth of a large update: {limit / 1e9:.1f} GB/s."


SECTIONS = {"elementwise": microbenchmarks}
