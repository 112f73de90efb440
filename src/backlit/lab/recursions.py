"""Backpropagation written out for layered networks, as textbooks derive it, in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Scalar = Callable[[float], float]


def sequence_gradients(
    z0: float, weights: Sequence[float], f: Scalar, slope: Scalar
) -> tuple[list[float], list[float]]:
    """The chain z_i = f(w_i z_{i-1}): g(z_n) = 1, g(z_{i-1}) = g(z_i) ∂z_i/∂z_{i-1}.

    Args:
        z0: the number that enters.
        weights: w_1 … w_n.
        f: the unit's activation.
        slope: its derivative.

    Returns:
        g(z_0) … g(z_n), and g(w_i) = g(z_i) ∂z_i/∂w_i for each weight.

    >>> sequence_gradients(2.0, [3.0, 5.0], lambda u: u, lambda u: 1.0)
    ([15.0, 5.0, 1.0], [10.0, 6.0])
    """
    z = [z0]
    for w in weights:
        z.append(f(w * z[-1]))
    gz, gw = [1.0], []
    for w, before in zip(reversed(weights), reversed(z[:-1]), strict=True):
        local = slope(w * before)
        gw.append(gz[-1] * local * before)
        gz.append(gz[-1] * local * w)
    return gz[::-1], gw[::-1]


def beta_recursion(
    weights: Sequence[Array],
    x: Array,
    loss_slope: Callable[[Array], Array],
    f: Callable[[Array], Array],
    slope: Callable[[Array], Array],
) -> tuple[list[Array], list[Array]]:
    """β^L = L' * σ'(z^L), β^l = (β^{l+1} W^{l+1}) * σ'(z^l), ∇_{W^l} = (β^l)ᵀ h^{l-1}.

    Layers compute z^l = h^{l-1} (W^l)ᵀ and h^l = σ(z^l).

    Args:
        weights: W^l, (outputs, inputs) each.
        x: h^0, (examples, inputs).
        loss_slope: ∂L/∂h^L, given h^L.
        f, slope: σ and σ'.

    Returns:
        The gradient of each W^l, and each β^l, both from the first layer to the last.

    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> beta_recursion([2 * one, 3 * one], one, np.ones_like, lambda z: z, np.ones_like)[0]
    [array([[3.]]), array([[2.]])]
    """
    h, z = [x], []
    for w in weights:
        z.append(h[-1] @ w.T)
        h.append(f(z[-1]))
    beta = loss_slope(h[-1]) * slope(z[-1])
    betas = [beta]
    for layer in range(len(weights) - 1, 0, -1):
        beta = (beta @ weights[layer]) * slope(z[layer - 1])
        betas.append(beta)
    betas.reverse()
    return [b.T @ before for b, before in zip(betas, h[:-1], strict=True)], betas


def delta_recursion(
    weights: Sequence[Array], x: Array, y: Array
) -> tuple[list[Array], list[Array], Array]:
    """Sensitivities of one example in a tanh network with squared error.

    Layers compute x^(l) = tanh(W^(l)ᵀ [1, x^(l-1)]). With e = ‖x^(L) - y‖²:
    δ^(L) = 2 (x^(L) - y) ⊗ (1 - x^(L) ⊗ x^(L)),
    δ^(l) = W^(l+1) δ^(l+1) ⊗ (1 - x^(l) ⊗ x^(l)), the bias row of W^(l+1) left out, and
    ∂e/∂W^(l) = [1, x^(l-1)] δ^(l)ᵀ.

    Args:
        weights: W^(l), (1 + inputs, outputs) each; the first row is the bias.
        x: one example, (inputs,).
        y: its target, (outputs,).

    Returns:
        The gradient of each W^(l), each δ^(l), both from the first layer to the last, and x^(L).

    Source: Y. Abu-Mostafa et al., "Learning From Data", e-Chapter 7.

    >>> import numpy as np
    >>> weights = [np.array([[0.0], [1.0]])]
    >>> gradients, deltas, out = delta_recursion(weights, np.zeros(1), np.ones(1))
    >>> gradients[0].tolist(), deltas[0].tolist()
    ([[-2.0], [-0.0]], [-2.0])
    """
    states = [x]
    for w in weights:
        states.append(np.tanh(w.T @ _with_bias(states[-1])))
    delta = 2 * (states[-1] - y) * (1 - states[-1] ** 2)
    deltas = [delta]
    for layer in range(len(weights) - 1, 0, -1):
        delta = (weights[layer] @ delta)[1:] * (1 - states[layer] ** 2)
        deltas.append(delta)
    deltas.reverse()
    gradients = [np.outer(_with_bias(s), d) for s, d in zip(states[:-1], deltas, strict=True)]
    return gradients, deltas, states[-1]


def full_batch_gradient(weights: Sequence[Array], x: Array, y: Array) -> tuple[float, list[Array]]:
    """E_in = (1/n) Σᵢ ‖x^(L)(xᵢ) - yᵢ‖² and its gradients G^(l), accumulated example by example.

    Args:
        weights: as in `delta_recursion`.
        x: the examples, (n, inputs).
        y: their targets, (n, outputs).

    Source: Y. Abu-Mostafa et al., "Learning From Data", e-Chapter 7 (algorithm to compute
    E_in(w) and g = ∇E_in(w)).

    >>> import numpy as np
    >>> w = [np.array([[0.0], [1.0]])]
    >>> error, (g,) = full_batch_gradient(w, np.zeros((2, 1)), np.array([[1.0], [-1.0]]))
    >>> error, g.tolist()
    (1.0, [[0.0], [0.0]])
    """
    error, n = 0.0, len(x)
    sums = [np.zeros_like(w) for w in weights]
    for example, target in zip(x, y, strict=True):
        gradients, _, out = delta_recursion(weights, example, target)
        error += float(((out - target) ** 2).sum()) / n
        for total, g in zip(sums, gradients, strict=True):
            total += g / n
    return error, sums


def _with_bias(x: Array) -> Array:
    return np.concatenate([np.ones(1), x])
