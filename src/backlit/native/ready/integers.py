"""Whole numbers in the native loop: comparing, counting, converting, the largest of a row.

Training touches few of them (class numbers, counters), so these are plain loops, one element at a
time; what they spare is the way back to Python in the middle of a step. Arithmetic wraps around at
64 bits, as NumPy's does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from backlit.native.machine.words import loads

_COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
_ARITHMETIC = ("add", "sub", "mul")
_TYPES = {"float32": "float", "float64": "double"}

_BINARY_WORDS = "*x *y *out n sx sy"  # sx and sy: steps in elements
_BINARY = """
define i64 @{name}(ptr %a) {{
start:
{words}
  br label %loop

loop:
  %i = phi i64 [0, %start], [%i.next, %one]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %done

one:
  %i.x = mul i64 %i, %sx
  %i.y = mul i64 %i, %sy
  %p = getelementptr i64, ptr %x, i64 %i.x
  %q = getelementptr i64, ptr %y, i64 %i.y
  %u = load i64, ptr %p
  %v = load i64, ptr %q
{body}
  br label %loop

done:
  ret i64 0
}}
"""

_UNARY_WORDS = "*x *out n"
_UNARY = """
define i64 @{name}(ptr %a) {{
start:
{words}
  br label %loop

loop:
  %i = phi i64 [0, %start], [%i.next, %one]
{carried}  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %done

one:
{body}
  br label %loop

done:
{end}  ret i64 0
}}
"""

_COUNT = {
    "carried": "  %sum = phi i64 [0, %start], [%sum.next, %one]\n",
    "body": """\
  %p = getelementptr i8, ptr %x, i64 %i
  %u = load i8, ptr %p
  %true = icmp ne i8 %u, 0
  %w = zext i1 %true to i64
  %sum.next = add i64 %sum, %w""",
    "end": "  store i64 %sum, ptr %out\n",
}

_ARGMAX_WORDS = "*x *out rows cols"
# out[i] = the first j with the largest x[i, j], NaN above all.
_ARGMAX = """
define i64 @{name}(ptr %a) {{
start:
{words}
  br label %row

row:
  %i = phi i64 [0, %start], [%i.next, %row.done]
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i, %rows
  br i1 %i.more, label %row.one, label %done

row.one:
  %base = mul i64 %i, %cols
  %first.at = getelementptr {type}, ptr %x, i64 %base
  %first = load {type}, ptr %first.at
  br label %col

col:
  %j = phi i64 [1, %row.one], [%j.next, %col.one]
  %best = phi {type} [%first, %row.one], [%best.next, %col.one]
  %at = phi i64 [0, %row.one], [%at.next, %col.one]
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j, %cols
  br i1 %j.more, label %col.one, label %row.done

col.one:
  %k = add i64 %base, %j
  %p = getelementptr {type}, ptr %x, i64 %k
  %v = load {type}, ptr %p
  %above = fcmp ugt {type} %v, %best
  %known = fcmp ord {type} %best, %best
  %takes = and i1 %above, %known
  %best.next = select i1 %takes, {type} %v, {type} %best
  %at.next = select i1 %takes, i64 %j, i64 %at
  br label %col

row.done:
  %o = getelementptr i64, ptr %out, i64 %i
  store i64 %at, ptr %o
  br label %row

done:
  ret i64 0
}}
"""


def _compare(predicate: str) -> str:
    return f"""\
  %w = icmp {predicate} i64 %u, %v
  %b = zext i1 %w to i8
  %o = getelementptr i8, ptr %out, i64 %i
  store i8 %b, ptr %o"""


def _arithmetic(operation: str) -> str:
    return f"""\
  %w = {operation} i64 %u, %v
  %o = getelementptr i64, ptr %out, i64 %i
  store i64 %w, ptr %o"""


def _widen(kind: str) -> str:
    return f"""\
  %p = getelementptr i64, ptr %x, i64 %i
  %u = load i64, ptr %p
  %w = sitofp i64 %u to {kind}
  %o = getelementptr {kind}, ptr %out, i64 %i
  store {kind} %w, ptr %o"""


@functools.cache
def _entries() -> dict[str, str]:
    """The IR of every entry, by name."""
    unary, binary = {"words": loads(_UNARY_WORDS)}, {"words": loads(_BINARY_WORDS)}
    found = {"count": _UNARY.format(name="count", **unary, **_COUNT)}
    bodies: tuple[tuple[Callable[[str], str], dict[str, str]], ...] = (
        (_compare, _COMPARISONS),
        (_arithmetic, dict.fromkeys(_ARITHMETIC, "")),
    )
    for body, names in bodies:
        for short, operation in names.items():
            name = f"int_{short}"
            found[name] = _BINARY.format(name=name, body=body(operation or short), **binary)
    for dtype, kind in _TYPES.items():
        name = f"{dtype}_widen"
        found[name] = _UNARY.format(name=name, carried="", body=_widen(kind), end="", **unary)
        name = f"{dtype}_argmax"
        found[name] = _ARGMAX.format(name=name, type=kind, words=loads(_ARGMAX_WORDS))
    return found


def names() -> list[str]:
    """The entries that `module_text` can define.

    >>> sorted(names())[:4]
    ['count', 'float32_argmax', 'float32_widen', 'float64_argmax']
    """
    return list(_entries())


def module_text(name: str) -> str:
    """The IR of one of them."""
    return _entries()[name]


BINARY = frozenset((*_COMPARISONS, *_ARITHMETIC))
"""The elementwise cards on int64 that have an entry, ``int_`` and their name."""
