"""Optimizers that scale each element's step by the history of its gradients."""

from __future__ import annotations

from typing import Any

from backlit.core.create import full_constant
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


def _signed(g: Tensor, p: Tensor, decay: Any, has_decay: bool, maximize: bool) -> Tensor:
    """The gradient of what is minimised: sign turned for maximising, decay·p added."""
    g = -g if maximize else g
    return g + decay * p if has_decay else g


class RMSprop(Optimizer):
    """θ ← θ - lr·g/(√s + ε), s ← α s + (1-α) g² (Hinton, 2012); ``centered`` subtracts the mean
    squared.

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_at_least_zero("epsilon value", eps)
        check_at_least_zero("momentum value", momentum)
        check_at_least_zero("weight_decay value", weight_decay)
        check_at_least_zero("alpha value", alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names: tuple[str, ...] = ("square_avg",)
        if group["momentum"] > 0:
            names += ("momentum_buffer",)
        return (*names, "grad_avg") if group["centered"] else names

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        alpha = group["alpha"]
        return (
            number(group["lr"]),
            alpha,
            1 - alpha,
            group["eps"],
            group["momentum"],
            group["weight_decay"],
        )

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        has_decay = bool(group["weight_decay"])
        return (group["momentum"] > 0, group["centered"], has_decay, group["maximize"])

    @staticmethod
    def rule(p: Tensor, s: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        *tensors, lr, alpha, other, eps, momentum, decay, moves, centered, has_decay, maximize = (
            rest
        )
        g = _signed(tensors[-1], p, decay, has_decay, maximize)
        s = alpha * s + other * (g * g)
        kept: list[Tensor] = []
        if centered:
            mean = tensors[1 if moves else 0]
            mean = mean + other * (g - mean)
            kept.append(mean)
            root = (s - mean * mean).sqrt() + eps
        else:
            root = s.sqrt() + eps
        if not moves:
            return (p - lr * (g / root), s, *kept)
        buffer = momentum * tensors[0] + g / root
        return (p - lr * buffer, s, buffer, *kept)


class Adagrad(Optimizer):
    """θ ← θ - lr'·g/(√Σg² + ε) with lr' = lr/(1 + (t-1)·lr_decay) (Duchi et al., 2011).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    state_names = ("sum",)

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_at_least_zero("lr_decay value", lr_decay)
        check_at_least_zero("weight_decay value", weight_decay)
        check_at_least_zero("initial_accumulator_value value", initial_accumulator_value)
        check_at_least_zero("epsilon value", eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(p, group, self.state[p], self.state_names)

    def initial(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        return full_constant(tuple(p.shape), group["initial_accumulator_value"], p.dtype)

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        lr = number(group["lr"]) / (1 + (own["step"] - 1) * group["lr_decay"])
        return lr, group["eps"], group["weight_decay"]

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (bool(group["weight_decay"]), group["maximize"])

    @staticmethod
    def rule(
        p: Tensor,
        s: Tensor,
        g: Tensor,
        lr: Any,
        eps: Any,
        decay: Any,
        has_decay: bool,
        maximize: bool,
    ) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        g = _signed(g, p, decay, has_decay, maximize)
        s = s + g * g
        return p - lr * (g / (s.sqrt() + eps)), s


class Adadelta(Optimizer):
    """θ ← θ - lr·Δ, Δ = √(d + ε)/√(s + ε)·g, s and d running averages of g² and Δ² (Zeiler, 2012).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.Adadelta([w])
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9968], requires_grad=True)
    """

    state_names = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Params,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ArgumentError(f"Invalid rho value: {rho} - should be in [0, 1].")
        check_at_least_zero("epsilon value", eps)
        check_at_least_zero("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        rho = group["rho"]
        return number(group["lr"]), rho, 1 - rho, group["eps"], group["weight_decay"]

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (bool(group["weight_decay"]), group["maximize"])

    @staticmethod
    def rule(p: Tensor, s: Tensor, d: Tensor, g: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        lr, rho, other, eps, decay, has_decay, maximize = rest
        g = _signed(g, p, decay, has_decay, maximize)
        s = rho * s + other * (g * g)
        delta = (d + eps).sqrt() / (s + eps).sqrt() * g
        return p - lr * delta, s, rho * d + other * (delta * delta)


class Adamax(Optimizer):
    """Adam with the infinity norm: u ← max(β₂u, abs(g) + ε), θ ← θ - lr/(1-β₁ᵗ)·m/u (Kingma and
    Ba, 2015).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.Adamax([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    state_names = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
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
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        size = number(group["lr"]) / (1 - beta1 ** own["step"])
        return size, 1 - beta1, beta2, group["eps"], group["weight_decay"]

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (bool(group["weight_decay"]), group["maximize"])

    @staticmethod
    def rule(p: Tensor, m: Tensor, u: Tensor, g: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        size, other, beta2, eps, decay, has_decay, maximize = rest
        g = _signed(g, p, decay, has_decay, maximize)
        m = m + other * (g - m)
        u = PUBLIC["maximum"](beta2 * u, PUBLIC["abs"](g) + eps)
        return p - size * (m / u), m, u


class NAdam(Optimizer):
    """Adam with Nesterov momentum and a schedule μₜ = β₁(1 - ½·0.96^(tψ)) (Dozat, 2016).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.8944], requires_grad=True)
    """

    state_names = ("exp_avg", "exp_avg_sq")
    number_names = ("step", "mu_product")

    def __init__(
        self,
        params: Params,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_at_least_zero("epsilon value", eps)
        check_beta(0, betas[0])
        check_beta(1, betas[1])
        check_at_least_zero("weight_decay value", weight_decay)
        check_at_least_zero("momentum_decay value", momentum_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def start(self, group: dict[str, Any], own: dict[str, Any]) -> None:
        own["mu_product"] = 1.0

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        step, psi, lr = own["step"], group["momentum_decay"], number(group["lr"])
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * psi))
        following = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * psi))
        product = own["mu_product"] = own["mu_product"] * mu
        decay = group["weight_decay"]
        return (
            lr * (1.0 - mu) / (1.0 - product),
            lr * following / (1.0 - product * following),
            1 - beta1,
            beta2,
            1 - beta2,
            1 - beta2**step,
            group["eps"],
            1 - lr * decay if group["decoupled_weight_decay"] else decay,
        )

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        decoupled = "decoupled" if group["decoupled_weight_decay"] else "coupled"
        return (decoupled if group["weight_decay"] else "", group["maximize"])

    @staticmethod
    def rule(p: Tensor, m: Tensor, v: Tensor, g: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        now, following, rest1, beta2, rest2, correction, eps, decay, kind, maximize = rest
        g = _signed(g, p, decay, kind == "coupled", maximize)
        if kind == "decoupled":
            p = p * decay
        m = m + rest1 * (g - m)
        v = beta2 * v + rest2 * (g * g)
        root = (v / correction).sqrt() + eps
        return p - now * (g / root) - following * (m / root), m, v


class RAdam(Optimizer):
    """Adam that rectifies the variance of its early steps (Liu et al., 2020).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.RAdam([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.8000], requires_grad=True)
    """

    static_changes = True
    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
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
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    @staticmethod
    def _length(group: dict[str, Any], step: int) -> tuple[float, float]:
        """The length of the simple moving average that v amounts to: its limit, and now."""
        beta2 = group["betas"][1]
        limit = 2 / (1 - beta2) - 1
        return limit, limit - 2 * step * beta2**step / (1 - beta2**step)

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        step, lr, decay = own["step"], number(group["lr"]), group["weight_decay"]
        limit, now = self._length(group, step)
        rectify = 1.0
        if now > 5.0:
            above = (now - 4) * (now - 2) * limit
            rectify = (above / ((limit - 4) * (limit - 2) * now)) ** 0.5 * (1 - beta2**step) ** 0.5
        return (
            lr / (1 - beta1**step) * rectify,
            1 - beta1,
            beta2,
            1 - beta2,
            group["eps"],
            1 - lr * decay if group["decoupled_weight_decay"] else decay,
        )

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        decoupled = "decoupled" if group["decoupled_weight_decay"] else "coupled"
        is_rectified = self._length(group, own["step"])[1] > 5.0
        return (is_rectified, decoupled if group["weight_decay"] else "", group["maximize"])

    @staticmethod
    def rule(p: Tensor, m: Tensor, v: Tensor, g: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        size, rest1, beta2, rest2, eps, decay, is_rectified, kind, maximize = rest
        g = _signed(g, p, decay, kind == "coupled", maximize)
        if kind == "decoupled":
            p = p * decay
        m = m + rest1 * (g - m)
        v = beta2 * v + rest2 * (g * g)
        step = m / (v.sqrt() + eps) if is_rectified else m
        return p - size * step, m, v
