"""Looking inside: what was computed, by which rule each gradient came about, and from which line.

Everything here is an observer: nothing in the framework depends on it, and looking changes nothing.
"""

from __future__ import annotations

from backlit.insight import doctor
from backlit.insight.descent import Descent, descent
from backlit.insight.explanation import Explanation, explain
from backlit.insight.flat import emit_flat_backprop
from backlit.insight.gate import Gate, Saved
from backlit.insight.graph import Graph, graph
from backlit.insight.kernels import Kernel, Kernels
from backlit.insight.landscape import Landscape, loss_landscape
from backlit.insight.opsource import Op, op
from backlit.insight.planes import Plane, plane, templates
from backlit.insight.profile import Profile, profile
from backlit.insight.program import Program, program
from backlit.insight.summary import Comparison, Summary, compare, summary

__all__ = [
    "Comparison",
    "Descent",
    "Explanation",
    "Gate",
    "Graph",
    "Kernel",
    "Kernels",
    "Landscape",
    "Op",
    "Plane",
    "Profile",
    "Program",
    "Saved",
    "Summary",
    "compare",
    "descent",
    "doctor",
    "emit_flat_backprop",
    "explain",
    "graph",
    "loss_landscape",
    "op",
    "plane",
    "profile",
    "program",
    "summary",
    "templates",
]
