"""Matrix products: generated kernels, OpenBLAS and PyTorch, on one thread and on all, in one run.

    python benchmarks/native_gemm.py [float32|float64] [threads] [seconds per size]

The sizes are those of the layers in benchmarks/training.py, for a layer's output (x Wᵀ, "NT"), the
gradient of its input (g W, "NN") and that of its weight (gᵀ x, "TN"), and a few others. Figures are
best / median µs of a call, measured in turns so that the machine's moods hit all alike; the last
column is the best of the others over the generated kernel, in best and median times. Where it stays
below 1 for other sizes on other machines, `gemm.choose` is the place to say so.

Generated kernels and OpenBLAS are called through ctypes, so small sizes carry about 1 µs of it, as
PyTorch's carry its dispatch. OpenBLAS has one thread of its own here.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's own copy reads it while it is loaded

import numpy as np

from backlit.native.machine import jit, threads
from backlit.native.products import blas, gemm, gemm_plan
from backlit.native.products import dispatch as products

# m, k, n, which factors are stored transposed
SIZES = [
    (64, 784, 128, "NT"),
    (128, 64, 784, "TN"),
    (64, 128, 64, "NT"),
    (64, 64, 128, "NN"),
    (64, 64, 128, "TN"),
    (64, 64, 10, "NT"),
    (64, 3072, 100, "NT"),
    (100, 64, 3072, "TN"),
    (128, 512, 512, "NT"),
    (128, 512, 512, "NN"),
    (512, 128, 512, "TN"),
    (256, 2048, 2048, "NT"),
    (256, 2048, 2048, "NN"),
    (2048, 256, 2048, "TN"),
    (256, 2048, 10, "NT"),
    (256, 10, 2048, "NN"),
    (10, 256, 2048, "TN"),
    (1, 512, 512, "NN"),
    (4, 2048, 2048, "NT"),
    (1000, 1000, 10, "NN"),
    (1024, 1024, 1024, "NN"),
    (2048, 2048, 2048, "NN"),
]


def best_and_median(
    contestants: dict[str, Callable[[], object]], seconds: float
) -> dict[str, tuple[float, float]]:
    """Best and median µs of each, measured in turns of three calls."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["generated"]) < 9:
        for name, call in contestants.items():
            for _ in range(3):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return {name: (1e6 * min(ts), 1e6 * median(ts)) for name, ts in times.items()}


def entry_call(
    entry: products.Entry, a: np.ndarray, b: np.ndarray, out: np.ndarray
) -> Callable[[], object]:
    """An entry of the native loop, called as the loop does."""
    addresses = [array.ctypes.data for array in (a, b, out)]
    words = [*entry.before, *addresses, *entry.after]
    table = (ctypes.c_int64 * len(words))(*words)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(entry.function)
    return lambda: (function(table), entry)  # which keeps its code


def contestants(product: gemm_plan.Product, count: int) -> dict[str, Callable[[], object]]:
    """What is timed, each on `count` threads or, OpenBLAS, on one."""
    generator = np.random.default_rng(0)
    m, n, k = product.m, product.n, product.k
    a = generator.normal(size=(k, m) if product.transpose_a else (m, k)).astype(product.dtype)
    b = generator.normal(size=(n, k) if product.transpose_b else (k, n)).astype(product.dtype)
    out = np.zeros((m, n), product.dtype)
    generated = products.generated(product)
    assert generated is not None
    flags = {"transpose_a": product.transpose_a, "transpose_b": product.transpose_b}
    calls: dict[str, Callable[[], object]] = {
        "generated": entry_call(generated, a, b, out),
        "openblas": lambda: blas.gemm(a, b, out, **flags),
    }
    try:
        import torch
    except ImportError:
        return calls
    torch.set_num_threads(count)
    x = torch.from_numpy(a.T if product.transpose_a else a)
    y = torch.from_numpy(b.T if product.transpose_b else b)
    z = torch.from_numpy(np.zeros_like(out))
    return calls | {"torch": lambda: torch.mm(x, y, out=z)}


def main(dtype: str, count: int, seconds: float) -> None:
    threads.pool().set_num_threads(count)
    print(f"{blas.description()}; {dtype}, {count} thread(s); best / median µs")
    for m, k, n, modes in SIZES:
        product = gemm_plan.Product(m, n, k, modes[0] == "T", modes[1] == "T", dtype)
        times = best_and_median(contestants(product, count), seconds)
        cells = "  ".join(f"{name} {b:9.1f} / {c:9.1f}" for name, (b, c) in times.items())
        ratios = " ".join(
            f"×{min(v[i] for name, v in times.items() if name != 'generated') / mine:.2f}"
            for i, mine in enumerate(times["generated"])
        )
        cut = gemm_plan.plan(product, jit.host(), threads.default_num_threads())
        tile = f"{cut.rows}×{cut.panel}, {cut.blocks(product)} block(s)"
        speed = 2e-3 * product.work / times["generated"][0]
        print(
            f"{m:4d}×{k:4d}×{n:4d} {modes}  {cells}  {ratios}  {speed:3.0f} GFLOP/s  "
            f"{gemm.choose(product)}, {tile}",
            flush=True,
        )


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    default = threads.default_num_threads()
    main(
        arguments.get(1, "float32"), int(arguments.get(2, default)), float(arguments.get(3, "0.5"))
    )
