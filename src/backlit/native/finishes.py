"""Kernels that join the product they read: bias and activation, the gradient of an activation.

Such a kernel runs tile by tile as the product's *finish*, on sums that are still in the cache, and
on the threads that the product is shared out to. The product moves down to the kernel if nothing
reads it in between, else the kernel moves up, if what else it reads is there by then.
"""

from __future__ import annotations

from dataclasses import replace

from backlit.core.value import Input
from backlit.native.kernels.expression import Graph
from backlit.native.kernels.vecmath import FUNCTIONS
from backlit.native.lower import Lowering
from backlit.native.memory import read, written
from backlit.native.products import dispatch as products
from backlit.native.products.batches import batch_of, sizes_of
from backlit.native.steps import Kernel, Product, Step

_MOST_LARGE = 1  # operands as large as the product: more, as of an update, arrive better in order
_MOST_COST = 40  # vector instructions per element: what is dearer gains little and compiles long


def with_finishes(steps: list[Step], lowering: Lowering) -> list[Step]:
    """``steps`` with kernels joined to products where they can be."""
    return _Joining(steps, lowering).run()


class _Joining:
    def __init__(self, steps: list[Step], lowering: Lowering) -> None:
        self.steps: list[Step | None] = list(steps)
        self.lowering = lowering
        self.returned = {lowering.ref(o).value.id for o in lowering.program.outputs}
        self.made: dict[int, int] = {}  # value id → the step that computes it
        self.readers: dict[int, set[int]] = {}  # value id → the steps that read it
        for i, step in enumerate(steps):
            self._note(i, step)

    def _note(self, i: int, step: Step) -> None:
        for v in written(step):
            self.made[v.id] = i
        for v in read(step, self.lowering):
            self.readers.setdefault(v.id, set()).add(i)

    def run(self) -> list[Step]:
        for j, step in enumerate(self.steps):
            if isinstance(step, Kernel) and _is_finish(step):
                sources = {self.made[v.id] for v in step.inputs if v.id in self.made}
                for i in sorted(sources, reverse=True):
                    if self._joined(i, j, step):
                        break
        return [step for step in self.steps if step is not None]

    def _joined(self, i: int, j: int, kernel: Kernel) -> bool:
        """Join kernel j to product i, if that is possible."""
        product = self.steps[i]
        if not isinstance(product, Product) or not _fits(product, kernel):
            return False
        out = product.out
        readers = self.readers[out.id] - {j}
        if all(r > j for r in readers):
            place = j
        elif all(self.made.get(v.id, -1) < i for v in kernel.inputs if v is not out):
            place = i
        else:
            return False
        joined = replace(product, finish=kernel)
        if not readers and out.id not in self.returned:
            joined.sums = kernel.outputs[0]
        for old in (i, j):
            self.steps[old] = None
        for v in read(product, self.lowering):
            self.readers[v.id].discard(i)
        for v in kernel.inputs:
            self.readers[v.id].discard(j)
        self.steps[place] = joined
        self._note(place, joined)
        return True


def _is_finish(kernel: Kernel) -> bool:
    """Whether a product's kernel could compute this, were it of the right size."""
    graph = Graph(kernel.expressions)
    cost = sum(FUNCTIONS[n.name].cost for n in graph.nodes if n.name in FUNCTIONS)
    return (
        cost <= _MOST_COST
        and not any(n.kind == "reduce" for n in graph.nodes)
        and all(graph.nodes[o].varies for o in graph.outputs)
    )


def _fits(product: Product, kernel: Kernel) -> bool:
    """Whether the kernel runs over the elements of the product as they lie in memory."""
    if batch_of(product.a, product.b) or product.finish is not None:
        return False
    out = product.out
    sizes = sizes_of(product)
    m, n = sizes.m, sizes.n
    is_same = (kernel.rows, kernel.cols) == (m, n)
    is_flat = set(kernel.extents) <= {"full", "scalar"} and kernel.rows * kernel.cols == m * n
    pairs = zip(kernel.inputs, kernel.extents, strict=True)
    large = [v for v, extent in pairs if extent == "full" and v is not out]
    dtypes = {v.dtype for v in (*kernel.inputs, *kernel.outputs)}
    read = [
        (extent, skip)
        for v, extent, skip in zip(kernel.inputs, kernel.extents, kernel.skips, strict=True)
        if v is out
    ]
    return (
        (is_same or is_flat)
        and dtypes == {out.dtype}
        and read == [("full", 0)]
        and len(large) <= _MOST_LARGE
        and not any(isinstance(v, Input) for v in large)
        and products.takes_finish(sizes)
    )
