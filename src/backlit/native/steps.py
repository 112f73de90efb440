"""The steps of a lowered program, and how values are read from buffers."""

from __future__ import annotations

from dataclasses import dataclass, field

from backlit.core.value import Node, Value
from backlit.native.expression import Expression


@dataclass(frozen=True)
class Ref:
    """How a value is read from a buffer: the value whose buffer it is, shape, and strides and
    offset in elements."""

    value: Value
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def is_contiguous(self) -> bool:
        return self.strides == contiguous(self.shape) or 0 in self.shape


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array laid out row by row (0 along dimensions of size 1)."""
    out: list[int] = []
    step = 1
    for n in reversed(shape):
        out.append(0 if n == 1 else step)
        step *= n
    return tuple(reversed(out))


@dataclass
class Kernel:
    """One fused kernel over rows × cols."""

    rows: int
    cols: int
    outputs: list[Value] = field(default_factory=list)
    expressions: list[Expression] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    extents: list[str] = field(default_factory=list)  # how each input varies over rows × cols
    nodes: list[Node] = field(default_factory=list)


@dataclass
class Product:
    """A matrix product C = op(A) op(B), or a batch of them."""

    a: Ref
    b: Ref
    out: Value
    node: Node


@dataclass
class ColumnSum:
    """out[j] = Σᵢ x[i, j]."""

    x: Ref
    rows: int
    cols: int
    out: Value
    node: Node


@dataclass
class Lookup:
    """`pick` (out[i] = x[i, index[i]]) or `place`, its transpose."""

    name: str
    x: Ref
    index: Ref
    rows: int
    cols: int
    ignore: int
    out: Value
    node: Node


@dataclass
class Loop:
    """An entry of the native loop that takes the addresses of its operands, then ``words``."""

    entry: str
    operands: list[Ref]
    words: tuple[int, ...]
    out: Value
    node: Node


@dataclass
class Source:
    """Nodes that run as NumPy source."""

    nodes: list[Node]


Step = Kernel | Product | ColumnSum | Lookup | Loop | Source


def leading(ref: Ref) -> tuple[bool, int] | None:
    """(transposed, leading dimension) of a matrix that BLAS can read in place."""
    (m, n), (s, t) = ref.shape, ref.strides
    if t == 1 or n == 1:
        if s >= n or m == 1:
            return False, max(s, n, 1)
        if s == 0 and m > 1:
            return None
    if (s == 1 or m == 1) and (t >= m or n == 1):
        return True, max(t, m, 1)
    return None
