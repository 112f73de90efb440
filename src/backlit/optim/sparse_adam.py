"""Adam for gradients of which only a few rows are given."""

from __future__ import annotations

from typing import Any

from backlit.autograd import no_grad
from backlit.core.create import full_constant
from backlit.core.sparse import SparseTensor
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, GradientError
from backlit.optim.optimizer import Optimizer, Params, check_beta, number


class SparseAdam(Optimizer):
    """Adam's step for the elements that the gradient lists; nothing else changes, moments included.

    Gradients must be sparse (`backlit.sparse_coo_tensor`).

    >>> import backlit
    >>> w = backlit.ones(3, 2, requires_grad=True)
    >>> opt = backlit.optim.SparseAdam([w], lr=0.1)
    >>> w.grad = backlit.sparse_coo_tensor([[2]], backlit.ones(1, 2), (3, 2))
    >>> opt.step(); w.detach()
    tensor([[1.0000, 1.0000],
            [1.0000, 1.0000],
            [0.9000, 0.9000]])
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and lr._var.numel != 1:
            raise ArgumentError(f"Tensor lr must be 1-element, got shape {tuple(lr.shape)}.")
        for name, value in (("learning rate", lr), ("epsilon value", eps)):
            if not float(value) > 0.0:
                raise ArgumentError(f"Invalid {name}: {value} - should be > 0.")
        check_beta(0, betas[0])
        check_beta(1, betas[1])
        defaults = {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)

    def _step_group(self, group: dict[str, Any]) -> None:
        for p in group["params"]:
            g = p.grad
            if g is not None:
                if not isinstance(g, SparseTensor):
                    raise GradientError(
                        "SparseAdam does not support dense gradients, please consider Adam instead."
                    )
                with no_grad():
                    self._step_rows(p, g.coalesce(), group)

    def _step_rows(self, p: Tensor, grad: SparseTensor, group: dict[str, Any]) -> None:
        """Adam's step for the elements (or rows) that ``grad`` lists."""
        own = self.state[p]
        if not own:
            own["step"] = 0
            for name in ("exp_avg", "exp_avg_sq"):
                own[name] = full_constant(tuple(p.shape), 0, p.dtype)
        own["step"] += 1
        if not grad.values()._var.numel:
            return
        beta1, beta2 = group["betas"]
        step = own["step"]
        size = number(group["lr"]) * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        at = tuple(grad.indices())
        g = -grad.values() if group["maximize"] else grad.values()
        m, v = own["exp_avg"], own["exp_avg_sq"]
        mean = m[at] + (1 - beta1) * (g - m[at])
        square = v[at] + (1 - beta2) * (g * g - v[at])
        m[at] = mean
        v[at] = square
        p[at] = p[at] - size * (mean / (square.sqrt() + group["eps"]))
