"""Where the values of a lowered program live: one arena, and arrays that inputs leave behind.

Temporaries share an arena; which bytes are free when is worked out once. A result may be written
into the array of an input that nobody else holds any more (a *donation*), so that an optimizer's
step writes its parameters in place. Donated arrays are overwritten, so a run that fails must not
have begun to: donations are made only by kernels after the last step that can fail.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np

from backlit.core.program import Program
from backlit.core.value import Input, Value
from backlit.native.lower import Lowering
from backlit.native.ready import integers
from backlit.native.steps import (
    ColumnReduction,
    Copy,
    Kernel,
    Lookup,
    Loop,
    Product,
    Random,
    Source,
    Step,
)

ALIGNMENT = 64
_NEAR = 64  # nodes behind a result that are looked at for an array it may have
_WITH_REDUCTIONS = frozenset({"sum", "amax", "amin", "softmax", "log_softmax"})


def written(step: Step) -> list[Value]:
    """The values that ``step`` computes into buffers."""
    if isinstance(step, Kernel):
        return step.outputs
    if isinstance(step, Source):
        return [o for n in step.nodes for o in n.outs]
    if isinstance(step, Product) and step.finish is not None:
        results = step.finish.outputs
        return results if step.sums in results else [step.out, *results]
    return [step.out]


def read(step: Step, lowering: Lowering) -> list[Value]:
    """The values whose buffers ``step`` reads, with repetitions."""
    if isinstance(step, Kernel):
        return step.inputs
    if isinstance(step, Product):
        operands = step.finish.inputs if step.finish else []
        return [step.a.value, step.b.value, *(v for v in operands if v is not step.out)]
    if isinstance(step, Lookup):
        return [step.x.value, step.index.value]
    if isinstance(step, ColumnReduction):
        return [step.x.value]
    if isinstance(step, Loop):
        return [r.value for r in step.operands]
    if isinstance(step, Copy):
        moved = [lowering.ref(v).value for p in step.parts for v, *_ in p.moves]
        return [*(p.source.value for p in step.parts), *moved]
    if isinstance(step, Random):
        return [step.seed, step.offset]
    return [lowering.ref(a).value for n in step.nodes for a in n.args]


def can_fail(step: Step) -> bool:
    """Whether a run may end in ``step`` with an error."""
    return isinstance(step, (Source, Lookup)) or (isinstance(step, Loop) and step.limit is not None)


@dataclass(frozen=True)
class Life:
    """A temporary and the first and last step that need its buffer."""

    value: Value
    first: int
    last: int

    @property
    def size(self) -> int:
        """Bytes it takes in the arena."""
        bytes_needed = max(self.value.numel, 1) * self.value.dtype.itemsize
        return -(-bytes_needed // ALIGNMENT) * ALIGNMENT


def lives(steps: list[Step], lowering: Lowering, leaving: Container[int]) -> list[Life]:
    """The temporaries of a program; values in ``leaving`` have arrays of their own."""
    found: dict[int, Life] = {}
    for i, step in enumerate(steps):
        for v in written(step):
            if v.id not in leaving:
                found[v.id] = Life(v, i, i)
        for v in read(step, lowering):
            if v.id in found:
                found[v.id] = Life(v, found[v.id].first, i)
    return list(found.values())


def place(temporaries: list[Life]) -> tuple[dict[int, int], int]:
    """Offsets by value id, and the arena's size: largest first, each at the lowest free place."""
    ordered = sorted(temporaries, key=lambda life: -life.size)
    first = np.array([life.first for life in ordered], np.int64)
    last = np.array([life.last for life in ordered], np.int64)
    begin, end = np.zeros((2, len(ordered)), np.int64)
    offsets: dict[int, int] = {}
    for i, life in enumerate(ordered):
        together = np.flatnonzero((first[:i] <= life.last) & (last[:i] >= life.first))
        together = together[np.argsort(begin[together], kind="stable")]
        taken = np.maximum.accumulate(end[together])  # up to where, before each gap
        gaps = begin[together] - np.concatenate(([0], taken[:-1]))
        fits = np.flatnonzero(gaps >= life.size)
        offset = int(taken[-1]) if taken.size else 0
        if fits.size:
            offset = int(taken[fits[0] - 1]) if fits[0] else 0
        begin[i], end[i] = offset, offset + life.size
        offsets[life.value.id] = offset
    return offsets, int(end.max(initial=0))


def updates_last(steps: list[Step], lowering: Lowering) -> list[Step]:
    """``steps`` with those that nothing reads from after the last step that can fail.

    Only there may they write into the arrays of inputs.
    """
    last = max((i for i, step in enumerate(steps) if can_fail(step)), default=-1)
    needed = {v.id for step in steps for v in read(step, lowering)}

    def moves(i: int, step: Step) -> bool:
        if i >= last or not isinstance(step, (Kernel, Loop)) or can_fail(step):
            return False
        return needed.isdisjoint(v.id for v in written(step))

    moved = [step for i, step in enumerate(steps) if moves(i, step)]
    return [step for i, step in enumerate(steps) if not moves(i, step)] + moved


def donations(
    program: Program,
    steps: list[Step],
    lowering: Lowering,
    out_index: Mapping[int, int],
    returned: Container[int],
) -> list[tuple[int, int]]:
    """(output, input) pairs where the output may be written into the input's array.

    The output is computed from the input, in as few nodes as any that could have the array: so each
    of a tensor's values takes the place of the one before. A kernel writes it, and no earlier step
    can fail later. Steps before have read the input, or that kernel is the last to do so, element
    by element; one with reductions, which goes over its rows more than once, may have but one
    number per row of it: those it reads first. The input is neither returned nor kept for a
    backward pass.
    """
    last_read = {v.id: i for i, step in enumerate(steps) for v in read(step, lowering)}
    first = max((i for i, step in enumerate(steps) if can_fail(step)), default=-1) + 1
    candidates: list[tuple[int, Value, Input]] = []
    for i, step in enumerate(steps[first:], first):
        if not isinstance(step, (Kernel, Loop)):
            continue
        for out in written(step):
            if out.id not in out_index:
                continue
            for distance, v in _origins(out, lowering):
                is_free = v.index not in program.kept_inputs and v.id not in returned
                is_read = last_read[v.id] < i or (
                    last_read[v.id] == i and _element_by_element(step, v)
                )
                if is_free and is_read and v.shape == out.shape and v.dtype is out.dtype:
                    candidates.append((distance, out, v))
    found: dict[int, int] = {}
    for _, out, v in sorted(candidates, key=lambda candidate: candidate[0]):
        if out_index[out.id] not in found and v.index not in found.values():
            found[out_index[out.id]] = v.index
    return list(found.items())


def _origins(out: Value, lowering: Lowering) -> list[tuple[int, Input]]:
    """Inputs from which ``out`` is computed element by element, and in how many nodes."""
    found: list[tuple[int, Input]] = []
    known, layer, distance = {out.id}, [out], 0
    while layer and len(known) < _NEAR:
        distance += 1
        made_by = (lowering.nodes[v.id] for v in layer if v.id in lowering.nodes)
        args = {a.id: a for node in made_by for a in node.args if a.numel == out.numel}
        layer = [a for a in args.values() if a.id not in known]
        known.update(args)
        found += [(distance, a) for a in layer if isinstance(a, Input)]
    return found


def _element_by_element(step: Kernel | Loop, v: Value) -> bool:
    """Whether the step reads ``v`` in one way only, and each element before it writes there."""
    if isinstance(step, Loop):
        refs = [r for r in step.operands if r.value.id == v.id]
        is_whole = len(refs) == 1 and refs[0].is_contiguous and not refs[0].offset
        return is_whole and step.node.primitive.name in integers.BINARY
    extents = [e for x, e in zip(step.inputs, step.extents, strict=True) if x.id == v.id]
    if any(skip for x, skip in zip(step.inputs, step.skips, strict=True) if x.id == v.id):
        return False
    is_number = extents == ["scalar"] and v.numel == 1
    return is_number or extents == (["column"] if _has_reduction(step) else ["full"])


def _has_reduction(step: Kernel) -> bool:
    """Whether the kernel makes more than one pass over its operands."""
    return any(n.primitive.name in _WITH_REDUCTIONS for n in step.nodes)
