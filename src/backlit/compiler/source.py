"""The cold tier: a program as flat Python source over NumPy, and the function it compiles to.

What is printed is what runs: one line per node, forward lines and then backward lines, each with
the place it came from.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from math import inf, isfinite
from typing import Any

import numpy as np

from backlit.core.dtypes import bfloat16, dtype, float16
from backlit.core.primitive import Elementwise
from backlit.core.program import Program
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value
from backlit.errors import BacklitError, IndexOutOfRange

_HALF = (float16, bfloat16)
LARGE = 2**20  # bytes; temporaries of this size are given up as soon as nothing reads them


class Writer:
    """Turns a program into source text."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names: dict[int, str] = {}
        self.constants: list[str] = []
        self.namespace: dict[str, Any] = {}
        self.lines: list[str] = []
        self.nodes: dict[int, Node] = {}  # line number → node
        self._counts = {"v": 0, "g": 0, "u": 0}

    def name(self, value: Value) -> str:
        """The variable (or literal) that stands for ``value``."""
        found = self.names.get(value.id)
        if found is None:
            if isinstance(value, Constant):
                found = self.constant(value)
            elif isinstance(value, Scalar):
                found = f"s{value.index}" if value.weak else f"s{value.index}_{value.dtype.name}"
            else:
                found = f"x{value.index}" if isinstance(value, Input) else f"v{value.id}"
            self.names[value.id] = found
        return found

    def constant(self, value: Constant) -> str:
        if value.weak and value.array.ndim == 0:
            return repr(value.array.item())
        name = f"c{len(self.constants)}"
        if value.array.ndim == 0:
            self.constants.append(f"{name} = {scalar_text(value.array.item(), value.dtype)}")
        else:
            self.constants.append(
                f"# {name}: a constant {value.dtype.name} array {value.array.shape}"
            )
        self.namespace[name] = (
            value.array if value.array.ndim else value.dtype.numpy.type(value.array)
        )
        return name

    def prologue(self) -> list[str]:
        """Unpack the inputs and the Python numbers that are used."""
        used = self.program.inputs()
        arrays = {v.index: v for v in used if isinstance(v, Input)}
        lines: list[str] = []
        if arrays:
            names = [
                self.name(arrays[i]) if i in arrays else "_" for i in range(self.program.n_inputs)
            ]
            lines.append(f"    {', '.join(names)}, = inputs")
        for v in used:
            if isinstance(v, Scalar):
                text = f"scalars[{v.index}]"
                lines.append(f"    {self.name(v)} = {text if v.weak else scalar_of(text, v.dtype)}")
        return list(dict.fromkeys(lines))

    def line(self, node: Node) -> str:
        """The assignment that computes ``node``."""
        letter = {"backward": "g", "update": "u"}.get(node.where.phase, "v")
        for out in node.outs:
            self.names[out.id] = f"{letter}{self._counts[letter]}"
            self._counts[letter] += 1
        targets = ", ".join(self.names[o.id] for o in node.outs)
        if node.primitive.name == "function":  # a tuple, also of one
            targets += ","
        return f"{targets} = {self.expression(node)}"

    def expression(self, node: Node) -> str:
        card = node.primitive
        names = [self.name(a) for a in node.args]
        half = card.upcast and any(a.dtype in _HALF for a in node.args)
        if half:
            names = [
                f"{n}.astype(np.float32)" if a.dtype in _HALF else n
                for n, a in zip(names, node.args, strict=True)
            ]
        if isinstance(card, Elementwise):
            text = card.numpy_text(names)
        else:
            text = template(node, names)
        if half and len(node.outs) == 1 and node.outs[0].dtype in _HALF:
            text = f"({text}).astype({dtype_text(node.outs[0].dtype)})"
        elif half and len(node.outs) > 1:
            kinds = ", ".join(dtype_text(o.dtype) for o in node.outs)
            text = f"ref.cast({text}, ({kinds}))"
        return text

    def write(self) -> str:
        body: list[tuple[str, Node | None]] = []
        phase = ""
        ends = self.large_ends()
        for i, node in enumerate(self.program.nodes):
            if node.where.phase != phase:
                phase = node.where.phase
                body.append((f"# {phase}", None))
            body.append((self.line(node), node))
            if i in ends:
                body.append((f"del {', '.join(self.names[k] for k in ends[i])}", None))
        outputs = ", ".join(self.output(o) for o in self.program.outputs)
        prologue = self.prologue()
        head = [
            "import numpy as np",
            "from backlit.ops import reference as ref",
            *self.constants,
            "",
        ]
        lines = [*head, "def program(inputs, scalars):", *prologue]
        for text, origin in body:
            if origin is not None:
                place = str(origin.where)
                self.nodes[len(lines) + 1] = origin
                text = f"{text:<58}  # {place}" if place else text
            lines.append(f"    {text}")
        lines.append(f"    return {outputs}," if outputs else "    return ()")
        return "\n".join(lines) + "\n"

    def large_ends(self) -> dict[int, list[int]]:
        """Number of a node → large results, by id, that nothing reads after it."""
        last: dict[int, int] = {}
        for i, node in enumerate(self.program.nodes):
            for value in (*node.outs, *node.args):
                if isinstance(value, Result) and value.numel * value.dtype.itemsize >= LARGE:
                    last[value.id] = i
        for value in self.program.outputs:
            last.pop(value.id, None)
        ends: dict[int, list[int]] = {}
        for k, i in last.items():
            ends.setdefault(i, []).append(k)
        return ends

    def output(self, value: Value) -> str:
        name = self.name(value)
        return name if value.shape or isinstance(value, Input) else f"np.asarray({name})"


def template(node: Node, names: list[str]) -> str:
    """The card's NumPy template filled with operand names and attributes."""
    card = node.primitive
    fields: dict[str, Any] = {k: attribute_text(v) for k, v in node.attrs.items()}
    if card.variadic:
        fixed = len(card.operands) - 1
        fields |= dict(zip(card.operands[:fixed], names[:fixed], strict=True))
        rest = names[fixed:]
        fields[card.operands[-1][:-1]] = ", ".join(rest) + ("," if rest else "")
        fields["rest"] = rest
    else:
        fields |= dict(zip(card.operands, names, strict=True))
    out = node.outs[0]
    fields["shape"] = fields.get("shape", str(tuple(out.shape)))
    fields["out_dtype"] = dtype_text(out.dtype)
    if callable(card.numpy):
        return str(card.numpy(node, fields))
    return card.numpy.format(**fields)


def attribute_text(x: Any) -> str:
    if isinstance(x, dtype):
        return dtype_text(x)
    if isinstance(x, float) and not isfinite(x):
        return f"np.{x!r}" if x != -inf else "-np.inf"
    return repr(tuple(x)) if isinstance(x, tuple) else repr(x)


def dtype_text(d: dtype) -> str:
    return "ref.bfloat16()" if d is bfloat16 else "np.bool_" if d.name == "bool" else f"np.{d.name}"


def scalar_of(text: str, d: dtype) -> str:
    return f"ref.scalar({text}, {dtype_text(d)})"


def scalar_text(x: Any, d: dtype) -> str:
    finite = x == x and x not in (float("inf"), float("-inf"))
    literal = repr(x) if finite else f"float('{x}')"
    return (
        f"{dtype_text(d)}({literal})"
        if d is not bfloat16
        else f"np.asarray({literal}, ref.bfloat16())[()]"
    )


class Runner:
    """The compiled source of a program."""

    __slots__ = ("fn", "nodes", "source")

    def __init__(self, program: Program) -> None:
        writer = Writer(program)
        self.source = writer.write()
        self.nodes = writer.nodes
        self.fn = load(self.source, writer.namespace)

    def __call__(self, inputs: list[Any], scalars: list[Any]) -> Any:
        with np.errstate(all="ignore"):
            try:
                return self.fn(inputs, scalars)
            except Exception as error:
                raise self._explain(error) from error

    def _explain(self, error: Exception) -> Exception:
        """The same error with the user's line and the op that failed."""
        trace = error.__traceback__
        node = None
        while trace is not None:
            if trace.tb_frame.f_code is self.fn.__code__:
                node = self.nodes.get(trace.tb_lineno)
            trace = trace.tb_next
        if node is None or not isinstance(error, Exception):
            return error
        shapes = ", ".join(f"{a.dtype.name}{list(a.shape)}" for a in node.args)
        where = f" [{node.primitive.name}({shapes}), recorded at {node.where}]"
        if isinstance(error, IndexError):
            return IndexOutOfRange(f"{error}{where}")
        if isinstance(error, BacklitError):
            return type(error)(f"{error}{where}")
        return RuntimeError(f"{error}{where}")


_number = 0


def load(source: str, namespace: dict[str, Any]) -> Callable[[list[Any], list[Any]], Any]:
    """Compile ``source``; tracebacks and debuggers see its text."""
    global _number
    _number += 1
    name = f"<backlit program {_number}>"
    code = compile(source, name, "exec")
    exec(code, namespace)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    if len(linecache.cache) > _SOURCES_KEPT:
        # Copied first, and without complaint where one is gone: other threads make programs, too.
        known = [k for k in list(linecache.cache) if k.startswith("<backlit")]
        for old in known[: _SOURCES_KEPT // 2]:
            linecache.cache.pop(old, None)
    fn: Callable[[list[Any], list[Any]], Any] = namespace["program"]
    return fn


_SOURCES_KEPT = 2000


def move_function(
    nodes: list[Node], source: Value, values: list[Value]
) -> Callable[[Any, list[Any]], Any]:
    """A function that applies movement nodes to an array at once; yields the arrays of
    ``values``."""
    program = Program(nodes, tuple(values), 1)
    runner = Runner(program)
    if len(values) == 1 and isinstance(values[0], Result):
        return lambda array, scalars: runner.fn([array], scalars)[0]
    return lambda array, scalars: iter(runner.fn([array], scalars))
