"""The source writer of the cold tier, with readable names and without its frame."""

from __future__ import annotations

import numpy as np

from backlit.compiler.source import Writer, dtype_text
from backlit.core.dtypes import bfloat16, bool_, dtype, float16
from backlit.core.era import Era
from backlit.core.expression import Expression, numpy_math
from backlit.core.primitive import Elementwise
from backlit.core.program import Program
from backlit.core.tensor import Array
from backlit.core.value import Constant, Input, Node, Number, Scalar, Value
from backlit.errors import ArgumentError

_INSIDE = frozenset({"permute", "reshape"})  # ``W.transpose((1, 0))`` reads well inside others
_ATOM, _SIGN = 100, 10  # precedence: what holds together by itself, and a minus sign
_MOST_NUMBERS = 1000  # elements of an array that is written out in the source


class FlatWriter(Writer):
    """Writes a program as one function of named variables.

    Attributes:
        gradients: values with their gradients, in the order of the reverse walk.
    """

    def __init__(self, program: Program, era: Era, names: dict[int, str]) -> None:
        super().__init__(program)
        self.era = era
        self.names = dict(names)
        self.gradients: list[tuple[Value, Value]] = []
        self._temporaries = 0
        self._inside: dict[int, Expression] = {}  # results that are written inside of others
        self._upstream: dict[int, tuple[Value, str]] = {}  # of a gradient, by its number

    def function(self, name: str, arguments: list[str], unused: list[str], out: Value) -> str:
        """The source of the function ``name``, which returns ``out`` and the gradients."""
        of = dict(self.names)
        aliases = self._aliases(of)
        lines = ["# forward", *self._statements("forward"), "# backward"]
        seed = self.gradients[0][1]
        one = self._one(seed)
        lines += [f"{self.names[seed.id]} = {one}", *aliases.get(seed.id, ())]
        lines += self._statements("backward", aliases)
        lines += [f"grad_{x} = np.zeros_like({x})" for x in unused]
        found = ", ".join(f"grad_{x}" for x in arguments)
        lines.append(f"return {self.name(out)}, ({found}{',' if len(arguments) == 1 else ''})")
        body = "\n".join(f"    {line}" for line in lines)
        data = [
            f"{self.names[v.id]} = {self._written(self.era.inputs[v.index], v.dtype)}"
            for v in self.program.inputs()
            if isinstance(v, Input) and of.get(v.id, arguments[0]) not in arguments
        ]
        head = ["import numpy as np", *data, *self.constants]
        if "ref." in body:
            head.insert(1, "from backlit.ops import reference as ref")
        imports = sum("import" in line for line in head)
        if data or self.constants:
            head.insert(imports, "")
        top = "\n".join(head)
        return f"{top}\n\n\ndef {name}({', '.join(arguments)}):\n{body}\n"

    def _one(self, seed: Value) -> str:
        """The gradient that the backward pass begins with."""
        kind = dtype_text(seed.dtype)
        if seed.shape:
            return f"np.ones({tuple(seed.shape)}, {kind})"
        backward = (n for n in self.program.nodes if n.where.phase == "backward")
        plain = all(isinstance(n.primitive, Elementwise) for n in backward)
        return "1.0" if plain else f"{kind}(1.0)"  # a Python number has no shape to change

    def _aliases(self, of: dict[int, str]) -> dict[int, list[str]]:
        """Name every gradient; the statements for those that equal another one, by its number."""
        found: dict[int, list[str]] = {}
        gradient = {v.id: g for v, g in self.gradients}
        for value, g in self.gradients:
            name = f"grad_{of[value.id]}"
            users = [n.outs[0] for n in self.program.nodes if value in n.args]
            upstream = [u for u in users if u.id in gradient]
            if g.id not in self.names:
                self.names[g.id] = name
                if len(upstream) == 1:
                    self._upstream[g.id] = (gradient[upstream[0].id], f"grad_{of[upstream[0].id]}")
                continue
            same = [f"grad_{of[u.id]}" for u in upstream if gradient[u.id] is g]
            found.setdefault(g.id, []).append(f"{name} = {(same or [self.names[g.id]])[0]}")
        return found

    def _statements(self, phase: str, aliases: dict[int, list[str]] | None = None) -> list[str]:
        lines: list[str] = []
        for node in self.program.nodes:
            if (node.where.phase == "backward") is (phase == "backward"):
                if self._fits_inside(node):
                    self._inside[node.outs[0].id] = self._expressed(node)
                    continue
                for out in node.outs:
                    if out.id not in self.names:
                        self.names[out.id] = f"t{self._temporaries}"
                        self._temporaries += 1
                targets = ", ".join(self.names[o.id] for o in node.outs)
                lines.append(f"{targets} = {self._from_upstream(node)}")
                for out in node.outs:
                    lines += (aliases or {}).get(out.id, ())
        return lines

    def _from_upstream(self, node: Node) -> str:
        """The expression of ``node``, with the upstream gradient under the name of its value.

        Several values may share one gradient (of a sum, each term does).
        """
        found = self._upstream.get(node.outs[0].id)
        if found is None:
            return self.expression(node)
        g, name = found
        usual, self.names[g.id] = self.names[g.id], name
        text = self.expression(node)
        self.names[g.id] = usual
        return text

    def _fits_inside(self, node: Node) -> bool:
        """Whether the one statement that uses a nameless result may have it written inside."""
        out = node.outs[0]
        users = [n for n in self.program.nodes if out in n.args]
        if out.id in self.names or len(users) != 1 or users[0].args.count(out) != 1:
            return False
        if node.primitive.name in _INSIDE:
            return True
        if not isinstance(node.primitive, Elementwise):
            return False
        card = users[0].primitive
        if (
            not isinstance(card, Elementwise)
            or card.scalar is None
            or out.dtype in (float16, bfloat16)
        ):
            return False
        marks = [Expression.name(f"<{i}>") for i in range(len(card.operands))]
        return str(card.scalar(numpy_math, *marks)).count(f"<{users[0].args.index(out)}>") == 1

    def expression(self, node: Node) -> str:
        return str(self._expressed(node))

    def _expressed(self, node: Node) -> Expression:
        """What computes ``node``, with the precedence of its outermost operator."""
        card = node.primitive
        half = any(a.dtype in (float16, bfloat16) for a in node.args)
        if half or not isinstance(card, Elementwise) or card.scalar is None:
            return Expression(super().expression(node))
        found = card.scalar(numpy_math, *map(self._term, node.args))
        return found if isinstance(found, Expression) else Expression(repr(found))

    def _term(self, value: Value) -> Expression:
        text = self.name(value)
        return self._inside.get(value.id) or Expression(text, _SIGN if text[0] == "-" else _ATOM)

    def name(self, value: Value) -> str:
        if value.id in self._inside:
            return str(self._inside[value.id])
        if value.id not in self.names and isinstance(value, Scalar):
            self.names[value.id] = _literal(self.era.scalars[value.index], value.dtype)
        return super().name(value)

    def constant(self, value: Constant) -> str:
        if not value.array.ndim:
            return _literal(value.array.item(), value.dtype)
        name = f"c{len(self.constants)}"
        self.constants.append(f"{name} = {self._written(value.array, value.dtype)}")
        return name

    def _written(self, array: Array, d: dtype) -> str:
        if not array.ndim:
            return _literal(array.item(), d)
        if array.size > _MOST_NUMBERS:
            raise ArgumentError(
                f"emit_flat_backprop: the function takes a tensor of shape {array.shape} from "
                "outside, which is too large to be written out; make it one of the inputs."
            )
        return f"np.array({array.tolist()}, dtype={dtype_text(d)})"


def _literal(x: Number, d: dtype) -> str:
    """The number ``x`` as source; Python numbers take the dtype of what they meet."""
    if d is bool_ or not d.is_floating_point:
        return repr(x)
    text = repr(float(x))
    return text if np.isfinite(x) else f"np.{text}" if not text.startswith("-") else "-np.inf"
