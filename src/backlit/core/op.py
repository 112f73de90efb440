"""Public ops: Python functions whose calls are recorded as one event.

`op` wraps a function over tensors (the *body*). The first call along a path of the trie runs the
body under a `Tracer` and keeps what it expanded to; every later call costs one lookup. Arguments
annotated `Number` may differ from call to call; all other arguments that are not tensors are
static:
they are part of the event's key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

import numpy as np

from backlit.core.dtypes import dtype
from backlit.core.era import Era, local
from backlit.core.inner import inner
from backlit.core.outputs import Fixed, New, Same, Several
from backlit.core.position import DEPTH_LIMIT, Position
from backlit.core.primitive import Primitive, dispatch
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor, handle
from backlit.core.trace import Tracer, computed, module_scopes
from backlit.core.value import Value

P = ParamSpec("P")
R = TypeVar("R")

_MOST_OPERANDS = 64
_AS_IT_IS = frozenset({type(None), str, int, dtype})  # types of arguments that are their own key
_NUMBERS = (float, int, bool)


class OpName(str):
    """The name of an op, so that its scope is not taken for that of a module of the same name."""

    __slots__ = ()


class Op:
    """One public operation.

    Attributes:
        name: PyTorch's name.
        body: the function over tensors that says what it computes.
        numbers: names of the parameters that are Python numbers which may vary.
        view: whether results share memory with the first argument.
        inplace: whether there is an in-place variant (a method called ``name_``).
        method: whether it is also a method of `Tensor`.
        call: what users call.
    """

    __slots__ = (
        "body",
        "call",
        "inplace",
        "method",
        "name",
        "numbers",
        "parameters",
        "positions",
        "view",
    )

    def __init__(
        self,
        name: str,
        body: Callable[..., Any],
        view: bool = False,
        *,
        inplace: bool = False,
        method: bool = True,
    ) -> None:
        self.name = OpName(name)
        self.inplace = inplace
        self.method = method
        self.body = body
        self.view = view
        self.call: Callable[..., Any] = body
        annotations = getattr(body, "__annotations__", {})
        code = getattr(body, "__code__", None)
        n = code.co_argcount + code.co_kwonlyargcount if code else 0
        self.parameters: tuple[str, ...] = code.co_varnames[:n] if code else ()
        self.numbers = frozenset(k for k, a in annotations.items() if "Number" in str(a))
        self.positions = tuple(p in self.numbers for p in self.parameters)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def _outputs(op: Op, out: Any, arguments: list[Value], nodes: list[Any]) -> Any:
    """How to make an event's outputs again, from what its body returned."""
    if isinstance(out, Tensor):
        if out._var in arguments:
            return Same(arguments.index(out._var))
        if op.view:
            from backlit.core.views import moves_between

            return New(out._var, 0, moves_between(arguments[0], out._var))
        return New(out._var)
    if isinstance(out, (tuple, list)):
        return Several(type(out), [_outputs(op, o, arguments, nodes) for o in out])
    return Fixed(out)


# -- recording ------------------------------------------------------------------------------------


def _encode(era: Era, a: Any, number: bool, tensors: list[Tensor]) -> Any:
    """What stands for argument ``a`` in an event's key."""
    kind = type(a)
    if isinstance(a, Tensor):
        if a._era is not era:
            era.enter(a)
        tensors.append(a)
        return a._var
    if number and kind in _NUMBERS:
        era.scalars.append(a)
        return kind
    if (kind is tuple or kind is list) and not number and _AS_IT_IS.issuperset(map(type, a)):
        return (kind, *a)
    if kind is bool:
        return "True" if a else "False"
    if kind is float:
        return (float, a or repr(a))
    if isinstance(a, (tuple, list)):
        return (list if kind is list else tuple, *(_encode(era, x, number, tensors) for x in a))
    if isinstance(a, np.generic):
        return _encode(era, a.item(), number, tensors)
    if isinstance(a, dict):
        return (dict, *((k, _encode(era, x, number, tensors)) for k, x in a.items()))
    if isinstance(a, slice):
        return (slice, a.start, a.stop, a.step)
    return a


def _symbolic(tracer: Tracer, a: Any, number: bool) -> Any:
    """Argument ``a`` as the body sees it; the order of visits is `_encode`'s."""
    if isinstance(a, Tensor):
        return handle(tracer, a._var)  # type: ignore[arg-type]
    if number and type(a) in _NUMBERS:
        return tracer.scalar(type(a))
    if isinstance(a, (tuple, list)):
        made = [_symbolic(tracer, x, number) for x in a]
        return type(a)(*made) if hasattr(a, "_fields") else type(a)(made)
    if isinstance(a, np.generic):
        return _symbolic(tracer, a.item(), number)
    if isinstance(a, dict):
        return {k: _symbolic(tracer, x, number) for k, x in a.items()}
    return a


def record(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record a call of ``op``: look the event up, or expand it if it is new here."""
    era = local.era
    start = len(era.scalars)
    tensors: list[Tensor] = []
    key: list[Any] = [op]
    numbers = op.numbers
    if numbers:
        for a, number in zip(args, op.positions, strict=False):
            key.append(_encode(era, a, number, tensors))
        if len(args) > len(op.positions):
            del era.scalars[start:]
            raise _too_many(op, args)
        for k, a in kwargs.items():
            key.append(k)
            key.append(_encode(era, a, k in numbers, tensors))
    else:
        for a in args:
            if isinstance(a, Tensor):
                if a._era is not era:
                    era.enter(a)
                tensors.append(a)
                key.append(a._var)
            else:
                key.append(a if type(a) in _AS_IT_IS else _encode(era, a, False, tensors))
        for k, a in kwargs.items():
            key.append(k)
            key.append(a if type(a) in _AS_IT_IS else _encode(era, a, False, tensors))
    found = tuple(key)
    try:
        child = era.here.children.get(found)
    except TypeError:
        del era.scalars[start:]  # later ops would read this one's numbers
        raise _unhashable(op, args, kwargs) from None
    if child is None:
        if type(era) is not Era:
            return era.miss(op, args, kwargs)
        if era.here.depth >= DEPTH_LIMIT:
            era.flush()
            return record(op, args, kwargs)
        child = expand(era, op, found, args, kwargs, tensors, start)
    era.here = child
    if child.out is not None:
        return inner.pend(era, era.pending, child.out)
    return child.rebuild.make(era, tensors, start)


def expand(
    era: Era,
    op: Op,
    key: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tensors: list[Tensor],
    start: int,
) -> Position:
    """The new position after this event: what ``op`` expands to, traced once."""
    here = era.here
    child = Position(here, key, here.grad)
    tracer = Tracer(child, (*module_scopes(), op.name), local.phase)
    local.era = tracer
    try:
        out = op.body(
            *(
                _symbolic(tracer, a, p)
                for a, p in zip(args, (*op.positions, *(False,) * len(args)), strict=False)
            ),
            **{_parameter(op, k): _symbolic(tracer, a, k in op.numbers) for k, a in kwargs.items()},
        )
        out = computed(out)
    except BaseException:
        del era.scalars[start:]
        raise
    finally:
        local.era = era
    child.nodes = tuple(tracer.nodes)
    outputs = _outputs(op, out, [t._var for t in tensors], tracer.nodes)
    if isinstance(outputs, New) and outputs.of < 0:
        child.out = outputs.value
    else:
        child.rebuild = outputs
    child.attach()
    return child


NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other"}


def _parameter(op: Op, name: str) -> str:
    """The parameter that a keyword means: PyTorch takes NumPy's names, too."""
    return name if name in op.parameters else NUMPY_NAMES.get(name, name)


def _too_many(op: Op, args: tuple[Any, ...]) -> Exception:
    return TypeError(
        f"{op.name}() takes {len(op.positions)} positional arguments but {len(args)} were given: "
        f"{', '.join(op.parameters)}."
    )


def _unhashable(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
    kinds = [type(a).__name__ for a in (*args, *kwargs.values())]
    return TypeError(
        f"{op.name}(): got arguments of types {', '.join(kinds)}; expected tensors, numbers and "
        f"tuples of them."
    )


@overload
def op(body: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def op(
    *,
    name: str = ...,
    view: bool = ...,
    out: bool = ...,
    inplace: bool = ...,
    method: bool = ...,
    public: bool = ...,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def op(
    body: Any = None,
    /,
    *,
    name: str = "",
    view: bool = False,
    out: bool = False,
    inplace: bool = False,
    method: bool = True,
    public: bool = True,
) -> Any:
    """Make ``body`` a recorded op; with ``out``, it also takes PyTorch's ``out=`` argument.

    With ``public=False`` it is only the recorded part of a public function of the same name.
    """
    if body is None:
        return functools.partial(
            op, name=name, view=view, out=out, inplace=inplace, method=method, public=public
        )
    made = Op(name or body.__name__.rstrip("_"), body, view, inplace=inplace, method=method)
    if view:

        @functools.wraps(body)
        def call(*args: Any, **kwargs: Any) -> Any:
            from backlit.core.views import record_view

            return record_view(made, args, kwargs)

    elif out:

        @functools.wraps(body)
        def call(*args: Any, **kwargs: Any) -> Any:
            if "out" in kwargs:
                from backlit.core.inplace import write_out

                target = kwargs.pop("out")
                result = record(made, args, kwargs)
                return result if target is None else write_out(made.name, target, result)
            return record(made, args, kwargs)

    else:

        @functools.wraps(body)
        def call(*args: Any, **kwargs: Any) -> Any:
            return record(made, args, kwargs)

    made.call = call
    call.op = made  # type: ignore[attr-defined]
    if public:
        PUBLIC[made.name] = call
    return call


def plain(
    name: str = "", *, inplace: bool = False, method: bool = True
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a Python function public as it is: it records what it calls, and may look at values."""

    def register(body: Callable[P, R]) -> Callable[P, R]:
        made = Op(name or body.__name__.rstrip("_"), body, inplace=inplace, method=method)
        made.call = body
        body.op = made  # type: ignore[attr-defined]
        PUBLIC[made.name] = body
        return body

    return register


def call_primitive(self: Primitive, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """Apply a primitive: inside a trace it adds a node, elsewhere it is recorded as an event."""
    era = local.era
    if isinstance(era, Tracer):
        return era.emit(self, args, attrs)
    return record(_op_of(self), args, attrs)


@functools.cache
def _op_of(card: Primitive) -> Op:
    def body(*args: Any, **attrs: Any) -> Any:
        return local.era.emit(card, args, attrs)

    made = Op(card.name, body)
    made.parameters = card.operands
    made.numbers = frozenset(card.operands)
    made.positions = (True,) * _MOST_OPERANDS
    return made


dispatch.call = call_primitive
