"""Optimizers for whole batches: Rprop and averaged SGD."""

from __future__ import annotations

from typing import Any

from backlit.core.create import full_constant
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import Optimizer, Params, check_at_least_zero, check_lr, number


class Rprop(Optimizer):
    """Steps of a size of their own per element, grown while the sign of g stays (Riedmiller and
    Braun, 1993).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    state_names = ("prev", "step_size")

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ArgumentError(
                f"Invalid eta values: {etas[0]}, {etas[1]} - should be 0 < η₁ < 1 < η₂."
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def initial(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        value = number(group["lr"]) if name == "step_size" else 0
        return full_constant(tuple(p.shape), value, p.dtype)

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        return (*group["etas"], *group["step_sizes"])

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (group["maximize"],)

    @staticmethod
    def rule(
        p: Tensor,
        before: Tensor,
        size: Tensor,
        g: Tensor,
        shrink: Any,
        grow: Any,
        smallest: Any,
        largest: Any,
        maximize: bool,
    ) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        where, maximum, minimum, sign = (PUBLIC[n] for n in ("where", "maximum", "minimum", "sign"))
        g = -g if maximize else g
        agrees = g * before
        size = where(agrees > 0, size * grow, where(agrees < 0, size * shrink, size))
        size = minimum(maximum(size, smallest), largest)
        g = where(agrees < 0, 0.0, g)
        return p - sign(g) * size, g, size


class ASGD(Optimizer):
    """SGD with step sizes η = lr/(1 + λ lr t)^α, and the average of the θ kept in ``ax`` (Polyak
    and Juditsky, 1992).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.ASGD([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.8000], requires_grad=True)
    """

    state_names = ("ax",)
    number_names = ("step", "eta", "mu")

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_at_least_zero("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, group: dict[str, Any], own: dict[str, Any]) -> None:
        own["eta"] = number(group["lr"])
        own["mu"] = 1.0

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        lr, lambd, step = number(group["lr"]), group["lambd"], own["step"]
        eta, mu = own["eta"], own["mu"]
        own["eta"] = lr / (1 + lambd * lr * step) ** group["alpha"]
        own["mu"] = 1 / max(1, step - group["t0"])
        return eta, 1 - lambd * eta, mu, group["weight_decay"]

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        return (bool(group["weight_decay"]), group["maximize"])

    @staticmethod
    def rule(
        p: Tensor,
        average: Tensor,
        g: Tensor,
        eta: Any,
        shrink: Any,
        mu: Any,
        decay: Any,
        has_decay: bool,
        maximize: bool,
    ) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        g = -g if maximize else g
        if has_decay:
            g = g + decay * p
        p = p * shrink - eta * g
        return p, average + (p - average) * mu
