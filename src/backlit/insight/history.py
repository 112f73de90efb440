"""The history of a tensor: the nodes it was computed by, across recordings, and its leaves.

What was recorded is never lost while a tensor is held: each recording keeps the place in the trie
at which it ended, hence its nodes, and the handles of the tensors that entered it.
"""

from __future__ import annotations

from typing import Any

from backlit.compiler.source import Runner
from backlit.core.era import Era
from backlit.core.program import Program, alive_nodes
from backlit.core.tensor import Array, Tensor
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value
from backlit.errors import ArgumentError

Key = tuple[Any, ...]


class Leaf:
    """Where a history begins: a tensor that was given, or bare data that entered a recording."""

    __slots__ = ("era", "key", "tensor", "value")

    def __init__(self, key: Key, era: Era, value: Value, tensor: Tensor | None) -> None:
        self.key = key
        self.era = era
        self.value = value
        self.tensor = tensor

    def array(self) -> Array:
        """The data, as it was when it entered.

        Raises:
            ArgumentError: if it is gone.
        """
        value, era = self.value, self.era
        if isinstance(value, Input) and era.inputs:
            found = era.inputs[value.index]
            if found is not None:
                return found
        if self.tensor is not None and self.tensor._data is not None:
            return self.tensor._data
        if isinstance(value, Result) and era.inputs:
            program = Program(
                alive_nodes(era.here.all_nodes(), (value,)), (value,), len(era.inputs)
            )
            return Runner(program)(era.inputs, era.scalars)[0]
        raise ArgumentError(
            f"the {value.dtype.name} tensor of shape {tuple(value.shape)} that the computation "
            "began with has been changed or given up since; look at a loss before the next change "
            "to what it was computed from."
        )


class Step:
    """One node of the history, in the recording it belongs to."""

    __slots__ = ("era", "key", "node")

    def __init__(self, key: Key, era: Era, node: Node) -> None:
        self.key = key
        self.era = era
        self.node = node


Found = tuple[Leaf | Step, int]  # what computes a value, and which of its outputs it is


def origin(era: Era, value: Value) -> Found | None:
    """What ``value`` of ``era`` comes from; None for a number or a constant."""
    while isinstance(value, Input) and value.index in era.edges:
        era, value = era.edges[value.index]
    if isinstance(value, (Scalar, Constant)):
        return None
    if isinstance(value, Input):
        tensor = era.handles[value.index] if era.handles else None
        return Leaf(_leaf_key(tensor, era, value), era, value, tensor), 0
    assert isinstance(value, Result)
    if value.node.primitive.name == "leaf":
        tensor = era.leaves.get(value.id)
        return Leaf(_leaf_key(tensor, era, value), era, value, tensor), 0
    return Step((era.sequence, value.node.outs[0].id), era, value.node), value.index


def _leaf_key(tensor: Tensor | None, era: Era, value: Value) -> Key:
    return ("leaf", id(tensor)) if tensor is not None else ("data", era.sequence, value.id)


def origin_of(t: Tensor) -> Found | None:
    """What the tensor ``t`` comes from; None if it was given rather than computed."""
    if t._data is None:
        return origin(t._era, t._var) if isinstance(t._era, Era) else None
    edge = t._x.edge if t._x is not None else None
    return origin(*edge) if edge is not None else None


def key_of(t: Tensor) -> tuple[Key, int]:
    """The key under which ``t`` is found in a history, and the number of the output it is."""
    found = origin_of(t)
    return (found[0].key, found[1]) if found is not None else (("leaf", id(t)), 0)


def history(root: Tensor) -> tuple[list[Leaf], list[Step], Found]:
    """The leaves and nodes that ``root`` depends on, nodes in order of computation, and its own.

    Raises:
        ArgumentError: if ``root`` was not computed from anything.
    """
    last = origin_of(root)
    if last is None or isinstance(last[0], Leaf):
        raise ArgumentError(
            f"the tensor of shape {tuple(root.shape)} has no recorded history: it was given, or "
            "computed from nothing that requires grad and already looked at; set "
            "requires_grad=True on what it depends on."
        )
    leaves: dict[Key, Leaf] = {}
    steps: dict[Key, Step] = {}
    stack: list[Leaf | Step] = [last[0]]
    while stack:
        at = stack.pop()
        if isinstance(at, Leaf):
            leaves.setdefault(at.key, at)
        elif at.key not in steps:
            steps[at.key] = at
            for arg in reversed(at.node.args):
                found = origin(at.era, arg)
                if found is not None:
                    stack.append(found[0])
    return list(leaves.values()), [steps[k] for k in sorted(steps)], last
