"""From recordings to programs that run: extraction, passes, flat source."""

from __future__ import annotations

from backlit.compiler.source import Runner, move_function
from backlit.core.era import backend
from backlit.core.position import Position
from backlit.core.program import Program, extract


def build(position: Position, ids: tuple[int, ...]) -> Program:
    """The program for the live values ``ids`` of the recording that ends at ``position``."""
    program = extract(position, ids)
    program.runner = Runner(program)
    return program


backend.build = build  # type: ignore[method-assign]
backend.move_function = move_function  # type: ignore[method-assign]
