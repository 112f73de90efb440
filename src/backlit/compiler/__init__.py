"""From recordings to programs that run: extraction, passes, flat source."""

from __future__ import annotations

from backlit import config
from backlit.compiler.passes import simplify
from backlit.compiler.source import Writer, move_function
from backlit.compiler.tiers import Tiered
from backlit.core.era import backend
from backlit.core.position import Position
from backlit.core.program import Program, extract
from backlit.core.registry import METHODS
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError


def build(position: Position, ids: tuple[int, ...]) -> Program:
    """The program for the live values ``ids`` of the recording that ends at ``position``."""
    program = extract(position, ids)
    if config.get("verify"):
        program.verify()
    simplify(program)
    if config.get("verify"):
        program.verify()
    program.runner = Tiered(program)
    return program


def source(*tensors: Tensor) -> str:
    """The flat NumPy source that computes ``tensors``: forward lines, then backward lines.

    Each line ends with the place it came from: the user's file and line, the modules, the op. This
    text is what the cold tier runs. The tensors must belong to one recording (one training step).

    >>> import backlit
    >>> x = backlit.tensor([1.0, 2.0], requires_grad=True)
    >>> print(backlit.source((x * x).sum()).splitlines()[6].split("#")[0].strip())
    v0 = x0 * x0

    Raises:
        ArgumentError: if a tensor was not computed, or the tensors belong to different recordings.
    """
    if not tensors:
        raise ArgumentError("source(): give at least one tensor.")
    era = tensors[0]._era
    for t in tensors:
        if t._era is None or t._var.id < 0:
            raise ArgumentError(
                f"source(): the tensor of shape {tuple(t.shape)} holds data that was given, not "
                f"computed; "
                "ask for the source of a result."
            )
        if t._era is not era:
            raise ArgumentError(
                "source(): the tensors were computed in different recordings; ask for each one's "
                "source separately."
            )
    assert era is not None
    program = extract(era.here, tuple(t._var.id for t in tensors))
    simplify(program)
    return Writer(program).write()


METHODS["source"] = source
backend.build = build  # type: ignore[method-assign]
backend.move_function = move_function  # type: ignore[method-assign]

__all__ = ["build", "source"]
