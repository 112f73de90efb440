"""Looking inside: what was computed, by which rule each gradient came about, and from which line.

Everything here is an observer: nothing in the framework depends on it, and looking changes nothing.
"""

from __future__ import annotations

from backlit.insight.explanation import Explanation, explain
from backlit.insight.flat import emit_flat_backprop
from backlit.insight.gate import Gate, Saved
from backlit.insight.graph import Graph, graph

__all__ = [
    "Explanation",
    "Gate",
    "Graph",
    "Saved",
    "emit_flat_backprop",
    "explain",
    "graph",
]
