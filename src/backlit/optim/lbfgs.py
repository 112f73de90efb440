"""Limited-memory BFGS with a strong-Wolfe line search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backlit.autograd import enable_grad, no_grad
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.optim.optimizer import Optimizer, Params, check_lr, number

_ARMIJO, _CURVATURE = 1e-4, 0.9
_NARROWEST = 1e-9  # brackets whose step is smaller than this are not narrowed further
Array = np.ndarray[Any, np.dtype[Any]]
Scalar = Any  # a number of the parameters' dtype: a NumPy scalar, so that it rounds as they do


class Point(NamedTuple):
    """A place along the search direction: step size, loss, gradient and slope there."""

    size: Scalar
    loss: float
    gradient: Array
    slope: Scalar


Evaluate = Callable[[Scalar], Point]


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
    >>> _ = opt.step(closure); [round(x, 3) for x in w.tolist()]
    [1.0, 1.0]
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

    def _gradient(self) -> Array:
        """All gradients as one vector.

        The vectors are NumPy's: their number grows with the history, so a recording of what is done
        with them would never repeat.
        """
        parts = [
            np.zeros(p._var.numel) if p.grad is None else _array(p.grad).ravel()
            for p in self._params
        ]
        return np.concatenate(parts, dtype=_array(self._params[0]).dtype)

    def _move(self, size: Scalar, direction: Array) -> None:
        """θ ← θ + size·direction."""
        start = 0
        with no_grad():
            for p in self._params:
                n = p._var.numel
                change = size * direction[start : start + n].reshape(p.shape)
                p.add_(from_array(change).to(p.dtype))
                start += n

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` quasi-Newton steps; returns the loss before the first."""
        if closure is None:
            raise ArgumentError(
                "LBFGS.step() needs a closure that computes the loss and its gradients."
            )
        for hook in self._pre_hooks.values():
            hook(self, (closure,), {})

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
        self._opt_called = True
        for hook in self._post_hooks.values():
            hook(self, (closure,), {})
        return first

    def _iterate(
        self,
        group: dict[str, Any],
        state: dict[str, Any],
        closure: Callable[[], Any],
        loss: float,
        g: Array,
    ) -> None:
        """Steps until the gradient, the step or the gain is small, or the evaluations run out."""
        state["func_evals"] += 1
        evaluations = 1
        flat, change = group["tolerance_grad"], group["tolerance_change"]
        if _largest(g) <= flat:
            return
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, g, group["history_size"])
            state["d"], state["prev_flat_grad"] = from_array(direction), from_array(g)
            state["prev_loss"] = loss
            lr = number(group["lr"])
            first = state["n_iter"] == 1
            size = min(1.0, 1.0 / np.abs(g).sum()) * lr if first else lr
            state["t"] = float(size)
            here = Point(0.0, loss, g, g @ direction)
            if here.slope > -change:
                return
            used = 0
            if group["line_search_fn"] is not None:
                most = group["max_eval"] - evaluations
                found, used = self._search(closure, size, direction, here, most)
                size, loss, g, _ = found
                state["t"] = float(size)
                self._move(size, direction)
            else:
                self._move(size, direction)
                if n != group["max_iter"]:
                    loss, g, used = float(closure()), self._gradient(), 1
            evaluations += used
            state["func_evals"] += used
            if evaluations >= group["max_eval"] or _largest(g) <= flat:
                return
            if _largest(direction * size) <= change or abs(loss - here.loss) < change:
                return

    def _search(
        self,
        closure: Callable[[], Any],
        size: Scalar,
        direction: Array,
        here: Point,
        most: int,
    ) -> tuple[Point, int]:
        """A point along ``direction``; parameters are where they were when it returns."""
        start = [p.detach().clone() for p in self._params]

        def evaluate(size: Scalar) -> Point:
            self._move(size, direction)
            loss = float(closure())
            g = self._gradient()
            with no_grad():
                for p, old in zip(self._params, start, strict=True):
                    p.copy_(old)
            return Point(size, loss, g, g @ direction)

        return strong_wolfe(evaluate, size, here, _largest(direction), most)


def _direction(state: dict[str, Any], g: Array, most: int) -> Array:
    """Where to go from a point with gradient ``g``; the last change joins the history first."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
        return -g
    y, s = g - _array(state["prev_flat_grad"]), _array(state["d"]) * state["t"]
    curvature = y @ s
    if curvature > 1e-10:
        for name, new in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
            state[name] = [*state[name], from_array(np.asarray(new))][-most:]
        state["H_diag"] = from_array(np.asarray(curvature / (y @ y)))
    ys, ss, ro = ([_array(x) for x in state[name]] for name in ("old_dirs", "old_stps", "ro"))
    return _two_loops(g, ys, ss, ro, _array(state["H_diag"]))


def _two_loops(g: Array, ys: list[Array], ss: list[Array], ro: list[Array], scale: Scalar) -> Array:
    """The direction -H g from the stored changes (Nocedal, 1980)."""
    d: Array = -g
    weights: list[Scalar] = [0.0] * len(ys)
    for i in reversed(range(len(ys))):
        weights[i] = (ss[i] @ d) * ro[i]
        d = d - weights[i] * ys[i]
    d = d * scale
    for i in range(len(ys)):
        d = d + ss[i] * (weights[i] - (ys[i] @ d) * ro[i])
    return d


def _array(x: Any) -> Any:
    """What the state holds, as NumPy calculates with it: at least in single precision."""
    if not isinstance(x, Tensor):
        return x
    return realize(x.float() if x.dtype.itemsize < 4 else x)


def _largest(x: Array) -> Scalar:
    return np.abs(x).max()


@np.errstate(all="ignore")  # a cubic without a minimum divides by zero: the bounds cut it off
def cubic_minimum(
    x1: Scalar, f1: Scalar, g1: Scalar, x2: Scalar, f2: Scalar, g2: Scalar,
    bounds: tuple[Scalar, Scalar] | None = None,
) -> Scalar:  # fmt: skip
    """The minimum of the cubic through two points with their slopes, within bounds.

    >>> float(cubic_minimum(0.0, 1.0, -2.0, 2.0, 1.0, 2.0))
    1.0
    """
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    if x1 == x2:
        return x1
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (low + high) / 2.0
    d2 = np.sqrt(square)
    if x1 <= x2:
        at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        at = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(at, low), high)


def strong_wolfe(
    evaluate: Evaluate, size: Scalar, start: Point, steepness: Scalar, most: int
) -> tuple[Point, int]:
    """A point that meets the strong Wolfe conditions, and how many evaluations it took.

    Args:
        evaluate: the point at a step size.
        size: the step size to try first.
        start: the point at step size 0.
        steepness: the largest component of the direction.
        most: how many times the step may be changed.
    """
    bracket, done, steps = _bracket(evaluate, size, start, most)
    evaluations = 1 + steps
    if not done:
        bracket, narrowed = _narrow(evaluate, bracket, start, steepness, most - steps)
        evaluations += narrowed
    return bracket[0], evaluations


def _too_high(point: Point, start: Point) -> bool:
    """Whether the loss falls less than the slope at the start promises (Armijo's condition)."""
    return bool(point.loss > start.loss + _ARMIJO * point.size * start.slope)


def _is_flat(point: Point, start: Point) -> bool:
    """Whether the slope is small enough (the curvature condition)."""
    return bool(abs(point.slope) <= -_CURVATURE * start.slope)


def _bracket(
    evaluate: Evaluate, size: Scalar, start: Point, most: int
) -> tuple[list[Point], bool, int]:
    """Points around a minimum, lowest first, or one that will do; whether it does; steps taken."""
    before, here = start, evaluate(size)
    for step in range(most):
        if _too_high(here, start) or (step > 1 and here.loss >= before.loss):
            return _lowest_first(before, here), False, step
        if _is_flat(here, start):
            return [here], True, step
        if here.slope >= 0:
            return _lowest_first(before, here), False, step
        bounds = (here.size + 0.01 * (here.size - before.size), here.size * 10)
        size = cubic_minimum(*_curve(before), *_curve(here), bounds)
        before, here = here, evaluate(size)
    return _lowest_first(start, here), False, max(most, 0)


def _curve(point: Point) -> tuple[Scalar, Scalar, Scalar]:
    return point.size, point.loss, point.slope


def _lowest_first(a: Point, b: Point) -> list[Point]:
    return [a, b] if a.loss <= b.loss else [b, a]


def _narrow(
    evaluate: Evaluate, bracket: list[Point], start: Point, steepness: Scalar, most: int
) -> tuple[list[Point], int]:
    """The bracket, lowest first, narrowed until its lowest point will do; steps taken."""
    low, high = bracket
    slow = False
    for step in range(most):
        if abs(high.size - low.size) * steepness < _NARROWEST:
            return [low, high], step
        left, right = (low, high) if low.size <= high.size else (high, low)
        size, slow = _between(left, right, slow)
        here = evaluate(size)
        if _too_high(here, start) or here.loss >= low.loss:
            low, high = _lowest_first(low, here)
            continue
        if _is_flat(here, start):
            return [here], step + 1
        if here.slope * (high.size - low.size) >= 0:
            high = low
        low = here
    return [low, high], max(most, 0)


def _between(left: Point, right: Point, slow: bool) -> tuple[Scalar, bool]:
    """A step size within the bracket, kept off its ends if the last one was near one, too."""
    size = cubic_minimum(*_curve(left), *_curve(right))
    margin = 0.1 * (right.size - left.size)
    if min(right.size - size, size - left.size) >= margin:
        return size, False
    if not slow and left.size < size < right.size:
        return size, True
    nearer_right = abs(size - right.size) < abs(size - left.size)
    return (right.size - margin if nearer_right else left.size + margin), False
