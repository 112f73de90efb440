"""One recorded node as functions of arrays: forward, backward, and its local derivatives.

The functions are made from the node's card by the ways of the compiler: what is looked at here is
what the framework runs.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from backlit.autograd.sweep import Sweep, tensor_math
from backlit.compiler.source import Runner
from backlit.core.era import local
from backlit.core.position import Position
from backlit.core.primitive import Elementwise
from backlit.core.program import Program
from backlit.core.tensor import Array, Tensor, handle
from backlit.core.trace import Tracer
from backlit.core.value import Constant, Input, Node, Number, Result, Scalar, Value, meta_of

Arrays = list[Any]


class NodeCode:
    """A node cut out of its recording; its operands, outputs and upstream gradients are inputs.

    Inputs are numbered: operands first, then outputs, then the upstream gradients of the outputs.
    """

    def __init__(self, node: Node, scalars: list[Number]) -> None:
        self.scalars = scalars
        n, m = len(node.args), len(node.outs)
        values = (*node.args, *node.outs)
        start = max((v.id for v in values), default=-1) + 1
        args = tuple(
            a
            if isinstance(a, (Scalar, Constant))
            else Input(start + i, meta_of(a.shape, a.dtype, a.requires_grad), i)
            for i, a in enumerate(node.args)
        )
        self.node = Node(node.primitive, args, node.attrs, node.where)
        self.node.outs = tuple(
            Result(start + n + i, o.meta, self.node, i) for i, o in enumerate(node.outs)
        )
        self.first_free = start + n + 3 * m
        plain = [meta_of(o.shape, o.dtype, False) for o in node.outs]
        self.known = [Input(start + n + m + i, k, n + i) for i, k in enumerate(plain)]
        self.upstream = [Input(start + n + 2 * m + i, k, n + m + i) for i, k in enumerate(plain)]
        self.n_inputs = n + 2 * m

    @functools.cached_property
    def _forward(self) -> Runner:
        return Runner(Program([self.node], self.node.outs, self.n_inputs))

    def forward(self, operands: Arrays) -> Arrays:
        """The outputs for these operands (a number's or constant's place is ignored)."""
        filled = [*operands, *[None] * (self.n_inputs - len(operands))]
        return [np.asarray(y) for y in self._forward(filled, self.scalars)]

    def backward(self, operands: Arrays, outputs: Arrays, upstream: Arrays) -> dict[int, Array]:
        """The gradient of each differentiable operand, given those of the outputs."""
        positions, runner = self._backward
        found = runner([*operands, *outputs, *upstream], self.scalars)
        return {i: np.asarray(g) for i, g in zip(positions, found, strict=True)}

    @functools.cached_property
    def _backward(self) -> tuple[list[int], Runner]:
        def trace(sweep: Sweep, tracer: Any) -> list[tuple[int, Tensor]]:
            return sweep.apply(
                self.node, {g.index - self._g0: handle(tracer, g) for g in self.upstream}
            )

        return self._traced(trace)

    @property
    def _g0(self) -> int:
        return len(self.node.args) + len(self.node.outs)

    def local(self, operands: Arrays, outputs: Arrays) -> dict[int, Array]:
        """For an elementwise node: ∂out/∂operand, element by element, in the output's shape."""
        positions, runner = self._local
        out = self.node.outs[0]
        found = runner([*operands, *outputs, None], self.scalars)
        return {
            i: np.broadcast_to(np.asarray(d, out.dtype.numpy), tuple(out.shape))
            for i, d in zip(positions, found, strict=True)
        }

    @functools.cached_property
    def _local(self) -> tuple[list[int], Runner]:
        card = self.node.primitive
        assert isinstance(card, Elementwise)

        def trace(sweep: Sweep, tracer: Any) -> list[tuple[int, Tensor]]:
            found: list[tuple[int, Tensor]] = []
            for i, (arg, rule) in enumerate(zip(self.node.args, card.derivatives, strict=True)):
                if arg.requires_grad and rule is not None:
                    names = card.rule_names[i]
                    d = rule(tensor_math, *(sweep.argument(self.node, i, k, {}) for k in names))
                    found.append((i, d if isinstance(d, Tensor) else tracer.constant(d)))
            return found

        return self._traced(trace)

    def _traced(self, trace: Any) -> tuple[list[int], Runner]:
        """What ``trace`` returns, as a function of the node's inputs."""
        position = Position(None, None, False)
        position.n_values = self.first_free
        tracer = Tracer(position, (), "backward")
        of_out = {o.id: k for o, k in zip(self.node.outs, self.known, strict=True)}

        def lift(value: Value) -> Tensor:
            return handle(tracer, of_out.get(value.id, value))  # type: ignore[arg-type]

        outer, local.era = local.era, tracer
        try:
            found = trace(Sweep(lift, frozenset(), {}), tracer)
        finally:
            local.era = outer
        outputs = tuple(g._var for _, g in found)
        return [i for i, _ in found], Runner(Program(tracer.nodes, outputs, self.n_inputs))
