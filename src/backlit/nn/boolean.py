"""Networks built, not trained: exact weights for Boolean formulas, regions and step functions.

Truth is 1 and falsehood -1. A unit sign(Σ ±z - (k - ½)) is the AND of k literals, and
sign(Σ ±z + (k - ½)) is their OR: with two, the deck's sign(z₁ + z₂ ∓ 1.5).
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.dtypes import float32
from backlit.errors import ArgumentError, ShapeError
from backlit.nn.container import Sequential
from backlit.nn.linear import Linear
from backlit.nn.parameter import Parameter
from backlit.nn.threshold import Sign, Step

Literal = tuple[int, int]  # a signal, and 1 or -1 for its negation
Formula = Any  # ("var", name), ("not", f), ("and" | "or" | "xor", [f, …]), ("constant", bool)
MOST_VARIABLES = 16


def boolean_mlp(
    expression: str, variables: Sequence[str] | None = None, *, deep: bool = False
) -> Sequential:
    """A network of sign units that is exactly a Boolean expression.

    Args:
        expression: names joined by ``&``/``and``, ``|``/``or``, ``^``, ``~``/``not``, parentheses.
        variables: the names in the order of the inputs; alphabetical if None.
        deep: one unit per gate of the expression instead of one hidden layer (a unit per term).

    Shapes: x (*, n) of -1 and 1 → (*, 1) of -1 and 1.

    >>> from backlit import nn
    >>> net = nn.boolean_mlp("a ^ b")
    >>> net(backlit.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])).flatten().tolist()
    [-1.0, 1.0, 1.0, -1.0]
    """
    formula = parse(expression)
    names = sorted(set(_names(formula))) if variables is None else list(variables)
    unknown = sorted(set(_names(formula)) - set(names))
    if unknown:
        raise ArgumentError(
            f"boolean_mlp: {', '.join(unknown)} is not among the variables {names}."
        )
    if deep:
        return _Circuit(names).build(formula)
    if len(names) > MOST_VARIABLES:
        raise ArgumentError(
            f"boolean_mlp: one hidden layer for {len(names)} variables may need 2^{len(names) - 1} "
            f"units; at most {MOST_VARIABLES} variables are taken. Use deep=True."
        )
    return _shallow(formula, names)


def region_mlp(
    halfplanes: Sequence[tuple[Sequence[float], float]],
    formula: str | None = None,
    *,
    deep: bool = False,
) -> Sequential:
    """A network of sign units that is 1 exactly in a region bounded by straight lines.

    Args:
        halfplanes: (w, b) for each half-plane w·x + b ≥ 0, called h0, h1, … in the formula.
        formula: a Boolean expression over them; their intersection if None.
        deep: a unit per gate of the formula instead of a disjunction of intersections.

    Shapes: x (*, n) → (*, 1) of -1 and 1.

    >>> from backlit import nn
    >>> strip = nn.region_mlp([((1.0,), 0.0), ((-1.0,), 2.0)])  # 0 ≤ x ≤ 2
    >>> strip(backlit.tensor([[-1.0], [0.0], [1.0], [3.0]])).flatten().tolist()
    [-1.0, 1.0, 1.0, -1.0]
    """
    names = [f"h{i}" for i in range(len(halfplanes))]
    weight = np.array([w for w, _ in halfplanes], float)
    if weight.ndim != 2:
        raise ShapeError(
            "region_mlp: expected half-planes (w, b) with w a sequence of one number per input."
        )
    if formula is None:
        logic = boolean_mlp(" & ".join(names), names, deep=True)  # one gate
    else:
        logic = boolean_mlp(formula, names, deep=deep)
    return Sequential(_linear(weight, [b for _, b in halfplanes]), Sign(), *logic)


def polygon_halfplanes(vertices: Sequence[Sequence[float]]) -> list[tuple[list[float], float]]:
    """The half-planes whose intersection is the convex polygon with these corners."""
    corners = np.array(vertices, float)
    edges = np.roll(corners, -1, 0) - corners
    after = np.roll(edges, -1, 0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    if not ((turns > 0).all() or (turns < 0).all()):
        raise ArgumentError(
            "polygon_halfplanes: the polygon is not convex; give the corners in order, and unite "
            "convex parts in the formula of region_mlp."
        )
    normals = np.stack([-edges[:, 1], edges[:, 0]], 1) * np.sign(turns[0])
    return [(n.tolist(), float(-n @ c)) for n, c in zip(normals, corners, strict=True)]


def parity_mlp(n: int, *, deep: bool = True) -> Sequential:
    """A network that is 1 exactly if an odd number of its n inputs is.

    One hidden layer of AND units needs 2ⁿ⁻¹ of them, a tree of XOR gates 3 (n - 1) units: an
    exhibit of what depth saves, not a proof. Theorems: J. Håstad, "Almost optimal lower bounds for
    small depth circuits" (1986); O. Delalleau and Y. Bengio, "Shallow vs. deep sum-product
    networks" (2011): O(n) units deep against O(2^√n) shallow.

    >>> from backlit import nn
    >>> [sum(m.out_features for m in net if isinstance(m, nn.Linear))
    ...  for net in (nn.parity_mlp(8, deep=False), nn.parity_mlp(8))]
    [129, 21]
    """
    names = [f"x{i}" for i in range(n)]
    return boolean_mlp(" ^ ".join(names), names, deep=deep)


def staircase(knots: Sequence[float], values: Sequence[float]) -> Sequential:
    """A sum of steps: values[0] before knots[0], values[i + 1] from knots[i] on.

    Each hidden unit is a perceptron of x; the output adds up the jumps.

    >>> from backlit import nn
    >>> f = nn.staircase([0.0, 1.0], [5.0, 7.0, 6.0])
    >>> f(backlit.tensor([[-1.0], [0.0], [0.5], [2.0]])).flatten().tolist()
    [5.0, 7.0, 7.0, 6.0]
    """
    if len(values) != len(knots) + 1:
        raise ShapeError(
            f"staircase: {len(knots)} knots need {len(knots) + 1} values, got {len(values)}."
        )
    steps = _linear(np.ones((len(knots), 1)), [-k for k in knots])
    return Sequential(steps, Step(), _linear(np.diff(values)[None], [values[0]]))


def _linear(weight: Any, bias: Any) -> Linear:
    """A linear layer with these weights, fixed."""
    w, b = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
    made = Linear(w.shape[1], w.shape[0], dtype=float32)
    made.weight = Parameter(from_array(w, copy=True), requires_grad=False)
    made.bias = Parameter(from_array(b, copy=True), requires_grad=False)
    return made


# -- formulas ------------------------------------------------------------------------------------

_BINARY = {ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor", ast.And: "and", ast.Or: "or"}


def parse(expression: str) -> Formula:
    """The formula that a Boolean expression in Python's syntax stands for."""
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise ArgumentError(
            f"boolean expression {expression!r} cannot be read; write it like '(a & ~b) | c'."
        ) from None
    return _formula(tree)


def _formula(node: ast.AST) -> Formula:
    match node:
        case ast.Name(id=name):
            return ("var", name)
        case ast.Constant(value=bool() | 0 | 1 as value):
            return ("constant", bool(value))
        case ast.UnaryOp(op=ast.Invert() | ast.Not(), operand=operand):
            return ("not", _formula(operand))
        case ast.BoolOp(op=operation, values=values):
            return (_BINARY[type(operation)], [_formula(v) for v in values])
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            kind = _BINARY[type(operation)]
            parts = [_formula(left), _formula(right)]
            return (kind, [q for p in parts for q in (p[1] if p[0] == kind else [p])])
    raise ArgumentError(
        f"boolean expression: {ast.unparse(node)!r} is not one of &, |, ^, ~, names, True, False."
    )


def _names(formula: Formula) -> list[str]:
    kind, rest = formula
    if kind == "var":
        return [rest]
    if kind == "constant":
        return []
    return [n for part in ([rest] if kind == "not" else rest) for n in _names(part)]


def evaluate(formula: Formula, values: dict[str, bool]) -> bool:
    """The truth of a formula for given values of its variables."""
    kind, rest = formula
    if kind == "var":
        return values[rest]
    if kind == "constant":
        return bool(rest)
    if kind == "not":
        return not evaluate(rest, values)
    truths = [evaluate(part, values) for part in rest]
    return all(truths) if kind == "and" else any(truths) if kind == "or" else sum(truths) % 2 == 1


# -- one hidden layer: a unit per term of a disjunction ------------------------------------------

Term = tuple[int, ...]  # per variable: 1 true, -1 false, 0 either


def _shallow(formula: Formula, names: list[str]) -> Sequential:
    rows = [
        row
        for row in itertools.product((-1, 1), repeat=len(names))
        if evaluate(formula, {n: v > 0 for n, v in zip(names, row, strict=True)})
    ]
    terms = np.array(_cover(rows), float).reshape(-1, len(names))
    n_literals = np.abs(terms).sum(1)
    return Sequential(
        _linear(terms, 0.5 - n_literals), Sign(),
        _linear(np.ones((1, len(terms))), [len(terms) - 0.5]), Sign(),
    )  # fmt: skip


def _cover(rows: list[Term]) -> list[Term]:
    """Few terms that are true exactly in ``rows`` (Quine and McCluskey's, chosen greedily)."""
    primes: list[Term] = []
    present = set(rows)
    while present:
        merged: set[Term] = set()
        absorbed: set[Term] = set()
        for term in present:
            for i, literal in enumerate(term):
                twin = (*term[:i], -literal, *term[i + 1 :])
                if literal and twin in present:
                    merged.add((*term[:i], 0, *term[i + 1 :]))
                    absorbed.add(term)
        primes += sorted(present - absorbed)
        present = merged
    covered = {p: {row for row in rows if _implies(row, p)} for p in primes}
    missing, chosen = set(rows), []
    while missing:
        best = max(primes, key=lambda p: len(covered[p] & missing))
        chosen.append(best)
        missing -= covered[best]
    return chosen


def _implies(row: Term, term: Term) -> bool:
    return all(a in (0, b) for a, b in zip(term, row, strict=True))


# -- deep: a unit per gate -----------------------------------------------------------------------


class _Circuit:
    """Threshold gates in levels; signals are numbered, the inputs first."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.levels = [0] * len(names)
        self.gates: dict[int, tuple[list[Literal], float]] = {}  # signal → literals, bias

    def gate(self, kind: str, literals: list[Literal]) -> Literal:
        """The AND or OR of literals, as a new signal."""
        if len(literals) == 1:
            return literals[0]
        margin = len(literals) - 0.5
        self.levels.append(1 + max((self.levels[s] for s, _ in literals), default=0))
        self.gates[len(self.levels) - 1] = (literals, -margin if kind == "and" else margin)
        return len(self.levels) - 1, 1

    def xor(self, literals: list[Literal]) -> Literal:
        """The parity of literals, as a balanced tree of OR(AND(a, ¬b), AND(¬a, b))."""
        if len(literals) == 1:
            return literals[0]
        half = len(literals) // 2
        a, b = self.xor(literals[:half]), self.xor(literals[half:])
        not_a, not_b = (a[0], -a[1]), (b[0], -b[1])
        return self.gate("or", [self.gate("and", [a, not_b]), self.gate("and", [not_a, b])])

    def literal(self, formula: Formula) -> Literal:
        """The signal of a formula; its gates are added as needed."""
        kind, rest = formula
        if kind == "var":
            return self.names.index(rest), 1
        if kind == "not":
            signal, sign = self.literal(rest)
            return signal, -sign
        if kind == "constant":  # AND of nothing is true, OR of nothing is false
            return self.gate("and" if rest else "or", [])
        parts = [self.literal(part) for part in rest]
        return self.xor(parts) if kind == "xor" else self.gate(kind, parts)

    def build(self, formula: Formula) -> Sequential:
        """The circuit as layers; signals that are needed later pass through units of their own."""
        signal, sign = self.literal(formula)
        depth = max(self.levels[signal], 1)
        layers: list[Any] = []
        below = list(range(len(self.names)))
        for level in range(1, depth + 1):
            here = self._needed_at(level, signal)
            weight = np.zeros((len(here), len(below)))
            bias = np.zeros(len(here))
            for row, s in enumerate(here):
                literals, b = self.gates[s] if self.levels[s] == level else ([(s, 1)], 0.0)
                bias[row] = b
                for source, w in literals:
                    weight[row, below.index(source)] += w
            if level == depth:
                weight, bias = weight * sign, bias * sign
            layers += [_linear(weight, bias), Sign()]
            below = here
        return Sequential(*layers)

    def _needed_at(self, level: int, output: int) -> list[int]:
        """Signals that the gates above ``level`` read, and the output if it is not above."""
        used = {s for g, (ls, _) in self.gates.items() if self.levels[g] > level for s, _ in ls}
        return sorted({s for s in used | {output} if self.levels[s] <= level})


__all__ = ["boolean_mlp", "parity_mlp", "polygon_halfplanes", "region_mlp", "staircase"]
