"""Tracing: what an event expands to, worked out the first time it is seen."""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any

import numpy as np

from backlit.core.dtypes import (
    category,
    dtype,
    from_numpy_dtype,
    get_default_dtype,
    of_number,
    promote_types,
)
from backlit.core.era import Nowhere
from backlit.core.position import Position
from backlit.core.primitive import Elementwise, Primitive
from backlit.core.tensor import Tensor, handle
from backlit.core.value import (
    Constant,
    Node,
    Number,
    Result,
    Scalar,
    Value,
    Where,
    meta_of,
    weak_dtype,
)
from backlit.errors import BacklitError

_PACKAGE = __file__.rsplit("/core/", 1)[0]


def user_line() -> tuple[str, int]:
    """File and line of the innermost frame outside of this package."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE):
            return name, frame.f_lineno
        frame = frame.f_back
    return "", 0


module_calls: set[CodeType] = set()  # code that calls a module, held by its variable ``self``


def module_scopes() -> tuple[str, ...]:
    """The names of the modules being run, outermost first: read off the stack when an event is new,
    so that calls of modules need not keep count."""
    found: list[str] = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code in module_calls:
            found.append(frame.f_locals["self"]._scope)
        frame = frame.f_back
    found.reverse()
    return tuple(found)


class _TracePosition:
    """What `Tracer.here` needs to look like a position."""

    __slots__ = ("children", "grad", "parent")

    def __init__(self, grad: bool) -> None:
        self.children = Nowhere()
        self.grad = grad
        self.parent = self


class Tracer:
    """Stands in for the era while an event is expanded; collects the nodes it consists of."""

    def __init__(self, position: Position, scopes: tuple[str, ...], phase: str) -> None:
        self.here: Any = _TracePosition(position.grad)
        self.position = position  # the new position: its counters number what is made here
        self.nodes: list[Node] = []
        self.scope = scopes
        self.phase = phase
        self.scalars: list[Number] = []
        self.pending: list[Tensor] = []
        self.closed = False
        self._place: tuple[str, int] | None = None
        self._typed: dict[tuple[int, dtype], Scalar] = {}

    # -- what ops call on the era in progress ------------------------------------------------

    def enter(self, t: Tensor) -> None:
        """Refuse a tensor that a composite closes over: its numbers may differ at the next call."""
        value = t._var
        raise BacklitError(
            f"a composite op captured a tensor of shape {tuple(value.shape)} ({value.dtype.name}) "
            "from outside; pass it as an argument."
        )

    def set_grad(self, grad: bool) -> None:
        self.here.grad = grad

    def miss(self, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Expand a composite inside a composite."""
        outer = self.scope
        self.scope = (*outer, op.name)
        try:
            return op.body(*args, **kwargs)
        finally:
            self.scope = outer

    # -- building ----------------------------------------------------------------------------

    def number(self) -> int:
        """The number of the next value."""
        n = self.position.n_values
        self.position.n_values = n + 1
        return n

    def scalar(self, kind: type) -> Tensor:
        """The next Python number of the recording, as a weak 0-d tensor."""
        index = self.position.n_scalars
        self.position.n_scalars = index + 1
        return handle(self, Scalar(self.number(), weak_dtype(kind), index, True))  # type: ignore[arg-type]

    def typed_scalar(self, value: Scalar, d: dtype) -> Scalar:
        """A Python number as a value of dtype ``d``."""
        key = (value.index, d)
        found = self._typed.get(key)
        if found is None:
            found = self._typed[key] = Scalar(self.number(), d, value.index, False)
        return found

    def constant(self, x: Any, d: dtype | None = None, weak: bool = False) -> Tensor:
        """A constant array as a tensor of this trace."""
        d = d or (from_numpy_dtype(x.dtype) if isinstance(x, np.ndarray) else of_number(x))
        array = np.asarray(x, dtype=d.numpy)
        return handle(self, Constant(self.number(), array, d, weak))  # type: ignore[arg-type]

    def where(self) -> Where:
        if self._place is None:
            self._place = user_line()
        return Where(*self._place, self.scope, self.phase)

    def emit(self, primitive: Primitive, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Apply ``primitive``: add a node, and return a tensor for its output (or a tuple)."""
        if isinstance(primitive, Elementwise):
            values = promote(self, primitive, args)
        else:
            values = tuple(a._var if isinstance(a, Tensor) else self.constant(a)._var for a in args)
        spec = primitive.shape(*values, **attrs)
        node = Node(primitive, values, attrs, self.where())
        grad = self.here.grad and primitive.differentiable and any(v.requires_grad for v in values)
        several = isinstance(spec, list)
        specs = spec if several else [spec]
        node.outs = tuple(
            Result(self.number(), meta_of(tuple(shape), d, grad and d.is_floating_point), node, i)
            for i, (shape, d) in enumerate(specs)
        )
        self.nodes.append(node)
        if several:
            return tuple(handle(self, out) for out in node.outs)  # type: ignore[arg-type]
        return handle(self, node.outs[0])  # type: ignore[arg-type]

    def leaf(self, value: Value) -> Value:
        """Make the result ``value`` one whose gradient is wanted (its node must be `leaf`)."""
        assert isinstance(value, Result)
        meta = meta_of(value.shape, value.dtype, True)
        value.meta, value.requires_grad = meta, True
        return value


def result_dtype(values: tuple[Value, ...] | list[Value]) -> dtype:
    """The dtype that operands combine to (PyTorch's rule: dimensioned, then 0-d, then numbers)."""
    kinds: list[dtype | None] = [None, None, None]
    for v in values:
        rank = 2 if v.weak else 1 if not v.shape else 0
        d = v.dtype
        if v.weak and d.is_floating_point:
            d = get_default_dtype()
        known = kinds[rank]
        kinds[rank] = d if known is None else promote_types(known, d)
    found = kinds[0]
    for lower in kinds[1:]:
        if lower is not None:
            found = lower if found is None else _combine(found, lower)
    assert found is not None
    return found


def _combine(higher: dtype, lower: dtype) -> dtype:
    return (
        promote_types(higher, lower)
        if category(lower) > category(higher) and category(higher) == 0
        else (lower if category(lower) > category(higher) else higher)
    )


def promote(tracer: Tracer, card: Elementwise, args: tuple[Any, ...]) -> tuple[Value, ...]:
    """The operands of an elementwise card, all converted to the dtype it computes in."""
    values = [
        a._var
        if isinstance(a, Tensor)
        else Constant(tracer.number(), np.asarray(a), of_number(a), True)
        for a in args
    ]
    start = 1 if card.operands[0] == "condition" else 0
    d = result_dtype(values[start:])
    if not d.is_floating_point and "i" not in card.kinds and "b" not in card.kinds:
        d = get_default_dtype()
    return (*values[:start], *(convert(tracer, v, d) for v in values[start:]))


def convert(tracer: Tracer, value: Value, d: dtype) -> Value:
    """``value`` in dtype ``d``."""
    if value.dtype is d and not value.weak:
        return value
    if isinstance(value, Scalar) and value.weak:
        return tracer.typed_scalar(value, d)
    if isinstance(value, Constant):
        with np.errstate(all="ignore"):
            array = value.array.astype(d.numpy)
        return Constant(tracer.number(), array, d)
    from backlit.core.primitive import PRIMITIVES

    out: Tensor = tracer.emit(PRIMITIVES["convert"], (handle(tracer, value),), {"dtype": d})  # type: ignore[arg-type]
    return out._var


def computed(out: Any) -> Any:
    """What an event returns, with constants and numbers in it as results of nodes.

    A program returns what it computes: memory of its own, which in-place ops may change later.
    """
    if isinstance(out, Tensor):
        if not isinstance(out._var, (Constant, Scalar)):
            return out
        from backlit.core.primitive import PRIMITIVES

        return PRIMITIVES["clone"](out)
    if isinstance(out, (tuple, list)):
        made = [computed(o) for o in out]
        return type(out)(*made) if hasattr(out, "_fields") else type(out)(made)
    return out
