"""How one gate passes a gradient back, in words and symbols: local times upstream."""

from __future__ import annotations

import re

from backlit.insight.formula import SYMBOLS, Formula
from backlit.insight.gate import Gate, NodeGate
from backlit.insight.tables import size

CURVES = frozenset({"sigmoid", "tanh", "relu", "erf"})  # bar notation writes σ'(z) for these

_MOVED = {
    "amax": "{g} where {x} is largest, else 0",
    "amin": "{g} where {x} is smallest, else 0",
    "cat": "its part of {g}",
    "clone": "{g}",
    "convert": "{g}",
    "expand": "{g} summed",
    "flip": "{g} flipped",
    "gather": "{g} put back at the index, 0 elsewhere",
    "index": "{g} put back at the index, 0 elsewhere",
    "pick": "{g} put back at the index, 0 elsewhere",
    "reshape": "{g} reshaped",
    "slice": "{g} put back in its place, 0 elsewhere",
    "sum": "1 · {g}, to every element",
    "take_rows": "{g} put back at the index, 0 elsewhere",
}


def product(gate: NodeGate, i: int, g: str) -> str:
    """The rule for operand ``i`` of an op that is not elementwise; ``g`` names its upstream."""
    node = gate.step.node
    card = node.primitive
    operands = [o[0] if isinstance(o, tuple) else None for o in gate.operands]
    out = size(gate.arrays[0].shape)
    if gate.context is not None:
        return f"{gate.op}.backward({g})"
    if card.name == "matmul":
        other = operands[1 - i]
        name = _name(other)
        name = name[:-1] if name.endswith("ᵀ") else f"{name}ᵀ"
        factor = f"{name} {size(_turned(other))}"
        return f"{g} {out} · {factor}" if i == 0 else f"{factor} · {g} {out}"
    if card.name == "permute":
        return f"{g} {out} transposed"
    x = operands[i]
    if card.name in _MOVED:
        return _MOVED[card.name].format(g=f"{g} {out}".rstrip(), x=_name(x))
    told = card.local if isinstance(card.local, str) else card.local[i] if card.local else ""
    if not told:
        return f"the rule of {card.name}, applied to {g}"
    if card.name == "softmax":
        return re.sub(r"p(?!̄)", gate.name, told.replace("p̄", g))
    told = re.sub(r"\bx\b", _name(x), told)
    return told.replace("ḡ", g) if "ḡ" in told else f"({told}) · {g}"


def _name(gate: Gate | None) -> str:
    return gate.name if gate is not None else "constant"


def _turned(gate: Gate | None) -> tuple[int, ...]:
    shape = tuple(gate.arrays[0].shape) if gate is not None else ()
    return (*shape[:-2], shape[-1], shape[-2])


def curve(gate: NodeGate, terms: list[Formula]) -> Formula | None:
    """``σ'(z)`` for the gates that bar notation writes so."""
    if gate.op not in CURVES:
        return None
    return Formula.name(f"{SYMBOLS.get(gate.op, gate.op)}'({terms[0]})")


def narrowed(gate: NodeGate, i: int) -> str:
    """What broadcasting adds to the rule: the gradient is summed to the operand's shape."""
    operand = gate.operands[i]
    assert isinstance(operand, tuple)
    shape = operand[0].arrays[operand[1]].shape
    return f", summed to {size(shape) or 'a number'}" if shape != gate.arrays[0].shape else ""
