"""`summary`: what a model is made of, what each part costs, and two models side by side."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.compiler.tiers import worker
from backlit.core.create import from_array
from backlit.core.era import flush, realize
from backlit.core.program import alive_nodes
from backlit.core.tensor import Tensor
from backlit.data.seeds import rng_of
from backlit.errors import ArgumentError
from backlit.insight.observe import observed, shape_text
from backlit.insight.text import number, seconds, table
from backlit.insight.work import flops_of
from backlit.nn import Module
from backlit.train.evaluation import evaluating
from backlit.train.metrics import as_tensor

ROWS_OF_EXAMPLE = 32  # of the input that is made up if none is given


@dataclass(frozen=True)
class Layer:
    """One part of a model.

    Attributes:
        path: its name in the model, such as "layers.0"; "" for the model's own code.
        kind: its class.
        calls: how often one forward pass calls it.
        output: the shape of its (last) output; () if it was not called.
        parameters: numbers that are learned and belong to this part itself.
        flops: floating-point operations of one forward pass.
        seconds: time of all its calls in one forward pass, each run alone; NaN if not measured.
    """

    path: str
    kind: str
    calls: int
    output: tuple[int, ...]
    parameters: int
    flops: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """What a model is made of; print it as a table, or read the numbers.

    Attributes:
        name: what the model is called in tables.
        input: the shapes of the inputs.
        layers: its parts, in the order in which they finish; those never called last.
        parameters: all learned numbers, shared ones counted once; `trainable`: those not frozen.
        buffers: numbers that are kept but not learned (running means, say).
        flops: floating-point operations of one forward pass.
        seconds: time of one forward pass as a whole; NaN if not measured.
        memory: bytes of parameters and buffers.
    """

    name: str
    input: tuple[tuple[int, ...], ...]
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    buffers: int
    flops: int
    seconds: float
    memory: int

    def __str__(self) -> str:
        header = ("layer", "kind", "output", "parameters", "FLOPs", "time alone")
        rows = [
            (
                layer.path or "(its own code)",
                layer.kind + (f" ×{layer.calls}" if layer.calls > 1 else ""),
                shape_text(layer.output) if layer.calls else "",
                number(layer.parameters),
                number(layer.flops),
                seconds(layer.seconds),
            )
            for layer in self.layers
        ]
        total = ("together", "", "", number(self.parameters), number(self.flops), "")
        inputs = ", ".join(map(shape_text, self.input))
        lines = [f"{self.name}, input {inputs}", ""]
        lines += table([header, *rows, total], right=(3, 4, 5), rules=(1, len(rows) + 1))
        frozen = self.parameters - self.trainable
        lines += ["", f"forward pass as a whole: {seconds(self.seconds)}" + faster(self)]
        lines.append(
            f"memory: {number(self.memory)} bytes for {number(self.parameters)} parameters"
            + (f" ({number(frozen)} frozen)" if frozen else "")
            + (f" and {number(self.buffers)} buffered numbers" if self.buffers else "")
        )
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__


def faster(summary: Summary) -> str:
    """Why the whole takes less time than its parts, where it does."""
    parts = sum(layer.seconds for layer in summary.layers if layer.seconds == layer.seconds)
    if not parts > 1.05 * summary.seconds:
        return ""
    return f" (the layers alone add up to {seconds(parts)}: run together, they are fused)"


@dataclass(frozen=True)
class Comparison:
    """Several models on the same input, side by side.

    Attributes:
        summaries: one for each model.
    """

    summaries: tuple[Summary, ...]

    @property
    def most_parameters(self) -> str:
        """The name of the model with the most parameters."""
        return max(self.summaries, key=lambda s: s.parameters).name

    @property
    def slowest(self) -> str:
        """The name of the model whose forward pass took longest."""
        return max(self.summaries, key=lambda s: s.seconds).name

    def __str__(self) -> str:
        rows: list[Sequence[str]] = [("", *(s.name for s in self.summaries))]
        for label, show, name in (
            ("parameters", number, "parameters"),
            ("FLOPs, forward", number, "flops"),
            ("time, forward", seconds, "seconds"),
            ("memory, bytes", number, "memory"),
        ):
            values = [getattr(s, name) for s in self.summaries]
            first = values[0]
            ratios = ["", *(f" ({v / first:.3g}×)" if first else "" for v in values[1:])]
            rows.append(
                (label, *(show(v) + ratio for v, ratio in zip(values, ratios, strict=True)))
            )
        lines = table(rows, right=tuple(range(1, len(rows[0]))), rules=(1,))
        inputs = ", ".join(map(shape_text, self.summaries[0].input))
        verdict = f"{self.most_parameters} has the most parameters, {self.slowest} takes longest"
        lines += ["", f"input {inputs}; {verdict}"]
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__


def summary(model: Module, *inputs: Any, name: str | None = None, time: bool = True) -> Summary:
    """The parts of a model with their parameters, arithmetic and measured time.

    FLOPs are those of one forward pass over `inputs`: 2mkn for a matrix product (m × k)(k × n),
    1 for each element of an elementwise function, 1 for each number that is summed. Times are the
    shortest of several runs, in evaluation mode without gradients. The model is left as it was.

    Args:
        inputs: what the model is called with. If none are given, 32 rows of normal numbers, as
            wide as the first layer says.
        name: what to call the model; its class if not given.
        time: whether to measure.

    Returns:
        the numbers; printed, a table.

    Raises:
        ArgumentError: no input is given, and the model has no layer that tells its width.

    >>> from backlit import nn
    >>> found = summary(nn.MLP([3072, 100, 10], bias=False), backlit.ones(1, 3072))
    >>> [(layer.path, layer.parameters, layer.flops) for layer in found.layers]
    [('layers.0', 307200, 614400), ('activations.0', 0, 100), ('layers.1', 1000, 2000),
     ('activations.1', 0, 0)]
    >>> found.parameters, found.flops
    (308200, 616500)
    """
    arrays = (as_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs)
    given = tuple(arrays) or (example_input(model),)
    with evaluating(model):
        calls, outputs, arguments, program = forward(model, given)
        layers = []
        for path, module in model.named_modules():
            own = sum(p.numel() for p in module.parameters(recurse=False))
            is_leaf = not any(True for _ in module.children())
            if not (own or program[path] or is_leaf):
                continue
            took = float("nan")
            if time and path in arguments and (is_leaf and path):
                took = calls[path] * seconds_of(caller(module, arguments[path]))
            layers.append(
                Layer(
                    path,
                    type(module).__name__,
                    calls[path],
                    outputs.get(path, ()),
                    own,
                    program[path],
                    took,
                )
            )
        whole = seconds_of(caller(model, given)) if time else float("nan")
    parameters = list(model.parameters())
    buffers = list(model.buffers())
    order = {path: i for i, path in enumerate(calls)}
    layers.sort(key=lambda layer: order.get(layer.path, len(order)))
    return Summary(
        name=name or type(model).__name__,
        input=tuple(tuple(x.shape) for x in given if isinstance(x, Tensor)),
        layers=tuple(layers),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        buffers=sum(b.numel() for b in buffers),
        flops=sum(program.values()),
        seconds=whole,
        memory=sum(t.numel() * t.dtype.numpy.itemsize for t in (*parameters, *buffers)),
    )


def compare(
    models: Mapping[str, Module] | Sequence[Module], *inputs: Any, time: bool = True
) -> Comparison:
    """Several models on the same input: which has more parameters, which takes longer.

    Args:
        models: by name, or in a list.
        inputs: what each is called with, as for `summary`.
        time: whether to measure.

    Raises:
        ArgumentError: there are no models.

    >>> from backlit import nn
    >>> deep, wide = nn.MLP([10, 20, 20, 1]), nn.MLP([10, 60, 1])
    >>> found = compare({"deep": deep, "wide": wide}, backlit.ones(8, 10))
    >>> found.most_parameters, [s.parameters for s in found.summaries]
    ('wide', [661, 721])
    """
    if not models:
        raise ArgumentError("compare: there are no models to compare; give at least one.")
    if isinstance(models, Mapping):
        named = list(models.items())
    else:
        named = [(f"{i} {type(model).__name__}", model) for i, model in enumerate(models, 1)]
    return Comparison(tuple(summary(m, *inputs, name=name, time=time) for name, m in named))


def example_input(model: Module) -> Tensor:
    """Rows of normal numbers, as wide as the first layer that tells its width."""
    for module in model.modules():
        width = getattr(module, "in_features", None)
        if isinstance(width, int):
            dtype = next((p.dtype for p in module.parameters()), None)
            rows = from_array(rng_of(0).normal(size=(ROWS_OF_EXAMPLE, width)))
            return rows.float() if dtype is None else rows.to(dtype)
    raise ArgumentError(
        f"summary: no layer of {type(model).__name__} tells how wide its input is; give an input, "
        "as in summary(model, x)."
    )


def forward(
    model: Module, inputs: tuple[Any, ...]
) -> tuple[Counter[str], dict[str, Any], dict[str, Any], Counter[str]]:
    """One pass: calls, output shapes, arguments and FLOPs of each module, by its path."""
    calls: Counter[str] = Counter()
    outputs: dict[str, Any] = {}
    arguments: dict[str, Any] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(module: Module, args: tuple[Any, ...], out: Any) -> None:
            calls[path] += 1
            arguments.setdefault(path, args)
            if isinstance(out, Tensor):
                outputs[path] = tuple(out.shape)

        return hook

    hooks = [m.register_forward_hook(note(path)) for path, m in model.named_modules()]
    try:
        with observed(model) as seen:
            result = model(*inputs)
    finally:
        for handle in hooks:
            handle.remove()
    found = [result] if isinstance(result, Tensor) else list(result)
    wanted = tuple(t._var for t in found if isinstance(t, Tensor) and t._era is seen.era)
    work: Counter[str] = Counter()
    for node in alive_nodes(seen.nodes(), wanted):
        work[seen.path_of(node)] += flops_of(node)
    flush()
    return calls, outputs, arguments, work


def caller(module: Module, inputs: tuple[Any, ...]) -> Callable[[], None]:
    """A function that runs the module on these inputs and computes the result."""

    def call() -> None:
        out = module(*inputs)
        if isinstance(out, Tensor):
            realize(out)
        else:
            flush()

    return call


def seconds_of(call: Callable[[], None], at_least: int = 5, budget: float = 0.02) -> float:
    """The shortest time that a call takes, once it is compiled."""
    for _ in range(3):
        call()
    worker.wait()
    best, runs, begin = float("inf"), 0, time.perf_counter()
    while runs < at_least or time.perf_counter() - begin < budget:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return best


__all__ = ["Comparison", "Layer", "Summary", "compare", "summary"]
