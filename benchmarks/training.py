"""One training step (forward, loss, backward, SGD with momentum) beside PyTorch and JAX."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from benchmarks import limits
from benchmarks import networks as nets
from benchmarks.measure import Times, measured, microseconds, ratio, table, times_faster, turns
from benchmarks.programs import until_native

OURS = ("backlit", "captured")


class Workload(NamedTuple):
    """A network, its calls per round, and the ratios asked of the plain loop and of capture."""

    network: nets.Network
    calls: int
    plain: str
    captured: str = ""


WORKLOADS = {
    "iris 2-10-3": Workload(nets.IRIS, 200, "≥ 2", "≥ 5"),
    "mcycle 1-10-1": Workload(nets.MCYCLE, 200, "≥ 1.5", "≥ 4"),
    "cifar 3072-100-10": Workload(nets.CIFAR, 30, "≥ 1.25"),
    "mnist 784-128-64-10": Workload(nets.MNIST, 50, "≥ 1.8", "≥ 2.1"),
    "mlp 512×4-10": Workload(nets.MLP_512, 10, "≥ 1.1"),
    "mlp 2048×3-10": Workload(nets.MLP_2048, 2, "≥ 1.0"),
}


def contenders(network: nets.Network) -> dict[str, nets.Call]:
    """Everybody's step, ours at its speed."""
    import backlit

    plain, captured = (
        nets.plain_step(backlit, *nets.torch_loss(backlit, network)) for _ in range(2)
    )
    made: dict[str, nets.Call] = {"backlit": plain, "captured": backlit.capture(captured)}
    for step in made.values():
        until_native(step)
    if nets.HAS_TORCH:
        import torch

        made["torch eager"] = nets.plain_step(torch, *nets.torch_loss(torch, network))
        made |= nets.compiled_steps(*nets.torch_loss(torch, network))
    if nets.HAS_JAX:
        made["jax.jit"] = nets.jax_step(network)
    return made


def training() -> str:
    """Times and ratios; then what the machine would allow."""
    times: dict[str, Times] = {}
    for name, workload in WORKLOADS.items():
        steps = contenders(workload.network)
        times[name] = turns(steps, calls=workload.calls, repeats=7, warmup=5)
    peers = measured(times[next(iter(WORKLOADS))])
    rows: list[tuple[object, ...]] = [
        (
            name, *microseconds(times[name], *peers, *OURS),
            times_faster(ratio(times[name], "backlit")), workload.plain,
            times_faster(ratio(times[name], "captured")), workload.captured,
        )
        for name, workload in WORKLOADS.items()
    ]  # fmt: skip
    head = (
        "µs per step", *peers, "plain loop", "captured",
        "best peer ÷ plain loop", "asked", "best peer ÷ captured", "asked",
    )  # fmt: skip
    return f"{table(head, rows)}\n\n{distance(times)}"


def distance(times: dict[str, Times]) -> str:
    """How far each step is from what the machine would allow."""
    machine = limits.machine()
    shown = (*OURS, *measured(times[next(iter(WORKLOADS))]))
    rows: list[tuple[object, ...]] = []
    for name, workload in WORKLOADS.items():
        work = limits.step_work(workload.network)
        limit = work.seconds(machine)
        reached = [f"{limit / median(times[name][n]):.0%}" for n in shown]
        size = (f"{work.flops / 1e6:,.2f}", f"{work.bytes / 1e6:,.2f}")
        rows.append((name, *size, f"{limit * 1e6:,.1f}", work.bound(machine), *reached))
    head = ("limit", "MFLOP", "MB", "µs", "by", *(f"{n} reaches" for n in shown))
    return (
        "The limit is the larger of FLOPs over the speed of a large matrix product "
        f"({machine.flops / 1e9:.0f} GFLOP/s, the best of torch's and ours) and bytes over that of "
        f"a large copy ({machine.bandwidth / 1e9:.1f} GB/s, reads and writes counted). What fits "
        "in the caches can move faster than that.\n\n" + table(head, rows)
    )


SECTIONS = {"training": training}
