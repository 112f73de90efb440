"""Programs: what a flush runs."""

from __future__ import annotations

from typing import Any

from backlit.core.position import Position
from backlit.core.value import Constant, Input, Node, Result, Scalar, Value
from backlit.errors import VerificationError


class Program:
    """A list of nodes in static single assignment, with the values it returns.

    Attributes:
        nodes: in order of computation; every argument is defined before it is used.
        outputs: the values computed for live tensors, then those saved for a backward pass.
        tracked: positions among the live tensors that have a history after the flush.
        saved: ids of the values kept for backward.
        kept_inputs: indices of the inputs that a backward pass reads.
        watched: what a backward pass reads, or the bases of which it reads views, by value id.
        runner: computes the outputs from the arrays and the numbers that entered.
    """

    __slots__ = (
        "entry",
        "kept_inputs",
        "n_inputs",
        "nodes",
        "outputs",
        "runner",
        "saved",
        "tracked",
        "watched",
    )

    def __init__(self, nodes: list[Node], outputs: tuple[Value, ...], n_inputs: int) -> None:
        self.nodes = nodes
        self.outputs = outputs
        self.n_inputs = n_inputs
        self.tracked: tuple[int, ...] = ()
        self.saved: tuple[int, ...] = ()
        self.kept_inputs: frozenset[int] = frozenset()
        self.watched: dict[int, Value] = {}
        self.entry: Any = None  # how rewritten tensors enter the recording that follows
        self.runner: Any = None

    def inputs(self) -> list[Value]:
        """The values that nodes and outputs take from outside, in order of their numbers."""
        found: dict[int, Value] = {}
        for v in (*(a for n in self.nodes for a in n.args), *self.outputs):
            if not isinstance(v, Result):
                found[v.id] = v
        return [found[k] for k in sorted(found)]

    def verify(self) -> None:
        """Re-derive every shape and dtype, and check that values are defined before use.

        Raises:
            VerificationError: naming the first node that breaks a rule.
        """
        defined: set[int] = set()
        for node in self.nodes:
            for arg in node.args:
                if isinstance(arg, Result) and arg.id not in defined:
                    raise VerificationError(f"{node!r} uses v{arg.id} before it is defined.")
            spec = node.primitive.shape(*node.args, **node.attrs)
            for out, (shape, d) in zip(
                node.outs, spec if isinstance(spec, list) else [spec], strict=True
            ):
                if tuple(out.shape) != tuple(shape) or out.dtype is not d:
                    raise VerificationError(
                        f"{node!r} says {out!r}, its rule says {d.name}{list(shape)}."
                    )
            defined.update(out.id for out in node.outs)

    def __repr__(self) -> str:
        return "\n".join(
            [*map(repr, self.nodes), f"return {', '.join(f'v{o.id}' for o in self.outputs)}"]
        )


def extract(position: Position, ids: tuple[int, ...]) -> Program:
    """The program for the live values ``ids`` of the recording that ends at ``position``."""
    nodes = position.all_nodes()
    values: dict[int, Value] = {}
    for p in position.path():
        if isinstance(p.out, Input):
            values[p.out.id] = p.out
    for node in nodes:
        for out in node.outs:
            values[out.id] = out
        for arg in node.args:
            values.setdefault(arg.id, arg)
    live = tuple(values[i] for i in ids)
    tracked = tuple(i for i, v in enumerate(live) if has_history(v))
    saved = saved_for_backward(nodes, [live[i] for i in tracked], position.freed) if tracked else []
    kept = tuple(v for v in saved if isinstance(v, Result))
    outputs = (*live, *kept)
    program = Program(alive_nodes(nodes, outputs), outputs, position.n_inputs)
    program.tracked = tracked
    program.saved = tuple(v.id for v in kept)
    program.kept_inputs = frozenset(v.index for v in saved if isinstance(v, Input))
    program.watched = {at.id: at for at in map(origin, saved)}
    return program


def origin(value: Value) -> Value:
    """The value whose memory ``value`` shares: where its chain of movements begins."""
    while isinstance(value, Result) and value.node.primitive.write is not None:
        value = value.node.args[0]
    return value


def has_history(value: Value) -> bool:
    """Whether gradients flow from ``value`` to what it was computed from."""
    return isinstance(value, Result) and value.requires_grad and value.node.primitive.name != "leaf"


def saved_for_backward(nodes: list[Node], roots: list[Value], freed: frozenset[int]) -> list[Value]:
    """The values that a backward pass from ``roots`` would read."""
    reached = {v.id for v in roots}
    found: dict[int, Value] = {}
    for node in reversed(nodes):
        if (
            any(o.id in reached and o.requires_grad for o in node.outs)
            and node.outs[0].id not in freed
        ):
            reached.update(a.id for a in node.args if a.requires_grad)
            for v in node.primitive.saved(node):
                if not isinstance(v, (Constant, Scalar)):
                    found[v.id] = v
    return list(found.values())


def alive_nodes(nodes: list[Node], outputs: tuple[Value, ...]) -> list[Node]:
    """The nodes that ``outputs`` depend on."""
    needed = {v.id for v in outputs}
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(o.id in needed for o in node.outs):
            needed.update(a.id for a in node.args)
            kept.append(node)
    kept.reverse()
    return kept
