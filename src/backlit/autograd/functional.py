"""Derivatives of functions: PyTorch's ``torch.autograd.functional``.

Each function here takes a Python function of tensors and the point at which to differentiate it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from backlit.autograd.derivative import (
    alias,
    batched_gradient,
    gradient,
    push_forward,
    zeros_like,
)
from backlit.autograd.modes import enable_grad
from backlit.core.tensor import Tensor, realized
from backlit.errors import ArgumentError, GradientError

Layout = Literal["numerator", "denominator"]


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)``, and the vector–Jacobian product vᵀJ.

    Args:
        func: takes and returns tensors.
        inputs: a tensor, or a tuple of them.
        v: one vector per output, of its shape; may be left out if the output is a single number.
        create_graph: whether the results can be differentiated further.
        strict: whether an output that does not depend on an input is an error rather than zero.

    >>> import backlit
    >>> vjp(lambda x: x * x, backlit.tensor([1.0, 2.0]), backlit.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    xs, ys, pack_in, pack_out = _run("vjp", func, inputs, create_graph, strict)
    with enable_grad():
        vs = _vectors(v, ys, "v", "function returns", pack_out is not _tuple)
        found = gradient(ys, xs, vs, create_graph)
    return _finish(ys, create_graph, pack_out), _finish(
        _filled(found, xs, strict), create_graph, pack_in
    )


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)``, and the Jacobian–vector product Jv (the derivative in direction v).

    >>> import backlit
    >>> jvp(lambda x: x * x, backlit.tensor([1.0, 2.0]), backlit.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    xs, ys, pack_in, pack_out = _run("jvp", func, inputs, create_graph, strict)
    with enable_grad():
        vs = _vectors(v, xs, "v", "input to the function is", pack_in is not _tuple)
        found = push_forward(ys, xs, vs, create_graph)
    return _finish(ys, create_graph, pack_out), _finish(
        _filled(found, ys, strict), create_graph, pack_out
    )


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
    *,
    layout: Layout = "numerator",
) -> Any:
    """The Jacobian of ``func``: every output's derivative with respect to every input, for any
    rank.

    Args:
        func: takes and returns tensors.
        inputs: a tensor, or a tuple of them.
        create_graph, strict: as in `vjp`.
        vectorize: accepted; all rows are always computed in one batched pass.
        strategy: "reverse-mode" (a row per output) or "forward-mode" (a column per input).
        layout: "numerator" gives output dimensions, then input dimensions (∂yₘ/∂xₙ at [m, n]);
            "denominator" gives input dimensions, then output dimensions (at [n, m]).

    Returns:
        A tensor; a tuple over inputs or outputs where those are tuples, outputs outermost.

    >>> import backlit
    >>> x = backlit.tensor([1.0, 2.0, 3.0])
    >>> jacobian(lambda x: x[:2] * x[2], x)
    tensor([[3., 0., 1.],
            [0., 3., 2.]])
    >>> jacobian(lambda x: x[:2] * x[2], x, layout="denominator").shape
    Size([3, 2])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(
            f"jacobian: strategy must be 'reverse-mode' or 'forward-mode', got {strategy!r}."
        )
    if layout not in ("numerator", "denominator"):
        raise ArgumentError(
            f"jacobian: layout must be 'numerator' or 'denominator', got {layout!r}."
        )
    if vectorize and strict:
        raise ArgumentError(
            "jacobian: strict=True and vectorize=True cannot be combined; leave one of them out."
        )
    xs, ys, pack_in, pack_out = _run("jacobian", func, inputs, create_graph, strict)
    with enable_grad():
        table = table_of_blocks(xs, ys, create_graph, strict, forward=strategy == "forward-mode")
        if layout == "denominator":
            table = [
                [_swap_sides(j, y._var.ndim) for j in row] for row, y in zip(table, ys, strict=True)
            ]
    return pack_out([_finish(row, create_graph, pack_in) for row in table])


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function that returns a single number.

    >>> import backlit
    >>> hessian(lambda x: (x * x * x).sum(), backlit.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several = isinstance(inputs, (tuple, list))

    def first_derivative(*xs: Tensor) -> Any:
        found = jacobian(
            _single(func, "hessian"), xs if several else xs[0], create_graph=True, strict=strict
        )
        return tuple(x for x in found) if several else found

    return jacobian(
        first_derivative,
        inputs,
        create_graph=create_graph,
        strict=strict,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)``, a single number, and the vector–Hessian product vᵀH.

    >>> import backlit
    >>> vhp(lambda x: (x * x * x).sum(), backlit.tensor([1.0, 2.0]), backlit.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    xs, ys, pack_in, pack_out = _run("vhp", _single(func, "vhp"), inputs, create_graph, strict)
    with enable_grad():
        vs = _vectors(v, xs, "v", "input to the function is", pack_in is not _tuple)
        slopes = _filled(gradient(ys, xs, [ones_like(ys[0])], True), xs, strict)
        found = gradient(slopes, xs, vs, create_graph)
    return _finish(ys, create_graph, pack_out), _finish(
        _filled(found, xs, strict), create_graph, pack_in
    )


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)``, a single number, and the Hessian–vector product Hv.

    The same as `vhp` for twice continuously differentiable functions, whose Hessian is symmetric;
    there `vhp` is the cheaper of the two.

    >>> import backlit
    >>> hvp(lambda x: (x * x * x).sum(), backlit.tensor([1.0, 2.0]), backlit.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    xs, ys, pack_in, pack_out = _run("hvp", _single(func, "hvp"), inputs, create_graph, strict)
    with enable_grad():
        vs = _vectors(v, xs, "v", "input to the function is", pack_in is not _tuple)
        slopes = _filled(gradient(ys, xs, [ones_like(ys[0])], True), xs, strict)
        found = push_forward(slopes, xs, vs, create_graph)
    return _finish(ys, create_graph, pack_out), _finish(
        _filled(found, xs, strict), create_graph, pack_in
    )


# -- steps ----------------------------------------------------------------------------------------


def _tuple(parts: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(parts)


def _only(parts: Sequence[Any]) -> Any:
    return parts[0]


def _tensors(x: Any, name: str, what: str) -> tuple[list[Tensor], Callable[[Sequence[Any]], Any]]:
    """``x`` as a list of tensors, and how to pack results of the same number like it."""
    parts = list(x) if isinstance(x, (tuple, list)) else [x]
    for i, part in enumerate(parts):
        if not isinstance(part, Tensor):
            raise TypeError(
                f"{name}: {what} must be a tensor or a tuple of tensors, but entry {i} is of type "
                f"{type(part).__name__}."
            )
    return parts, (_tuple if isinstance(x, (tuple, list)) else _only)


def _run(
    name: str, func: Callable[..., Any], inputs: Any, create_graph: bool, strict: bool
) -> tuple[
    list[Tensor], list[Tensor], Callable[[Sequence[Any]], Any], Callable[[Sequence[Any]], Any]
]:
    """Fresh inputs, the outputs of ``func`` on them, and how results are packed."""
    given, pack_in = _tensors(inputs, name, "inputs")
    with enable_grad():
        xs = [alias(x, connected=create_graph) for x in given]
        ys, pack_out = _tensors(func(*xs), name, "the value of the function")
    if strict:
        for i, y in enumerate(ys):
            if not y.requires_grad:
                raise GradientError(
                    f"{name}: output {i} of the function does not depend on the inputs, which "
                    f"strict=True refuses; "
                    "pass strict=False to get zeros."
                )
    return xs, ys, pack_in, pack_out


def _single(func: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """``func``, checked to return a tensor with one element."""

    def checked(*xs: Tensor) -> Tensor:
        y = func(*xs)
        if not isinstance(y, Tensor) or y._var.numel != 1:
            what = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ArgumentError(
                f"{name}: the function must return a tensor with a single element, got {what}; "
                f"reduce it with "
                ".sum() or .mean()."
            )
        return y if y._var.ndim == 0 else y.reshape(())

    return checked


def _vectors(v: Any, like: list[Tensor], name: str, what: str, single: bool) -> list[Tensor]:
    """``v`` as a list of tensors shaped like ``like``; ones if it may be left out."""
    if v is None:
        if len(like) != 1 or like[0]._var.numel != 1 or not single:
            raise ArgumentError(
                f"{name} can only be None if the {what} a single tensor with a single element; "
                f"pass one tensor per "
                f"shape {[tuple(t.shape) for t in like]}."
            )
        return [ones_like(like[0])]
    vs, _ = _tensors(v, name, "it")
    if len(vs) != len(like) or any(a.shape != b.shape for a, b in zip(vs, like, strict=True)):
        raise ArgumentError(
            f"{name} has shapes {[tuple(t.shape) for t in vs]}, but must have the shapes "
            f"{[tuple(t.shape) for t in like]}."
        )
    return vs


def ones_like(like: Tensor) -> Tensor:
    """Ones of the shape and dtype of ``like``."""
    return realized(np.ones(tuple(like.shape), like.dtype.numpy), like.dtype)


def _filled(found: Sequence[Tensor | None], like: list[Tensor], strict: bool) -> list[Tensor]:
    """``found`` with zeros for None, which ``strict`` refuses."""
    if strict and any(g is None for g in found):
        i = next(i for i, g in enumerate(found) if g is None)
        raise GradientError(
            f"the derivative does not depend on input {i}, which strict=True refuses; pass "
            f"strict=False to get zeros."
        )
    return [zeros_like(x) if g is None else g for g, x in zip(found, like, strict=True)]


def _finish(
    results: Sequence[Tensor], create_graph: bool, pack: Callable[[Sequence[Any]], Any]
) -> Any:
    return pack([t if create_graph else t.detach() for t in results])


# -- blocks of a Jacobian -------------------------------------------------------------------------


def _basis(like: Tensor) -> Tensor:
    """Every unit vector of the space of ``like``, along a new first dimension."""
    n = like._var.numel
    eye = np.eye(n, dtype=like.dtype.numpy).reshape(n, *like.shape)
    return realized(eye, like.dtype)


def _zero_block(x: Tensor, y: Tensor) -> Tensor:
    return realized(np.zeros((*y.shape, *x.shape), y.dtype.numpy), y.dtype)


def table_of_blocks(
    xs: list[Tensor], ys: list[Tensor], create: bool, strict: bool = False, *, forward: bool
) -> list[list[Tensor]]:
    """∂y/∂x of shape (*y, *x) for each y (a row) and each x."""
    return (_columns if forward else _rows)(xs, ys, create, strict)


def _rows(xs: list[Tensor], ys: list[Tensor], create: bool, strict: bool) -> list[list[Tensor]]:
    """[∂y/∂x for each x] for each y, by a vector–Jacobian product per element of y."""
    table = []
    for i, y in enumerate(ys):
        found: Sequence[Tensor | None] = [None] * len(xs)
        if y.requires_grad and y._var.numel:
            found = batched_gradient([y], xs, [_basis(y)], create)
        table.append(
            [_block(g, x, y, i, j, strict) for j, (g, x) in enumerate(zip(found, xs, strict=True))]
        )
    return table


def _block(g: Tensor | None, x: Tensor, y: Tensor, i: int, j: int, strict: bool) -> Tensor:
    if g is None:
        if strict:
            raise GradientError(
                f"output {i} of the function does not depend on input {j}, which strict=True "
                f"refuses; pass "
                "strict=False to get zeros."
            )
        return _zero_block(x, y)
    return g.reshape((*y.shape, *x.shape))


def _columns(xs: list[Tensor], ys: list[Tensor], create: bool, strict: bool) -> list[list[Tensor]]:
    """The same table by a Jacobian–vector product per element of x."""
    by_input: list[list[Tensor]] = []
    for j, x in enumerate(xs):
        found: Sequence[Tensor | None] = [None] * len(ys)
        if x._var.numel:
            found = batched_gradient(ys, [x], [_basis(x)], create, push_forward)
        by_input.append(
            [
                _block(None if g is None else _last_to_front(g), x, y, i, j, strict)
                for i, (g, y) in enumerate(zip(found, ys, strict=True))
            ]
        )
    return [list(row) for row in zip(*by_input, strict=True)]


def _last_to_front(g: Tensor) -> Tensor:
    """(N, *y) → (*y, N)."""
    return g.permute((*range(1, g._var.ndim), 0)) if g._var.ndim > 1 else g


def _swap_sides(j: Tensor, n: int) -> Tensor:
    """(*y, *x) → (*x, *y), where y has ``n`` dimensions."""
    rank = j._var.ndim
    return j.permute((*range(n, rank), *range(n))) if 0 < n < rank else j
