"""Automatic differentiation on one page: scalars only, every step in plain sight.

>>> a, b = Tensor(2.0, label="a"), Tensor(-3.0, label="b")
>>> loss = (a * b + a).tanh()
>>> loss.backward()
>>> round(a.grad, 6), round(b.grad, 6)
(-0.002682, 0.002682)
"""

from __future__ import annotations

import math
from collections.abc import Callable


class Tensor:
    """A number that remembers what it was computed from."""

    def __init__(
        self, value: float, _prev: tuple[Tensor, ...] = (), _op: str = "", label: str = ""
    ) -> None:
        self.value = float(value)
        self.grad = 0.0  # d(the tensor that `backward` was called on)/d(this one)
        self.label, self._prev, self._op = label, _prev, _op
        self._backward: Callable[[], None] = lambda: None

    def _computed(self, value: float, op: str, *edges: tuple[Tensor, float]) -> Tensor:
        """A result, with an edge (input, local derivative) for each input."""
        out = Tensor(value, tuple(source for source, _ in edges), op)

        def _backward() -> None:
            for source, local in edges:
                source.grad += local * out.grad  # local times upstream; several uses add up

        out._backward = _backward
        return out

    def __add__(self, other: Tensor | float) -> Tensor:
        x, y = self, _tensor(other)
        return self._computed(x.value + y.value, "+", (x, 1.0), (y, 1.0))

    def __mul__(self, other: Tensor | float) -> Tensor:
        x, y = self, _tensor(other)
        return self._computed(x.value * y.value, "*", (x, y.value), (y, x.value))

    def __pow__(self, n: float) -> Tensor:
        return self._computed(self.value**n, f"**{n}", (self, n * self.value ** (n - 1)))

    def exp(self) -> Tensor:
        y = math.exp(self.value)
        return self._computed(y, "exp", (self, y))

    def tanh(self) -> Tensor:
        y = math.tanh(self.value)
        return self._computed(y, "tanh", (self, 1 - y * y))

    def __sub__(self, other: Tensor | float) -> Tensor:
        return self + _tensor(other) * -1

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return self * _tensor(other) ** -1

    __radd__ = __add__
    __rmul__ = __mul__

    def topological_order(self) -> list[Tensor]:
        """Every tensor this one depends on, each after its inputs, by depth-first search."""
        order: list[Tensor] = []
        path, on_path, done = [self], {self}, set[Tensor]()
        while path:
            waiting = [t for t in path[-1]._prev if t not in done]
            if not waiting:
                on_path.discard(path[-1])
                done.add(path[-1])
                order.append(path.pop())
            elif waiting[0] in on_path:
                raise ValueError(f"the graph has a cycle through {waiting[0]}; there must be none.")
            else:
                path.append(waiting[0])
                on_path.add(waiting[0])
        return order

    def backward(self) -> None:
        """Add d(self)/d(t) to the ``grad`` of every tensor t that this one depends on."""
        order = self.topological_order()
        for t in order:
            t.grad *= not t._prev  # those of leaves accumulate, as in the large engine
        self.grad = 1.0
        for t in reversed(order):
            t._backward()

    def __repr__(self) -> str:
        return f"Tensor({self.label + ' = ' if self.label else ''}{self.value}, grad={self.grad})"


def _tensor(x: Tensor | float) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)
