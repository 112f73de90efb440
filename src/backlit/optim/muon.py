"""Muon: momentum orthogonalised by Newton-Schulz iterations."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlit.core.dtypes import bfloat16
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import Optimizer, Params, check_at_least_zero, check_lr, number


class Muon(Optimizer):
    """θ ← θ - lr'·orthogonal(m) for matrices, with m the momentum of g (Jordan et al., 2024).

    The orthogonal factor comes from ``ns_steps`` Newton-Schulz iterations in bfloat16; lr' depends
    on
    the matrix's shape (``adjust_lr_fn``: "original" or "match_rms_adamw").

    >>> import backlit
    >>> w = backlit.eye(2).requires_grad_()
    >>> opt = backlit.optim.Muon([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w.shape
    Size([2, 2])
    """

    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        check_at_least_zero("momentum value", momentum)
        check_at_least_zero("weight_decay value", weight_decay)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ArgumentError(
                f"Adjust learning rate function {adjust_lr_fn} is not supported; use 'original' or "
                "'match_rms_adamw'."
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p._var.ndim != 2:
                    raise ArgumentError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: "
                        f"{tuple(p.shape)}; give the others to AdamW."
                    )

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        # The factor is rounded as the learning rate is, should that be a tensor.
        shrink = number(1 - group["lr"] * group["weight_decay"])
        return number(group["lr"]), shrink, 1 - group["momentum"], group["momentum"]

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (
            group["nesterov"],
            tuple(group["ns_coefficients"]),
            group["ns_steps"],
            group["eps"],
            group["adjust_lr_fn"],
        )

    @staticmethod
    def rule(p: Tensor, m: Tensor, g: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        lr, shrink, other, momentum, nesterov, coefficients, steps, eps, adjust = rest
        m = m + other * (g - m)
        direction = g + momentum * (m - g) if nesterov else m
        rows, cols = p.shape
        ratio = max(1.0, rows / cols) ** 0.5
        if adjust == "match_rms_adamw":
            ratio = 0.2 * max(rows, cols) ** 0.5
        step = orthogonalise(direction, coefficients, steps, eps)
        return p * shrink - (lr * ratio) * step.to(p.dtype), m


def orthogonalise(
    g: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """UVᵀ of g = U S Vᵀ, roughly: X ← aX + (bA + cA²)X with A = XXᵀ, in bfloat16."""
    a, b, c = coefficients
    x: Any = g.to(bfloat16)
    tall = g.shape[0] > g.shape[1]
    if tall:
        x = x.mT
    wide = x.float()
    norm = (wide * wide).sum().sqrt().to(bfloat16)
    x = x / norm.clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = _polynomial(x, gram, a, b, c)
    out: Tensor = x.mT if tall else x
    return out


def _polynomial(x: Any, gram: Any, a: float, b: float, c: float) -> Any:
    """a x + (b gram + c gram²) x, each of the two sums rounded once to bfloat16."""
    polynomial = _sum(b, gram, c * (gram.float() @ gram.float()))
    return _sum(a, x, polynomial.float() @ x.float())


def _sum(a: float, x: Any, y: Any) -> Any:
    """a x + y with a and y in float32, rounded once: in float64 the product is exact."""
    factor = float(np.float32(a))
    return (factor * x.double() + y.double()).float().to(bfloat16)
