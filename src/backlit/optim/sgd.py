"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import Optimizer, Params, check_at_least_zero, check_lr, number


class SGD(Optimizer):
    """θ ← θ - lr·b, with b ← μ b + (1 - dampening)·g and g = ∇L + weight_decay·θ (Polyak, 1964).

    With ``nesterov`` the step is g + μ b instead of b (Sutskever et al., 2013). The first b is g
    itself. The averaging form p ← m g + (1 - m) p, θ ← θ - λ p, which weights the new gradient by m
    and starts from p = 0, is ``SGD(lr=λ m, momentum=1 - m)``: its b is p / m.

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.SGD([w], lr=0.5)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_at_least_zero("momentum value", momentum)
        check_at_least_zero("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("Nesterov momentum requires a momentum and zero dampening.")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        return (
            number(group["lr"]),
            group["momentum"],
            1.0 if own["step"] == 1 else 1 - group["dampening"],
            group["weight_decay"],
        )

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (
            group["momentum"] != 0,
            group["weight_decay"] != 0,
            group["nesterov"],
            group["maximize"],
        )

    @staticmethod
    def rule(p: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        *tensors, lr, momentum, keep, decay, has_momentum, has_decay, nesterov, maximize = rest
        g = -tensors[-1] if maximize else tensors[-1]
        if has_decay:
            g = g + decay * p
        if not has_momentum:
            return (p - lr * g,)
        buffer = momentum * tensors[0] + keep * g
        step = g + momentum * buffer if nesterov else buffer
        return p - lr * step, buffer


class EMAMomentum(SGD):
    """θ ← θ - lr·p with p ← μ p + (1-μ)·g, from p = 0: momentum as a running mean of gradients.

    Textbooks write momentum this way. `SGD` adds g whole, so that steps grow by 1/(1-μ):
    ``EMAMomentum(lr=λ, momentum=μ)`` is ``SGD(lr=λ·(1-μ), momentum=μ)``.

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.EMAMomentum([w], lr=0.5, momentum=0.9)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        if not 0.0 <= momentum < 1.0:
            raise ArgumentError(f"Invalid momentum value: {momentum} - should be in [0, 1).")
        super().__init__(
            params, lr, momentum, dampening=momentum, weight_decay=weight_decay, maximize=maximize
        )

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        lr, momentum, _, decay = super().numbers(group, own)
        return lr, momentum, 1 - momentum, decay
