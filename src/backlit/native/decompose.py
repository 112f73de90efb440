"""Nodes that kernels do not know, as several nodes that they do.

Standardisation becomes sums and arithmetic, which fuse with what stands around them, and a product
of a column and a row arithmetic; softmax and the largest element along any dimension become those
along rows, or reductions of columns; and a reduction over dimensions that do not lie side by side
becomes one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from backlit.core.primitive import PRIMITIVES
from backlit.core.size import broadcast
from backlit.core.value import Constant, Node, Result, Value, meta_of

_FLOATS = ("float32", "float64")
REDUCTIONS = ("sum", "amax", "amin")


def run_of(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(outer, reduced, inner) if the dimensions lie side by side, sizes of 1 aside.

    >>> run_of((2, 3, 4, 5), (1, 2)), run_of((2, 1, 4), (0, 2)), run_of((2, 3, 4), (0, 2))
    ((2, 12, 5), (1, 8, 1), None)
    """
    if not dims or not prod(shape):
        return None
    wide = [d for d in dims if shape[d] != 1]
    if not wide:
        return prod(shape), 1, 1
    first, last = min(wide), max(wide)
    between = [n for d, n in enumerate(shape[first : last + 1], first) if d not in dims]
    if any(n != 1 for n in between):
        return None
    return prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :])


class Decomposer:
    """Makes nodes; numbers of new values begin at ``fresh``."""

    def __init__(self, fresh: int) -> None:
        self.fresh = fresh
        self.made: list[Node] = []
        self.where: Any = None

    def __call__(self, node: Node) -> list[Node]:
        """``node``, or the nodes that take its place."""
        rule = _RULES.get(node.primitive.name)
        x = node.args[0] if node.args else None
        if rule is None or x is None or x.dtype.name not in _FLOATS or not x.numel:
            return [node]
        self.made, self.where = [], node.where
        return self.made if rule(self, node) else [node]

    def value(self, shape: tuple[int, ...], like: Value) -> Result:
        """A new value of the dtype of ``like``."""
        self.fresh += 1
        meta = meta_of(shape, like.dtype, False)
        return Result(self.fresh - 1, meta, Node(PRIMITIVES["detach"], (), {}, self.where), 0)

    def define(self, out: Value, name: str, *args: Value, **attrs: Any) -> Value:
        """Add the node that computes ``out``."""
        assert isinstance(out, Result)
        node = Node(PRIMITIVES[name], args, attrs, self.where)
        node.outs = (out,)
        self.made.append(node)
        return out

    def apply(self, name: str, *args: Value) -> Value:
        """Add an elementwise node; its value."""
        shape = broadcast(name, *(tuple(a.shape) for a in args))
        return self.define(self.value(shape, args[0]), name, *args)

    def reduce(self, name: str, x: Value, dims: tuple[int, ...]) -> Value:
        """Add a reduction that keeps its dimensions, as nodes over adjacent dimensions."""
        kept = tuple(1 if d in dims else n for d, n in enumerate(x.shape))
        out = self.value(kept, x)
        self.reduce_into(out, name, x, dims, True)
        return out

    def reduce_into(
        self, out: Value, name: str, x: Value, dims: tuple[int, ...], keepdim: bool
    ) -> None:
        """Reduce the last of the dimensions first, until those left lie side by side."""
        left = tuple(sorted(dims))
        while run_of(tuple(x.shape), left) is None:
            some = max(
                (left[k:] for k in range(len(left)) if run_of(tuple(x.shape), left[k:])), key=len
            )
            shape = tuple(1 if d in some else n for d, n in enumerate(x.shape))
            x = self.define(self.value(shape, x), name, x, dims=some, keepdim=True)
        self.define(out, name, x, dims=left, keepdim=keepdim)

    def constant(self, number: float, like: Value) -> Constant:
        """A number in the dtype of ``like``."""
        self.fresh += 1
        return Constant(self.fresh - 1, np.asarray(number, like.dtype.numpy), like.dtype)


def _reduction(d: Decomposer, node: Node) -> bool:
    x, dims = node.args[0], tuple(node.attrs["dims"])
    if not dims or run_of(tuple(x.shape), dims) is not None:
        return False
    d.reduce_into(node.outs[0], node.primitive.name, x, dims, node.attrs["keepdim"])
    return True


def _standardize(d: Decomposer, node: Node) -> bool:
    """(x - mean) / √(variance + ε): two sums, each divided by the number of elements."""
    x, dims = node.args[0], tuple(sorted(node.attrs["dims"]))
    out, mean, variance = node.outs
    first = min(dims, default=0)
    together = len(dims) > 1 and dims == tuple(range(first, x.ndim))
    if together:  # one dimension, so that it is a row of a kernel
        shape = (*x.shape[:first], prod(x.shape[first:]))
        x, dims = d.define(d.value(shape, x), "reshape", x, shape=shape), (first,)
    count = d.constant(prod(node.args[0].shape[k] for k in node.attrs["dims"]), x)
    average = d.apply("div", d.reduce("sum", x, dims), count)
    centred = d.apply("sub", x, average)
    spread = d.apply("div", d.reduce("sum", d.apply("mul", centred, centred), dims), count)
    epsilon = d.constant(node.attrs["eps"], x)
    rate = d.apply("div", d.constant(1.0, x), d.apply("sqrt", d.apply("add", spread, epsilon)))
    scaled = d.apply("mul", centred, rate)
    for made, wanted in ((scaled, out), (average, mean), (spread, variance)):
        d.define(wanted, "reshape", made, shape=tuple(wanted.shape))
    return True


def _softmax(d: Decomposer, node: Node) -> bool:
    """Along rows where nothing comes after the dimension, else by reductions of columns."""
    x, dim, name = node.args[0], node.attrs["dim"], node.primitive.name
    outer, n, inner = prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :])
    if dim == x.ndim - 1:
        return False
    if inner == 1:
        flat = d.define(d.value((outer, n), x), "reshape", x, shape=(outer, n))
        rows = d.define(d.value((outer, n), x), name, flat, dim=1)
        d.define(node.outs[0], "reshape", rows, shape=tuple(x.shape))
        return True
    shifted = d.apply("sub", x, d.reduce("amax", x, (dim,)))
    powers = d.apply("exp", shifted)
    total = d.reduce("sum", powers, (dim,))
    if name == "softmax":
        d.define(node.outs[0], "div", powers, total)
    else:
        d.define(node.outs[0], "sub", shifted, d.apply("log", total))
    return True


def _argmax(d: Decomposer, node: Node) -> bool:
    """Along rows, with the dimension moved to the end."""
    x, dim = node.args[0], node.attrs["dim"]
    if dim is None or dim == x.ndim - 1 or not x.ndim:
        return False
    dims = (*(k for k in range(x.ndim) if k != dim), dim)
    shape = tuple(x.shape[k] for k in dims)
    turned = d.define(d.value(shape, x), "permute", x, dims=dims)
    d.fresh += 1
    meta = meta_of(shape[:-1], node.outs[0].dtype, False)
    found = Result(d.fresh - 1, meta, node, 0)
    d.define(found, "argmax", turned, dim=x.ndim - 1, keepdim=False)
    d.define(node.outs[0], "reshape", found, shape=tuple(node.outs[0].shape))
    return True


def _outer(d: Decomposer, node: Node) -> bool:
    """A product over one element is arithmetic, which fuses with what stands around it."""
    a, b = node.args
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != 1:
        return False
    d.define(node.outs[0], "mul", a, b)
    return True


_RULES: dict[str, Callable[[Decomposer, Node], bool]] = {
    **dict.fromkeys(REDUCTIONS, _reduction),
    "standardize": _standardize,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "argmax": _argmax,
    "matmul": _outer,
}
