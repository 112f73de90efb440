"""One forward and backward pass over a batch, with every value and gradient in reach of rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.autograd import enable_grad
from backlit.autograd.gradients import grad
from backlit.core.era import flush, realize
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.errors import ArgumentError
from backlit.insight.observe import Observation, observed
from backlit.nn import Module, Parameter
from backlit.nn.parameter import Uninitialized
from backlit.train.evaluation import as_loader, parts_of
from backlit.train.state import random_state, set_random_state
from backlit.train.stopping import set_weights, weights_of

Array = np.ndarray[Any, np.dtype[Any]]
ROWS = 256  # of the batch that is looked at


@dataclass
class Step:
    """One primitive of the forward pass.

    Attributes:
        path: the module that it ran in; "" for the model's own code.
        node: the primitive.
        inputs: the values of its operands; None for a number that may vary.
        out, gradient: its result, and the gradient of the loss by it (None if none flows).
    """

    path: str
    node: Node
    inputs: list[Array | None]
    out: Array
    gradient: Array | None

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.node.primitive.name

    @property
    def place(self) -> str:
        """Module, and the user's line."""
        where = self.node.where
        line = f"{where.file.rsplit('/', 1)[-1]}:{where.line}" if where.line else ""
        inside = "" in where.scope  # the model itself is around everything but the loss
        name = self.path or ("the model's own code" if inside else "the loss")
        return f"{name} ({line})" if line else name


@dataclass
class Examination:
    """All that rules look at.

    Attributes:
        model: the network.
        inputs, target: the batch.
        loss: its loss.
        steps: the primitives of the forward pass that compute floating-point numbers.
        parameters: name → (values, gradient or None), in the order of definition.
        learns: whether any gradient can flow from the loss.
        interrupted: whether the model looked at values on the way, so that `steps` is incomplete.
    """

    model: Module
    inputs: list[Array]
    target: Array
    loss: float
    steps: list[Step]
    parameters: dict[str, tuple[Array, Array | None]]
    learns: bool
    interrupted: bool
    by_id: dict[int, Step]
    parameter_ids: dict[int, str]
    data_ids: set[int]

    def source(self, value: Value) -> Step | None:
        """The step that computed a value."""
        return self.by_id.get(value.id)

    def unmoved(self, value: Value) -> Value:
        """What a value was before it was transposed, reshaped or cut."""
        while (step := self.by_id.get(value.id)) is not None and is_movement(step.node):
            value = step.node.args[0]
        return value

    def parameter_of(self, value: Value) -> str | None:
        """The name of the parameter that a value is, perhaps transposed or reshaped."""
        return self.parameter_ids.get(self.unmoved(value).id)

    def is_data(self, value: Value) -> bool:
        """Whether a value is an input of the network, perhaps transposed or reshaped."""
        return self.unmoved(value).id in self.data_ids


def is_movement(node: Node) -> bool:
    """Whether a primitive only moves data about."""
    return node.primitive.name in {"permute", "reshape", "expand", "slice", "clone", "strided"}


@contextlib.contextmanager
def undone(model: Module) -> Iterator[None]:
    """Whatever happens in the block: weights, buffers, gradients, modes and chance are put back."""
    if any(isinstance(p, Uninitialized) for p in (*model.parameters(), *model.buffers())):
        raise ArgumentError(
            f"doctor: {type(model).__name__} has parameters whose shapes are not known yet; call "
            "it once with some input first."
        )
    flush()
    weights, chance = weights_of(model), random_state()
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(p, p.grad) for p in model.parameters()]
    try:
        yield
    finally:
        set_weights(model, weights)
        set_random_state(chance)
        for module, training in modes:
            module.training = training
        for p, g in gradients:
            p.grad = g


def first_batch(data: Any, rows: int = ROWS) -> tuple[list[Tensor], Tensor]:
    """The inputs and the target of the first batch, not shuffled unless the loader does it."""
    for batch in as_loader(data, rows, False):
        inputs, target = parts_of(batch)
        return inputs, target
    raise ArgumentError("doctor: the data gave no batches; is the data set empty?")


def examine(model: Module, inputs: list[Tensor], target: Tensor, loss_of: Any) -> Examination:
    """Run the model forward and backward once, in training mode, and keep everything."""
    for t in (*inputs, target):
        realize(t)
    with undone(model), enable_grad():
        model.train()
        with observed(model) as seen:
            output = model(*inputs)
            loss = loss_of(output, target)
            seen.end()
            check_loss(loss)
            return collect(model, seen, inputs, target, loss)


def check_loss(loss: Any) -> None:
    """Raise unless the loss is one number."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        kind = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ArgumentError(
            f"doctor: the loss must be a tensor of one number, got {kind}; reduce it with .mean() "
            "or .sum()."
        )


def collect(
    model: Module, seen: Observation, inputs: list[Tensor], target: Tensor, loss: Tensor
) -> Examination:
    """Read off values and gradients of all that was recorded."""
    nodes = [n for n in seen.nodes() if n.outs[0].dtype.is_floating_point]
    outs = [seen.tensor_of(node.outs[0]) for node in nodes]
    entered = {t._var.id: t for t in seen.era.handles if t is not None and t._era is seen.era}
    names = {id(p): name for name, p in model.named_parameters()}
    parameter_ids = {
        i: names[id(t)] for i, t in entered.items() if isinstance(t, Parameter) and id(t) in names
    }
    learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients: dict[int, Any] = {}
    if loss.requires_grad:
        wanted = [*learnt.values(), *(t for t in outs if t.requires_grad)]
        found = grad(loss, wanted, allow_unused=True)
        gradients = {id(t): g for t, g in zip(wanted, found, strict=True)}
    arrays = {node.outs[0].id: t for node, t in zip(nodes, outs, strict=True)} | entered
    steps = []
    for node, t in zip(nodes, outs, strict=True):
        taken = [arrays.get(a.id) for a in node.args]
        steps.append(
            Step(
                seen.path_of(node),
                node,
                [as_array(v) for v in taken],
                realize(t),
                as_array(gradients.get(id(t))),
            )
        )
    return Examination(
        model=model,
        inputs=[np.asarray(realize(x)) for x in inputs],
        target=np.asarray(realize(target)),
        loss=float(realize(loss)),
        steps=steps,
        parameters={
            name: (np.array(realize(p)), as_array(gradients.get(id(p))))
            for name, p in learnt.items()
        },
        learns=bool(loss.requires_grad),
        interrupted=seen.interrupted,
        by_id={step.node.outs[0].id: step for step in steps},
        parameter_ids=parameter_ids,
        data_ids={i for i, t in entered.items() if any(t is x for x in inputs)},
    )


def as_array(t: Tensor | None) -> Array | None:
    """The values of a tensor, if there is one."""
    return None if t is None else np.asarray(realize(t))
