"""The reverse walk over the nodes of one recording, by their cards' gradient rules."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from backlit import config
from backlit.core.era import local
from backlit.core.primitive import Elementwise
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor, handle
from backlit.core.value import Constant, Node, Result, Scalar, Value
from backlit.errors import GradientError
from backlit.ops.movement import sum_to

Arrived = dict[int, tuple[Value, Tensor | None]]  # value id → (value, gradient; None stands for 1)


class Sweep:
    """The reverse walk over the nodes of one recording, by their gradient rules."""

    def __init__(
        self,
        lift: Callable[[Value], Tensor] | None,
        freed: frozenset[int] | set[int],
        stale: dict[int, Any],
    ) -> None:
        self.lift = lift or (lambda v: handle(local.era, v))
        self.freed = freed
        self.stale = stale
        self.visited: set[int] = set()
        self.saving: set[int] = set()
        self.read: dict[int, Value] = {}

    def run(
        self, gradients: dict[int, tuple[Value, Tensor]], asked: set[int], reach: set[int] | None
    ) -> tuple[list[tuple[Value, Tensor]], list[tuple[Value, Tensor]]]:
        """Gradients of the inputs and leaves reached, and of the values asked for."""
        pending: dict[int, tuple[Node, dict[int, Tensor]]] = {}
        queue: list[int] = []
        emitted: dict[int, tuple[Value, Tensor]] = {}
        hit: list[tuple[Value, Tensor]] = []

        def arrive(value: Value, g: Tensor) -> None:
            if isinstance(value, Result) and value.node.primitive.name != "leaf":
                first = value.node.outs[0].id
                if first not in pending:
                    pending[first] = (value.node, {})
                    heapq.heappush(queue, -first)
                outs = pending[first][1]
                outs[value.index] = outs[value.index] + g if value.index in outs else g
            elif value.id in emitted:
                emitted[value.id] = (value, emitted[value.id][1] + g)
            else:
                emitted[value.id] = (value, g)

        for value, g in gradients.values():
            arrive(value, g)
        while queue:
            node, outs = pending.pop(-heapq.heappop(queue))
            for i, g in outs.items():
                if node.outs[i].id in asked:
                    hit.append((node.outs[i], g))
            if reach is not None and not any(a.id in reach for a in node.args):
                continue
            for i, g in self.apply(node, outs):
                if reach is None or node.args[i].id in reach:
                    arrive(node.args[i], g)
        hit.extend((v, g) for v, g in emitted.values() if v.id in asked)
        return list(emitted.values()), hit

    def apply(self, node: Node, outs: dict[int, Tensor]) -> list[tuple[int, Tensor]]:
        """The gradients of the operands of ``node``, given those of its outputs."""
        self.visited.add(node.outs[0].id)
        local.era.scope = ("∂" + node.primitive.name,)
        local.era._place = (node.where.file, node.where.line)
        found: list[tuple[int, Tensor]] = []
        card = node.primitive
        for i, arg in enumerate(node.args):
            if not arg.requires_grad:
                continue
            rule, names = card.rule_of(i)
            if rule is None:
                continue
            if isinstance(card, Elementwise):
                g = self._elementwise(node, i, outs[0])
            else:
                first = outs.get(0)
                if first is None:
                    first = _zeros_like(node.outs[0])
                g = rule(first, *(self.argument(node, i, name, outs) for name in names))
            if g is not None:
                found.append((i, _fit(g, arg)))
        return found

    def _elementwise(self, node: Node, i: int, g: Tensor) -> Tensor:
        card = node.primitive
        assert isinstance(card, Elementwise)
        rule = card.derivatives[i]
        assert rule is not None
        local_gradient = rule(
            tensor_math, *(self.argument(node, i, name, {}) for name in card.rule_names[i])
        )
        if isinstance(local_gradient, (int, float)):
            if local_gradient == 1:
                return g
            if local_gradient == 0:  # also where g is infinite
                return _zeros_like(node.args[i])
            return -g if local_gradient == -1 else g * local_gradient
        if local_gradient.dtype.name == "bool":
            return tensor_math.where(local_gradient, g, 0)
        if config.get("zero_upstream"):
            return tensor_math.where(g == 0, 0, g * local_gradient)
        return g * local_gradient

    def argument(self, node: Node, i: int, name: str, outs: dict[int, Tensor]) -> Any:
        """What a rule parameter called ``name`` receives."""
        card = node.primitive
        value = card.saved_value(node, name)
        if value is not None:
            return self._saved(node, value)
        if name in node.attrs:
            return node.attrs[name]
        if name.endswith("_shape") and name[:-6] in card.operands:
            return node.args[card.operands.index(name[:-6])].shape
        if name.endswith("_dtype") and name[:-6] in card.operands:
            return node.args[card.operands.index(name[:-6])].dtype
        if name == "node_starts":
            n = len(card.operands) - 1
            return [self._number(v) for v in node.args[n:]]
        if name == "node":
            return node
        if name == "position":
            return i
        if name[0] == "g" and name[1:].isdigit():
            k = int(name[1:])
            return outs[k] if k in outs else _zeros_like(node.outs[k])
        if name == "m":
            return tensor_math
        raise GradientError(
            f"{card.name}: gradient rule parameter {name!r} names nothing that is known."
        )

    def _number(self, value: Value) -> Any:
        return value.array.item() if isinstance(value, Constant) else self.lift(value)

    def _saved(self, node: Node, value: Value) -> Tensor:
        first = node.outs[0].id
        if isinstance(value, Constant):
            return local.era.constant(value.array, value.dtype, value.weak)
        if not isinstance(value, Scalar):
            self.saving.add(first)
            self.read[value.id] = value
            if first in self.freed:
                raise freed_error()
            overwritten = overwritten_at(self.stale, value)
            if overwritten is not None:
                raise stale_error(node, value, overwritten)
        return self.lift(value)


def overwritten_at(stale: dict[int, Any], value: Value) -> Any:
    """The in-place op that overwrote ``value`` or the memory it is a view of, if any."""
    at: Value = value
    while stale:
        if at.id in stale:
            return stale[at.id]
        if not isinstance(at, Result) or at.node.primitive.write is None:
            return None
        at = at.node.args[0]
    return None


def freed_error() -> GradientError:
    return GradientError(
        "Trying to backward through the graph a second time, but the saved intermediate values "
        "have already been "
        "freed. Pass retain_graph=True to the first backward() or grad() if you need to go through "
        "it again."
    )


def stale_error(
    node: Node, value: Value, overwritten: tuple[str, tuple[str, int]]
) -> GradientError:
    name, (file, line) = overwritten
    return GradientError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: "
        f"{node.primitive.name} at {node.where.file}:{node.where.line} saved a {value.dtype.name} "
        f"tensor of shape "
        f"{tuple(value.shape)} that {name} at {file}:{line} overwrote. Use the out-of-place op "
        f"there, or clone() first."
    )


def _fit(g: Tensor, arg: Value) -> Tensor:
    """``g`` in the shape and dtype of the operand it belongs to."""
    if g.dtype is not arg.dtype:
        g = g.to(arg.dtype)
    return g if g.shape == arg.shape else sum_to(g, arg.shape)


def _zeros_like(value: Value) -> Tensor:
    from backlit.ops.movement import zeros

    return zeros(value.shape, value.dtype)


class TensorMath:
    """``m`` for gradient rules: scalar functions as ops on tensors."""

    def __getattr__(self, name: str) -> Any:
        return PUBLIC[name]


tensor_math = TensorMath()
