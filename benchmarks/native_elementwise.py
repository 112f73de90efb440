"""Fused kernels against NumPy and PyTorch on one and two threads, in one run.

    python benchmarks/native_elementwise.py

Each figure is the median time of a call in µs; × is the best other time over ours. All write into
preallocated results where they have a way to (NumPy's compositions and torch's layer_norm have
none). GB/s counts one read and one write of the array, whatever the implementation does.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from backlit.native import elementwise, threads
from backlit.native.expression import Const, Expression, Input, Reduce, call

SHAPES = [(64, 1000), (4096, 4096)]
SECONDS = 1.0
CHUNK = 2**15  # elements


def softmax() -> Expression:
    x = Input(0)
    e = call("exp", call("sub", x, Reduce("max", x)))
    return call("div", e, Reduce("sum", e))


def layer_norm() -> Expression:
    x = Input(0)
    centred = call("sub", x, Reduce("mean", x))
    variance = Reduce("mean", call("square", centred))
    return call("mul", centred, call("rsqrt", call("add", variance, Const(1e-5))))


def gelu() -> Expression:
    x = Input(0)
    half = call("mul", x, Const(0.5))
    return call("fma", half, call("erf", call("mul", x, Const(0.5**0.5))), half)


def log_sum_exp() -> Expression:
    x = Input(0)
    high = Reduce("max", x)
    return call("add", call("log", Reduce("sum", call("exp", call("sub", x, high)))), high)


def unary(name: str) -> Callable[[], Expression]:
    return lambda: call(name, Input(0))


def numpy_softmax(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.divide(e, e.sum(1, keepdims=True), out=out)


def numpy_log_sum_exp(x: np.ndarray, _: np.ndarray) -> np.ndarray:
    high = x.max(1)
    return np.log(np.exp(x - high[:, None]).sum(1)) + high


NumpyVersion = Callable[[np.ndarray, np.ndarray], np.ndarray]
CASES: dict[str, tuple[Callable[[], Expression], NumpyVersion | None]] = {
    "exp": (unary("exp"), lambda x, out: np.exp(x, out=out)),
    "tanh": (unary("tanh"), lambda x, out: np.tanh(x, out=out)),
    "sigmoid": (unary("sigmoid"), lambda x, out: np.divide(1, 1 + np.exp(-x), out=out)),
    "gelu": (gelu, None),
    "softmax": (softmax, numpy_softmax),
    "layer_norm": (layer_norm, None),
    "logsumexp": (log_sum_exp, numpy_log_sum_exp),
}


def native(expression: Expression, x: np.ndarray, workers: int) -> Callable[[], object]:
    """A call of the fused kernel on preallocated arrays, alone or in chunks over the pool."""
    kernel = elementwise.build([expression])
    rows, cols = x.shape
    varies = kernel.graph.nodes[kernel.graph.outputs[0]].varies
    out = np.empty(x.shape if varies else rows, x.dtype)
    inputs, outputs = (ctypes.c_void_p * 1)(x.ctypes.data), (ctypes.c_void_p * 1)(out.ctypes.data)
    if workers == 1:
        types = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        run = kernel.library.function("run", None, *types)
        return lambda: (run(inputs, outputs, rows, cols), x, out)
    grain = CHUNK if kernel.flat else max(1, CHUNK // cols)
    count = -(-(rows * cols if kernel.flat else rows) // grain)
    addresses = (ctypes.addressof(inputs), ctypes.addressof(outputs))
    context = (ctypes.c_int64 * 5)(*addresses, rows, cols, grain)
    pool, chunk, where = threads.pool(), kernel.chunk_address, ctypes.addressof(context)
    keep = (x, out, inputs, outputs, context, kernel)
    return lambda: (pool.parallel_for(chunk, where, count), keep)


def torch_call(name: str, x: np.ndarray) -> Callable[[], object] | None:
    try:
        import torch
    except ImportError:
        return None
    tensor = torch.from_numpy(x)
    out, row_out = torch.empty_like(tensor), torch.empty(tensor.shape[0])
    return {
        "exp": lambda: torch.exp(tensor, out=out),
        "tanh": lambda: torch.tanh(tensor, out=out),
        "sigmoid": lambda: torch.sigmoid(tensor, out=out),
        "gelu": lambda: torch._C._nn.gelu(tensor, out=out),
        "softmax": lambda: torch.softmax(tensor, 1, out=out),
        "layer_norm": lambda: torch.nn.functional.layer_norm(tensor, (tensor.shape[1],)),
        "logsumexp": lambda: torch.logsumexp(tensor, 1, out=row_out),
    }[name]


def set_threads(count: int) -> None:
    threads.pool().set_num_threads(count)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(count)


def median_times(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median µs of each, measured in turns so that the machine's moods hit all alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["native"]) < 3:
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1e6 * median(values) for name, values in times.items()}


def main() -> None:
    for workers in (1, 2):
        set_threads(workers)
        for rows, cols in SHAPES:
            x = np.random.default_rng(0).normal(size=(rows, cols)).astype("float32")
            for name, (expression, numpy_version) in CASES.items():
                calls = {"native": native(expression(), x, workers)}
                if numpy_version is not None:
                    out = np.empty_like(x)
                    calls["numpy"] = lambda f=numpy_version, x=x, out=out: f(x, out)
                other = torch_call(name, x)
                if other is not None:
                    calls["torch"] = other
                times = median_times(calls)
                cells = "  ".join(f"{k} {us:10.1f}" for k, us in times.items())
                ratio = min(us for k, us in times.items() if k != "native") / times["native"]
                speed = 8e-3 * x.size / times["native"]
                where = f"{workers} thread{'s' * (workers > 1)} {rows}×{cols}"
                print(f"{where:20s} {name:10s} {cells}  ×{ratio:.2f}  {speed:.1f} GB/s")
    threads.pool().shutdown()


if __name__ == "__main__":
    main()
