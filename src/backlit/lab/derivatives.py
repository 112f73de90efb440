"""Three ways to a derivative, side by side: differences, symbols, automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backlit.autograd.gradients import grad
from backlit.core.create import tensor
from backlit.core.dtypes import float64
from backlit.core.era import local
from backlit.insight.gate import Apart
from backlit.lab.symbols import Symbol

_STEPS = tuple(10.0**-k for k in range(1, 16))

Function = Callable[[Any], Any]


@dataclass
class Way:
    """One way to a derivative, and what it took.

    Attributes:
        name: "numerical", "symbolic" or "automatic".
        value: the derivative it gave.
        error: its distance from the reference.
        operations: arithmetic operations carried out, those of f included.
        size: operations in the expression or program that gives the derivative; None where there
            is none.
    """

    name: str
    value: float
    error: float
    operations: int
    size: int | None


class Comparison(list[Way]):
    """The three ways, in a table when printed."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return next(way for way in self if way.name == key)
        return super().__getitem__(key)

    def __str__(self) -> str:
        head = f"{'':<12}{'derivative':>18}{'error':>12}{'operations':>13}{'size':>10}"
        rows = [
            f"{w.name:<12}{w.value:>18.12g}{w.error:>12.1e}{w.operations:>13,}"
            + (f"{w.size:>10,}" if w.size is not None else f"{'–':>10}")
            for w in self
        ]
        return "\n".join([head, *rows])

    __repr__ = __str__


def compare_derivatives(f: Function, x: float, *, h: float = 1e-5) -> Comparison:
    """df/dx at ``x`` three ways: error, operations, and size of what computes it.

    - numerical: (f(x + h) - f(x - h)) / 2h, two evaluations of f; truncation O(h²) and round-off
      O(ε/h) both show.
    - symbolic: the rules of calculus applied to the expression of f. It is exact, but written out
      without sharing, the expression of the derivative swells.
    - automatic: the same rules applied to values, node by node, each value kept: exact, at a small
      multiple of the operations of f.

    The reference for the error is the symbolic derivative evaluated in double precision.

    Args:
        f: a function of one number, by ``+ - * / **`` and the methods ``exp log sin cos tanh``.
        x: where.
        h: the step of the central difference.

    Source: A. Baydin et al., "Automatic differentiation in machine learning: a survey", JMLR 2018.

    >>> import backlit
    >>> def logistic(x):  # four rounds of the logistic map
    ...     for _ in range(4):
    ...         x = 4 * x * (1 - x)
    ...     return x
    >>> print(backlit.lab.compare_derivatives(logistic, 0.2))
                        derivative       error   operations      size
    numerical        15.3025554929     3.6e-07           28         –
    symbolic         15.3025558484     0.0e+00          199       199
    automatic        15.3025558484     1.8e-15           32        20
    """
    expression = f(Symbol())
    derivative = expression.derivative
    exact = derivative.at(x)
    difference = (_at(f, x + h) - _at(f, x - h)) / (2 * h)
    value, forward, backward = _automatic(f, x)
    return Comparison(
        [
            Way("numerical", difference, abs(difference - exact), 2 * forward + 4, None),
            Way("symbolic", exact, 0.0, derivative.size, derivative.size),
            Way("automatic", value, abs(value - exact), forward + backward, backward),
        ]
    )


def _at(f: Function, x: float) -> float:
    found = f(tensor(x, dtype=float64))
    return float(found.item())


def _automatic(f: Function, x: float) -> tuple[float, int, int]:
    """The derivative by the engine, and the nodes recorded by forward and by backward."""
    leaf = tensor(x, dtype=float64, requires_grad=True)
    with Apart(grad=True):
        (g,) = grad(f(leaf), [leaf], materialize_grads=True)
        nodes = local.era.here.all_nodes()
        backward = sum(node.where.phase == "backward" for node in nodes)
        assert g is not None
        return float(g.item()), len(nodes) - backward, backward


def difference_errors(
    f: Function, x: float, steps: Sequence[float] = _STEPS
) -> list[tuple[float, float, float]]:
    """Errors of (f(x + h) - f(x)) / h and of (f(x + h) - f(x - h)) / 2h, for each step h.

    The first falls like h, the second like h², until the round-off ε/h takes over: it never
    reaches zero. The reference is automatic differentiation.

    Args:
        f: a function of one number, as for `compare_derivatives`.
        x: where.
        steps: the values of h.

    Returns:
        (h, forward error, central error) for each step.

    >>> import backlit
    >>> found = backlit.lab.difference_errors(lambda x: x.exp(), 1.0, (1e-2, 1e-4))
    >>> for h, forward, central in found:
    ...     print(f"{h:.0e} {forward:.0e} {central:.0e}")
    1e-02 1e-02 5e-05
    1e-04 1e-04 5e-09
    """
    exact, _, _ = _automatic(f, x)
    here = _at(f, x)
    found = []
    for h in steps:
        after, before = _at(f, x + h), _at(f, x - h)
        forward, central = (after - here) / h, (after - before) / (2 * h)
        found.append((h, abs(forward - exact), abs(central - exact)))
    return found
