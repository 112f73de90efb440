"""What caching gradients saves: backpropagation as dynamic programming.

Without a cache, the gradient of a value asks for those of all its users, which ask for those of
theirs, along every path to the loss. With one, each gradient is computed once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from backlit.core.tensor import Array, Tensor
from backlit.errors import ArgumentError
from backlit.insight import Gate, Graph
from backlit.insight.naming import Names, names_in

_PLACES = 14  # columns of numbers


@dataclass
class Memoization:
    """How often the gradient of each node is computed while those of all leaves are asked for.

    Attributes:
        cached: node name → 1.
        direct: node name → the number of paths to it from the leaves.
    """

    cached: dict[str, int] = field(default_factory=dict)
    direct: dict[str, int] = field(default_factory=dict)

    @property
    def totals(self) -> tuple[int, int]:
        """Gradients computed in all: with a cache, and without."""
        return sum(self.cached.values()), sum(self.direct.values())

    def __str__(self) -> str:
        room = max(map(len, self.direct), default=0) + 5
        rows = [f"{'gradient of':<{room}}{'with cache':>{_PLACES}}{'without':>{_PLACES}}"]
        rows += [
            f"{name:<{room}}{self.cached[name]:>{_PLACES},}{n:>{_PLACES},}"
            for name, n in reversed(self.direct.items())
        ]
        with_cache, without = self.totals
        return "\n".join([*rows, f"{'all':<{room}}{with_cache:>{_PLACES},}{without:>{_PLACES},}"])

    __repr__ = __str__


def memoization(loss: Tensor, *, names: Mapping[str, Tensor] | None = None) -> Memoization:
    """Count how often each node's gradient is computed with caching (once) and without.

    Without a cache, the gradient of a value x with users y₁, y₂ … is Σₖ ∂yₖ/∂x · ∂L/∂yₖ with each
    ∂L/∂yₖ worked out anew: a node is visited once per path that leads to it from a leaf.

    Source: A. Baydin et al., "Automatic differentiation in machine learning: a survey", JMLR 2018
    (reverse accumulation keeps what a recursion over paths computes again).

    >>> import backlit
    >>> x = backlit.tensor(1.1, requires_grad=True)
    >>> y = x
    >>> for _ in range(20):
    ...     y = y + y
    >>> backlit.lab.memoization(y).totals
    (21, 2097151)
    """
    found = Memoization()
    paths: dict[int, int] = {}
    for gate in _differentiable(loss, names_in(sys._getframe(1), names)):
        ways = sum(paths.get(id(source), 0) for source in gate.inputs)
        paths[id(gate)] = ways if gate.inputs else 1
        found.cached[gate.name] = 1
        found.direct[gate.name] = paths[id(gate)]
    return found


def visits(
    loss: Tensor, *, memoize: bool, names: Mapping[str, Tensor] | None = None
) -> Iterator[str]:
    """The names of nodes in the order in which their gradients are computed, for an animation.

    The gradients of the leaves are asked for one after the other; without ``memoize``, what was
    worked out for one is forgotten before the next, and before the next user.

    >>> import backlit
    >>> a = backlit.tensor(2.0, requires_grad=True)
    >>> b = a * a
    >>> c = b.exp()
    >>> list(backlit.lab.visits(c, memoize=True, names={"a": a, "b": b, "c": c}))
    ['c', 'b', 'a']
    >>> list(backlit.lab.visits(c, memoize=False, names={"a": a, "b": b, "c": c}))
    ['c', 'b', 'c', 'b', 'a']
    """
    return _visits(_differentiable(loss, names_in(sys._getframe(1), names)), memoize)


def _visits(gates: list[Gate], memoize: bool) -> Iterator[str]:
    users: dict[int, list[Gate]] = {}
    for gate in gates:
        for source in gate.inputs:
            users.setdefault(id(source), []).append(gate)
    known: set[int] = set()
    for leaf in (g for g in gates if not g.inputs):
        stack = [(leaf, False)]
        while stack:
            gate, ready = stack.pop()
            if ready:
                known.add(id(gate))
                yield gate.name
            elif not (memoize and id(gate) in known):
                stack.append((gate, True))
                stack += [(user, False) for user in reversed(users.get(id(gate), []))]


def _differentiable(loss: Tensor, names: Names) -> list[Gate]:
    """The gates that the backward pass reaches, each after its inputs."""
    found = Graph(loss, names).nodes_topologically_sorted()
    return [gate for gate in found if gate.upstream_array is not None]


@dataclass
class CostReport:
    """What the gradients of a chain of layers cost; `cost_report` makes it.

    Attributes:
        layers: the number of layers L.
        memoize: whether each δ was kept once it was known.
        matmuls: products that were computed.
        deltas: how often each δ⁽ˡ⁾ was computed, from the last layer to the first.
        gradients: ∂L/∂W⁽ˡ⁾ for each layer: the same either way.
    """

    layers: int
    memoize: bool
    matmuls: int = 0
    deltas: dict[int, int] = field(default_factory=dict)
    gradients: list[Array] = field(default_factory=list, repr=False)


def cost_report(layers: int, *, memoize: bool, width: int = 2, seed: int = 0) -> CostReport:
    """Compute the gradients of a chain h⁽ˡ⁾ = h⁽ˡ⁻¹⁾ W⁽ˡ⁾ layer by layer, counting products.

    δ⁽ᴸ⁾ = 1ᵀ Jᴸ and δ⁽ˡ⁾ = δ⁽ˡ⁺¹⁾ W⁽ˡ⁺¹⁾ᵀ take one product each, and so does each gradient
    ∂/∂W⁽ˡ⁾ = h⁽ˡ⁻¹⁾ᵀ δ⁽ˡ⁾. From scratch for each layer that is L(L + 1)/2 + L products; with
    every δ kept it is 2L.

    Args:
        layers: how many, L ≥ 1.
        memoize: whether to keep each δ once it is known.
        width: units of each layer.
        seed: of the random weights.

    >>> import backlit
    >>> for n in (8, 32):
    ...     print([backlit.lab.cost_report(n, memoize=m).matmuls for m in (False, True)])
    [44, 16]
    [560, 64]

    Raises:
        ArgumentError: if there is no layer.
    """
    if layers < 1:
        raise ArgumentError(f"cost_report: the chain must have at least one layer, got {layers}.")
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((width, width)) / width**0.5 for _ in range(layers)]
    states = [rng.standard_normal((1, width))]
    for w in weights:
        states.append(states[-1] @ w)
    report = CostReport(layers, memoize, deltas=dict.fromkeys(range(layers, 0, -1), 0))
    kept: dict[int, Array] = {}

    def product(x: Array, y: Array) -> Array:
        report.matmuls += 1
        return np.asarray(x @ y)

    for layer in range(1, layers + 1):
        known = [at for at in range(layer, layers + 1) if at in kept]
        delta, at = (kept[known[0]], known[0]) if known else (np.ones((1, width)), layers + 1)
        while at > layer:
            at -= 1
            jacobian = weights[at].T if at < layers else np.eye(width)
            delta = product(delta, jacobian)
            report.deltas[at] += 1
            if memoize:
                kept[at] = delta
        report.gradients.append(product(states[layer - 1].T, delta))
    return report
