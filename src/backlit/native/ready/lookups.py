"""Entries that look up one element per row, as losses over classes do, and their transposes."""

from __future__ import annotations

from backlit.native.machine.words import loads

_KINDS = {"s": ("float", 4), "d": ("double", 8)}

# out[i] = x[i, index[i]], 0 where index[i] = ignore.
_PICK_WORDS = "*x *index *out rows cols ignore"
# step of g: 0 where all rows share one number.
_PLACE_WORDS = "*g *index *out rows cols ignore step"
_PICK = """
define i64 @{letter}pick(ptr %a) {{
start:
{pick_words}
  br label %row

row:
  %i = phi i64 [0, %start], [%i.next, %stored]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %rows
  br i1 %more, label %one, label %done

one:
  %k.at = getelementptr i64, ptr %index, i64 %i
  %k = load i64, ptr %k.at
  %o = getelementptr {type}, ptr %out, i64 %i
  %ignored = icmp eq i64 %k, %ignore
  br i1 %ignored, label %zero, label %check

zero:
  store {type} 0.0, ptr %o
  br label %stored

check:
  %inside = icmp ult i64 %k, %cols
  br i1 %inside, label %take, label %bad

bad:
  ret i64 1

take:
  %base = mul i64 %i, %cols
  %at = add i64 %base, %k
  %p = getelementptr {type}, ptr %x, i64 %at
  %v = load {type}, ptr %p
  store {type} %v, ptr %o
  br label %stored

stored:
  br label %row

done:
  ret i64 0
}}
"""

# out[i, j] = g[i] where j = index[i] and index[i] is not ignored, else 0.
_PLACE = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define i64 @{letter}place(ptr %a) {{
start:
{place_words}
  %count = mul i64 %rows, %cols
  %bytes = mul i64 %count, {align}
  call void @llvm.memset.p0.i64(ptr %out, i8 0, i64 %bytes, i1 false)
  br label %row

row:
  %i = phi i64 [0, %start], [%i.next, %stored]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %rows
  br i1 %more, label %one, label %done

one:
  %k.at = getelementptr i64, ptr %index, i64 %i
  %k = load i64, ptr %k.at
  %ignored = icmp eq i64 %k, %ignore
  br i1 %ignored, label %stored, label %check

check:
  %inside = icmp ult i64 %k, %cols
  br i1 %inside, label %put, label %bad

bad:
  ret i64 1

put:
  %base = mul i64 %i, %cols
  %at = add i64 %base, %k
  %p = getelementptr {type}, ptr %out, i64 %at
  %from = mul i64 %i, %step
  %q = getelementptr {type}, ptr %g, i64 %from
  %v = load {type}, ptr %q
  store {type} %v, ptr %p
  br label %stored

stored:
  br label %row

done:
  ret i64 0
}}
"""


def names() -> list[str]:
    """The entries that `module_text` can define: s or d, then pick or place."""
    return [letter + entry for letter in _KINDS for entry in ("pick", "place")]


def module_text(name: str) -> str:
    """The IR of one of them.

    >>> "@spick" in module_text("spick")
    True
    """
    letter, entry = name[0], name[1:]
    kind, size = _KINDS[letter]
    if entry == "pick":
        return _PICK.format(letter=letter, type=kind, pick_words=loads(_PICK_WORDS))
    words = loads(_PLACE_WORDS)
    return _PLACE.format(letter=letter, type=kind, align=size, place_words=words)
