"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import (
    Optimizer,
    Params,
    check_at_least_zero,
    check_beta,
    check_lr,
    number,
)


def _check_tensors(lr: Any, betas: tuple[Any, Any], foreach: Any, capturable: bool) -> None:
    """The combinations of tensor options that PyTorch refuses."""
    if isinstance(lr, Tensor) and foreach and not capturable:
        raise ArgumentError(
            "lr as a Tensor is not supported for capturable=False and foreach=True; give a float."
        )
    tensors = [isinstance(b, Tensor) for b in betas]
    if any(tensors) and not all(tensors):
        raise ArgumentError("betas must be either both floats or both Tensors.")
    for i, is_tensor in enumerate(tensors):
        if is_tensor and foreach and not capturable:
            raise ArgumentError(
                f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True."
            )


class Adam(Optimizer):
    """θ ← θ - lr·m̂/(√v̂ + ε) with m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g² (Kingma and Ba, 2015).

    ``amsgrad`` divides by the largest v̂ so far (Reddi et al., 2018); ``decoupled_weight_decay``
    is AdamW.

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_lr(lr)
        _check_tensors(lr, betas, foreach, capturable)
        check_at_least_zero("epsilon value", eps)
        check_beta(0, betas[0])
        check_beta(1, betas[1])
        check_at_least_zero("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = (number(b) for b in group["betas"])
        lr, step = number(group["lr"]), own["step"]
        decay = group["weight_decay"]
        return (
            lr / (1 - beta1**step),
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            (1 - beta2**step) ** 0.5,
            group["eps"],
            1 - lr * decay if group["decoupled_weight_decay"] else decay,
        )

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        decay = (
            ""
            if not group["weight_decay"]
            else "decoupled"
            if group["decoupled_weight_decay"]
            else "coupled"
        )
        return (group["amsgrad"], group["maximize"], decay)

    @staticmethod
    def rule(p: Tensor, m: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        *tensors, size, beta1, rest1, beta2, rest2, root2, eps, decay, amsgrad, maximize, kind = (
            rest
        )
        g = -tensors[-1] if maximize else tensors[-1]
        if kind == "coupled":
            g = g + decay * p
        elif kind == "decoupled":
            p = p * decay
        m = beta1 * m + rest1 * g
        v = beta2 * v + rest2 * (g * g)
        if not amsgrad:
            return p - size * (m / (v.sqrt() / root2 + eps)), m, v
        largest = PUBLIC["maximum"](tensors[0], v)
        return p - size * (m / (largest.sqrt() / root2 + eps)), m, v, largest


class AdamW(Adam):
    """Adam with decoupled weight decay: θ shrinks by lr·weight_decay besides (Loshchilov and
    Hutter, 2019).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.8500], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
