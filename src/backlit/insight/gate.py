"""Gates: the nodes of a computation graph, each with its forward and its backward."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from backlit.core.dtypes import dtype
from backlit.core.era import Era, local
from backlit.core.primitive import Elementwise
from backlit.core.tensor import Array, Tensor, realized
from backlit.core.value import Constant, Scalar, Value, Where
from backlit.errors import ArgumentError
from backlit.insight.formula import ATOM, Formula, computed_by, derivative_of
from backlit.insight.history import Leaf, Step
from backlit.insight.nodecode import NodeCode

_SHORT = 24  # characters of a formula that may stand for a name

PATTERNS = {
    "add": "distributor",
    "sub": "distributor",
    "sum": "distributor",
    "mul": "swap multiplier",
    "matmul": "swap multiplier",
    "expand": "adder",
    "maximum": "router",
    "minimum": "router",
    "amax": "router",
    "amin": "router",
    "relu": "router",
    "where": "router",
}


class Saved:
    """A value kept from the forward pass because the backward pass reads it.

    Attributes:
        name: the name of the gate it comes from.
        value: the value itself.
        nbytes: the memory it takes, in bytes.
    """

    __slots__ = ("name", "nbytes", "value")

    def __init__(self, name: str, value: Tensor) -> None:
        self.name = name
        self.value = value
        self.nbytes = value.numel() * value.element_size()

    def __repr__(self) -> str:
        return f"{self.name} {tuple(self.value.shape)}: {self.nbytes} bytes"


class Gate(ABC):
    """One node of a computation graph: a leaf, or an op applied to other gates' values.

    Attributes:
        op: the name of the primitive; "leaf" for what was given with requires_grad, else "data".
        name: the variable that holds the value, or ``v1``, ``v2`` … where none does.
        named: whether ``name`` is the user's.
        inputs: the gates of the tensor operands.
        fan_out: how often the value is used; a value used twice is copied, and copies add up.
        where: the user's file and line, the modules and composite ops around.
    """

    op: str
    where: Where | None = None

    def __init__(self) -> None:
        self.name = ""
        self.level = ATOM  # the precedence of the operator in a name that is a formula
        self.named = False
        self.inputs: list[Gate] = []
        self.fan_out = 0
        self.is_output = False
        self.arrays: list[Array] = []
        self.dtypes: list[dtype] = []
        self.gradients: list[Array | None] = []
        self.differentiable = False

    @property
    def value(self) -> Tensor:
        """The value; of an op with several outputs, the first."""
        return realized(self.arrays[0], self.dtypes[0])

    @property
    def upstream_array(self) -> Array | None:
        return self.gradients[0] if self.gradients else None

    @property
    def upstream(self) -> Tensor | None:
        """∂loss/∂value, which arrives from the gates that use the value; None if none does."""
        found = self.upstream_array
        return None if found is None else realized(found, self.dtypes[0])

    @property
    def grad(self) -> Tensor | None:
        """The gradient of the value: what has arrived from upstream, summed over all its uses."""
        return self.upstream

    @property
    def local_grad(self) -> tuple[Tensor | None, ...]:
        """∂value/∂input for each input; None for inputs that need no gradient."""
        return ()

    @property
    def downstream(self) -> tuple[Tensor | None, ...]:
        """What this gate passes back to each input: local times upstream."""
        return ()

    @property
    def saved(self) -> list[Saved]:
        """The values that this gate's backward reads, with their bytes."""
        return []

    @property
    def pattern(self) -> str:
        """What the gate does to gradients.

        add is a "distributor" (each input gets the upstream gradient), mul a "swap multiplier"
        (each gets upstream times the other), max a "router" (the largest gets it all), and a copy
        an "adder".
        """
        return PATTERNS.get(self.op, "")

    def own_name(self) -> str:
        """A name for a value that no variable holds, if there is one better than a number."""
        return ""

    @property
    def is_copied(self) -> bool:
        """Whether the value goes several ways: a copy is an adder, the gradients of all ways add
        up."""
        return self.differentiable and self.fan_out > 1

    def clear(self) -> None:
        """Forget the gradients that have arrived."""
        self.gradients = [None] * len(self.arrays)

    def arrive(self, index: int, g: Array) -> None:
        """A gradient of output number ``index`` arrives; gradients from several uses add up."""
        before = self.gradients[index]
        self.gradients[index] = g if before is None else before + g

    @abstractmethod
    def forward(self, *values: Any) -> Tensor:
        """Compute the value from the inputs' (or from ``values``), and keep both for backward."""

    @abstractmethod
    def backward(self, upstream: Any = None) -> list[Tensor | None]:
        """The gradients of the inputs, given the gate's own."""

    def __repr__(self) -> str:
        return f"<gate {self.name}: {self.op} {tuple(self.arrays[0].shape)}>"


class LeafGate(Gate):
    """A tensor that the computation began with."""

    def __init__(self, leaf: Leaf) -> None:
        super().__init__()
        self.tensor = leaf.tensor
        self.differentiable = leaf.value.requires_grad
        self.op = "leaf" if self.differentiable else "data"
        self.arrays = [np.array(leaf.array())]
        self.dtypes = [leaf.value.dtype]
        self.clear()

    def forward(self, *values: Any) -> Tensor:
        """The value; or make ``values[0]`` the value."""
        if values:
            array = _array(values[0], self.dtypes[0])
            if array.shape != self.arrays[0].shape:
                raise ArgumentError(
                    f"{self.name}.forward: expected a value of shape {self.arrays[0].shape}, got "
                    f"{array.shape}."
                )
            self.arrays = [array]
        self.clear()
        return self.value

    def backward(self, upstream: Any = None) -> list[Tensor | None]:
        """Nothing: a leaf has no inputs."""
        return []


class NodeGate(Gate):
    """A recorded op.

    ``gate.forward()`` and ``gate.backward()`` take part in the graph: they read the inputs' values,
    and add to the inputs' gradients. ``gate.forward(x, y)`` and ``gate.backward(dz)`` stand alone,
    as in the lectures' ``MultiplyGate``.

    >>> import backlit
    >>> x, y = (backlit.tensor(v, requires_grad=True) for v in (3.0, -4.0))
    >>> gate = backlit.insight.graph(x * y).output
    >>> gate.forward(5.0, 2.0)
    tensor(10.)
    >>> gate.backward(1.0)  # [dz/dx · dL/dz, dz/dy · dL/dz]
    [tensor(2.), tensor(5.)]
    """

    def __init__(self, step: Step, operands: list[tuple[Gate, int] | Value]) -> None:
        super().__init__()
        self.step = step
        self.operands = operands
        self.inputs = [o[0] for o in operands if isinstance(o, tuple)]
        for gate in self.inputs:
            gate.fan_out += 1
        node = step.node
        self.op = node.primitive.name
        self.where = node.where
        self.dtypes = [o.dtype for o in node.outs]
        self.differentiable = any(o.requires_grad for o in node.outs)
        self.context = (step.era.contexts or {}).get(node.outs[0].id)
        if self.context is not None:
            self.op = self.context.function.__name__
        self.given: list[Any] = []  # the operands of the latest forward

    @functools.cached_property
    def code(self) -> NodeCode:
        """The node as functions of arrays."""
        return NodeCode(self.step.node, self.step.era.scalars)

    @property
    def positions(self) -> list[int]:
        """Which of the node's operands are ``inputs``."""
        return [i for i, o in enumerate(self.operands) if isinstance(o, tuple)]

    def forward(self, *values: Any) -> Tensor:
        if values:
            if len(values) != len(self.inputs):
                raise ArgumentError(
                    f"{self.op}.forward takes {len(self.inputs)} values, one for each of "
                    f"{', '.join(g.name for g in self.inputs)}; got {len(values)}."
                )
            given: list[Any] = [None] * len(self.operands)
            for i, x in zip(self.positions, values, strict=True):
                given[i] = _array(x, self.step.node.args[i].dtype)
        else:
            given = [o[0].arrays[o[1]] if isinstance(o, tuple) else None for o in self.operands]
        self.given = given
        self.arrays = self.code.forward(given)
        self.clear()
        return self.value

    def backward(self, upstream: Any = None) -> list[Tensor | None]:
        if upstream is not None:
            found = self._products([_array(upstream, self.dtypes[0]), *self._missing()[1:]])
        else:
            if self.is_output and self.gradients[0] is None:
                self.gradients[0] = self._one()
            found = self._arrived()
            for i, g in found.items():
                operand = self.operands[i]
                assert isinstance(operand, tuple)
                operand[0].arrive(operand[1], g)
        return self._by_input(found)

    def _one(self) -> Array:
        if self.arrays[0].size != 1:
            raise ArgumentError(
                f"the gradient of {self.name} can only begin with 1 if it has one element, but its "
                f"shape is {self.arrays[0].shape}; reduce it with .sum() or .mean()."
            )
        return np.ones_like(self.arrays[0])

    def _missing(self) -> list[Array]:
        return [np.zeros_like(a) for a in self.arrays]

    def _arrived(self) -> dict[int, Array]:
        """What goes back to each operand, by the gradients that have arrived."""
        if not self.differentiable or all(g is None for g in self.gradients):
            return {}
        pairs = zip(self.gradients, self._missing(), strict=True)
        return self._products([zero if g is None else g for g, zero in pairs])

    def _products(self, upstream: list[Array]) -> dict[int, Array]:
        if not self.differentiable:
            return {}
        if self.context is None:
            return self.code.backward(self.given, self.arrays, upstream)
        from backlit.autograd.function import apply_backward

        gs = {i: realized(g, d) for i, (g, d) in enumerate(zip(upstream, self.dtypes, strict=True))}
        with Apart(grad=False):
            pairs = apply_backward(self.context, self.step.node, gs)
            return {i: np.asarray(g.numpy()) for i, g in pairs}

    def _by_input(self, found: dict[int, Array]) -> list[Tensor | None]:
        kinds = [a.dtype for a in self.step.node.args]
        return [realized(found[i], kinds[i]) if i in found else None for i in self.positions]

    @property
    def downstream(self) -> tuple[Tensor | None, ...]:
        return tuple(self._by_input(self._arrived()))

    @property
    def elementwise(self) -> bool:
        """Whether each element of the value depends on one element of each input only."""
        return isinstance(self.step.node.primitive, Elementwise)

    def locals(self) -> dict[int, Array]:
        """Of an elementwise op: ∂out/∂operand by operand, in the output's shape."""
        return self.code.local(self.given, self.arrays) if self.differentiable else {}

    @property
    def local_grad(self) -> tuple[Tensor | None, ...]:
        """∂value/∂input for each input; None for inputs that need no gradient.

        Elementwise ops give the derivative of each element, in the value's shape; all others the
        Jacobian, of shape value × input.
        """
        if not self.differentiable:
            return tuple(None for _ in self.inputs)
        found = self.locals() if self.elementwise else self._jacobians()
        return tuple(self._by_input(found))

    def _jacobians(self) -> dict[int, Array]:
        out = self.arrays[0]
        rows: dict[int, list[Array]] = {}
        for k in range(out.size):
            upstream = self._missing()
            upstream[0].flat[k] = 1
            for i, g in self._products(upstream).items():
                rows.setdefault(i, []).append(g)
        return {i: np.stack(r).reshape(out.shape + r[0].shape) for i, r in rows.items()}

    @property
    def saved(self) -> list[Saved]:
        if self.context is not None:
            return [Saved("ctx", t) for t in self.context._saved if t is not None]
        node = self.step.node
        found = []
        for value in node.primitive.saved(node) if self.differentiable else ():
            if value in node.outs:
                k = node.outs.index(value)
                found.append(Saved(self.name, realized(self.arrays[k], self.dtypes[k])))
                continue
            operand = self.operands[node.args.index(value)]
            if isinstance(operand, tuple):
                gate, k = operand
                found.append(Saved(gate.name, realized(gate.arrays[k], gate.dtypes[k])))
        return found

    # -- as text -----------------------------------------------------------------------------

    def terms(self, names: dict[int, Formula] | None = None) -> list[Formula]:
        """The operands as formulas: names of gates (or what ``names`` has for them), numbers."""
        return [
            (names or {}).get(id(o[0]), Formula.name(o[0].name, o[0].level))
            if isinstance(o, tuple)
            else self._literal(o)
            for o in self.operands
        ]

    def _literal(self, value: Value) -> Formula:
        if isinstance(value, Scalar):
            return Formula(float(self.step.era.scalars[value.index]))
        assert isinstance(value, Constant)
        if value.array.ndim == 0:
            return Formula(float(value.array))
        return Formula.name("constant")

    def own_name(self) -> str:
        """A short formula that serves as a name where no variable holds the value.

        Transposes have one (``Wᵀ``), and what needs no gradient, since no line tells of it.
        """
        text, level = self.formula.rendered()
        if self.op == "permute" and text.endswith("ᵀ"):
            return text
        if self.differentiable or len(text) > _SHORT:
            return ""
        self.level = level
        return text

    @property
    def formula(self) -> Formula:
        """What the gate computes, in the names of its inputs."""
        return self.formula_in(self.terms())

    def formula_in(self, terms: list[Formula]) -> Formula:
        """What the gate computes from ``terms``."""
        node = self.step.node
        if self.context is not None:
            inputs = ", ".join(map(str, terms[node.attrs["n"] :]))
            return Formula.name(f"{self.op}({inputs})")
        return computed_by(node.primitive, node.attrs, terms)

    def local_formula(
        self, i: int, terms: list[Formula] | None = None, out: Formula | None = None
    ) -> Formula:
        """Of an elementwise op: the derivative by operand ``i``, in the names of its inputs."""
        card = self.step.node.primitive
        assert isinstance(card, Elementwise)
        return derivative_of(card, i, terms or self.terms(), out or Formula.name(self.name))


class Apart:
    """Record what is done in the block apart from the recording in progress."""

    def __init__(self, grad: bool) -> None:
        self.grad = grad

    def __enter__(self) -> None:
        self.outer = local.era
        local.era = Era(self.grad)

    def __exit__(self, *exc: object) -> None:
        local.era = self.outer


def _array(x: Any, d: dtype) -> Array:
    """``x`` (a tensor or numbers) as an array of dtype ``d``."""
    if isinstance(x, Tensor):
        x = x.detach().numpy()
    return np.array(x, d.numpy)
