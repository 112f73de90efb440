"""Kernels as their users see them: a name made of ops, costs, source lines, and the code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backlit.core.op import OpName
from backlit.core.value import Node, Where
from backlit.insight.text import table
from backlit.insight.work import flops_of

WIDTH = 100  # columns of a printed table
_LINES_WIDTH = 26
_NAME_WIDTH = 18  # at least
_PHASES = {"forward": "fwd", "backward": "bwd", "update": "upd"}


@dataclass(frozen=True)
class Kernel:
    """What runs in one go: a fused native kernel, a matrix product, or a piece of NumPy source.

    Attributes:
        name: the ops it computes, and what they run over.
        kind: "kernel", "product", … as in the native tier, or "source" for NumPy source.
        phase: "forward", "backward", "update", or several of them.
        where: the places in the user's code that it comes from, each once.
        bytes_read, bytes_written: of one run; each operand is counted once.
        flops: floating-point operations of one run.
        seconds: time of one run; NaN if it was not measured.
        reasons: why it runs as NumPy source, if it does.
    """

    name: str
    kind: str
    phase: str
    where: tuple[Where, ...]
    bytes_read: int
    bytes_written: int
    flops: int
    seconds: float = math.nan
    reasons: tuple[str, ...] = ()
    _functions: Callable[[], Sequence[Any]] = field(default=tuple, repr=False, compare=False)

    @property
    def key(self) -> tuple[Any, ...]:
        """What two kernels have in common that do the same for the same lines."""
        costs = (self.bytes_read, self.bytes_written, self.flops)
        return (self.name, self.kind, self.phase, self.lines, *costs)

    @property
    def bytes_per_second(self) -> float:
        """Bytes read and written over the time."""
        return (self.bytes_read + self.bytes_written) / self.seconds

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations over the time."""
        return self.flops / self.seconds

    @property
    def lines(self) -> str:
        """The user's source lines, as ``train.py:12,15 layers.0``.

        >>> x = backlit.ones(3)
        >>> backlit.program(x * 2).kernels()[0].lines.split(":")[1].isdigit()
        True
        """
        return lines_of(self.where)

    def ir(self) -> str:
        """The LLVM IR that it was compiled from; a comment says why if there is none."""
        return self._code("ir")

    def asm(self) -> str:
        """Its machine code as assembly; a comment says why if there is none."""
        return self._code("assembly")

    def _code(self, attribute: str) -> str:
        head = f"; {self.name}  ({self.lines})" if self.lines else f"; {self.name}"
        parts = [head, *(f"; {reason}" for reason in self.reasons)]
        found = self._functions()
        declared: set[str] = set()  # once, where functions of several modules call the same
        for function in found:
            for line in getattr(function, attribute).splitlines():
                if not line.startswith("declare") or line not in declared:
                    parts.append(line)
                    declared.add(line)
        if not found and not self.reasons:
            parts.append("; it runs as NumPy source")
        return "\n".join(parts) + "\n"


def kernel_of(
    nodes: Sequence[Node],
    kind: str,
    size: str,
    bytes_moved: tuple[int, int],
    reasons: tuple[str, ...] = (),
    functions: Callable[[], Sequence[Any]] = tuple,
) -> Kernel:
    """The kernel that computes ``nodes``."""
    return Kernel(
        f"{' '.join(ops_of(nodes))} {size}".strip(),
        kind,
        "+".join(p for p in _PHASES if any(n.where.phase == p for n in nodes)),
        tuple({str(n.where): n.where for n in nodes}.values()),
        *bytes_moved,
        sum(map(flops_of, nodes)),
        reasons=reasons,
        _functions=functions,
    )


def ops_of(nodes: Iterable[Node]) -> list[str]:
    """The names of the ops, each once, in the order in which they come."""
    return list(dict.fromkeys(n.primitive.name for n in nodes))


def lines_of(places: Iterable[Where]) -> str:
    """Files and lines, then the modules if there is one such place only."""
    lines: dict[str, set[int]] = {}
    modules: set[str] = set()
    for where in places:
        if where.line:
            name = where.file.replace("\\", "/").rsplit("/", 1)[-1]
            lines.setdefault(name, set()).add(where.line)
        inside = [s for s in where.scope if not isinstance(s, OpName) and s[0] != "∂"]
        modules.add("/".join(inside))
    text = " ".join(f"{f}:{','.join(map(str, sorted(n)))}" for f, n in lines.items())
    return f"{text} {modules.pop()}".strip() if len(modules) == 1 else text


def short(text: str, most: int) -> str:
    """``text`` in at most so many characters.

    >>> short("matmul add relu", 9)
    'matmul a…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def decimals(x: float) -> str:
    """Three digits or more, at most two of them decimals; nothing for what rounds to nothing.

    >>> decimals(1234.5), decimals(12.34), decimals(1.234), decimals(0.001)
    ('1234', '12.3', '1.23', '')
    """
    if not math.isfinite(x) or x < 0.005:
        return ""
    return f"{x:.{0 if x >= 100 else 1 if x >= 10 else 2}f}"


def phase_text(phase: str) -> str:
    """A phase in three letters, several as ``f+b``.

    >>> phase_text("backward"), phase_text("forward+backward")
    ('bwd', 'f+b')
    """
    parts = phase.split("+")
    return _PHASES.get(phase, "") if len(parts) == 1 else "+".join(p[0] for p in parts)


def fitted(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose first column (names) and last column (lines) are cut to fit into `WIDTH`."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    free = WIDTH - sum(widths[1:-1]) - 2 * (len(widths) - 1)
    for_lines = min(widths[-1], max(_LINES_WIDTH, free - widths[0]), max(8, free - _NAME_WIDTH))
    shown = [
        (short(row[0], free - for_lines), *row[1:-1], short(row[-1], for_lines)) for row in rows
    ]
    return table([header, *shown], range(2, len(header) - 1), rules=(1,))


class Kernels(tuple[Kernel, ...]):
    """Kernels in the order in which they run; printed as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        header = ("kernel", "", "µs", "kB in", "kB out", "FLOPs", "GB/s", "GF/s", "lines")
        rows = [
            (
                k.name, phase_text(k.phase), decimals(k.seconds * 1e6),
                decimals(k.bytes_read / 1e3), decimals(k.bytes_written / 1e3), count(k.flops),
                decimals(k.bytes_per_second / 1e9), decimals(k.flops_per_second / 1e9), k.lines,
            )
            for k in self
        ]  # fmt: skip
        return "\n".join(fitted(header, rows))

    __repr__ = __str__


def count(n: int) -> str:
    """A count in thousands, millions or billions.

    >>> count(0), count(640), count(12_845_056)
    ('', '640', '12.8 M')
    """
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= factor:
            return f"{n / factor:.3g} {unit}"
    return str(n or "")
