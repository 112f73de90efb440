"""Watching a computation: every primitive that ran, with the module and the line it came from.

`observed` records what happens in its block afresh, with whole module paths, and keeps nothing of
it among the recordings that user code will meet again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from backlit.core.era import Era, flush, local, pend
from backlit.core.position import Position
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.nn import Module


class Observation:
    """What was recorded in the block.

    Its tensors can be read in the block, after `end()`.

    Attributes:
        era: the recording; if something looked at a value on the way, what was recorded after it.
        paths: the names of the model's modules, "" for the model itself.
        interrupted: whether something looked at a value on the way.
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self.paths = {name for name, _ in model.named_modules()}
        self.era: Era = local.era
        self.interrupted = self.ended = False

    def end(self) -> None:
        """What is recorded from here on does not belong to it."""
        if not self.ended:
            self.ended = True
            self.interrupted = local.era is not self.era
            self.era = local.era

    def nodes(self) -> list[Node]:
        """The primitives, in the order in which they run."""
        return self.era.here.all_nodes()

    def tensor_of(self, value: Value) -> Tensor:
        """A tensor for a value of the recording; it must not have been flushed yet."""
        for t in self.era.handles:
            if t is not None and t._var is value:
                return t
        return pend(self.era, value)

    def path_of(self, node: Node) -> str:
        """The innermost module that a primitive ran in: "layers.0", or "" for the model itself."""
        inside = [name for name in node.where.scope if name in self.paths]
        return inside[-1] if inside else ""


@contextlib.contextmanager
def observed(model: Module) -> Iterator[Observation]:
    """Record what happens in the block, with each module under its whole name.

    >>> from backlit import nn
    >>> model = nn.MLP([2, 3, 1])
    >>> x = backlit.ones(4, 2)
    >>> with observed(model) as seen:
    ...     y = model(x)
    >>> [(seen.path_of(node), node.primitive.name) for node in seen.nodes()]
    [('layers.0', 'permute'), ('layers.0', 'matmul'), ('layers.0', 'add'),
     ('activations.0', 'relu'),
     ('layers.1', 'permute'), ('layers.1', 'matmul'), ('layers.1', 'add')]
    """
    flush()
    outer, grad = local.era, local.era.here.grad
    scopes = [(module, module._scope) for module in model.modules()]
    for name, module in model.named_modules():
        module.__dict__["_scope"] = name
    era = local.era = Era(grad)
    era.here = Position(None, None, grad)  # not in the trie: nothing of this is found again
    seen = Observation(model)
    try:
        yield seen
    finally:
        seen.end()
        for module, scope in scopes:
            module.__dict__["_scope"] = scope
        if type(outer) is not Era:  # `backlit.eager()` goes on as before
            local.era.flush()
            local.era = outer


def shape_text(shape: Any) -> str:
    """A shape in short: "64 × 10", or "one number" for a shape without dims."""
    return " × ".join(map(str, shape)) or "one number"
