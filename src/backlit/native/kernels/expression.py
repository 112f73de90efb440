"""What a fused kernel computes: expressions over inputs, and their graph without repetitions.

An expression is written with four node types and may share subexpressions freely:

    x = Input(0)
    e = Call("exp", x - row maximum) …

`Graph` numbers the distinct nodes (equal nodes get one number, however they were built) and says
for each what it varies with: elements, or only rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from backlit.native.kernels.vecmath import FUNCTIONS

Extent = Literal["full", "row", "column", "scalar"]
_FLOATS = ("float32", "float64")
REDUCTIONS = ("sum", "max", "min", "mean")


@dataclass(frozen=True, eq=False)
class Input:
    """Operand `index`, contiguous, in a kernel over `rows` × `cols` elements.

    extent: "full" (rows, cols); "row" (cols,), the same for every row; "column" (rows,), one value
    per row; "scalar", a single value. dtype: "float32", "float64" or "bool" (a mask, one byte).
    """

    index: int
    extent: Extent = "full"
    dtype: str = "float32"


@dataclass(frozen=True, eq=False)
class Const:
    """A number known when the kernel is compiled."""

    value: float
    dtype: str = "float32"


@dataclass(frozen=True, eq=False)
class Call:
    """A function of `vecmath.FUNCTIONS`, or a conversion: "float32", "float64"."""

    name: str
    args: tuple[Expression, ...]


@dataclass(frozen=True, eq=False)
class Reduce:
    """The sum, max, min or mean of `arg` along the last axis: one value per row."""

    op: str
    arg: Expression


Expression = Input | Const | Call | Reduce


def call(name: str, *args: Expression) -> Call:
    """Shorthand for Call with its operands in a row."""
    return Call(name, args)


@dataclass(frozen=True)
class Node:
    """One distinct node of a graph.

    kind: "input", "const", "call" or "reduce"; name: function or reduction; args: node numbers;
    payload: (index, extent) or the constant; dtype: of the value; varies: whether it differs
    within a row; level: how many reductions, one inside the other, come before its value.
    """

    kind: str
    name: str
    args: tuple[int, ...]
    payload: tuple[int, str] | float | None
    dtype: str
    varies: bool
    level: int
    cost: int


class Graph:
    """The distinct nodes of some expressions, operands before users.

    >>> x = Input(0)
    >>> square = call("mul", x, x)
    >>> graph = Graph([call("add", square, call("mul", x, x))])
    >>> [node.name for node in graph.nodes]
    ['input', 'mul', 'add']
    """

    def __init__(self, outputs: Iterable[Expression]) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[Node, int] = {}
        self._seen: dict[int, int] = {}
        self.outputs = tuple(self._add_all(output) for output in outputs)

    def _add_all(self, root: Expression) -> int:
        """Number a whole expression, iteratively: chains may be thousands long."""
        stack = [root]
        while stack:
            expression = stack[-1]
            if id(expression) in self._seen:
                stack.pop()
                continue
            operands = _operands(expression)
            missing = [o for o in operands if id(o) not in self._seen]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            args = tuple(self._seen[id(o)] for o in operands)
            self._seen[id(expression)] = self._number(self._node(expression, args))
        return self._seen[id(root)]

    def _number(self, node: Node) -> int:
        if node not in self._numbers:
            self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self._numbers[node]

    def _node(self, expression: Expression, args: tuple[int, ...]) -> Node:
        operands = [self.nodes[a] for a in args]
        level = max((o.level for o in operands), default=0)
        varies = any(o.varies for o in operands)
        if isinstance(expression, Input):
            spread = expression.extent in ("full", "row")
            payload = (expression.index, expression.extent)
            return Node("input", "input", args, payload, expression.dtype, spread, 0, 1)
        if isinstance(expression, Const):
            # The name keeps 0.0 and -0.0 apart, which compare equal.
            name, value = f"const {float(expression.value).hex()}", float(expression.value)
            return Node("const", name, args, value, expression.dtype, False, 0, 0)
        cost = sum(o.cost for o in operands if o.varies)
        if isinstance(expression, Reduce):
            check_reduction(expression.op, operands[0].dtype)
            dtype = operands[0].dtype
            return Node("reduce", expression.op, args, None, dtype, False, level + 1, cost)
        dtype = result_dtype(expression.name, [o.dtype for o in operands])
        own = FUNCTIONS[expression.name].cost if expression.name in FUNCTIONS else 1
        return Node("call", expression.name, args, None, dtype, varies, level, cost + own)

    def needed(self, roots: Iterable[int], available: Iterable[int] = ()) -> list[int]:
        """The nodes that the roots depend on, in order, stopping at those available."""
        done = set(available)
        stack = [r for r in roots if r not in done]
        found: set[int] = set()
        while stack:
            number = stack.pop()
            if number in found:
                continue
            found.add(number)
            stack.extend(a for a in self.nodes[number].args if a not in done)
        return sorted(found)

    def identity(self) -> str:
        """A text that two graphs share exactly when they compute the same."""
        lines = [f"{n.kind} {n.name} {n.args} {n.payload} {n.dtype}" for n in self.nodes]
        return "\n".join((*lines, str(self.outputs)))


def _operands(expression: Expression) -> tuple[Expression, ...]:
    if isinstance(expression, Call):
        return expression.args
    if isinstance(expression, Reduce):
        return (expression.arg,)
    return ()


def check_reduction(op: str, dtype: str) -> None:
    """Reject an unknown reduction, or one of a mask."""
    if op not in REDUCTIONS:
        raise ValueError(f"native: no reduction {op!r}; there are {', '.join(REDUCTIONS)}.")
    if dtype not in _FLOATS:
        raise TypeError(
            f"native: {op} of a {dtype} value; convert it first with call('float32', …)."
        )


_MASK_RESULT = {"lt", "le", "gt", "ge", "eq", "ne", "isnan", "and", "or", "not"}


def result_dtype(name: str, dtypes: list[str]) -> str:
    """The dtype of a call, with its operands' number and dtypes checked."""
    if name in _FLOATS:
        expected, result = 1, name
    elif name in FUNCTIONS:
        expected = FUNCTIONS[name].arity
        result = "bool" if name in _MASK_RESULT else dtypes[-1] if dtypes else ""
    else:
        raise ValueError(
            f"native: no function {name!r}; see backlit.native.kernels.vecmath.FUNCTIONS."
        )
    if len(dtypes) != expected:
        raise TypeError(f"native: {name} takes {expected} operands, got {len(dtypes)}.")
    checked = dtypes[1:] if name == "where" else dtypes
    takes_masks = name in ("and", "or", "not", *_FLOATS)
    if len(set(checked)) > 1 or ("bool" in checked and not takes_masks):
        raise TypeError(
            f"native: {name} of {', '.join(dtypes)}: operands must be of one float dtype; "
            "convert with call('float32', …) or call('float64', …)."
        )
    return result
