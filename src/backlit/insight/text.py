"""Numbers, times and tables as plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(n: float) -> str:
    """A whole number with its thousands apart; anything else with four digits.

    >>> number(307200), number(0.123456)
    ('307 200', '0.1235')
    """
    return f"{n:,}".replace(",", " ") if isinstance(n, int) else f"{n:.4g}"


def seconds(t: float) -> str:
    """A time in the unit that suits it; nothing for NaN.

    >>> seconds(0.00042), seconds(3.2e-6), seconds(1.5)
    ('420 µs', '3.2 µs', '1.5 s')
    """
    if math.isnan(t):
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if t >= size:
            return f"{t / size:.3g} {unit}"
    return f"{t * 1e6:.3g} µs"


def table(
    rows: Sequence[Sequence[str]], right: Sequence[int] = (), rules: Sequence[int] = ()
) -> list[str]:
    """Lines with aligned columns, and a rule before the rows numbered in `rules`.

    >>> print("\\n".join(table([("a", "b"), ("long", "7")], right=(1,), rules=(1,))))
    a     b
    ───────
    long  7
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        if i in rules:
            lines.append("─" * (sum(widths) + 2 * (len(widths) - 1)))
        cells = [
            cell.rjust(w) if j in right else cell.ljust(w)
            for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
