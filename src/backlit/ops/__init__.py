"""The op library: one file per family; importing it binds the methods of `Tensor`."""

from __future__ import annotations

from backlit.ops import access, elementwise, linalg, movement, reduce
from backlit.ops.bind import bind

bind()

__all__ = ["access", "elementwise", "linalg", "movement", "reduce"]
