"""Text in columns, and arrays in a few characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit.insight.formula import number

_FEW = (1, 6, 4)  # elements printed of arrays of 0, 1, 2 dimensions; others give their norm


def width(text: str) -> int:
    """Characters that take room: bars over letters do not.

    >>> width("ȳ"), width("z̄")
    (1, 1)
    """
    return sum(not unicodedata.combining(c) for c in text)


def padded(text: str, to: int) -> str:
    return text + " " * (to - width(text))


def columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Lines in which the columns of ``rows`` stand below each other; empty columns are left out."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    body = [max(map(width, column)) for column in zip(*rows[1:], strict=True)] or widths
    kept = [i for i, w in enumerate(body) if w]
    return [gap.join(padded(row[i], widths[i]) for i in kept).rstrip() for row in rows]


def shown(x: Any) -> str:
    """An array in a few characters: its numbers if they are few, else its norm.

    >>> import numpy as np
    >>> shown(np.array([1.0, 2.5])), shown(np.ones((3, 3)))
    ('[1, 2.5]', 'norm 3')
    """
    if x is None:
        return ""
    array = np.asarray(x)
    if array.ndim >= len(_FEW) or array.size > _FEW[array.ndim]:
        return f"norm {number(float(np.linalg.norm(array.astype(np.float64).ravel())))}"
    return _nested(array.astype(np.float64).tolist())


def _nested(x: Any) -> str:
    return f"[{', '.join(map(_nested, x))}]" if isinstance(x, list) else number(x)


def equals(x: Any) -> str:
    """``= value``, or the norm in parentheses.

    >>> import numpy as np
    >>> equals(np.array(2.0)), equals(np.ones((3, 3)))
    ('= 2', '(norm 3)')
    """
    text = shown(x)
    return f"({text})" if text.startswith("norm") else f"= {text}"


def size(shape: Sequence[int]) -> str:
    """A shape as ``[4×3]``; nothing for a scalar."""
    return f"[{'×'.join(map(str, shape))}]" if shape else ""
