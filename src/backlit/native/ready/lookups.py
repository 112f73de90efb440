"""Entries that look up one element per row, as losses over classes do, and their transposes."""

from __future__ import annotations

from backlit.native.machine.words import loads

_KINDS = {"s": ("float", 4), "d": ("double", 8)}

# Goes over the rows, of which each names a column; one that it does not have ends it with 1.
_ROWS = """
define i64 @{name}(ptr %a) {{
start:
{words}
{before}  br label %row

row:
  %i = phi i64 [0, %start], [%i.next, %done.one]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %rows
  br i1 %more, label %one, label %done

one:
  %k.at = getelementptr i64, ptr %index, i64 %i
  %k = load i64, ptr %k.at
  %is.ignored = icmp eq i64 %k, %ignore
  br i1 %is.ignored, label %ignored, label %check

ignored:
{ignored}  br label %done.one

check:
  %inside = icmp ult i64 %k, %cols
  br i1 %inside, label %found, label %bad

bad:
  ret i64 1

found:
  %base = mul i64 %i, %cols
  %at = add i64 %base, %k
{found}  br label %done.one

done.one:
  br label %row

done:
  ret i64 0
}}
"""

# out[i] = x[i, index[i]], 0 where index[i] = ignore.
_PICK = {
    "words": loads("*x *index *out rows cols ignore"),
    "before": "",
    "ignored": """\
  %o.ignored = getelementptr {type}, ptr %out, i64 %i
  store {type} 0.0, ptr %o.ignored
""",
    "found": """\
  %p = getelementptr {type}, ptr %x, i64 %at
  %v = load {type}, ptr %p
  %o = getelementptr {type}, ptr %out, i64 %i
  store {type} %v, ptr %o
""",
}

# out[i, j] = g[i] where j = index[i] and index[i] is not ignored, else 0. step of g: 0 where all
# rows share one number.
_PLACE = {
    "words": loads("*g *index *out rows cols ignore step"),
    "before": """\
  %count = mul i64 %rows, %cols
  %bytes = mul i64 %count, {size}
  call void @llvm.memset.p0.i64(ptr %out, i8 0, i64 %bytes, i1 false)
""",
    "ignored": "",
    "found": """\
  %p = getelementptr {type}, ptr %out, i64 %at
  %from = mul i64 %i, %step
  %q = getelementptr {type}, ptr %g, i64 %from
  %v = load {type}, ptr %q
  store {type} %v, ptr %p
""",
}
_DECLARED = "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"


def names() -> list[str]:
    """The entries that `module_text` can define: s or d, then pick or place."""
    return [letter + entry for letter in _KINDS for entry in ("pick", "place")]


def module_text(name: str) -> str:
    """The IR of one of them.

    >>> "@spick" in module_text("spick")
    True
    """
    kind, size = _KINDS[name[0]]
    parts = _PICK if name[1:] == "pick" else _PLACE
    filled = {key: part.format(type=kind, size=size) for key, part in parts.items()}
    return _DECLARED + _ROWS.format(name=name, **filled)
