"""Adafactor: second moments of matrices kept as one row and one column."""

from __future__ import annotations

from typing import Any

from backlit.core.create import full_constant
from backlit.core.dtypes import finfo
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import Optimizer, Params, check_at_least_zero, check_lr, number


class Adafactor(Optimizer):
    """θ ← θ - α·u/max(1, rms(u)/d) with u = g/√v̂ and α = max(ε₂, rms(θ))·min(lr, 1/√t).

    v̂ is the running mean of g² with rate 1 - t^beta2_decay. Of a matrix only the means over rows
    and over columns are kept: v̂ = r cᵀ/mean(r) (Shazeer and Stern, 2018).

    >>> import backlit
    >>> w = backlit.tensor([1.0], requires_grad=True)
    >>> opt = backlit.optim.Adafactor([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr(lr)
        if not beta2_decay <= 0.0:
            raise ArgumentError(f"Invalid beta2_decay: {beta2_decay} - beta2_decay should be <= 0.")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ArgumentError(f"Invalid eps: {eps} - epsilon1 should be >= 0.")
        check_at_least_zero("epsilon2 value", eps[1])
        if not d >= 1.0:
            raise ArgumentError(f"Invalid d: {d} - Clipping threshold d should be >= 1.")
        check_at_least_zero("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
                "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            },
        )  # fmt: skip

    def _step_group(self, group: dict[str, Any]) -> None:
        """Matrices and vectors keep different state: a step for each kind."""
        for factored in (False, True):
            params = [p for p in group["params"] if (p._var.ndim > 1) is factored]
            super()._step_group({**group, "params": params, "factored": factored})

    def names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("row_var", "col_var") if group["factored"] else ("variance",)

    def initial(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        shape = list(p.shape)
        if name != "variance":
            shape[-1 if name == "row_var" else -2] = 1
        return full_constant(tuple(shape), 0, p.dtype)

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        step = own["step"]
        shrink = number(1 - group["lr"] * group["weight_decay"])
        rate = min(number(group["lr"]), 1 / step**0.5)
        return rate, step ** group["beta2_decay"], shrink

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        has_decay = bool(group["weight_decay"])
        return (*group["eps"], group["d"], has_decay, group["factored"], group["maximize"])

    @staticmethod
    def rule(p: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """The step for one parameter."""
        *state, g, rate, new, shrink, eps1, eps2, d, has_decay, factored, maximize = rest
        g = -g if maximize else g
        eps1 = finfo(p.dtype).eps if eps1 is None else eps1
        size = rate * _rms(p).clamp(min=eps2)
        if has_decay:
            p = p * shrink
        square = g * g
        if factored:
            row, col = state
            row = row + new * (square.mean(-1, keepdim=True) - row)
            col = col + new * (square.mean(-2, keepdim=True) - col)
            variance = row @ col / row.mean(-2, keepdim=True).clamp(min=eps1)
            state = [row, col]
        else:
            variance = state[0] + new * (square - state[0])
            state = [variance]
        u = g / variance.clamp(min=eps1 * eps1).sqrt()
        return p - size / (_rms(u) / d).clamp(min=1.0) * u, *state


def _rms(x: Any) -> Any:
    """The root of the mean of x²."""
    return (x * x).mean().sqrt()
