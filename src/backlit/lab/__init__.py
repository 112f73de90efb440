"""The lab: small, plain versions of what the framework does, to learn from and to compare with."""

from __future__ import annotations

from backlit.lab import scalar_engine
from backlit.lab.derivatives import Comparison, Way, compare_derivatives, difference_errors
from backlit.lab.language import WordLosses, word_losses
from backlit.lab.memoization import CostReport, Memoization, cost_report, memoization, visits
from backlit.lab.recursions import (
    beta_recursion,
    delta_recursion,
    full_batch_gradient,
    sequence_gradients,
)
from backlit.lab.symbols import Symbol
from backlit.lab.timings import Timing, batch_times, pass_times, product_times

__all__ = [
    "Comparison",
    "CostReport",
    "Memoization",
    "Symbol",
    "Timing",
    "Way",
    "WordLosses",
    "batch_times",
    "beta_recursion",
    "compare_derivatives",
    "cost_report",
    "delta_recursion",
    "difference_errors",
    "full_batch_gradient",
    "memoization",
    "pass_times",
    "product_times",
    "scalar_engine",
    "sequence_gradients",
    "visits",
    "word_losses",
]
