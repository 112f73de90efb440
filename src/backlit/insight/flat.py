"""Flat backprop code: forward and backward of a function as plain NumPy statements."""

from __future__ import annotations

import inspect
import keyword
import re
import sys
from collections.abc import Callable
from itertools import count
from types import CodeType, FrameType
from typing import Any

import numpy as np

from backlit.autograd.gradients import grad
from backlit.core.create import full_constant
from backlit.core.era import Era, local, pend
from backlit.core.program import Program, alive_nodes
from backlit.core.tensor import Tensor, realized
from backlit.core.value import Input, Value
from backlit.errors import ArgumentError
from backlit.insight.flatwriter import FlatWriter
from backlit.insight.gate import Apart
from backlit.insight.history import origin
from backlit.insight.naming import Names, names_in


def emit_flat_backprop(f: Callable[..., Any], *inputs: Tensor) -> str:
    """Python source that computes ``f(*inputs)`` and its gradients, one plain statement per node.

    The source defines one function, called as ``f`` is, over NumPy arrays and numbers. It returns
    the output and the gradient of each input: ∂out/∂xᵢ = Σ over the uses of xᵢ of local ·
    upstream, in variables called ``grad_…``. It needs NumPy only (and `backlit.ops.reference` for
    functions that NumPy lacks). Intermediate values have the names of the local variables of
    ``f``, ``s0``, ``s1`` … where there is none.

    Args:
        f: a function of tensors with one tensor of one element as its result. It must not look at
            values (``if``, ``.item()``) on the way.
        inputs: example inputs; the source holds for inputs of these shapes.

    Source: J. Johnson, University of Michigan EECS 498-007, lecture 6 ("flat" backprop code).

    >>> import backlit
    >>> def area(x, y):
    ...     q = x * y
    ...     return q * q
    >>> text = backlit.insight.emit_flat_backprop(
    ...     area, backlit.tensor(3.0), backlit.tensor(2.0)
    ... )
    >>> print(text)
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def area(x, y):
        # forward
        q = x * y
        L = q * q
        # backward
        grad_L = 1.0
        grad_q = grad_L * q + grad_L * q
        grad_x = grad_q * y
        grad_y = grad_q * x
        return L, (grad_x, grad_y)
    <BLANKLINE>
    >>> made = {}
    >>> exec(text, made)
    >>> made["area"](3.0, 2.0)
    (36.0, (24.0, 36.0))

    Raises:
        ArgumentError: if an input is not a floating-point tensor, or ``f`` does not return one
            number that depends on the inputs, looks at values, or takes large data from outside.
    """
    for t in inputs:
        if not isinstance(t, Tensor) or not t.dtype.is_floating_point:
            kind = f"a {t.dtype.name} tensor" if isinstance(t, Tensor) else type(t).__name__
            raise ArgumentError(
                f"emit_flat_backprop: the inputs must be floating-point tensors, got {kind}; "
                "let the function take other values from outside."
            )
    leaves = [realized(np.array(t.detach().numpy()), t.dtype, True) for t in inputs]
    with Apart(grad=True):
        return _Tape(f, leaves).source()


class _Tape:
    """One call of the function, recorded together with its backward pass."""

    def __init__(self, f: Callable[..., Any], leaves: list[Tensor]) -> None:
        name = getattr(f, "__name__", "")
        self.function = "f" if name == "<lambda>" else _identifier(name) or "f"
        self.leaves = leaves
        self.era: Era = local.era
        out, found = _called(f, leaves)
        self.out = _checked(out, self.era)._var
        forward = alive_nodes(self.era.here.all_nodes(), (self.out,))
        self.values = [o for node in forward for o in node.outs]
        self.names = self._names(found, _arguments(f, len(leaves)))
        self.gradients = self._differentiate(out)
        outputs = (self.out, *(g for _, g in self.gradients))
        nodes = alive_nodes(self.era.here.all_nodes(), outputs)
        self.program = Program(nodes, outputs, len(self.era.inputs))

    def _differentiate(self, out: Tensor) -> list[tuple[Value, Value]]:
        """Each value with its gradient, as the reverse walk reaches them; the output's is first."""
        one = full_constant(tuple(out.shape), 1, out.dtype)
        inner = [pend(self.era, v) for v in reversed(self.values) if v.requires_grad]
        entered = [t for t in self.leaves if t._era is self.era]
        asked = [*inner, *entered]
        found = grad(out, asked, one, retain_graph=True, allow_unused=True)
        return [(t._var, g._var) for t, g in zip(asked, found, strict=True) if g is not None]

    def _names(self, found: Names, arguments: list[str]) -> dict[int, str]:
        """Names of the inputs, and of every value that gradients flow through."""
        names = {
            t._var.id: name
            for t, name in zip(self.leaves, arguments, strict=True)
            if t._era is self.era
        }
        taken = {*arguments, self.function}
        numbered = (name for i in count() if (name := f"s{i}") not in taken)
        entered = [p.out for p in self.era.here.path() if isinstance(p.out, Input)]
        for value in (*entered, *self.values):
            if value.id in names:
                continue
            source = origin(self.era, value)
            assert source is not None
            name = _identifier(found.get((source[0].key, source[1]), ""))
            if not name or name in taken:
                if value is self.out and "L" not in taken:
                    name = "L"
                elif isinstance(value, Input):
                    name = f"data{value.index}"
                elif value.requires_grad:
                    name = next(numbered)
                else:
                    continue
            names[value.id] = name
            taken.add(name)
        self.arguments = arguments
        return names

    def source(self) -> str:
        """The text."""
        writer = FlatWriter(self.program, self.era, self.names)
        writer.gradients = self.gradients
        entered = {name: t._var for name, t in zip(self.arguments, self.leaves, strict=True)}
        unused = [name for name, v in entered.items() if v.id not in self.names]
        return writer.function(self.function, self.arguments, unused, self.out)


def _called(f: Callable[..., Any], leaves: list[Tensor]) -> tuple[Any, Names]:
    """What ``f`` returns, and the names that its variables gave to tensors."""
    code = _code_of(f)
    found: Names = {}

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "return" and frame.f_code is code:
            found.update(names_in(frame))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        return f(*leaves), found
    finally:
        sys.setprofile(before)


def _code_of(f: Any) -> CodeType | None:
    code = getattr(f, "__code__", None) or getattr(type(f).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _checked(out: Any, era: Era) -> Tensor:
    """``out``, if it is one number that was recorded in ``era``."""
    if not isinstance(out, Tensor) or out.numel() != 1:
        kind = f"a tensor of shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out)
        raise ArgumentError(
            f"emit_flat_backprop: the function must return one number as a tensor, got {kind}; "
            "reduce it with .sum() or .mean()."
        )
    if local.era is not era:
        raise ArgumentError(
            "emit_flat_backprop: the function looks at values (if, print, .item()) or computes "
            "too much at a time, so there is no one straight line of statements; take that out."
        )
    if not out.requires_grad:
        raise ArgumentError(
            "emit_flat_backprop: the function's result does not depend on its inputs in a way "
            "that has a gradient."
        )
    return out


def _arguments(f: Callable[..., Any], n: int) -> list[str]:
    """The names of the function's first ``n`` parameters."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # a builtin says nothing of its parameters
        parameters = []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = [_identifier(p.name) for p in parameters if p.kind in plain][:n]
    return [*known, *(f"x{i}" for i in range(len(known), n))]


def _identifier(name: str) -> str:
    """``name`` as one that Python code can use: ``w[0]`` becomes ``w_0``."""
    plain = re.sub(r"\W+", "_", name).strip("_")
    if not plain.isidentifier():
        return ""
    return f"{plain}_" if keyword.iskeyword(plain) or plain in ("np", "ref") else plain
