"""The recorded computation graph as an object to look at and to step through."""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Mapping
from itertools import count
from typing import Any

import numpy as np

from backlit.core.tensor import Tensor
from backlit.core.value import Value
from backlit.errors import ArgumentError
from backlit.insight.gate import Gate, LeafGate, NodeGate
from backlit.insight.history import Found, Key, Step, history, key_of, origin
from backlit.insight.naming import Names, names_in
from backlit.insight.tables import columns, shown


class Graph:
    """The computation graph of one tensor; `graph` makes it.

    Attributes:
        output: the gate of the tensor the graph was made for.
        leaves: the gates of the tensors it was computed from.
    """

    def __init__(self, root: Tensor, names: Names) -> None:
        leaves, steps, last = history(root)
        gates: dict[Key, Gate] = {}
        self.leaves: list[LeafGate] = []
        for leaf in leaves:
            gate = LeafGate(leaf)
            gates[leaf.key] = gate
            self.leaves.append(gate)
        for step in steps:
            gates[step.key] = NodeGate(step, [_operand(step, a, gates) for a in step.node.args])
        self._gates = gates
        self.output = gates[last[0].key]
        self.output.is_output = True
        self._root = root
        self._name(names)
        self.forward()
        self._check()
        if self.output.differentiable:
            self.backward()

    def _name(self, names: Names) -> None:
        taken = set(names.values())
        numbered = (name for i in count(1) if (name := f"v{i}") not in taken)
        for key, gate in self._gates.items():
            found = names.get((key, 0))
            gate.named = found is not None
            if found is None and gate is self.output:
                found = "loss" if "loss" not in taken else "output"
            gate.name = found or gate.own_name() or next(numbered)

    def _check(self) -> None:
        """Raise if what the graph was computed from is no longer what it was."""
        was, now = self._root._data, self.output.arrays[key_of(self._root)[1]]
        if was is not None and not np.allclose(
            np.asarray(was, np.float64), np.asarray(now, np.float64), 1e-2, 1e-6, equal_nan=True
        ):
            raise ArgumentError(
                "graph: a tensor that the computation began with was changed in place since (an "
                "optimizer's step?); computed anew, the result would be another. Look at a loss "
                "before the next step."
            )

    def nodes_topologically_sorted(self) -> list[Gate]:
        """All gates, each after the gates it takes its inputs from: leaves first, output last.

        >>> import backlit
        >>> x = backlit.tensor(2.0, requires_grad=True)
        >>> [gate.op for gate in backlit.insight.graph(x.exp() * x).nodes_topologically_sorted()]
        ['leaf', 'exp', 'mul']
        """
        return list(self._gates.values())

    def forward(self, **leaves: Any) -> Tensor:
        """Compute every gate in order, with new values for the leaves named, and return the output.

        >>> import backlit
        >>> x = backlit.tensor(2.0, requires_grad=True)
        >>> backlit.insight.graph(x * x).forward(x=3.0)
        tensor(9.)

        Raises:
            ArgumentError: if the graph has no leaf of a given name.
        """
        known = {gate.name: gate for gate in self.leaves}
        for name, value in leaves.items():
            if name not in known:
                raise ArgumentError(
                    f"graph.forward: there is no leaf called {name!r}; the leaves are "
                    f"{', '.join(known)}."
                )
            known[name].forward(value)
        for gate in self.nodes_topologically_sorted():
            gate.forward()
        return self.output.value

    def backward(self) -> dict[str, Tensor]:
        """Go through the gates in reverse order, and return the gradients of the leaves by name.

        >>> import backlit
        >>> x = backlit.tensor(2.0, requires_grad=True)
        >>> backlit.insight.graph(x * x).backward()
        {'x': tensor(4.)}
        """
        for gate in self._gates.values():
            gate.clear()
        for gate in reversed(self.nodes_topologically_sorted()):
            gate.backward()
        return {gate.name: gate.grad for gate in self.leaves if gate.grad is not None}

    def gate(self, tensor: Tensor) -> Gate:
        """The gate that computed ``tensor`` (any intermediate that is still held, or a leaf).

        Raises:
            ArgumentError: if the tensor plays no part in this graph.
        """
        found = self._gates.get(key_of(tensor)[0])
        if found is None:
            raise ArgumentError(
                f"graph.gate: the tensor of shape {tuple(tensor.shape)} plays no part in this "
                "graph."
            )
        return found

    def items(self) -> ItemsView[Key, Gate]:
        """Every gate by the key of its place in the history."""
        return self._gates.items()

    def __len__(self) -> int:
        return len(self._gates)

    def __str__(self) -> str:
        rows = [("node", "op", "gate", "value", "gradient", "saved for backward", "where")]
        for gate in self.nodes_topologically_sorted():
            formula = str(gate.formula) if isinstance(gate, NodeGate) else gate.op
            copies = f"copied ×{gate.fan_out}: adder" if gate.is_copied else ""
            pattern = ", ".join(filter(None, (gate.pattern, copies)))
            saved = ", ".join(f"{s.name} {s.nbytes} B" for s in gate.saved)
            value, grad = (shown(a) for a in (gate.arrays[0], gate.upstream_array))
            rows.append((gate.name, formula, pattern, value, grad, saved, str(gate.where or "")))
        return "\n".join(columns(rows))

    __repr__ = __str__


def _operand(step: Step, value: Value, gates: dict[Key, Gate]) -> tuple[Gate, int] | Value:
    found: Found | None = origin(step.era, value)
    return value if found is None else (gates[found[0].key], found[1])


def graph(loss: Tensor, *, names: Mapping[str, Tensor] | None = None) -> Graph:
    """The computation graph that ``loss`` was recorded with, every value and gradient in it.

    The graph is an observer: it computes with copies of its own and changes nothing. Each node (a
    *gate*) has ``value``, ``local_grad`` (∂out/∂input), ``upstream`` (∂loss/∂out), ``downstream``
    (their products), ``grad``, ``saved`` and ``where``; `Gate` says more.

    Args:
        loss: any tensor that was computed; gradients need it to have one element.
        names: names for tensors, before those of the caller's variables.

    Source: Stanford CS231n, lecture 4 (the computational graph object and its gates); A. Karpathy,
    "Hacker's guide to neural networks", 2014.

    >>> import backlit
    >>> x = backlit.tensor(-2.0, requires_grad=True)
    >>> y = backlit.tensor(5.0, requires_grad=True)
    >>> q = x + y
    >>> f = q * -4.0
    >>> g = backlit.insight.graph(f)
    >>> for gate in g.nodes_topologically_sorted():
    ...     print(gate.name, gate.value.item(), gate.grad.item())
    x -2.0 -4.0
    y 5.0 -4.0
    q 3.0 -4.0
    f -12.0 1.0

    Raises:
        ArgumentError: if ``loss`` was not computed, or what it was computed from has changed since.
    """
    return Graph(loss, names_in(sys._getframe(1), names))
