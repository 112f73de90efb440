"""Threshold units: McCulloch and Pitts's, the perceptron with its rule, and their limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from backlit.autograd import no_grad
from backlit.core.create import from_array, tensor
from backlit.core.dtypes import dtype
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError
from backlit.nn import init
from backlit.nn.module import Module
from backlit.nn.parameter import new_parameter
from backlit.nn.state import assign_values


class Sign(Module):
    """1 where x ≥ 0, else -1; the gradient is 0 everywhere, so nothing below it can learn.

    >>> from backlit import nn
    >>> nn.Sign()(backlit.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  1.,  1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        s = input.sign()
        return s + (s == 0)


class Step(Module):
    """1 where x ≥ 0, else 0; the gradient is 0 everywhere.

    >>> from backlit import nn
    >>> nn.Step()(backlit.tensor([-2.0, 0.0, 3.0]))
    tensor([0., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        s = input.sign()
        return (s + (s == 0) + 1) / 2


class MPUnit(Module):
    """McCulloch and Pitts, 1943: fires if enough inputs are on, and no inhibitory input is.

    Args:
        threshold: how many excitatory inputs must be 1.
        inhibitory: indices of the inputs that silence the unit.

    Shapes: x (*, n) of 0 and 1 → (*).

    >>> from backlit import nn
    >>> both = backlit.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> nn.MPUnit(threshold=1)(both).tolist(), nn.MPUnit(threshold=2)(both).tolist()
    ([0, 1, 1, 1], [0, 0, 0, 1])
    """

    def __init__(self, threshold: int, inhibitory: Iterable[int] = ()) -> None:
        super().__init__()
        self.threshold = threshold
        self.inhibitory = tuple(inhibitory)

    def forward(self, input: Tensor) -> Tensor:
        silenced = np.zeros(input.shape[-1], bool)
        silenced[list(self.inhibitory)] = True
        excited = (input * from_array(~silenced)).sum(-1)
        inhibited = (input * from_array(silenced)).sum(-1)
        return ((excited >= self.threshold) & (inhibited == 0)).to(input.dtype)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, inhibitory={self.inhibitory}"


class Perceptron(Module):
    """1 where w·x + w₀ ≥ 0, else 0 (Rosenblatt, 1959).

    Args:
        in_features: the number of inputs n; the boundary is a point, a line, a hyperplane.
        bias: whether there is a w₀.

    Shapes: x (*, n) → (*). Starts at zero.

    >>> from backlit import nn
    >>> x = backlit.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> unit = nn.Perceptron(2)
    >>> unit.fit(x, backlit.tensor([0.0, 1.0, 1.0, 1.0]))[-1], unit(x).tolist()
    (0, [0.0, 1.0, 1.0, 1.0])
    """

    def __init__(
        self,
        in_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.weight = new_parameter((in_features,), device, dtype)
        self.register_parameter("bias", new_parameter((), device, dtype) if bias else None)
        self.requires_grad_(False)

    def reset_parameters(self) -> None:
        """Draw the weights from N(0, 1)."""
        for p in self.parameters():
            init.normal_(p)

    def activation(self, input: Tensor) -> Tensor:
        """w·x + w₀: positive on one side of the boundary, negative on the other."""
        z = (input * self.weight).sum(-1)
        return z if self.bias is None else z + self.bias

    def forward(self, input: Tensor) -> Tensor:
        return (self.activation(input) >= 0).to(self.weight.dtype)

    def step(self, x: Tensor, target: float, lr: float = 1.0) -> bool:
        """Learn from one example by `perceptron_step`; says whether it was wrong."""
        with no_grad():
            error = float(target) - float(self(x))
            if error:
                w = perceptron_step(self.weight, x, target, target - error, lr)
                assign_values(self.weight, w)
                if self.bias is not None:
                    assign_values(self.bias, self.bias + lr * error)
        return bool(error)

    def fit(
        self, inputs: Tensor, targets: Tensor, lr: float = 1.0, max_epochs: int = 1000
    ) -> list[int]:
        """Go through the examples, one at a time, until all are right; the errors of each pass."""
        labels = targets.tolist()
        history: list[int] = []
        for _ in range(max_epochs):
            history.append(sum(self.step(inputs[i], t, lr) for i, t in enumerate(labels)))
            if history[-1] == 0:
                break
        return history

    def boundary(self, polynomial: bool = False) -> Any:
        """Where the output changes: the point in 1-D, else the unit normal and its distance from 0.

        With ``polynomial``, the inputs are [x, x², …] of one x (see `polynomial_features`), and the
        boundary is the list of real roots of w₀ + w₁x + w₂x² + …
        """
        w = realize(self.weight).astype(np.float64)
        w0 = 0.0 if self.bias is None else float(self.bias)
        if polynomial:
            roots = np.roots([*w[::-1], w0])
            return sorted(float(r.real) for r in roots if abs(r.imag) < 1e-9 * max(1.0, abs(r)))
        length = float(np.linalg.norm(w))
        if length == 0:
            raise ArgumentError(
                "Perceptron.boundary: all weights are zero, so the output is the same everywhere."
            )
        return -w0 / float(w[0]) if len(w) == 1 else (w / length, -w0 / length)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, bias={self.bias is not None}"


def perceptron_step(
    weight: Tensor, x: Tensor, target: float, output: float, lr: float = 1.0
) -> Tensor:
    """The perceptron rule: w_i + η (t - o) x_i; nothing changes where o = t.

    >>> from backlit.nn import perceptron_step
    >>> x = backlit.tensor([1.0, 0.0])
    >>> perceptron_step(backlit.tensor([0.5, 0.5]), x, target=1, output=0)
    tensor([1.5000, 0.5000])
    """
    return weight + lr * (target - output) * x


def polynomial_features(x: Tensor, degree: int) -> Tensor:
    """Φ(x) = [x, x², …, x^degree] as a new last dimension; a unit's bias is the constant term.

    >>> from backlit.nn import polynomial_features
    >>> polynomial_features(backlit.tensor([2.0, 3.0]), 3).tolist()
    [[2.0, 4.0, 8.0], [3.0, 9.0, 27.0]]
    """
    exponents = tensor(list(range(1, degree + 1)))
    return x.unsqueeze(-1) ** exponents


class Separability(NamedTuple):
    """Whether a hyperplane separates two classes, and why.

    Attributes:
        separable: the answer.
        weight, bias: a separating hyperplane, if there is one.
        reason: the proof in words.
    """

    separable: bool
    weight: Any
    bias: float
    reason: str


_MOST_STEPS = 100_000


def separability(inputs: Tensor, targets: Tensor) -> Separability:
    """Decide whether two classes are linearly separable, with proof.

    They are unless the convex hulls of the classes meet. Wolfe's algorithm (1976) finds the point
    nearest to 0 in the hull of all ±[x, 1]: if it is not 0, it is the normal of a separating plane.

    Args:
        inputs: examples (N, n).
        targets: two different values, (N,).

    >>> from backlit.nn import separability
    >>> x = backlit.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> separability(x, backlit.tensor([0, 1, 1, 0])).reason
    'not separable: the convex hulls of the classes meet at (0.5, 0.5)'
    """
    x = realize(inputs).astype(np.float64)
    t = realize(targets)
    classes = np.unique(t)
    if x.ndim != 2 or t.shape != x.shape[:1]:
        raise ShapeError(
            f"separability: expected inputs (N, n) and targets (N,), got {x.shape} and {t.shape}."
        )
    if len(classes) != 2:
        raise ArgumentError(f"separability: expected two classes, got {len(classes)}.")
    signs = np.where(t == classes[1], 1.0, -1.0)
    scale = max(float(np.abs(x).max()), 1e-300)
    z = signs[:, None] * np.concatenate([x / scale, np.ones((len(x), 1))], 1)
    nearest, shares = nearest_point(z)
    if (z @ nearest).min() > 0:
        reason = "separable: w·x + b > 0 exactly for the second class"
        return Separability(True, nearest[:-1] / scale, float(nearest[-1]), reason)
    positive = shares * (signs > 0)
    meeting = (positive @ x) / positive.sum()
    point = ", ".join(f"{v:.4g}" for v in meeting + 0.0)
    reason = f"not separable: the convex hulls of the classes meet at ({point})"
    return Separability(False, None, 0.0, reason)


def nearest_point(points: Any, tolerance: float = 1e-12) -> tuple[Any, Any]:
    """The point of the convex hull of ``points`` (N, n) nearest to 0, and its N shares."""
    chosen = [int(np.argmin((points**2).sum(1)))]
    shares = np.ones(1)
    scale = float((points**2).sum(1).max())
    for _ in range(_MOST_STEPS):
        x = shares @ points[chosen]
        best = int(np.argmin(points @ x))
        if best in chosen or x @ points[best] >= x @ x - tolerance * scale:
            break
        chosen.append(best)
        shares = np.append(shares, 0.0)
        while True:
            affine = _affine_shares(points[chosen])
            if (affine > tolerance).all():
                shares = affine
                break
            falling = affine <= tolerance
            ratios = shares[falling] / np.maximum(shares[falling] - affine[falling], 1e-300)
            step = min(1.0, float(ratios.min()))
            shares = (1 - step) * shares + step * affine
            kept = shares > tolerance
            chosen = [c for c, keep in zip(chosen, kept, strict=True) if keep]
            shares = shares[kept] / shares[kept].sum()
    full = np.zeros(len(points))
    full[chosen] = shares
    return full @ points, full


def _affine_shares(points: Any) -> Any:
    """Shares, adding up to 1, of the point nearest to 0 in the plane through ``points``."""
    n = len(points)
    system = np.ones((n + 1, n + 1))
    system[0, 0] = 0
    system[1:, 1:] = points @ points.T
    right = np.zeros(n + 1)
    right[0] = 1
    return np.linalg.lstsq(system, right, rcond=None)[0][1:]


__all__ = [
    "MPUnit",
    "Perceptron",
    "Separability",
    "Sign",
    "Step",
    "perceptron_step",
    "polynomial_features",
    "separability",
]
