"""An entry of the native loop that runs a body in chunks over the thread pool."""

from __future__ import annotations

import functools

from backlit.native import jit, threads

# {body, count, context …}: body(context, i) for every i below count
_SOURCE = """
declare void @parallel_for(ptr, ptr, i64)

define i64 @parallel(ptr %a) {
  %body = load ptr, ptr %a
  %count.at = getelementptr i64, ptr %a, i64 1
  %count = load i64, ptr %count.at
  %context = getelementptr i64, ptr %a, i64 2
  call void @parallel_for(ptr %body, ptr %context, i64 %count)
  ret i64 0
}
"""


@functools.cache
def _library() -> jit.Library:
    imports = {"parallel_for": getattr(threads.pool(), "address", 0)}
    return jit.engine().load(_SOURCE, ["parallel"], imports=imports)


def parallel_address() -> int | None:
    """The entry's address; None where there is no pool (Windows)."""
    return _library().address("parallel") if hasattr(threads.pool(), "address") else None
