"""Checking gradients against central differences: PyTorch's ``gradcheck`` and ``gradgradcheck``.

For each pair of an input and an output the whole Jacobian is computed twice: by backward passes,
and numerically, (f(x + ε) - f(x - ε)) / 2ε for each element. Use float64: in float32 the
differences are mostly round-off.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backlit.autograd import derivative
from backlit.autograd.functional import table_of_blocks
from backlit.autograd.modes import enable_grad
from backlit.core.dtypes import float64
from backlit.core.era import realize
from backlit.core.tensor import Array, Tensor, realized
from backlit.errors import ArgumentError, GradcheckError

Point = list[Any]  # the arguments of the function; tensors among them may require grad


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of ``func`` at ``inputs`` agree with central differences.

    Args:
        func: takes ``inputs`` and returns a tensor or a tuple of them.
        inputs: a tensor or a tuple; those that require grad are checked, and should be float64.
        eps: how far each element is moved, both ways.
        atol, rtol: |analytical - numerical| must be at most atol + rtol·|numerical|.
        raise_exception: whether a disagreement raises; otherwise the result is False.
        nondet_tol: how much two backward passes at the same point may differ.
        check_undefined_grad: whether to check that outputs of which no gradient arrives count as
            zeros.
        check_grad_dtypes: whether each gradient must have its input's dtype and shape.
        check_batched_grad: whether a batched backward pass must equal one pass per row.
        check_batched_forward_grad, check_forward_ad: whether Jacobian–vector products must agree
            too.
        check_backward_ad: whether vector–Jacobian products must agree.
        fast_mode, masked: accepted; the full Jacobian is always checked.

    Raises:
        GradcheckError: naming the output and the input, with both Jacobians.

    >>> import backlit
    >>> x = backlit.tensor([0.5, 2.0], dtype=backlit.float64, requires_grad=True)
    >>> gradcheck(lambda x: x * x, (x,))
    True
    """
    if not (check_backward_ad or check_forward_ad):
        raise ArgumentError(
            "gradcheck: give check_backward_ad or check_forward_ad; with neither nothing is "
            "checked."
        )
    point = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    try:
        _check_point(point, eps)
        _check(
            func,
            point,
            eps,
            atol,
            rtol,
            forward=check_forward_ad or check_batched_forward_grad,
            backward=check_backward_ad,
        )
        if check_backward_ad:
            _check_repeats(func, point, nondet_tol)
            if check_undefined_grad:
                _check_undefined(func, point)
            if check_grad_dtypes:
                _check_dtypes(func, point)
            if check_batched_grad:
                _check_batched(func, point, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether the gradients of the gradients of ``func`` agree with central differences.

    Args:
        func, inputs: as for `gradcheck`.
        grad_outputs: one upstream gradient per output; random ones if None.
        gen_non_contig_grad_outputs: whether the random ones are non-contiguous.
        check_fwd_over_rev, check_rev_over_rev: differentiate the backward pass forwards, backwards.
        The other arguments are `gradcheck`'s.

    >>> import backlit
    >>> x = backlit.tensor([0.5, 2.0], dtype=backlit.float64, requires_grad=True)
    >>> gradgradcheck(lambda x: x * x * x, (x,))
    True
    """
    point = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    outputs = [y for y in _outputs(func, point) if y.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        upstream = [_random(rng, y, gen_non_contig_grad_outputs) for y in outputs]
    else:
        upstream = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    upstream = [g if g.requires_grad else g.detach().requires_grad_() for g in upstream]
    n = len(point)

    def backward_pass(*args: Any) -> tuple[Tensor, ...]:
        xs, gs = list(args[:n]), args[n:]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        ys = [y for y in _outputs(func, xs) if y.requires_grad]
        found = derivative.gradient(ys, wanted, gs, True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        backward_pass,
        (*point, *upstream),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
    )


def _random(rng: np.random.Generator, like: Tensor, strided: bool) -> Tensor:
    array = rng.standard_normal((*like.shape, 2 if strided else 1))[..., 0]
    return realized(np.asarray(array, like.dtype.numpy), like.dtype)


def _check_point(point: Point, eps: float) -> None:
    """Something must require grad, and should be precise enough for differences of ``eps``."""
    checked = [(i, x) for i, x in enumerate(point) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ArgumentError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have "
            "requires_grad=True."
        )
    for i, x in checked:
        if x.dtype is not float64:
            warnings.warn(
                f"gradcheck: input #{i} is {x.dtype.name}; with eps={eps} the check will likely "
                f"fail, because only "
                "float64 resolves such differences. Use .double().",
                stacklevel=3,
            )


def _outputs(func: Callable[..., Any], point: Point) -> list[Tensor]:
    """The tensors that ``func`` returns."""
    found = func(*point)
    return [
        y for y in (found if isinstance(found, (tuple, list)) else [found]) if isinstance(y, Tensor)
    ]


def _fresh(point: Point) -> tuple[Point, list[Tensor], list[int]]:
    """The point with new leaves in it, those leaves, and where they are."""
    with enable_grad():
        made = [
            x.detach().clone().requires_grad_() if isinstance(x, Tensor) and x.requires_grad else x
            for x in point
        ]
    where = [i for i, x in enumerate(made) if isinstance(x, Tensor) and x.requires_grad]
    return made, [made[i] for i in where], where


def _check(
    func: Callable[..., Any],
    point: Point,
    eps: float,
    atol: float,
    rtol: float,
    *,
    forward: bool,
    backward: bool,
) -> None:
    """Compare the analytical Jacobians with the numerical one."""
    args, leaves, where = _fresh(point)
    with enable_grad():
        outputs = [y for y in _outputs(func, args) if y.dtype.is_floating_point]
        tables: dict[str, list[list[Tensor]]] = {}
        if backward:
            tables["backward"] = table_of_blocks(leaves, outputs, False, forward=False)
        if forward:
            tables["forward"] = table_of_blocks(leaves, outputs, False, forward=True)
    for j, i in enumerate(where):
        numerical = _differences(func, point, i, eps)
        for k, y in enumerate(outputs):
            expected = numerical[k].reshape(leaves[j]._var.numel, y._var.numel)
            for mode, table in tables.items():
                found = realize(table[k][j]).reshape(y._var.numel, expected.shape[0]).T
                if not np.allclose(found, expected, rtol, atol, equal_nan=True):
                    raise _mismatch(mode, k, i, expected, found, atol, rtol)


def _differences(func: Callable[..., Any], point: Point, i: int, eps: float) -> list[Array]:
    """(f(x + ε) - f(x - ε)) / 2ε for each element of input ``i``: per output, a row per element."""
    x = np.array(realize(point[i]))
    flat = x.reshape(-1)
    rows: list[list[Array]] = []
    with enable_grad():  # the function may itself differentiate
        for n in range(flat.size):
            center = flat[n]
            ends = []
            for step in (eps, -eps):
                flat[n] = center + step
                end = realized(x.copy(), point[i].dtype).requires_grad_()
                ys = _outputs(func, [*point[:i], end, *point[i + 1 :]])
                ends.append([np.array(realize(y), float) for y in ys if y.dtype.is_floating_point])
            flat[n] = center
            rows.append([(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)])
        if not rows:
            ys = _outputs(func, point)
            return [np.zeros((0, y._var.numel)) for y in ys if y.dtype.is_floating_point]
    return [np.stack([row[k] for row in rows]) for k in range(len(rows[0]))]


def _mismatch(
    mode: str, output: int, i: int, numerical: Array, analytical: Array, atol: float, rtol: float
) -> GradcheckError:
    with np.errstate(all="ignore"):
        excess = np.abs(analytical - numerical) - atol - rtol * np.abs(numerical)
    row, column = np.unravel_index(int(np.argmax(np.nan_to_num(excess, nan=np.inf))), excess.shape)
    return GradcheckError(
        f"Jacobian mismatch for output {output} with respect to input {i} ({mode} mode),\n"
        f"numerical:{np.array2string(numerical, precision=6)}\n"
        f"analytical:{np.array2string(analytical, precision=6)}\n"
        "Rows are elements of the input, columns of the output. The largest disagreement is at "
        f"[{row}, {column}]: "
        f"numerical {numerical[row, column]:.6g}, analytical {analytical[row, column]:.6g} "
        f"(atol={atol}, rtol={rtol})."
    )


def _pulled(
    func: Callable[..., Any], point: Point, seed: int
) -> tuple[list[Tensor], list[Tensor | None]]:
    """One backward pass with random upstream gradients: the leaves, and their gradients."""
    args, leaves, _ = _fresh(point)
    rng = np.random.default_rng(seed)
    with enable_grad():
        ys = [y for y in _outputs(func, args) if y.requires_grad]
        upstream = [_random(rng, y, strided=False) for y in ys]
        return leaves, derivative.gradient(ys, leaves, upstream, False)


def _check_repeats(func: Callable[..., Any], point: Point, tolerance: float) -> None:
    """Two backward passes at the same point must agree."""
    _, first = _pulled(func, point, 1)
    _, second = _pulled(func, point, 1)
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        if a is None or b is None:
            continue
        difference = np.max(np.abs(realize(a) - realize(b)), initial=0.0)
        if difference > tolerance:
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and "
                f"grad_output multiple times gives "
                f"different values: they differ by {difference:.3g} for checked input {i}, more "
                f"than "
                f"nondet_tol={tolerance}."
            )


def _check_undefined(func: Callable[..., Any], point: Point) -> None:
    """Leaving out one output's upstream gradient must be the same as passing zeros."""
    args, leaves, _ = _fresh(point)
    with enable_grad():
        ys = [y for y in _outputs(func, args) if y.requires_grad]
        if len(ys) < 2:
            return
        rng = np.random.default_rng(2)
        for k in range(len(ys)):
            upstream = [_random(rng, y, strided=False) for y in ys]
            zeros = [
                derivative.zeros_like(y) if n == k else g
                for n, (y, g) in enumerate(zip(ys, upstream, strict=True))
            ]
            given = derivative.gradient(ys, leaves, zeros, False)
            rest = derivative.gradient(
                ys[:k] + ys[k + 1 :], leaves, upstream[:k] + upstream[k + 1 :], False
            )
            for i, (a, b) in enumerate(zip(given, rest, strict=True)):
                if not np.allclose(_array(a), _array(b), equal_nan=True):
                    raise GradcheckError(
                        "Expected backward function to handle undefined output grads: leaving out "
                        f"the gradient of output "
                        f"{k} gives {_array(b)} for checked input {i}, but zeros give {_array(a)}."
                    )


def _array(g: Tensor | None) -> Any:
    return 0.0 if g is None else realize(g)


def _check_dtypes(func: Callable[..., Any], point: Point) -> None:
    """Each gradient must look like its input."""
    leaves, found = _pulled(func, point, 3)
    for i, (x, g) in enumerate(zip(leaves, found, strict=True)):
        if g is not None and (g.dtype is not x.dtype or g.shape != x.shape):
            raise GradcheckError(
                f"the gradient of checked input {i} is {g.dtype.name}{list(g.shape)}, but the "
                f"input is "
                f"{x.dtype.name}{list(x.shape)}."
            )


def _check_batched(func: Callable[..., Any], point: Point, atol: float, rtol: float) -> None:
    """A batched backward pass must equal a pass per row."""
    args, leaves, _ = _fresh(point)
    rng = np.random.default_rng(4)
    with enable_grad():
        ys = [y for y in _outputs(func, args) if y.requires_grad]
        pairs = [[_random(rng, y, strided=False) for y in ys] for _ in range(2)]
        rows = [derivative.gradient(ys, leaves, gs, False) for gs in pairs]
        stacked: Sequence[Tensor] = [
            realized(np.stack([realize(g) for g in column]), column[0].dtype)
            for column in zip(*pairs, strict=True)
        ]
        batched = derivative.batched_gradient(ys, leaves, stacked, False)
    for i, (g, *singles) in enumerate(zip(batched, *rows, strict=True)):
        expected = np.stack([np.asarray(_array(s)) for s in singles])
        if not np.allclose(_array(g), expected, rtol, atol, equal_nan=True):
            raise GradcheckError(
                f"the batched backward pass of checked input {i} gives {_array(g)}, but one pass "
                f"per row gives "
                f"{expected}."
            )


__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
