"""LLVM text that reads the words of a table: what every entry of the native loop begins with."""

from __future__ import annotations


def loads(fields: str, table: str = "a") -> str:
    """The lines that load the words at ``%table`` into registers, in order.

    Args:
        fields: names, one per word: ``*name`` is an address, ``name:i32`` the lower half of a word,
            any other a whole number.

    >>> print(loads("*x n m:i32"))
      %x = load ptr, ptr %a
      %n.at = getelementptr i64, ptr %a, i64 1
      %n = load i64, ptr %n.at
      %m.at = getelementptr i64, ptr %a, i64 2
      %m = load i32, ptr %m.at
    """
    lines = []
    for k, field in enumerate(fields.split()):
        name, _, kind = field.removeprefix("*").partition(":")
        kind = kind or ("ptr" if field.startswith("*") else "i64")
        at = table
        if k:
            at = f"{name}.at"
            lines.append(f"  %{at} = getelementptr i64, ptr %{table}, i64 {k}")
        lines.append(f"  %{name} = load {kind}, ptr %{at}")
    return "\n".join(lines)
