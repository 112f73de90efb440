"""What a plan consists of, for observers: its parts, what each reads, writes and computes, its
code.

The parts come from the tables that the native loop runs, not from a second account of them: the
code of a part is what the words of its entries point to.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from backlit.core.value import Node, Value
from backlit.native.machine import jit
from backlit.native.memory import read, written
from backlit.native.plan import Piece, Plan
from backlit.native.products import gemm_blocks
from backlit.native.runtime import COUNT, ENTRIES
from backlit.native.steps import Kernel, Lookup, Product, Source, Step
from backlit.native.table import Segment

# Entries that only call other code: which of their arguments are the addresses of that.
_CALLERS = {"fused": (0,), "parallel": (0,), "serial": (0,), "generated": (0,), "packed": (1, 3)}
# Where the context of a product's walk begins; it has the addresses of more code.
_CONTEXTS = {"generated": 1, "parallel": 2, "serial": 2, "packed": 5}
_HEADER = ("; ModuleID", "target ")  # lines of a module that say nothing here
_FEW = 2  # functions of a module that was made for one kernel


@dataclass(frozen=True)
class Function:
    """A loaded native function."""

    library: jit.Library
    name: str

    @property
    def ir(self) -> str:
        """Its LLVM IR: the whole module where that was made for it."""
        if self.is_whole:
            lines = self.library.text.strip().splitlines()
            return "\n".join(line for line in lines if not line.startswith(_HEADER)).strip()
        module = llvm.parse_assembly(self.library.text)
        text = str(module.get_function(self.name)).strip()
        called = [f for f in module.functions if f.is_declaration and f"@{f.name}(" in text]
        return "\n".join([*(str(f).strip() for f in called), text])

    @property
    def assembly(self) -> str:
        """Its machine code, as text."""
        text = jit.engine().assembly(self.library.text)
        if self.is_whole:
            return text.strip()
        found = re.search(rf"^_?{re.escape(self.name)}:.*?(?=^\.?Lfunc_end)", text, re.M | re.S)
        return (found.group() if found else text).strip()

    @property
    def is_whole(self) -> bool:
        """Whether its module is shown as a whole."""
        return len(self.library.exports) <= _FEW


@dataclass(frozen=True)
class Part:
    """A step of a plan.

    Attributes:
        kind: "kernel", "product" …, or "source" for what runs as NumPy source.
        size: of what it runs over, as text.
        nodes: the primitives it computes.
        bytes_read, bytes_written: each operand counted once.
        reasons: why it has no native form, if it has none.
        segment: its place among the plan's segments.
        entries: the first and the last of its entries in the segment's table.
    """

    kind: str
    size: str
    nodes: tuple[Node, ...]
    bytes_read: int
    bytes_written: int
    reasons: tuple[str, ...]
    segment: int
    entries: tuple[int, int]


def parts(plan: Plan) -> list[Part]:
    """The steps of a plan in the order in which they run."""
    found: list[Part] = []
    sources = [s for s in plan.steps if isinstance(s, Source)]
    for place, segment in enumerate(plan.segments):
        if isinstance(segment, Piece):
            found.append(_part(plan, sources.pop(0), place, (0, 0)))
            continue
        steps = segment.steps
        first = 0
        for k, step in enumerate(steps):
            if k + 1 == len(steps) or steps[k + 1] is not step:
                found.append(_part(plan, step, place, (first, k)))
                first = k + 1
    return found


def functions(plan: Plan, part: Part) -> list[Function]:
    """The native code of a part, without the loop that calls it."""
    segment = plan.segments[part.segment]
    if isinstance(segment, Piece):
        return []
    found: dict[tuple[str, str], Function] = {}
    for function, arguments in _entries(segment)[part.entries[0] : part.entries[1] + 1]:
        caller = _function(function)
        if caller is None:
            continue
        for f in _called(caller, arguments) or [caller]:
            found.setdefault((f.library.key, "" if f.is_whole else f.name), f)
    return list(found.values())


def _called(caller: Function, arguments: int) -> list[Function]:
    """The code that an entry calls, found by addresses among its arguments."""
    called = _functions(arguments, _CALLERS.get(caller.name, ()))
    if called and called[0].library.exports == gemm_blocks.EXPORTS:
        start = _CONTEXTS[caller.name]
        called += _functions(arguments, (start + place for place in gemm_blocks.CODE))
    return called


def _functions(arguments: int, places: Iterable[int]) -> list[Function]:
    words = [ctypes.c_int64.from_address(arguments + 8 * k).value for k in places]
    return [f for f in map(_function, words) if f is not None]


def _entries(segment: Segment) -> list[tuple[int, int]]:
    """(function, arguments) of each entry of a table."""
    start, count = int(segment.head[ENTRIES]), int(segment.head[COUNT])
    words = (ctypes.c_int64 * (2 * count)).from_address(start)
    return list(zip(words[::2], words[1::2], strict=True))


def _function(address: int) -> Function | None:
    found = jit.engine().find(address)
    return None if found is None else Function(*found)


def _part(plan: Plan, step: Step, segment: int, entries: tuple[int, int]) -> Part:
    return Part(
        type(step).__name__.lower(),
        _size(step),
        tuple(step.nodes) if isinstance(step, (Kernel, Product, Source)) else (step.node,),
        _bytes_read(plan, step),
        sum(v.numel * v.dtype.itemsize for v in _unique(written(step))),
        tuple(dict.fromkeys(step.reasons)) if isinstance(step, Source) else (),
        segment,
        entries,
    )


def _size(step: Step) -> str:
    if isinstance(step, Kernel):
        return f"{step.rows}×{step.cols}" if step.rows > 1 else str(step.cols)
    if isinstance(step, Product):
        return f"{_times(step.a.shape)}·{_times(step.b.shape)}"
    out = step.nodes[0].outs[0] if isinstance(step, Source) else step.out
    return _times(out.shape)


def _times(shape: Any) -> str:
    return "×".join(map(str, shape)) or "1"


def _bytes_read(plan: Plan, step: Step) -> int:
    if isinstance(step, Kernel):
        elements = {
            "full": step.rows * step.cols, "row": step.cols, "column": step.rows, "scalar": 1,
        }  # fmt: skip
        pairs = zip(step.inputs, step.extents, strict=True)
        return sum(elements[extent] * v.dtype.itemsize for v, extent in pairs)
    values = _unique(read(step, plan.lowering))
    if isinstance(step, Lookup) and step.name == "pick":  # one element of each row
        skipped = step.rows * (step.cols - 1) * step.x.value.dtype.itemsize
        return sum(v.numel * v.dtype.itemsize for v in values) - skipped
    return sum(v.numel * v.dtype.itemsize for v in values)


def _unique(values: list[Value]) -> list[Value]:
    return list({v.id: v for v in values}.values())
