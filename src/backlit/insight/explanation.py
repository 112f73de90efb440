"""Backpropagation told step by step: each gradient as local times upstream."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import numpy as np

from backlit.core.tensor import Array, Tensor
from backlit.errors import ArgumentError
from backlit.insight.formula import Formula, number
from backlit.insight.gate import Gate, NodeGate
from backlit.insight.graph import Graph
from backlit.insight.history import key_of
from backlit.insight.naming import names_in
from backlit.insight.rules import curve, narrowed, product
from backlit.insight.tables import columns, equals, shown, size

Style = Literal["local", "bar"]
Use = tuple[NodeGate, int]  # a gate that uses a value, and as which operand
Row = tuple[str, ...]

_MACRON = "\u0304"  # over one letter
_OVERLINE = "\u0305"  # joins over several


def barred(name: str) -> str:
    """``name`` with a bar, as in w̄ for ∂L/∂w.

    >>> barred("w"), barred("w0")
    ('w̄', 'w̄0')
    """
    word = name.rstrip("0123456789")
    if len(word) > 1:
        return "".join(c + _OVERLINE for c in name)
    return unicodedata.normalize("NFC", word + _MACRON + name[len(word) :])


class Explanation:
    """The story of one backward pass; printing it tells it.

    Attributes:
        graph: the graph it is about.
        style: "local" or "bar".
    """

    def __init__(self, graph: Graph, style: Style, unused: list[str]) -> None:
        self.graph = graph
        self.style = style
        self._unused = unused
        self._users: dict[int, list[Use]] = {}
        for gate in graph.nodes_topologically_sorted():
            if isinstance(gate, NodeGate) and gate.upstream_array is not None:
                for i, operand in enumerate(gate.operands):
                    if isinstance(operand, tuple) and operand[0].differentiable:
                        self._users.setdefault(id(operand[0]), []).append((gate, i))
        self._inline: dict[int, Formula] = {}
        if style == "bar":
            self._fold()

    def _fold(self) -> None:
        """Write the user's unnamed intermediate values as formulas inside of others."""
        uses: dict[int, list[NodeGate]] = {}
        for gate in self.graph.nodes_topologically_sorted():
            for source in gate.inputs:
                uses.setdefault(id(source), []).append(gate)  # type: ignore[arg-type]
        for gate in self.graph.nodes_topologically_sorted():
            users = uses.get(id(gate), [])
            if (
                isinstance(gate, NodeGate)
                and not gate.named
                and len(users) == 1
                and gate.elementwise
                and users[0].elementwise
                and gate.arrays[0].shape == users[0].arrays[0].shape
            ):
                self._inline[id(gate)] = gate.formula_in(gate.terms(self._inline))

    def _told(self) -> Iterator[Gate]:
        """The gates that have a line, in order of computation."""
        return (g for g in self.graph.nodes_topologically_sorted() if id(g) not in self._inline)

    def __str__(self) -> str:
        given = [
            f"{g.name} = {shown(g.arrays[0])}" if not g.arrays[0].ndim else _sized(g)
            for g in self.graph.leaves
        ]
        parts = [f"Given    {', '.join(given)}", "", "Forward", *self._forward(), "", "Backward"]
        return "\n".join([*parts, *(self._bars() if self.style == "bar" else self._locals())])

    __repr__ = __str__

    def _forward(self) -> list[str]:
        rows: list[Row] = [("",) * 3]
        for gate in self._told():
            if isinstance(gate, NodeGate) and gate.differentiable:
                formula = str(gate.formula_in(gate.terms(self._inline)))
                if formula == gate.name:  # a transpose says itself what it is
                    continue
                rows.append((f"  {_sized(gate)}", f"= {formula}", equals(gate.arrays[0])))
        return columns(rows, " ")[1:]

    # -- style "local" -----------------------------------------------------------------------

    def _locals(self) -> list[str]:
        top = self.graph.output.name
        rows: list[Row] = [("  gradient", "= local · upstream", "= value", "  local", "  upstream")]
        rows.append((f"  ∂{top}/∂{top}", "= 1", "", "", ""))
        for gate, uses in self._finished():
            lhs = f"  ∂{top}/∂{_sized(gate)}"
            paths = [self._path(gate, use) for use in uses]
            equation = " + ".join(text for text, _, _ in paths)
            (_, local, upstream), *others = paths
            value = equals(gate.upstream_array)
            rows.append((lhs, f"= {equation}", value, f"  {local}", f"  {upstream}"))
            rows += [("", "", "", f"  {local}", f"  {upstream}") for _, local, upstream in others]
        rows += [(f"  ∂{top}/∂{name}", "= 0", "", "  not used", "") for name in self._unused]
        return columns(rows, " ")

    def _finished(self) -> Iterator[tuple[Gate, list[Use]]]:
        """Each value with its uses, in the order in which the backward pass completes gradients."""
        missing = {k: len(uses) for k, uses in self._users.items()}
        for gate in reversed(self.graph.nodes_topologically_sorted()):
            if not isinstance(gate, NodeGate) or gate.upstream_array is None:
                continue
            for operand in reversed(gate.operands):
                if isinstance(operand, tuple) and operand[0].differentiable:
                    source = operand[0]
                    missing[id(source)] -= 1
                    if not missing[id(source)]:
                        yield source, self._users[id(source)][::-1]

    def _path(self, gate: Gate, use: Use) -> Row:
        """One way back: the product in numbers, the local derivative, and the upstream's name."""
        user, i = use
        up = f"∂{self.graph.output.name}/∂{user.name}"
        local = f"∂{user.name}/∂{gate.name}"
        if not user.elementwise or user.context is not None:
            text = product(user, i, up)
            return text, "", up
        slope, g = user.locals()[i], user.upstream_array
        assert g is not None
        text = f"{_factor(slope)} {_times(g)} {_factor(g)}"
        if len(text) > _ROOM or "norm" in text:
            text = f"{local} ⊙ {up} {size(g.shape)}"
        return text + narrowed(user, i), f"{local} = {user.local_formula(i)}", up

    # -- style "bar" -------------------------------------------------------------------------

    def _bars(self) -> list[str]:
        top = self.graph.output
        rows: list[Row] = [("",) * 3, (f"  {barred(top.name)}", "= 1", "")]
        notes: dict[str, str] = {}
        for gate, uses in self._finished():
            if id(gate) not in self._inline:
                text = " + ".join(self._bar_product(use, notes) for use in uses)
                value = equals(gate.upstream_array)
                rows.append((f"  {barred(gate.name)} {_size(gate)}".rstrip(), f"= {text}", value))
        rows += [(f"  {barred(name)}", "= 0", "(not used)") for name in self._unused]
        lines = columns(rows, " ")[1:]
        if notes:
            lines += ["", *(f"  {k} = {v}" for k, v in notes.items())]
        return lines

    def _bar_product(self, use: Use, notes: dict[str, str]) -> str:
        """Upstream times local derivatives, from the next value that has a name of its own."""
        user, i = use
        if not user.elementwise or user.context is not None:
            return product(user, i, barred(user.name))
        extra = narrowed(user, i)
        local = self._bar_local(user, i, notes)
        while id(user) in self._inline:
            ((user, i),) = self._users[id(user)]
            local = self._bar_local(user, i, notes) * local
        scalar = not user.arrays[0].ndim
        text = (Formula.name(barred(user.name)) * local).rendered("·" if scalar else "⊙")[0]
        return f"{text}{extra}"

    def _bar_local(self, user: NodeGate, i: int, notes: dict[str, str]) -> Formula:
        terms = user.terms(self._inline)
        out = self._inline.get(id(user), Formula.name(user.name))
        told = curve(user, terms)
        formula = user.local_formula(i, terms, out)
        if told is None:
            return formula
        notes[str(told)] = f"{formula} {equals(user.locals()[i])}"
        return told


_ROOM = 40  # characters that the numbers of one product may take


def _factor(x: Array) -> str:
    """A number as a factor: in parentheses if it is negative."""
    same = x.size > 0 and x.ndim > 0 and bool(np.all(x == x.flat[0]))
    text = number(float(x.flat[0])) if same else shown(x)
    return f"({text})" if text.startswith("-") else text


def _times(g: Array) -> str:
    return "⊙" if g.ndim else "·"


def _size(gate: Gate) -> str:
    return size(gate.arrays[0].shape)


def _sized(gate: Gate) -> str:
    return f"{gate.name} {_size(gate)}".rstrip()


def explain(
    loss: Tensor,
    style: Style = "local",
    *,
    inputs: Iterable[Tensor] = (),
    names: Mapping[str, Tensor] | None = None,
) -> Explanation:
    """Tell node by node how the gradients of ``loss`` come about: each is local · upstream.

    The chain rule for a value x that is used by gates y₁, y₂ …:
    ∂L/∂x = Σₖ ∂yₖ/∂x · ∂L/∂yₖ. Values have the names of the caller's variables, ``v1``, ``v2`` …
    where there is none. Matrices are told with their shapes: ∂L/∂X [N×D] = ∂L/∂Y [N×M] · Wᵀ [M×D].

    Args:
        loss: a tensor with one element.
        style: "local" tells every node, ∂f/∂x = (local) · (upstream) = value; "bar" writes x̄ for
            ∂L/∂x, and tells only the values that have names.
        inputs: tensors to be told about even where the loss does not depend on them.
        names: names for tensors, before those of the caller's variables.

    Source: Stanford CS231n, lecture 4 (local times upstream); Toronto CSC421, lecture 2 (bars).

    >>> import backlit
    >>> x = backlit.tensor(-2.0, requires_grad=True)
    >>> y = backlit.tensor(5.0, requires_grad=True)
    >>> z = backlit.tensor(-4.0, requires_grad=True)
    >>> q = x + y
    >>> f = q * z
    >>> print(backlit.insight.explain(f))
    Given    x = -2, y = 5, z = -4
    <BLANKLINE>
    Forward
      q = x + y = 3
      f = q · z = -12
    <BLANKLINE>
    Backward
      gradient = local · upstream = value   local       upstream
      ∂f/∂f    = 1
      ∂f/∂z    = 3 · 1            = 3       ∂f/∂z = q   ∂f/∂f
      ∂f/∂q    = (-4) · 1         = -4      ∂f/∂q = z   ∂f/∂f
      ∂f/∂y    = 1 · (-4)         = -4      ∂q/∂y = 1   ∂f/∂q
      ∂f/∂x    = 1 · (-4)         = -4      ∂q/∂x = 1   ∂f/∂q

    Raises:
        ArgumentError: if the style is unknown, or the loss has more than one element, no recorded
            history, or a history that has changed since.
    """
    if style not in ("local", "bar"):
        raise ArgumentError(f'explain: the style must be "local" or "bar", got {style!r}.')
    found = names_in(sys._getframe(1), names)
    graph = Graph(loss, found)
    known = {key for key, gate in graph.items() if gate.upstream_array is not None}
    unused = [found.get(key_of(t), "input") for t in inputs if key_of(t)[0] not in known]
    return Explanation(graph, style, unused)
