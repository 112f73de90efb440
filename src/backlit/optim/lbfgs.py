"""Limited-memory BFGS with a strong-Wolfe line search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.autograd import enable_grad, no_grad
from backlit.core.op import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import Optimizer, Params, check_lr, number

_ARMIJO, _CURVATURE = 1e-4, 0.9
_LINE_STEPS = 25
Evaluate = Callable[[float], tuple[float, Tensor]]


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last ``history_size`` changes (Liu and Nocedal, 1989).

    ``step`` needs a closure that clears the gradients, computes the loss, calls ``backward`` and
    returns the loss. ``line_search_fn="strong_wolfe"`` searches along each direction (Nocedal and
    Wright, 2006, algorithms 3.5 and 3.6); None takes steps of ``lr``.

    >>> import backlit
    >>> w = backlit.tensor([3.0, -2.0], requires_grad=True)
    >>> opt = backlit.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = opt.step(closure); w
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ArgumentError(f"LBFGS: only 'strong_wolfe' is supported, got {line_search_fn!r}.")
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_eval or max_iter * 5 // 4,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ArgumentError(
                "LBFGS doesn't support per-parameter options (parameter groups); give one list."
            )
        self._params: list[Tensor] = self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        """All gradients as one vector."""
        parts = [
            (p.grad if p.grad is not None else PUBLIC["zeros_like"](p)).reshape(-1)
            for p in self._params
        ]
        return PUBLIC["cat"](parts)

    def _move(self, size: float, direction: Tensor) -> None:
        """θ ← θ + size·direction."""
        start = 0
        with no_grad():
            for p in self._params:
                n = p._var.numel
                p.add_(direction[start : start + n].reshape(p.shape) * size)
                start += n

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` quasi-Newton steps; returns the loss before the first."""
        if closure is None:
            raise ArgumentError(
                "LBFGS.step() needs a closure that computes the loss and its gradients."
            )

        def evaluate() -> Any:
            with enable_grad():
                return closure()

        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = evaluate()
        with no_grad():
            self._iterate(group, state, evaluate, float(first), self._gradient())
        return first

    def _iterate(
        self,
        group: dict[str, Any],
        state: dict[str, Any],
        closure: Callable[[], Any],
        loss: float,
        g: Tensor,
    ) -> None:
        evaluations = 1
        state["func_evals"] += 1
        if _largest(g) <= group["tolerance_grad"]:
            return
        direction, size = state.get("d"), state.get("t")
        ys, ss = state.get("old_dirs", []), state.get("old_stps", [])
        ro, scale = state.get("ro", []), state.get("H_diag", 1.0)
        before, loss_before = state.get("prev_flat_grad"), state.get("prev_loss")
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                direction, ys, ss, ro, scale = -g, [], [], [], 1.0
            else:
                y, s = g - before, direction * size
                curvature = PUBLIC["dot"](y, s)  # a tensor: its rounding is that of the dtype
                if float(curvature) > 1e-10:
                    if len(ys) == group["history_size"]:
                        ys, ss, ro = ys[1:], ss[1:], ro[1:]
                    ys, ss, ro = [*ys, y], [*ss, s], [*ro, 1.0 / curvature]
                    scale = curvature / PUBLIC["dot"](y, y)
                direction = _two_loops(g, ys, ss, ro, scale)
            before, loss_before = g.clone(), loss
            lr = number(group["lr"])
            size = min(1.0, 1.0 / float(g.abs().sum())) * lr if state["n_iter"] == 1 else lr
            slope = _dot(g, direction)
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                loss, g, size, used = self._search(closure, size, direction, loss, g, slope)
                self._move(size, direction)
                stuck = _largest(g) <= group["tolerance_grad"]
            else:
                self._move(size, direction)
                stuck = False
                if n != group["max_iter"]:
                    loss = float(closure())
                    g = self._gradient()
                    stuck = _largest(g) <= group["tolerance_grad"]
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if n == group["max_iter"] or evaluations >= group["max_eval"] or stuck:
                break
            if _largest(direction * size) <= group["tolerance_change"]:
                break
            if abs(loss - loss_before) < group["tolerance_change"]:
                break
        state.update(
            d=direction,
            t=size,
            old_dirs=ys,
            old_stps=ss,
            ro=ro,
            H_diag=scale,
            prev_flat_grad=before,
            prev_loss=loss_before,
        )

    def _search(
        self,
        closure: Callable[[], Any],
        size: float,
        direction: Tensor,
        loss: float,
        g: Tensor,
        slope: float,
    ) -> tuple[float, Tensor, float, int]:
        """A step size along ``direction``; parameters are where they were when it returns."""
        start = [p.detach().clone() for p in self._params]

        def evaluate(t: float) -> tuple[float, Tensor]:
            self._move(t, direction)
            value = float(closure())
            gradient = self._gradient()
            with no_grad():
                for p, old in zip(self._params, start, strict=True):
                    p.copy_(old)
            return value, gradient

        return strong_wolfe(evaluate, size, direction, loss, g, slope)


def _two_loops(
    g: Tensor, ys: list[Tensor], ss: list[Tensor], ro: list[Tensor], scale: Any
) -> Tensor:
    """The direction -H g from the stored changes (Nocedal, 1980)."""
    dot = PUBLIC["dot"]
    q = -g
    weights: list[Any] = [0.0] * len(ys)
    for i in reversed(range(len(ys))):
        weights[i] = dot(ss[i], q) * ro[i]
        q = q - weights[i] * ys[i]
    d = q * scale
    for i in range(len(ys)):
        d = d + ss[i] * (weights[i] - dot(ys[i], d) * ro[i])
    return d


def _dot(a: Tensor, b: Tensor) -> float:
    return float(PUBLIC["dot"](a, b))


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def cubic_minimum(
    x1: float,
    f1: float,
    g1: float,
    x2: float,
    f2: float,
    g2: float,
    bounds: tuple[float, float] | None = None,
) -> float:
    """The minimum of the cubic through two points with their slopes, within bounds.

    >>> cubic_minimum(0.0, 1.0, -2.0, 2.0, 1.0, 2.0)
    1.0
    """
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if x1 <= x2:
        at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        at = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(at, low), high)


def strong_wolfe(
    evaluate: Evaluate,
    t: float,
    direction: Tensor,
    loss: float,
    g: Tensor,
    slope: float,
    tolerance: float = 1e-9,
) -> tuple[float, Tensor, float, int]:
    """(loss, gradient, step size, evaluations) at a point that meets the strong Wolfe
    conditions."""
    biggest = _largest(direction)
    new, g_new = evaluate(t)
    evaluations = 1
    slope_new = _dot(g_new, direction)
    t_old, f_old, g_old, slope_old = 0.0, loss, g, slope
    steps, done = 0, False
    bracket: list[tuple[float, float, Tensor, float]] = []  # size, loss, gradient, slope
    while steps < _LINE_STEPS:
        here = (t, new, g_new, slope_new)
        if new > loss + _ARMIJO * t * slope or (steps > 1 and new >= f_old):
            bracket = [(t_old, f_old, g_old, slope_old), here]
            break
        if abs(slope_new) <= -_CURVATURE * slope:
            bracket, done = [here], True
            break
        if slope_new >= 0:
            bracket = [(t_old, f_old, g_old, slope_old), here]
            break
        bounds = (t + 0.01 * (t - t_old), t * 10)
        following = cubic_minimum(t_old, f_old, slope_old, t, new, slope_new, bounds)
        t_old, f_old, g_old, slope_old = here
        t = following
        new, g_new = evaluate(t)
        evaluations += 1
        slope_new = _dot(g_new, direction)
        steps += 1
    if steps == _LINE_STEPS:
        bracket = [(0.0, loss, g, slope), (t, new, g_new, slope_new)]
    low, high = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    slow = False
    while not done and steps < _LINE_STEPS:
        width = abs(bracket[1][0] - bracket[0][0])
        if width * biggest < tolerance:
            break
        (x1, f1, _, s1), (x2, f2, _, s2) = bracket
        t = cubic_minimum(x1, f1, s1, x2, f2, s2)
        top, bottom = max(x1, x2), min(x1, x2)
        margin = 0.1 * (top - bottom)
        if min(top - t, t - bottom) < margin:
            if slow or t >= top or t <= bottom:
                t = top - margin if abs(t - top) < abs(t - bottom) else bottom + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        new, g_new = evaluate(t)
        evaluations += 1
        slope_new = _dot(g_new, direction)
        steps += 1
        here = (t, new, g_new, slope_new)
        if new > loss + _ARMIJO * t * slope or new >= bracket[low][1]:
            bracket[high] = here
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(slope_new) <= -_CURVATURE * slope:
                done = True
            elif slope_new * (bracket[high][0] - bracket[low][0]) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = here
    chosen = bracket[low if len(bracket) > 1 else 0]
    return chosen[1], chosen[2], chosen[0], evaluations
