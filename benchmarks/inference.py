"""Plain calls of the mnist network without gradients, each result computed before the next call."""

from __future__ import annotations

from typing import Any

from benchmarks import networks as nets
from benchmarks.measure import COMPILE, measured, microseconds, ratio, table, times_faster, turns
from benchmarks.programs import until_native

CALLS = {1: 500, 256: 40}  # batch size → calls per round


def torch_call(torch: Any, network: nets.Network, *, compiled: bool = False) -> nets.Call:
    """The call in PyTorch, as prediction code writes it."""
    model = nets.torch_model(torch, network).eval()
    x = torch.tensor(nets.data(network)[0])
    forward = torch.compile(model) if compiled else model

    def call() -> object:
        with torch.inference_mode():
            return forward(x)

    return call


def backlit_call(network: nets.Network) -> nets.Call:
    """The same call, and its result computed."""
    import backlit

    record = torch_call(backlit, network)

    def call() -> object:
        out = record()
        backlit.flush()
        return out

    return call


def jax_call(network: nets.Network) -> nets.Call:
    """The jitted network, its parameters passed."""
    import jax

    forward = jax.jit(nets.jax_forward(network))
    parameters = nets.jax_parameters(network.sizes)
    x = jax.numpy.asarray(nets.data(network)[0])
    return lambda: forward(parameters, x).block_until_ready()


def inference() -> str:
    """The table."""
    rows: list[tuple[object, ...]] = []
    peers: tuple[str, ...] = ()
    for batch, calls in CALLS.items():
        network = nets.MNIST._replace(batch=batch)
        contenders = {"backlit": backlit_call(network)}
        until_native(contenders["backlit"])
        if nets.HAS_TORCH:
            import torch

            torch.compiler.reset()
            contenders["torch eager"] = torch_call(torch, network)
            contenders[COMPILE] = torch_call(torch, network, compiled=True)
        if nets.HAS_JAX:
            contenders["jax.jit"] = jax_call(network)
        times = turns(contenders, calls=calls, repeats=9)
        found = times_faster(ratio(times, "backlit"))
        peers = measured(times)
        cells = microseconds(times, *peers, "backlit")
        rows.append((f"mnist 784-128-64-10, batch {batch}", *cells, found, "> 1"))
    head = ("µs per call", *peers, "backlit", "best peer ÷ backlit", "asked")
    return table(head, rows)


SECTIONS = {"inference": inference}
