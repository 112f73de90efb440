"""Entries of the native loop that run a body chunk by chunk: over the thread pool, or in order."""

from __future__ import annotations

from backlit.native.machine import jit, threads
from backlit.native.machine.once import once
from backlit.native.machine.words import loads

# {body, count, context …}: body(context, i) for every i below count
_SOURCE = f"""
declare void @parallel_for(ptr, ptr, i64)

define i64 @parallel(ptr %a) {{
{loads("*body count")}
  %context = getelementptr i64, ptr %a, i64 2
  call void @parallel_for(ptr %body, ptr %context, i64 %count)
  ret i64 0
}}

define i64 @serial(ptr %a) {{
start:
{loads("*body count")}
  %context = getelementptr i64, ptr %a, i64 2
  br label %next

next:
  %i = phi i64 [0, %start], [%i.next, %one]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %done

one:
  call void %body(ptr %context, i64 %i)
  br label %next

done:
  ret i64 0
}}
"""


@once
def _library() -> jit.Library:
    imports = {"parallel_for": getattr(threads.pool(), "address", 0)}
    return jit.engine().load(_SOURCE, ["parallel", "serial"], imports=imports)


def parallel_address() -> int | None:
    """The entry that uses the pool; None where there is none (Windows)."""
    return _library().address("parallel") if hasattr(threads.pool(), "address") else None


def serial_address() -> int:
    """The entry that runs chunk after chunk on the calling thread."""
    return _library().address("serial")
