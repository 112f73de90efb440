"""How much arithmetic a program does, counted node by node."""

from __future__ import annotations

from backlit.core.primitive import Elementwise
from backlit.core.value import Node, Result

# Passes over the input that these primitives make.
PASSES = {
    "sum": 1, "prod": 1, "amax": 1, "amin": 1, "vector_norm": 2,
    "cumsum": 1, "cumprod": 1, "cummax": 1, "cummin": 1,
    "softmax": 5, "log_softmax": 5, "standardize": 5,
}  # fmt: skip
"""softmax: largest, difference, exponential, sum, quotient; standardize: two means, difference,
square, quotient."""


def flops_of(node: Node) -> int:
    """Floating-point operations of one primitive.

    A matrix product (m × k)(k × n) counts 2mkn: a multiplication and an addition each. A function
    of each element counts 1 per element, however costly it is; a sum 1 per input. Moving data
    about, comparing and choosing numbers count nothing.
    """
    name = node.primitive.name
    out = node.outs[0]
    if not out.dtype.is_floating_point:
        return 0
    if name == "matmul":
        return 2 * out.numel * node.args[0].shape[-1]
    if name in PASSES:
        return PASSES[name] * node.args[0].numel
    if isinstance(node.primitive, Elementwise) and name != "where":
        # What is computed from one constant number alone is done once, at compile time.
        return out.numel if any(isinstance(a, Result) or a.shape for a in node.args) else 0
    return 0
