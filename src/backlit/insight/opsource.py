"""Ops from the inside: the mathematics, the NumPy template and the generated code of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.create import tensor
from backlit.core.era import Era, backend, flush, local, pend
from backlit.core.op import Op as Recorded
from backlit.core.position import Position
from backlit.core.primitive import PRIMITIVES, Elementwise, Primitive
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.insight.program import Program
from backlit.ops.samples import samples_of


class Op:
    """An op, to be looked at.

    Attributes:
        name: its name.
        card: the primitive of that name; None for an op that is made of others.
        maths: its formula, if the card has one.
    """

    def __init__(self, name: str, call: Callable[..., Any], card: Primitive | None) -> None:
        self.name = name
        self.card = card
        self.maths = card.maths if card is not None else ""
        self._call = call

    @property
    def template(self) -> str:
        """The NumPy expression over the names of the operands and attributes.

        Empty where the expression depends on the operands, or the op is made of others.

        >>> backlit.insight.op("sigmoid").template, backlit.insight.op("argsort").template
        ('1 / (1 + np.exp(-x))', 'ref.argsort({x}, {dim}, {descending})')
        """
        if isinstance(self.card, Elementwise):
            return self.card.numpy_text(self.card.operands)
        return self.card.numpy if self.card is not None and isinstance(self.card.numpy, str) else ""

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """The program that one call of the op is; nothing is computed.

        Without arguments, the card's first sample is taken.

        Raises:
            ArgumentError: if arguments are needed, or the op looks at values.
        """
        call = self._call
        if not args and not kwargs:
            call, args, kwargs = self._sample()
        flush()
        outer = local.era
        era = local.era = Era(True)
        era.here = Position(None, None, True)  # not in the trie: nothing of this is found again
        try:
            out = call(*_pending(era, args), **_pending(era, kwargs))
            found = [t for t in (out if isinstance(out, (tuple, list)) else [out]) if _is(t)]
            if local.era is not era or not found or any(t._era is not era for t in found):
                raise ArgumentError(
                    f"op({self.name!r}): it looks at values or computes nothing, so a call is not "
                    "one program; look at the ops it calls."
                )
            built = backend.build(era.here, tuple(t._var.id for t in found))
        finally:
            local.era = outer
        return Program(built.runner)

    def source(self, *args: Any, **kwargs: Any) -> str:
        """Formula, NumPy template, NumPy source of a call, and the LLVM IR generated for it.

        >>> print(backlit.insight.op("tanh").source().splitlines()[0])
        # tanh: tanh x

        Raises:
            ArgumentError: if arguments are needed, or the op looks at values.
        """
        program = self.program(*args, **kwargs)
        title = f"# {self.name}: {self.maths}" if self.maths else f"# {self.name}"
        parts = [title]
        if self.template:
            parts.append(f"# NumPy template: {self.template}")
        parts += ["", "# NumPy source of a call (cold tier)", program.source]
        parts += ["; LLVM IR of a call (hot tier)", program.ir()]
        return "\n".join(parts)

    def _sample(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """The card, and operands and attributes to call it with."""
        samples = samples_of(self.card) if self.card is not None else []
        if self.card is None or not samples:
            raise ArgumentError(
                f"op({self.name!r}): it is made of other ops, or its card has no samples; say what "
                f"it is called with, such as op({self.name!r}).source(x)."
            )
        given = [tensor(a) if isinstance(a, np.ndarray) else a for a in samples[0].operands]
        return self.card, tuple(given), samples[0].attributes

    def __repr__(self) -> str:
        return f"<op {self.name}{': ' + self.maths if self.maths else ''}>"


def _is(t: Any) -> bool:
    return isinstance(t, Tensor)


def _pending(era: Era, a: Any) -> Any:
    """``a`` with its tensors as inputs not yet known, so that moving them about is recorded."""
    if isinstance(a, Tensor):
        if a._era is not era:
            era.enter(a)
        return pend(era, a._var)
    if isinstance(a, (tuple, list)) and not hasattr(a, "_fields"):
        return type(a)(_pending(era, x) for x in a)
    if isinstance(a, dict):
        return {k: _pending(era, x) for k, x in a.items()}
    return a


def op(what: str | Callable[..., Any]) -> Op:
    """The op of a public function, or of a name; `Op.source` shows what runs for it.

    >>> backlit.insight.op(backlit.tanh)
    <op tanh: tanh x>
    >>> x = backlit.ones(2, 3)
    >>> program = backlit.insight.op(backlit.nn.functional.gelu).program(x)
    >>> [k.name for k in program.kernels()]
    ['mul erf add 2×3']

    Raises:
        ArgumentError: if there is no such op.
    """
    recorded = getattr(what, "op", None)
    name = str(recorded.name) if isinstance(recorded, Recorded) else what
    if isinstance(what, Primitive):
        name = what.name
    if not isinstance(name, str) or not (name in PUBLIC or name in PRIMITIVES):
        raise ArgumentError(
            f"op(): {what!r} is not an op; give a function such as backlit.tanh, or a name such as "
            '"tanh" or "nn.functional.gelu".'
        )
    card = PRIMITIVES.get(name)
    call = PUBLIC.get(name) or card
    assert call is not None
    return Op(name, call, card)
