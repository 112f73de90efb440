"""Primitives: the records ("cards") that say everything about one op.

A card holds the rule for shapes and dtypes, the NumPy source that computes it, the gradient rules,
its mathematics for display, and samples for the laws in ``tests/laws``. Two kinds say less:
`elementwise` cards give a scalar function and its derivatives; everything else follows from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backlit.core import homes
from backlit.core.dtypes import bool_, dtype
from backlit.core.expression import Expression, numpy_math
from backlit.core.registry import Registry
from backlit.core.size import broadcast
from backlit.core.value import Node, Value
from backlit.errors import DtypeError

Spec = tuple[tuple[int, ...], dtype]  # shape and dtype of one output
Rule = Callable[..., Any]

PRIMITIVES: Registry[Primitive] = Registry(homes.PRIMITIVES)


class Dispatch:
    """How primitives are applied; `backlit.core.op` sets ``call``."""

    call: Callable[[Primitive, tuple[Any, ...], dict[str, Any]], Any]


dispatch = Dispatch()


class Primitive:
    """One op of the program representation.

    Attributes:
        operands: names of the tensor operands; one name ending in ``*`` takes any number.
        shape: ``shape(*operand_values, **attrs)`` gives the `Spec` of the output, or a list of
            them.
        numpy: source template over operand and attribute names, such as ``"np.sum({x},
            axis={dims})"``.
        vjp: per operand, a rule ``(g, …) -> gradient``, or None where there is none. The names of
            the
            other parameters say what is saved: an operand, ``out`` (``out1`` …), an attribute, or
            ``x_shape``, which saves nothing.
        write: for movement ops, ``write(base, new, **attrs)``: base with the moved part replaced.
        upcast: whether float16 and bfloat16 operands are computed in float32 and rounded once.
        maths, local: one-line mathematics of the op and of its local derivatives, for display.
    """

    def __init__(
        self,
        name: str,
        operands: str,
        *,
        shape: Callable[..., Any],
        numpy: str = "",
        vjp: Sequence[Rule | None] | None = None,
        write: Rule | None = None,
        maths: str = "",
        local: str | tuple[str, ...] = "",
        samples: Sequence[Any] | Callable[[], Sequence[Any]] = (),
        errors: Sequence[tuple[Any, str]] = (),
        scalar: Callable[..., Any] | None = None,
        upcast: bool = False,
    ) -> None:
        self.name = name
        self.upcast = upcast
        self.operands = tuple(operands.split())
        self.variadic = self.operands[-1:] != () and self.operands[-1].endswith("*")
        self.shape = shape
        self.numpy = numpy
        self.vjp = tuple(vjp) if vjp is not None else (None,) * len(self.operands)
        self.write = write
        self.maths = maths
        self.local = local
        self.samples = samples
        self.errors = errors
        self.scalar = scalar  # the scalar function of an elementwise card
        self.rule_names = tuple(_parameters(r) for r in self.vjp)
        if name in PRIMITIVES.defined:
            raise ValueError(f"primitive {name!r} is defined twice")
        PRIMITIVES[name] = self

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        """Apply this primitive: inside a trace it adds a node, elsewhere it is an event."""
        return dispatch.call(self, operands, attrs)

    @property
    def differentiable(self) -> bool:
        """Whether any operand has a gradient rule."""
        return any(self.vjp)

    def rule_of(self, position: int) -> tuple[Rule | None, tuple[str, ...]]:
        """The gradient rule of operand number ``position`` and the names it saves."""
        if self.variadic:
            position = min(position, len(self.operands) - 1)
        return self.vjp[position], self.rule_names[position]

    def saved(self, node: Node) -> list[Value]:
        """The values that the backward of ``node`` reads."""
        found: list[Value] = []
        for i, arg in enumerate(node.args):
            if arg.requires_grad:
                for name in self.rule_of(i)[1]:
                    value = self.saved_value(node, name)
                    if value is not None and value not in found:
                        found.append(value)
        return found

    def saved_value(self, node: Node, name: str) -> Value | None:
        """The value that a rule parameter called ``name`` saves, if it saves one."""
        if name == "out":
            return node.outs[0]
        if name in self.operands:
            return node.args[self.operands.index(name)]
        if name.startswith("out") and name[3:].isdigit():
            return node.outs[int(name[3:])]
        return None

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def _parameters(rule: Rule | None) -> tuple[str, ...]:
    """Names of a rule's parameters after the incoming gradient(s) ``g``, ``g1`` …"""
    if rule is None:
        return ()
    code = rule.__code__
    return tuple(code.co_varnames[1 : code.co_argcount])


class Elementwise(Primitive):
    """A primitive that applies one scalar function to each element, with broadcasting.

    ``fn(m, x, …)`` is written over the scalar functions of ``m`` and Python's operators, so that
    NumPy source, native code and derivatives all come from the one expression.
    """

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        derivative: Callable[..., Any] | tuple[Callable[..., Any] | None, ...] | None = None,
        *,
        result: dtype | None = None,
        kinds: str = "bif",
        **more: Any,
    ) -> None:
        code = fn.__code__
        operands = code.co_varnames[1 : code.co_argcount]
        if derivative is None:
            derivatives: tuple[Callable[..., Any] | None, ...] = (None,) * len(operands)
        else:
            derivatives = derivative if isinstance(derivative, tuple) else (derivative,)
        self.derivatives = derivatives
        self.result = result
        self.kinds = kinds

        def shape(*values: Value) -> Spec:
            first = _common_dtype(name, values, kinds)
            return broadcast(name, *(v.shape for v in values)), result or first

        super().__init__(name, " ".join(operands), shape=shape, scalar=fn, upcast=True, **more)
        # A derivative's parameters after m are what it saves; the incoming gradient is not among
        # them.
        self.vjp = derivatives
        self.rule_names = tuple(_parameters(d) for d in derivatives)

    def numpy_text(self, operands: Sequence[str]) -> str:
        """The NumPy expression that computes this op from the named operands."""
        assert self.scalar is not None
        return str(self.scalar(numpy_math, *(Expression.name(o) for o in operands)))


def _common_dtype(name: str, values: Sequence[Value], kinds: str) -> dtype:
    """The one dtype that all operands share (conditions, which are bool, aside)."""
    first = values[-1].dtype
    for v in values:
        if v.dtype is not first and not (v is values[0] and v.dtype is bool_):
            raise DtypeError(
                f"{name}: operands of different dtypes {[v.dtype.name for v in values]}."
            )
    kind = "f" if first.is_floating_point else "b" if first is bool_ else "i"
    if kind not in kinds:
        raise DtypeError(f'{name}: "{name}" is not implemented for {first.name} tensors.')
    return first


def elementwise(
    name: str,
    fn: Callable[..., Any],
    derivative: Callable[..., Any] | tuple[Callable[..., Any] | None, ...] | None = None,
    **more: Any,
) -> Elementwise:
    """Define an `Elementwise` card."""
    return Elementwise(name, fn, derivative, **more)


def primitive(name: str, operands: str, **more: Any) -> Primitive:
    """Define a `Primitive` card."""
    return Primitive(name, operands, **more)
