"""What the machine can do at most, and what a training step asks of it."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from benchmarks.measure import turns
from benchmarks.networks import HAS_TORCH, Call, Network
from benchmarks.programs import until_native

SIDE = 2048  # of the square matrices
ELEMENTS = 32 * 2**20  # of the array that is copied, 128 MiB
ITEM = 4  # bytes of a float32


class Machine(NamedTuple):
    """The best that was seen, in operations and in bytes per second."""

    flops: float
    bandwidth: float


class Work(NamedTuple):
    """What one step asks for at the very least."""

    flops: float
    bytes: float

    def seconds(self, machine: Machine) -> float:
        """No implementation that uses the memory and the processor like this takes less."""
        return max(self.flops / machine.flops, self.bytes / machine.bandwidth)

    def bound(self, machine: Machine) -> str:
        """What that time is spent on."""
        is_computing = self.flops / machine.flops >= self.bytes / machine.bandwidth
        return "FLOPs" if is_computing else "bytes"


def machine() -> Machine:
    """Measure a large matrix product, ours and torch's, and a large copy, NumPy's and torch's."""
    import backlit

    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(2))
    source, target = np.ones(ELEMENTS, np.float32), np.ones(ELEMENTS, np.float32)
    x, y = backlit.tensor(a), backlit.tensor(b)

    def ours() -> object:
        z = x @ y
        backlit.flush()
        return z

    products: dict[str, Call] = {"backlit": ours}
    copies: dict[str, Call] = {"numpy": lambda: np.copyto(target, source)}
    if HAS_TORCH:
        import torch

        left, right, out = torch.from_numpy(a), torch.from_numpy(b), torch.empty(SIDE, SIDE)
        products["torch"] = lambda: torch.mm(left, right, out=out)
        to, origin = torch.from_numpy(target), torch.from_numpy(source)
        copies["torch"] = lambda: to.copy_(origin)
    until_native(ours)
    best = [
        min(itertools.chain(*turns(calls, calls=1, repeats=9, warmup=2).values()))
        for calls in (products, copies)
    ]
    return Machine(2 * SIDE**3 / best[0], 2 * ELEMENTS * ITEM / best[1])


def parameter_bytes(network: Network) -> int:
    """Memory of the weights and biases.

    >>> parameter_bytes(Network((2, 3), "ReLU", batch=10)) == 4 * 9
    True
    """
    return ITEM * sum((n + 1) * m for n, m in itertools.pairwise(network.sizes))


def step_work(network: Network) -> Work:
    """A training step of SGD with momentum.

    Three products per layer, one less for the first (nobody asks for the gradient of the inputs).
    Parameters and momentum are read and written, gradients written; inputs are read, each layer's
    output written and read.

    >>> step_work(Network((2, 3), "ReLU", batch=10)) == (2 * 2 * 10 * 6, 4 * (5 * 9 + 20 + 2 * 30))
    True
    """
    layers = list(itertools.pairwise(network.sizes))
    products = sum(n * m * (3 if i else 2) for i, (n, m) in enumerate(layers))
    activations = ITEM * network.batch * (network.sizes[0] + 2 * sum(network.sizes[1:]))
    return Work(2.0 * network.batch * products, 5.0 * parameter_bytes(network) + activations)
