"""Matrix products: generated kernels, OpenBLAS, NumPy and PyTorch, one thread each, in one run.

    python benchmarks/native_gemm.py [float32|float64]

Each figure is the median time of a call in µs; the last column compares the generated kernel with
the best of the others. Generated kernels and OpenBLAS are called through ctypes, so small sizes
carry about 1 µs of it, as NumPy's and PyTorch's carry their own dispatch.
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

from backlit.native import blas, gemm

SIZES = [
    (150, 2, 10),
    (150, 10, 3),
    (64, 784, 128),
    (64, 128, 64),
    (64, 64, 10),
    (64, 3072, 100),
    (128, 512, 512),
    (256, 2048, 2048),
]
SECONDS = 0.3  # per size, shared by the contestants


def median_times(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median µs of each, measured in turns so that the machine's moods hit all alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["generated"]) < 5:
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: 1e6 * median(values) for name, values in times.items()}


def contestants(m: int, k: int, n: int, modes: str, dtype: str) -> dict[str, Callable[[], object]]:
    transpose_a, transpose_b = modes[0] == "T", modes[1] == "T"
    generator = np.random.default_rng(0)
    a = generator.normal(size=(k, m) if transpose_a else (m, k)).astype(dtype)
    b = generator.normal(size=(n, k) if transpose_b else (k, n)).astype(dtype)
    out = np.empty((m, n), dtype)
    kernel = gemm.build(gemm.Product(m, n, k, transpose_a, transpose_b, dtype))
    generated = kernel.library.function("gemm", None, *[ctypes.c_void_p] * 3)
    pointers = (a.ctypes.data, b.ctypes.data, out.ctypes.data)
    openblas = getattr(
        blas.library(), "scipy_cblas_" + ("sgemm" if dtype == "float32" else "dgemm")
    )
    flags = [112 if flag else 111 for flag in (transpose_a, transpose_b)]
    arguments = (101, *flags, m, n, k, 1.0, pointers[0], a.shape[1], pointers[1], b.shape[1], 0.0)
    left, right = a.T if transpose_a else a, b.T if transpose_b else b
    calls: dict[str, Callable[[], object]] = {
        "generated": lambda: generated(*pointers),
        "openblas": lambda: openblas(*arguments, pointers[2], n),
        "numpy": lambda: np.matmul(left, right, out=out),
    }
    try:
        import torch
    except ImportError:
        return calls
    torch.set_num_threads(1)
    x, y, z = torch.from_numpy(left), torch.from_numpy(right), torch.from_numpy(np.empty_like(out))
    return calls | {"torch": lambda: torch.mm(x, y, out=z)}


def main(dtype: str) -> None:
    print(f"{blas.description()}; {dtype}, one thread; median µs (GFLOP/s)")
    for m, k, n in SIZES:
        for modes in ("NN", "NT", "TN"):
            times = median_times(contestants(m, k, n, modes, dtype))
            cells = "  ".join(
                f"{name} {us:9.2f} ({2e-3 * m * n * k / us:3.0f})" for name, us in times.items()
            )
            others = min(us for name, us in times.items() if name != "generated")
            chosen = gemm.choose(gemm.Product(m, n, k, modes[0] == "T", modes[1] == "T", dtype))
            ratio = others / times["generated"]
            print(f"{m:4d}×{k:4d}×{n:4d} {modes}  {cells}  ×{ratio:.2f}  {chosen}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "float32")
