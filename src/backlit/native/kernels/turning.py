"""Turning short rows into columns and back, in registers.

A kernel of W lanes that goes over rows of n ≤ W elements reads W rows and wants n columns, or has n
columns and writes W rows. The shuffles that do it take longer to compile than what is computed in
between, so all kernels call the same functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from backlit.native.kernels.vector import lane_numbers
from backlit.native.machine import jit

_ELEMENTS = {"float32": ir.FloatType(), "float64": ir.DoubleType(), "bool": ir.IntType(1)}


class Turn(NamedTuple):
    """From the first ``given`` rows of a square matrix, a vector each, to its first ``wanted``
    columns."""

    dtype: str
    width: int
    given: int
    wanted: int

    @property
    def name(self) -> str:
        return f"turn_{self.dtype}x{self.width}_{self.given}_{self.wanted}"

    def declared(self, module: Any) -> Any:
        """The function, for a module that calls it."""
        if self.name in module.globals:
            return module.globals[self.name]
        vector = ir.VectorType(_ELEMENTS[self.dtype], self.width)
        result = ir.LiteralStructType([vector] * self.wanted)
        kind = ir.FunctionType(result, [vector] * self.given)
        return ir.Function(module, kind, self.name)

    def library(self) -> jit.Library:
        """The function, compiled."""
        return jit.engine().load(self._text, [self.name], identity=f"turning\n{self.name}")

    def _text(self) -> str:
        """Blocks off the diagonal change places, from halves of the matrix down to single elements
        or, where columns become rows, the other way round; what no result needs is left out."""
        module = ir.Module(self.name)
        function = self.declared(module)
        b = ir.IRBuilder(function.append_basic_block())
        width = self.width
        steps = [1 << k for k in range(width.bit_length() - 1)]
        if self.wanted < width:
            steps.reverse()
        layers: list[dict[int, Any]] = [dict(enumerate(function.args)), *({} for _ in steps)]

        def at(layer: int, i: int) -> Any:
            if layer and i not in layers[layer]:
                step = steps[layer - 1]
                low, high = at(layer - 1, i & ~step), at(layer - 1, i | step)
                skip = 0 if i & step == 0 else step
                order = [
                    lane + skip if lane & step == 0 else width + lane - step + skip
                    for lane in range(width)
                ]
                both_missing = low is None and high is None
                layers[layer][i] = None if both_missing else merged(b, low, high, order)
            return layers[layer].get(i)

        result = ir.Constant(function.function_type.return_type, ir.Undefined)
        for i in range(self.wanted):
            result = b.insert_value(result, at(len(steps), i), i)
        b.ret(result)
        return str(module)


def merged(b: Any, low: Any, high: Any, order: list[int]) -> Any:
    """Lanes of two vectors, of which one may be missing, by their numbers."""
    nothing = ir.Constant((low or high).type, ir.Undefined)
    first, second = (nothing if v is None else v for v in (low, high))
    return b.shuffle_vector(first, second, lane_numbers(order))
