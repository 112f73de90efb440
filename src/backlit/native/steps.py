"""The steps of a lowered program, and how values are read from buffers."""

from __future__ import annotations

from dataclasses import dataclass, field

from backlit.core.value import Constant, Node, Scalar, Value
from backlit.native.kernels.expression import Expression


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
    skips: list[int] = field(default_factory=list)  # elements before the first that is read
    nodes: list[Node] = field(default_factory=list)


@dataclass
class Product:
    """A matrix product C = op(A) op(B), or a batch of them.

    finish: what is computed from C, tile by tile, while it is in the cache.
    sums: whose buffer C is in: that of ``out``, or if nothing else reads that, of a result of the
        finish.
    """

    a: Ref
    b: Ref
    out: Value
    node: Node
    finish: Kernel | None = None
    sums: Value = field(init=False)

    def __post_init__(self) -> None:
        self.sums = self.out

    @property
    def nodes(self) -> list[Node]:
        return [self.node, *(self.finish.nodes if self.finish else [])]


@dataclass
class ColumnReduction:
    """out[o, j] = the sum, amax or amin over i of x[o, i, j]."""

    name: str
    x: Ref
    outer: int
    rows: int
    cols: int
    out: Value
    node: Node


@dataclass
class Part:
    """What one copy writes: `source` goes to `offset` and `strides` of the output, in elements.

    moves: numbers known at run time, each with its steps in the source and in the output, and the
    most that it may be.
    """

    source: Ref
    strides: tuple[int, ...]
    offset: int = 0
    moves: tuple[tuple[Value, int, int, int], ...] = ()


@dataclass
class Copy:
    """Elements moved as they are, part after part."""

    parts: list[Part]
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
    """An entry of the native loop that takes the addresses of its operands, then ``words``.

    limit: what its indices must be below; None if it has none and cannot fail.
    """

    entry: str
    operands: list[Ref]
    words: tuple[int, ...]
    out: Value
    node: Node
    limit: int | None = None


@dataclass
class Random:
    """Uniform numbers in [0, 1) from a seed and an offset."""

    seed: Scalar | Constant
    offset: Scalar | Constant
    out: Value
    node: Node


@dataclass
class Source:
    """Nodes that run as NumPy source, and for each of them why."""

    nodes: list[Node]
    reasons: list[str] = field(default_factory=list)


Step = Kernel | Product | ColumnReduction | Copy | Lookup | Loop | Random | Source


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
